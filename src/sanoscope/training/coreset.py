"""Few points that are close to all others."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def projected(points: Tensor, dimensions: int, generator: torch.Generator) -> Tensor:
    """Points ``(N, D)`` in fewer dimensions, at random, which hardly changes distances (Johnson, Lindenstrauss).

    Args:
        points: Any.
        dimensions: Of the result ``(N, dimensions)``; 0, or no fewer than there are, leaves the points as they are.
        generator: On the CPU.
    """
    if not 0 < dimensions < points.shape[1]:
        return points
    directions = torch.randn(points.shape[1], dimensions, generator=generator) / math.sqrt(dimensions)
    return points @ directions.to(points.device)


def greedy_centres(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Numbers ``(count,)`` of points, each the farthest from those before it: the greedy solution of k centres.

    The farthest point from the chosen ones is then no farther than twice what the best choice could reach (Gonzalez:
    Clustering to minimize the maximum intercluster distance). Takes N·D operations for each.

    Args:
        points: ``(N, D)`` float32.
        count: At most N.
        generator: Of the first one, on the CPU.
    """
    lengths = points.square().sum(1)
    chosen = [int(torch.randint(len(points), (1,), generator=generator))]
    nearest = torch.full_like(lengths, math.inf)
    while len(chosen) < count:
        latest = chosen[-1]
        # Squared distances, without the differences themselves.
        torch.minimum(
            nearest, torch.addmv(lengths, points, points[latest], alpha=-2).add_(lengths[latest]), out=nearest
        )
        nearest[latest] = -math.inf
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen, device=points.device)
