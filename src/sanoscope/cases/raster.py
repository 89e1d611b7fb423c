"""PNG, JPEG and BMP, decoded by PIL without loss of depth and without its warnings."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# What PIL's modes without a plain array become; alpha and padding channels go.
PLAIN_MODE = {
    "1": "L",
    "LA": "L",
    "La": "L",
    "P": "RGB",
    "PA": "RGB",
    "RGBA": "RGB",
    "RGBa": "RGB",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
}

# The header chunk of a PNG is always the first; these are its fields (PNG specification, 11.2.1).
DEPTH, COLOUR = 24, 25
GREY, GREY_ALPHA = 0, 4


def read_png(content: bytes) -> np.ndarray:
    """The pixels of a PNG, ``(H, W)`` or ``(H, W, 3)``, uint8 or uint16.

    Raises:
        ImageError: It is larger than the limit, or 16-bit grey with alpha, whose low bytes PIL drops.
    """
    from PIL.PngImagePlugin import PngImageFile

    image = opened(PngImageFile, content)
    if content[DEPTH] < 16:
        return pixels_of(image)
    if content[COLOUR] == GREY:
        return np.array(image).astype(np.uint16, copy=False)
    if content[COLOUR] == GREY_ALPHA:
        raise ImageError("16-bit grey PNG with alpha is not read without loss; save it as TIFF")
    high, low = _png_bytes(content, "B"), _png_bytes(content, "L")
    return np.asarray(high.astype(np.uint16) << 8 | low)


def read_jpeg(content: bytes) -> np.ndarray:
    """The pixels of a JPEG, ``(H, W)`` or ``(H, W, 3)`` uint8.

    Raises:
        ImageError: It is larger than the limit.
    """
    return pixels_of(opened(_jpeg_plugin(), content))


def read_bmp(content: bytes) -> np.ndarray:
    """The pixels of a BMP, ``(H, W)`` or ``(H, W, 3)`` uint8.

    Raises:
        ImageError: It is larger than the limit.
    """
    from PIL.BmpImagePlugin import BmpImageFile

    return pixels_of(opened(BmpImageFile, content))


def check_size(width: int, height: int) -> None:
    """Refuse what would fill the memory.

    Raises:
        ImageError: There are more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise ImageError(f"{width} × {height} pixels are more than the limit of {limit}; cut it into patches")


def opened(plugin: type[ImageFile], content: bytes) -> ImageFile:
    """An image with its header read. Not ``Image.open``: that is slower, and warns where this refuses.

    Raises:
        ImageError: It is larger than the limit.
    """
    image = plugin(BytesIO(content))
    check_size(*image.size)
    return image


def pixels_of(image: ImageFile) -> np.ndarray:
    """The pixels of an opened image, ``(H, W)`` or ``(H, W, 3)``."""
    if image.mode in PLAIN_MODE:
        image.load()
        image.info.pop("transparency", None)  # dropped like any alpha; PIL warns of it otherwise
        return np.array(image.convert(PLAIN_MODE[image.mode]))
    return np.array(image)


def _png_bytes(content: bytes, order: str) -> np.ndarray:
    """One of the two bytes of every sample of a 16-bit colour PNG, ``(H, W, 3)`` uint8.

    PIL keeps the high byte alone (``B``). Told that samples are little-endian (``L``), it keeps the other.
    """
    from PIL.PngImagePlugin import PngImageFile

    image = PngImageFile(BytesIO(content))
    image.tile = [(*tile[:3], f"{image.mode};16{order}") for tile in image.tile]  # type: ignore[misc]
    return np.array(image)[:, :, :3]


@cache
def _jpeg_plugin() -> type[ImageFile]:
    from PIL.JpegImagePlugin import JpegImageFile

    class JpegWithoutResolution(JpegImageFile):
        """PIL looks up the resolution in the EXIF block, and warns if that is damaged; nothing needs it."""

        def _read_dpi_from_exif(self) -> None:
            pass

    return JpegWithoutResolution
