#!/usr/bin/env python3
"""Makes the small corpus of the repository: 9x9 games that GNU Go plays against itself.

    make_corpus.py [--games 500] [--seed 1] [--out tests/data/small9/small9.sgf]

Needs gnugo (Debian package gnugo). Levels 1 to 8 by game, the first 2 to 6 moves random on the inner points, area
scoring, komi 7, result as GNU Go counts it. One SGF collection, main lines only. Python's standard library only."""
import argparse, os, random, shutil, subprocess, sys

LETTERS = 'ABCDEFGHJ'
SIZE, KOMI, MOVES_MAX = 9, 7, 160


class Gtp:
    """One GNU Go, spoken to in GTP."""

    def __init__(self, program, level, seed):
        self.proc = subprocess.Popen([program, '--mode', 'gtp', '--chinese-rules', '--level', str(level), '--seed', str(seed)],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command):
        self.proc.stdin.write(command + '\n')
        self.proc.stdin.flush()
        lines = []
        while True:
            line = self.proc.stdout.readline()
            if not line:
                sys.exit(f'gnugo ended at: {command}')
            if line.strip():
                lines.append(line.rstrip('\n'))
            elif lines:
                break
        answer = '\n'.join(lines)
        return answer[1:].strip() if answer.startswith('=') else None

    def end(self):
        self.ask('quit')
        self.proc.wait()


def sgf_point(vertex):
    if vertex == 'PASS':
        return ''
    return chr(97 + LETTERS.index(vertex[0])) + chr(97 + SIZE - int(vertex[1:]))


def play(program, level, draw):
    """One game as SGF text, or None if it did not come to a count."""
    gtp = Gtp(program, level, draw.randrange(1, 1 << 30))
    for command in (f'boardsize {SIZE}', 'clear_board', f'komi {KOMI}'):
        gtp.ask(command)
    moves, passes, random_moves = [], 0, draw.randint(2, 6)
    while passes < 2 and len(moves) < MOVES_MAX:
        color = 'BW'[len(moves) % 2]
        if len(moves) < random_moves:
            # The edge line is left out: nobody opens there.
            vertex = draw.choice(LETTERS[1:-1]) + str(draw.randint(2, SIZE - 1))
            if gtp.ask(f'play {color} {vertex}') is None:
                continue
        else:
            vertex = gtp.ask(f'genmove {color}').upper()
            if vertex == 'RESIGN':
                break
        moves.append(f';{color}[{sgf_point(vertex)}]')
        passes = passes + 1 if vertex == 'PASS' else 0
    result = gtp.ask('final_score') if passes == 2 else None
    gtp.end()
    if result is None:
        return None
    name = f'GNU Go 3.8 level {level}'
    return (f'(;FF[4]GM[1]CA[UTF-8]SZ[{SIZE}]KM[{KOMI}]RU[Chinese]PB[{name}]PW[{name}]RE[{result}]\n'
            + ''.join(moves) + ')\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--games', type=int, default=500)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--out', default='tests/data/small9/small9.sgf')
    args = parser.parse_args()
    program = shutil.which('gnugo') or shutil.which('gnugo', path='/usr/games')
    if program is None:
        sys.exit('make_corpus.py: gnugo is not there\ntry: apt-get install gnugo')
    games, tried = [], 0
    while len(games) < args.games:
        draw = random.Random(args.seed * 1_000_003 + tried)
        game = play(program, 1 + tried % 8, draw)
        tried += 1
        if game:
            games.append(game)
        print(f'\r{len(games)} of {args.games} games', end='', file=sys.stderr, flush=True)
    print(file=sys.stderr)
    part = args.out + '.part'
    with open(part, 'w', encoding='utf-8') as out:
        out.writelines(games)
    os.replace(part, args.out)


if __name__ == '__main__':
    main()
