"""A step on one image at a time: values scaled by the image's own statistics, or by those of its whole volume."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sanoscope.errors import OptionError
from sanoscope.preparation.geometry import Picture, StillStep
from sanoscope.preparation.volume_statistics import VolumeStatistics

MODES = ("z-score", "percentiles", "maximum", "robust", "contrast")
# Those that have no statistics but the image's own.
IMAGE_MODES = ("robust", "contrast")
STATISTICS = ("image", "volume")
# Values that differ by less, relative to their mean, are one value: float32 holds hardly more digits.
MEDIAN_AT, RANGE_WIDE = 0.4, 0.1
LEAST_CONTRAST = 1e-6


@dataclass(frozen=True)
class OwnScale(StillStep):
    """Make images comparable whose units are arbitrary, as those of MR are, each by itself.

    It stands before anything is interpolated, so that the statistics are those of the file, and z-scored brain
    fades into a background of 0.

    Attributes:
        mode: ``"z-score"`` zero mean and unit variance of the foreground, the background becomes 0;
            ``"percentiles"`` to [0, 1] between two percentiles of the foreground;
            ``"robust"`` the foreground's median at 0.4 and its interquartile range 0.1 wide, within [0, 1], where the
            background becomes 0: a lesion hardly moves them, and is far above them;
            ``"contrast"`` zero mean and unit mean absolute value of the foreground, the background becomes 0: what Ruff
            et al. call global contrast normalisation by the L1 norm;
            ``"maximum"`` divided by the largest value, to [0, 1] where none is negative.
        statistics: ``"image"``; or ``"volume"``, of the non-zero voxels of the volume that the image is a slice of,
            and of the image where it is none.
        percentiles: The lower and upper percentile.
    """

    mode: str
    statistics: str = "image"
    percentiles: tuple[float, ...] = (1.0, 99.0)

    def __post_init__(self) -> None:
        if self.mode in ("percentiles", *IMAGE_MODES) and self.statistics == "volume":
            raise OptionError(
                "preparation.statistics=volume goes with preparation.intensity=z-score or maximum; "
                f"{self.mode} is of the image"
            )

    def apply(self, picture: Picture) -> Picture:
        """The picture with scaled values, float32."""
        if self.statistics == "volume" and picture.volume is not None:
            offset, scale = self._of_volume(picture.volume)
        else:
            offset, scale = self._of_image(picture)
        if scale <= LEAST_CONTRAST * abs(offset):  # blank: nothing to divide by
            scale = 1.0
        pixels = ((picture.pixels.astype(np.float64) - offset) / scale).astype(np.float32)
        if self.mode == "robust":
            pixels = (MEDIAN_AT + RANGE_WIDE * pixels).clip(0, 1)
        if self.mode in ("z-score", *IMAGE_MODES) and picture.foreground is not None:
            pixels[~picture.foreground] = 0
        return replace(picture, pixels=pixels, trace=(*picture.trace, ()))

    def _of_volume(self, volume: VolumeStatistics) -> tuple[float, float]:
        if self.mode == "maximum":
            return 0.0, volume.maximum
        return volume.foreground_mean, volume.foreground_deviation

    def _of_image(self, picture: Picture) -> tuple[float, float]:
        if self.mode == "maximum":
            return 0.0, float(picture.pixels.max())
        inside = picture.foreground
        values = picture.pixels if inside is None or not inside.any() else picture.pixels[inside]
        values = values.astype(np.float64)
        if self.mode == "z-score":
            return float(values.mean()), float(values.std())
        if self.mode == "contrast":
            mean = values.mean()
            return float(mean), float(np.abs(values - mean).mean())
        if self.mode == "robust":
            low, median, high = np.percentile(values, (25, 50, 75))
            return float(median), float(high - low)
        low, high = np.percentile(values, self.percentiles)
        return float(low), float(high - low)
