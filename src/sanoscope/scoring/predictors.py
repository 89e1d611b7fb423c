"""Zhou, Deng, Wu: Unsupervised anomaly localization using VAE and beta-VAE (the pixel predictors).

All of them look at an image once, with the posterior mean as its latent. Absolute values stand where the paper omits
them, and the reconstruction term is the negative log-likelihood, so that higher is more abnormal throughout.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor

from sanoscope.networks.autoencoder import VAEOutput, VariationalAutoencoder
from sanoscope.objectives.elbo import LOGVAR_RANGE, gaussian_kl
from sanoscope.objectives.gaussian_elbo import half_squared_error
from sanoscope.scoring.smoothing import smooth

# The losses whose gradients with respect to the image each predictor is made of.
PREDICTORS: dict[str, frozenset[str]] = {
    "rec-grad": frozenset({"rec"}),
    "elbo-grad": frozenset({"elbo"}),
    "kl-grad": frozenset({"kl"}),
    "rec-error": frozenset(),
    "combi": frozenset({"kl"}),
    "ensemble": frozenset({"rec", "kl"}),
}
# What the ensemble weighs, in the order of its weights. ELBO-grad is left out as the sum of two of them.
ENSEMBLE = ("rec-error", "kl-grad", "rec-grad")


def signed_gradients(
    network: VariationalAutoencoder, images: Tensor, losses: Collection[str], beta: float
) -> tuple[VAEOutput, dict[str, Tensor]]:
    """A forward pass with the posterior mean, and gradients of each image's losses with respect to the image.

    They go through encoder, decoder and, for the reconstruction loss, the image it is compared with. One backward
    pass gives a single loss's gradient; two give all three, that of the KL through the encoder alone.

    Args:
        network: In evaluation mode.
        images: ``(B, C, H, W)``.
        losses: Whose gradients are wanted: ``rec``, ``kl``, ``elbo`` (their sum, the KL weighted); may be empty.
        beta: Weight of the KL in ``elbo``.

    Returns:
        The forward pass, and signed gradients ``(B, C, H, W)`` by loss; there may be more than were wanted.
    """
    wanted = frozenset(losses)
    pixels = images.detach().requires_grad_(bool(wanted))
    gradients = {}
    with torch.set_grad_enabled(bool(wanted)):
        mean, logvar = (part.to(images.dtype) for part in network.encode(pixels))
        with torch.set_grad_enabled(not wanted <= {"kl"}):
            reconstruction = network.decode(mean).to(images.dtype)
        # Summed over the batch, not averaged: the gradient of an image must not depend on how many there are.
        rec = half_squared_error(pixels, reconstruction).sum()
        kl = gaussian_kl(mean, logvar.clamp(*LOGVAR_RANGE)).sum()
        if wanted == {"elbo"}:
            gradients["elbo"] = _gradient(rec + beta * kl, pixels)
        else:
            if wanted & {"kl", "elbo"}:
                gradients["kl"] = _gradient(kl, pixels, retain_graph=wanted != {"kl"})
            if wanted & {"rec", "elbo"}:
                gradients["rec"] = _gradient(rec, pixels)
    if wanted > {"elbo"}:
        gradients["elbo"] = gradients["rec"] + beta * gradients["kl"]
    return VAEOutput(reconstruction.detach(), mean.detach(), logvar.detach()), gradients


def _gradient(loss: Tensor, pixels: Tensor, retain_graph: bool = False) -> Tensor:
    # Only the image's gradient is asked for, so none is computed for any weight.
    (gradient,) = torch.autograd.grad(loss, pixels, retain_graph=retain_graph)
    return gradient


def predictor_maps(
    names: Collection[str],
    images: Tensor,
    reconstructions: Tensor,
    gradients: dict[str, Tensor],
    ensemble_weights: Collection[float],
    smoothing: bool,
) -> dict[str, Tensor]:
    """Pixel scores ``(B, H, W)`` by predictor, each summed over channels.

    Args:
        names: Of ``PREDICTORS``.
        images: ``(B, C, H, W)``.
        reconstructions: ``(B, C, H, W)``.
        gradients: Signed, ``(B, C, H, W)``, of every loss that the predictors are made of.
        ensemble_weights: Of the predictors in ``ENSEMBLE``, in the logarithm of the odds.
        smoothing: Smooth absolute gradients; the error is left as it is.
    """
    error = half_squared_error(images, reconstructions).sum(1)
    maps = {"rec-error": error}
    for loss, gradient in gradients.items():
        size = gradient.abs().sum(1)
        maps[f"{loss}-grad"] = smooth(size) if smoothing else size
    if "combi" in names:
        # The gradient is not scaled by the batch's extremes, which would make an image's map depend on its company.
        maps["combi"] = maps["kl-grad"] * error
    if "ensemble" in names:
        weighted = (weight * maps[name] for weight, name in zip(ensemble_weights, ENSEMBLE, strict=True))
        # −log(1 − p) of the logistic regression's p, but for the intercept: not negative whatever the weights' signs.
        maps["ensemble"] = F.softplus(torch.stack([*weighted]).sum(0))
    return {name: maps[name] for name in names}
