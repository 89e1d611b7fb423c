"""What a case is decoded from: an array, an image, a slice or a tile, and the foreground beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from sanoscope.cases.case import Case
from sanoscope.cases.dicom import WINDOW_ELEMENTS, window_of
from sanoscope.cases.dicom_header import headers_of, is_dicom
from sanoscope.cases.readers import read_image
from sanoscope.cases.slides import read_tile, slide_key
from sanoscope.cases.suffixes import suffix_of
from sanoscope.cases.volume import Volume
from sanoscope.cases.volume_files import files_behind, read_volume, require_same_grid
from sanoscope.errors import ImageError
from sanoscope.preparation.cache import content_key
from sanoscope.preparation.geometry import FileWindow, no_window
from sanoscope.preparation.volume_statistics import VolumeStatistics


@dataclass(frozen=True, eq=False)
class Source:
    """A case as it is before any geometry.

    Attributes:
        key: Of all content that it comes from.
        pixels: ``(H, W, C)`` in the type they are stored in.
        foreground: ``(H, W)`` bool, where a file tells it.
        statistics: Of the whole volume, for a slice.
        window: Gives centre and width of the values that the file says to look at, where it does.
    """

    key: str
    pixels: np.ndarray
    foreground: np.ndarray | None = None
    statistics: VolumeStatistics | None = None
    window: FileWindow = no_window


@dataclass(frozen=True, eq=False)
class OpenVolume:
    """A volume in memory.

    Attributes:
        keys: Of the bytes of each of its files.
        volume: The voxels.
    """

    keys: tuple[str, ...]
    volume: Volume

    @cached_property
    def statistics(self) -> VolumeStatistics:
        """Of all its voxels."""
        return VolumeStatistics(self.volume.voxels)


class OpenVolumes:
    """The volumes of the last slice, as the next slice mostly needs the same: its own, and its foreground's."""

    def __init__(self) -> None:
        self._open: dict[Path, OpenVolume | ImageError] = {}

    def of(self, case: Case) -> tuple[OpenVolume, OpenVolume | None]:
        """The volume that a slice is cut from, and the one with its foreground.

        Raises:
            ImageError: One of them cannot be read; a volume is tried once for all its slices.
        """
        wanted = _parts_of(case)
        self._open = {file: self._open[file] for file in wanted if file in self._open}
        opened = []
        for file in wanted:
            if file not in self._open:
                self._open[file] = _opened(file)
            found = self._open[file]
            if isinstance(found, ImageError):
                raise ImageError(str(found))
            opened.append(found)
        return opened[0], opened[1] if case.foreground is not None else None


def _opened(file: Path) -> OpenVolume | ImageError:
    try:
        contents = {part: _content(part) for part in files_behind(file)}
        keys = tuple(content_key(content, suffix_of(part)) for part, content in contents.items())
        return OpenVolume(keys, read_volume(file, contents))
    except ImageError as error:
        return error


def _parts_of(case: Case) -> tuple[Path, ...]:
    """The image, volume or slide that a case is decoded from, and its foreground; none for an array."""
    image = (case.path,) if case.pixels is None and case.path is not None else ()
    return (*image, case.foreground) if case.foreground is not None else image


def files_of(case: Case) -> tuple[Path, ...]:
    """All files that a case is decoded from, its foreground's last; none for an array.

    Raises:
        ImageError: The files of a series cannot be found.
    """
    parts = _parts_of(case)
    if case.slice is None or case.pixels is not None:
        return parts
    return tuple(file for part in parts for file in files_behind(part))


def keys_of_files(files: Sequence[Path]) -> list[str | ImageError]:
    """The key of the bytes of each file, or why it cannot be read; the suffix counts, as it chooses the reader."""
    return [_key_or_reason(lambda file: content_key(_content(file), suffix_of(file)), file) for file in files]


def keys_of_slides(slides: Sequence[Path]) -> list[str | ImageError]:
    """The key of each slide, or why it cannot be read; not all of its bytes are looked at."""
    return [_key_or_reason(slide_key, slide) for slide in slides]


def _key_or_reason(key: Callable[[Path], str], file: Path) -> str | ImageError:
    try:
        return key(file)
    except ImageError as error:
        return error


def key_of(case: Case, key_of_file: Mapping[Path, str | ImageError]) -> str:
    """The key of all content that a case comes from.

    Raises:
        ImageError: One of its files could not be read, or it has neither a file nor pixels.
    """
    if case.problem is not None:
        raise ImageError(case.problem)
    keys = [key_of_file[file] for file in files_of(case)]
    for key in keys:
        if isinstance(key, ImageError):
            raise ImageError(str(key))
    if case.pixels is not None:
        keys.insert(0, content_key(case.pixels))
    elif case.path is None:
        raise ImageError(f"{case}: has neither a file nor pixels")
    return _joined(case, [str(key) for key in keys])


def _joined(case: Case, keys: list[str]) -> str:
    """One key of the image's and the foreground's, and of the place in the volume or slide."""
    part = case.slice or case.tile
    parts = [*keys, *([] if part is None else map(str, astuple(part)))]
    return parts[0] if len(parts) == 1 else content_key("|".join(parts).encode(), "parts")


def read_source(case: Case, volumes: OpenVolumes) -> Source:
    """The pixels of a case with all that belongs to them.

    Raises:
        ImageError: They cannot be read, or the foreground lies on another grid.
    """
    if case.problem is not None:
        raise ImageError(case.problem)
    if case.slice is not None and case.path is not None and case.pixels is None:
        return _slice_source(case, volumes)
    if case.tile is not None and case.path is not None:
        return Source(_joined(case, [slide_key(case.path)]), read_tile(case.path, case.tile))
    if case.pixels is not None:
        key, pixels = content_key(case.pixels), _array_image(case)
    else:
        assert case.path is not None, "a case without content has no key, and is not read"
        content = _content(case.path)
        key, pixels = content_key(content, suffix_of(case.path)), read_image(case.path, content)
    if case.foreground is None:
        return Source(key, pixels, window=partial(_window, case))
    content = _content(case.foreground)
    foreground = np.asarray(read_image(case.foreground, content).any(axis=2))
    if foreground.shape != pixels.shape[:2]:
        sizes = [" × ".join(map(str, shape)) for shape in (foreground.shape, pixels.shape[:2])]
        raise ImageError(f"{case.foreground}: is {sizes[0]} pixels where {case} is {sizes[1]}")
    keys = [key, content_key(content, suffix_of(case.foreground))]
    return Source(_joined(case, keys), pixels, foreground, window=partial(_window, case))


def _slice_source(case: Case, volumes: OpenVolumes) -> Source:
    assert case.slice is not None
    assert case.path is not None
    image, body = volumes.of(case)
    keys, foreground = [*image.keys], None
    if body is not None and case.foreground is not None:
        require_same_grid(case.path, case.foreground)
        keys += body.keys
        foreground = body.volume.slice(case.slice) != 0
    pixels = np.atleast_3d(image.volume.slice(case.slice))
    return Source(_joined(case, keys), pixels, foreground, image.statistics, partial(_window, case))


def _window(case: Case) -> tuple[float, float] | None:
    """Centre and width that the file of a case says to look at; DICOM alone does, and a series in its first file."""
    if case.pixels is not None or case.path is None:
        return None
    if not is_dicom(case.path):
        return None
    try:
        return window_of(headers_of(case.path, WINDOW_ELEMENTS))
    except OSError as error:
        raise ImageError(f"{case.path}: cannot be read ({error.strerror or error})") from error


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ImageError(f"{file}: cannot be read ({error.strerror or error})") from error


def _array_image(case: Case) -> np.ndarray:
    given = np.asarray(case.pixels)
    pixels = given[..., None] if given.ndim == 2 else given
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ImageError(f"has shape {given.shape}; an image is (H, W) or (H, W, C)")
    if pixels.dtype.kind not in "buif":
        raise ImageError(f"holds values of type {pixels.dtype}; an image holds numbers")
    if pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what overflows is refused with what was infinite
            pixels = pixels.astype(np.float32, copy=False)
        if not np.isfinite(pixels).all():
            raise ImageError("holds NaN or infinite values")
    return pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels
