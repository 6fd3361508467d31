#!/bin/sh
# Installs GNU Go where apt-get and the right to use it are there; else says what that means for the tests.
command -v gnugo >/dev/null 2>&1 && exit 0
[ -x /usr/games/gnugo ] && exit 0

if command -v apt-get >/dev/null 2>&1; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    if [ -z "$as_root" ] || sudo -n true >/dev/null 2>&1; then
        echo "installing gnugo (Debian package; the tests play against it)"
        if { $as_root apt-get install -y -qq gnugo || { $as_root apt-get update -qq && $as_root apt-get install -y -qq gnugo; }; } >/dev/null 2>&1; then
            exit 0
        fi
    fi
fi
echo "skipped: games against GNU Go, gnugo is not installed (try: apt-get install gnugo)"
