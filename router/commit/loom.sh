#!/bin/sh
# Walks every interleaving (up to three preemptions) of the group commit and the pins.
# Arguments go to the test binary, for example a test's name.
set -eu
cd "$(dirname "$0")/../.."
# A target directory of its own: the flag would rebuild all others.
: "${CARGO_TARGET_DIR:=target}"
export CARGO_TARGET_DIR="$CARGO_TARGET_DIR/loom"
export RUSTFLAGS="--cfg loom ${RUSTFLAGS:-}"
exec cargo test -p vpool-commit --lib -- "$@"
