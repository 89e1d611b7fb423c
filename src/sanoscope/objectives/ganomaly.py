"""Akçay, Atapour-Abarghouei, Breckon: GANomaly: semi-supervised anomaly detection via adversarial training."""

from __future__ import annotations

from torch import Tensor

from sanoscope.objectives.adversarial import AgainstCritic
from sanoscope.objectives.elbo import Terms, absolute_error


def latent_error(latents: Tensor, again: Tensor) -> Tensor:
    """Mean over dimensions of ``(z − ẑ)²``: ``(B, L)`` twice to ``(B,)``."""
    return (latents.float() - again.float()).square().mean(1)


class GANomalyObjective(AgainstCritic):
    """Errors of pixels and of latents by their weights, each a mean over the batch, and what a critic adds.

    Args:
        reconstruction: Weight of the absolute error of pixels.
        latent: Weight of the squared error between the latents of images and of their reconstructions.
        adversarial: Weight of ``BCE(D(x̂), 1)``; 0 leaves it out.
        features: Weight of the squared error of the discriminator's features; 0 leaves it out.
    """

    def __init__(self, reconstruction: float, latent: float, adversarial: float, features: float) -> None:
        super().__init__("dcgan", adversarial, features, penalty=0.0)
        self.reconstruction = reconstruction
        self.latent = latent

    def __call__(self, images: Tensor, reconstructions: Tensor, latents: Tensor, again: Tensor) -> Terms:
        """The terms without the critic's, of ``(B, C, H, W)`` twice and ``(B, L)`` twice."""
        reconstruction = absolute_error(images, reconstructions).mean()
        latent = latent_error(latents, again).mean()
        loss = self.reconstruction * reconstruction + self.latent * latent
        logged = {"loss": loss, "reconstruction": reconstruction, "latent": latent}
        return Terms(loss, {name: value.detach() for name, value in logged.items()})
