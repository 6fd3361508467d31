#!/usr/bin/env bash
# Trains the same net twice, once undisturbed and once killed (SIGKILL) at random moments and gone on with, and compares the bytes.
# Usage: scripts/soak.sh [MINUTES] [EPOCHS]    about so long, 30 without a number; EPOCHS instead of measuring how many fit
# EDGEZERO names the program (target/release/edgezero), so the script also runs on a board, where there is no cargo.
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=${1:-30}
epochs=${2:-}
work=$(mktemp -d "${TMPDIR:-/tmp}/edgezero-soak.XXXXXX")
# A copy: a build meanwhile must not change what is being tested.
cp "${EDGEZERO:-target/release/edgezero}" "$work/edgezero"

running=
trap '[ -z "$running" ] || kill -9 $running 2>/dev/null || true' EXIT

calculate() { awk "BEGIN { srand(); print $1 }"; }

# A small net on the small corpus with a checkpoint every few seconds; everything else as on a PC.
"$work/edgezero" profiles show desktop | sed -E \
    -e 's/^(net) *=.*/\1 = "b2c16"/' -e 's/^(board_size) *=.*/\1 = 9/' -e 's/^(warmup_steps) *=.*/\1 = 20/' \
    -e '/^\[train\]/,/^\[/s/^(batch_size) *=.*/\1 = 64/' -e 's/^(checkpoint_steps) *=.*/\1 = 150/' >"$work/soak.toml"
"$work/edgezero" convert tests/data/small9 --out "$work/shards" >/dev/null 2>&1

# One thread, so that both runs have a core of their own.
train() { # NAME OPTION...
    local name=$1
    shift
    exec "$work/edgezero" --threads 1 --profile "$work/soak.toml" train --shards "$work/shards" --out "$work/$name" "$@" >>"$work/$name.log" 2>&1
}

if [ -z "$epochs" ]; then
    (train measured --minutes 0.2)
    rate=$(sed -nE 's/.*\(([0-9]+) positions\/s\).*/\1/p' "$work/measured.log")
    positions=$(sed -nE 's/.* positions=([0-9]+) .*/\1/p' "$work/measured.log" | head -1)
    epochs=$(calculate "int(0.9 * $minutes * 60 * $rate / $positions) + 1")
    rm -r "$work/measured"
fi
echo "soak: minutes=$minutes epochs=$epochs folder=$work"

# Waited for by its id, as every run here.
(train whole --epochs "$epochs") &
whole=$!
running=$whole

kills=0
before=
patience=1
begun=$SECONDS
latest_step() { find "$work/killed" -name 'checkpoint-*.safetensors' 2>/dev/null | sed -E 's/.*checkpoint-0*([0-9]*)\..*/\1/' | sort -n | tail -1; }
while :; do
    (train killed --epochs "$epochs" --resume) &
    run=$!
    running="$whole $run"
    # 10 to 110 seconds; in a short soak as many kills in the same shape.
    wait_s=$(calculate "$patience * (0.17 + 1.66 * rand()) * ($minutes < 6 ? 10 * $minutes : 60)")
    (sleep "$wait_s" && kill -9 $run) 2>/dev/null &
    killer=$!
    status=0
    { wait $run || status=$?; } 2>/dev/null
    { kill $killer && wait $killer || true; } 2>/dev/null
    [ $status -ne 0 ] || break
    if [ $status -ne 137 ]; then
        echo "soak: FAILED: a run ended with $status, see $work/killed.log" >&2
        exit 1
    fi
    kills=$((kills + 1))
    step=$(latest_step)
    echo "kill $kills: after ${wait_s} s, checkpoint at step ${step:-none}, $((SECONDS - begun)) s since the start"
    # A machine too slow for a checkpoint in that time is given more.
    [ "$step" != "$before" ] || patience=$((patience * 2))
    before=$step
done
running=$whole
status=0
wait $whole || status=$?
running=
if [ $status -ne 0 ]; then
    echo "soak: FAILED: the undisturbed run ended with $status, see $work/whole.log" >&2
    exit 1
fi

# What a run determines: checkpoints and nets. Both folders hold the same names, so no kill left anything behind; what tells of
# speed differs.
for name in whole killed; do
    (cd "$work/$name" && find . -type f ! -name metrics.jsonl ! -name 'events.out.*' ! -name '*.log' | sort | xargs sha256sum) >"$work/$name.sums"
done
if ! diff "$work/whole.sums" "$work/killed.sums"; then
    echo "soak: FAILED: the folders differ, see $work" >&2
    exit 1
fi
echo "soak: passed: kills=$kills steps=$(latest_step) seconds=$((SECONDS - begun)), checkpoints and nets are the same bytes"
rm -r "$work"
