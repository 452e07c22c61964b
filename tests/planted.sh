#!/bin/sh
# Plants each known bug in turn and runs the test that is meant to find it.
#
# Prints bug, test and seed; succeeds only if every bug is caught within 500 seeds, and the same
# test finds nothing on the same seeds when no bug is planted.
#
#     tests/planted.sh             all
#     tests/planted.sh BUG...      only these
#
# The feature `planted` is refused in release builds.
set -eu
cd "$(dirname "$0")/.."

SEEDS=${VPOOL_SEEDS:-500}
LIMIT=${LIMIT:-600}
LOG=$(mktemp)
# A file, not a pipe, so that the counts outlive the loop.
LIST=$(mktemp)
trap 'rm -f "$LOG" "$LIST"' EXIT

# bug, package, test program, test: one line each.
BUGS='
sync-skipped         vpool-engine engine crash::every_end_leaves_a_prefix
names-without-epoch  vpool-engine engine crash::every_end_leaves_a_prefix
trim-past-frontier   vpool-engine engine trouble::slow::t2_a_small_journal_over_a_slow_store_loses_nothing
cut-at-first-bad     vpool-engine engine trouble::rot::t4_rot_in_flushed_records_is_damage_until_the_loss_is_accepted
damage-as-zeroes     vpool-engine engine trouble::rot::t4_rot_in_the_journal_is_an_error_never_other_bytes
'

# Runs a test with a bug (or with none) on the first N seeds; the output goes to $LOG.
play() { # bug package program test seeds
    VPOOL_PLANTED=$1 VPOOL_SEED=1 VPOOL_SEEDS=$5 RUST_BACKTRACE=0 timeout "$LIMIT" \
        cargo test --quiet --locked -p "$2" --features planted --test "$3" -- \
        --exact "$4" --include-ignored --nocapture --test-threads=1 >"$LOG" 2>&1
}

# The seed that was played last, as the test printed it.
last_seed() {
    sed -n 's/.*seed \([0-9][0-9]*\)$/\1/p' "$LOG" | tail -n 1
}

# All, or those asked for.
echo "$BUGS" | awk -v asked="$*" '
    BEGIN { count = split(asked, names); for (i = 1; i <= count; i++) wanted[names[i]] = 1 }
    NF && (count == 0 || $1 in wanted)' >"$LIST"
if [ ! -s "$LIST" ]; then
    echo "no such bug: $*" >&2
    exit 2
fi

awk '{ print $2, $3 }' "$LIST" | sort -u | while read -r package program; do
    cargo test --locked -p "$package" --features planted --test "$program" --no-run
done

missed=0
count=0
printf '%-20s %-8s %-6s %s\n' BUG CAUGHT SEED TEST
while read -r bug package program test <&3; do
    count=$((count + 1))
    caught=no
    why=
    status=0
    play "$bug" "$package" "$program" "$test" "$SEEDS" || status=$?
    seed=$(last_seed)
    # 101: the test failed. Anything else (124: too long) is no catch.
    if [ "$status" = 101 ] && [ -n "$seed" ]; then
        caught=yes
        why=$(grep -a -A 1 'panicked at' "$LOG" | sed -n 2p | cut -c 1-160)
        # Not by luck: without the bug the same seeds are clean.
        if ! play none "$package" "$program" "$test" "$seed"; then
            caught=luck
            why="the test fails on these seeds without the bug too"
        fi
    else
        why="status $status after seed ${seed:-none}: $(tail -n 1 "$LOG")"
    fi
    printf '%-20s %-8s %-6s %s\n' "$bug" "$caught" "${seed:--}" "$test"
    printf '    %s\n' "$why"
    [ "$caught" = yes ] || missed=$((missed + 1))
done 3<"$LIST"

echo "$((count - missed)) of $count planted bugs caught"
[ "$missed" = 0 ]
