"""Zhou, Deng, Wu: Unsupervised anomaly localization using VAE and beta-VAE (fully convolutional VAE)."""

from __future__ import annotations

from torch import Tensor, nn

from sanoscope.networks.autoencoder import VariationalAutoencoder, divisible

SLOPE = 0.01  # of the leaky ReLUs, as in the code that the paper builds on


class BetaVAE(VariationalAutoencoder):
    """Strided 4×4 convolutions down and up, one valid convolution to the latent and back; linear output.

    There are no biases and no normalisation, so an image of zeros has the posterior N(0, I) and is reconstructed
    exactly. At 1×64×64 it has 999,936 parameters with latent 32, 1,393,152 with 64 and 3,752,448 with 256.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width; a multiple of two to the number of widths.
        latent: Latent dimensions.
        widths: Channels after each halving of the encoder; the decoder mirrors them.
    """

    def __init__(self, in_channels: int, image_size: int, latent: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.latent = latent
        side = divisible(image_size, 2 ** len(widths), "this network")
        self.encoder = nn.Sequential(
            *halvings(in_channels, widths), nn.Conv2d(widths[-1], 2 * latent, side, bias=False), nn.Flatten()
        )
        self.decoder = nn.Sequential(
            nn.Unflatten(1, (latent, 1, 1)),
            nn.ConvTranspose2d(latent, widths[-1], side, bias=False),
            *doublings(widths, in_channels),
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See ``VariationalAutoencoder.encode``; the second half of the head is log σ, half of the logvar."""
        mean, logstd = self.encoder(images).chunk(2, dim=1)  # (B, L) each
        return mean, 2 * logstd

    def decode(self, latents: Tensor) -> Tensor:
        """See ``VariationalAutoencoder.decode``."""
        images: Tensor = self.decoder(latents)
        return images


def halvings(in_channels: int, widths: tuple[int, ...], bias: bool = False) -> list[nn.Module]:
    """Convolution and leaky ReLU in turn, one pair for each halving."""
    layers: list[nn.Module] = []
    for before, after in zip((in_channels, *widths), widths, strict=False):
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=bias), nn.LeakyReLU(SLOPE, inplace=True)]
    return layers


def doublings(widths: tuple[int, ...], out_channels: int, bias: bool = False) -> list[nn.Module]:
    """Leaky ReLU and transposed convolution in turn, mirroring ``halvings``; linear at the end."""
    layers: list[nn.Module] = []
    for before, after in zip(widths[::-1], (*widths[-2::-1], out_channels), strict=True):
        layers += [
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias),
        ]
    return layers
