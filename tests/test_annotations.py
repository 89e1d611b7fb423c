"""Outlines on slides: ASAP's XML and GeoJSON, and which pixels of a tile they surround."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from sanoscope.cases.annotations import _filled, mask_of, outlines
from sanoscope.cases.case import SlideTile
from sanoscope.errors import ImageError
from slide_files import Corners, rectangle, save_asap, save_geojson

WHOLE = SlideTile(0, 0, 400, 100)  # a quarter of full size


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """A mask of ``WHOLE`` with a rectangle, in pixels of the tile."""
    mask = np.zeros((100, 100), bool)
    mask[top:bottom, left:right] = True
    return mask


def closed(corners: Corners) -> list[list[float]]:
    return [list(corner) for corner in [*corners, corners[0]]]


def test_a_square_covers_the_pixels_whose_centres_it_surrounds(tmp_path: Path) -> None:
    file = save_asap(tmp_path / "a.xml", [("Tumor", rectangle(40, 80, 120, 240))])
    np.testing.assert_array_equal(mask_of(file, WHOLE), box(10, 20, 30, 60))
    assert not mask_of(file, SlideTile(120, 0, 400, 100)).any()
    assert not mask_of(file, SlideTile(0, 240, 400, 100)).any()
    assert mask_of(file, SlideTile(40, 80, 80, 80)).all()
    assert mask_of(file, SlideTile(119, 239, 4, 4)).sum() == 1


def test_groups_of_camelyon16(tmp_path: Path) -> None:
    outside, within = rectangle(0, 0, 200, 200), rectangle(40, 40, 80, 80)
    for group in ("Tumor", "_0", "_1", "None", "metastases"):
        file = save_asap(tmp_path / f"{group}.xml", [(group, outside)])
        np.testing.assert_array_equal(mask_of(file, WHOLE), box(0, 0, 50, 50))
    for group in ("_2", "Exclusion", "normal"):
        file = save_asap(tmp_path / f"{group}.xml", [(group, within), ("_0", outside)])
        np.testing.assert_array_equal(mask_of(file, WHOLE), box(0, 0, 50, 50) & ~box(10, 10, 20, 20))


def test_corners_are_joined_in_their_order(tmp_path: Path) -> None:
    file = save_asap(tmp_path / "a.xml", [("_0", rectangle(0, 0, 200, 200))])
    first, second, third, fourth = (f'<Coordinate Order="{i}"' for i in range(4))
    text = file.read_text()
    file.write_text(text.replace(second, "<swap").replace(third, second).replace("<swap", third))
    assert mask_of(file, WHOLE).sum() < 2500  # a bow tie
    lines = [part + "/>" for part in text.partition("<Coordinates>")[2].partition("</Coordinates>")[0].split("/>")[:-1]]
    file.write_text(text.replace("".join(lines), "".join(reversed(lines))))
    assert mask_of(file, WHOLE).sum() == 2500
    assert first in text
    assert fourth in text


def test_geojson_with_holes_several_polygons_and_classes(tmp_path: Path) -> None:
    outer, hole = closed(rectangle(0, 0, 200, 200)), closed(rectangle(40, 40, 80, 80))
    far = closed(rectangle(240, 240, 280, 280))
    holed = {"type": "Polygon", "coordinates": [outer, hole]}
    several = {"type": "MultiPolygon", "coordinates": [[outer, hole], [far]]}
    collection = {"type": "GeometryCollection", "geometries": [several, {"type": "Point", "coordinates": [1, 2]}]}
    with_hole = box(0, 0, 50, 50) & ~box(10, 10, 20, 20)
    for i, (name, geometry, wanted) in enumerate(
        [
            ("Tumor", holed, with_hole),
            (None, holed, with_hole),
            ("Tumor", several, with_hole | box(60, 60, 70, 70)),
            ("Tumor", collection, with_hole | box(60, 60, 70, 70)),
            ("Normal", holed, box(0, 0, 0, 0)),
            ("Ignore*", holed, box(0, 0, 0, 0)),
        ]
    ):
        file = save_geojson(tmp_path / f"{i}.geojson", (name, geometry))
        np.testing.assert_array_equal(mask_of(file, WHOLE), wanted)
    tumour = {"type": "Polygon", "coordinates": [outer]}
    cut = {"type": "Polygon", "coordinates": [hole]}
    file = save_geojson(tmp_path / "cut.geojson", ("Exclusion", cut), ("Tumor", tumour))
    np.testing.assert_array_equal(mask_of(file, WHOLE), with_hole)
    assert [outline.abnormal for outline in outlines(file)] == [False, True]


def test_geojson_of_a_feature_a_list_and_a_geometry(tmp_path: Path) -> None:
    geometry = {"type": "Polygon", "coordinates": [closed(rectangle(0, 0, 200, 200))]}
    feature = {"type": "Feature", "geometry": geometry, "properties": None}
    for i, stored in enumerate([feature, [feature], geometry]):
        file = tmp_path / f"{i}.geojson"
        file.write_text(json.dumps(stored))
        assert mask_of(file, WHOLE).sum() == 2500
    assert len(outlines(file)[0].exterior) == 5
    assert outlines(file)[0].box == (0, 0, 200, 200)


def distances_to_edges(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Of each of ``(N, 2)`` points to the nearest edge."""
    along = np.roll(polygon, -1, axis=0) - polygon
    from_start = points[:, None] - polygon
    share = np.clip((from_start * along).sum(2) / (along**2).sum(1), 0, 1)
    return np.asarray(np.linalg.norm(from_start - share[..., None] * along, axis=2).min(1))


@given(st.lists(st.tuples(*[st.floats(-20, 60, width=32)] * 2), min_size=3, max_size=12))
@settings(max_examples=60, deadline=None)
def test_simple_outlines_are_filled_as_skimage_fills_them(corners: list[tuple[float, float]]) -> None:
    """Of stars around a point: what crosses itself may be filled either way."""
    centre = np.array([20.25, 20.375])
    points = np.unique(np.array(corners, float), axis=0)
    turns = np.arctan2(*(points - centre).T)
    _, distinct = np.unique(turns.round(3), return_index=True)
    star = points[distinct]
    if len(star) < 3:
        return
    found = _filled(star, SlideTile(0, 0, 40, 40))
    wanted = polygon2mask((40, 40), star[:, ::-1] - 0.5)
    differing = np.argwhere(found != wanted)[:, ::-1] + 0.5
    assert (distances_to_edges(differing, star) < 1e-6).all()


STAR = [(10 + 90 * i % 97, 5 + 61 * i % 89) for i in range(12)]  # crosses itself


@given(
    x=st.integers(0, 12),
    y=st.integers(0, 12),
    size=st.integers(1, 8),
    scale=st.sampled_from([1, 2, 4]),
    dense=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_the_mask_of_a_tile_is_its_part_of_a_larger_ones(x: int, y: int, size: int, scale: int, dense: bool) -> None:
    corners = np.array(STAR, float) * (1 if dense else 0.37)
    whole = _filled(corners, SlideTile(-4, -8, 24 * scale, 24))
    part = _filled(corners, SlideTile(x * scale - 4, y * scale - 8, size * scale, size))
    np.testing.assert_array_equal(part, whole[y : y + size, x : x + size])


def test_an_outline_of_many_corners_has_its_area(tmp_path: Path) -> None:
    turns = np.linspace(0, 2 * np.pi, 30_000, endpoint=False)  # more edges and rows than are compared at once
    circle = np.stack([2000 + 1600 * np.cos(turns), 2000 + 1600 * np.sin(turns)], axis=1)
    file = save_asap(tmp_path / "a.xml", [("_0", circle.tolist())])
    share = mask_of(file, SlideTile(0, 0, 4000, 500)).mean()
    assert share == pytest.approx(np.pi * 1600**2 / 4000**2, rel=2e-3)


def asap(coordinate: str) -> bytes:
    found = f"<Annotation><Coordinates><Coordinate {coordinate}/></Coordinates></Annotation>"
    return f"<ASAP_Annotations>{found}</ASAP_Annotations>".encode()


ENTITIES = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><a>&c;</a>'


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.xml", ENTITIES.encode(), "declares a document type"),
        ("a.xml", ENTITIES.encode("utf-16"), "holds no outlines that are understood"),
        ("a.xml", b"", "holds no outlines that are understood"),
        ("a.xml", asap("X='1' Y='b'"), "holds no outlines that are understood"),
        ("a.xml", asap("X='1'"), "holds no outlines that are understood"),
        ("a.xml", asap("X='nan' Y='1'"), "lie on no slide"),
        ("a.xml", asap("X='1e300' Y='1'"), "lie on no slide"),
        ("a.xml", b"<Annotations><Annotation><Regions/></Annotation></Annotations>", "of ASAP, as its <Annotations>"),
        ("a.geojson", b"{", "holds no outlines"),
        ("a.geojson", b"3", "holds no outlines"),
        ("a.geojson", b"[" * 100_000, "holds no outlines"),
        ("a.geojson", b'{"type": "FeatureCollection"}', "holds no outlines"),
        ("a.png", b"", "is no file with outlines"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        mask_of(file, WHOLE)
    assert str(caught.value).startswith(f"{file}: ")


def test_a_missing_file_and_one_that_changes(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    with pytest.raises(ImageError, match="No such file"):
        outlines(file)
    save_asap(file, [])
    assert outlines(file) == ()
    save_asap(file, [("_0", rectangle(0, 0, 9, 9))])
    assert len(outlines(file)) == 1


def test_tiles_that_were_judged_outline_nothing(tmp_path: Path) -> None:
    square = [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": square},
            "properties": {"objectType": kind, "classification": {"name": "Abnormal"}},
        }
        for kind in ("tile", "annotation")
    ]
    path = tmp_path / "slide.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert len(outlines(path)) == 1
