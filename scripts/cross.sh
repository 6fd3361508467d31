#!/usr/bin/env bash
# The binary for every Jetson: aarch64, glibc 2.27 at the most. With `cross` where a container engine runs, through cargo-zigbuild
# elsewhere; CROSS_WITH=cross or CROSS_WITH=zigbuild decides otherwise. Exit code 3: what it takes cannot be had here.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu
glibc=2.27
bytes_max=8000000
binary=target/$target/release/edgezero
tools=target/cross

cannot() { # WHAT TRY
    printf 'edgezero: %s\ntry: %s\n' "$1" "$2" >&2
    exit 3
}

# The container engine that answers, if any: the program alone says nothing.
engine() {
    for program in docker podman; do
        if command -v $program >/dev/null 2>&1 && timeout 20 $program info >/dev/null 2>&1; then
            echo $program
            return
        fi
    done
}

with_cross() {
    if [ ! -x $tools/bin/cross ]; then
        echo "cross: installing cross 0.2.5 into $tools"
        cargo install --quiet --locked --version 0.2.5 --root $tools cross
    fi
    # The exact version: cross would otherwise update the person's toolchain on its way. A target folder of its own: build scripts
    # linked to this machine's glibc do not run in the container.
    CROSS_CONFIG=cross/Cross.toml CROSS_CONTAINER_ENGINE=$1 \
        $tools/bin/cross "+$(rustc --version | cut -d' ' -f2)" build --release --locked --bin edgezero --target $target --target-dir $tools/out
    mkdir -p "$(dirname $binary)"
    cp $tools/out/$target/release/edgezero $binary
}

with_zigbuild() {
    if ! cmp -s cross/requirements.txt $tools/zig/requirements.txt; then
        echo "cross: installing $(grep -v '^#' cross/requirements.txt | xargs) into $tools/zig (450 MB)"
        rm -rf $tools/zig
        mkdir -p $tools
        python3 -m venv $tools/zig >/dev/null 2>&1 || cannot "python3 has no venv" "apt-get install python3-venv     (as root)"
        $tools/zig/bin/pip install --quiet --disable-pip-version-check -r cross/requirements.txt \
            || cannot "PyPI gives no zig" "$tools/zig/bin/pip install -r cross/requirements.txt"
        cp cross/requirements.txt $tools/zig/
    fi
    PATH="$PWD/$tools/zig/bin:$PATH" cargo zigbuild --release --locked --bin edgezero --target $target.$glibc
}

scripts/need_target.sh || exit 3
engine=$([ "${CROSS_WITH:-}" = zigbuild ] || engine)
if [ -n "$engine" ]; then
    echo "cross: with cross in $engine"
    with_cross "$engine"
elif [ "${CROSS_WITH:-}" = cross ]; then
    cannot "no container engine answers" "docker info     (or CROSS_WITH=zigbuild)"
else
    echo "cross: with cargo-zigbuild$([ -n "${CROSS_WITH:-}" ] || echo ', no container engine answers')"
    with_zigbuild
fi
scripts/check_binary.py $binary $glibc $bytes_max
