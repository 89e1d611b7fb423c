"""Outlines of what lies above a threshold: exact, valid, and as QuPath reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage
from skimage.measure import points_in_poly

from sanoscope.cases.case import Case
from sanoscope.heatmaps import Heatmaps
from sanoscope.map_files.geojson import (
    Region,
    pixel_threshold,
    region_features,
    regions_above,
    rings_of,
    signed_area,
    write_image_geojson,
)
from sanoscope.preparation.geometry import Geometry, Resize

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


def filled(rings: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose middle is in a polygon with holes, ``(H, W)`` bool."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    middles = np.stack([x.ravel(), y.ravel()], axis=1)
    within = [points_in_poly(middles, ring).reshape(shape) for ring in rings]
    return within[0] & ~np.any(within[1:], axis=0) if len(within) > 1 else within[0]


def square(region: np.ndarray) -> list[list[int]]:
    (ring,) = rings_of(region)
    return ring.tolist()


def test_outlines_of_a_pixel_and_of_a_rectangle() -> None:
    assert square(np.ones((1, 1), bool)) == [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
    part = np.zeros((6, 9), bool)
    part[1:5, 2:8] = True
    assert square(part) == [[2, 1], [8, 1], [8, 5], [2, 5], [2, 1]]


def test_a_hole_is_a_ring_the_other_way_round() -> None:
    region = np.ones((5, 6), bool)
    region[2, 2:4] = False
    outer, hole = rings_of(region)
    assert (signed_area(outer), signed_area(hole)) == (30, -2)
    assert {tuple(corner) for corner in hole.tolist()} == {(2, 2), (4, 2), (4, 3), (2, 3)}


@pytest.mark.parametrize("mirror", [1, -1])
def test_a_region_that_meets_itself_at_a_corner_has_a_hole_there(mirror: int) -> None:
    closing = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)[:, ::mirror]
    outer, hole = rings_of(closing)
    assert (signed_area(outer), signed_area(hole)) == (8, -1)
    for ring in (outer, hole):
        assert len(np.unique(ring[:-1], axis=0)) == len(ring) - 1


@settings(deadline=None, max_examples=200)
@given(MASKS)
def test_outlines_give_the_mask_back(mask: np.ndarray) -> None:
    found = regions_above(mask.astype(np.float32), 0.5, least_pixels=1)
    labels, count = ndimage.label(mask)
    assert len(found.kept) == count
    assert found.specks == 0
    np.testing.assert_array_equal(found.mask, mask)
    again = np.zeros(mask.shape, int)
    for region in found.kept:
        rings = list(region.rings)
        inside = filled(rings, mask.shape)
        again += inside
        assert sum(map(signed_area, rings)) == inside.sum()
        assert signed_area(rings[0]) > 0
        assert all(signed_area(ring) < 0 for ring in rings[1:])
        assert np.unique(labels[inside]).size == 1
        for ring in rings:
            steps = np.diff(ring, axis=0)
            np.testing.assert_array_equal(ring[0], ring[-1])
            assert ((steps == 0).sum(axis=1) == 1).all()  # along edges of pixels
            assert (np.diff(steps == 0, axis=0) != 0).all()  # turning at each corner, so that none is too many
            assert len(np.unique(ring[:-1], axis=0)) == len(ring) - 1  # and never twice at one
    np.testing.assert_array_equal(again, mask)


@settings(deadline=None)
@given(MASKS, st.integers(1, 12))
def test_specks_are_left_out_and_counted(mask: np.ndarray, least: int) -> None:
    found = regions_above(mask.astype(np.float32), 0.5, least)
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    large = (sizes >= least) & (np.arange(count + 1) > 0)
    assert found.specks == count - large.sum()
    np.testing.assert_array_equal(found.mask, large[labels])
    assert [sum(map(signed_area, region.rings)) for region in found.kept] == sizes[large].tolist()


def test_a_region_knows_its_values() -> None:
    heatmap = np.zeros((8, 10), np.float32)
    heatmap[2:5, 3:6] = np.arange(1, 10).reshape(3, 3)
    heatmap[6, 9] = 50
    found = regions_above(heatmap, 0.0)
    (region,) = found.kept
    assert (region.mean, region.highest, found.specks) == (5, 9, 1)
    assert len(regions_above(heatmap, 9.0).kept) == 0  # more than the threshold, not as much


def test_features_are_in_the_coordinates_of_the_image() -> None:
    region = Region(rings_of(np.ones((2, 2), bool)), 0.25, 0.5)
    (found,) = region_features([region], columns=np.array([0, 16, 21]), rows=np.array([32, 48, 64]))
    assert found["type"] == "Feature"
    assert found["geometry"] == {
        "type": "Polygon",
        "coordinates": [[[0, 32], [21, 32], [21, 64], [0, 64], [0, 32]]],
    }
    properties = found["properties"]
    assert properties["objectType"] == "annotation"
    assert properties["classification"]["name"] == "Abnormal"
    assert len(properties["classification"]["color"]) == 3
    assert properties["measurements"] == {"mean map value": 0.25, "highest map value": 0.5, "area px": 21 * 32}


def maps_of(values: np.ndarray, thresholds: dict[str, float]) -> Heatmaps:
    """Maps ``(N, 8, 8)`` of images of 16 × 24 pixels."""
    geometry = Geometry((Resize(8, "area"),))
    trace = geometry.apply(np.zeros((16, 24, 1), np.float32)).trace
    return Heatmaps(values, [trace] * len(values), geometry, 0.7, "error", thresholds={"error": thresholds})


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        ({"p85": 0.1, "p98": 0.4, "p95": 0.3}, ("p98", 0.4)),
        ({"0.2": 0.2, "p98": 0.4}, ("0.2", 0.2)),
        ({}, ("scale", 0.7)),
    ],
)
def test_the_threshold_is_one_of_those_that_results_tell(
    thresholds: dict[str, float], expected: tuple[str, float]
) -> None:
    assert pixel_threshold(maps_of(np.zeros((1, 8, 8), np.float32), thresholds)) == expected


def test_an_image_has_its_outlines(tmp_path: Path) -> None:
    values = np.zeros((2, 8, 8), np.float32)
    values[1, 2:6, 1:5] = 1
    maps = maps_of(values, {"p98": 0.5})
    for index in range(2):
        write_image_geojson(Case(f"a/{index}.x"), maps, index, tmp_path)
    nothing, found = (json.loads((tmp_path / "maps" / "a" / f"{index}.x.geojson").read_text()) for index in range(2))
    assert (nothing["type"], nothing["features"]) == ("FeatureCollection", [])
    (one,) = found["features"]
    rings = [np.array(ring) for ring in one["geometry"]["coordinates"]]
    above = maps.on_source_grid(1) > 0.5
    np.testing.assert_array_equal(filled(rings, (16, 24)), above)
    assert one["properties"]["measurements"]["area px"] == above.sum()
    assert found["sanoscope"]["threshold"] == {"name": "p98", "value": 0.5}
    assert found["sanoscope"]["smaller regions left out"] == 0
