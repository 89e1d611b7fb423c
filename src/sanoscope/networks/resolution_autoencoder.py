"""Residual encoders and decoders that halve and double the resolution level by level, without any normalisation.

Shvetsova et al.: Anomaly detection in medical imaging with deep perceptual autoencoders; its blocks are the
pre-activation ones of He et al.: Identity mappings in deep residual networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from sanoscope.errors import OptionError

SLOPE = 0.2
# A latent without places comes from the whole of the last feature map, which is the larger, the more it costs.
LARGEST_BOTTOM = 7


class Residual(nn.Module):
    """Two leaky ReLUs with a 3×3 convolution each, and a skip, which is projected where the channels change.

    Args:
        before: Channels that come in.
        after: Channels that go out.
        resample: ``down`` averages 2×2 pixels before both ways, ``up`` repeats each pixel 2×2 times; ``none``.
    """

    def __init__(self, before: int, after: int, resample: str = "none") -> None:
        super().__init__()
        self.resample = resample
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.second = nn.Conv2d(after, after, 3, padding=1)
        self.project = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, before, H, W)`` to ``(B, after, H, W)``, or half or double in both directions."""
        activated = F.leaky_relu(features, SLOPE)
        if self.resample == "down":
            # Before the activation the average would be another one, so each way has its own.
            features, activated = F.avg_pool2d(features, 2), F.avg_pool2d(activated, 2)
        elif self.resample == "up":
            features, activated = doubled(features), doubled(activated)
        residual: Tensor = self.second(F.leaky_relu(self.first(activated), SLOPE))
        skip: Tensor = self.project(features)
        return residual + skip


def doubled(images: Tensor) -> Tensor:
    """Each pixel 2×2 times: ``(B, C, H, W)`` to ``(B, C, 2 H, 2 W)``."""
    return F.interpolate(images, scale_factor=2, mode="nearest")


class Encoder(nn.Module):
    """Images to latents, one halving a level.

    Args:
        in_channels: Channels of the image.
        widths: Channels at each resolution, the highest first.
        latent: Channels of the latent.
        bottom: Side of the last feature map that a latent without places is taken from; None where the latent keeps
            the places of the last resolution.
        blocks: Residual blocks at each resolution, 1 or 2.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], latent: int, bottom: int | None, blocks: int) -> None:
        super().__init__()
        self.entry = entry(in_channels, widths[0], blocks)
        self.down = nn.ModuleList(
            nn.Sequential(Residual(before, after, "down"), *_further(after, blocks))
            for before, after in pairwise(widths)
        )
        self.exit = (
            Residual(widths[-1], latent)
            if bottom is None
            else nn.Sequential(nn.LeakyReLU(SLOPE), nn.Conv2d(widths[-1], latent, bottom))
        )
        initialised(self)

    def forward(self, images: Tensor) -> Tensor:
        """Latents ``(B, latent, h, w)`` of images ``(B, C, H, W)``."""
        return self.after(self.entry(images), 0)

    def after(self, features: Tensor, level: int) -> Tensor:
        """Latents from features ``(B, widths[level], H / 2**level, W / 2**level)``."""
        for down in self.down[level:]:
            features = down(features)
        latents: Tensor = self.exit(features)
        return latents


class Decoder(nn.Module):
    """Latents to images, one doubling a level; linear at the end. The arguments are the encoder's."""

    def __init__(self, in_channels: int, widths: Sequence[int], latent: int, bottom: int | None, blocks: int) -> None:
        super().__init__()
        self.entry = (
            Residual(latent, widths[-1])
            if bottom is None
            else nn.Sequential(nn.LeakyReLU(SLOPE), nn.Conv2d(latent, widths[-1], bottom, padding=bottom - 1))
        )
        # By level, as in the encoder: the first leads to the highest resolution and is the last to be gone through.
        self.up = nn.ModuleList(
            nn.Sequential(Residual(before, after, "up"), *_further(after, blocks)) for after, before in pairwise(widths)
        )
        self.exit = exit_of(in_channels, widths[0])
        initialised(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` of latents ``(B, latent, h, w)``."""
        images: Tensor = self.exit(self.before(latents, 0))
        return images

    def before(self, latents: Tensor, level: int) -> Tensor:
        """Features ``(B, widths[level], H / 2**level, W / 2**level)`` from latents."""
        features: Tensor = self.entry(latents)
        for up in self.up[level:][::-1]:
            features = up(features)
        return features


def entry(in_channels: int, width: int, blocks: int) -> nn.Sequential:
    """What leads from an image into an encoder."""
    residuals = [Residual(width, width) for _ in range(blocks)]
    return nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1), *residuals)


def exit_of(in_channels: int, width: int) -> nn.Sequential:
    """What leads from a decoder to an image."""
    return nn.Sequential(nn.LeakyReLU(SLOPE), nn.Conv2d(width, in_channels, 3, padding=1))


def _further(width: int, blocks: int) -> list[Residual]:
    return [Residual(width, width) for _ in range(blocks - 1)]


def initialised(module: nn.Module) -> None:
    """Set convolutions to Kaiming's normal weights for leaky ReLUs by their outputs, and biases to 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE, mode="fan_out", nonlinearity="leaky_relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


def levels_of(image_size: int, latent_resolution: int) -> int:
    """How many resolutions there are from the image's side down to the last one.

    A latent of one place is taken from the last side that is odd or at most 4; others keep their own side.

    Raises:
        OptionError: If the image cannot be halved down to there.
    """
    side, levels = image_size, 1
    last = latent_resolution if latent_resolution > 1 else 4
    while side > last and side % 2 == 0:
        side, levels = side // 2, levels + 1
    if latent_resolution == 1 and side <= LARGEST_BOTTOM:
        return levels
    if side != last:
        halvings = max(round(math.log2(image_size / last)), 1)
        raise OptionError(
            f"preparation.image_size={image_size} cannot be halved down to {last}, for "
            f"network.latent_resolution={latent_resolution}; take a size such as {last * 2**halvings}"
        )
    return levels


def widths_of(widths: Sequence[int], levels: int, image_size: int, option: str = "network.widths") -> tuple[int, ...]:
    """A width for each resolution; a single one is for all.

    Args:
        widths: As given by ``option``.
        levels: How many resolutions there are.
        image_size: The highest one.
        option: That named them.

    Raises:
        OptionError: If there are others.
    """
    if len(widths) == 1:
        return tuple(widths) * levels
    if len(widths) != levels:
        sides = ", ".join(str(image_size // 2**level) for level in range(levels))
        raise OptionError(
            f"{option}={list(widths)} are {len(widths)} where there are {levels} resolutions ({sides}); give "
            "one for each, or a single one for all"
        )
    return tuple(widths)
