"""Squares that hide part of a training image, so that an autoencoder has to know what belongs there.

Zimmerer, Kohl, Petersen, Isensee, Maier-Hein: Context-encoding variational autoencoder for unsupervised anomaly
detection; and what became of its squares in two comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Occlusion = Callable[[Tensor, Tensor | None, torch.Generator], Tensor]

# Greatest number of squares in an image, where there are several.
MOST = 3
# Side of the comparison study's squares, as a share of the image's: 20 of 128 pixels.
COMPARED_SIDE = 20 / 128


def released(images: Tensor, foreground: Tensor | None, generator: torch.Generator) -> Tensor:
    """One square of zeros whose centre is anywhere, over the foreground only (Silva-Rodríguez et al., released code).

    Its half-width is anything up to a tenth of the image's side. At an edge it is cut off; in the released code a
    square beyond the first row or column hides nothing, as a negative index counts from the end.

    Args:
        images: Square, ``(B, C, S, S)``.
        foreground: ``(B, S, S)`` bool; None where everything is.
        generator: Where the random numbers come from, on the images' device.
    """
    count, size = len(images), images.shape[-1]
    half = _whole(0, size // 10, (count, 1, 1), generator)
    centre = _whole(0, size - 1, (count, 1, 2), generator)
    hidden = _covered(centre - half, centre + half, size)[:, 0]  # (B, S, S)
    if foreground is not None:
        hidden = hidden & foreground
    return images.masked_fill(hidden[:, None], 0)


def comparison(images: Tensor, foreground: Tensor | None, generator: torch.Generator) -> Tensor:
    """One to three squares of zeros within the bounding box of the foreground (Baur et al., comparative study).

    Their side is 20 of 128 pixels; where the box is smaller, nothing is hidden. For the arguments see ``released``.
    """
    count, size = len(images), images.shape[-1]
    side = round(COMPARED_SIDE * size)
    if foreground is None:
        foreground = torch.ones_like(images[:, 0], dtype=torch.bool)
    first, last = _bounding_box(foreground)
    room = last + 1 - first - side  # (B, 2)
    starts = first[:, None] + _below(room[:, None].clamp(min=0) + 1, (count, MOST, 2), generator)
    fits = (room >= 0).all(1)
    hidden = _covered(starts, starts + side, size) & _shown(1, count, generator) & fits[:, None, None, None]
    return images.masked_fill(hidden.any(1)[:, None], 0)


def original(images: Tensor, foreground: Tensor | None, generator: torch.Generator) -> Tensor:
    """Up to three squares anywhere, each of one intensity between the batch's extremes (Zimmerer et al.).

    Those of an image have one side, anything up to half the image's; later ones lie on top. For the arguments see
    ``released``; the foreground makes no difference.
    """
    count, size = len(images), images.shape[-1]
    side = _whole(0, size // 2, (count, 1, 1), generator)
    starts = _below(size - side + 1, (count, MOST, 2), generator)
    hidden = _covered(starts, starts + side, size) & _shown(0, count, generator)
    low, high = images.aminmax()
    intensities = low + (high - low) * torch.rand(count, MOST, 1, 1, 1, generator=generator, device=images.device)
    for square, intensity in zip(hidden.unbind(1), intensities.unbind(1), strict=True):
        images = torch.where(square[:, None], intensity, images)
    return images


OCCLUSIONS: Mapping[str, Occlusion] = {"released": released, "comparison": comparison, "original": original}


def _whole(least: int, greatest: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Whole numbers from least to greatest."""
    return torch.randint(least, greatest + 1, shape, generator=generator, device=generator.device)


def _below(bounds: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Whole numbers from 0 up to below each bound."""
    return (torch.rand(shape, generator=generator, device=generator.device) * bounds).long()


def _shown(least: int, count: int, generator: torch.Generator) -> Tensor:
    """Which of an image's squares there are, ``(B, MOST, 1, 1)`` bool: the first so many, at least ``least``."""
    numbers = _whole(least, MOST, (count, 1, 1, 1), generator)
    return torch.arange(MOST, device=generator.device)[:, None, None] < numbers


def _covered(starts: Tensor, stops: Tensor, size: int) -> Tensor:
    """Where rectangles are, ``(B, N, size, size)`` bool, from rows and columns ``(B, N, 2)`` to before others."""
    places = torch.arange(size, device=starts.device)
    rows, columns = ((places >= starts[..., None]) & (places < stops[..., None])).unbind(2)  # (B, N, size) each
    return rows[..., :, None] & columns[..., None, :]


def _bounding_box(foreground: Tensor) -> tuple[Tensor, Tensor]:
    """First and last row and column ``(B, 2)`` of each foreground ``(B, S, S)``; of none, the last before the first."""
    size = foreground.shape[-1]
    occupied = torch.stack((foreground.any(2), foreground.any(1)), 1)  # (B, 2, S)
    places = torch.arange(size, device=foreground.device).expand_as(occupied)
    return places.masked_fill(~occupied, size).amin(2), places.masked_fill(~occupied, -1).amax(2)
