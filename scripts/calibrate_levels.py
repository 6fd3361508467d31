#!/usr/bin/env python3
"""Whether levels are in order, and whether resigning is right: a net against itself by `edgezero match`.

    scripts/calibrate_levels.py --net g170-b6c96.bin.gz

Neighbours of a ladder of levels play each other; each stronger one is to win well over half. Then the net plays itself on
where it would resign: those games are to be lost in 97 of 100. Matches go on where they were stopped (--out). Standard
library only. Prints a line a match; ends with 1 if a stronger level does not win more than half of its games, or if
resigning was right too seldom.
"""

import argparse
import json
import os
import subprocess
import sys

LADDER = ["20k", "16k", "12k", "9k", "6k", "3k", "1d", "4d", "7d", "9d"]
RIGHT_MIN = 0.97


def match(args, name, options):
    """The report of a match of the net with itself."""
    command = [args.edgezero, "--threads", str(args.threads), "match", args.net, args.net, "--json"]
    command += ["--board-size", str(args.board_size), "--rules", "chinese", "--komi", str(args.komi), "--seed", str(args.seed)]
    command += ["--workers", str(args.workers), "--out", os.path.join(args.out, name)] + options
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    return json.loads(done.stdout)["tally"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edgezero", default="target/release/edgezero")
    parser.add_argument("--net", required=True)
    parser.add_argument("--ladder", nargs="+", default=LADDER, help="levels, the weakest first")
    parser.add_argument("--games", type=int, default=60, help="games of each pair of levels, an even number")
    parser.add_argument("--resign-games", type=int, default=300)
    parser.add_argument("--visits", type=int, default=50, help="visits of a move where resigning is looked at")
    parser.add_argument("--board-size", type=int, default=9)
    parser.add_argument("--komi", type=float, default=7.5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--out", default="matches/levels")
    args = parser.parse_args()
    is_good = True
    for weak, strong in zip(args.ladder, args.ladder[1:]):
        options = ["--level-a", strong, "--level-b", weak, "--games", str(args.games)]
        tally = match(args, f"{strong}-{weak}", options)
        score = tally["estimate"]["score"]
        low, high = tally["estimate"]["score_interval"]
        is_good &= score > 0.5
        print(f"{strong:>4} against {weak:<4} {100 * score:5.1f} % (95 %: {100 * low:.0f} to {100 * high:.0f})", flush=True)
    tally = match(args, "resigning", ["--play-on", "--visits", str(args.visits), "--games", str(args.resign_games)])
    n, right = tally["given_up"]
    share = right / n if n else 1.0
    is_good &= share >= RIGHT_MIN
    print(f"resigning: right in {right} of {n} games ({100 * share:.1f} %) of {tally['games']} at {args.visits} visits")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
