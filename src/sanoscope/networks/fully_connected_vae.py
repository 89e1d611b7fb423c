"""The fully connected baseline of Sikdar et al.: flatten, two hidden layers each way."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from torch import Tensor, nn

from sanoscope.networks.autoencoder import VariationalAutoencoder


class FullyConnectedVAE(VariationalAutoencoder):
    """Linear layers with batch norm, LeakyReLU(0.02) and dropout; 26,334,336 parameters at 3×64×64, latent 64.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width.
        latent: Latent dimensions.
        widths: Hidden sizes of the encoder; the decoder mirrors them.
        dropout: Dropout probability of the hidden layers.
        output: ``sigmoid`` as published, although targets lie in [−1, 1] and so nothing below mid-grey can be
            reconstructed; ``tanh`` corrects it.
    """

    def __init__(
        self, in_channels: int, image_size: int, latent: int, widths: tuple[int, ...], dropout: float, output: str
    ) -> None:
        super().__init__()
        self.latent = latent
        shape = (in_channels, image_size, image_size)
        sizes = (prod(shape), *widths)
        self.encoder = nn.Sequential(nn.Flatten(), *_hidden(sizes, dropout))
        self.mean = nn.Linear(widths[-1], latent)
        self.logvar = nn.Linear(widths[-1], latent)
        self.decoder = nn.Sequential(
            *_hidden((latent, *widths[::-1]), dropout),
            nn.Linear(widths[0], sizes[0]),
            nn.Sigmoid() if output == "sigmoid" else nn.Tanh(),
            nn.Unflatten(1, shape),
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See ``VariationalAutoencoder.encode``."""
        features = self.encoder(images)  # (B, widths[-1])
        return self.mean(features), self.logvar(features)

    def decode(self, latents: Tensor) -> Tensor:
        """See ``VariationalAutoencoder.decode``."""
        images: Tensor = self.decoder(latents)
        return images


def _hidden(sizes: tuple[int, ...], dropout: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU(0.02), nn.Dropout(dropout)]
    return layers
