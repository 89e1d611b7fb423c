"""DICOM series as volumes: files put together by what their headers tell, in the order in which they lie.

A series is named by the path of its first file. In file order, axis I counts columns, J rows and K slices, so that
frame k is ``stored[:, :, k].T``; K runs along the normal of the slices. The frames of one file keep their own order
where it follows their places.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from sanoscope.cases.dicom import frames_of
from sanoscope.cases.dicom_checks import NotAnImageError
from sanoscope.cases.dicom_geometry import affine_of, distances, irregularities, unplaced
from sanoscope.cases.dicom_grouping import Image, image_of, together, unlike
from sanoscope.cases.dicom_header import begins_like_dicom, dataset_of
from sanoscope.cases.grid import Grid, naming
from sanoscope.cases.limits import LARGEST_BYTES
from sanoscope.cases.suffixes import DICOM, suffix_of
from sanoscope.cases.volume import Volume
from sanoscope.errors import ImageError

THREADS = 8  # headers wait for the disk
FOLDERS = 256  # that are remembered


@dataclass(frozen=True, eq=False)
class Series:
    """The files of one volume.

    Attributes:
        uid: SeriesInstanceUID; shared by the volumes of a series with several.
        files: In the order of slices.
        grid: Of the volume, ``(columns, rows, slices)``.
        patient: PatientID as stored, never to be printed or written.
        notes: What is irregular in it.
        frames: Of a file of several frames, the number from 0 of the frame that each slice is; empty otherwise.
        placed: Whether it is known where it lies in the patient.
    """

    uid: str
    files: tuple[Path, ...]
    grid: Grid
    patient: str = field(repr=False)
    notes: tuple[str, ...] = ()
    frames: tuple[int, ...] = ()
    placed: bool = True


@dataclass(frozen=True, eq=False)
class Found:
    """What a DICOM file turned out to be.

    Attributes:
        series: The volume that it belongs to; None for an image that has no place, and for what is no image.
        patient: PatientID as stored, never to be printed or written.
        problem: Why it cannot be read, if so.
        is_image: False where it holds something else.
        uid: Of its series.
    """

    series: Series | None = None
    patient: str = field(default="", repr=False)
    problem: str = ""
    is_image: bool = True
    uid: str = ""

    @property
    def volume(self) -> Series | None:
        """Its series, where that has more slices than one."""
        return self.series if self.series is not None and self.series.grid.shape[2] > 1 else None


def series_of(path: Path) -> Series:
    """The volume that a file belongs to, among the files of its folder; of one slice where it is alone.

    Raises:
        ImageError: The file holds no image, cannot be read, or does not say where it lies in the patient.
    """
    found = found_at(path)
    if found.problem:
        raise ImageError(found.problem)
    if found.series is None:
        raise ImageError("does not say where it lies in the patient; it is an image of its own")
    return found.series


def grid_of(path: Path) -> Grid:
    """The grid of the series that a file belongs to.

    Raises:
        ImageError: As ``series_of``.
    """
    return series_of(path).grid


def files_behind(path: Path) -> tuple[Path, ...]:
    """All files of the series that a file belongs to, in the order of slices.

    Raises:
        ImageError: As ``series_of``.
    """
    return series_of(path).files


def read(path: Path, contents: Mapping[Path, bytes] | None = None) -> Volume:
    """The voxels of the series that a file belongs to; of files in colour, ``(X, Y, Z, 3)``.

    Raises:
        ImageError: As ``series_of`` and ``read_dicom``.
    """
    series = series_of(path)
    columns, rows, _ = series.grid.shape
    slices = []
    for file in series.files:
        with naming(file):
            frames = frames_of(dataset_of(contents[file] if contents else file.read_bytes()))
            if frames.shape[1:3] != (rows, columns):
                raise ImageError("is no longer what it was when its series was put together; read it again")
        slices.append(frames)
    stored = np.concatenate(slices)  # (K, J, I) or (K, J, I, 3)
    if series.frames:
        stored = stored[list(series.frames)]
    return Volume.of(series.grid, stored.swapaxes(0, 2))


def found_at(path: Path) -> Found:
    """What a file is, among the files of its folder.

    Raises:
        OSError: The folder cannot be listed.
    """
    found = found_in(path.parent)
    return found[path.name] if path.name in found else _found(path.parent, [path])[path.name]


def found_in(folder: Path) -> Mapping[str, Found]:
    """Every DICOM file of a folder, by its name; remembered until the folder changes.

    Raises:
        OSError: The folder cannot be listed.
    """
    return _remembered(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=FOLDERS)
def _remembered(folder: Path, _changed: int) -> Mapping[str, Found]:
    with os.scandir(folder) as entries:
        visible = (Path(entry.path) for entry in entries if entry.is_file() and not entry.name.startswith("."))
        files = sorted(file for file in visible if suffix_of(file) in DICOM or begins_like_dicom(file))
    return _found(folder, files)


def _found(folder: Path, files: Sequence[Path]) -> Mapping[str, Found]:
    with ThreadPoolExecutor(THREADS) as pool:
        results = dict(zip((file.name for file in files), pool.map(_image_or_problem, files), strict=True))
    found = {name: result for name, result in results.items() if isinstance(result, Found)}
    images = [result for result in results.values() if isinstance(result, Image)]
    for image in images:
        found[image.name] = Found(None, image.patient, uid=image.uid)
    for volume, notes in together(images):
        try:
            series = _series(folder, volume, notes)
        except ImageError as error:
            found.update({image.name: Found(None, image.patient, str(error)) for image in volume})
        else:
            found.update({image.name: Found(series, image.patient, uid=image.uid) for image in volume})
    return found


def _image_or_problem(file: Path) -> Image | Found:
    try:
        with naming(file):
            return image_of(file)
    except ImageError as error:
        return Found(problem=str(error), is_image=not isinstance(error.__cause__, NotAnImageError))


def _series(folder: Path, images: Sequence[Image], notes: Sequence[str]) -> Series:
    """The series of images in the order of slices, or of one image with several frames."""
    first = images[0]
    planes = [plane for image in images for plane in image.planes]
    rows, columns, samples = first.shape
    count = sum(image.frames for image in images)
    if rows * columns * samples * count * first.itemsize > LARGEST_BYTES:
        raise ImageError(
            f"{folder / first.name}: its series of {count} × {rows} × {columns} voxels is more than the limit of "
            f"{LARGEST_BYTES / 2**30:g} GiB; divide it"
        )
    frames: tuple[int, ...] = ()
    placed = bool(planes)
    notes = list(notes)
    if first.frames > 1:
        if reason := unlike(planes):
            placed = False
            notes.append(reason)
        order = np.arange(count)
        if placed:
            places = distances(planes)
            if not (np.diff(places) < 0).all():
                order = np.argsort(places)
            planes = [planes[i] for i in order]
        frames = tuple(order.tolist())
    affine = affine_of(planes) if placed else unplaced(first.spacing)
    if placed:
        notes += irregularities(planes)
    files = tuple(folder / image.name for image in images)
    return Series(
        first.uid, files, Grid.of((columns, rows, count), affine), first.patient, tuple(notes), frames, placed
    )
