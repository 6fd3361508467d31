#!/bin/sh
# Kills conversions at random moments and looks at what they leave. Usage: scripts/kill_loop.sh [KILLS]
set -eu
cd "$(dirname "$0")/.."
scripts/need_cargo.sh
# In memory where there is such a folder: a kill asks nothing of the disk, and a thousand are over in minutes.
[ -n "${TMPDIR:-}" ] || { [ -w /dev/shm ] && export TMPDIR=/dev/shm; }
EDGEZERO_KILLS="${1:-1000}" cargo test --test convert_kill -- --nocapture
