"""What one look at a case tells: every file is really read once, in parallel, as training and scoring would."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.masks import true_mask
from sanoscope.console import track
from sanoscope.errors import ImageError
from sanoscope.preparation.decode import chunks_of
from sanoscope.preparation.resizing import resize
from sanoscope.preparation.sources import OpenVolumes, read_source
from sanoscope.preparation.workers import spread

# Pixels along a side that statistics are taken of; of larger images, every second, third … row and column.
MOST_PIXELS = 1024
# The small grey picture that copies are told by: twice the 8 × 9 that a difference hash compares.
SMALL = (16, 18)
# A border belongs to the background where this close to its median, as a share of the image's own range.
NEAR = 0.06


@dataclass(frozen=True, eq=False)
class Look:
    """What the pixels of a case tell.

    Attributes:
        size: Height and width in pixels.
        channels: How many.
        dtype: As stored, such as ``"uint16"``.
        low: The least value.
        high: The largest value.
        top: The 99.5th percentile.
        mean: Of all channels, in the unit of the file.
        deviation: Standard deviation of the grey image.
        colour: Mean of each channel.
        same_channels: Whether three channels are all the same: a grey image stored as RGB.
        zeros: Share of pixels that are exactly 0 in all channels.
        at_top: Share of pixels at the largest value of the image.
        border: Median of the outermost pixels.
        flat_border: Share of the outermost pixels close to that.
        small: The grey image, stretched to its own range, ``SMALL`` uint8.
        abnormal: Pixels in its mask; None without a mask, and of slices and tiles, whose label is made from it.
        mask_reason: Why its mask cannot be used; None where it can.
    """

    size: tuple[int, int]
    channels: int
    dtype: str
    low: float
    high: float
    top: float
    mean: float
    deviation: float
    colour: tuple[float, ...]
    same_channels: bool
    zeros: float
    at_top: float
    border: float
    flat_border: float
    small: np.ndarray
    abnormal: int | None
    mask_reason: str | None


def look_at(cases: Cases, workers: int | None = None) -> list[Look | str]:
    """What each case tells, or why it cannot be read, in order.

    Args:
        cases: Read one by one; of a volume, all slices together.
        workers: How many are read at once; the number of cores where None.
    """
    chunks = chunks_of(list(cases))
    in_memory = any(case.pixels is not None for case in cases)  # which would have to be sent to other processes
    looked = spread(_look_at_chunk, chunks, workers or os.cpu_count() or 1, processes=not in_memory)
    done = chain.from_iterable(track(looked, "reading", len(chunks)))
    names = [case.name for chunk in chunks for case in chunk]
    of_name = dict(zip(names, done, strict=True))
    return [of_name[case.name] for case in cases]


def _look_at_chunk(cases: Sequence[Case]) -> list[Look | str]:
    volumes = OpenVolumes()
    return [_look_at_one(case, volumes) for case in cases]


def _look_at_one(case: Case, volumes: OpenVolumes) -> Look | str:
    try:
        pixels = read_source(case, volumes).pixels
    except ImageError as error:
        reason = str(error)
        named = any(reason.startswith(str(name)) for name in (case, case.path, case.foreground) if name is not None)
        return reason if named else f"{case}: {reason}"
    return look_at_pixels(pixels, *_mask_of(case, pixels.shape[:2]))


def _mask_of(case: Case, size: tuple[int, int]) -> tuple[int | None, str | None]:
    """How many pixels its mask has, or why it cannot be used."""
    if case.slice is not None or case.tile is not None or (case.mask is None and case.mask_pixels is None):
        return None, None
    try:
        mask = true_mask(case, size)
    except ImageError as error:
        return None, str(error)
    return (None if mask is None else int(mask.sum())), None


def look_at_pixels(pixels: np.ndarray, abnormal: int | None = None, mask_reason: str | None = None) -> Look:
    """What the pixels ``(H, W, C)`` of an image tell; for the rest see ``Look``."""
    height, width, channels = pixels.shape
    step = -(-max(height, width) // MOST_PIXELS)
    seen = pixels[::step, ::step]
    low, high = float(pixels.min()), float(pixels.max())
    grey = seen.mean(axis=2, dtype=np.float32)
    colour = seen.mean(axis=(0, 1), dtype=np.float64)
    edge = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    border = float(np.median(edge))
    return Look(
        size=(height, width),
        channels=channels,
        dtype=str(pixels.dtype),
        low=low,
        high=high,
        top=float(np.percentile(grey, 99.5)),
        mean=float(colour.mean()),
        deviation=float(grey.std(dtype=np.float64)),
        colour=tuple(colour.tolist()),
        same_channels=channels == 3 and bool((seen == seen[..., :1]).all()),
        zeros=float((grey == 0).mean()) if low == 0 else 0.0,
        at_top=float((grey >= high).mean()),
        border=border,
        flat_border=float((np.abs(edge - border) <= NEAR * (high - low)).mean()),
        small=_small(grey),
        abnormal=abnormal,
        mask_reason=mask_reason,
    )


def _small(grey: np.ndarray) -> np.ndarray:
    shrunk = resize(grey[..., None], SMALL, "area")[..., 0]
    low, high = shrunk.min(), shrunk.max()
    stretched = (shrunk - low) * (255 / (high - low)) if high > low else np.zeros_like(shrunk)
    return np.asarray(np.rint(stretched), np.uint8)
