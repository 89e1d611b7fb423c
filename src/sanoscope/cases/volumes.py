"""From volumes to their slices, and which slices of a volume or a numbered series are used."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain

import numpy as np

from sanoscope.cases.array_files import is_stack
from sanoscope.cases.case import AXES, Case, Cases, VolumeSlice
from sanoscope.cases.layouts.groups import listed
from sanoscope.cases.masks import abnormal_along
from sanoscope.cases.readers import is_volume
from sanoscope.cases.slicing import Slicing
from sanoscope.cases.volume_files import read_grid
from sanoscope.console import track
from sanoscope.errors import DataError, ImageError

NUMBERED = re.compile(r"(?:^|[_-])(\d+)$")  # the slice number at the end of a name
THREADS = 4  # decompressing masks leaves the interpreter's lock alone; more than 4 wait for the disk


def sliced(cases: Cases, slicing: Slicing) -> Cases:
    """The cases with each whole volume replaced by the chosen of its slices, and series of images cut likewise.

    A slice is abnormal where its mask has any value above 0, and has the volume's label where there is no mask.
    Its subject is that of the volume, or the volume itself. Slices that a source names one by one stay as they
    are. A volume whose header cannot be read stays whole; reading it will say what is wrong.

    Raises:
        DataError: A mask cannot be read or lies on another grid, or no slice is left.
    """
    cut = _cut_volumes(cases, slicing)
    if slicing.slices != "all":
        cut = _cut_series(cut, slicing)
    if len(cases) and not len(cut):
        raise DataError(f"{cases.source}: no slice lies in data.slices={slicing.slices}; choose others")
    return cut


def _cut_volumes(cases: Cases, slicing: Slicing) -> Cases:
    whole = [_is_whole_volume(case) for case in cases]
    volumes = cases[np.flatnonzero(whole)]
    if not len(volumes):
        return cases
    with ThreadPoolExecutor(THREADS) as pool:
        done = pool.map(lambda case: slices_of(case, slicing), volumes)
        slices = list(track(done, "reading volumes", len(volumes)))
    remaining = iter(slices)
    parts = (next(remaining) if is_whole else [case] for case, is_whole in zip(cases, whole, strict=True))
    return cases.with_cases(chain.from_iterable(parts), _notes(volumes, slices, slicing))


def _is_whole_volume(case: Case) -> bool:
    return case.path is not None and case.slice is None and (is_volume(case.path) or is_stack(case.path))


def slices_of(volume: Case, slicing: Slicing) -> list[Case]:
    """The chosen slices of one volume; the volume itself where its header cannot be read.

    Raises:
        DataError: Its mask cannot be read or lies on another grid.
    """
    assert volume.path is not None
    axis = slicing.axis
    try:
        count = read_grid(volume.path).canonical_shape[AXES[axis]]
    except ImageError as error:
        return [replace(volume, problem=str(error))]
    abnormal: list[int | None] = [volume.label] * count
    if volume.mask is not None:
        try:
            abnormal = abnormal_along(volume.path, volume.mask, axis).astype(int).tolist()
        except ImageError as error:
            raise DataError(f"{error} (without a mask it would count as normal)") from error
    return [
        replace(
            volume,
            name=f"{volume.name}/{axis}-{index:03d}",
            label=abnormal[index],
            subject=volume.subject or volume.name,
            slice=VolumeSlice(axis, index, count),
        )
        for index in slicing.positions(count)
    ]


def _notes(volumes: Cases, slices: list[list[Case]], slicing: Slicing) -> Iterator[str]:
    """What became of the volumes, and which of their labels are doubtful."""
    read = sum(1 for of_one in slices for case in of_one if case.slice is not None)
    yield f"volumes: {len(volumes)}, of which {read} {slicing.axis} slices (data.slices={slicing.slices})"
    pairs = list(zip(volumes, slices, strict=True))
    doubtful = {
        "volumes without a slice there, left out": [v for v, found in pairs if not found],
        "volumes labelled abnormal without a mask, each slice labelled like them": [
            v for v in volumes if v.label == 1 and v.mask is None
        ],
        "volumes labelled normal with abnormal slices by their mask": [
            v for v, found in pairs if v.label == 0 and any(case.label for case in found)
        ],
    }
    yield from (f"{what}: {len(some)} ({listed((v.name for v in some), 3)})" for what, some in doubtful.items() if some)


def _cut_series(cases: Cases, slicing: Slicing) -> Cases:
    """Of each subject's images that end in a number, the chosen by its order; all others stay.

    A volume that could not be sliced stays too, so that reading it says why.
    """
    series: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for i, case in enumerate(cases):
        number = NUMBERED.search(case.name.rpartition("/")[2])
        image = case.slice is None and not _is_whole_volume(case)
        if image and case.subject is not None and number is not None:
            series[case.subject].append((int(number[1]), i))
    if not series:
        return cases
    of_series = [sorted(numbered) for numbered in series.values()]
    left_out = {i for one in of_series for i in {i for _, i in one} - {one[p][1] for p in slicing.positions(len(one))}}
    kept = [i for i in range(len(cases)) if i not in left_out]
    note = f"images of {len(series)} numbered series left out by data.slices={slicing.slices}: {len(left_out)}"
    return cases.with_cases((cases[i] for i in kept), [note])
