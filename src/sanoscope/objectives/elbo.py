"""The evidence lower bound of Gaussian VAEs, with the reductions that papers report."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Outside this range exp(logvar) only overflows; a trained encoder stays far inside.
LOGVAR_RANGE = (-30.0, 20.0)


class Terms(NamedTuple):
    """An objective and what to log of it.

    Attributes:
        loss: The scalar to minimise.
        logged: Per-image means of per-image sums, detached scalars by name.
        summed: Whether the loss is a sum over the batch, and not a mean.
    """

    loss: Tensor
    logged: dict[str, Tensor]
    summed: bool = False


def squared_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """``Σ (x − x̂)²`` over channels and pixels of each image: ``(B, C, H, W)`` twice to ``(B,)``."""
    return (images - reconstructions.float()).square().flatten(1).sum(1)


def absolute_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Mean of ``|x − x̂|`` over channels and pixels of each image: ``(B, C, H, W)`` twice to ``(B,)``."""
    return (images - reconstructions.float()).abs().flatten(1).mean(1)


def gaussian_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """``−½ Σ (1 + logσ² − μ² − σ²)`` over latent dimensions: ``(B, L)`` twice to ``(B,)``, to N(0, I)."""
    return -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(1)


class NegativeELBO:
    """``Σ_batch SSE + β Σ_batch KL``, not divided by the batch size (Sikdar et al., released code).

    Args:
        beta: Weight of the KL term.
        annealing: Raise the KL weight linearly from 0.01·β to β over the training.
    """

    def __init__(self, beta: float, annealing: bool) -> None:
        self.beta = beta
        self.annealing = annealing

    def __call__(
        self, images: Tensor, reconstructions: Tensor, mean: Tensor, logvar: Tensor, progress: float = 1.0
    ) -> Terms:
        """The loss of a batch.

        Args:
            images: ``(B, C, H, W)``.
            reconstructions: ``(B, C, H, W)``.
            mean: ``(B, L)``.
            logvar: ``(B, L)``.
            progress: How much of the training is done, 0 to 1.
        """
        weight = self.beta * (0.01 + 0.99 * progress if self.annealing else 1.0)
        reconstruction = squared_error(images, reconstructions)  # (B,)
        kl = gaussian_kl(mean, logvar.clamp(*LOGVAR_RANGE))  # (B,)
        loss = reconstruction.sum() + weight * kl.sum()
        with torch.no_grad():  # what is reported is not clamped
            reported = gaussian_kl(mean, logvar)
        logged = {"reconstruction": reconstruction.detach().mean(), "kl": reported.mean()}
        return Terms(loss, logged, summed=True)
