"""Tuluptceva et al.: Perceptual image anomaly detection: an autoencoder with a critic at either end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from sanoscope.networks.perceptual_autoencoder import EncoderCritic, PerceptualAutoencoder
from sanoscope.networks.resolution_autoencoder import SLOPE, widths_of


class TwoCriticAutoencoder(PerceptualAutoencoder):
    """A perceptual autoencoder of one residual block at each resolution, whose images and latents are both judged.

    With one grey channel, 64 pixels, widths of 32, 64, 128, 256 and 256 and a latent of 256, the encoder has 3,453,376
    parameters and the decoder 2,853,569; the image critic, of widths 32, 64, 128, 128 and 128, has 898,497, and the
    latent critic of two layers of 1,024 has 1,313,793.

    Args:
        in_channels: Channels of the image, 1 or 3.
        image_size: Height and width.
        latent: Length of the latent, which has no places.
        widths: Channels at each resolution, the highest first; a single one is for all.
        critic_widths: Those of the image critic, likewise.
        latent_critic_widths: Units of the latent critic's hidden layers.
        features: Name of the frozen network.
        layers: See ``PerceptualAutoencoder``, as ``weights`` and ``pretrained``.
        weights: See there.
        pretrained: See there.

    Attributes:
        critic: What judges images.
        latent_critic: What judges latents.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        latent: int,
        widths: Sequence[int],
        critic_widths: Sequence[int],
        latent_critic_widths: Sequence[int],
        features: str,
        layers: Sequence[str],
        weights: str | None = None,
        pretrained: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            image_size,
            latent,
            latent_resolution=1,
            widths=widths,
            blocks=1,
            features=features,
            layers=layers,
            weights=weights,
            pretrained=pretrained,
        )
        levels = len(self.widths)
        judging = widths_of(critic_widths, levels, image_size, "network.critic_widths")
        self.critic = EncoderCritic(in_channels, judging, image_size >> levels - 1, self.blocks)
        self.latent_critic = LatentCritic(latent, latent_critic_widths)


class LatentCritic(nn.Module):
    """Dense layers with leaky ReLUs, down to one number; with Glorot's uniform weights, as released.

    Args:
        latent: Length of the latent.
        widths: Units of the hidden layers.
    """

    def __init__(self, latent: int, widths: Sequence[int]) -> None:
        super().__init__()
        hidden = [(nn.Linear(before, after), nn.LeakyReLU(SLOPE)) for before, after in pairwise((latent, *widths))]
        for dense, _ in hidden:
            nn.init.xavier_uniform_(dense.weight, nn.init.calculate_gain("leaky_relu", SLOPE))
        last = nn.Linear(widths[-1], 1)
        nn.init.xavier_uniform_(last.weight)
        self.layers = nn.Sequential(*(layer for pair in hidden for layer in pair), last)

    def forward(self, latents: Tensor) -> Tensor:
        """How much each latent is like one of the prior, ``(B, L)`` to ``(B,)``."""
        value: Tensor = self.layers(latents)[:, 0]
        return value
