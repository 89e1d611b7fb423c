"""Selvaraju et al.: Grad-CAM, of a variational encoder's mean as in Liu et al., differentiable through training."""

from __future__ import annotations

import torch
from torch import Tensor

WEIGHTINGS = ("gradient", "shared", "detached", "channel-mean")
# Ways from the latents' gradients to one map: that of their sum, as in Silva-Rodríguez et al.; and two of Liu et al.:
# the mean over latents of what each has above 0; and that of their sum by gradients of unit size, in absolute value.
FORMS = ("sum", "disentangled", "original")


def class_activation_map(
    mean: Tensor, activations: Tensor, weighting: str = "gradient", create_graph: bool = False
) -> Tensor:
    """``Σ_k α_k A_k`` with α the spatial mean of ``∂(Σ_j μ_j)/∂A``, without ReLU or sigmoid.

    The sum runs over the whole batch, which leaves each image its own gradient as long as nothing couples the images;
    batch norm in training mode does, slightly, as it does in the released code.

    Args:
        mean: Posterior means ``(B, L)`` that were computed from the activations with gradients enabled.
        activations: ``(B, K, h, w)``.
        weighting: ``gradient``; ``shared``, the mean of it over the batch, so that no image has an offset and scale of
            its own; ``detached``, the same but with α a constant for whatever differentiates the map;
            ``channel-mean`` weighs all channels alike (the journal release).
        create_graph: Let the map be differentiated, second-order gradients through α included.

    Returns:
        ``(B, h, w)`` float32.
    """
    # In half precision a sum over channels of both signs would lose what the map consists of.
    with torch.autocast(activations.device.type, enabled=False):
        if weighting == "channel-mean":
            return activations.float().mean(1)
        through = create_graph and weighting in ("gradient", "shared")
        (gradient,) = torch.autograd.grad(
            mean.sum(), activations, create_graph=through, retain_graph=create_graph or None
        )
        weights = gradient.float().mean((2, 3), keepdim=True)  # (B, K, 1, 1)
        if weighting == "shared":
            weights = weights.mean(0, keepdim=True)  # (1, K, 1, 1)
        return (weights * activations.float()).sum(1)


def channel_weights(mean: Tensor, activations: Tensor, form: str = "sum") -> Tensor:
    """α of each image, ``(B, K)`` float32, to be averaged over many images; ``(B, L, K)`` if disentangled.

    Args:
        mean: Posterior means ``(B, L)`` that were computed from the activations with gradients enabled.
        activations: ``(B, K, h, w)``.
        form: One of ``FORMS``. ``disentangled`` takes a backward pass for each latent.
    """
    if form != "disentangled":
        (gradient,) = torch.autograd.grad(mean.sum(), activations)
        gradient = gradient.float()
        if form == "original":
            gradient = gradient / gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
        return gradient.mean((2, 3))
    # One after the other: in one batch of gradients they take twice as long.
    of_latents = [
        torch.autograd.grad(latent.sum(), activations, retain_graph=True)[0].float().mean((2, 3))
        for latent in mean.unbind(1)
    ]
    return torch.stack(of_latents, 1)


def weighted_map(weights: Tensor, activations: Tensor, form: str = "sum") -> Tensor:
    """The map ``(B, h, w)`` float32 that channels make with given weights; no gradient flows through it.

    Args:
        weights: As ``channel_weights`` gives them in this form; a batch of 1 serves all images.
        activations: ``(B, K, h, w)``.
        form: One of ``FORMS``.
    """
    with torch.autocast(activations.device.type, enabled=False):
        activations = activations.detach().float()
        if form == "disentangled":
            of_latents = torch.einsum("blk,bkhw->blhw", weights.expand(len(activations), -1, -1), activations)
            return of_latents.relu().mean(1)
        summed = (weights[:, :, None, None] * activations).sum(1)
        return summed.abs() if form == "original" else summed
