#!/usr/bin/env bash
# Brings the binary onto a board, back to the one before, or away: what `make deploy-jetson` and its like call.
# Usage: JETSON=user@host [DIR=/opt/edgezero] [BINARY=file] [SYSTEMD=1] [GTP_PORT=8361] [SSH="ssh -p 22"] scripts/deploy.sh deploy|rollback|undeploy
# One connection carries everything: a password is asked for at most once.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

wrong() { # WHAT TRY
    printf 'edgezero: %s\ntry: %s\n' "$1" "$2" >&2
    exit 2
}

step=${1:-deploy}
jetson=${JETSON:-}
dir=${DIR:-/opt/edgezero}
binary=${BINARY:-}
read -ra ssh <<<"${SSH:-ssh}"

case "$jetson" in
    "") wrong "which board?" "make $step-jetson JETSON=user@host" ;;
    -* | *[[:space:]]*) wrong "JETSON=$jetson is no user@host" "make $step-jetson JETSON=user@host" ;;
esac
case "$dir" in
    / | *$'\n'* | -*) wrong "DIR=$dir cannot be the folder of a program" "DIR=/opt/edgezero" ;;
esac
dir=${dir%/}

work=$(mktemp -d "${TMPDIR:-/tmp}/edgezero.XXXXXX")
trap '"${ssh[@]}" -o ControlPath="$work/s" -O exit -- "$jetson" 2>/dev/null || true; rm -rf "$work"' EXIT

connect() {
    # It goes by itself a minute after the last command, should this script be killed.
    "${ssh[@]}" -o ControlMaster=yes -o ControlPersist=60 -o ControlPath="$work/s" -o ConnectTimeout=15 -o ServerAliveInterval=15 -- "$jetson" true \
        || { printf 'edgezero: no connection to %s (see above)\ntry: ssh %s\n' "$jetson" "$jetson" >&2; exit 1; }
    # rsync splits its command at spaces and takes host names apart: it gets this one, and any name.
    {
        echo '#!/bin/sh'
        echo shift
        printf 'exec'
        printf ' %q' "${ssh[@]}" -o ControlPath="$work/s" -o ControlMaster=no -- "$jetson"
        echo ' "$@"'
    } >"$work/to-board"
    chmod +x "$work/to-board"
}

quoted() { # ARGUMENT...: for the shell over there
    local one
    for one in "$@"; do
        printf " '%s'" "${one//\'/\'\\\'\'}"
    done
}

on_board() { # STEP ARGUMENT...
    local of=$1
    shift
    "$work/to-board" board "sh -s --$(quoted "$of" "$dir" "$jetson" "$@")" <"$root/scripts/board.sh"
}

# The machine that an ELF file is for, in the words of `uname -m`.
machine() { # FILE
    case "$(od -An -tx1 -N 20 "$1" 2>/dev/null | tr -d ' \n')" in
        7f454c4602*b700) echo aarch64 ;;
        7f454c4602*3e00) echo x86_64 ;;
        *) wrong "$1 is no program for a board" "make cross, then BINARY=target/aarch64-unknown-linux-gnu/release/edgezero" ;;
    esac
}

# The release as it will lie there; its name is the hash of its manifest, so the same content has the same name.
stage() {
    mkdir -p "$work/release/profiles" "$work/release/units"
    install -m 755 "$binary" "$work/release/edgezero"
    install -m 644 "$root"/profiles/*.toml "$work/release/profiles/"
    install -m 644 "$root"/cross/units/* "$work/release/units/"
    install -m 644 "$root"/LICENSE* "$work/release/"
    (cd "$work/release" && find . -type f | LC_ALL=C sort | xargs sha256sum >"$work/MANIFEST" && mv "$work/MANIFEST" MANIFEST)
    sha256sum "$work/release/MANIFEST" | cut -c1-16
}

copy() { # HOW ID
    if [ "$1" = rsync ] && command -v rsync >/dev/null 2>&1; then
        rsync -rpts --delete --rsh="$work/to-board" "$work/release/" "board:$dir/releases/.incoming-$2/"
    else
        echo "no rsync on both sides: with tar"
        tar -C "$work/release" -cf - . | "$work/to-board" board "tar -C$(quoted "$dir/releases/.incoming-$2") -xf -"
    fi
}

deploy() {
    if [ -z "$binary" ]; then
        "$root/scripts/cross.sh"
        binary=$root/target/aarch64-unknown-linux-gnu/release/edgezero
    fi
    [ -f "$binary" ] || wrong "there is no file $binary" "make cross, or another BINARY"
    local for_machine id kib how
    for_machine=$(machine "$binary")
    id=$(stage)
    kib=$(du -sk "$work/release" | cut -f1)
    connect
    how=$(on_board prepare "$id" "$for_machine" "$kib")
    case "$how" in
        there) echo "release $id is in use already: nothing is copied" ;;
        kept) echo "release $id is there from before: nothing is copied" ;;
        *)
            echo "release $id, $kib KiB, to $jetson:$dir"
            copy "$how" "$id"
            ;;
    esac
    on_board activate "$id"
    [ -z "${SYSTEMD:-}" ] || on_board units "${GTP_PORT:-8361}"
}

case "$step" in
    deploy) deploy ;;
    rollback | undeploy)
        connect
        on_board "$step"
        ;;
    *) wrong "no such step: $step" "deploy, rollback or undeploy" ;;
esac
