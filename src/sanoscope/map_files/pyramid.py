"""A map at falling resolutions as TIFF files: its values for measuring, its colours for looking."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope.map_files.area_means import Lines, area_means

# Side of the squares that files are cut into; the lowest level is one of them.
BLOCK = 256
# Bytes that are compressed at a time.
BUFFER = 2**24


@dataclass(frozen=True)
class Pyramid:
    """A map of a slide at several resolutions, each half the one before.

    Attributes:
        levels: ``(H, W)`` float32 each, the finest first.
        lines: Of each level.
        reduction: Side of a pixel of the finest level, in pixels of level 0 of the slide.
    """

    levels: Sequence[np.ndarray]
    lines: Sequence[Lines]
    reduction: int

    @classmethod
    def of(cls, finest: np.ndarray, width: int, height: int, reduction: int) -> Pyramid:
        """The pyramid over a map ``(H, W)`` of a slide of this width and height; lower levels are means over areas."""
        levels, lines = [finest], [Lines.of_reduction(width, height, reduction)]
        while max(levels[-1].shape) > BLOCK:
            lines.append(Lines.of_reduction(width, height, reduction * 2 ** len(lines)))
            levels.append(area_means(levels[-1], *lines[-2:]))
        return cls(levels, lines, reduction)


def write_values(file: Path, pyramid: Pyramid, name: str, about: str, mpp: tuple[float, float] | None) -> None:
    """Write an OME-TIFF of one float32 channel whose lower levels are SubIFDs, as Bio-Formats and QuPath open it.

    Args:
        file: To write; folders are made.
        pyramid: What to write.
        name: Of the channel.
        about: What it shows.
        mpp: Micrometres of a pixel of level 0 of the slide along x and y, where they are known.
    """
    metadata: dict[str, Any] = {"axes": "YX", "Description": about, "Channel": {"Name": [name]}}
    if mpp is not None:
        metadata |= {
            key: value
            for axis, size in zip("XY", mpp, strict=True)
            for key, value in ((f"PhysicalSize{axis}", size * pyramid.reduction), (f"PhysicalSize{axis}Unit", "µm"))
        }
    below = len(pyramid.levels) - 1
    _write(
        file,
        pyramid,
        lambda values: values,
        {"photometric": "minisblack"},
        [{"subifds": below, "metadata": metadata}, *[{"subfiletype": 1}] * below],
        mpp,
        ome=True,
    )


def write_colours(
    file: Path,
    pyramid: Pyramid,
    coloured: Callable[[np.ndarray], np.ndarray],
    about: str,
    mpp: tuple[float, float] | None,
) -> None:
    """Write a TIFF of red, green and blue whose lower levels are pages of their own, as OpenSlide opens it.

    Args:
        file: To write; folders are made.
        pyramid: What to write.
        coloured: From part of a map ``(H, W)`` to its colours ``(H, W, 3)`` uint8.
        about: What it shows.
        mpp: As in ``write_values``.
    """
    plain_about = about.encode("ascii", "replace").decode()  # TIFF's own description knows no other letters
    _write(
        file,
        pyramid,
        coloured,
        {"photometric": "rgb", "metadata": None},
        [{"description": plain_about}, *[{"subfiletype": 1}] * (len(pyramid.levels) - 1)],
        mpp,
    )


def _write(
    file: Path,
    pyramid: Pyramid,
    shown: Callable[[np.ndarray], np.ndarray],
    kind: dict[str, Any],
    levels: Sequence[dict[str, Any]],
    mpp: tuple[float, float] | None,
    ome: bool = False,
) -> None:
    import tifffile

    file.parent.mkdir(parents=True, exist_ok=True)
    sample = shown(pyramid.levels[-1][:1, :1])
    with tifffile.TiffWriter(file, ome=ome) as writer:
        for number, (values, level) in enumerate(zip(pyramid.levels, levels, strict=True)):
            pixel = pyramid.reduction * 2**number
            resolution = None if mpp is None else tuple(10_000 / (size * pixel) for size in mpp)
            writer.write(
                (shown(block) for block in _blocks(values)),
                shape=(*values.shape, *sample.shape[2:]),
                dtype=sample.dtype,
                tile=(BLOCK, BLOCK),
                compression="zlib",
                buffersize=BUFFER,
                resolution=resolution,
                resolutionunit="NONE" if mpp is None else "CENTIMETER",
                **kind,
                **level,
            )


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(0, values.shape[0], BLOCK):
        for left in range(0, values.shape[1], BLOCK):
            yield values[top : top + BLOCK, left : left + BLOCK]
