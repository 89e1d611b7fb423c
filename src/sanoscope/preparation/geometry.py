"""Steps on one image at a time: channels, foreground, crop and resize, each with its way back to the source grid."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np
from PIL import Image

from sanoscope.errors import ImageError, OptionError

INTERPOLATIONS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
}


@dataclass(frozen=True)
class Picture:
    """An image on its way through the steps.

    Attributes:
        pixels: ``(H, W, C)``, in the file's own type until a step has to interpolate.
        foreground: ``(H, W)`` bool, what belongs to the body; None where everything does.
        trace: What each step that moved pixels needs to move them back, newest last.
    """

    pixels: np.ndarray
    foreground: np.ndarray | None = None
    trace: tuple[tuple[int, ...], ...] = ()


class GeometryStep(Protocol):
    """One step; a frozen dataclass, so that its settings are part of the cache's key."""

    def apply(self, picture: Picture) -> Picture:
        """The picture after the step; a step that moves pixels adds one record to the trace."""

    def restore(self, heatmap: np.ndarray, record: tuple[int, ...]) -> np.ndarray:
        """A map ``(h, w)`` on the grid that the picture had before the step."""


class StillStep:
    """A step that leaves every pixel where it is, and so has nothing to restore."""

    def restore(self, heatmap: np.ndarray, record: tuple[int, ...]) -> np.ndarray:
        """The map as it is."""
        return heatmap


@dataclass(frozen=True)
class Channels(StillStep):
    """Choose the channels.

    Attributes:
        mode: ``"native"`` as in the file; ``"grey"`` their luminance (ITU-R 601, as PIL) or mean;
            ``"rgb"`` three, with grey repeated.
    """

    mode: str = "native"

    def apply(self, picture: Picture) -> Picture:
        """The picture with other channels."""
        pixels = picture.pixels
        count = pixels.shape[2]
        if self.mode == "grey" and count > 1:
            weights = np.array([0.299, 0.587, 0.114]) if count == 3 else np.full(count, 1 / count)
            grey = (pixels @ weights)[..., None]
            pixels = np.rint(grey).astype(pixels.dtype) if pixels.dtype.kind in "iu" else grey.astype(np.float32)
        elif self.mode == "rgb" and count == 1:
            pixels = np.repeat(pixels, 3, axis=2)
        elif self.mode == "rgb" and count != 3:
            raise ImageError(f"has {count} channels, which cannot become RGB; set preparation.channels=native")
        return replace(picture, pixels=pixels, trace=(*picture.trace, ()))


@dataclass(frozen=True)
class Foreground(StillStep):
    """Find what belongs to the body or the tissue.

    Attributes:
        method: ``"none"`` everything; ``"nonzero"`` any channel above zero (skull-stripped MR);
            ``"bright"`` or ``"dark"`` of Otsu's threshold on the mean channel (X-ray; tissue on white).
    """

    method: str = "none"

    def apply(self, picture: Picture) -> Picture:
        """The picture with its foreground."""
        return replace(picture, foreground=self._find(picture.pixels), trace=(*picture.trace, ()))

    def _find(self, pixels: np.ndarray) -> np.ndarray | None:
        if self.method == "none":
            return None
        grey = pixels.mean(axis=2)
        if self.method == "nonzero":
            return np.asarray(pixels.any(axis=2))
        threshold = otsu(grey)
        return np.asarray(grey > threshold if self.method == "bright" else grey <= threshold)


def otsu(values: np.ndarray) -> float:
    """Otsu's threshold: the cut between two classes that maximises the variance between them (256 bins).

    The upper class is what lies above the threshold; where all values are equal it is empty.
    """
    values = np.asarray(values, np.float64)  # float32 cannot always place 256 edges between two values
    if values.min() == values.max():
        return float(values.flat[0])
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    # A bin holds its lower edge, so that edge belongs to the upper class.
    return float(np.nextafter(edges[1:-1][np.nanargmax(between)], -np.inf))


@dataclass(frozen=True)
class Crop:
    """Cut out a rectangle.

    Attributes:
        mode: ``"none"``; ``"centre"`` a square of ``size``; ``"square"`` the largest centred square;
            ``"foreground"`` the box around the foreground.
        size: Side of the centred square, in pixels.
    """

    mode: str = "none"
    size: int = 0

    def __post_init__(self) -> None:
        if self.mode == "centre" and self.size < 1:
            raise OptionError(f"preparation.crop=centre needs preparation.crop_size, which is {self.size}")

    def apply(self, picture: Picture) -> Picture:
        """The part of the picture inside the rectangle."""
        height, width = picture.pixels.shape[:2]
        top, left, bottom, right = self._box(picture)
        return Picture(
            picture.pixels[top:bottom, left:right],
            None if picture.foreground is None else picture.foreground[top:bottom, left:right],
            (*picture.trace, (height, width, top, left)),
        )

    def _box(self, picture: Picture) -> tuple[int, int, int, int]:
        height, width = picture.pixels.shape[:2]
        if self.mode == "none":
            return 0, 0, height, width
        if self.mode == "foreground":
            if picture.foreground is None:
                raise OptionError("preparation.crop=foreground needs a foreground; set preparation.foreground")
            rows, columns = np.flatnonzero(picture.foreground.any(1)), np.flatnonzero(picture.foreground.any(0))
            if not rows.size:
                raise ImageError("has no foreground to crop to")
            return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
        side = min(height, width) if self.mode == "square" else self.size
        if side > min(height, width):
            raise ImageError(f"is {height}×{width}, smaller than preparation.crop_size={side}")
        top, left = (height - side) // 2, (width - side) // 2
        return top, left, top + side, left + side

    def restore(self, heatmap: np.ndarray, record: tuple[int, ...]) -> np.ndarray:
        """The map inside the whole picture; what was cut away gets 0, as nothing was seen there."""
        height, width, top, left = record
        if heatmap.shape == (height, width):
            return heatmap
        whole = np.zeros((height, width), heatmap.dtype)
        whole[top : top + heatmap.shape[0], left : left + heatmap.shape[1]] = heatmap
        return whole


@dataclass(frozen=True)
class Resize:
    """Bring every picture to one size, anti-aliased when shrinking.

    8-bit pictures stay 8-bit, as in the usual PIL pipelines; others become float32, which holds every
    16-bit level.

    Attributes:
        size: Height and width in pixels.
        interpolation: One of ``INTERPOLATIONS``.
    """

    size: int = 64
    interpolation: str = "bicubic"

    def apply(self, picture: Picture) -> Picture:
        """The picture at the new size."""
        height, width = picture.pixels.shape[:2]
        foreground = picture.foreground
        if foreground is not None:
            foreground = resize(foreground.astype(np.float32)[..., None], (self.size, self.size), "area")[..., 0] >= 0.5
        pixels = resize(picture.pixels, (self.size, self.size), self.interpolation)
        return Picture(pixels, foreground, (*picture.trace, (height, width)))

    def restore(self, heatmap: np.ndarray, record: tuple[int, ...]) -> np.ndarray:
        """The map at the old size, bilinearly."""
        height, width = record
        return resize(heatmap[..., None], (height, width), "bilinear")[..., 0]


def resize(pixels: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    """``(H, W, C)`` at another height and width; uint8 stays uint8, everything else becomes float32.

    Deeper images are treated as PIL treats 8-bit ones: whole numbers stay whole, and bicubic interpolation does
    not overshoot, here the range of the image, so that neither bit depth nor [0, 1] is lost.
    """
    whole = pixels.dtype.kind in "iu"
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32, copy=False)
    if pixels.shape[:2] == size:
        return pixels
    method, target = INTERPOLATIONS[interpolation], (size[1], size[0])
    if pixels.dtype == np.uint8 and pixels.shape[2] == 3:
        return np.asarray(Image.fromarray(pixels).resize(target, method))
    channels = np.moveaxis(pixels, 2, 0)
    resized = [np.asarray(Image.fromarray(np.ascontiguousarray(c)).resize(target, method)) for c in channels]
    stacked = np.stack(resized, axis=2)
    if pixels.dtype == np.uint8:
        return stacked
    stacked = stacked.clip(pixels.min(), pixels.max())
    return np.rint(stacked) if whole else stacked


@dataclass(frozen=True)
class Geometry:
    """The steps in their order.

    Attributes:
        steps: Applied first to last, restored last to first.
    """

    steps: tuple[GeometryStep, ...]

    def apply(self, pixels: np.ndarray) -> Picture:
        """An image ``(H, W, C)`` through every step."""
        picture = Picture(pixels)
        for step in self.steps:
            picture = step.apply(picture)
        return picture

    def restore(self, heatmap: np.ndarray, trace: tuple[tuple[int, ...], ...]) -> np.ndarray:
        """A map ``(h, w)`` float32 back on the grid of the file that the trace belongs to."""
        heatmap = np.asarray(heatmap, np.float32)
        for step, record in zip(reversed(self.steps), reversed(trace), strict=True):
            heatmap = step.restore(heatmap, record)
        return heatmap

    def to_json(self) -> list[dict[str, Any]]:
        """Every step with its settings; two geometries with equal JSON give equal pictures."""
        return [{"step": type(step).__name__.lower(), **asdict(step)} for step in self.steps]  # type: ignore[call-overload]
