#!/usr/bin/env bash
# Names what the last `cargo nextest run` left out because something is not installed here. With
# CI=true such tests fail instead.
set -euo pipefail
# nextest keeps it in the checkout, wherever cargo builds.
report=$(dirname "$0")/../target/nextest/default/junit.xml
[ -f "$report" ] || exit 0
reasons=$(grep -o 'SKIPPED: [^<]*' "$report" | sort | uniq -c || true)
[ -z "$reasons" ] || printf 'left out (how many tests, why):\n%s\n' "$reasons"
