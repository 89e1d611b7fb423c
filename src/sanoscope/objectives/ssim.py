"""Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural similarity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# The constants and the width of the Gaussian in Wang et al., for values in [0, 1].
C1, C2, SIGMA = 0.01**2, 0.03**2, 1.5


def structural_similarity(images: Tensor, others: Tensor, window: int = 5) -> Tensor:
    """Mean SSIM ``(B,)`` of ``(B, C, H, W)`` in [0, 1] twice, over the windows that lie in the image.

    Args:
        images: At least as high and wide as the window.
        others: Of the same shape.
        window: Side of the Gaussian window, in pixels.
    """
    distance = torch.arange(window, device=images.device) - (window - 1) / 2
    weights = (-0.5 * (distance / SIGMA).square()).exp()
    weights = weights / weights.sum()

    def local_mean(values: Tensor) -> Tensor:
        channels = values.shape[1]
        down = weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
        across = weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
        return F.conv2d(F.conv2d(values, down, groups=channels), across, groups=channels)

    # Variances are small differences of large numbers, which half precision would lose.
    with torch.autocast(images.device.type, enabled=False):
        one, other = images.float(), others.float()
        mean_one, mean_other = local_mean(one), local_mean(other)
        variance_one = local_mean(one.square()) - mean_one.square()
        variance_other = local_mean(other.square()) - mean_other.square()
        covariance = local_mean(one * other) - mean_one * mean_other
        luminance = (2 * mean_one * mean_other + C1) / (mean_one.square() + mean_other.square() + C1)
        structure = (2 * covariance + C2) / (variance_one + variance_other + C2)
        return (luminance * structure).flatten(1).mean(1)
