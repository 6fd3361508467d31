#!/usr/bin/env bash
# From game records to an opponent in about two minutes, on the small corpus of the repository.
set -euo pipefail
cd "$(dirname "$0")/.."

edgezero=target/release/edgezero
demo=runs/demo
rm -rf "$demo"
mkdir -p "$demo"

step() { printf '\n== %s\n\n' "$1"; }

step "1 of 3: game records to shards (500 games on 9x9)"
$edgezero convert tests/data/small9 --out $demo/shards

step "2 of 3: a minute of training"
$edgezero train --shards $demo/shards --board-size 9 --minutes 1 --out $demo/net

gnugo=$(PATH="$PATH:/usr/games" command -v gnugo || true)
if [ -n "$gnugo" ]; then
    step "3 of 3: the net (X) plays GNU Go (O)"
    $edgezero play --net $demo/net --board-size 9 --komi 7 --sgf $demo/game.sgf \
        --against "$gnugo --mode gtp --chinese-rules --level 1 --seed 1"
else
    step "3 of 3: the net plays itself"
    $edgezero play --net $demo/net --board-size 9 --komi 7 --sgf $demo/game.sgf
fi

cat <<NEXT

== What next

Your own records:  put .sgf files in data/sgf, then: $edgezero train
Play it yourself:  in Sabaki, GoGui or another Go program, add the engine
                   $PWD/$edgezero gtp --net $PWD/$demo/net
A strong net:      any KataGo net of model version 8 (.bin.gz): $edgezero gtp --net FILE
This game:         $demo/game.sgf
NEXT
