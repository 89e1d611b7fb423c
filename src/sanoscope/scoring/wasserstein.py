"""The distance between two images' intensity distributions (Sikdar et al., evaluation code)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def wasserstein(images: Tensor, reconstructions: Tensor) -> Tensor:
    """1-D Wasserstein-1 distance of pooled intensities, ``(B, C, H, W)`` twice to ``(B,)``.

    With equal numbers of values it is the mean absolute difference of the sorted values. It does not see where
    pixels are: a permutation of the image has distance 0.
    """
    difference = _sorted(images) - _sorted(reconstructions.float())
    return difference.abs_().mean(1)


def _sorted(images: Tensor) -> Tensor:
    # Pooling forgets the order anyway, so the values are taken as they lie in memory, without a copy.
    values = images.permute(0, 2, 3, 1).flatten(1)
    if values.device.type == "cpu":
        # NumPy's vectorised sort takes a tenth of the time of torch's on a CPU.
        return torch.from_numpy(np.sort(values.numpy(), axis=1))
    return values.sort(1).values
