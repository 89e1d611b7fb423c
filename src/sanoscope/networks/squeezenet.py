"""Iandola et al.: SqueezeNet: AlexNet-level accuracy with 50× fewer parameters. Version 1.1, names as torchvision's."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

# Of fire2 to fire9 in the paper's numbering: channels before, squeezed, and of each of the two expansions.
FIRES = (
    (64, 16, 64),
    (128, 16, 64),
    (128, 32, 128),
    (256, 32, 128),
    (256, 48, 192),
    (384, 48, 192),
    (384, 64, 256),
    (512, 64, 256),
)
# Version 1.1 halves the resolution before these, where the first version did so later.
POOLED_BEFORE = (2, 4, 6)


class Fire(nn.Module):
    """A 1×1 convolution to few channels, then 1×1 and 3×3 convolutions side by side: ``2 · expanded`` channels."""

    def __init__(self, before: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, before, H, W)`` to ``(B, 2 · expanded, H, W)``."""
        squeezed = self.squeeze(features).relu_()
        return torch.cat([self.expand1x1(squeezed), self.expand3x3(squeezed)], dim=1).relu_()


def squeezenet() -> Iterator[tuple[str | None, nn.Module]]:
    """The modules of torchvision's ``features`` in order, each built when it is asked for.

    All of them take ``(B, 3, H, W)`` to 512 channels of about a sixteenth of the height and width, and have 722,496
    parameters.

    Yields:
        The layer that ends with a module, ``conv1`` after its ReLU or ``fire2`` (``features.3``) to ``fire9``
        (``features.12``) in the paper's numbering, or None; and the module.
    """
    yield None, nn.Conv2d(3, 64, 3, stride=2)
    yield "conv1", nn.ReLU(inplace=True)
    for number, channels in enumerate(FIRES, start=2):
        if number in POOLED_BEFORE:
            yield None, nn.MaxPool2d(3, stride=2, ceil_mode=True)
        yield f"fire{number}", Fire(*channels)
