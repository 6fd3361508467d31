#!/usr/bin/env python3
"""Whether a binary runs on every board: aarch64, stripped, small, and no newer glibc than the oldest JetPack's.

Usage: check_binary.py FILE GLIBC BYTES_MAX    (such as 2.27 8000000)
Reads ELF itself: a machine without binutils cross-compiles too.
"""

import struct
import sys

MACHINES = {62: "x86-64", 183: "aarch64"}
# Libraries that every L4T has without a package of ours.
SYSTEM = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libgcc_s.so.1", "ld-linux-aarch64.so.1"}
SYMTAB, DYNAMIC, VERNEED = 2, 6, 0x6FFFFFFE
DT_NEEDED = 1


class Elf:
    """The sections of a 64-bit little-endian ELF file."""

    def __init__(self, data):
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("no 64-bit little-endian ELF file")
        self.data = data
        self.machine = MACHINES.get(struct.unpack_from("<H", data, 18)[0], "another machine")
        (table,) = struct.unpack_from("<Q", data, 40)
        size, n = struct.unpack_from("<HH", data, 58)
        # (name, type, flags, address, offset, size, link, info, align, entry size)
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(n)]

    def of_type(self, kind):
        return [s for s in self.sections if s[1] == kind]

    def text(self, table, at):
        start = self.sections[table][4] + at
        return self.data[start : self.data.index(b"\0", start)].decode()

    def needed(self):
        """The libraries it asks for."""
        for section in self.of_type(DYNAMIC):
            for at in range(section[4], section[4] + section[5], 16):
                tag, value = struct.unpack_from("<QQ", self.data, at)
                if tag == DT_NEEDED:
                    yield self.text(section[6], value)

    def versions(self):
        """The symbol versions it asks for: (library, version)."""
        for section in self.of_type(VERNEED):
            at = section[4]
            for _ in range(section[7]):
                _, n, name, aux, following = struct.unpack_from("<HHIII", self.data, at)
                one = at + aux
                for _ in range(n):
                    _, _, _, version, after = struct.unpack_from("<IHHII", self.data, one)
                    yield self.text(section[6], name), self.text(section[6], version)
                    one += after
                at += following


def number(version):
    return [int(part) for part in version.split(".")]


def main():
    path, glibc, bytes_max = sys.argv[1], sys.argv[2], int(sys.argv[3])
    try:
        with open(path, "rb") as file:
            data = file.read()
        elf = Elf(data)
        versions, needed = list(elf.versions()), list(elf.needed())
    except (OSError, ValueError, struct.error, IndexError) as error:
        sys.exit(f"{path}: {error}")
    found = sorted({v[6:] for _, v in versions if v.startswith("GLIBC_") and v[6:7].isdigit()}, key=number)
    highest = found[-1] if found else "none"
    wrong = []
    if elf.machine != "aarch64":
        wrong.append(f"for {elf.machine}, expected aarch64")
    wrong += [f"needs {v} of {lib}, expected GLIBC_{glibc} at the most" for lib, v in versions if v[6:] in found and number(v[6:]) > number(glibc)]
    wrong += [f"needs {v} of {lib}, which belongs to one release of glibc" for lib, v in versions if v == "GLIBC_PRIVATE"]
    wrong += [f"needs {name}, which boards may not have" for name in needed if name not in SYSTEM]
    if elf.of_type(SYMTAB):
        wrong.append("not stripped")
    if len(data) > bytes_max:
        wrong.append(f"{len(data)} bytes, expected {bytes_max} at the most")
    for line in wrong:
        print(f"{path}: {line}", file=sys.stderr)
    print(f"{path}: {elf.machine}, {len(data) / 1e6:.2f} MB, highest GLIBC_{highest}, needs {' '.join(needed)}")
    sys.exit(1 if wrong else 0)


main()
