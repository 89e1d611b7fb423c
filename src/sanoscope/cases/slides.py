"""Whole slides, read region by region through OpenSlide, so that a slide never has to fit in memory.

Reading takes ``BLOCK`` × ``BLOCK`` pixels of a level at a time, four times the pixels that are asked for, and
OpenSlide's cache, ``open_slides.CACHE_BYTES``, however large the slide is and whatever levels it has.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.cases.case import SlideTile
from sanoscope.cases.dicom_header import begins_like_dicom
from sanoscope.cases.open_slides import library, naming, opened
from sanoscope.cases.readers import is_read
from sanoscope.cases.suffixes import DICOM, SLIDES, suffix_of
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = SLIDES
# TIFFs that may be slides or plain images; a scanner's are slides, a pyramid of more than this along a side too.
MAYBE = (".tif", ".tiff")
LEAST_PYRAMID_SIDE = 2048
BLOCK = 2048
# Bounds on what headers, which may lie, can ask for: pixels of a level that are read for one picture, those for each
# byte of the file where they are more than few, and pixels of a picture.
MOST_READ, MOST_A_BYTE, FEW, LARGEST_PICTURE = 2**32, 1000, 2**28, 2**26
# A level that is this much smaller than what is asked for still counts as large enough: scanners round their levels.
ROUNDING = 1.01
# Magnification times micrometres per pixel: 40 times is a quarter of a micrometre.
MAGNIFIED_MICROMETRES = 10.0
# What is read of a file to tell it from others: so many pieces of so many bytes, evenly over it.
PIECES, PIECE_BYTES = 16, 2**16


@dataclass(frozen=True)
class SlideFacts:
    """What a slide says of itself.

    Attributes:
        path: The file.
        width: Of level 0, in pixels.
        height: Likewise.
        mpp: Micrometres per pixel of level 0, across and down; None where it does not tell.
        objective: Magnification of level 0, as told or from ``mpp``; None where neither is told.
        vendor: Of the format, as OpenSlide calls it.
        downsamples: Of each level.
        fingerprint: OpenSlide's hash of the smallest level, the same for all files of one slide; empty where it is too
            large for that.
    """

    path: Path
    width: int
    height: int
    mpp: tuple[float, float] | None
    objective: float | None
    vendor: str
    downsamples: tuple[float, ...]
    fingerprint: str


def is_slide(path: Path) -> bool:
    """Whether a file is a slide: by its suffix, or of a TIFF or DICOM file by its header.

    A TIFF is one where it is a scanner's, or a pyramid too large to be a patch. Without OpenSlide none is.
    """
    suffix = suffix_of(path)
    if suffix in SLIDES:
        return True
    in_dicom = suffix in DICOM or (not is_read(path) and begins_like_dicom(path))
    if not in_dicom and suffix not in MAYBE:
        return False
    try:
        vendor = library().OpenSlide.detect_format(path)
        if vendor is None or in_dicom:
            return vendor is not None
        if vendor != "generic-tiff":
            return True
        facts = facts_of(path)
    except (ImageError, OSError):
        return False
    return len(facts.downsamples) > 1 and max(facts.width, facts.height) > LEAST_PYRAMID_SIDE


def facts_of(path: Path) -> SlideFacts:
    """What a slide says of itself, from its header.

    Raises:
        ImageError: It is missing, damaged, or no slide that OpenSlide opens.
    """
    with naming(path):
        slide = opened(path)
        width, height = slide.dimensions
        across, down = (_number(slide.properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
        mpp = (across, down) if across and down else None
        objective = _number(slide.properties.get("openslide.objective-power"))
        if objective is None and mpp is not None and mpp[0] < MAGNIFIED_MICROMETRES:  # more is a resolution for print
            objective = MAGNIFIED_MICROMETRES / mpp[0]
        vendor = slide.properties.get("openslide.vendor", "unknown")
        fingerprint = slide.properties.get("openslide.quickhash-1", "")
        return SlideFacts(path, width, height, mpp, objective, vendor, tuple(slide.level_downsamples), fingerprint)


def slide_key(path: Path) -> str:
    """What tells a slide from any other, without reading gigabytes.

    It is made of the file's size, pieces of it that lie evenly over it, and OpenSlide's hash of the smallest level.

    Raises:
        ImageError: As ``facts_of``.
    """
    with naming(path):
        return _key(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1024)
def _key(path: Path, _changed: int) -> str:
    """Kept, as each tile that is read asks for it."""
    size = path.stat().st_size
    digest = hashlib.blake2b(f"{size} {facts_of(path).fingerprint}".encode(), digest_size=16)
    with path.open("rb") as stream:
        for start in np.linspace(0, max(size - PIECE_BYTES, 0), PIECES).astype(int):
            stream.seek(start)
            digest.update(stream.read(PIECE_BYTES))
    return digest.hexdigest()


def read_tile(path: Path, tile: SlideTile) -> np.ndarray:
    """The pixels of a tile, ``(size, size, 3)`` uint8.

    They are read from the smallest level that is not too small, and shrunk from there by means over whole blocks of
    pixels, as scanners make their levels, and, for what is left, less than a half, by Lanczos' filter, as a mean over
    fractions of pixels would alias. What lies beyond the slide is white.

    Raises:
        ImageError: As ``facts_of``, or the tile's part of the file is damaged.
    """
    return read_region(path, (tile.x, tile.y), (tile.side, tile.side), (tile.size, tile.size))


def thumbnail(path: Path, longest: int) -> np.ndarray:
    """The whole slide at a size at which its longer side is ``longest``, or its own where it is smaller; RGB uint8.

    Raises:
        ImageError: As ``read_tile``.
    """
    facts = facts_of(path)
    scale = min(longest / max(facts.width, facts.height), 1)
    size = max(round(facts.width * scale), 1), max(round(facts.height * scale), 1)
    return read_region(path, (0, 0), (facts.width, facts.height), size)


def read_region(path: Path, corner: tuple[int, int], extent: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """A rectangle of a slide, ``(height, width, 3)`` uint8.

    Args:
        path: The slide.
        corner: Its left and upper edge in pixels of level 0; may lie beyond the slide.
        extent: Its width and height in pixels of level 0.
        size: The width and height in pixels that it is wanted at.

    Raises:
        ImageError: As ``read_tile``, or it is too large to be read.
    """
    from PIL import Image

    with naming(path):
        if size[0] * size[1] > LARGEST_PICTURE:
            raise ImageError(f"{size[0]} × {size[1]} pixels at once are too many; ask for less, such as smaller tiles")
        slide = opened(path)
        wanted = min(extent[0] / size[0], extent[1] / size[1])
        level = max(
            (number for number, downsample in enumerate(slide.level_downsamples) if downsample <= wanted * ROUNDING),
            default=0,
        )
        downsample = slide.level_downsamples[level]
        found = max(round(extent[0] / downsample), 1), max(round(extent[1] / downsample), 1)
        if found[0] * found[1] > min(MOST_READ, max(FEW, MOST_A_BYTE * path.stat().st_size)):
            raise ImageError(
                f"has no level smaller than {found[0]} × {found[1]} pixels for a picture of {size[0]} × {size[1]}; "
                "save it as a pyramid, such as by 'vips tiffsave --tile --pyramid'"
            )
        factor = max(min(found[0] // size[0], found[1] // size[1]), 1)
        image = _reduced(slide, level, corner, found, factor)
        if image.size != size:  # the last row and column of means may be of fewer pixels than the others
            image = image.resize(size, Image.Resampling.LANCZOS, (0, 0, found[0] / factor, found[1] / factor))
        return np.asarray(image)


def _reduced(slide: Any, level: int, corner: tuple[int, int], found: tuple[int, int], factor: int) -> Image.Image:
    """A rectangle of a level, each ``factor`` × ``factor`` of its pixels as their mean, read block by block."""
    from PIL import Image

    width, height = found
    whole = Image.new("RGB", (ceil(width / factor), ceil(height / factor)))
    side = max(BLOCK // factor, 1) * factor
    downsample = slide.level_downsamples[level]
    for top in range(0, height, side):
        for left in range(0, width, side):
            place = round(corner[0] + left * downsample), round(corner[1] + top * downsample)
            read = slide.read_region(place, level, (min(side, width - left), min(side, height - top)))
            block = Image.new("RGB", read.size, _background(slide))
            block.paste(read, mask=read.getchannel("A"))
            whole.paste(block.reduce(factor) if factor > 1 else block, (left // factor, top // factor))
    return whole


def _background(slide: Any) -> str:
    return f"#{slide.properties.get('openslide.background-color', 'FFFFFF')}"


def _number(text: str | None) -> float | None:
    """A property as a number above 0, where it is one."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None
