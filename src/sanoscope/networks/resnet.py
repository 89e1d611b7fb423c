"""He, Zhang, Ren, Sun: Deep residual learning for image recognition. Parameter names as torchvision's."""

from __future__ import annotations

from torch import Tensor, nn

# Blocks in each of the four layers.
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "wide_resnet50_2": (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)


def _projection(before: int, after: int, stride: int) -> nn.Sequential | None:
    """What a skip goes through; None where the shape stays."""
    if stride == 1 and before == after:
        return None
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a skip, which is projected where the shape changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(before, after, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, before, H, W)`` to ``(B, after, H/stride, W/stride)``."""
        skip = features if self.downsample is None else self.downsample(features)
        features = self.relu(self.bn1(self.conv1(features)))
        features = self.relu(self.bn2(self.conv2(features)) + skip)
        return features


class WideBottleneck(nn.Module):
    """A 3×3 convolution between two of single pixels, with a skip; Zagoruyko, Komodakis: Wide residual networks.

    The middle has twice the channels of He et al., half of the block's.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after // 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after // 2)
        self.conv2 = nn.Conv2d(after // 2, after // 2, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after // 2)
        self.conv3 = nn.Conv2d(after // 2, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _projection(before, after, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, before, H, W)`` to ``(B, after, H/stride, W/stride)``."""
        skip = features if self.downsample is None else self.downsample(features)
        features = self.relu(self.bn1(self.conv1(features)))
        features = self.relu(self.bn2(self.conv2(features)))
        features = self.relu(self.bn3(self.conv3(features)) + skip)
        return features


# The block of a network, and how many times the channels of ``WIDTHS`` come out of it.
KINDS: dict[str, tuple[type[BasicBlock | WideBottleneck], int]] = {
    "resnet18": (BasicBlock, 1),
    "resnet34": (BasicBlock, 1),
    "wide_resnet50_2": (WideBottleneck, 4),
}


class ResNetTrunk(nn.Module):
    """A ResNet without pooling and classifier: ``(B, C, H, W)`` to ``(B, 512, H/32, W/32)``, or 2,048 channels.

    ResNet-34 has 21,284,672 parameters, the wide ResNet-50 66,834,240.

    Args:
        name: A key of ``BLOCKS``.
        in_channels: Channels of the image; published weights need 3.
    """

    def __init__(self, name: str = "resnet34", in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        before = 64
        block, times = KINDS[name]
        for number, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS[name], strict=True), start=1):
            after = times * width
            layer = [block(before, after, 1 if number == 1 else 2)]
            layer += [block(after, after, 1) for _ in range(blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*layer))
            before = after
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """The deepest feature map."""
        features: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for number in range(1, 5):
            features = self.get_submodule(f"layer{number}")(features)
        return features
