#!/usr/bin/env bash
# All tests, then one line with their sum. The exit code is that of the tests.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

scripts/need_gnugo.sh
scripts/need_sshd.sh
data="${EDGEZERO_DATA:-../shared}"
[ -d "$data" ] || echo "skipped: tests on reference data, there is no folder $data (EDGEZERO_DATA names another one)"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
cargo test --locked --no-fail-fast "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}
# With arguments somebody wants some tests, here.
if [ $# = 0 ]; then
    scripts/test_aarch64.sh 2>&1 | tee -a "$log"
    [ "${PIPESTATUS[0]}" = 0 ] || status=1
fi
awk '/^test result:/ { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i - 1); if ($i ~ /^failed/) f += $(i - 1) } }
     END { printf "%d passed, %d failed\n", p, f }' "$log"
exit "$status"
