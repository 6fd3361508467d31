"""PyTorch on the GPU beside our own speeds: reads the JSON of `edgezero bench gpu --json`, measures the same cases, prints both.

  gpu.py REPORT.json [SECONDS]

Training: bf16 autocast, channels last, compiled, captured graphs (torch.compile's reduce-overhead), and the same without
compiling; the faster counts. Evaluations: half precision, the same ways."""
import json
import sys
import time

import torch
import torch.nn.functional as F

import net as ours

WAYS = {"eager": {}, "compiled": {"mode": "max-autotune-no-cudagraphs"}, "graphs": {"mode": "reduce-overhead"}}


def inputs(batch, board):
    planes = (torch.rand(batch, ours.PLANES, board, board, device="cuda") < 0.33).float()
    planes[:, 0] = 1
    return planes.to(memory_format=torch.channels_last), torch.zeros(batch, ours.GLOBALS, device="cuda")


def trainer(model, way, batch, board):
    planes, glob = inputs(batch, board)
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, nesterov=True, weight_decay=1e-4, fused=True)
    run = model if way == "eager" else torch.compile(model, **WAYS[way])
    target = torch.full((batch,), 5, device="cuda")
    owner = torch.full((batch, board * board), 0.5, device="cuda")
    score = torch.full((batch,), 0.05, device="cuda")

    def step():
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cuda", dtype=torch.bfloat16):
            p, v, s, o = (t.float() for t in run(planes, glob))
        error = s[:, 0] - score
        spread = F.softplus(s[:, 1]) - 1.2533 * error.detach().abs()
        zeros = torch.zeros_like(score)
        loss = F.cross_entropy(p, target) + F.cross_entropy(v, torch.zeros_like(target))
        loss = loss + 0.2 * (F.huber_loss(s[:, 0], score) + F.huber_loss(spread, zeros) + F.huber_loss(s[:, 2], score))
        loss = loss + 0.3 * F.binary_cross_entropy_with_logits(2 * o, owner)
        loss.backward()
        optimiser.step()

    return step


def inferrer(model, way, batch, board):
    planes, glob = inputs(batch, board)
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
