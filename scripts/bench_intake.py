#!/usr/bin/env python3
"""Times intake beside the Python way, in one run: turn by turn, medians and spread.

    bench_intake.py [--rounds 3] [--venv DIR] [--only python,shards,account,stages] [--boards sgfmill,fast]

The 4,835 games that corpus/seed4835.txt names, as one flat folder in a temporary place. Python is peers/baseline_train.py of
the data folder (EDGEZERO_DATA, ../shared by default), at each number of processes that may be its best; it keeps 18 simple
planes in memory (7 GB) and its clock starts after its imports. Ours runs from start to end of the process. `shards` has all
planes of KataGo's version 7, `account` has none: decode, parse, replay, duplicates, ledger. `stages` is benches/intake.rs.
Without --venv a private environment with sgfmill and numpy is made and thrown away; needs python3 with venv, and cargo."""
import argparse, json, os, re, statistics, subprocess, sys, tarfile, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DATA = os.environ.get('EDGEZERO_DATA', os.path.join(ROOT, '..', 'shared'))
PEER = os.path.join(DATA, 'peers', 'baseline_train.py')
# Each at the numbers of processes that were best on 2 and 4 cores.
PROCS = {'sgfmill': (2, 4), 'fast': (1, 2)}


def unpack(to):
    """The games in a flat folder, as the Python way wants them."""
    with open(os.path.join(DATA, 'corpus', 'seed4835.txt')) as names:
        wanted = set(names.read().split('\n'))
    with tarfile.open(os.path.join(DATA, 'corpus', 'pro19.tar.gz')) as archive:
        for member in archive:
            if member.name in wanted:
                with open(os.path.join(to, member.name.replace('/', '_')), 'wb') as out:
                    out.write(archive.extractfile(member).read())


def python_for(venv, place):
    """The environment's Python; made where none was given."""
    if not venv:
        venv = os.path.join(place, 'venv')
        subprocess.run([sys.executable, '-m', 'venv', venv], check=True)
        subprocess.run([os.path.join(venv, 'bin', 'pip'), 'install', '-q', 'sgfmill', 'numpy'], check=True)
    return os.path.join(venv, 'bin', 'python')


def peer(python, games, board, procs):
    done = subprocess.run([python, PEER, 'prep', games, '--board', board, '--procs', str(procs)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)['prep_pos_s']


def ours(binary, games, args):
    started = time.perf_counter()
    done = subprocess.run([binary, 'convert', games, *args], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    found = re.search(r'(\d+) positions of \d+ games', done.stdout)
    if not found:
        sys.exit(f'no number of positions in: {done.stdout[:500]}')
    return int(found.group(1)) / seconds


def cargo(*args):
    subprocess.run(['cargo', *args, '--locked'], cwd=ROOT, check=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--rounds', type=int, default=3)
    ap.add_argument('--venv', help='an environment with sgfmill and numpy')
    ap.add_argument('--only', default='python,shards,account,stages', help='what to time')
    ap.add_argument('--boards', default='sgfmill,fast', help='which Python ways')
    ap.add_argument('--binary', help='an edgezero that is built already, instead of target/release/edgezero')
    args = ap.parse_args()
    only = set(args.only.split(','))
    if not os.path.exists(PEER):
        print(f'skipped: no {PEER}')
        return
    binary = args.binary or os.path.join(ROOT, 'target', 'release', 'edgezero')
    if not args.binary:
        cargo('build', '--release')
    with tempfile.TemporaryDirectory(prefix='bench-intake-') as place:
        games = os.path.join(place, 'games')
        os.mkdir(games)
        unpack(games)
        ways = {}
        if 'python' in only:
            python = python_for(args.venv, place)
            for board, all_procs in ((board, PROCS[board]) for board in args.boards.split(',')):
                for procs in all_procs:
                    ways[f'python --board {board}, {procs} processes'] = lambda b=board, p=procs: peer(python, games, b, p)
        if 'shards' in only:
            # Another folder each time: shards that are there would be kept.
            count = iter(range(args.rounds))
            ways['edgezero convert'] = lambda: ours(binary, games, ['--out', os.path.join(place, f'shards{next(count)}')])
        if 'account' in only:
            ways['edgezero convert --dry-run'] = lambda: ours(binary, games, ['--dry-run'])
        rates = {name: [] for name in ways}
        for round_idx in range(args.rounds):
            for name, way in ways.items():
                rates[name].append(way())
                print(f'round {round_idx + 1}: {name}: {rates[name][-1]:,.0f} positions/s', file=sys.stderr)
        tell(rates)
    if 'stages' in only:
        cargo('bench', '--bench', 'intake')


def tell(rates):
    medians = {name: statistics.median(all_rates) for name, all_rates in rates.items()}
    best = {board: max((m for name, m in medians.items() if f'--board {board},' in name), default=None) for board in PROCS}
    for name, median in medians.items():
        text = f'{name:40} {median:14,.0f} positions/s ({min(rates[name]):,.0f} to {max(rates[name]):,.0f})'
        for board, rate in best.items():
            if rate and name.startswith('edgezero'):
                text += f', {median / rate:.1f} x {board}'
        print(text)


if __name__ == '__main__':
    main()
