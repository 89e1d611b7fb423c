"""Reads damaged copies of whole files one after the other, as a user would, and counts how each ended.

Run as a process of its own, which a crash may end and whose memory is bounded:

    python fuzz_worker.py FOLDER COPIES FIRST

Writes ``FOLDER/now`` before each copy, to tell which one was the last, and ``FOLDER/counts.json`` in the end.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import fuzz_seeds

MEMORY = 4 * 2**30  # bytes of address space, of which the interpreter with its libraries takes less than one
SECONDS = 10  # for one file
EXTREMES = (0, 1, 2**7, 2**8 - 1, 2**15 - 1, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)
SUFFIXES = (
    ".png",
    ".jpg",
    ".bmp",
    ".tif",
    ".nii",
    ".nii.gz",
    ".mgz",
    ".mgh",
    ".npy",
    ".npz",
    ".dcm",
    ".svs",
    ".csv",
    "",
)


def damaged(content: bytes, chance: random.Random) -> bytes:
    """A copy with one kind of damage; of what is compressed as a whole, at times inside."""
    inside = chance.random() < 0.5
    if inside and content[:2] == b"\x1f\x8b":
        return gzip.compress(_mutated(gzip.decompress(content), chance), 1, mtime=0)
    if inside and content[:4] == b"PK\3\4":
        return _rezipped(content, chance)
    return _mutated(content, chance)


def _mutated(content: bytes, chance: random.Random) -> bytes:
    kind = chance.choice(("bits", "bytes", "header", "number", "text", "cut", "gap", "rubbish", "behind"))
    changed = bytearray(content)
    size = len(changed)
    place = chance.randrange(size)
    if kind == "bits":
        for _ in range(chance.choice((1, 1, 2, 4))):
            changed[chance.randrange(size)] ^= 1 << chance.randrange(8)
    elif kind == "bytes":
        for _ in range(chance.choice((8, 32, 128))):
            changed[chance.randrange(size)] = chance.randrange(256)
    elif kind == "header":
        for _ in range(chance.choice((1, 2, 4))):
            changed[chance.randrange(min(size, 600))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
    elif kind == "number":
        place = chance.randrange(min(size, chance.choice((64, 600, 2000))))
        width = chance.choice((2, 4, 8))
        value = chance.choice(EXTREMES) % 256**width
        changed[place : place + width] = value.to_bytes(width, chance.choice(("little", "big")))
    elif kind == "text":
        digits = [i for i in range(min(size, 4000)) if 48 <= changed[i] <= 57]
        if digits:
            place = chance.choice(digits)
            changed[place : place + 1] = chance.choice((b"-1", b"0", b"999999999", b"nan", b"1e308", b"", b"\xff"))
    elif kind == "cut":
        del changed[place:]
    elif kind == "gap":
        del changed[place : place + chance.choice((1, 16, 256))]
    elif kind == "rubbish":
        changed[place:place] = chance.randbytes(chance.choice((1, 16, 300)))
    else:
        changed += chance.randbytes(chance.choice((1, 16, 300)))
    return bytes(changed)


def _rezipped(content: bytes, chance: random.Random) -> bytes:
    """One member of an archive damaged, with checksums that fit."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as found, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        unlucky = chance.choice(found.namelist())
        for name in found.namelist():
            member = found.read(name)
            made.writestr(name, _mutated(member, chance) if name == unlucky else member)
    return stream.getvalue()


def meet(path: Path) -> None:
    """Everything that happens to a file before its pixels are used."""
    from sanoscope.cases import read_case, read_cases
    from sanoscope.cases.annotations import mask_of
    from sanoscope.cases.case import SlideTile

    if path.suffix in (".xml", ".geojson"):
        mask_of(path, SlideTile(0, 0, 400, 100))
        return
    cases = read_cases(path)
    for case in {0: cases[0], 1: cases[-1]}.values():
        read_case(case)


def outcome(path: Path) -> str:
    """``read``, ``refused``, or what went wrong."""
    from sanoscope.errors import DataError, ImageError

    try:
        meet(path)
    except (DataError, ImageError) as error:
        causes: list[BaseException] = [error]
        while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
            causes.append(cause)
        if any(isinstance(cause, MemoryError) for cause in causes):
            return f"asked for more memory than the bound: {error}"
        message = str(error)
        if str(path.parent) not in message or "\n" in message:
            return f"does not name the file in one line: {message}"
        return "refused"
    except BaseException as error:  # a decoder written in Rust panics with one that is no Exception
        return f"{type(error).__name__}: {error}"
    return "read"


def copies(folder: Path, seeds: dict[str, tuple[str, bytes]], number: int) -> tuple[str, Path]:
    """Write the copy of a number; the same number always gives the same copy."""
    names = list(seeds)
    name = names[number % len(names)]
    suffix, content = seeds[name]
    chance = random.Random(f"{name} {number}")
    if chance.random() < 0.04:
        suffix = chance.choice(SUFFIXES)
    else:
        content = damaged(content, chance)
    place = folder / str(number)
    place.mkdir()
    for other in ("beside.png", "beside.tif"):
        (place / other).touch()
    path = place / f"copy{suffix}"
    path.write_bytes(content)
    return name, path


def main(folder: Path, count: int, first: int) -> None:
    """Read the copies from ``first`` to ``count``; with ``count`` 0, the bombs."""
    seeds = fuzz_seeds.bombs() if count == 0 else fuzz_seeds.seeds() | _real()
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    counts: Counter[str] = Counter()
    for number in range(first, count or len(seeds)):
        if count == 0:
            name = list(seeds)[number]
            suffix, content = seeds[name]
            path = folder / str(number) / f"bomb{suffix}"
            path.parent.mkdir()
            path.write_bytes(content)
        else:
            name, path = copies(folder, seeds, number)
        (folder / "now").write_text(json.dumps([number, name, str(path)]))
        signal.alarm(SECONDS)
        found = outcome(path)
        signal.alarm(0)
        if found in ("read", "refused"):
            shutil.rmtree(path.parent)
        counts[f"{name}\t{found}"] += 1
        if number % 100 == 0 or found not in ("read", "refused"):
            (folder / f"counts{first}.json").write_text(json.dumps(counts))
    (folder / f"counts{first}.json").write_text(json.dumps(counts))


def _real() -> dict[str, tuple[str, bytes]]:
    folder = Path(os.environ.get("SANOSCOPE_DATA", "")) / "formats"
    return fuzz_seeds.real_files(folder) if os.environ.get("SANOSCOPE_DATA") and folder.is_dir() else {}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
