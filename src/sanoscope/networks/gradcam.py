"""Selvaraju et al.: Grad-CAM, of a variational encoder's mean as in Liu et al., differentiable through training."""

from __future__ import annotations

import torch
from torch import Tensor

WEIGHTINGS = ("gradient", "shared", "detached", "channel-mean")


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


def channel_weights(mean: Tensor, activations: Tensor) -> Tensor:
    """α of each image, ``(B, K)`` float32, to be averaged over many images.

    Args:
        mean: Posterior means ``(B, L)`` that were computed from the activations with gradients enabled.
        activations: ``(B, K, h, w)``.
    """
    (gradient,) = torch.autograd.grad(mean.sum(), activations)
    return gradient.float().mean((2, 3))
