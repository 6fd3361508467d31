"""PyTorch on the GPU beside our own speeds: reads the JSON of `edgezero bench gpu --json`, measures the same cases, prints both.

  gpu.py REPORT.json [SECONDS]

Training: bf16 autocast, channels last, compiled, captured graphs (torch.compile's reduce-overhead), and the same without
compiling; the faster counts. Evaluations: half precision, the same ways."""
import json
import sys
import time

import torch

import net as ours
from step import inputs
from step import trainer as make_trainer

WAYS = {"eager": {}, "compiled": {"mode": "max-autotune-no-cudagraphs"}, "graphs": {"mode": "reduce-overhead"}}


def trainer(model, way, batch, board):
    planes, glob = inputs(batch, board, "cuda", torch.channels_last)
    run = model if way == "eager" else torch.compile(model, **WAYS[way])
    return make_trainer(model, run, planes, glob, lambda: torch.autocast("cuda", dtype=torch.bfloat16), fused=True)


def inferrer(model, way, batch, board):
    planes, glob = inputs(batch, board, "cuda", torch.channels_last)
    model = model.eval().half()
    planes, glob = planes.half(), glob.half()
    run = model if way == "eager" else torch.compile(model, **WAYS[way])

    def step():
        with torch.inference_mode():
            # as a search waits for its answers
            [t.cpu() for t in run(planes, glob)]

    return step


def rate(step, batch, seconds):
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step()
        calls += 1
        if calls % 8 == 0:
            torch.cuda.synchronize()
    torch.cuda.synchronize()
    return calls * batch / (time.perf_counter() - started)


def main():
    report = json.load(open(sys.argv[1]))
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}", file=sys.stderr)
    rows = []
    for speed in report["speeds"]:
        if speed["precision"] == "f32":
            continue
        task, name, board, batch = (speed[k] for k in ("task", "net", "board", "batch"))
        found = {}
        for way in WAYS:
            try:
                model = ours.preset(name).cuda().to(memory_format=torch.channels_last)
                make = trainer if task == "train" else inferrer
                found[way] = rate(make(model, way, batch, board), batch, seconds)
            except Exception as e:
                print(f"{task} {name} batch {batch} {way}: {str(e).splitlines()[0]}", file=sys.stderr)
            torch._dynamo.reset()
            torch.cuda.empty_cache()
        if found:
            best = max(found, key=found.get)
            own = speed["positions_per_second"]
            rows.append({**{k: speed[k] for k in ("task", "net", "board", "batch", "precision")}, "ours": own, "torch": found[best], "way": best})
            print(f"{task:5} {name:8} {board}x{board} batch {batch:5}: {own:10.0f} beside {found[best]:10.0f} positions/s ({best}): {own / found[best]:.2f}x")
    report["torch"] = {"version": torch.__version__, "rows": rows}
    json.dump(report, open(sys.argv[1], "w"))


if __name__ == "__main__":
    main()
