#!/usr/bin/env python3
"""Makes the archives of this folder with foreign tools: zip, tar, xz, zstd, bzip2 and py7zr (PyPI)."""

import os, shutil, struct, subprocess, zipfile, zlib
import py7zr

HERE = os.path.dirname(os.path.abspath(__file__))
GAMES = os.path.join(HERE, "games")


def game(first, second, n):
    points = [chr(97 + (i * 7 + n) % 9) + chr(97 + (i * 7 + n) // 9 % 9) for i in range(30)]
    moves = "".join(f";{'BW'[i % 2]}[{p}]" for i, p in enumerate(dict.fromkeys(points)))
    return f"(;FF[4]GM[1]SZ[9]KM[7]RE[B+R]PB[{first}]PW[{second}]{moves})\n"


def sh(command, **more):
    subprocess.run(command, shell=True, check=True, cwd=HERE, **more)


def main():
    shutil.rmtree(GAMES, ignore_errors=True)
    for name, text in {
        "b.sgf": game("Lee", "Kim", 0), "a/Z.SGF": game("Otake", "Kato", 1), "a/b-c.sgf": game("Ma", "Chang", 2),
        "a/b/d.sgf": game("Nie", "Wu", 3), "readme.txt": "games\n",
    }.items():
        os.makedirs(os.path.dirname(os.path.join(GAMES, name)), exist_ok=True)
        open(os.path.join(GAMES, name), "w").write(text)
    for name in os.listdir(HERE):
        if name not in ("make.py", "NOTE.md", "games"):
            os.remove(os.path.join(HERE, name))
    sh("zip -qr -X games.zip games && zip -qr -X -Z bzip2 bzip2.zip games && zip -qr -X -0 stored.zip games")
    sh("zip -qr -X -P secret locked.zip games")
    tar = "tar --owner=0 --group=0 --mtime=@0"
    sh(f"{tar} -cf games.tar games && {tar} --format=v7 -czf v7.tgz games && {tar} --format=pax -cjf pax.tar.bz2 games")
    sh(f"{tar} -cf - games | xz -9e > games.tar.xz && {tar} -cf - games | zstd -19 -q --long=24 > games.tar.zst")
    for name, filters in {
        "lzma2": [{"id": py7zr.FILTER_LZMA2, "preset": 6}], "bcj": [{"id": py7zr.FILTER_X86}, {"id": py7zr.FILTER_LZMA2, "preset": 1}],
        "ppmd": [{"id": py7zr.FILTER_PPMD, "order": 6, "mem": 20}], "bzip2": [{"id": py7zr.FILTER_BZIP2}],
        "deflate": [{"id": py7zr.FILTER_DEFLATE}], "copy": [{"id": py7zr.FILTER_COPY}], "lzma": [{"id": py7zr.FILTER_LZMA}],
    }.items():
        with py7zr.SevenZipFile(os.path.join(HERE, f"{name}.7z"), "w", filters=filters) as archive:
            archive.writeall(GAMES, "games")
    with py7zr.SevenZipFile(os.path.join(HERE, "locked.7z"), "w", password="secret") as archive:
        archive.writeall(GAMES, "games")
    with py7zr.SevenZipFile(os.path.join(HERE, "hidden.7z"), "w", password="secret", header_encryption=True) as archive:
        archive.writeall(GAMES, "games")
    named(os.path.join(HERE, "gbk.zip"), "棋谱/聂卫平对马晓春的一局.sgf".encode("gbk"))
    named(os.path.join(HERE, "sjis.zip"), "棋譜/井山裕太名人の表ソ能.sgf".encode("shift_jis"))


def named(path, raw):
    """A zip with a name in bytes, as old Windows tools write them."""
    data = open(os.path.join(GAMES, "b.sgf"), "rb").read()
    head = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, zlib.crc32(data), len(data), len(data), len(raw), 0)
    local = b"PK\3\4" + head + raw + data
    central = b"PK\1\2" + struct.pack("<H", 20) + head + struct.pack("<HHHII", 0, 0, 0, 0, 0) + raw
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    open(path, "wb").write(local + central + end)
    assert len(zipfile.ZipFile(path).namelist()) == 1


main()
