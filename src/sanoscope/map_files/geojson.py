"""What lies above a map's threshold as GeoJSON annotations in pixel coordinates, as QuPath imports them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope.cases.case import Case
from sanoscope.heatmaps import Heatmaps

# Regions of fewer pixels of the map are left out, and counted: 3 × 3 is the least that is more than an edge.
LEAST_PIXELS = 9
# QuPath asks for colours with the names of classes; these two are told apart with any colour vision.
COLOURS = {"Abnormal": (213, 94, 0), "Normal": (86, 180, 233)}

Feature = dict[str, Any]


@dataclass(frozen=True)
class Region:
    """Pixels above a threshold that touch one another along their edges.

    Attributes:
        rings: What ``rings_of`` gives, on the map's grid.
        mean: Of the map in the region.
        highest: Value of the map in the region.
    """

    rings: Sequence[np.ndarray]
    mean: float
    highest: float


@dataclass(frozen=True)
class Regions:
    """What a map has above a threshold.

    Attributes:
        kept: From the top down.
        mask: ``(H, W)`` bool, the pixels of these.
        specks: How many more there are that are too small.
    """

    kept: Sequence[Region]
    mask: np.ndarray
    specks: int


def pixel_threshold(maps: Heatmaps) -> tuple[str, float]:
    """The threshold above which pixels of the deciding map are outlined, and what it is called.

    Of those that the results tell about: the fixed one where one was set, else the highest percentile, which fewest
    normal pixels exceed; without any, the value that overlays show as strong.
    """
    thresholds = maps.thresholds.get(maps.name, {})
    fixed = {name: value for name, value in thresholds.items() if not name.startswith("p")}
    choice = fixed or thresholds or {"scale": maps.scale}
    name = max(choice, key=lambda name: choice[name])
    return name, choice[name]


def regions_above(heatmap: np.ndarray, threshold: float, least_pixels: int = LEAST_PIXELS) -> Regions:
    """The regions of a map ``(H, W)`` float32 above a threshold.

    Beside the map, ten bytes a pixel of it are needed at most, and what the outlines take.

    Args:
        heatmap: Higher is more abnormal.
        threshold: Of which a pixel has to have more.
        least_pixels: Smaller regions are specks.
    """
    from scipy import ndimage

    labels, count = ndimage.label(heatmap > np.float32(threshold))
    specks = _remove_specks(labels, count, least_pixels)
    boxes = ndimage.find_objects(labels)
    kept = [_region(heatmap[box], labels[box] == label, box) for label, box in enumerate(boxes, 1)]
    return Regions(kept, labels > 0, specks)


def _region(heatmap: np.ndarray, region: np.ndarray, box: tuple[slice, slice]) -> Region:
    """A region ``(h, w)`` bool within its box, and the map there."""
    rows, columns = box
    corner = np.array([columns.start, rows.start])
    rings = [ring + corner for ring in rings_of(region)]
    values = heatmap[region]
    return Region(rings, float(values.mean(dtype=np.float64)), float(values.max()))


def _remove_specks(labels: np.ndarray, count: int, least_pixels: int) -> int:
    """Set the labels ``(H, W)`` of smaller regions to 0, number the others anew in their order, and count the smaller.

    Noise may have a speck for every few pixels: looking at each on its own would take minutes and gigabytes.
    """
    sizes = np.zeros(count + 1, np.int32)
    for row in labels:
        np.add.at(sizes, row, 1)
    large = sizes >= least_pixels
    large[0] = False
    numbers = np.cumsum(large, dtype=np.int32) * large
    for row in labels:
        row[:] = numbers[row]
    return count - int(np.count_nonzero(large))


def rings_of(region: np.ndarray) -> list[np.ndarray]:
    """The outline of a region along the edges of its pixels, and that of each of its holes: nothing is lost or gained.

    No ring meets itself, and two meet at most at corners, where pixels touch by their corners alone: what belongs to
    the region is joined there, what does not is apart.

    Args:
        region: ``(H, W)`` bool, all of one piece when pixels hang together by their edges.

    Returns:
        Corners ``(n + 1, 2)`` int64 as x, y, the last of which is the first again; pixel (0, 0) reaches from 0 to 1.
        The outer ring comes first. Its area by the shoelace formula is positive, that of holes negative (RFC 7946).
    """
    # 1 or -1 where an outline turns; 2 or -2 where two pixels touch by their corners, and it does so twice.
    turns = np.diff(np.diff(np.pad(region, 1).astype(np.int8), axis=0), axis=1)  # (H + 1, W + 1)
    y, x = np.nonzero(turns)
    turn = turns[y, x]
    times = np.abs(turn)
    y, x, turn = np.repeat(y, times), np.repeat(x, times), np.repeat(turn, times)
    # Edges join the first and second corner of a row, the third and fourth, and so on; those of a column likewise.
    again = np.append(False, (np.diff(y) == 0) & (np.diff(x) == 0))
    downwards = np.lexsort((again ^ (turn == 2), y, x)).reshape(-1, 2)
    facing = np.empty(y.size, np.int64)  # the corner at the other end of the upright edge
    facing[downwards] = downwards[:, ::-1]
    # Each level edge has the region on its right hand: to the right above it, to the left below.
    starts = np.arange(0, y.size, 2) + (turn[::2] < 0)
    following = (facing[starts ^ 1] // 2).tolist()
    rings, seen = [], bytearray(len(following))
    for first in range(len(following)):
        edges, edge = [], first
        while not seen[edge]:
            seen[edge] = True
            edges.append(edge)
            edge = following[edge]
        if edges:
            begin = starts[edges]
            corners = np.stack([begin, begin ^ 1], axis=1).ravel()
            corners = np.append(corners, corners[0])
            rings.append(np.stack([x[corners], y[corners]], axis=1))
    return rings


def signed_area(ring: np.ndarray) -> float:
    """Area of a closed ring ``(n + 1, 2)`` by the shoelace formula, negative of a hole."""
    x, y = ring.T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


def region_features(regions: Sequence[Region], columns: np.ndarray, rows: np.ndarray) -> list[Feature]:
    """An annotation for each region.

    Args:
        regions: Of a map.
        columns: The x of the left edge of each column of the map in the coordinates of the image, and of the last
            right edge, whole numbers.
        rows: The y of the edges of its rows, likewise.
    """
    features = []
    for region in regions:
        rings = [np.stack([columns[ring[:, 0]], rows[ring[:, 1]]], axis=1) for ring in region.rings]
        measurements = {
            "mean map value": region.mean,
            "highest map value": region.highest,
            "area px": sum(map(signed_area, rings)),
        }
        features.append(feature(rings, "annotation", "Abnormal", measurements))
    return features


def feature(
    rings: Sequence[np.ndarray], kind: str, verdict: str, measurements: Mapping[str, float], name: str | None = None
) -> Feature:
    """A polygon as QuPath reads it.

    Args:
        rings: Closed, ``(n + 1, 2)`` each; the outer one first.
        kind: ``annotation``, ``detection`` or ``tile``.
        verdict: One of ``COLOURS``.
        measurements: By name.
        name: Of the object, where it has one.
    """
    named = {} if name is None else {"name": name}
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring.tolist() for ring in rings]},
        "properties": {
            "objectType": kind,
            "classification": {"name": verdict, "color": list(COLOURS[verdict])},
            "measurements": dict(measurements),
            **named,
        },
    }


def write_geojson(file: Path, features: Sequence[Feature], about: Mapping[str, Any]) -> None:
    """Write features as one collection; folders are made.

    Args:
        file: To write.
        features: In pixel coordinates of the image.
        about: What a reader should know, as a member ``sanoscope`` that other programs pass over.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"type": "FeatureCollection", "sanoscope": dict(about), "features": list(features)}))


def about_regions(maps: Heatmaps, regions: Regions) -> dict[str, Any]:
    """Which threshold of which map the regions lie above, and how many were left out."""
    name, threshold = pixel_threshold(maps)
    return {
        "map": maps.name,
        "threshold": {"name": name, "value": threshold},
        "least pixels of a region": LEAST_PIXELS,
        "smaller regions left out": regions.specks,
    }


def write_image_geojson(case: Case, maps: Heatmaps, index: int, folder: Path) -> None:
    """Write ``maps/NAME.geojson``: the outlines of what lies above the threshold in one image.

    Args:
        case: The image.
        maps: Of all cases.
        index: Of the case among them.
        folder: Of the results.
    """
    heatmap = maps.on_source_grid(index)
    regions = regions_above(heatmap, pixel_threshold(maps)[1])
    height, width = heatmap.shape
    features = region_features(regions.kept, np.arange(width + 1), np.arange(height + 1))
    write_geojson(folder / "maps" / f"{case.name}.geojson", features, about_regions(maps, regions))
