#!/usr/bin/env python3
"""Reads a run's event files with TensorBoard's own reader and holds them beside metrics.jsonl.
Usage: scripts/check_events.py RUN    (needs the package tensorboard)"""
import glob, json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = sys.argv[1]
lines = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
events = EventAccumulator(run, size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
tags = events.Tags()["scalars"]
compared = 0
for kind in ("train", "validation"):
    for key in ("loss", "policy_loss", "policy_top1", "value_accuracy"):
        expected = {line["step"]: line[key] for line in lines if line["kind"] == kind}
        found = {event.step: event.value for event in events.Scalars(f"{kind}/{key}")}
        assert found.keys() == expected.keys(), (kind, key, sorted(found), sorted(expected))
        assert all(abs(found[step] - value) <= 1e-5 * max(1, abs(value)) for step, value in expected.items()), (kind, key)
        compared += len(expected)
print(f"{len(glob.glob(run + '/events.out.tfevents.*'))} event files, {len(tags)} tags, {compared} values as in metrics.jsonl: {', '.join(tags)}")
