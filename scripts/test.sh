#!/usr/bin/env bash
# All tests: unit, property, simulation, real clients on a real daemon. Flags go to
# `cargo nextest run`, for example a test's name.
#
# At the end it names the tests that were left out because something is not installed; with
# CI=true they fail instead.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${CARGO_TARGET_DIR:=$HOME/.cache/vpool-target}"
export CARGO_TARGET_DIR

scripts/setup.sh test

# The end-to-end tests start the programs that were built beside them.
cargo build --locked --workspace --bins
status=0
cargo nextest run --locked --workspace --no-fail-fast "$@" || status=$?

report=$CARGO_TARGET_DIR/nextest/default/junit.xml
if [ -f "$report" ]; then
  left_out=$(grep -o 'SKIPPED: [^<]*' "$report" | sort | uniq -c || true)
  if [ -n "$left_out" ]; then
    echo "Left out (tests, reason):"
    echo "$left_out"
  fi
fi
[ $status -eq 0 ] || exit $status
if [ $# -eq 0 ]; then
  cargo test --locked --workspace --doc --quiet
fi
