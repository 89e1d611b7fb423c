"""Zagoruyko, Komodakis: Wide residual networks; with Golan and El-Yaniv's first weights and batch norms."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks.network import Network
from sanoscope.networks.transformations import COUNT

# Channels of the first convolution, and of the three groups of a network that is not widened.
FIRST, WIDTHS = 16, (16, 32, 64)
# Side of the regions of the last feature map that are averaged.
POOLED = 8


class WideBlock(nn.Module):
    """Batch norm and ReLU before each of two 3×3 convolutions, and a skip that is projected where the width changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.activation = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
        self.residual = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
        )
        self.projection = None if before == after else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, before, H, W)`` to ``(B, after, H/stride, W/stride)``."""
        active = self.activation(features)
        skip = features if self.projection is None else self.projection(active)
        out: Tensor = self.residual(active) + skip
        return out


class WideResNet(Network):
    """A classifier; its latents are the features that it decides by.

    The last feature map, of a quarter of the image's side, is averaged over regions of 8×8, as nearly as they fit:
    one of an image of 32 pixels, four of 64. WRN-16-8 has 10,961,370 parameters for ten classes of RGB images.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width.
        depth: Number of layers, 6n + 4 for n blocks in each of three groups.
        widen: Factor of the widths.
        classes: That images are told apart by; the transformations.

    Raises:
        OptionError: If there is no network of that depth.
    """

    def __init__(self, in_channels: int, image_size: int, depth: int, widen: int, classes: int = COUNT) -> None:
        super().__init__()
        blocks, rest = divmod(depth - 4, 6)
        if rest or blocks < 1:
            raise OptionError(f"network.depth={depth} is not 6n + 4 for n blocks a group; take 10, 16, 22, 28 or so on")
        layers: list[nn.Module] = [nn.Conv2d(in_channels, FIRST, 3, 1, 1, bias=False)]
        before = FIRST
        for group, width in enumerate(WIDTHS):
            after = width * widen
            layers.append(WideBlock(before, after, 1 if group == 0 else 2))
            layers += [WideBlock(after, after, 1) for _ in range(blocks - 1)]
            before = after
        self.trunk = nn.Sequential(*layers, nn.BatchNorm2d(before), nn.ReLU())
        side = math.ceil(image_size / 4)
        self.regions = max(side // POOLED, 1)
        self.latent = before * self.regions**2
        self.head = nn.Linear(self.latent, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        bound = 1 / math.sqrt(self.latent)
        nn.init.uniform_(self.head.weight, -bound, bound)
        nn.init.zeros_(self.head.bias)

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        """Pooled features ``(B, L)`` of images ``(B, C, H, W)``, float32."""
        features = self.trunk(images).float()
        return F.adaptive_avg_pool2d(features, self.regions).flatten(1), None

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, classes)``, float32."""
        features, _ = self.encode(images)
        with torch.autocast(images.device.type, enabled=False):  # whose rounding small probabilities would not survive
            logits: Tensor = self.head(features)
        return logits
