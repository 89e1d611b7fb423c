"""Huang, Liu, van der Maaten, Weinberger: Densely connected convolutional networks; torchvision's parameter names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks.network import Network


class DenseLayer(nn.Sequential):
    """A convolution of single pixels and a 3×3 one, with batch norm and ReLU before each; what it finds is appended.

    Args:
        before: Channels of the features.
        growth: Channels that are appended.
        middle: Channels between the two convolutions.
    """

    def __init__(self, before: int, growth: int, middle: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(before, middle, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(middle)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(middle, growth, 3, 1, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, before, H, W)`` to ``(B, before + growth, H, W)``."""
        return torch.cat((features, super().forward(features)), dim=1)


class Transition(nn.Sequential):
    """Between two dense blocks: half the channels, and half the height and width."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(before)
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(before, before // 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2)


class DenseNet(Network):
    """A classifier; its latents are the features that it decides by.

    DenseNet-121 of RGB images has 7,978,856 parameters for 1,000 classes and 6,955,906 for two.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width.
        growth: Channels that each layer appends.
        blocks: Layers of each dense block.
        stem: Channels of the first convolution.
        bottleneck: Channels between a layer's two convolutions, in multiples of ``growth``.
        classes: Number ``G`` of classes that images are told apart by.

    Raises:
        OptionError: If the images are so small that nothing would be left of them between two blocks.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        growth: int,
        blocks: tuple[int, ...],
        stem: int,
        bottleneck: int,
        classes: int,
    ) -> None:
        super().__init__()
        least = 4 * (2 ** (len(blocks) - 1) - 1) + 1  # of which the first two halvings, unlike the others, round up
        if image_size < least:
            raise OptionError(
                f"preparation.image_size={image_size} is too small for {len(blocks)} dense blocks (network.blocks); "
                f"take {least} or more"
            )
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(in_channels, stem, 7, 2, 3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(stem))
        self.features.add_module("relu0", nn.ReLU(inplace=True))
        self.features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        channels = stem
        for number, layers in enumerate(blocks, start=1):
            block = nn.Sequential()
            for layer in range(1, layers + 1):
                block.add_module(f"denselayer{layer}", DenseLayer(channels, growth, bottleneck * growth))
                channels += growth
            self.features.add_module(f"denseblock{number}", block)
            if number < len(blocks):
                self.features.add_module(f"transition{number}", Transition(channels))
                channels //= 2
        self.features.add_module(f"norm{len(blocks) + 1}", nn.BatchNorm2d(channels))
        self.latent = channels
        self.classifier = nn.Linear(channels, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.classifier.bias)

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        """Pooled features ``(B, L)`` of images ``(B, C, H, W)``, float32."""
        return self.features(images).float().relu().mean((2, 3)), None

    def classify(self, images: Tensor) -> Tensor:
        """Logits ``(B, G)`` of images ``(B, C, H, W)``, float32."""
        features, _ = self.encode(images)
        with torch.autocast(images.device.type, enabled=False):  # whose rounding small probabilities would not survive
            logits: Tensor = self.classifier(features)
        return logits

    forward = classify
