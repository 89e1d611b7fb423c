"""From cases to pictures of one form: files read once, in parallel, and decoded only where the cache lacks them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.console import track
from sanoscope.errors import DataError, ImageError
from sanoscope.preparation import sources
from sanoscope.preparation.cache import DecodedCache, Trace
from sanoscope.preparation.geometry import Geometry
from sanoscope.preparation.pictures import Form, Pictures, Unreadable
from sanoscope.preparation.workers import spread

# A chunk is what a worker takes at a time: large enough to hide the cost of handing it over.
CHUNK = 64
# A block is what the cache writes at a time, and so the most that a killed process can lose.
BLOCK_BYTES = 128 * 2**20


@dataclass(frozen=True)
class _Decoded:
    """One decoded picture on its way into the cache."""

    key: str
    pixels: np.ndarray
    foreground: np.ndarray | None
    trace: Trace


def decode(cases: Cases, geometry: Geometry, workers: int | None = None) -> Pictures:
    """Read, decode and bring to one geometry every case that can be read.

    Args:
        cases: What to read.
        geometry: The steps that each image goes through.
        workers: How many read at once; the number of cores where None.

    Returns:
        The pictures of the cases that could be read, with the others and their reasons.
    """
    workers = workers or os.cpu_count() or 1
    cache = DecodedCache(geometry.to_json())
    keys, failures = _hash_all(cases, workers)
    known = {key for block in cache.blocks() for key in block.rows}
    missing = {key: case for case, key in zip(cases, keys, strict=True) if key is not None and key not in known}
    if missing:
        failures |= _fill(cache, list(missing.values()), geometry, workers)
    return _collect(cases, keys, failures, cache)


def _hash_all(cases: Cases, workers: int) -> tuple[list[str | None], dict[str, str]]:
    """A content key for each case, None where it cannot be read, and the reasons by case name.

    Every file is read once, however many slices it has.
    """
    failures: dict[str, str] = {}
    files: dict[Path, None] = {}
    slides: dict[Path, None] = {}
    for case in cases:
        if case.problem is not None:
            continue
        with suppress(ImageError):  # it comes again below, where the case is named
            (slides if case.tile is not None else files).update(dict.fromkeys(sources.files_of(case)))
    key_of_file = _keys(list(files), sources.keys_of_files, workers) | _keys(
        list(slides), sources.keys_of_slides, workers
    )
    keys: list[str | None] = []
    for case in cases:
        try:
            keys.append(sources.key_of(case, key_of_file))
        except ImageError as error:
            failures[case.name] = str(error)
            keys.append(None)
    return keys, failures


def _keys(
    files: list[Path], keys_of: Callable[[Sequence[Path]], list[str | ImageError]], workers: int
) -> dict[Path, str | ImageError]:
    if not files:
        return {}
    chunks = [files[i : i + CHUNK] for i in range(0, len(files), CHUNK)]
    hashed = track(spread(keys_of, chunks, workers, processes=False), "reading", len(chunks))
    return dict(zip(files, chain.from_iterable(hashed), strict=True))


def chunks_of(cases: Sequence[Case]) -> list[Sequence[Case]]:
    """Cases in the order given, but all slices of a volume together in one chunk, so that it is read once."""
    of_volumes: dict[Path, list[Case]] = {}
    others: list[Case] = []
    for case in cases:
        if case.slice is not None and case.path is not None:
            of_volumes.setdefault(case.path, []).append(case)
        else:
            others.append(case)
    return [*(others[i : i + CHUNK] for i in range(0, len(others), CHUNK)), *of_volumes.values()]


def _fill(cache: DecodedCache, cases: list[Case], geometry: Geometry, workers: int) -> dict[str, str]:
    """Decode what the cache lacks and add it block by block; the reasons for what cannot be, by case name."""
    failures: dict[str, str] = {}
    waiting: dict[Form, list[_Decoded]] = {}
    chunks = chunks_of(cases)
    in_memory = any(case.pixels is not None for case in cases)  # which would have to be sent to other processes
    decoded = spread(partial(_decode_chunk, geometry=geometry), chunks, workers, processes=not in_memory)
    for results in track(decoded, "decoding", len(chunks)):
        for name, result in results:
            if isinstance(result, str):
                failures[name] = result
                continue
            block = waiting.setdefault(Form.of(result.pixels), [])
            block.append(result)
            if len(block) * block[0].pixels.nbytes >= BLOCK_BYTES:
                _write(cache, block)
                block.clear()
    for block in waiting.values():
        if block:
            _write(cache, block)
    return failures


def _decode_chunk(cases: Sequence[Case], geometry: Geometry) -> list[tuple[str, _Decoded | str]]:
    volumes = sources.OpenVolumes()
    return [(case.name, _decode_one(case, geometry, volumes)) for case in cases]


def _decode_one(case: Case, geometry: Geometry, volumes: sources.OpenVolumes) -> _Decoded | str:
    """The decoded picture, or why there is none."""
    try:
        source = sources.read_source(case, volumes)
        picture = geometry.apply(
            source.pixels, foreground=source.foreground, volume=source.statistics, window=source.window
        )
    except ImageError as error:
        reason = str(error)
        named = any(reason.startswith(str(name)) for name in (case, case.path, case.foreground) if name is not None)
        return reason if named else f"{case}: {reason}"
    pixels = picture.pixels if picture.pixels.dtype == np.uint8 else picture.pixels.astype(np.float32, copy=False)
    return _Decoded(source.key, pixels, picture.foreground, picture.trace)


def _write(cache: DecodedCache, block: list[_Decoded]) -> None:
    foregrounds = [decoded.foreground for decoded in block]
    cache.write(
        np.stack([decoded.pixels for decoded in block]),
        None if foregrounds[0] is None else np.stack(foregrounds),  # type: ignore[arg-type]
        [decoded.trace for decoded in block],
        [decoded.key for decoded in block],
    )


def _collect(cases: Cases, keys: list[str | None], failures: dict[str, str], cache: DecodedCache) -> Pictures:
    blocks = cache.blocks()
    places = {key: (number, row) for number, block in enumerate(blocks) for key, row in block.rows.items()}
    # Of cases with the same content one was decoded, and so has the reason for all.
    reasons = {key: failures[case.name] for case, key in zip(cases, keys, strict=True) if key and case.name in failures}
    kept, where, read, unreadable = [], [], [], []
    for index, (case, key) in enumerate(zip(cases, keys, strict=True)):
        if key is not None and key in places:
            kept.append(index)
            where.append(places[key])
            read.append(key)
        elif case.name in failures:
            unreadable.append(Unreadable(case, failures[case.name]))
        elif key in reasons:
            unreadable.append(Unreadable(case, f"{case}: the same content as {reasons[key]}"))
        else:
            unreadable.append(Unreadable(case, f"{case}: changed while it was being read"))
    return Pictures(cases[kept], blocks, where, read, unreadable)


def require_one_form(pictures: Pictures, wanted: Form | None = None) -> Pictures:
    """The pictures of one form; others are refused in training, or listed as unreadable when ``wanted`` is given.

    Raises:
        DataError: If none could be read, or if the training images are of several forms.
    """
    if not len(pictures) and wanted is None:
        reasons = [unreadable.reason for unreadable in pictures.unreadable]
        raise DataError("no image could be read" + (f"; the first: {reasons[0]}" if reasons else ""))
    forms = Counter(pictures.forms)
    if wanted is None and len(forms) > 1:
        found = "; ".join(f"{n} {form}" for form, n in forms.most_common())
        odd = next(
            case
            for case, form in zip(pictures.cases, pictures.forms, strict=True)
            if form != forms.most_common(1)[0][0]
        )
        raise DataError(f"training images are of several kinds: {found} (such as {odd}); {_mend(forms)}")
    return pictures if wanted is None else pictures.of_form(wanted)


def _mend(forms: Iterable[Form]) -> str:
    if len({form.dtype for form in forms}) > 1:
        return "convert the files to one bit depth, or leave the odd ones out"
    return "set preparation.channels=rgb or grey"


def describe_sizes(pictures: Pictures, size: int) -> str:
    """A sentence on images of several sizes, all brought to one; empty where they are of one size."""
    sizes = Counter(pictures.source_sizes)
    if len(sizes) < 2:
        return ""
    (common, _), *others = sizes.most_common()
    rest = ", ".join(f"{h}×{w}" for (h, w), _ in others[:3]) + (", …" if len(others) > 3 else "")
    number = sum(n for _, n in others)
    return f"{number} of {len(pictures)} images are not {common[0]}×{common[1]} ({rest}); all become {size}×{size}"
