#!/bin/sh
# Our CPU backend beside its peers; see compute.py for the options. The peers are installed into a private environment
# (about 6 GB), target/peers unless EDGEZERO_PEERS names another folder.
set -eu
cd "$(dirname "$0")/../.."
venv="${EDGEZERO_PEERS:-target/peers}"
if [ ! -x "$venv/bin/python" ]; then
    echo "installing PyTorch, ONNX Runtime and OpenVINO into $venv" >&2
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet torch numpy onnx onnxscript onnxruntime openvino
fi
cargo build --release --locked
"$venv/bin/python" benches/peers/net.py || echo "the PyTorch net could not be checked against KataGo's answers" >&2
exec "$venv/bin/python" benches/peers/compute.py "$@"
