"""Autoencoders of images in [0, 1] that decode to logits, and whose encoder can be looked into."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sanoscope.networks.autoencoder import Autoencoder, reparameterised


class LogitAutoencoder(Autoencoder):
    """What the backbones of the brain methods share, variational or deterministic.

    Args:
        block: The block of the encoder, 1 to 4, whose activations attention is taken from.
        weighting: How ``networks.gradcam`` weighs the channels of those activations.
        statistics: Of the batch norms, if any, that attention is computed through in training: of the ``batch``, or
            ``running``. Batch norm by a batch's own statistics takes out of a gradient what images have in common, so
            that summed over the batch the channels' weights all but vanish; by running statistics they are in
            training what they are in scoring.
        dropout: Of latents, where they are sampled and there is no posterior to sample them from.

    Attributes:
        encoder: Up to the heads.
        mean: Head of the latents, or of the posterior's mean.
        logvar: Head of the posterior's logvar; None in a deterministic autoencoder.
        decoder: From latents to logits.
        critic: What judges images in adversarial training; None where nothing does. It is kept with the weights.
    """

    encoder: nn.Module
    mean: nn.Module
    logvar: nn.Module | None
    decoder: nn.Module

    def __init__(self, block: int, weighting: str, statistics: str, dropout: float) -> None:
        super().__init__()
        self.block = block
        self.weighting = weighting
        self.statistics = statistics
        self.dropout = dropout
        self.critic: nn.Module | None = None

    @abstractmethod
    def features(self, images: Tensor, block: int | None = None) -> Tensor:
        """Activations ``(B, K, h, w)`` of images ``(B, C, H, W)`` after a block; the attention's where None."""

    @abstractmethod
    def posterior(self, activations: Tensor, block: int | None = None) -> tuple[Tensor, Tensor | None]:
        """What ``encode`` gives, float32, from the activations of a block; the attention's where None."""

    @staticmethod
    def heads(head: Callable[[], nn.Module], variational: bool) -> tuple[nn.Module, nn.Module | None]:
        """A head for the mean, and one for the logvar where there is a posterior."""
        return head(), head() if variational else None

    def through_heads(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and logvar ``(B, L)`` float32 of the encoder's last features."""
        mean: Tensor = self.mean(features).float()
        return mean, None if self.logvar is None else self.logvar(features).float()

    def encode_with_features(self, images: Tensor, block: int | None = None) -> tuple[Tensor, Tensor | None, Tensor]:
        """Mean and logvar ``(B, L)`` of images ``(B, C, H, W)``, and a block's activations ``(B, K, h, w)``."""
        activations = self.features(images, block)
        return *self.posterior(activations, block), activations

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """See ``Autoencoder.encode``."""
        return self.posterior(self.features(images))

    def sample(self, mean: Tensor, logvar: Tensor | None, noise: Tensor | None) -> Tensor:
        """Latents ``(B, L)`` by standard normal noise ``(B, L)``; the mean where there is none.

        Of a posterior, or of a deterministic latent by dropout: what is kept where the noise lies above its quantile.
        """
        if logvar is not None:
            return reparameterised(mean, logvar, noise)
        if noise is None or not self.dropout:
            return mean
        least = torch.special.ndtri(torch.tensor(self.dropout, dtype=noise.dtype, device=noise.device))
        kept: Tensor = noise > least
        return mean * kept / (1 - self.dropout)

    def forward(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Reconstructions ``(B, C, H, W)`` in [0, 1] of images, by sampled latents where there is noise."""
        mean, logvar = self.encode(images)
        return self.decode(self.sample(mean, logvar, noise))

    def decode_logits(self, latents: Tensor) -> Tensor:
        """Logits ``(B, C, H, W)`` of latents ``(B, L)``."""
        logits: Tensor = self.decoder(latents)
        return logits

    def decode(self, latents: Tensor) -> Tensor:
        """See ``Autoencoder.decode``; images in [0, 1]."""
        return self.decode_logits(latents).sigmoid()
