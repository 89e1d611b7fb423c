"""What judges images in adversarial training: convolutions down to one number for each image."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

# Channels after each halving (the discriminator of Silva-Rodríguez et al.), and the slope of the leaky ReLUs.
WIDTHS = (16, 32, 64, 128, 256, 512)
SLOPE = 0.2
# Features are compared on so many positions a side, at most.
MATCHED_SIDE = 7


class Critic(nn.Module):
    """Strided 4×4 convolutions, six or as many as the image can be halved; their mean; a linear layer; no sigmoid.

    With batch norm and one channel it has 2,796,257 parameters from 64 pixels up.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width.
        normalization: ``batch`` norm, for a discriminator; ``none`` for a Wasserstein critic, whose gradient penalty
            is of each image by itself.
    """

    def __init__(self, in_channels: int, image_size: int, normalization: str) -> None:
        super().__init__()
        widths = WIDTHS[: image_size.bit_length() - 1]
        blocks = []
        for before, after in zip((in_channels, *widths), widths, strict=False):
            convolution = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)
            norm = [nn.BatchNorm2d(after)] if normalization == "batch" else []
            blocks.append(nn.Sequential(convolution, *norm, nn.LeakyReLU(SLOPE, inplace=True)))
        self.blocks = nn.Sequential(*blocks)
        self.judge = nn.Linear(widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """How real each image is, ``(B, C, H, W)`` to ``(B,)``: a logit, or a critic's value."""
        value: Tensor = self.judge(self.blocks(images).mean((2, 3)))[:, 0]
        return value

    def features(self, images: Tensor) -> Tensor:
        """What feature matching compares, ``(B, K, h, w)``: the deepest activations that still have 7×7 places.

        Those of the last convolution that leaves so many, pooled to 7×7; of the first one in a smaller image.
        """
        first, *others = self.blocks
        features: Tensor = first(images)
        for block in others:
            if min(features.shape[2:]) < 2 * MATCHED_SIDE:
                break
            features = block(features)
        height, width = features.shape[2:]
        return F.adaptive_avg_pool2d(features, (min(height, MATCHED_SIDE), min(width, MATCHED_SIDE)))


def build_critic(kind: str, in_channels: int, image_size: int) -> Critic | None:
    """A ``discriminator`` with batch norm, a ``wasserstein`` critic without, or ``none``."""
    if kind == "none":
        return None
    return Critic(in_channels, image_size, "batch" if kind == "discriminator" else "none")
