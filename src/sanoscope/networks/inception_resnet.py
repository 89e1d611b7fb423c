"""Szegedy, Ioffe, Vanhoucke, Alemi: Inception-v4, Inception-ResNet and the impact of residual connections on learning.

Inception-ResNet-v2, with parameter names as timm's and pretrainedmodels', whose weights are the authors' own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor, nn

# Convolutions along one axis, which take turns.
WIDE_7, TALL_7, WIDE_3, TALL_3 = (1, 7), (7, 1), (1, 3), (3, 1)


class Mixed(nn.Module):
    """Branches side by side, whose channels follow one another."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = len(branches)
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, K, H, W)`` to ``(B, K', H', W')``."""
        return torch.cat([self.get_submodule(f"branch{number}")(features) for number in range(self.branches)], dim=1)


class Block(Mixed):
    """A residual block: what branches find is projected, scaled down and added.

    Args:
        channels: Of the features.
        mixed: Of all branches together.
        share: What is added is multiplied by it.
        branches: As of ``Mixed``.
        rectified: Whether a ReLU follows.
    """

    def __init__(self, channels: int, mixed: int, share: float, *branches: nn.Module, rectified: bool = True) -> None:
        super().__init__(*branches)
        self.conv2d = nn.Conv2d(mixed, channels, 1)
        self.share = share
        self.rectified = rectified

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, channels, H, W)`` to others of the same shape."""
        features = features + self.share * self.conv2d(super().forward(features))
        return features.relu_() if self.rectified else features


def inception_resnet() -> Iterator[tuple[str, nn.Module]]:
    """The modules of Inception-ResNet-v2 in order, each built when it is asked for, without pooling and classifier.

    All of them take ``(B, 3, 299, 299)`` to ``(B, 1536, 8, 8)`` and have 54,306,464 parameters.

    Yields:
        The name of a module, which is that of the layer that ends with it as well; and the module.
    """
    yield "conv2d_1a", _convolution(3, 32, 3, 2)
    yield "conv2d_2a", _convolution(32, 32, 3, padded=False)
    yield "conv2d_2b", _convolution(32, 64, 3)
    yield "maxpool_3a", nn.MaxPool2d(3, 2)
    yield "conv2d_3b", _convolution(64, 80)
    yield "conv2d_4a", _convolution(80, 192, 3, padded=False)
    yield "maxpool_5a", nn.MaxPool2d(3, 2)
    pooled = nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), _convolution(192, 64))
    yield (
        "mixed_5b",
        Mixed(_convolution(192, 96), _branch(192, (48, 1), (64, 5)), _branch(192, (64, 1), (96, 3), (96, 3)), pooled),
    )
    yield "repeat", nn.Sequential(*(_block_35() for _ in range(10)))
    yield (
        "mixed_6a",
        Mixed(_convolution(320, 384, 3, 2), _branch(320, (256, 1), (256, 3), (384, 3, 2)), nn.MaxPool2d(3, 2)),
    )
    yield "repeat_1", nn.Sequential(*(_block_17() for _ in range(20)))
    yield (
        "mixed_7a",
        Mixed(
            _branch(1088, (256, 1), (384, 3, 2)),
            _branch(1088, (256, 1), (288, 3, 2)),
            _branch(1088, (256, 1), (288, 3), (320, 3, 2)),
            nn.MaxPool2d(3, 2),
        ),
    )
    yield "repeat_2", nn.Sequential(*(_block_8(0.2) for _ in range(9)))
    yield "block8", _block_8(1.0, rectified=False)
    yield "conv2d_7b", _convolution(2080, 1536)


def _convolution(
    before: int, after: int, kernel: int | tuple[int, int] = 1, stride: int = 1, padded: bool = True
) -> nn.Sequential:
    """A convolution, its batch norm and a ReLU; strided ones are never padded."""
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = (height // 2, width // 2) if padded and stride == 1 else 0
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(before, after, (height, width), stride, padding, bias=False),
            bn=nn.BatchNorm2d(after, eps=1e-3),
            relu=nn.ReLU(inplace=True),
        )
    )


def _branch(before: int, *steps: tuple[int, int | tuple[int, int]] | tuple[int, int, int]) -> nn.Sequential:
    """Convolutions one after another: of each the channels, the kernel, and the stride where there is one."""
    modules = []
    for step in steps:
        modules.append(_convolution(before, *step))
        before = step[0]
    return nn.Sequential(*modules)


def _block_35() -> Block:
    branches = _convolution(320, 32), _branch(320, (32, 1), (32, 3)), _branch(320, (32, 1), (48, 3), (64, 3))
    return Block(320, 128, 0.17, *branches)


def _block_17() -> Block:
    branches = _convolution(1088, 192), _branch(1088, (128, 1), (160, WIDE_7), (192, TALL_7))
    return Block(1088, 384, 0.1, *branches)


def _block_8(share: float, rectified: bool = True) -> Block:
    branches = _convolution(2080, 192), _branch(2080, (192, 1), (224, WIDE_3), (256, TALL_3))
    return Block(2080, 448, share, *branches, rectified=rectified)
