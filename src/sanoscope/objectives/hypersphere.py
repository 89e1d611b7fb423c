"""Ruff et al.: Deep one-class classification: latents of normal images are drawn to one point."""

from __future__ import annotations

import torch
from torch import Tensor

from sanoscope.objectives.elbo import Terms, squared_error

# A coordinate of the centre that is all but 0 could be matched by weights of 0.
LEAST_COORDINATE = 0.1


def squared_distance(latents: Tensor, centre: Tensor) -> Tensor:
    """``‖z − c‖²`` of latents ``(B, L)`` to a centre ``(L,)``, ``(B,)``."""
    return (latents - centre).square().sum(1)


def centre_of(mean: Tensor) -> Tensor:
    """The centre ``(L,)`` for latents of this mean ``(L,)``: no coordinate nearer to 0 than 0.1; its sign stays."""
    least = torch.where(mean < 0, -LEAST_COORDINATE, LEAST_COORDINATE)
    return torch.where(mean.abs() < LEAST_COORDINATE, least, mean)


class HypersphereObjective:
    """The mean squared distance of a batch's latents to the centre; before that, of images to their reconstructions."""

    def __call__(self, latents: Tensor, centre: Tensor) -> Terms:
        """The loss of a batch, for latents ``(B, L)`` and a centre ``(L,)``."""
        return _mean("distance", squared_distance(latents, centre))

    def pretraining(self, images: Tensor, reconstructions: Tensor) -> Terms:
        """The loss of a batch while an autoencoder is trained, for images ``(B, C, H, W)`` twice."""
        return _mean("reconstruction", squared_error(images, reconstructions))


def _mean(name: str, values: Tensor) -> Terms:
    loss = values.mean()
    return Terms(loss, {"loss": loss.detach(), name: loss.detach()})
