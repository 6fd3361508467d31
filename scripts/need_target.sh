#!/bin/sh
# Installs Rust's standard library for the boards; else says what is missing and ends with 1.
target=aarch64-unknown-linux-gnu
[ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] && exit 0
if ! command -v rustup >/dev/null 2>&1; then
    printf 'edgezero: this Rust has no standard library for %s\ntry: https://rustup.rs\n' $target >&2
    exit 1
fi
echo "installing Rust's standard library for $target"
rustup target add $target >/dev/null 2>&1 && exit 0
printf 'edgezero: rustup gives no standard library for %s\ntry: rustup target add %s\n' $target $target >&2
exit 1
