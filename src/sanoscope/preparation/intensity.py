"""Steps on whole batches: intensities made comparable, with what has to be learned learned from training normals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor

from sanoscope.errors import DataError, OptionError

# Those that need nothing to be done to an image before.
MODES = ("unit", "symmetric", "z-score", "percentiles", "maximum")
# Enough for a percentile to three digits, and small enough to sort in memory.
SAMPLED_PIXELS = 5_000_000


class Intensity:
    """Map stored pixel values to the range that networks are trained on.

    Modes: ``unit`` to [0, 1] and ``symmetric`` to [−1, 1] by the full scale of the data (0–255 for 8-bit;
    for deeper integers the bit depth that the training normals use, so 12 bits in a 16-bit file fill the
    range; for floats [0, 1] or, beyond it, the training range); ``z-score`` to zero mean and unit variance
    of the foreground; ``percentiles`` to [0, 1] between two percentiles of the foreground; ``maximum`` divided by
    the largest training value; ``contrast`` to [0, 1] by the least and the largest training value, of images whose
    contrast ``OwnScale`` has normalised. Images that it has scaled otherwise need nothing learned: unfitted, values
    stay as they are but for the background and the limits. Values are never clipped unless ``clip`` is set, since a
    value beyond the training range is itself a finding.

    Args:
        mode: One of ``MODES``, or of those of ``OwnScale``.
        percentiles: The lower and upper percentile.
        clip: Limit values to ±clip after z-scoring, or to the target range otherwise; 0 is off.
    """

    def __init__(
        self,
        mode: str = "symmetric",
        percentiles: tuple[float, ...] = (1.0, 99.0),
        clip: float = 0.0,
    ) -> None:
        if len(percentiles) != 2 or not 0 <= percentiles[0] < percentiles[1] <= 100:
            raise OptionError(f"preparation.percentiles takes a lower and an upper one, not {list(percentiles)}")
        self.mode = mode
        self.percentiles = percentiles
        self.clip = clip
        self.offset_: float = 0.0
        self.scale_: float = 1.0

    def fit(self, batches: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> Intensity:
        """Learn the scale from training normals.

        Args:
            batches: Pixels ``(B, H, W, C)`` as stored and foreground ``(B, H, W)`` or None.
        """
        low, high, total, total_squared, count = np.inf, -np.inf, 0.0, 0.0, 0
        samples: list[np.ndarray] = []
        share = SAMPLED_PIXELS // 100  # of each batch, until there are more than a hundred
        generator = np.random.default_rng(0)
        dtype = None
        for pixels, foreground in batches:
            dtype = pixels.dtype
            values = pixels[foreground] if foreground is not None and foreground.any() else pixels
            values = values.astype(np.float64).ravel()
            low, high = min(low, float(pixels.min())), max(high, float(pixels.max()))
            total, total_squared, count = total + values.sum(), total_squared + (values**2).sum(), count + values.size
            if self.mode == "percentiles":
                samples.append(generator.choice(values, min(values.size, share), replace=False))
                if sum(map(len, samples)) > SAMPLED_PIXELS:  # thin all batches alike, so that the last count too
                    samples, share = [sample[::2] for sample in samples], share // 2
        if dtype is None:
            raise DataError("no training image could be read, so no intensity scale can be learned")
        if self.mode == "z-score":
            mean = total / count
            self.offset_, self.scale_ = mean, max(np.sqrt(max(total_squared / count - mean**2, 0.0)), 1e-6)
        elif self.mode == "percentiles":
            bottom, top = np.percentile(np.concatenate(samples), self.percentiles)
            self.offset_, self.scale_ = float(bottom), max(float(top - bottom), 1e-6)
        elif self.mode == "maximum":
            self.offset_, self.scale_ = 0.0, max(high, 1e-6)
        elif self.mode == "contrast":
            self.offset_, self.scale_ = low, max(high - low, 1e-6)
        else:
            bottom, top = full_scale(dtype, low, high)
            self.offset_, self.scale_ = bottom, top - bottom
        return self

    def apply(self, pixels: Tensor, foreground: Tensor | None = None) -> Tensor:
        """Stored pixels ``(B, H, W, C)`` as network input ``(B, C, H, W)`` float32, channels last in memory."""
        images = pixels.permute(0, 3, 1, 2).float()  # (B, C, H, W)
        images = (images - self.offset_) / self.scale_
        if foreground is not None and self.mode == "z-score":
            images = images * foreground[:, None]  # the background is 0, the mean of the foreground
        if self.mode == "symmetric":
            images = images * 2 - 1
        if self.clip:
            images = images.clamp(*self._limits())
        return images

    def _limits(self) -> tuple[float, float]:
        return {"z-score": (-self.clip, self.clip), "symmetric": (-1.0, 1.0)}.get(self.mode, (0.0, 1.0))

    def display_range(self, images: Tensor) -> tuple[float, float]:
        """The values of prepared ``images`` that should be shown as black and white."""
        if self.mode == "symmetric":
            return -1.0, 1.0
        if self.mode == "z-score":
            return float(images.min()), float(images.max())
        return 0.0, 1.0

    def to_json(self) -> dict[str, Any]:
        """What was learned."""
        return {"offset": self.offset_, "scale": self.scale_}

    def load_json(self, state: dict[str, Any]) -> Intensity:
        """Put back what was learned."""
        self.offset_, self.scale_ = state["offset"], state["scale"]
        return self


def full_scale(dtype: np.dtype, low: float, high: float) -> tuple[float, float]:
    """The range of values that the data could have taken, from their type and the range they did take."""
    if dtype == np.uint8:
        return 0.0, 255.0
    whole = float(high).is_integer() and float(low).is_integer()
    if low >= 0 and high > 1 and whole:  # integers stored as float32: the fewest bits that hold them
        return 0.0, float(2 ** int(np.ceil(np.log2(high + 1))) - 1)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    return low, max(high, low + 1e-6)
