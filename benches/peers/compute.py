#!/usr/bin/env python3
"""Training and inference on the CPU beside PyTorch, ONNX Runtime and OpenVINO: same net, same inputs, same threads.

  benches/peers/compute.sh [--cases train:b6c64:19:64,infer:b6c96:19:8] [--repeats 5] [--seconds 3] [--threads 2] [--json FILE]

For every case all contenders are set up first; then each runs one window in turn, --repeats times over. Printed are
medians, the spread of the windows, and ours divided by each peer's. Run it on a machine that does nothing else."""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TRAIN = ["torch", "torch-cl", "torch-compile", "torch-bf16"]
INFER = ["torch-cl", "torch-compile", "ort", "openvino", "openvino-bf16"]
CASES = "train:b6c64:19:64,train:b6c64:19:256,train:b6c96:19:64,train:b6c96:19:256,train:b4c32:9:64,train:b4c32:9:256,"
CASES += "infer:b6c96:19:1,infer:b6c96:19:8,infer:b6c96:19:64,infer:b4c32:9:1,infer:b4c32:9:8,infer:b4c32:9:64"
DATA = os.environ.get("EDGEZERO_DATA", os.path.join(HERE, "../../../shared"))
KATAGO_NET = os.path.join(DATA, "katago/g170-b6c96-s175395328-d26788732.bin.gz")
# KataGo 1.17 Eigen (AVX2), two threads, evaluations a second, on a machine of another make
KATAGO_SEEN = {"9": 575, "19": 256}


class Peer:
    """A process of worker.py."""

    def __init__(self, kind, case, threads):
        task, net, board, batch = case
        command = [sys.executable, os.path.join(HERE, "worker.py"), kind, task, net, board, batch, str(threads)]
        self.errors = open(os.path.join(LOGS, "-".join([kind, *case]) + ".log"), "w")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)

    def answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def window(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def ours(binary, case, threads, seconds):
    task, net, board, batch = case
    command = [binary, "--threads", str(threads), "bench", "compute", "--task", task, "--net", net, "--board", board]
    command += ["--batch", batch, "--seconds", str(seconds), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout)["cases"][0]


def measure(case, args):
    peers = {}
    for kind in TRAIN if case[0] == "train" else INFER:
        peer = Peer(kind, case, args.threads)
        if peer.answer() is None:
            print(f"  {kind}: did not start, see {peer.errors.name}", file=sys.stderr)
            continue
        peers[kind] = peer
    runs = {kind: [] for kind in ["edgezero", *peers]}
    for _ in range(args.repeats):
        runs["edgezero"].append(ours(args.binary, case, args.threads, args.seconds))
        for kind, peer in peers.items():
            runs[kind].append(peer.window(args.seconds))
    for peer in peers.values():
        peer.close()
    return runs


def report(case, runs):
    task, net, board, batch = case
    print(f"\n{task} {net} {board}x{board} batch {batch}")
    print(f"  {'':16} {'positions/s':>12} {'lowest':>9} {'highest':>9} {'peak MiB':>9} {'ours / it':>10}")
    rows = []
    base = statistics.median(r["positions_per_second"] for r in runs["edgezero"])
    for kind, windows in runs.items():
        rates = [w["positions_per_second"] for w in windows]
        median, peak = statistics.median(rates), max(w["peak_mib"] for w in windows)
        ratio = "" if kind == "edgezero" else f"{base / median:9.2f}x"
        print(f"  {kind:16} {median:12.0f} {min(rates):9.0f} {max(rates):9.0f} {peak:9.0f} {ratio:>10}")
        rows.append({"kind": kind, "positions_per_second": median, "lowest": min(rates), "highest": max(rates), "peak_mib": peak})
    sys.stdout.flush()
    return {"task": task, "net": net, "board": int(board), "batch": int(batch), "rows": rows}


def katago(board, args):
    """Evaluations a second of KataGo's own net, the same number of threads; batches as its search makes them are small."""
    rates = {"katago (published)": KATAGO_SEEN[board]}
    runs = [ours(args.binary, ("infer", args.katago_net, board, "8"), args.threads, args.seconds) for _ in range(args.repeats)]
    if args.katago:
        command = [args.katago, "benchmark", "-model", args.katago_net, "-boardsize", board, "-visits", "200"]
        command += ["-threads", str(args.threads), "-override-config", f"numSearchThreads={args.threads}"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rates = {"katago": float(re.findall(r"nnEvals/s = ([0-9.]+)", said)[-1])}
    base = statistics.median(r["positions_per_second"] for r in runs)
    print(f"\nKataGo's b6c96 {board}x{board}, batch 8\n  edgezero {base:.0f} evaluations/s")
    for kind, rate in rates.items():
        print(f"  {kind} {rate:.0f} evaluations/s, ours / it {base / rate:.2f}x")
    return {"task": "katago", "board": int(board), "edgezero": base, **rates}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=CASES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--binary", default=os.path.join(HERE, "../../target/release/edgezero"))
    parser.add_argument("--json")
    parser.add_argument("--katago", help="path of KataGo's Eigen binary; without it, its published figures stand beside ours")
    parser.add_argument("--katago-net", default=KATAGO_NET)
    args = parser.parse_args()
    done = []
    for case in args.cases.split(","):
        case = case.split(":")
        done.append(report(case, measure(case, args)))
    if os.path.exists(args.katago_net):
        done += [katago(board, args) for board in ("9", "19")]
    if args.json:
        with open(args.json, "w") as f:
            json.dump(done, f, indent=1)


if __name__ == "__main__":
    LOGS = os.environ.get("EDGEZERO_PEER_LOGS", os.path.join(tempfile.gettempdir(), "edgezero-peers"))
    os.makedirs(LOGS, exist_ok=True)
    main()
