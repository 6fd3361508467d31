#!/usr/bin/env python3
"""Runs the nano profile's commands under real limits and holds them to the memory that they announce.

Each run first gets plenty, and its peak is compared with its own sum; then exactly what it asked for; then less and less: it must
shrink or refuse with a reason before it starts, and never be killed or abort. What limits is the first of these that works here: a
scope of systemd, a control group of version 2 or 1, and ulimit -v, which limits addresses. `--by systemd|v2|v1|ulimit` takes one.
Usage: scripts/limits.py RECORDS NET [--quick] [--by WAY]    (RECORDS: a folder or archive of SGF; EDGEZERO names the program)"""
import argparse, os, re, resource, shutil, subprocess, sys, tempfile, threading, time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("records")
parser.add_argument("net")
parser.add_argument("--quick", action="store_true")
parser.add_argument("--by", choices=["systemd", "v2", "v1", "ulimit"])
args = parser.parse_args()
binary = os.path.abspath(os.environ.get("EDGEZERO", "target/release/edgezero"))
work = tempfile.mkdtemp(prefix="edgezero-limits.")
PLENTY_MB = 2200


def own_group(pick):
    """The path of this process's control group in the hierarchy that `pick` knows by its line of /proc/self/cgroup."""
    lines = [line.rstrip("\n").split(":", 2) for line in open("/proc/self/cgroup")]
    return next((path for number, names, path in lines if pick(number, names)), "/")


def put(path, text):
    with open(path, "w") as file:
        file.write(str(text))


class Addresses:
    words, is_group = "ulimit -v", False

    def __init__(self):
        pass

    def begin(self, limit_mb):
        return [], lambda: resource.setrlimit(resource.RLIMIT_AS, (limit_mb << 20, limit_mb << 20))

    def end(self):
        return {}


class Systemd:
    words, is_group = "a scope of systemd", True

    def __init__(self):
        user = [] if os.geteuid() == 0 else ["--user"]
        self.command = ["systemd-run", *user, "--scope", "--quiet", "-p", "MemorySwapMax=0"]
        if not os.path.isdir("/run/systemd/system"):
            raise OSError("systemd does not run")
        if subprocess.run(self.command + ["-p", "MemoryMax=1G", "true"], capture_output=True).returncode != 0:
            raise OSError("systemd makes no scope")

    def begin(self, limit_mb):
        return self.command + ["-p", f"MemoryMax={limit_mb}M"], None

    def end(self):
        return {}


class Group:
    """A control group of its own for each run."""

    is_group = True

    def __init__(self):
        self.n = 0
        self.parent = next((parent for parent in self.parents() if self.works(parent)), None)
        if self.parent is None:
            raise OSError("no control group can be made")

    def works(self, parent):
        try:
            self.parent = parent
            self.begin(1024)
            os.rmdir(self.dir)
            return True
        except OSError:
            return False

    def begin(self, limit_mb):
        self.n += 1
        self.dir = f"{self.parent}/edgezero-limits-{os.getpid()}-{self.n}"
        os.mkdir(self.dir)
        try:
            self.limit(limit_mb << 20)
        except OSError:
            os.rmdir(self.dir)
            raise
        procs = f"{self.dir}/cgroup.procs"
        return [], lambda: put(procs, os.getpid())

    def number(self, name, field=None):
        text = open(f"{self.dir}/{name}").read()
        return int(text) if field is None else int(re.search(rf"^{field} (\d+)", text, re.M)[1])

    def end(self):
        told = {"group_peak": self.number(self.PEAK) >> 20, "killed": self.number(*self.KILLED)}
        while True:
            try:
                os.rmdir(self.dir)
                return told
            except OSError:  # the kernel lets go of the last process a moment later
                time.sleep(0.05)


class Version2(Group):
    words, PEAK, KILLED = "a control group, version 2", "memory.peak", ("memory.events", "oom_kill")

    def parents(self):
        # A group with processes has no children with limits, so the new one stands beside ours.
        path = own_group(lambda number, names: number == "0" and not names).strip("/")
        return [os.path.dirname(f"/sys/fs/cgroup/{path}".rstrip("/")), "/sys/fs/cgroup"]

    def limit(self, limit_bytes):
        put(f"{self.dir}/memory.max", limit_bytes)
        if os.path.exists(f"{self.dir}/memory.swap.max"):
            put(f"{self.dir}/memory.swap.max", 0)


class Version1(Group):
    words, PEAK, KILLED = "a control group, version 1", "memory.max_usage_in_bytes", ("memory.oom_control", "oom_kill")

    def parents(self):
        path = own_group(lambda _, names: "memory" in names.split(","))
        return [f"/sys/fs/cgroup/memory{path}".rstrip("/"), "/sys/fs/cgroup/memory"]

    def limit(self, limit_bytes):
        put(f"{self.dir}/memory.limit_in_bytes", limit_bytes)
        if os.path.exists(f"{self.dir}/memory.memsw.limit_in_bytes"):
            put(f"{self.dir}/memory.memsw.limit_in_bytes", limit_bytes)


def first_way():
    ways = {"systemd": Systemd, "v2": Version2, "v1": Version1, "ulimit": Addresses}
    for name, way in ways.items():
        try:
            if args.by in (None, name):
                return way()
        except OSError as e:
            print(f"not by {way.words}: {e}")
    sys.exit(1)


def watch(pid, peak):
    """The peaks of what the process holds (resident memory that is no file's), of all that is resident, and of its addresses."""
    try:
        while True:
            fields = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
            kib = lambda name: int(fields[name].split()[0])
            for i, now in enumerate([kib("RssAnon") + kib("RssShmem"), kib("VmHWM"), kib("VmSize")]):
                peak[i] = max(peak[i], now)
            time.sleep(0.01)
    except (OSError, KeyError, ProcessLookupError):
        pass


def run(name, limit_mb, words, stdin=None, expected=None):
    """One run under a limit: whether it kept to it, and the sum that it announced. `expected` is how it has to go."""
    before, enter = way.begin(limit_mb)
    command = before + [binary, "--profile", "nano"] + words
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    process = subprocess.Popen(command, text=True, preexec_fn=enter, **pipes)
    peak = [0, 0, 0]
    threading.Thread(target=watch, args=(process.pid, peak), daemon=True).start()
    _, talk = process.communicate(stdin)
    group = way.end()
    held, resident, mapped = [kib >> 10 for kib in peak]
    stated = re.findall(r"memory: needs_mb=(\d+)", talk)
    stated = max(map(int, stated)) if stated else None
    shrunk = re.findall(r"memory is short[^:]*: (.*)", talk)
    if process.returncode == 1 and re.search(r"needs \d+ M", talk):
        how, what = "refused", next(line for line in talk.splitlines() if "needs" in line).replace("edgezero: ", "")
    else:
        how, what = ("shrunk", "; ".join(shrunk)) if shrunk else ("whole", "")
    ok = how == "refused" or (process.returncode == 0 and stated is not None and held <= stated)
    ok = ok and group.get("killed", 0) == 0 and expected in (None, how)
    more = "".join(f" {key}={value}" for key, value in group.items())
    print(f"{'ok  ' if ok else 'BAD '} {name:8} limit={limit_mb:5} stated={stated or '-':>5} held={held:5} resident={resident:5}"
          f" mapped={mapped:5}{more} exit={process.returncode}  {how} {what}", flush=True)
    if not ok:
        print(talk[-2000:])
    return ok, stated


def down(name, limits_mb, once):
    """Plenty, then what the run itself asks for, then each of the limits."""
    ok, stated = once(name, PLENTY_MB, "whole")
    good = [ok]
    if way.is_group and stated:
        # A run takes nine tenths of a group's limit; the page beyond is for rounding.
        good.append(once(name, stated * 10 // 9 + 1, "whole")[0])
    return good + [once(name, limit, None)[0] for limit in limits_mb]


def convert(name, limit_mb, expected):
    out = os.path.join(work, "shards")
    shutil.rmtree(out, ignore_errors=True)
    return run(name, limit_mb, ["convert", args.records, "--out", out], expected=expected)


def train(name, limit_mb, expected):
    out = os.path.join(work, "run")
    shutil.rmtree(out, ignore_errors=True)
    # Where addresses are limited the mapped shards count as well.
    limit_mb += 0 if way.is_group else mapped_mb
    words = ["train", "--shards", shards, "--net", "b6c96", "--minutes", "0.05" if args.quick else "0.5", "--out", out]
    return run(name, limit_mb, words, expected=expected)


def play(name, limit_mb, expected):
    moves = "".join(f"genmove {color}\n" for color in "bw" * (2 if args.quick else 30))
    return run(name, limit_mb, ["gtp", "--net", args.net], f"boardsize 19\n{moves}quit\n", expected)


way = first_way()
print(f"limits by {way.words}, program {binary}", flush=True)
good = down("convert", [200, 100, 64, 48, 36, 24], convert)
shards = os.path.join(work, "whole")
quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
subprocess.run([binary, "--profile", "nano", "convert", args.records, "--out", shards], check=True, **quiet)
mapped_mb = sum(os.path.getsize(os.path.join(shards, name)) for name in os.listdir(shards)) >> 20
print(f"shards: {mapped_mb} MiB")
good += down("train", [300, 100, 40] if args.quick else [700, 450, 300, 200, 100, 40], train)
good += down("gtp", [256, 150, 60] if args.quick else [400, 256, 150, 100, 60, 24], play)
shutil.rmtree(work)
print(f"{sum(good)} of {len(good)} runs kept to their limit ({way.words})")
sys.exit(0 if all(good) else 1)
