#!/usr/bin/env python3
"""Time from the start of `edgezero gtp` to its answer to the first command, and to the first move.

    scripts/gtp_start.py --net g170-b6c96.bin.gz

Starts it again and again and prints the fastest, the median and the slowest, in milliseconds. Ends with 1 if the median is
over --limit. Standard library only.
"""

import argparse
import statistics
import subprocess
import sys
import time


def start(command, lines):
    """Milliseconds to the answer of each line, from the start."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    told = []
    for line in lines:
        process.stdin.write(line + b"\n")
        process.stdin.flush()
        while process.stdout.readline() != b"\n":
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended with {process.returncode}")
        told.append(1000 * (time.perf_counter() - begun))
    process.stdin.close()
    process.wait()
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edgezero", default="target/release/edgezero")
    parser.add_argument("--net", required=True)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--limit", type=float, default=150.0, help="milliseconds to the first answer")
    args = parser.parse_args()
    command = [args.edgezero, "gtp", "--visits", "1", "--net", args.net]
    runs = [start(command, [b"name", b"genmove b"]) for _ in range(args.runs)]
    for what, times in zip(("first answer", "first move"), zip(*runs)):
        print(f"{what:12} {min(times):6.0f} {statistics.median(times):6.0f} {max(times):6.0f} ms (fastest, median, slowest of {args.runs})")
    return int(statistics.median([first for first, _ in runs]) > args.limit)


if __name__ == "__main__":
    sys.exit(main())
