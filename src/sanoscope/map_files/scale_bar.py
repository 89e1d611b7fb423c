"""What the colours of a picture under its map mean, drawn beside it."""

from __future__ import annotations

import numpy as np

from sanoscope.report import images

FONT_SIZE, MARGIN, BAR_WIDTH = 16, 16, 24
LARGEST_BAR, LEAST_HEIGHT = 400, 200


def with_scale(picture: np.ndarray, shown: tuple[float, float], title: str, outlined: str) -> np.ndarray:
    """A picture with a colour bar on its right, ``(max(H, 200), W + w, 3)`` uint8; what is added is white.

    Args:
        picture: ``(H, W, 3)`` uint8.
        shown: The values of the map that ``images.overlay`` drew as nothing and at full strength.
        title: What stands above the bar, such as the name of the map.
        outlined: What stands below it, such as what outlines mean.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(FONT_SIZE)
    height = max(len(picture), LEAST_HEIGHT)
    top, line = MARGIN + 2 * FONT_SIZE, FONT_SIZE + MARGIN
    bottom = min(height - 2 * line, top + LARGEST_BAR)
    width = 2 * MARGIN + int(max(BAR_WIDTH + 6 * FONT_SIZE, font.getlength(title), font.getlength(outlined)))
    strip = np.full((height, width, 3), 255, np.uint8)
    bar = strip[top:bottom, MARGIN : MARGIN + BAR_WIDTH]
    values = np.broadcast_to(np.linspace(*shown[::-1], bottom - top)[:, None], bar.shape[:2])
    bar[:] = images.overlay(bar, values, shown)
    sheet = Image.fromarray(np.hstack([_padded(picture, height), strip]))
    draw, left = ImageDraw.Draw(sheet), picture.shape[1] + MARGIN
    draw.rectangle((left, top, left + BAR_WIDTH - 1, bottom - 1), outline=0)
    for text, x, y, anchor in (
        (title, left, MARGIN, "la"),
        (f"{shown[1]:.4g}", left + BAR_WIDTH + FONT_SIZE // 2, top, "lm"),
        (f"{shown[0]:.4g}", left + BAR_WIDTH + FONT_SIZE // 2, bottom, "lm"),
        (outlined, left, bottom + MARGIN, "la"),
    ):
        draw.text((x, y), text, fill=(0, 0, 0), font=font, anchor=anchor)
    return np.asarray(sheet)


def _padded(picture: np.ndarray, height: int) -> np.ndarray:
    return np.pad(picture, ((0, height - len(picture)), (0, 0), (0, 0)), constant_values=255)
