#!/bin/sh
# T31: more than a million seals over crashes, restarts and encrypted disks, and no (key, nonce)
# twice. Built as in planted.sh, so that the engine is not built once more for it.
set -eu
cd "$(dirname "$0")/.."
cargo test --quiet --locked --workspace --test engine \
    --features vpool-engine/planted,vpool-engine/audit -- \
    --exact nonces::t31_no_key_and_nonce_seal_twice --nocapture
