#!/usr/bin/env python3
"""Games of `edgezero gtp` against GNU Go: who wins, and whether both keep the rules, the clock and the same count.

    scripts/match_gnugo.py --net g170-b6c96.bin.gz --board-size 9 --games 100

Colours change from game to game; GNU Go has another seed in each. Both play by area rules and under a clock of so many
seconds a move. Every move is shown to the other side, which refuses what is illegal. Nobody counts for us: at the end both
are asked for the score. Standard library only. Prints a line a game and a sum; the games that were lost, or where the
counts differ, are written as SGF into --out.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time


class Engine:
    """A GTP program."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, command):
        """The text of a result; RuntimeError for a failure or an engine that is gone."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        lines = []
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"gone at `{command}`")
            if line.strip():
                lines.append(line.rstrip())
            elif lines:
                break
        reply = "\n".join(lines)
        if not reply.startswith("="):
            raise RuntimeError(f"`{command}`: {reply}")
        return reply[1:].strip()

    def end(self):
        self.process.stdin.close()
        self.process.wait(10)


def sgf(moves, args, players, result):
    def point(vertex):
        if vertex == "pass":
            return ""
        x = "abcdefghjklmnopqrst".index(vertex[0].lower())
        return chr(97 + x) + chr(97 + args.board_size - int(vertex[1:]))

    body = "".join(f";{color}[{point(vertex)}]" for color, vertex in moves)
    head = f"FF[4]GM[1]SZ[{args.board_size}]KM[{args.komi}]RU[Chinese]PB[{players['B']}]PW[{players['W']}]RE[{result}]"
    return f"(;{head}{body})\n"


def play(engines, args, slowest):
    """One game; engines by colour. Gives its moves, how it ended, and both counts if it was counted."""
    for engine in engines.values():
        # Ours forgets its clock with the settings, GNU Go with the board.
        for command in ("clear_board", f"komi {args.komi}", f"time_settings 0 {args.seconds} 1"):
            engine.ask(command)
    moves, passes, color = [], 0, "B"
    while passes < 2:
        if len(moves) > 5 * args.board_size**2:
            return moves, "endless", None
        other = "W" if color == "B" else "B"
        begun = time.monotonic()
        vertex = engines[color].ask(f"genmove {color}").lower()
        took = time.monotonic() - begun
        slowest[color] = max(slowest[color], took)
        if took > args.seconds:
            return moves, f"{other}+T", None
        if vertex == "resign":
            return moves, f"{other}+R", None
        try:
            engines[other].ask(f"play {color} {vertex}")
        except RuntimeError:
            return moves, f"{other}+F", None
        moves.append((color, vertex.upper() if vertex != "pass" else vertex))
        passes = passes + 1 if vertex == "pass" else 0
        color = other
    return moves, "counted", {color: engine.ask("final_score") for color, engine in engines.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edgezero", default="target/release/edgezero")
    parser.add_argument("--net", required=True)
    parser.add_argument("--gnugo", default=shutil.which("gnugo") or "/usr/games/gnugo")
    parser.add_argument("--level", type=int, default=10)
    parser.add_argument("--visits", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--board-size", type=int, default=9)
    parser.add_argument("--komi", type=float, default=7.0)
    parser.add_argument("--games", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=10, help="time of a move")
    parser.add_argument("--minutes", type=float, default=1e9, help="no new game after so long")
    parser.add_argument("--out", default="match_gnugo", help="folder for the games worth a look")
    parser.add_argument("--all", action="store_true", help="write every game there")
    args = parser.parse_args()
    if not os.path.exists(args.gnugo):
        print("skipped: gnugo is not installed")
        return 0
    os.makedirs(args.out, exist_ok=True)
    command = [args.edgezero, "gtp", "--net", args.net, "--visits", str(args.visits), "--threads", str(args.threads)]
    ours = Engine(command + ["--rules", "chinese"])
    ours.ask(f"boardsize {args.board_size}")
    tally = {"won": 0, "tie": 0, "lost": 0, "illegal": 0, "late": 0, "counted": 0, "agreed": 0}
    slowest_ours, begun = 0.0, time.monotonic()
    for seed in range(args.first_seed, args.first_seed + args.games):
        if time.monotonic() - begun > 60 * args.minutes:
            break
        options = f"--mode gtp --chinese-rules --never-resign --level {args.level} --seed {seed}"
        theirs = Engine([args.gnugo] + options.split())
        theirs.ask(f"boardsize {args.board_size}")
        color = "B" if seed % 2 else "W"
        other = "W" if color == "B" else "B"
        slowest = {"B": 0.0, "W": 0.0}
        moves, result, counts = play({color: ours, other: theirs}, args, slowest)
        slowest_ours = max(slowest_ours, slowest[color])
        differ = ""
        if counts:
            result = counts[color]
            tally["counted"] += 1
            agree = counts[color] == counts[other]
            tally["agreed"] += agree
            differ = "" if agree else f", but GNU Go counts {counts[other]}"
        winner = result[0]
        outcome = "won" if winner == color else "tie" if winner == "0" else "lost"
        tally[outcome] += 1
        # What we did wrong; what GNU Go does wrong is its own affair.
        tally["illegal"] += result.endswith("+F") and winner != color
        tally["late"] += result.endswith("+T") and winner != color
        print(f"game {seed}: {outcome} as {color}, {result}, {len(moves)} moves, slowest {slowest[color]:.2f} s{differ}", flush=True)
        if args.all or outcome != "won" or differ:
            players = {color: "edgezero", other: "GNU Go"}
            with open(os.path.join(args.out, f"{args.board_size}_{seed}.sgf"), "w") as file:
                file.write(sgf(moves, args, players, result))
        theirs.end()
    ours.end()
    n = tally["won"] + tally["tie"] + tally["lost"]
    print(
        f"{args.board_size}x{args.board_size}, {n} games: {tally['won']} won, {tally['tie']} ties, {tally['lost']} lost; "
        f"{tally['illegal']} illegal moves, {tally['late']} time losses (slowest move {slowest_ours:.2f} s of {args.seconds}); "
        f"{tally['agreed']} of {tally['counted']} counts agreed with GNU Go"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
