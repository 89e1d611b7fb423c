"""Gaussian smoothing of pixel maps, as the code that Zhou et al. build on does to absolute gradients."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIZE = 7
SIGMA = 3.0


def gaussian_weights(like: Tensor) -> Tensor:
    """The kernel along one axis, ``(7,)``, summing to 1; the square one is its outer product with itself.

    Args:
        like: Gives device and dtype.
    """
    distance = torch.arange(SIZE, device=like.device, dtype=like.dtype) - SIZE // 2
    weights = (-0.5 * (distance / SIGMA).square()).exp()
    return weights / weights.sum()


def smooth(maps: Tensor) -> Tensor:
    """Maps ``(B, H, W)`` convolved with a 7×7 Gaussian of σ 3 pixels; zeros lie around the image."""
    weights = gaussian_weights(maps)
    margin = SIZE // 2
    padded = F.pad(maps, (margin, margin, margin, margin))
    # Not a convolution, which autocast would carry out in bfloat16.
    across = (padded.unfold(2, SIZE, 1) * weights).sum(-1)  # (B, H + 6, W)
    return (across.unfold(1, SIZE, 1) * weights).sum(-1)
