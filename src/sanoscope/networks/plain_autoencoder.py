"""What autoencoders without a posterior share that are an encoder and a decoder, one after the other."""

from __future__ import annotations

from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks.autoencoder import Autoencoder


class PlainAutoencoder(Autoencoder):
    """An encoder to latents and a decoder from them to images in [0, 1].

    Attributes:
        encoder: Images ``(B, C, H, W)`` to latents ``(B, L)``.
        decoder: Latents to the logits ``(B, C, H, W)`` of pixels.
    """

    encoder: nn.Module
    decoder: nn.Module

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        """Latents ``(B, L)`` of images ``(B, C, H, W)``."""
        return self.encoder(images).float(), None

    def decode(self, latents: Tensor) -> Tensor:
        """See ``Autoencoder.decode``; images in [0, 1]."""
        images: Tensor = self.decoder(latents).float().sigmoid()
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructions ``(B, C, H, W)`` in [0, 1]."""
        return self.decode(self.encode(images)[0])


def require_size(image_size: int, needed: int, network: str) -> None:
    """Refuse another image size than the only one that a network's layers reduce to one place.

    Raises:
        OptionError: If it is another.
    """
    if image_size != needed:
        raise OptionError(f"{network} takes preparation.image_size={needed} only, not {image_size}")


def scaled(channels: int, width: float) -> int:
    """So many channels, or the share of them that a narrower network has; at least 1."""
    return max(round(channels * width), 1)
