"""One peer on one case: sets up, warms up, then runs a window for every line on standard input.

  worker.py KIND TASK NET BOARD BATCH THREADS
  KIND: torch, torch-cl (channels last), torch-compile, torch-bf16, torch-bf16-compile, ort, openvino, openvino-bf16
  TASK: train, infer

A line holds the seconds of a window; the answer is one JSON line: positions a second, peak memory in MiB."""
import json
import os
import resource
import sys
import time

kind, task, name, board, batch, threads = sys.argv[1:4] + [int(a) for a in sys.argv[4:7]]
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
os.environ["KMP_BLOCKTIME"] = "1"

import torch

import net as ours
from step import inputs
from step import trainer as make_trainer

torch.set_num_threads(threads)
model = ours.preset(name)
channels_last = "cl" in kind or "compile" in kind or "bf16" in kind
layout = torch.channels_last if channels_last else torch.contiguous_format
model = model.to(memory_format=layout)
planes, glob = inputs(batch, board, memory_format=layout)


def autocast():
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled="bf16" in kind)


def trainer():
    run = torch.compile(model) if "compile" in kind else model
    return make_trainer(model, run, planes, glob, autocast)


def inferrer():
    model.eval()
    if kind.startswith("torch"):
        run = torch.compile(model) if "compile" in kind else model

        def step():
            with torch.inference_mode(), autocast():
                run(planes, glob)

        return step
    import tempfile

    path = os.path.join(tempfile.mkdtemp(), "net.onnx")
    plain = planes.contiguous()
    torch.onnx.export(model, (plain, glob), path, input_names=["planes", "globals"], dynamo=True, external_data=False, verbose=False)
    feed = {"planes": plain.numpy(), "globals": glob.numpy()}
    if kind == "ort":
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, feed)
    import openvino as ov

    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    hints["INFERENCE_PRECISION_HINT"] = "bf16" if "bf16" in kind else "f32"
    core = ov.Core()
    request = core.compile_model(core.read_model(path), "CPU", hints).create_infer_request()
    return lambda: request.infer(feed)


def main():
    step = trainer() if task == "train" else inferrer()
    for _ in range(3):
        step()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        seconds, calls = float(line), 0
        step()
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            step()
            calls += 1
        rate = calls * batch / (time.perf_counter() - started)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"positions_per_second": rate, "peak_mib": peak}), flush=True)


if __name__ == "__main__":
    # what exporters and compilers print goes to stderr; stdout carries answers only
    answers = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(answers, "w")
    main()
