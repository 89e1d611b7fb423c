"""A lower bound on how much of an image attention covers: extended log-barrier, or penalties (Silva-Rodríguez et al.).

The bound is ``1 − mean(a) − p ≤ 0`` for an attention ``a`` in (0, 1) and a share ``p`` that it may leave out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

CONSTRAINTS = ("barrier", "l2-image", "l2-pixel", "l1", "none")


def extended_log_barrier(violation: Tensor, sharpness: float) -> Tensor:
    """``ψ_t``: ``−log(−c)/t`` for ``c ≤ −1/t²``, and beyond it its tangent ``t·c − log(1/t²)/t + 1/t``.

    Args:
        violation: ``c`` of any shape, wanted at most 0.
        sharpness: ``t``; the larger, the closer to a wall at 0.
    """
    edge = -1 / sharpness**2
    # Clamped, as the gradient of the branch that is not taken must be finite too.
    barrier = -torch.log(-violation.clamp(max=edge)) / sharpness
    tangent = sharpness * violation + (2 * math.log(sharpness) + 1) / sharpness
    return torch.where(violation <= edge, barrier, tangent)


def mean_over(attention: Tensor, weights: Tensor | None) -> Tensor:
    """Mean ``(B,)`` of ``(B, h, w)``, weighted by ``(B, h, w)`` where that is given."""
    if weights is None:
        return attention.mean((1, 2))
    return (attention * weights).sum((1, 2)) / weights.sum((1, 2))


def area_weights(inside: Tensor, attention: Tensor) -> Tensor:
    """The share of each cell of an attention ``(B, h, w)`` that is inside, of ``(B, H, W)`` bool.

    An image of which nothing is inside counts as a whole.
    """
    _, height, width = attention.shape
    shares = F.adaptive_avg_pool2d(inside[:, None].float(), (height, width))[:, 0]
    empty = ~inside.flatten(1).any(1)
    return shares.masked_fill(empty[:, None, None], 1.0)


def size_penalty(
    attention: Tensor,
    constraint: str,
    slack: float,
    sharpness: float,
    two_sided: bool = False,
    weights: Tensor | None = None,
) -> Tensor:
    """What each image pays for attention that is too small, ``(B, h, w)`` to ``(B,)``.

    ``barrier`` is ``ψ_t(c)`` of the image's ``c = 1 − mean(a) − p``; ``l2-image`` is ``max(0, c)²``; ``l2-pixel`` the
    mean over positions of ``max(0, 1 − a − p)²``; ``l1`` is ``max(0, c)``, which with p = 0 is the mean of ``1 − a``
    and so the pixel-level L1 of CAVGA too.

    Args:
        attention: In (0, 1).
        constraint: One of ``CONSTRAINTS`` but ``none``.
        slack: ``p``.
        sharpness: ``t`` of the barrier.
        two_sided: Leave out the ``max`` of the penalties, so that attention that is too large pays as well.
        weights: Of the positions, ``(B, h, w)``; None weighs all alike.
    """
    lacking = 1 - attention - slack  # (B, h, w)
    violation = mean_over(lacking, weights)  # (B,)
    if constraint == "barrier":
        return extended_log_barrier(violation, sharpness)
    if constraint == "l2-pixel":
        return mean_over((lacking if two_sided else lacking.clamp(min=0)).square(), weights)
    if constraint == "l2-image":
        return (violation if two_sided else violation.clamp(min=0)).square()
    return violation.abs() if two_sided else violation.clamp(min=0)
