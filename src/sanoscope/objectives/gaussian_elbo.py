"""The evidence lower bound with a unit-variance Gaussian likelihood, mean over the batch (Zhou et al.)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sanoscope.objectives.elbo import LOGVAR_RANGE, Terms, gaussian_kl

# −log N(0; 0, 1): what a perfectly reconstructed value still costs. It moves no gradient and no ranking.
LEAST_NLL = 0.5 * math.log(2 * math.pi)


def half_squared_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """``½ (x − x̂)²``, the Gaussian negative log-likelihood without its constant, ``(B, C, H, W)`` throughout."""
    return 0.5 * (images - reconstructions.to(images.dtype)).square()


def gaussian_nll(images: Tensor, reconstructions: Tensor) -> Tensor:
    """``Σ ½ (x − x̂)² + ½ log 2π`` over channels and pixels of each image: ``(B, C, H, W)`` twice to ``(B,)``."""
    return half_squared_error(images, reconstructions).flatten(1).sum(1) + LEAST_NLL * images[0].numel()


class GaussianNegativeELBO:
    """Mean over the batch of ``L_rec + β L_KL``, both summed within an image.

    As ``L_rec`` sums over thousands of pixels of variance 1, a β of 10 is still a weak regulariser.

    Args:
        beta: Weight of the KL term.
    """

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def __call__(
        self, images: Tensor, reconstructions: Tensor, mean: Tensor, logvar: Tensor, progress: float = 1.0
    ) -> Terms:
        """The loss of a batch.

        Args:
            images: ``(B, C, H, W)``.
            reconstructions: ``(B, C, H, W)``.
            mean: ``(B, L)``.
            logvar: ``(B, L)``.
            progress: How much of the training is done; β does not depend on it.
        """
        reconstruction = gaussian_nll(images, reconstructions).mean()
        loss = reconstruction + self.beta * gaussian_kl(mean, logvar.clamp(*LOGVAR_RANGE)).mean()
        with torch.no_grad():  # what is reported is not clamped
            reported = gaussian_kl(mean, logvar).mean()
        # The loss too, as it is a mean over images already.
        logged = {"loss": loss.detach(), "reconstruction": reconstruction.detach(), "kl": reported}
        return Terms(loss, logged)
