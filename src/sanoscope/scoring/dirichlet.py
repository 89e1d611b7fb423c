"""The likeliest Dirichlet distribution that some shares can be of (Minka: Estimating a Dirichlet distribution)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.special import digamma, polygamma

# Newton steps to an inverse digamma; five give fourteen digits, says Minka.
NEWTON_STEPS = 5
# Below this value another approximation is the better one to start from.
LOW = -2.22
MOST_ITERATIONS = 1000
# An estimate is found once it moves no further than this.
TOLERANCE = 1e-9
# Shares that are all but equal ask for an infinite precision.
LEAST_SPREAD = 1e-6


def likeliest(means: Tensor, log_means: Tensor) -> Tensor:
    """Parameters ``(D, K)`` of the likeliest distributions, by Minka's fixed point.

    Args:
        means: Of each share over the samples of each distribution, ``(D, K)`` float64, in all 1.
        log_means: Of each share's logarithm, ``(D, K)``, which is all that the likelihood knows of the samples.
    """
    found = _start(means, log_means)
    moving = torch.arange(len(found))
    for _ in range(MOST_ITERATIONS):
        before = found[moving]
        after = inverse_digamma(digamma(before.sum(1, keepdim=True)) + log_means[moving])
        found[moving] = after
        moving = moving[(after - before).norm(dim=1) >= TOLERANCE]
        if not len(moving):
            break
    return found


def inverse_digamma(values: Tensor) -> Tensor:
    """``x > 0`` where ``ψ(x)`` is each of the float64 values, by Newton's method from Minka's approximation."""
    found = torch.where(values >= LOW, values.exp() + 0.5, -1 / (values.clamp(max=LOW) + np.euler_gamma))
    for _ in range(NEWTON_STEPS):
        found = found - (digamma(found) - values) / polygamma(1, found)
    return found


def _start(means: Tensor, log_means: Tensor) -> Tensor:
    """The means, times the precision that Stirling's formula gives."""
    spread = (torch.xlogy(means, means) - means * log_means).sum(1, keepdim=True).clamp(min=LEAST_SPREAD)
    return means * (means.shape[1] - 1) * np.euler_gamma / spread
