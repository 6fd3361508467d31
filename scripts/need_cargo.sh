#!/bin/sh
# Says exactly what is missing for a build, or nothing.
missing=0
if ! command -v cargo >/dev/null 2>&1; then
    if [ -x "$HOME/.cargo/bin/cargo" ]; then
        echo "edgezero: cargo is at ~/.cargo/bin, which is not in PATH" >&2
        echo "try: . \"\$HOME/.cargo/env\"" >&2
    else
        echo "edgezero: cargo (Rust 1.95 or later) is missing" >&2
        echo "try: curl https://sh.rustup.rs -sSf | sh     (or see https://rustup.rs)" >&2
    fi
    missing=1
fi
if ! command -v cc >/dev/null 2>&1; then
    echo "edgezero: cc is missing; Rust links with it" >&2
    echo "try: apt-get install gcc libc6-dev     (as root; other systems: their C compiler package)" >&2
    missing=1
fi
exit $missing
