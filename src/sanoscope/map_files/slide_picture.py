"""A picture of a whole slide: under the scores of its tiles, and beside it under its map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sanoscope.cases import slides as slide_files
from sanoscope.cases.case import SlideTile
from sanoscope.heatmaps import Heatmaps
from sanoscope.map_files.area_means import Lines, area_means
from sanoscope.map_files.geojson import Regions, pixel_threshold
from sanoscope.map_files.pyramid import Pyramid
from sanoscope.map_files.scale_bar import with_scale
from sanoscope.report import images

# Pixels along the longer side of the slide.
PICTURE_SIDE = 2048


def slide_picture(
    path: Path,
    tiles: Sequence[SlideTile],
    scores: np.ndarray,
    score_range: tuple[float, float],
    pyramid: Pyramid,
    regions: Regions,
    maps: Heatmaps,
) -> np.ndarray:
    """Two pictures with what their colours mean, ``(H, W, 3)`` uint8.

    Args:
        path: The slide.
        tiles: That were scored.
        scores: Of these, ``(T,)``.
        score_range: The scores that are drawn as nothing and at full strength.
        pyramid: The map of the slide.
        regions: Outlined on the map, however small.
        maps: Of the tiles, for the range and the name.

    Raises:
        ImageError: The slide cannot be read.
    """
    facts = slide_files.facts_of(path)
    image = slide_files.thumbnail(path, PICTURE_SIDE)
    scored = _under_scores(image, facts, tiles, scores, score_range)
    lines = Lines.of_parts(0, 0, facts.width, facts.height, image.shape[:2])
    heatmap, outlined = (area_means(values, pyramid.lines[0], lines) for values in (pyramid.levels[0], regions.mask))
    mapped = images.outlined(images.overlay(image, heatmap, maps.range_of()), outlined > 0)
    name, threshold = pixel_threshold(maps)
    beside = with_scale(mapped, maps.range_of(), maps.name, f"outlined: above {threshold:.4g} ({name})")
    return np.hstack([scored, beside])


def scored_slide(
    path: Path, tiles: Sequence[SlideTile], scores: np.ndarray, score_range: tuple[float, float], longest: int
) -> np.ndarray:
    """A slide under the scores of its tiles with what the colours mean, ``(H, W, 3)`` uint8.

    Args:
        path: The slide.
        tiles: That were scored.
        scores: Of these, ``(T,)``.
        score_range: The scores that are drawn as nothing and at full strength.
        longest: Pixels along the longer side of the slide.

    Raises:
        ImageError: The slide cannot be read.
    """
    return _under_scores(slide_files.thumbnail(path, longest), slide_files.facts_of(path), tiles, scores, score_range)


def _under_scores(
    image: np.ndarray,
    facts: slide_files.SlideFacts,
    tiles: Sequence[SlideTile],
    scores: np.ndarray,
    score_range: tuple[float, float],
) -> np.ndarray:
    picture = images.overlay(image, scores_on_slide(tiles, scores, facts, image.shape[:2]), score_range)
    return with_scale(picture, score_range, "score of tiles", f"tiles scored: {len(tiles)}")


def scores_on_slide(
    tiles: Sequence[SlideTile], scores: np.ndarray, facts: slide_files.SlideFacts, size: tuple[int, int]
) -> np.ndarray:
    """The score of the tile at each pixel of a picture of the slide, ``(H, W)`` float32; NaN where none was scored.

    Args:
        tiles: Drawn in this order.
        scores: ``(T,)``.
        facts: Of the slide.
        size: Height and width of the picture.
    """
    drawn = np.full(size, np.nan, np.float32)
    down, across = size[0] / facts.height, size[1] / facts.width
    for tile, score in zip(tiles, scores, strict=True):
        top, bottom = (max(round(edge * down), 0) for edge in (tile.y, tile.y + tile.side))
        left, right = (max(round(edge * across), 0) for edge in (tile.x, tile.x + tile.side))
        drawn[top : max(bottom, top + 1), left : max(right, left + 1)] = score
    return drawn
