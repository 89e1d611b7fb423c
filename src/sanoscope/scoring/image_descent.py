"""Descent of an energy over the image itself: the loop that iterative projection and image restoration share."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def descended(
    images: Tensor,
    steps: int,
    slope: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    change: Callable[[int, Tensor, Tensor], Tensor],
    stop: float = -math.inf,
) -> Tensor:
    """Images ``(B, C, H, W)`` after their steps; each takes its own, whatever else is in the batch.

    Args:
        images: Where they start; they are left as they are.
        steps: The most steps of an image.
        slope: From the images that still move, ``(A, C, H, W)``, and their rows in the batch, ``(A,)``, to a level of
            each, ``(A,)``, and the energy's gradient, ``(A, C, H, W)``.
        change: From the step's number, counted from 1, the gradient and the rows to what an image loses in the step.
        stop: An image stops for good as soon as its level is no greater than this.
    """
    moved = images.detach().clone()
    active = torch.arange(len(images), device=images.device)
    for step in range(1, steps + 1):
        level, gradient = slope(moved[active], active)
        going = level > stop
        active, gradient = active[going], gradient[going]
        if not len(active):
            break
        moved[active] -= change(step, gradient, active)
    return moved
