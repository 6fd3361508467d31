#!/bin/sh
# Everything about a GPU in one go: facts, ceilings, every operation beside the CPU's results, sanitizers, speeds, PyTorch beside.
# Needs no cargo: EDGEZERO names the program, else one beside this script or in target/release is taken. Results go to
# gpu-check.json and gpu-check.txt in the folder it is called from. Options are those of `edgezero bench gpu`, such as --gpus 1.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
program="${EDGEZERO:-}"
for place in "$here/edgezero" "$here/../target/release/edgezero"; do
    if [ -z "$program" ] && [ -x "$place" ]; then program=$place; fi
done
[ -n "$program" ] || { echo "gpu_check: no edgezero beside this script; try: EDGEZERO=/path/edgezero $0" >&2; exit 1; }
table=gpu-check.txt
json=gpu-check.json

status=0
"$program" --version | tee "$table"
"$program" bench gpu --json "$@" >"$json.part" || status=$?
[ -s "$json.part" ] || exit "$status"
mv "$json.part" "$json"

if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck; do
        echo "compute-sanitizer, $tool" | tee -a "$table"
        timeout 120 compute-sanitizer --tool "$tool" --error-exitcode 9 "$program" bench gpu --task cases "$@" >"$tool.log" 2>&1 && said=clean || said="not clean, see $tool.log"
        tail -n 1 "$tool.log" | tee -a "$table"
        [ "$said" = clean ] || { echo "$tool: $said" | tee -a "$table"; status=1; }
    done
else
    echo "left out: compute-sanitizer is not installed" | tee -a "$table"
fi

peer="$here/../benches/peers/gpu.py"
[ -f "$peer" ] || peer="$here/gpu.py"
if python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null && [ -f "$peer" ]; then
    # it needs net.py and step.py beside it
    timeout 300 python3 "$peer" "$json" | tee -a "$table" || echo "PyTorch did not come to an end" | tee -a "$table"
else
    echo "left out: PyTorch with CUDA is not installed" | tee -a "$table"
fi
python3 - "$json" <<'PY' 2>/dev/null | tee -a "$table" || true
import json, sys
r = json.load(open(sys.argv[1]))
bad = [c for c in r["cases"] if c["failed"] or c["worst"] > c["allowed"]]
print(f"{r['device']['name']}, CUDA {r['driver']}: {len(r['cases']) - len(bad)} of {len(r['cases'])} cases as on the CPU")
for s in r["speeds"]:
    print(f"{s['task']:5} {s['net']:8} {s['board']}x{s['board']} batch {s['batch']:5} {s['precision']:5} {s['positions_per_second']:10.0f} positions/s {100 * s['share_of_peak']:5.1f} % of the ceiling")
for t in r["ops"]:
    for o in t["rows"]:
        floor = o["microseconds"] * o["share_of_roofline"]
        print(f"{t['precision']:5} {o['name']:44} {o['microseconds']:10.1f} us, floor {floor:8.1f} us ({o['bound']})")
PY
echo "results: $json, $table"
exit "$status"
