"""Pictures as a reader sees them: intensities to colours, maps over images, PNG bytes."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

# The part of the colour map in use: its black end would only darken an image where there is nothing to see,
# its pale end would vanish on fat and glass.
_DARKEST, _PALEST = 0.25, 0.9
# At full strength some of the image still shines through, so that one sees what the map points at.
_LARGEST_ALPHA = 0.7
_LEVELS = 256
# Of other than 8-bit pixels, the percentiles that become black and white.
_SHOWN = (0.5, 99.5)
# Far from every colour of the map and from grey.
_OUTLINE = (0, 230, 190)


def display(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """An image for the screen, ``(H, W, 3)`` uint8.

    Args:
        pixels: ``(H, W, C)``, any numeric type. Three channels are red, green and blue; of any other
            number the mean is shown in grey, as false colours could be taken for stains. NaN is black.
        low: The intensity that becomes black, in the pixels' own unit.
        high: The intensity that becomes white; all is black where it is not above ``low``.
    """
    values = np.asarray(pixels, dtype=np.float32)
    if values.shape[-1] != 3:
        values = values.mean(axis=-1, keepdims=True)
    if high > low:
        shares = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0, 1)
    else:
        shares = np.zeros_like(values)
    return np.broadcast_to(np.rint(shares * 255).astype(np.uint8), (*values.shape[:2], 3)).copy()


def display_file(pixels: np.ndarray) -> np.ndarray:
    """A file's own pixels ``(H, W, C)`` as they are shown, ``(H, W, 3)`` uint8: 8-bit as they are, others stretched."""
    low, high = (0.0, 255.0) if pixels.dtype == np.uint8 else np.percentile(pixels, _SHOWN)
    return display(pixels, float(low), float(high))


def overlay(image: np.ndarray, heatmap: np.ndarray, shown: tuple[float, float]) -> np.ndarray:
    """An image under its map, ``(H, W, 3)`` uint8: the more abnormal, the brighter and the less transparent.

    Args:
        image: ``(H, W, 3)`` uint8.
        heatmap: ``(H, W)``, higher is more abnormal.
        shown: The values of the map up to which the image stays as it is, and that is drawn at full strength, the same
            for all images that are compared. At NaN, and where the second is not above the first, it stays too.
    """
    low, high = shown
    if high <= low:
        return image.copy()
    strength = np.clip((np.nan_to_num(heatmap, nan=low) - low) / (high - low), 0, 1)
    level = np.rint(strength * (_LEVELS - 1)).astype(np.uint8)
    colour, transparency = _blending()
    blended = image * transparency[level][..., None] + colour[level]  # in 1/255 of a grey level
    return np.asarray((blended + 127) // 255, dtype=np.uint8)


def outlined(image: np.ndarray, region: np.ndarray) -> np.ndarray:
    """An image with the inner edge of a region drawn in, ``(H, W, 3)`` uint8.

    Args:
        image: ``(H, W, 3)`` uint8.
        region: ``(H, W)`` bool.
    """
    from scipy.ndimage import binary_erosion

    drawn = image.copy()
    drawn[region & ~binary_erosion(region)] = _OUTLINE
    return drawn


def montage(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Pictures of one size ``(H, W, 3)`` side by side in rows, read as text is; missing places are black."""
    height, width, _ = tiles[0].shape
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows, columns, height, width, 3), np.uint8)
    for place, tile in enumerate(tiles):
        sheet[divmod(place, columns)] = tile
    return sheet.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)


def png(image: np.ndarray) -> bytes:
    """The bytes of a PNG file of ``(H, W, 3)`` uint8."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def write_png(file: Path, image: np.ndarray) -> None:
    """Write ``(H, W, 3)`` uint8 as a PNG file; folders are made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png(image))


@functools.cache
def _blending() -> tuple[np.ndarray, np.ndarray]:
    """For each level of a map: colour times alpha ``(256, 3)``, and one minus alpha ``(256,)``, in 1/255."""
    from matplotlib import colormaps

    colours = colormaps["inferno"](np.linspace(_DARKEST, _PALEST, _LEVELS))[:, :3] * 255
    alpha = np.rint(np.linspace(0, _LARGEST_ALPHA, _LEVELS) * 255)
    return np.rint(colours * alpha[:, None]).astype(np.uint32), (255 - alpha).astype(np.uint32)
