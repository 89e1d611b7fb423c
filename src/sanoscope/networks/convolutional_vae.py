"""Sikdar, Tran, Xu, Yee: Anomaly detection in breast histopathology images with convolutional VAEs (ConvVAE, Attn)."""

from __future__ import annotations

from torch import Tensor, nn

from sanoscope.networks.attention import SelfAttention
from sanoscope.networks.autoencoder import VariationalAutoencoder, divisible


class ConvolutionalVAE(VariationalAutoencoder):
    """Strided 3×3 convolutions down, transposed ones up, batch norm and ReLU, Tanh at the end.

    At 3×64×64 and latent 64 it has 1,568,643 parameters; with attention and latent 128, 2,495,434.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width; a multiple of two to the number of widths.
        latent: Latent dimensions.
        widths: Channels after each halving of the encoder; the decoder mirrors them.
        attention: Put a self-attention layer after every batch norm and ReLU, on both sides.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        latent: int,
        widths: tuple[int, ...],
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.latent = latent
        side = divisible(image_size, 2 ** len(widths), "this network")
        flat = widths[-1] * side * side
        down, up = [], []
        for before, after in zip((in_channels, *widths), widths, strict=False):
            down.append(_stage(nn.Conv2d(before, after, 3, stride=2, padding=1), after, attention))
        for before, after in zip(widths[::-1], widths[-2::-1], strict=False):
            up.append(_stage(_upsample(before, after), after, attention))
        self.encoder = nn.Sequential(*down, nn.Flatten())
        self.mean = nn.Linear(flat, latent)
        self.logvar = nn.Linear(flat, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, flat),
            nn.Unflatten(1, (widths[-1], side, side)),
            *up,
            _upsample(widths[0], in_channels),
            nn.Tanh(),
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See ``VariationalAutoencoder.encode``."""
        features = self.encoder(images)  # (B, C·h·w)
        return self.mean(features), self.logvar(features)

    def decode(self, latents: Tensor) -> Tensor:
        """See ``VariationalAutoencoder.decode``."""
        images: Tensor = self.decoder(latents)
        return images


def _upsample(before: int, after: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1)


def _stage(convolution: nn.Module, channels: int, attention: bool) -> nn.Sequential:
    layers = [convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, SelfAttention(channels)) if attention else nn.Sequential(*layers)
