"""A step on one image at a time: its histogram made flat."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageOps

from sanoscope.preparation.geometry import Picture, StillStep


@dataclass(frozen=True)
class Equalisation(StillStep):
    """Give every level of an image about as many pixels, each channel by itself; the foreground makes no difference.

    It stands behind the crop, so that what was cut away has no say, and before the resize, which mixes levels. 8-bit
    images stay 8-bit and get the levels 0 to 255 from PIL, as in the released code of the deep perceptual autoencoder;
    PIL counts in whole steps, so that small images become a little too bright, and those of fewer than 256 pixels stay
    as they are. Deeper images become float32 and keep their range: a value
    that a share of the pixels above the least one do not exceed lies at that share of the range.
    """

    def apply(self, picture: Picture) -> Picture:
        """The picture with a flat histogram."""
        equalised = _of_8_bit if picture.pixels.dtype == np.uint8 else _of_deeper
        pixels = np.stack([equalised(channel) for channel in np.moveaxis(picture.pixels, 2, 0)], axis=2)
        return replace(picture, pixels=pixels, trace=(*picture.trace, ()))


def _of_8_bit(channel: np.ndarray) -> np.ndarray:
    return np.asarray(ImageOps.equalize(Image.fromarray(np.ascontiguousarray(channel))))


def _of_deeper(channel: np.ndarray) -> np.ndarray:
    levels, lookup, counts = np.unique(channel, return_inverse=True, return_counts=True)
    levels = levels.astype(np.float64)  # as whole numbers their difference could overflow
    above = counts.cumsum() - counts[0]
    shares = above / max(above[-1], 1)  # a blank image has nothing above its least value
    equalised: np.ndarray = (levels[0] + (levels[-1] - levels[0]) * shares).astype(np.float32)
    return equalised[lookup].reshape(channel.shape)
