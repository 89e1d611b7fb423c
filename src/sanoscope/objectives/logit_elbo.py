"""Reconstruction error of images in [0, 1] against logits, and the negative ELBO made of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sanoscope.objectives.elbo import LOGVAR_RANGE, Terms, gaussian_kl
from sanoscope.objectives.ssim import structural_similarity

RECONSTRUCTIONS = ("bce", "l2", "l1", "ssim")


def reconstruction_error(images: Tensor, logits: Tensor, kind: str) -> Tensor:
    """Error of each image, mean over channels and pixels: ``(B, C, H, W)`` in [0, 1] and its logits to ``(B,)``.

    ``bce`` is the binary cross-entropy; ``l2`` the squared and ``l1`` the absolute error, and ``ssim`` one less the
    structural similarity, all of the logits' sigmoid.
    """
    logits = logits.float()
    if kind == "bce":
        return F.binary_cross_entropy_with_logits(logits, images, reduction="none").flatten(1).mean(1)
    if kind == "ssim":
        return 1 - structural_similarity(images, logits.sigmoid())
    difference = images - logits.sigmoid()
    return (difference.abs() if kind == "l1" else difference.square()).flatten(1).mean(1)


class LogitELBO:
    """``L_R + β L_KL``, each a mean over the batch; ``L_R`` alone for a deterministic autoencoder.

    Args:
        reconstruction: One of ``RECONSTRUCTIONS``.
        reduction: ``mean`` or ``sum`` over the pixels and latent dimensions of an image.
        beta: Weight of the KL term; None has no such term.
    """

    def __init__(self, reconstruction: str, reduction: str, beta: float | None = None) -> None:
        self.reconstruction = reconstruction
        self.reduction = reduction
        self.beta = beta

    def __call__(self, images: Tensor, logits: Tensor, mean: Tensor, logvar: Tensor | None) -> Terms:
        """The loss of a batch.

        Args:
            images: ``(B, C, H, W)`` in [0, 1].
            logits: Of the reconstructions, ``(B, C, H, W)``.
            mean: ``(B, L)``.
            logvar: ``(B, L)``; None in a deterministic autoencoder.
        """
        pixels, dimensions = (images[0].numel(), mean.shape[1]) if self.reduction == "sum" else (1, 1)
        loss = pixels * reconstruction_error(images, logits, self.reconstruction).mean()
        logged = {"reconstruction": loss.detach()}
        if logvar is not None and self.beta is not None:
            loss = loss + self.beta * mean_kl(mean, logvar.clamp(*LOGVAR_RANGE)) * dimensions
            with torch.no_grad():  # what is reported is not clamped
                logged["kl"] = mean_kl(mean, logvar) * dimensions
        return Terms(loss, {"loss": loss.detach(), **logged})


def mean_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """Mean over batch and latent dimensions."""
    return gaussian_kl(mean, logvar).mean() / mean.shape[1]
