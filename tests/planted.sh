#!/bin/sh
# Plants each known bug in turn and runs the test that is meant to find it.
#
# Prints bug, test and seed; succeeds only if every bug is caught within 500 seeds, the same test
# finds nothing on the same seeds when no bug is planted, and a release build with the feature is
# refused.
#
#     tests/planted.sh             all
#     tests/planted.sh BUG...      only these
set -eu
cd "$(dirname "$0")/.."

SEEDS=${VPOOL_SEEDS:-500}
LIMIT=${LIMIT:-600}
LOG=$(mktemp)
# A file, not a pipe, so that the counts outlive the loop.
LIST=$(mktemp)
trap 'rm -f "$LOG" "$LIST"' EXIT
# What is found here is no violation of the reports.
unset VPOOL_REPORTS VPOOL_TIMES

# bug and test (of the engine's test program): one line each.
BUGS='
sync-skipped                 crash::every_end_leaves_a_prefix
names-without-epoch          crash::every_end_leaves_a_prefix
trim-past-frontier           trouble::slow::t2_a_small_journal_over_a_slow_store_loses_nothing
cut-at-first-bad             trouble::rot::t4_rot_in_flushed_records_is_damage_until_the_loss_is_accepted
damage-as-zeroes             trouble::rot::t4_rot_in_the_journal_is_an_error_never_other_bytes
overlaps-out-of-order        trouble::shapes::bytes_of_any_alignment_on_disks_of_any_size
flush-covers-one-connection  trouble::connections::t2_a_flush_covers_every_connection
'

# The engine's tests with features of the self-tests. As part of the workspace, so that only the
# crates above the formats are built again; with the same features as the nonces' test, so that
# this is done once.
engine_tests() {
    cargo test --quiet --locked --workspace --test engine \
        --features vpool-engine/planted,vpool-engine/audit "$@"
}

# Runs a test with a bug (or with none) on the first N seeds; the output goes to $LOG.
play() { # bug test seeds
    VPOOL_PLANTED=$1 VPOOL_SEED=1 VPOOL_SEEDS=$3 RUST_BACKTRACE=0
    export VPOOL_PLANTED VPOOL_SEED VPOOL_SEEDS RUST_BACKTRACE
    timeout "$LIMIT" "$PROGRAM" --exact "$2" --nocapture --test-threads=1 >"$LOG" 2>&1
}

# The seed that was played last, as the test printed it.
last_seed() {
    sed -n 's/.*seed \([0-9][0-9]*\)$/\1/p' "$LOG" | tail -n 1
}

# All, or those asked for.
echo "$BUGS" | awk -v asked="$*" '
    BEGIN { count = split(asked, names); for (i = 1; i <= count; i++) wanted[names[i]] = 1 }
    NF && (count == 0 || $1 in wanted) { print; found++ }
    END { exit count != 0 && found != count }' >"$LIST" || {
    echo "not all of these are bugs that can be planted: $*" >&2
    exit 2
}

# Every build with the feature has it in the formats' crate, which refuses it in a release.
if cargo check --quiet --locked --release -p vpool-format --features planted >"$LOG" 2>&1; then
    echo "a release build takes the feature \`planted\`" >&2
    exit 1
elif ! grep -q 'never in a release build' "$LOG"; then
    cat "$LOG" >&2
    exit 1
fi
echo "a release build with planted bugs is refused"

engine_tests --no-run
PROGRAM=$(engine_tests --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
cd router/engine

missed=0
count=0
printf '%-28s %-8s %-6s %s\n' BUG CAUGHT SEED TEST
while read -r bug test <&3; do
    count=$((count + 1))
    caught=no
    why=
    status=0
    play "$bug" "$test" "$SEEDS" || status=$?
    seed=$(last_seed)
    # 101: the test failed. Anything else (124: too long) is no catch.
    if [ "$status" = 101 ] && [ -n "$seed" ]; then
        caught=yes
        why=$(grep -a -A 1 'panicked at' "$LOG" | sed -n 2p | cut -c 1-160)
        # Not by luck: without the bug the same seeds are clean.
        if ! play none "$test" "$seed"; then
            caught=luck
            why="the test fails on these seeds without the bug too"
        elif ! grep -q '^test result: ok. 1 passed' "$LOG"; then
            caught=luck
            why="without the bug no test was run"
        fi
    else
        why="status $status after seed ${seed:-none}: $(tail -n 1 "$LOG")"
    fi
    printf '%-28s %-8s %-6s %s\n' "$bug" "$caught" "${seed:--}" "$test"
    printf '    %s\n' "$why"
    [ "$caught" = yes ] || missed=$((missed + 1))
done 3<"$LIST"

echo "$((count - missed)) of $count planted bugs caught"
[ "$missed" = 0 ]
