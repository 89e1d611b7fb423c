"""The maps of a slide's tiles, put together: pyramids, outlines, and a picture of the whole slide.

Two TIFF files are written, as none can serve everyone. OpenSlide, and the viewers that are built on it, show 8-bit
colours alone and look for lower levels among a file's pages; Bio-Formats measures float values and, in an OME-TIFF,
looks for lower levels below the first page. Both images in one file would make QuPath ask at each opening which of
the two is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np

from sanoscope.cases import slides as slide_files
from sanoscope.cases.case import Case, Cases, SlideTile
from sanoscope.heatmaps import Heatmaps
from sanoscope.map_files.area_means import Lines, area_sums
from sanoscope.map_files.geojson import (
    Feature,
    about_regions,
    feature,
    pixel_threshold,
    region_features,
    regions_above,
    write_geojson,
)
from sanoscope.map_files.pyramid import Pyramid, write_colours, write_values
from sanoscope.map_files.slide_picture import slide_picture
from sanoscope.preparation.scratch import scratch_array
from sanoscope.report import images

# Pixels along a side of a slide's map. Where every pixel is above the threshold, that takes most memory: 0.7 GiB.
LARGEST_SIDE = 8192

# Files of several slides are written at a time, which would need that memory as many times.
_one_slide = Lock()


def write_slide(
    name: str,
    cases: Cases,
    maps: Heatmaps,
    indices: Sequence[int],
    folder: Path,
    scores: np.ndarray,
    abnormal: np.ndarray,
    score_range: tuple[float, float],
) -> None:
    """Write what was found on a slide, over its whole extent; what was not scored is 0.

    - ``maps/NAME.tiff``: the map, float32, as OME-TIFF.
    - ``maps/NAME.rgb.tiff``: its colours on white, as a TIFF that OpenSlide opens.
    - ``maps/NAME.geojson``: the regions above the threshold as annotations, and each tile with its score.
    - ``overlays/NAME.png``: the slide under the scores of its tiles, and under its map with the outlines of regions.

    A pixel of the map is a power of two of pixels of level 0: the smallest that keeps both sides within
    ``LARGEST_SIDE`` and is not finer than the tiles were read. Tiles are averaged where they overlap. They are put
    together in temporary files of the cache folder, at most 0.7 GiB, and written block by block.

    Args:
        name: Of the files; may have folders.
        cases: Those that were scored.
        maps: Of all of them.
        indices: Of the tiles of the slide.
        folder: Of the results.
        scores: ``(N,)`` of all cases.
        abnormal: ``(N,)`` bool, the decisions on all cases.
        score_range: What scores are usual and strong in held-out normals.

    Raises:
        ImageError: If the slide cannot be read any more.
        DataError: If the cache folder has no room.
    """
    path = cases[indices[0]].path
    assert path is not None, "a tile is of a file"
    facts, tiles = slide_files.facts_of(path), [_tile_of(cases[index]) for index in indices]
    with _one_slide:
        reduction = _reduction(facts, tiles)
        finest = _put_together(facts, tiles, (maps.on_source_grid(index) for index in indices), reduction)
        pyramid = Pyramid.of(finest, facts.width, facts.height, reduction)
        about = (
            f"Map {maps.name} of {name}, a pixel is {reduction} x {reduction} of level 0; higher is more abnormal, "
            "what was not scored is 0"
        )
        write_values(folder / "maps" / f"{name}.tiff", pyramid, maps.name, about, facts.mpp)
        coloured = partial(_on_white, maps=maps)
        write_colours(folder / "maps" / f"{name}.rgb.tiff", pyramid, coloured, about, facts.mpp)
        regions = regions_above(finest, pixel_threshold(maps)[1])
        features = region_features(regions.kept, pyramid.lines[0].columns, pyramid.lines[0].rows)
        features += [_tile_feature(cases[index], float(scores[index]), bool(abnormal[index])) for index in indices]
        about_map = about_regions(maps, regions) | {"reduction": reduction}
        write_geojson(folder / "maps" / f"{name}.geojson", features, about_map)
        picture = slide_picture(path, tiles, scores[list(indices)], score_range, pyramid, regions, maps)
        images.write_png(folder / "overlays" / f"{name}.png", picture)


def _tile_of(case: Case) -> SlideTile:
    assert case.tile is not None, "grouped by slide"
    return case.tile


def _reduction(facts: slide_files.SlideFacts, tiles: Sequence[SlideTile]) -> int:
    """Pixels of level 0 along a side of a pixel of the map."""
    finest = min(tile.side / tile.size for tile in tiles)
    reduction = 1
    while reduction < finest or max(facts.width, facts.height) > LARGEST_SIDE * reduction:
        reduction *= 2
    return reduction


def _put_together(
    facts: slide_files.SlideFacts, tiles: Sequence[SlideTile], heatmaps: Iterable[np.ndarray], reduction: int
) -> np.ndarray:
    """The map of a whole slide, ``(H, W)`` float32: means over areas of the tiles' maps, and 0 where none is."""
    lines = Lines.of_reduction(facts.width, facts.height, reduction)
    total, covered = (scratch_array(lines.shape, np.float32) for _ in range(2))
    for tile, heatmap in zip(tiles, heatmaps, strict=True):
        of_tile = Lines.of_parts(tile.x, tile.y, tile.side, tile.side, heatmap.shape)
        place = lines.around(of_tile)
        sums, areas = area_sums(heatmap, of_tile, lines.part(*place))
        total[place] += sums
        covered[place] += areas
    np.divide(total, covered, out=total, where=covered > 0)
    return total


def _on_white(part: np.ndarray, maps: Heatmaps) -> np.ndarray:
    return images.overlay(np.full((*part.shape, 3), 255, np.uint8), part, maps.range_of())


def _tile_feature(case: Case, score: float, abnormal: bool) -> Feature:
    """The square that a case is, with what was said of it."""
    tile = _tile_of(case)
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]) * tile.side + (tile.x, tile.y)
    return feature([corners], "tile", "Abnormal" if abnormal else "Normal", {"score": score}, case.name)
