"""The fully connected autoencoder of Liu, Zhang: four linear layers each way."""

from __future__ import annotations

from itertools import pairwise
from math import prod

from torch import nn

from sanoscope.networks.plain_autoencoder import PlainAutoencoder


class FullyConnectedAutoencoder(PlainAutoencoder):
    """Linear layers with batch norm and ReLU, those of the latent included; 35,092,692 parameters at 3×50×50.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width.
        latent: Latent dimensions; latents are not negative.
        widths: Hidden sizes of the encoder; the decoder mirrors them.
    """

    def __init__(self, in_channels: int, image_size: int, latent: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.latent = latent
        shape = (in_channels, image_size, image_size)
        sizes = (prod(shape), *widths, latent)
        self.encoder = nn.Sequential(nn.Flatten(), *_hidden(sizes))
        self.decoder = nn.Sequential(*_hidden(sizes[:0:-1]), nn.Linear(widths[0], sizes[0]), nn.Unflatten(1, shape))


def _hidden(sizes: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return layers
