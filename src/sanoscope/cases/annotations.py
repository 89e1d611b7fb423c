"""Outlines of what is abnormal on a slide: ASAP's XML, as Camelyon16 has it, and GeoJSON, as QuPath writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope.cases.case import SlideTile
from sanoscope.cases.suffixes import suffix_of
from sanoscope.errors import ImageError

SUFFIXES = (".xml", ".geojson")
ASAP = "ASAP_Annotations"  # the outermost element of its files
# Bytes of a file with outlines; those of Camelyon16 have up to 2 MB. Parsed they take up to thirty times as many.
LARGEST_OUTLINES = 64 * 2**20
FARTHEST = 1e9  # pixels of level 0 from its corner
CROSSINGS = 2**21  # of edges and rows, that are found at once, which bounds the memory for it
# Groups of outlines of what is not abnormal; inside an abnormal region they cut a hole. Camelyon16's is ``_2``. An
# outline without a group is abnormal: somebody drew it.
NORMAL_GROUPS = frozenset({"_2", "exclusion", "normal", "healthy", "benign", "ignore*", "region*"})


@dataclass(frozen=True, eq=False)
class Outline:
    """A polygon on a slide.

    Attributes:
        exterior: ``(N, 2)`` corners, x and y in pixels of level 0.
        holes: Polygons within it that do not belong to it.
        abnormal: Whether it surrounds what is abnormal, or what is not although an abnormal region surrounds it.
    """

    exterior: np.ndarray
    holes: tuple[np.ndarray, ...] = ()
    abnormal: bool = True

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, upper, right and lower end."""
        left, top = self.exterior.min(0)
        right, bottom = self.exterior.max(0)
        return float(left), float(top), float(right), float(bottom)


def mask_of(annotation: Path, tile: SlideTile) -> np.ndarray:
    """Which pixels of a tile are abnormal, ``(size, size)`` bool: those whose centre is.

    Raises:
        ImageError: The outlines cannot be read.
    """
    abnormal = np.zeros((tile.size, tile.size), bool)
    normal = abnormal.copy()
    for outline in outlines(annotation):
        if _meets(outline, tile):
            (abnormal if outline.abnormal else normal)[...] |= _drawn(outline, tile)
    return abnormal & ~normal


def outlines(annotation: Path) -> tuple[Outline, ...]:
    """The outlines in a file.

    Raises:
        ImageError: It is missing, too large, damaged, or of another kind.
    """
    try:
        return _outlines(annotation, annotation.stat().st_mtime_ns)
    except ImageError as error:
        raise ImageError(f"{annotation}: {error}") from error
    except OSError as error:
        raise ImageError(f"{annotation}: cannot be read ({error.strerror or error}); check the file") from error
    except Exception as error:  # parsers meet broken files with every kind of exception
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{annotation}: holds no outlines that are understood ({reason}); check the file") from error


@lru_cache(maxsize=64)
def _outlines(annotation: Path, _changed: int) -> tuple[Outline, ...]:
    if annotation.stat().st_size > LARGEST_OUTLINES:
        raise ImageError(f"is larger than {LARGEST_OUTLINES // 2**20} MiB, too large for outlines; simplify them")
    content = annotation.read_bytes()
    parse = {".xml": _of_asap, ".geojson": _of_geojson, ".json": _of_geojson}.get(suffix_of(annotation))
    if parse is None:
        raise ImageError("is no file with outlines; give ASAP's .xml or a .geojson")
    return tuple(parse(content))


def _meets(outline: Outline, tile: SlideTile) -> bool:
    left, top, right, bottom = outline.box
    return left < tile.x + tile.side and right > tile.x and top < tile.y + tile.side and bottom > tile.y


def _drawn(outline: Outline, tile: SlideTile) -> np.ndarray:
    inside = _filled(outline.exterior, tile)
    for hole in outline.holes:
        inside &= ~_filled(hole, tile)
    return inside


def _filled(polygon: np.ndarray, tile: SlideTile) -> np.ndarray:
    """The pixels of a tile whose centre a polygon surrounds.

    Along each row, pixels beyond an odd number of edges are inside. skimage's ``polygon`` compares every pixel with
    every corner, which takes a second for a tile and an outline of ten thousand corners; PIL's fills half a pixel more.
    """
    corners = (polygon - (tile.x, tile.y)) * (tile.size / tile.side) - 0.5  # centres are at whole numbers
    edges = np.hstack([corners, np.roll(corners, -1, axis=0)])
    crossed = np.zeros((tile.size, tile.size + 1), int)
    for some in np.array_split(edges, ceil(len(edges) * tile.size / CROSSINGS)):
        np.add.at(crossed, _crossings(some, tile.size), 1)
    return np.asarray(np.cumsum(crossed, axis=1)[:, :-1] % 2 == 1)


def _crossings(edges: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the first pixel beyond each edge ``(x, y, end x, end y)``, for each row that it crosses."""
    x, y, end_x, end_y = edges.T
    first = np.clip(np.ceil(np.minimum(y, end_y)), 0, size).astype(int)
    rows = np.clip(np.ceil(np.maximum(y, end_y)), 0, size).astype(int) - first
    edge = np.repeat(np.arange(len(edges)), rows)
    row = np.arange(len(edge)) + np.repeat(first + rows - np.cumsum(rows), rows)
    beyond = x[edge] + (row - y[edge]) * ((end_x - x)[edge] / (end_y - y)[edge])
    return row, np.clip(np.ceil(beyond), 0, size).astype(int)


def _of_asap(content: bytes) -> Iterator[Outline]:
    from xml.etree import ElementTree

    text = content.decode("utf-8-sig")  # by no other encoding can a declaration hide
    if "<!DOCTYPE" in text or "<!ENTITY" in text:  # which could make a small file expand without bounds
        raise ImageError("declares a document type; save the outlines without one")
    root = ElementTree.fromstring(text)
    if root.tag != ASAP:  # scanners and other viewers write XML beside slides too
        raise ImageError(
            f"holds no outlines of ASAP, as its <{root.tag:.40}> tells; save them as GeoJSON or rename the file"
        )
    for annotation in root.iter("Annotation"):
        points = sorted(annotation.iter("Coordinate"), key=lambda point: int(float(point.get("Order", 0))))
        polygon = _polygon([(point.attrib["X"], point.attrib["Y"]) for point in points])
        if polygon is not None:
            yield Outline(polygon, abnormal=_is_abnormal(annotation.get("PartOfGroup")))


def _of_geojson(content: bytes) -> Iterator[Outline]:
    for feature in _features(json.loads(content)):
        properties = feature.get("properties") or {}
        if properties.get("objectType") == "tile":  # what was judged, not what is true
            continue
        classification = properties.get("classification") or {}
        abnormal = _is_abnormal(classification.get("name") if isinstance(classification, dict) else classification)
        for rings in _polygons(feature.get("geometry") or feature):
            exterior, *holes = (_polygon(ring) for ring in rings)
            if exterior is not None:
                yield Outline(exterior, tuple(hole for hole in holes if hole is not None), abnormal)


def _features(stored: Any) -> list[dict[str, Any]]:
    if isinstance(stored, dict):
        stored = stored["features"] if stored.get("type") == "FeatureCollection" else [stored]
    return [dict(feature) for feature in stored]


def _polygons(geometry: dict[str, Any]) -> list[Any]:
    """The polygons of a geometry, each as its rings; points and lines surround nothing."""
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        return [polygon for part in geometry["geometries"] for polygon in _polygons(part)]
    if kind == "Polygon":
        return [geometry["coordinates"]]
    return list(geometry["coordinates"]) if kind == "MultiPolygon" else []


def _polygon(points: Any) -> np.ndarray | None:
    """Corners ``(N, 2)``; None of what surrounds nothing."""
    corners = np.array([(float(x), float(y)) for x, y, *_ in points], np.float64).reshape(-1, 2)
    if not (np.abs(corners) < FARTHEST).all():  # nor is NaN
        raise ImageError("has corners that lie on no slide; check the file")
    return corners if len(corners) > 2 else None


def _is_abnormal(group: object) -> bool:
    return str(group).strip().lower() not in NORMAL_GROUPS
