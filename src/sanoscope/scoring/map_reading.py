"""From a raw map, such as of attention, to a map of what is abnormal, against what training normals have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor

SCALINGS = ("none", "maximum", "image", "training", "position")
# Of what training normals have inside, the percentiles that become 0 and 1: a few pixels in a thousand may go beyond,
# and what is darker than nearly all is not less than normal.
LOW, HIGH = 1.0, 99.9
# Beyond so many deviations a Gaussian has nothing left.
REACH = 4.0
# Statistics of a position are those of the places around it: σ as a share of the image's side, one cell of a map of
# half the resolution of 64 pixels.
AROUND = 1 / 32
# A place where normals hardly differ must not make an anomaly of noise: so much of the typical deviation is added; and
# the typical one is that of places which so many normals have.
LEAST_DEVIATION, ENOUGH = 0.3, 5.0


@dataclass(frozen=True, eq=False)
class NormalMaps:
    """The raw maps of some training normals, from which any reading of a map finds its scale.

    Attributes:
        maps: ``(N, H, W)`` float32 on the network's grid.
        inside: ``(N, H, W)`` bool.
    """

    maps: Tensor
    inside: Tensor


class MapReading:
    """How a raw map is read; see ``MapScoring`` for the arguments.

    Args:
        scaling: One of ``SCALINGS``.
        centred: Subtract the median inside.
        sign: 1 or −1.
        smoothing: σ in pixels.
        normal: What training normals have; needed for ``training`` and ``position``.
    """

    def __init__(
        self, scaling: str, centred: bool, sign: int, smoothing: float, normal: NormalMaps | None = None
    ) -> None:
        self.scaling = scaling
        self.centred = centred
        self.sign = sign
        self.smoothing = smoothing
        self.normal = normal

    @property
    def needs_normals(self) -> bool:
        """Whether the scale comes from training normals."""
        return self.scaling in ("training", "position")

    def __call__(self, raw: Tensor, inside: Tensor | None) -> Tensor:
        """A raw map ``(B, H, W)`` as one from 0 up; outside of ``inside`` ``(B, H, W)`` it means nothing."""
        values = self._leveled(raw, inside)
        if self.scaling == "none":
            return values.clamp(min=0)
        if self.scaling == "maximum":
            return _by_maximum(values.clamp(min=0), inside)
        if self.scaling == "image":
            return _between_extremes(values, inside)
        if self.scaling == "position":
            values = self._against_position(values)
        bottom, top = self._levels
        return ((values - bottom) / max(top - bottom, 1e-12)).clamp(min=0)

    def _leveled(self, raw: Tensor, inside: Tensor | None) -> Tensor:
        """Centred, signed and smoothed."""
        return smoothed(self.sign * (_centred(raw, inside) if self.centred else raw), inside, self.smoothing)

    def _against_position(self, values: Tensor) -> Tensor:
        """Deviations from what normals have at the same place."""
        mean, deviation = (statistic.to(values.device) for statistic in self._positions)
        return (values - mean) / deviation

    @cached_property
    def _normal_values(self) -> tuple[Tensor, Tensor]:
        assert self.normal is not None, "this scaling needs normals"
        return self._leveled(self.normal.maps, self.normal.inside), self.normal.inside

    @cached_property
    def _positions(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation ``(H, W)`` of normals at each place and around it."""
        values, inside = (tensor.double().numpy() for tensor in self._normal_values)
        sigma = AROUND * values.shape[-1]
        count, total, squares = (
            gaussian_filter(sums.sum(0), sigma) for sums in (inside, values * inside, values**2 * inside)
        )
        mean = total / np.maximum(count, 1)
        deviation = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
        often = count > min(ENOUGH, count.max() / 2)
        least = LEAST_DEVIATION * float(np.median(deviation[often])) if often.any() else 0.0
        return tuple(torch.from_numpy(array).float() for array in (mean, np.maximum(deviation + least, 1e-12)))  # type: ignore[return-value]

    @cached_property
    def _levels(self) -> tuple[float, float]:
        """What becomes 0 and 1."""
        values, inside = self._normal_values
        if self.scaling == "position":
            values = self._against_position(values)
        sample = values[inside].numpy()
        if not sample.size:  # images of which nothing is inside
            return 0.0, 1.0
        low, high = np.percentile(sample, (LOW, HIGH))
        return float(low), float(high)


def smoothed(maps: Tensor, inside: Tensor | None, sigma: float) -> Tensor:
    """Maps ``(B, H, W)`` with each value inside a weighted mean of those around it that are inside too."""
    if not sigma:
        return maps
    reach = math.ceil(REACH * sigma)
    distance = torch.arange(-reach, reach + 1, device=maps.device)
    weights = (-0.5 * (distance / sigma).square()).exp()
    counted = torch.ones_like(maps) if inside is None else inside.to(maps.dtype)

    def spread(values: Tensor) -> Tensor:
        down = F.conv2d(values[:, None], weights.view(1, 1, -1, 1), padding=(reach, 0))
        return F.conv2d(down, weights.view(1, 1, 1, -1), padding=(0, reach))[:, 0]

    with torch.autocast(maps.device.type, enabled=False):
        result: Tensor = spread(maps * counted) / spread(counted).clamp(min=1e-12)
    return result


def _centred(raw: Tensor, inside: Tensor | None) -> Tensor:
    """The raw map less its median inside, image by image."""
    looked_at = raw if inside is None else raw.masked_fill(~inside, math.nan)
    # An image of which nothing is inside has no median.
    return raw - looked_at.flatten(1).nanmedian(1).values.nan_to_num()[:, None, None]


def _by_maximum(values: Tensor, inside: Tensor | None) -> Tensor:
    """Divided by the greatest value inside each image, 0 outside."""
    values = values if inside is None else values * inside
    return values / values.amax((1, 2), keepdim=True).clamp(min=1e-12)


def _between_extremes(values: Tensor, inside: Tensor | None) -> Tensor:
    """From the least to the greatest value inside each image, 0 outside."""
    outside = torch.zeros_like(values, dtype=torch.bool) if inside is None else ~inside
    low = values.masked_fill(outside, math.inf).amin((1, 2), keepdim=True)
    high = values.masked_fill(outside, -math.inf).amax((1, 2), keepdim=True)
    scaled = ((values - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    # An image of which nothing is inside has no least and greatest value.
    return scaled.masked_fill(outside, 0.0)
