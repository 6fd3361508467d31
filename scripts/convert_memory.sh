#!/bin/sh
# Peak memory of converting all of pro19 once and ten times over, under the nano profile. Usage: scripts/convert_memory.sh
set -eu
cd "$(dirname "$0")/.."
scripts/need_cargo.sh
EDGEZERO_ALL=1 cargo test --test convert_memory -- --nocapture
