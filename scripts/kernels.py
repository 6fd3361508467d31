#!/usr/bin/env python3
"""Compiles src/compute/cuda/*.cu with NVRTC and ptxas and prints registers, shared memory and spills of each kernel.

Run by scripts/check_kernels.sh in an environment that has the wheels. Fails on an error of a compiler, on spills of a convolution
and on static shared memory beyond 48 KB. With `--out FOLDER` it writes NAME.sm_53.cubin (62, 72, 87) and NAME.compute_80.ptx.
"""

import argparse
import ctypes
import pathlib
import re
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent
CUDA = ROOT / "src/compute/cuda"
WHEELS = pathlib.Path(sysconfig.get_path("purelib")) / "nvidia"
# Files that stand before each .cu file's text, in this order.
SHARED = ("device.cuh", "view.cuh", "tile.cuh")
# Nano, TX2, Xavier, Orin, and the newest that CUDA 11.8 knows.
CHECKED = (53, 62, 72, 87, 90)
CUBINS = (53, 62, 72, 87)
# What later chips compile for themselves.
PTX = 80
OPTIONS = ["--std=c++14"]


def text_of(kernels: pathlib.Path) -> str:
    """What the program compiles too: the shared files, then the kernels."""
    parts = [*(CUDA / name for name in SHARED), kernels]
    return "".join(f'#line 1 "{p.name}"\n{p.read_text()}' for p in parts)


def to_ptx(nvrtc: ctypes.CDLL, kernels: pathlib.Path, arch: int) -> str:
    program = ctypes.c_void_p()
    text = text_of(kernels).encode()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, kernels.name.encode(), 0, None, None)
    options = [o.encode() for o in [*OPTIONS, f"--gpu-architecture=compute_{arch}"]]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    said = log.value.decode().strip()
    if status or said:
        print(f"{kernels.name} for sm_{arch}:\n{said}")
    if status:
        raise SystemExit(1)
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetPTX(program, ptx)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx.value.decode()


def to_cubin(ptx: str, name: str, arch: int, to: pathlib.Path) -> dict[str, dict[str, int]]:
    """Assembles, and tells what each kernel takes."""
    ptxas = WHEELS / "cuda_nvcc/bin/ptxas"
    call = [ptxas, "-v", f"-arch=sm_{arch}", "-o", to, "-"]
    done = subprocess.run(call, input=ptx, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} for sm_{arch}:\n{done.stderr}")
    taken, kernel = {}, None
    for line in done.stderr.splitlines():
        if m := re.search(r"Compiling entry function '(\w+)'", line):
            kernel = m[1]
            taken[kernel] = {"registers": 0, "shared": 0, "spills": 0}
        elif kernel and (m := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line)):
            taken[kernel]["spills"] += int(m[1]) + int(m[2])
        elif kernel and (m := re.search(r"Used (\d+) registers", line)):
            taken[kernel]["registers"] = int(m[1])
            if m := re.search(r"(\d+) bytes smem", line):
                taken[kernel]["shared"] = int(m[1])
    return taken


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--out", type=pathlib.Path, help="folder for cubins and PTX")
    args.add_argument("only", nargs="*", help="names of .cu files without the ending")
    args = args.parse_args()
    nvrtc = ctypes.CDLL(str(WHEELS / "cuda_nvrtc/lib/libnvrtc.so.11.2"))
    sources = [p for p in sorted(CUDA.glob("*.cu")) if not args.only or p.stem in args.only]
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)

    def assemble(job: tuple[pathlib.Path, int, str]) -> tuple[int, str, dict]:
        source, arch, ptx = job
        to = args.out / f"{source.stem}.sm_{arch}.cubin" if args.out and arch in CUBINS else pathlib.Path("/dev/null")
        return arch, source.name, to_cubin(ptx, source.name, arch, to)

    table: dict[tuple[str, str], dict[int, dict[str, int]]] = {}
    with ThreadPoolExecutor(2) as team:
        # NVRTC compiles one program at a time; ptxas are processes of their own
        jobs = [team.submit(assemble, (s, arch, to_ptx(nvrtc, s, arch))) for s in sources for arch in CHECKED]
        if args.out:
            for source in sources:
                (args.out / f"{source.stem}.compute_{PTX}.ptx").write_text(to_ptx(nvrtc, source, PTX))
        for job in jobs:
            arch, name, taken = job.result()
            for kernel, numbers in taken.items():
                table.setdefault((name, kernel), {})[arch] = numbers

    print(f"{'kernel':34}" + "".join(f"{f'sm_{arch}':>16}" for arch in CHECKED))
    print(f"{'':34}" + f"{'regs shared sp':>16}" * len(CHECKED))
    bad = []
    for (name, kernel), archs in table.items():
        cells = []
        for arch in CHECKED:
            n = archs.get(arch)
            cells.append(f"{n['registers']:>5} {n['shared']:>6} {n['spills']:>3}" if n else "-")
            if n and ((n["spills"] and kernel.startswith("conv")) or n["shared"] > 48 << 10):
                bad.append(f"{name}: {kernel} for sm_{arch} spills {n['spills']} bytes, {n['shared']} bytes of shared memory")
        print(f"{kernel:34}" + "".join(f"{c:>16}" for c in cells))
    compiled = sum(len(archs) for archs in table.values())
    print(f"{compiled} kernels compiled for {len(CHECKED)} architectures" + (f", kept in {args.out}" if args.out else ""))
    if bad:
        sys.exit("\n".join(bad))


main()
