#!/usr/bin/env bash
# All tests, then one line with their sum. The exit code is that of the tests.
set -uo pipefail
cd "$(dirname "$0")/.."

scripts/need_gnugo.sh
data="${EDGEZERO_DATA:-../shared}"
[ -d "$data" ] || echo "skipped: tests on reference data, there is no folder $data (EDGEZERO_DATA names another one)"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test --locked --no-fail-fast "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
awk '/^test result:/ { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i - 1); if ($i ~ /^failed/) f += $(i - 1) } }
     END { printf "%d passed, %d failed\n", p, f }' "$log"
exit "$status"
