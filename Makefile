# vPool: `make run` and `make test` do everything, set-up included; both are quick the second time.

export CARGO_TARGET_DIR ?= $(HOME)/.cache/vpool-target
CARGO := cargo
DATA ?= data

.PHONY: run build test bench bench-full package soak planted fuzz loom docs audit lint

run: build ## build and start a one-host grid on ./data
	$(CARGO_TARGET_DIR)/debug/vpoold dev --data-dir $(DATA)

build:
	@scripts/setup.sh build
	$(CARGO) build --locked --workspace

test: ## all tests
	@scripts/setup.sh test
	$(CARGO) build --locked --workspace
	$(CARGO) nextest run --locked --workspace
	@scripts/left-out.sh
	$(CARGO) test --locked --workspace --doc --quiet
	tests/planted.sh
	tests/nonces.sh
	router/commit/loom.sh
	tests/fuzz/run.sh 15

bench: build ## the bench table, quick form
	@scripts/setup.sh test
	$(CARGO_TARGET_DIR)/debug/bench --quick

bench-full: build ## all of it; PEERS=rbd for Ceph RBD too
	@scripts/setup.sh test
	$(CARGO_TARGET_DIR)/debug/bench

package: ## the Debian package
	@scripts/setup.sh build
	scripts/package.sh

soak: ## the same tests, seeds that were never played; sums up in tests/reports
	@scripts/setup.sh test
	tests/soak.sh

planted: ## each planted bug must be caught
	tests/planted.sh

fuzz: ## every fuzz target for SECONDS_EACH
	tests/fuzz/run.sh $${SECONDS_EACH:-600}

loom:
	router/commit/loom.sh

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

audit: ## with advisories, where their database can be reached
	$(CARGO) deny --locked check
