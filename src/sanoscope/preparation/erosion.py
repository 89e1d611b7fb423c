"""Erosion of foregrounds, so that maps keep off the edge of the brain, where every model errs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def eroded(foreground: Tensor, side: int) -> Tensor:
    """What is left of foregrounds when every pixel goes whose square reaches outside.

    The square of an even side reaches one pixel further up and to the left, as in ``scipy.ndimage.binary_erosion``;
    what lies beyond the image is outside. Holes are not filled.

    Args:
        foreground: ``(B, H, W)`` bool.
        side: Of the square, in pixels; 1 and 0 leave everything.
    """
    if side < 2:
        return foreground
    before, after = side // 2, side - 1 - side // 2
    outside = F.pad((~foreground).float(), (before, after, before, after), value=1.0)
    reached = F.max_pool2d(F.max_pool2d(outside, (side, 1), stride=1), (1, side), stride=1)
    return reached == 0
