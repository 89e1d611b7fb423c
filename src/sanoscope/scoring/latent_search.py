"""Schlegl et al., 2017: AnoGAN (the search for the latents that a generator makes an image of, and what it misses)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks.dcgan import GenerativeAdversarialNetwork
from sanoscope.scoring.noise import noise_of
from sanoscope.scoring.pixel_error import PixelErrorScoring

FEATURES = "features"
BOTH = "residual-and-features"


class Found(NamedTuple):
    """Where a search ends.

    Attributes:
        latents: ``(B, L)``.
        images: What the generator makes of them, ``(B, C, H, W)``.
        residual: ``Σ |x − G(z)|`` over each image's pixels, ``(B,)``.
        features: ``Σ |f(x) − f(G(z))|`` over each image's features in the discriminator, ``(B,)``.
        loss: What was searched with, ``(B,)``.
    """

    latents: Tensor
    images: Tensor
    residual: Tensor
    features: Tensor
    loss: Tensor


class LatentSearchScoring(PixelErrorScoring):
    """``residual-and-features``, what is left of the search's loss, and ``features``, its share of the features.

    The latents of every image are searched by themselves, by Adam, from noise that follows from the image, for the
    least ``(1 − λ) Σ |x − G(z)| + λ Σ |f(x) − f(G(z))|``; f are the discriminator's last activations. The residual
    alone is the score ``l1``, as a mean; for it, and the map, see ``PixelErrorScoring``.

    Args:
        features: λ, the weight of the features, 0 to 1.
        search_steps: Steps for each image.
        search_rate: Their size, at the start; it falls to 0 along a cosine.
        search_seed: Of the noise.
        others: See ``PixelErrorScoring``.

    Raises:
        OptionError: If λ is above 1.
    """

    own = (BOTH, FEATURES)

    def __init__(self, features: float, search_steps: int, search_rate: float, search_seed: int, **others: Any) -> None:
        super().__init__(**others)
        if features > 1:
            raise OptionError(f"scoring.features is a share, from 0 to 1 such as 0.1, not {features:g}")
        self.features = features
        self.search_steps = search_steps
        self.search_rate = search_rate
        self.search_seed = search_seed

    def compared(self, network: GenerativeAdversarialNetwork, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See ``PixelErrorScoring.compared``."""
        found = self.search(network, images)
        return found.images, {BOTH: found.loss, FEATURES: found.features}

    def used(self, network: GenerativeAdversarialNetwork) -> list[nn.Module]:
        """See ``Scoring.used``; the discriminator too, where the search heeds its features."""
        return [network.decoder, network.critic.blocks] if self.features else [network.decoder]

    def latents(self, network: GenerativeAdversarialNetwork, images: Tensor) -> Tensor:
        """Latents ``(B, L)`` where the search ends."""
        return self.search(network, images).latents

    @torch.no_grad()
    def search(self, network: GenerativeAdversarialNetwork, images: Tensor) -> Found:
        """Where the search for images ``(B, C, H, W)`` ends, with a network in evaluation mode."""
        features = network.critic.features(images).float()
        latents = noise_of(images, network.latent, self.search_seed).requires_grad_()
        optimizer = torch.optim.Adam([latents], self.search_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.search_steps)
        for _ in range(self.search_steps):
            with torch.enable_grad():
                loss = self._found(network, images, features, latents).loss.sum()
                (latents.grad,) = torch.autograd.grad(loss, latents)
            optimizer.step()
            schedule.step()
        return self._found(network, images, features, latents.detach())

    def _found(self, network: GenerativeAdversarialNetwork, images: Tensor, features: Tensor, latents: Tensor) -> Found:
        made = network.decode(latents).float()
        residual = (images - made).abs().flatten(1).sum(1)
        missed = (features - network.critic.features(made).float()).abs().flatten(1).sum(1)
        return Found(latents, made, residual, missed, (1 - self.features) * residual + self.features * missed)
