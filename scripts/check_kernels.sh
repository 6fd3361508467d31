#!/usr/bin/env bash
# Compiles every kernel for every architecture with NVRTC and ptxas of CUDA 11.8 from PyPI, without a GPU, and prints what each
# takes. `--out FOLDER` keeps what was compiled (see scripts/kernels.py). The compilers are kept in the user's cache folder.
set -euo pipefail
cd "$(dirname "$0")/.."

version=11.8.89
venv="${XDG_CACHE_HOME:-$HOME/.cache}/edgezero/nvrtc-$version"
skip() {
    echo "skipped: kernels were not compiled, $1"
    # asked for files, there are none
    [ "${need:-}" = files ] && exit 1
    exit 0
}
[ "${1:-}" = --out ] && need=files
[ "$(uname -m)" = x86_64 ] || skip "the compilers from PyPI are for x86-64"
command -v python3 >/dev/null || skip "there is no python3"
if [ ! -e "$venv/complete" ]; then
    rm -rf "$venv"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv "$venv" >/dev/null 2>&1 || skip "python3 has no venv"
    "$venv/bin/pip" install --quiet --no-deps --timeout 20 --retries 1 \
        nvidia-cuda-nvrtc-cu11==$version nvidia-cuda-nvcc-cu11==$version >"$venv/log" 2>&1 ||
        skip "PyPI did not give NVRTC: $(tail -n 1 "$venv/log")"
    touch "$venv/complete"
fi
exec "$venv/bin/python" scripts/kernels.py "$@"
