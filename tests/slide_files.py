"""Small slides in pyramidal TIFF, and outlines on them, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tifffile import TiffWriter

GLASS, TISSUE = (245, 244, 246), (190, 90, 160)
TILE = 256
Corners = Sequence[tuple[float, float]]


def save_slide(path: Path, pixels: np.ndarray, levels: int = 1, mpp: float | None = 0.25) -> Path:
    """Pixels ``(H, W, 3)`` with further levels of half the size each, every one a mean of 2 × 2 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TiffWriter(path) as tiff:
        for number in range(levels):
            if number:
                height, width = (side // 2 for side in pixels.shape[:2])
                pixels = pixels[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean((1, 3)).round()
            _write(tiff, np.asarray(pixels, np.uint8), pixels.shape, number, mpp)
    return path


def save_aperio(path: Path, pixels: np.ndarray, mpp: float, objective: float) -> Path:
    """A slide as Aperio's scanners write them, but for their lossy compression."""
    height, width = pixels.shape[:2]
    about = f"Aperio Image Library v11.2.1\r\n{width}x{height} (256x256)|AppMag = {objective:g}|MPP = {mpp:g}"
    with TiffWriter(path) as tiff:
        tiff.write(
            pixels,
            tile=(TILE, TILE),
            photometric="rgb",
            compression="zlib",
            metadata=None,
            description=about,
        )
    return path


def save_repeated(path: Path, tile: np.ndarray, across: int, mpp: float = 0.25) -> Path:
    """A slide of ``across`` × ``across`` times the same tile, which never is in memory as a whole."""
    import zlib

    encoded = zlib.compress(tile.tobytes())
    segments = (encoded for _ in range(across * across))
    with TiffWriter(path) as tiff:
        _write(tiff, segments, (across * TILE, across * TILE, 3), 0, mpp)
    return path


def _write(
    tiff: TiffWriter, pixels: np.ndarray | Iterator[bytes], shape: tuple[int, ...], level: int, mpp: float | None
) -> None:
    resolution: dict[str, Any] = {}
    if mpp is not None:
        per_centimetre = 1e4 / (mpp * 2**level)
        resolution = {"resolution": (per_centimetre, per_centimetre), "resolutionunit": "CENTIMETER"}
    tiff.write(
        pixels,
        shape=shape,
        dtype=np.uint8,
        tile=(TILE, TILE),
        photometric="rgb",
        compression="zlib",
        subfiletype=int(level > 0),
        metadata=None,
        **resolution,
    )


def glass(width: int, height: int, *tissue: tuple[int, int, int, int]) -> np.ndarray:
    """An empty slide ``(height, width, 3)`` with rectangles of tissue: left, upper, right and lower end."""
    pixels = np.full((height, width, 3), GLASS, np.uint8)
    for left, top, right, bottom in tissue:
        pixels[top:bottom, left:right] = TISSUE
    return pixels


def rectangle(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def save_asap(path: Path, outlines: Sequence[tuple[str, Corners]]) -> Path:
    """Outlines with their groups as ASAP writes them."""
    parts = []
    for group, corners in outlines:
        points = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}" />' for i, (x, y) in enumerate(corners))
        coordinates = f"<Coordinates>{points}</Coordinates>"
        parts.append(f'<Annotation Name="a" Type="Polygon" PartOfGroup="{group}">{coordinates}</Annotation>')
    found = f"<ASAP_Annotations><Annotations>{''.join(parts)}</Annotations></ASAP_Annotations>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<?xml version="1.0"?>\n{found}')
    return path


def save_geojson(path: Path, *geometries: tuple[str | None, dict[str, Any]]) -> Path:
    """Geometries with their classes as QuPath writes them."""
    features = [
        {
            "type": "Feature",
            "geometry": geometry,
            "properties": {"objectType": "annotation"} | ({"classification": {"name": name}} if name else {}),
        }
        for name, geometry in geometries
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path
