"""Simonyan, Zisserman: Very deep convolutional networks for large-scale image recognition. Names as torchvision's."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

# 3×3 convolutions in each of the five blocks; a max-pool ends each block.
BLOCKS = {"vgg11_bn": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
WIDTHS = (64, 128, 256, 512, 512)


def vgg(name: str) -> Iterator[tuple[str | None, nn.Module]]:
    """The modules of torchvision's ``features`` in order, each built when it is asked for.

    All of them take ``(B, 3, H, W)`` to ``(B, 512, H/32, W/32)``; VGG-19's have 20,024,384 parameters.

    Args:
        name: A key of ``BLOCKS``.

    Yields:
        The layer that ends with a module, such as ``r12`` with relu1_2, or None; and the module.
    """
    before = 3
    for block, (width, convolutions) in enumerate(zip(WIDTHS, BLOCKS[name], strict=True), start=1):
        for number in range(1, convolutions + 1):
            yield None, nn.Conv2d(before, width, 3, padding=1)
            if name.endswith("_bn"):
                yield None, nn.BatchNorm2d(width)
            yield f"r{block}{number}", nn.ReLU(inplace=True)
            before = width
        yield None, nn.MaxPool2d(2)
