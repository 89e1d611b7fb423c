"""Scores of an isolation forest. Liu, Ting, Zhou: Isolation forest."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sanoscope.networks.isolation_forest import IsolationForest
from sanoscope.scoring.scored import Scored, Scoring, deciding_first


class IsolationScoring(Scoring):
    """Score images by how soon a forest has parted them from all others; it does not say where they are abnormal.

    Score: ``isolation`` in (0, 1): 0.5 is what random trees take on average, and near 1 is alone at once.

    Args:
        score: The score that decides.
        precision: ``float32``, ``bfloat16`` or ``auto``; of the frozen network.
    """

    def __init__(self, score: str, precision: str) -> None:
        super().__init__(deciding_first("score", score, ("isolation",), ()), precision)

    @torch.no_grad()
    def __call__(self, network: IsolationForest, images: Tensor, inside: Tensor | None = None) -> Scored:
        """Score images ``(B, C, H, W)``; see ``Scoring``."""
        return Scored({"isolation": isolation(network, self.latents(network, images))}, {})


def isolation(network: IsolationForest, features: Tensor) -> Tensor:
    """The score ``(B,)`` of images by their features ``(B, L)``; float64, on the CPU, as some devices have none."""
    steps, images = (found.cpu() for found in network.leaves(features))
    every = network.memory.get_buffer("images")[0, 0].cpu()  # training image of a tree
    return 2 ** (-(steps + expected_steps(images)).mean(1) / expected_steps(every))


def expected_steps(images: Tensor) -> Tensor:
    """Steps that random trees take on average to part one of so many images from the others; float64.

    Liu, Ting, Zhou, equation 1, with the harmonic number by logarithm, as in scikit-learn.
    """
    others = (images.double() - 1).clamp(min=1)
    steps = 2 * (others.log() + np.euler_gamma) - 2 * others / (others + 1)
    return torch.where(images > 2, steps, others * (images == 2))
