"""An autoencoder while it grows: Karras et al., 2018; for perceptual autoencoders, Shvetsova et al."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from sanoscope.networks.perceptual_autoencoder import PerceptualAutoencoder
from sanoscope.networks.resolution_autoencoder import doubled, entry, exit_of, initialised


class Stage(NamedTuple):
    """How far a network has grown.

    Attributes:
        level: Of its resolution, which is the full one halved so many times.
        share: How much of that resolution's own blocks there is, from 0 to 1; the rest is of the resolution below. At
            1 the network is stable.
    """

    level: int
    share: float = 1.0


class GrowingAutoencoder(nn.Module):
    """The whole network, with further ways in and out at lower resolutions, which growing leaves behind.

    All else is the network's own and shared by all stages: what is trained at one resolution goes on at the next.

    Args:
        network: As it is in the end; it tells how many lower resolutions it grows from.
    """

    def __init__(self, network: PerceptualAutoencoder) -> None:
        super().__init__()
        self.network = network
        widths = network.widths[1 : len(network.layers)]
        self.entries = nn.ModuleList(entry(network.in_channels, width, network.blocks) for width in widths)
        self.exits = nn.ModuleList(exit_of(network.in_channels, width) for width in widths)
        for ways in (self.entries, self.exits):
            initialised(ways)

    def forward(self, images: Tensor, stage: Stage) -> Tensor:
        """Reconstructions of images at the stage's resolution, ``(B, C, H / 2**level, W / 2**level)``."""
        return self._decode(self._encode(images, stage), stage)

    def _encode(self, images: Tensor, stage: Stage) -> Tensor:
        encoder, (level, share) = self.network.encoder, stage
        features: Tensor = self._entry(level)(images)
        if share == 1:
            return encoder.after(features, level)
        features = encoder.down[level](features)
        below = self._entry(level + 1)(F.avg_pool2d(images, 2))
        return encoder.after(below.lerp(features, share), level + 1)

    def _decode(self, latents: Tensor, stage: Stage) -> Tensor:
        decoder, (level, share) = self.network.decoder, stage
        if share == 1:
            images: Tensor = self._exit(level)(decoder.before(latents, level))
            return images
        features = decoder.before(latents, level + 1)
        images = self._exit(level)(decoder.up[level](features))
        return doubled(self._exit(level + 1)(features)).lerp(images, share)

    def _entry(self, level: int) -> nn.Module:
        return self.entries[level - 1] if level else self.network.encoder.entry

    def _exit(self, level: int) -> nn.Module:
        return self.exits[level - 1] if level else self.network.decoder.exit


def at_stage(images: Tensor, stage: Stage) -> Tensor:
    """Images ``(B, C, H, W)`` as a growing network gets them, at the stage's resolution.

    Bilinear without anti-aliasing, as published: at a quarter of the side and below, only the middle of each block
    is looked at.
    """
    level, share = stage
    at_level = shrunk(images, level)
    return at_level if share == 1 else doubled(shrunk(images, level + 1)).lerp(at_level, share)


def shrunk(images: Tensor, level: int) -> Tensor:
    """Images with their side halved so many times, bilinearly."""
    if not level:
        return images
    height, width = images.shape[2:]
    return F.interpolate(images, (height >> level, width >> level), mode="bilinear", antialias=False)
