#!/usr/bin/env bash
# Builds the Debian package and prints where it is.
#   scripts/package.sh [PROFILE]     release without an argument
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-release}
target=${CARGO_TARGET_DIR:-$PWD/target}

if ! command -v cargo-deb >/dev/null; then
    CARGO_TARGET_DIR=$(mktemp -d) cargo install --locked cargo-deb@3.8.0 >&2
fi
cargo build --locked --profile "$profile" -p vpoold -p vpool-cli >&2

# Manual pages and completions say what the command itself says: they are made by it.
case $profile in
dev | test) built=$target/debug ;;
*) built=$target/$profile ;;
esac
made=$built/package
rm -rf "$made"
mkdir -p "$made/man" "$made/completions"
"$built/vpool" man "$made/man"
gzip -9 -n "$made"/man/*.1
"$built/vpool" completion bash >"$made/completions/vpool"
"$built/vpool" completion zsh >"$made/completions/_vpool"
"$built/vpool" completion fish >"$made/completions/vpool.fish"

mkdir -p "$target/debian"
rm -f "$target"/debian/vpool_*.deb
cargo deb --no-build --profile "$profile" -p vpoold --output "$target/debian/" >&2
ls "$target"/debian/vpool_*.deb
