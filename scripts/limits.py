#!/usr/bin/env python3
"""Runs the nano profile's commands under real limits and holds them to the memory that they announce.

Each run first gets enough, and its peak is compared with its own sum; then less and less: it must shrink or refuse with a reason
before it starts, and never be killed or abort. The limit is a control group where systemd runs (systemd-run --scope), else the limit
of addresses (ulimit -v). Usage: scripts/limits.py RECORDS NET [--quick]    (RECORDS: a folder or archive of SGF)
EDGEZERO names the program (target/release/edgezero)."""
import os, re, resource, shutil, subprocess, sys, tempfile, threading, time

binary = os.path.abspath(os.environ.get("EDGEZERO", "target/release/edgezero"))
quick = "--quick" in sys.argv
records, net = [arg for arg in sys.argv[1:] if not arg.startswith("-")]
work = tempfile.mkdtemp(prefix="edgezero-limits.")
has_systemd = os.path.isdir("/run/systemd/system") and shutil.which("systemd-run")
how = "control group" if has_systemd else "ulimit -v"


def watch(pid, peak):
    """The peak of what the process holds: resident memory that is no file's."""
    try:
        while True:
            fields = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
            kib = lambda name: int(fields[name].split()[0])
            peak[0] = max(peak[0], kib("RssAnon") + kib("RssShmem"))
            peak[1] = max(peak[1], kib("VmSize"))
            time.sleep(0.02)
    except (OSError, KeyError, ProcessLookupError):
        pass


def run(name, limit_mb, args, stdin=None):
    command = [binary, "--profile", "nano"] + args
    limits = None
    if has_systemd:
        user = [] if os.geteuid() == 0 else ["--user"]
        command = ["systemd-run", *user, "--scope", "--quiet", "-p", f"MemoryMax={limit_mb}M", "-p", "MemorySwapMax=0"] + command
    else:
        limits = lambda: resource.setrlimit(resource.RLIMIT_AS, (limit_mb << 20, limit_mb << 20))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=limits)
    peak = [0, 0]
    threading.Thread(target=watch, args=(process.pid, peak), daemon=True).start()
    _, talk = process.communicate(stdin)
    stated = re.findall(r"memory: needs_mb=(\d+)", talk)
    stated = max(map(int, stated)) if stated else None
    refused = process.returncode == 1 and re.search(r"needs \d+ M", talk)
    shrunk = re.findall(r"memory is short[^:]*: (.*)", talk)
    if refused:
        what = "refused: " + next(line for line in talk.splitlines() if "needs" in line).replace("edgezero: ", "")
    elif shrunk:
        what = "shrunk: " + "; ".join(shrunk)
    else:
        what = "as it is"
    ok = bool(refused) or (process.returncode == 0 and stated is not None and peak[0] / 1024 <= stated)
    print(f"{'ok  ' if ok else 'BAD '} {name:8} limit={limit_mb:5} stated={stated or '-':>5} peak={peak[0] // 1024:5} mapped={peak[1] // 1024:5}"
          f" exit={process.returncode}  {what}", flush=True)
    if not ok:
        print(talk[-2000:])
    return ok


def convert(limit_mb):
    out = os.path.join(work, "shards")
    shutil.rmtree(out, ignore_errors=True)
    return run("convert", limit_mb, ["convert", records, "--out", out])


def train(limit_mb):
    out = os.path.join(work, "run")
    shutil.rmtree(out, ignore_errors=True)
    return run("train", limit_mb, ["train", "--shards", shards, "--net", "b6c96", "--minutes", "0.05", "--out", out])


def play(limit_mb):
    moves = "".join(f"genmove {color}\n" for color in "bw" * (2 if quick else 10))
    return run("gtp", limit_mb, ["gtp", "--net", net], f"boardsize 19\n{moves}quit\n")


print(f"limits by {how}, program {binary}")
good = [convert(1783), convert(200), convert(64), convert(24)]
shards = os.path.join(work, "whole")
subprocess.run([binary, "--profile", "nano", "convert", records, "--out", shards], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
mapped_mb = sum(os.path.getsize(os.path.join(shards, name)) for name in os.listdir(shards)) >> 20
# Where addresses are limited the mapped shards count as well.
beside = 0 if has_systemd else mapped_mb
good += [train(1783 + beside)]
if not quick:
    good += [train(700 + beside), train(450 + beside)]
good += [train(300 + beside), train(100 + beside), train(40 + beside)]
good += [play(1783), play(256), play(150), play(60)]
shutil.rmtree(work)
print(f"{sum(good)} of {len(good)} runs kept to their limit")
sys.exit(0 if all(good) else 1)
