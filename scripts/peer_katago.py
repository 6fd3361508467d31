#!/usr/bin/env python3
"""KataGo beside edgezero on a net that edgezero wrote: it must load, and `kata-raw-nn` must say the same.

    scripts/peer_katago.py --katago "katago gtp -config gtp.cfg" --net runs/mine/net.bin.gz

The command is KataGo's with its options; `-model NET` is added. An OpenCL build tunes itself for minutes at its first
start with a net of a new width. Random games are played on both by the same moves; after every few of them all eight
symmetries of the net's answers are compared. Standard library only. Ends with 1 if a number differs by more than allowed.
"""

import argparse
import random
import shlex
import shutil
import sys

from match_gnugo import Engine

# How far each kind of number may be apart: single precision sums in another order, printed with so many digits.
ALLOWED = {"policy": 2e-4, "ownership": 2e-4, "chance": 2e-4, "points": 2e-2, "square": 1.0}
CHANCES = ("whiteWin", "whiteLoss", "noResult")
# The squares of points, and errors that are derived from them.
SQUARES = ("whiteScoreSelfplaySq", "varTimeLeft", "shorttermScoreError")


class Raw(Engine):
    def raw(self, symmetry, size):
        """The block as a map of names to lists of numbers; None stands for illegal."""
        words = self.ask(f"kata-raw-nn {symmetry}").split()
        found, i = {}, 0
        while i < len(words):
            name, n = words[i], 1
            if name in ("policy", "whiteOwnership"):
                n = size * size
            found[name] = [None if word == "NAN" else float(word) for word in words[i + 1 : i + 1 + n]]
            i += 1 + n
        return found


def kind_of(name):
    if name.startswith("policy"):
        return "policy"
    if name == "whiteOwnership":
        return "ownership"
    return "chance" if name in CHANCES else "square" if name in SQUARES else "points"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edgezero", default="target/release/edgezero")
    parser.add_argument("--katago", default="katago gtp", help="KataGo's command")
    parser.add_argument("--net", required=True)
    parser.add_argument("--board-size", type=int, default=9)
    parser.add_argument("--positions", type=int, default=40)
    args = parser.parse_args()
    command = shlex.split(args.katago)
    if not shutil.which(command[0]):
        print(f"skipped: {command[0]} is not installed")
        return 0
    engines = [Raw([args.edgezero, "gtp", "--net", args.net]), Raw(command + ["-model", args.net])]
    print("beside", engines[1].ask("name"), engines[1].ask("version"))
    worst = dict.fromkeys(ALLOWED, 0.0)
    draw, n, illegal_differs = random.Random(1), 0, 0
    for game in range(max(1, args.positions // 10)):
        rules = ("tromp-taylor", "japanese", "chinese", "aga")[game % 4]
        for engine in engines:
            for line in (f"boardsize {args.board_size}", "clear_board", f"kata-set-rules {rules}", "komi 6.5"):
                engine.ask(line)
        color = "B"
        for step in range(10):
            raws = [engine.raw(step % 8, args.board_size) for engine in engines]
            n += 1
            for name, theirs in raws[1].items():
                ours = raws[0].get(name)
                if ours is None or len(ours) != len(theirs):
                    print(f"{name}: {theirs} by KataGo, {ours} by edgezero")
                    return 1
                for a, b in zip(ours, theirs):
                    if (a is None) != (b is None):
                        illegal_differs += 1
                    elif a is not None:
                        kind = kind_of(name)
                        worst[kind] = max(worst[kind], abs(a - b))
            for _ in range(4):
                legal = [i for i, p in enumerate(engines[0].raw(0, args.board_size)["policy"]) if p is not None]
                if not legal:
                    break
                y, x = divmod(draw.choice(legal), args.board_size)
                vertex = f"{'ABCDEFGHJKLMNOPQRST'[x]}{args.board_size - y}"
                for engine in engines:
                    engine.ask(f"play {color} {vertex}")
                color = "W" if color == "B" else "B"
    for engine in engines:
        engine.end()
    print(f"{n} positions; largest differences: " + ", ".join(f"{kind} {worst[kind]:.6f}" for kind in worst))
    print(f"legal for one and not for the other: {illegal_differs} points")
    return int(illegal_differs > 0 or any(worst[kind] > ALLOWED[kind] for kind in worst))


if __name__ == "__main__":
    sys.exit(main())
