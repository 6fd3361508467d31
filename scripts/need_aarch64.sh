#!/bin/sh
# Installs what runs aarch64 programs here, and a linker for the tests' own, where apt-get and the right to use it are there; else
# says what that means for the tests and ends with 1.
here() {
    command -v qemu-aarch64 >/dev/null 2>&1 && command -v aarch64-linux-gnu-gcc >/dev/null 2>&1 \
        && command -v aarch64-linux-gnu-g++ >/dev/null 2>&1 && [ -e /usr/aarch64-linux-gnu/lib/libc.so.6 ]
}
packages="qemu-user gcc-aarch64-linux-gnu g++-aarch64-linux-gnu libc6-dev-arm64-cross"

here && exit 0
if command -v apt-get >/dev/null 2>&1; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    if [ -z "$as_root" ] || sudo -n true >/dev/null 2>&1; then
        echo "installing $packages (Debian packages; the aarch64 tests run with them)"
        # shellcheck disable=SC2086
        { $as_root apt-get install -y -qq --no-install-recommends $packages \
            || { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $packages; }; } >/dev/null 2>&1
        here && exit 0
    fi
fi
echo "skipped: tests of the aarch64 code, qemu-user or a cross compiler is not installed (try: apt-get install $packages)"
exit 1
