#!/bin/sh
# Builds every fuzz target and runs each for a time; fails on the first crash.
#
#   tests/fuzz/run.sh [seconds each, 30] [target …]
#
# A crash is kept, and its path said, under $VPOOL_FUZZ_DIR (default: the build's target
# directory). Coverage comes from LLVM's own pass, so that the stable toolchain does; there is
# no address sanitizer, since what is fuzzed has no unsafe code.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
seconds=${1:-30}
case $seconds in
'' | *[!0-9]*) echo "run.sh: seconds, then targets; not '$seconds'" >&2; exit 2 ;;
esac
[ $# -gt 0 ] && shift

target_dir=${CARGO_TARGET_DIR:-$here/target}
triple=$(rustc -vV | sed -n 's/^host: //p')
work=${VPOOL_FUZZ_DIR:-$target_dir/fuzz}

# With --target the flags reach neither build scripts nor procedural macros.
RUSTFLAGS="-Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares \
-Ccodegen-units=1 --cfg fuzzing ${RUSTFLAGS:-}" \
    cargo build --release --locked --manifest-path "$here/Cargo.toml" --target "$triple" \
    --target-dir "$target_dir"

if [ $# -eq 0 ]; then
    for source in "$here"/src/bin/*.rs; do
        set -- "$@" "$(basename "$source" .rs)"
    done
fi

for target in "$@"; do
    corpus=$work/corpus/$target
    crashes=$work/crashes/$target
    mkdir -p "$corpus" "$crashes"
    echo "fuzz: $target, $seconds s"
    # Seeds: the target's own, else the golden files; it keeps those that it learns from.
    seeds=$here/seeds/$target
    [ -d "$seeds" ] || seeds=$here/../../router/format/golden
    if ! "$target_dir/$triple/release/$target" "$corpus" "$seeds" \
        -max_total_time="$seconds" -rss_limit_mb=512 -timeout=10 -max_len=8192 \
        -use_value_profile=1 -print_final_stats=1 -artifact_prefix="$crashes/" \
        >"$work/$target.log" 2>&1; then
        tail -n 40 "$work/$target.log" >&2
        echo "fuzz: $target failed; log $work/$target.log, input under $crashes" >&2
        exit 1
    fi
    grep -E 'number_of_executed_units|peak_rss_mb' "$work/$target.log"
done
