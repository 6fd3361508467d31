#!/bin/sh
# Games under GoGui's own referee, gogui-twogtp: `edgezero gtp` against GNU Go, with the commands that GoGui sends.
# Ends with 1 if GoGui noted an error in a game.
#   scripts/peer_gogui.sh NET [GAMES]
set -eu
net=${1:?the net: scripts/peer_gogui.sh NET [GAMES]}
games=${2:-4}
edgezero=${EDGEZERO:-target/release/edgezero}
gnugo=$(command -v gnugo || echo /usr/games/gnugo)
twogtp=$(command -v gogui-twogtp || true)
if [ -z "$twogtp" ]; then
    echo "skipped: gogui-twogtp is not installed (try: apt-get install gogui, where the distribution has it)"
    exit 0
fi
[ -x "$gnugo" ] || { echo "skipped: gnugo is not installed"; exit 0; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$twogtp" -black "$edgezero gtp --net $net --visits 50 --rules chinese" \
    -white "$gnugo --mode gtp --chinese-rules --level 1" \
    -size 9 -komi 7.5 -games "$games" -alternate -auto -sgffile "$out/game"
# Columns of GoGui's table: game, result by the referee, by Black, by White, …, whether an error came up, and which.
grep -v '^#' "$out/game.dat"
awk -F '\t' '!/^#/ { n++; bad += $11 } END { print n " games, " bad + 0 " with errors"; exit bad > 0 || n == 0 }' "$out/game.dat"
