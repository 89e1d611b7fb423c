"""Steps on one image at a time: channels, foreground, crop and resize, each with its way back to the source grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np

from sanoscope.errors import ImageError, OptionError
from sanoscope.preparation.regions import body_of, brain_of, otsu
from sanoscope.preparation.resizing import resize
from sanoscope.preparation.volume_statistics import VolumeStatistics

FileWindow = Callable[[], tuple[float, float] | None]


def no_window() -> None:
    """The window of a file that says nothing of one."""


@dataclass(frozen=True)
class Picture:
    """An image on its way through the steps.

    Attributes:
        pixels: ``(H, W, C)``, in the file's own type until a step has to interpolate.
        foreground: ``(H, W)`` bool, what belongs to the body; None where everything does.
        trace: What each step that moved pixels needs to move them back, newest last.
        volume: Of the whole volume where the image is a slice of one.
        window: Gives centre and width of the values that the file says to look at; None where it does not.
    """

    pixels: np.ndarray
    foreground: np.ndarray | None = None
    trace: tuple[tuple[int, ...], ...] = ()
    volume: VolumeStatistics | None = None
    window: FileWindow = no_window


class GeometryStep(Protocol):
    """One step; a frozen dataclass, so that its settings are part of the cache's key."""

    def apply(self, picture: Picture) -> Picture:
        """The picture after the step; a step that moves pixels adds one record to the trace."""

    def restore(self, heatmap: np.ndarray, record: tuple[int, ...]) -> np.ndarray:
        """A map ``(h, w)`` on the grid that the picture had before the step."""

    def follow(self, mask: np.ndarray, record: tuple[int, ...]) -> np.ndarray:
        """A mask ``(H, W)`` moved as the step has moved the picture."""


class StillStep:
    """A step that leaves every pixel where it is."""

    def restore(self, heatmap: np.ndarray, record: tuple[int, ...]) -> np.ndarray:
        """The map as it is."""
        return heatmap

    def follow(self, mask: np.ndarray, record: tuple[int, ...]) -> np.ndarray:
        """The mask as it is."""
        return mask


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
    """Find what belongs to the body or the tissue; a foreground that came with the image is taken as it is.

    Attributes:
        method: ``"none"`` everything; ``"nonzero"`` any channel above zero (skull-stripped MR);
            ``"bright"`` or ``"dark"`` of Otsu's threshold on the mean channel (X-ray; tissue on white);
            ``"body"`` the largest bright region with its holes filled (MR whose background is not quite zero);
            ``"brain"`` the same without scalp and skull, see ``brain_of``.
        peel: For the brain, the depth that is left out, as a share of the image's longer side.
    """

    method: str = "none"
    peel: float = 0.055

    def apply(self, picture: Picture) -> Picture:
        """The picture with its foreground."""
        given, size = picture.foreground, picture.pixels.shape[:2]
        if given is not None and given.shape != size:
            height, width = given.shape
            raise ImageError(f"is {size[0]}×{size[1]}, but its foreground {height}×{width}; give one of its own size")
        found = given if given is not None and self.method != "none" else self._find(picture.pixels)
        return replace(picture, foreground=found, trace=(*picture.trace, ()))

    def _find(self, pixels: np.ndarray) -> np.ndarray | None:
        if self.method == "none":
            return None
        grey = pixels.mean(axis=2)
        if self.method == "nonzero":
            return np.asarray(pixels.any(axis=2))
        if self.method in ("body", "brain"):
            return body_of(grey) if self.method == "body" else brain_of(grey, self.peel)
        bright = grey > otsu(grey)
        return np.asarray(bright if self.method == "bright" else ~bright)


@dataclass(frozen=True)
class Crop:
    """Cut out a rectangle.

    Attributes:
        mode: ``"none"``; ``"centre"`` a square of ``size``; ``"square"`` the largest centred square;
            ``"foreground"`` the box around the foreground.
        size: Side of the centred square, in pixels; 0 takes the share.
        share: The same, as a share of the shorter side.
    """

    mode: str = "none"
    size: int = 0
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.mode == "centre" and self.size < 1 and not 0 < self.share < 1:
            raise OptionError(
                f"preparation.crop=centre needs preparation.crop_size, which is {self.size}, or a crop_share below 1"
            )

    def apply(self, picture: Picture) -> Picture:
        """The part of the picture inside the rectangle."""
        height, width = picture.pixels.shape[:2]
        top, left, bottom, right = self._box(picture)
        return replace(
            picture,
            pixels=picture.pixels[top:bottom, left:right],
            foreground=None if picture.foreground is None else picture.foreground[top:bottom, left:right],
            trace=(*picture.trace, (height, width, top, left)),
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
        side = min(height, width)
        if self.mode == "centre":
            side = self.size or max(round(self.share * side), 1)
        if side > min(height, width):
            raise ImageError(f"is {height}×{width}; too small for preparation.crop_size or random_crop of {side}")
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

    def follow(self, mask: np.ndarray, record: tuple[int, ...]) -> np.ndarray:
        """The mask from the rectangle's corner on; ``Resize`` knows how much of it was in the rectangle."""
        _, _, top, left = record
        return mask[top:, left:]


@dataclass(frozen=True)
class Resize:
    """Bring every picture to one size, anti-aliased when shrinking.

    8-bit pictures stay 8-bit, as in the usual PIL pipelines; others become float32, which holds every
    16-bit level.

    Attributes:
        size: Height and width in pixels.
        interpolation: One of ``resizing.INTERPOLATIONS``.
    """

    size: int = 64
    interpolation: str = "bicubic"

    def apply(self, picture: Picture) -> Picture:
        """The picture at the new size."""
        height, width = picture.pixels.shape[:2]
        foreground = None if picture.foreground is None else self.follow(picture.foreground, (height, width))
        pixels = resize(picture.pixels, (self.size, self.size), self.interpolation)
        return replace(picture, pixels=pixels, foreground=foreground, trace=(*picture.trace, (height, width)))

    def restore(self, heatmap: np.ndarray, record: tuple[int, ...]) -> np.ndarray:
        """The map at the old size, bilinearly."""
        height, width = record
        return resize(heatmap[..., None], (height, width), "bilinear")[..., 0]

    def follow(self, mask: np.ndarray, record: tuple[int, ...]) -> np.ndarray:
        """The mask at the new size: pixels of which half is in it."""
        height, width = record
        shares = resize(mask[:height, :width, None].astype(np.float32), (self.size, self.size), "area")[..., 0]
        return np.asarray(shares >= 0.5)


@dataclass(frozen=True)
class Geometry:
    """The steps in their order.

    Attributes:
        steps: Applied first to last, restored last to first.
    """

    steps: tuple[GeometryStep, ...]

    def apply(
        self,
        pixels: np.ndarray,
        foreground: np.ndarray | None = None,
        volume: VolumeStatistics | None = None,
        window: FileWindow = no_window,
    ) -> Picture:
        """An image through every step.

        Args:
            pixels: ``(H, W, C)``.
            foreground: ``(H, W)`` bool that came with the image; it is taken where a foreground is asked for at all.
            volume: Of the volume that the image is a slice of.
            window: Gives centre and width of the values that its file says to look at, where a step asks.
        """
        picture = Picture(pixels, foreground, volume=volume, window=window)
        for step in self.steps:
            picture = step.apply(picture)
        return picture

    def restore(self, heatmap: np.ndarray, trace: tuple[tuple[int, ...], ...]) -> np.ndarray:
        """A map ``(h, w)`` float32 back on the grid of the file that the trace belongs to."""
        heatmap = np.asarray(heatmap, np.float32)
        for step, record in zip(reversed(self.steps), reversed(trace), strict=True):
            heatmap = step.restore(heatmap, record)
        return heatmap

    def follow(self, mask: np.ndarray, trace: tuple[tuple[int, ...], ...]) -> np.ndarray:
        """A mask ``(H, W)`` bool on the grid of the file that the trace belongs to, on the network's grid."""
        for step, record in zip(self.steps, trace, strict=True):
            mask = step.follow(mask, record)
        return mask

    def to_json(self) -> list[dict[str, Any]]:
        """Every step with its settings; two geometries with equal JSON give equal pictures."""
        return [{"step": type(step).__name__.lower(), **asdict(step)} for step in self.steps]  # type: ignore[call-overload]
