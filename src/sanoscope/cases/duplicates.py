"""Images that are the same byte by byte: results look better than they are with one in training and test."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.slides import slide_key
from sanoscope.cases.volume_files import files_behind
from sanoscope.console import track
from sanoscope.errors import ImageError

CHUNK = 256  # files a task; a task a file would cost more than reading it
THREADS = 4  # more than the cores of a small machine, as reading waits for the disk; 8 were slower


def find_duplicates(cases: Cases) -> list[tuple[Case, ...]]:
    """Groups of two or more cases with identical content, in order of their first.

    Files are compared as bytes, and only read where their size is not their own; slices by their volume's bytes
    and their place in it; tiles likewise by what tells their slides apart; arrays by type, shape and values. A file
    that cannot be read is like no other; reading its image will say what is wrong with it.
    """
    by_size: defaultdict[object, list[Case]] = defaultdict(list)
    for case in cases:
        by_size[_size(case)].append(case)
    suspects = [
        (size, case) for size, alike in by_size.items() if size is not None and len(alike) > 1 for case in alike
    ]
    digests = _digests([case for _, case in suspects])
    by_content: defaultdict[object, list[Case]] = defaultdict(list)
    for size, case in suspects:
        digest = digests[_file_or_name(case)]
        if digest is not None:
            by_content[size, digest].append(case)
    order = {case.name: i for i, case in enumerate(cases)}
    groups = [tuple(alike) for alike in by_content.values() if len(alike) > 1]
    return sorted(groups, key=lambda group: order[group[0].name])


def across_splits(cases: Cases) -> list[tuple[Case, ...]]:
    """Those groups of identical images that are on more than one side."""
    sided = cases.where(lambda case: case.split is not None)
    return [group for group in find_duplicates(sided) if len({case.split for case in group}) > 1]


def describe_duplicates(groups: list[tuple[Case, ...]], most: int = 3) -> str:
    """One line that names the first few groups and their sides."""
    named = "; ".join(" = ".join(f"{case.name} ({case.split})" for case in group) for group in groups[:most])
    more = f"; and {len(groups) - most} more" if len(groups) > most else ""
    return f"identical images on two sides: {len(groups)} ({named}{more})"


def _size(case: Case) -> object:
    """What two identical cases must have in common, without reading a file; None where it cannot be told."""
    if case.pixels is not None:
        return case.pixels.shape, case.pixels.dtype
    if case.problem is not None:
        return None
    try:
        return (case.path.stat().st_size, case.slice, case.tile) if case.path is not None else None
    except OSError:
        return None


def _digest(case: Case) -> bytes | None:
    if case.pixels is not None:
        return hashlib.blake2b(case.pixels.tobytes(), digest_size=16).digest()
    assert case.path is not None
    digest = hashlib.blake2b(digest_size=16)
    try:
        if case.tile is not None:
            digest.update(slide_key(case.path).encode())
        else:
            for file in files_behind(case.path) if case.slice is not None else (case.path,):
                digest.update(file.read_bytes())
    except (OSError, ImageError):
        return None
    return digest.digest()


def _file_or_name(case: Case) -> Path | str:
    """What has to be read once, however many slices it has."""
    return case.name if case.path is None or case.pixels is not None else case.path


def _digests(cases: list[Case]) -> dict[Path | str, bytes | None]:
    distinct = {_file_or_name(case): case for case in cases}
    once = list(distinct.values())
    chunks = [once[start : start + CHUNK] for start in range(0, len(once), CHUNK)]
    with ThreadPoolExecutor(THREADS) as pool:
        done = pool.map(lambda chunk: [_digest(case) for case in chunk], chunks)
        found = track(chain.from_iterable(done), "comparing files", len(once))
        return dict(zip(distinct, found, strict=True))
