#!/usr/bin/env python3
"""KaTrain's own engine and game code, without a window, on `edgezero analysis`.

    scripts/peer_katrain.py --net g170-b6c96.bin.gz

Makes a virtual environment (--venv, outside the repository) with KaTrain from PyPI and what its engine imports, once. Then a
game is played by each of KaTrain's strategies in turn, and its extra analyses, pondering and cancelling are asked for.
Ends with 1 if anything was logged as an error, a position stayed without an analysis, or a query without an answer.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import venv

KATRAIN = "katrain==1.20.0"
# Of KaTrain's requirements those that its engine, game and strategies import; the others draw, play sounds or download.
NEEDED = ["kivy>=2.3.1,<3", "pysgf>=1,<2", "chardet>=5.2,<6"]


def prepare(folder, source):
    """Gives the environment's Python."""
    python = os.path.join(folder, "bin", "python")
    marker = os.path.join(folder, "ready")
    if not os.path.exists(marker):
        venv.create(folder, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(pip + NEEDED, check=True)
        subprocess.run(pip + ["--no-deps", source], check=True)
        open(marker, "w").close()
    return python


class Window:
    """What the engine and the game ask of KaTrain's window."""

    def __init__(self, config, is_loud):
        self.settings, self.is_loud = config, is_loud
        self.errors, self.warnings = [], []
        self.controls = self
        self.pondering = False
        self.players_info = {}

    def log(self, message, level=0):
        if level == -1:
            self.errors.append(message)
        if "'warning'" in str(message):
            self.warnings.append(message)
        if self.is_loud or level == -1:
            print("  ", str(message)[:300], file=sys.stderr)

    def config(self, setting, default=None):
        category, _, key = setting.partition("/")
        found = self.settings.get(category, {})
        return found.get(key, default) if key else found

    def set_status(self, *_):
        pass

    def update_state(self, *_):
        pass

    def __call__(self, *message):
        self.errors.append(message)


def settle(engine, seconds=120):
    """Waits until every query is answered."""
    until = time.monotonic() + seconds
    time.sleep(0.3)
    while not engine.is_idle():
        if time.monotonic() > until:
            raise SystemExit(f"queries without an answer: {list(engine.queries)}")
        time.sleep(0.05)


def drive(args):
    os.environ.update(KIVY_NO_ARGS="1", KIVY_NO_CONSOLELOG="1", KIVY_NO_FILELOG="1", KIVY_HOME=tempfile.mkdtemp())
    import json

    # Kivy takes standard error for its log.
    stderr = sys.stderr
    import katrain
    from katrain.core import constants
    from katrain.core.ai import STRATEGY_REGISTRY, generate_ai_move
    from katrain.core.engine import KataGoEngine
    from katrain.core.game import Game
    from katrain.core.game_node import Move

    sys.stderr = stderr
    package = os.path.dirname(katrain.__file__)
    with open(os.path.join(package, "config.json")) as file:
        config = json.load(file)
    config["game"].update(size=args.board_size, rules="japanese")
    config["engine"].update(katago=os.path.abspath(args.edgezero), model=os.path.abspath(args.net), max_visits=args.visits)
    window = Window(config, args.verbose)
    engine = KataGoEngine(window, config["engine"])
    print("command:", " ".join(engine.command))
    game = Game(window, engine)
    begun = time.monotonic()

    # Those two ask a second net that imitates people.
    strategies = [name for name in STRATEGY_REGISTRY if name not in (constants.AI_HUMAN, constants.AI_PRO)]
    # One that KaTrain does not offer has no settings; it shares those of its sister.
    config["ai"].setdefault(constants.AI_SETTLE_STONES, config["ai"][constants.AI_SIMPLE_OWNERSHIP])
    for name in strategies:
        for _ in range(args.moves):
            try:
                move, node = generate_ai_move(game, name, config["ai"].get(name, {}))
                print(f"{name:16} {move.gtp()}", "" if node else "was not played")
            except Exception as error:  # what KaTrain would show in a box
                window.errors.append(f"{name}: {error!r}")
    settle(engine)

    for mode in ("extra", "equalize", "alternative", "sweep"):
        n = engine.query_counter
        game.analyze_extra(mode)
        settle(engine)
        print(f"{mode:16} {engine.query_counter - n} queries")
    game.analyze_extra("game", visits=args.visits + 20)
    settle(engine)

    node = game.current_node
    visits = node.root_visits
    game.analyze_extra("ponder")
    time.sleep(2)
    pondered = node.root_visits
    game.analyze_extra("stop")
    settle(engine)
    print(f"ponder           {visits} visits before, {pondered} after two seconds")
    if pondered <= visits:
        window.errors.append("pondering reports nothing")
    game.set_region_of_interest([0, 2, 0, 2])
    node.analyze(engine, region_of_interest=game.region_of_interest)
    settle(engine)

    # A new game throws away what is under way.
    for _ in range(5):
        node.analyze(engine, visits=1_000_000, time_limit=False)
    time.sleep(0.3)
    engine.on_new_game()
    settle(engine)
    second = Game(window, engine, game_properties={"SZ": "19", "RU": "chinese", "KM": "7.5", "HA": "4"})
    second.root.place_handicap_stones(4)
    second.play(Move.from_gtp("R6", player="W"))
    settle(engine)

    nodes = game.root.nodes_in_tree + second.root.nodes_in_tree
    incomplete = [node for node in nodes if not node.analysis_complete or node.score is None or not node.policy]
    ownerless = [node for node in nodes if not node.ownership]
    engine.shutdown(finish=True)
    print(
        f"{engine.query_counter} queries in {time.monotonic() - begun:.0f} s, {len(nodes)} positions; {len(incomplete)} without a whole analysis, "
        f"{len(ownerless)} without ownership, {len(window.warnings)} warnings, {len(window.errors)} errors"
    )
    for message in sorted(set(str(message)[:200] for message in window.warnings + window.errors)):
        print("  ", message)
    return int(bool(incomplete or ownerless or window.errors))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edgezero", default="target/release/edgezero")
    parser.add_argument("--net", required=True)
    parser.add_argument("--visits", type=int, default=100)
    parser.add_argument("--board-size", type=int, default=9)
    parser.add_argument("--moves", type=int, default=2, help="moves of each strategy")
    parser.add_argument("--venv", default=os.path.join(tempfile.gettempdir(), "edgezero-katrain-venv"))
    parser.add_argument("--katrain", default=KATRAIN, help="what pip installs: a version or a wheel")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        return drive(args)
    try:
        python = prepare(args.venv, args.katrain)
    except subprocess.CalledProcessError as error:
        print(f"skipped: {error}")
        return 0
    return subprocess.run([python, os.path.abspath(__file__), "--inside"] + sys.argv[1:]).returncode


if __name__ == "__main__":
    sys.exit(main())
