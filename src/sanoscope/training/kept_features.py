"""Features of all training images, computed once: half of what a perceptual loss takes in each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from sanoscope.preparation.intensity import Intensity
from sanoscope.preparation.pictures import Pictures

# Images in a pass; always the same ones together, so that a resumed training has the same features to the last bit.
BATCH = 64


class PreparedPictures:
    """Pictures as a network gets them, in their order.

    Args:
        pictures: Of training normals.
        intensity: Fitted.
        device: Where the network is.
    """

    def __init__(self, pictures: Pictures, intensity: Intensity, device: torch.device | str) -> None:
        self.pictures = pictures
        self.intensity = intensity
        self.device = device

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, rows: np.ndarray) -> Tensor:
        """Images ``(B, C, H, W)`` by their numbers."""
        pixels, foreground = self.pictures.batch(rows)
        inside = None if foreground is None else torch.from_numpy(foreground).to(self.device)
        return self.intensity.apply(torch.from_numpy(pixels).to(self.device), inside)


class KeptFeatures:
    """Features by layer, kept where they fit.

    Args:
        images: All that training goes through.
        most_bytes: How much memory they may take.
        dtype: That they are kept in: the arithmetic's, which rounds what they are compared with as well.
    """

    def __init__(self, images: PreparedPictures, most_bytes: int, dtype: torch.dtype) -> None:
        self.images = images
        self.most_bytes = most_bytes
        self.dtype = dtype
        self._features: dict[str, Tensor] | None = None

    def __deepcopy__(self, memo: object) -> KeptFeatures:
        """Itself: a copy of what is trained, such as its average, has the same images."""
        return self

    def of(self, compute: Callable[[Tensor], Mapping[str, Tensor]], rows: Tensor | None) -> dict[str, Tensor] | None:
        """Features of some of the images, by layer; None where they do not fit, or are not known to be of these.

        Args:
            compute: Features of images ``(B, C, H, W)``; called for all images when they are first asked for.
            rows: Which images, ``(B,)``.
        """
        if rows is None or not self.most_bytes:
            return None
        if self._features is None:
            self._features = self._computed(compute)
        if not self._features:
            return None
        return {layer: features[rows] for layer, features in self._features.items()}

    @torch.no_grad()
    def _computed(self, compute: Callable[[Tensor], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        kept: dict[str, Tensor] = {}
        for begin in range(0, len(self.images), BATCH):
            found = compute(self.images.batch(np.arange(begin, min(begin + BATCH, len(self.images)))))
            if not begin:
                sizes = {layer: (len(self.images), *features.shape[1:]) for layer, features in found.items()}
                numbers = sum(int(np.prod(size)) for size in sizes.values())
                if numbers * self.dtype.itemsize > self.most_bytes:
                    return {}
                kept = {
                    layer: torch.empty(size, dtype=self.dtype, device=found[layer].device)
                    for layer, size in sizes.items()
                }
            for layer, features in found.items():
                kept[layer][begin : begin + len(features)] = features
        return kept
