#!/bin/sh
# Plays the tests of each run again with seeds that were never played, many more of them, and adds
# what they find to tests/reports/*.json.
#
#     tests/soak.sh [STAGE...]     crash, trouble, nonces, kill; all of them without an argument
#
# VPOOL_SEEDS (20000) crash seeds of each kind, VPOOL_TIMES (20) times the usual number of all
# other simulated cases, VPOOL_CYCLES (200) kills of each kind.
set -eu
cd "$(dirname "$0")/.."

SEEDS=${VPOOL_SEEDS:-20000}
TIMES=${VPOOL_TIMES:-20}
CYCLES=${VPOOL_CYCLES:-200}
unset VPOOL_SEEDS VPOOL_TIMES VPOOL_CYCLES
export VPOOL_REPORTS=1
[ $# -gt 0 ] || set -- crash trouble nonces kill

# What is summed must be other seeds each time: a range of its own for each second.
VPOOL_SEED=${VPOOL_SEED:-$(($(date +%s) * 1000000))}
export VPOOL_SEED
echo "seeds from $VPOOL_SEED on"

# The tests of the simulated world that draw from seeds.
DRAWN='test(/::t[0-9]+_/) | test(/::p4_/) | test(bytes_of_any_alignment) | test(stale_listings)'
FIXED='test(/every_end|t31_|t8_|t5_a_stream_record/)'

# As in planted.sh, so that the engine is not built once more.
engine() {
    nice -n 10 cargo nextest run --locked --profile soak --workspace --test engine \
        --features vpool-engine/planted,vpool-engine/audit "$@"
}

for stage in "$@"; do
    case $stage in
    crash) VPOOL_SEEDS=$SEEDS engine -E 'test(every_end)' ;;
    trouble) VPOOL_TIMES=$TIMES engine -E "($DRAWN) - ($FIXED)" ;;
    # Ten to the seventh.
    nonces) VPOOL_TIMES=10 engine -E 'test(t31_)' ;;
    kill)
        cargo build --locked --workspace
        VPOOL_CYCLES=$CYCLES nice -n 10 cargo nextest run --locked --profile soak --workspace --test kill
        ;;
    *) echo "no such stage: $stage" >&2; exit 2 ;;
    esac
done
