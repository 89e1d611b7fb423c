"""Rudin, Osher, Fatemi: Nonlinear total variation based noise removal algorithms (its anisotropic, discrete form)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def total_variation(images: Tensor, rounding: float = 0.0) -> Tensor:
    """``Σ |x_(i+1,j) − x_(i,j)| + |x_(i,j+1) − x_(i,j)|`` of each image: ``(B, C, H, W)`` to ``(B,)``.

    Channels are summed. Between equal neighbours the slope is 0, of all that it could be, so that a gradient leaves a
    constant image as it is.

    Args:
        images: ``(B, C, H, W)``.
        rounding: ``ε``; instead of a difference's ``|d|`` take ``d² / 2ε`` below it and ``|d| − ε / 2`` from it on, so
            that the slope does not jump (Huber).
    """
    return _size(images.diff(dim=2), rounding) + _size(images.diff(dim=3), rounding)


def _size(differences: Tensor, rounding: float) -> Tensor:
    return (
        F.smooth_l1_loss(differences, torch.zeros_like(differences), reduction="none", beta=rounding).flatten(1).sum(1)
    )
