#!/usr/bin/env bash
# What a board will run, run here under qemu-user: unit tests with NEON, the search's signature, the CUDA backend on the look-alike of
# its driver, and the binary of `make cross` as a person uses it. `--cuda` runs the CUDA part alone, in all worlds. Float code is some 250 times slower there, so nets are tiny. Each part says how many seconds it took.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/need_aarch64.sh || exit 0
scripts/need_target.sh || {
    echo "skipped: tests of the aarch64 code, see above"
    exit 0
}
only=${1:-}
target=aarch64-unknown-linux-gnu
export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
work=$(mktemp -d "${TMPDIR:-/tmp}/edgezero-aarch64.XXXXXX")
trap 'rm -rf "$work"' EXIT
failed=0
tested=()

begun=$SECONDS
part() { # NAME STATUS
    echo "aarch64: $1: $([ "$2" = 0 ] && echo passed || echo FAILED), $((SECONDS - begun)) s"
    [ "$2" = 0 ] || failed=1
    begun=$SECONDS
}

# The look-alike and its kernels, made for aarch64 by the cross compiler, under this program.
cuda() { # PROGRAM OPTION...
    local status=0
    LOOKALIKE_EMULATOR="qemu-aarch64 -cpu max" LOOKALIKE_CXX=aarch64-linux-gnu-g++ qemu-aarch64 -cpu max "$@" --test-threads 2 \
        >"$work/log" 2>&1 || status=$?
    [ $status = 0 ] || cat "$work/log"
    grep '^test result:' "$work/log" | tail -n 1 || true
    part "CUDA on the look-alike, $([ "${LOOKALIKE_WORLDS:-}" = first ] && echo one world a test || echo all worlds)" $status
}

if [ "$only" != --cuda ]; then
    # Both at once: linking the binary keeps one core busy for a minute.
    scripts/cross.sh >"$work/cross.log" 2>&1 &
    cross=$!
    tested=(--lib --test search)
fi
status=0
CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc cargo test --locked --no-run --message-format=json \
    --target $target --config profile.test.debug=false "${tested[@]}" --test cuda >"$work/built.json" || status=$?
part "the tests are built" $status
if [ $status != 0 ]; then
    wait
    exit 1
fi
# The program of a test target, by its kind and name: "lib" for the unit tests.
program() { sed -nE 's/.*"kind":\["'"$1"'"\].*"name":"'"$2"'".*"executable":"([^"]+)".*/\1/p' "$work/built.json"; }
if [ "$only" = --cuda ]; then
    cuda "$(program test cuda)"
    exit $failed
fi

tests() { # NAME CPU PROGRAM FILTER...
    local name="$1 on $2" cpu=$2 program=$3 status=0
    shift 3
    # How fast a machine is says nothing there, and CUDA is not there.
    qemu-aarch64 -cpu "$cpu" "$program" "$@" --skip compute::cpu::ceiling --skip compute::cuda >"$work/log" 2>&1 || status=$?
    [ $status = 0 ] || cat "$work/log"
    grep '^test result:' "$work/log" || true
    part "$name" $status
}

lib=$(program lib edgezero)
search=$(program test search)
# cortex-a57 is a Nano; max has everything that qemu knows, half precision and dot products too.
tests "records, rules and shards" cortex-a57 "$lib" go:: sgf:: shard::
for cpu in cortex-a57 max; do
    # A test holds the processor to that.
    [ $cpu = max ] && export EDGEZERO_TEST_CPU_F16=yes || export EDGEZERO_TEST_CPU_F16=no
    tests "compute, NEON" $cpu "$lib" compute::
    tests "the search's signature" $cpu "$search" signatures
done

# The rest of the worlds with --cuda.
LOOKALIKE_WORLDS=first cuda "$(program test cuda)" --skip runs::a_step_that_overflows

status=0
wait $cross || status=$?
grep -v '^ *Compiling' "$work/cross.log" || true
if [ $status = 3 ]; then
    echo "skipped: the cross-built binary under qemu, see above"
    exit $failed
fi
part "make cross" $status
[ $status = 0 ] || exit 1

edgezero() { qemu-aarch64 -cpu cortex-a57 target/$target/release/edgezero "$@" 2>>"$work/talk"; }

# Records to a net to a game: a dozen games, a net of one block, one epoch.
play() {
    head -n 24 tests/data/small9/small9.sgf >"$work/games.sgf"
    edgezero convert "$work/games.sgf" --out "$work/shards" || return 1
    edgezero train --shards "$work/shards" --board-size 9 --net b1c8 --batch-size 32 --epochs 1 --out "$work/net" || return 1
    # A game of 40 moves against itself.
    {
        printf 'boardsize 9\nclear_board\nkomi 7\n'
        for _ in $(seq 20); do printf 'genmove b\ngenmove w\n'; done
        printf 'final_score\nquit\n'
    } | edgezero gtp --net "$work/net" --visits 2 >"$work/answers" || return 1
    # Every command is answered and none refused; the answers to genmove are moves.
    [ "$(grep -c '^=' "$work/answers")" = 45 ] && ! grep -q '^?' "$work/answers" \
        && [ "$(grep -cE '^= ([A-HJ][1-9]|pass|resign)' "$work/answers")" = 40 ]
}
status=0
play || status=$?
[ $status = 0 ] || cat "$work/talk" "$work/answers"
part "records, training and a game with the binary of make cross" $status

# Half precision where the core has it, a line where it has not.
half() { # CPU WORDS
    printf 'boardsize 9\ngenmove b\nquit\n' \
        | qemu-aarch64 -cpu "$1" target/$target/release/edgezero --precision f16 gtp --net "$work/net" --visits 2 >"$work/answers" 2>"$work/talk" \
        && grep -qE '^= ([A-HJ][1-9]|pass|resign)' "$work/answers" && grep -qF "$2" "$work/talk"
}
status=0
{ half cortex-a57 'precision: f32 (' && half max ', f16)'; } || status=$?
[ $status = 0 ] || cat "$work/talk" "$work/answers"
part "--precision f16 on cores without and with it" $status
exit $failed
