#!/bin/sh
# Plays the tests of each run again with seeds that were never played, many more of them, and adds
# what they find to tests/reports/*.json.
#
#     tests/soak.sh [STAGE...]     crash, trouble, nonces, clients, package; all without an argument
#
# VPOOL_SEEDS (20000) crash seeds of each kind, VPOOL_TIMES (20) times the usual number of all
# other simulated cases, VPOOL_CYCLES (200) kills of each kind; VPOOL_GUEST_KILLS (50),
# VPOOL_FS_KILLS (100), VPOOL_FAULT_SECONDS (15) and VPOOL_VERIFY_SECONDS (600) of real clients, and
# VPOOL_IMAGE_MIB (4096) of an image and VPOOL_OPENAPI_EXAMPLES (300) of each request.
set -eu
cd "$(dirname "$0")/.."

SEEDS=${VPOOL_SEEDS:-20000}
TIMES=${VPOOL_TIMES:-20}
CYCLES=${VPOOL_CYCLES:-200}
unset VPOOL_SEEDS VPOOL_TIMES VPOOL_CYCLES
export VPOOL_REPORTS=1
[ $# -gt 0 ] || set -- crash trouble nonces clients package

# What is summed must be other seeds each time: a range of its own for each second.
VPOOL_SEED=${VPOOL_SEED:-$(($(date +%s) * 1000000))}
export VPOOL_SEED
echo "seeds from $VPOOL_SEED on"

# The tests of the simulated world that draw from seeds.
DRAWN='test(/::t[0-9]+_/) | test(/::p4_/) | test(bytes_of_any_alignment) | test(stale_listings)'
FIXED='test(/every_end|t31_|t8_|t5_a_stream_record/)'

CLIENTS='binary(kill) | binary(guest) | binary(filesystems) | binary(backend) | binary(verify) | binary(canary) | binary(images) | test(schemathesis)'

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
    clients)
        cargo build --locked --workspace
        VPOOL_CYCLES=$CYCLES VPOOL_GUEST_KILLS=${VPOOL_GUEST_KILLS:-50} \
            VPOOL_FS_KILLS=${VPOOL_FS_KILLS:-100} VPOOL_FAULT_SECONDS=${VPOOL_FAULT_SECONDS:-15} \
            VPOOL_VERIFY_SECONDS=${VPOOL_VERIFY_SECONDS:-600} VPOOL_IMAGE_MIB=${VPOOL_IMAGE_MIB:-4096} \
            VPOOL_OPENAPI_EXAMPLES=${VPOOL_OPENAPI_EXAMPLES:-300} \
            nice -n 10 cargo nextest run --locked --profile soak --workspace --no-fail-fast \
            -E "package(vpool-tests) & ($CLIENTS)"
        ;;
    # The Debian package, installed and removed on a copy of this system.
    package) tests/package.sh ;;
    *) echo "no such stage: $stage" >&2; exit 2 ;;
    esac
done
