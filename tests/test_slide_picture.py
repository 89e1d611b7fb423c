"""Pictures of whole slides: colours lie where tiles were scored and where maps are high, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sanoscope.cases.case import SlideTile
from sanoscope.cases.slides import SlideFacts, facts_of
from sanoscope.heatmaps import Heatmaps
from sanoscope.map_files import slide_picture as slide_picture_module
from sanoscope.map_files.geojson import regions_above
from sanoscope.map_files.pyramid import Pyramid
from sanoscope.map_files.scale_bar import with_scale
from sanoscope.map_files.slide_picture import scored_slide, scores_on_slide, slide_picture
from sanoscope.preparation.geometry import Geometry
from sanoscope.report.images import overlay
from slide_files import glass, save_slide

WIDTH, HEIGHT, SIDE = 400, 240, 40
RANGE = (1.0, 3.0)


def facts(width: int, height: int) -> SlideFacts:
    return SlideFacts(Path("a"), width, height, None, None, "", (1.0,), "")


def drawn(tiles: list[SlideTile], size: tuple[int, int] = (6, 10)) -> np.ndarray:
    """Scores 1, 2, … on a slide of 400 × 240."""
    return scores_on_slide(tiles, np.arange(len(tiles)) + 1.0, facts(WIDTH, HEIGHT), size)


def nan_but(shape: tuple[int, int], *places: tuple[slice, slice, float]) -> np.ndarray:
    expected = np.full(shape, np.nan, np.float32)
    for rows, columns, score in places:
        expected[rows, columns] = score
    return expected


def test_scores_lie_where_their_tiles_are() -> None:
    tiles = [SlideTile(80, 40, 40, 32), SlideTile(320, 160, 80, 32)]
    expected = nan_but((6, 10), (slice(1, 2), slice(2, 3), 1), (slice(4, 6), slice(8, 10), 2))
    np.testing.assert_array_equal(drawn(tiles), expected)
    np.testing.assert_array_equal(drawn(tiles, (12, 20)), expected.repeat(2, 0).repeat(2, 1))


def test_nothing_is_drawn_without_tiles() -> None:
    assert np.isnan(drawn([])).all()


def test_later_tiles_lie_above_earlier_ones() -> None:
    found = drawn([SlideTile(0, 0, 80, 32), SlideTile(40, 0, 80, 32)])
    np.testing.assert_array_equal(found, nan_but((6, 10), (slice(2), slice(1), 1), (slice(2), slice(1, 3), 2)))


def test_a_tile_smaller_than_a_pixel_is_seen() -> None:
    found = drawn([SlideTile(122, 41, 3, 3)])
    np.testing.assert_array_equal(found, nan_but((6, 10), (slice(1, 2), slice(3, 4), 1)))


@pytest.mark.parametrize(
    ("x", "y", "rows", "columns"),
    [
        (-40, -40, slice(1), slice(1)),
        (360, 200, slice(5, 6), slice(9, 10)),
        (-40, 200, slice(5, 6), slice(1)),
    ],
)
def test_tiles_over_the_edge_are_cut(x: int, y: int, rows: slice, columns: slice) -> None:
    found = drawn([SlideTile(x, y, 80, 32)])
    np.testing.assert_array_equal(found, nan_but((6, 10), (rows, columns, 1)))


def test_tiles_side_by_side_leave_no_gap_at_any_size() -> None:
    tiles = [SlideTile(x, y, SIDE, 8) for y in range(0, HEIGHT, SIDE) for x in range(0, WIDTH, SIDE)]
    for width in (7, 10, 33, 399):
        assert not np.isnan(drawn(tiles, (round(width * 0.6), width))).any()


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    return save_slide(tmp_path / "slide.tiff", glass(WIDTH, HEIGHT, (100, 40, 300, 200)))


def test_colours_are_those_of_the_range(slide: Path) -> None:
    pytest.importorskip("openslide")
    tiles = [SlideTile(x, 80, SIDE, 32) for x in (80, 160, 240, 320)]
    scores = np.array([RANGE[0], 2.0, RANGE[1], 99.0])  # as usual, between, strong, and no stronger than that
    picture = scored_slide(slide, tiles, scores, RANGE, WIDTH)
    pixels = glass(WIDTH, HEIGHT, (100, 40, 300, 200))
    expected = pixels.copy()
    for tile, score in zip(tiles, np.minimum(scores, RANGE[1]), strict=True):
        place = slice(80, 80 + SIDE), slice(tile.x, tile.x + SIDE)
        expected[place] = overlay(pixels[place], np.full((SIDE, SIDE), score), RANGE)
    np.testing.assert_array_equal(picture[:HEIGHT, :WIDTH], expected)
    changed = (expected != pixels).any(axis=(0, 2))
    assert [changed[tile.x : tile.x + SIDE].all() for tile in tiles] == [False, True, True, True]


def test_a_picture_is_no_larger_than_asked_for_or_than_the_slide(slide: Path) -> None:
    pytest.importorskip("openslide")
    small, large = (scored_slide(slide, [], np.empty(0), RANGE, longest) for longest in (100, 4000))
    beside = large.shape[1] - WIDTH
    assert beside > 0
    assert large.shape[0] == HEIGHT
    assert small.shape[1] == 100 + beside
    assert small.shape[0] >= 60  # with the colour bar, which needs more


@pytest.mark.parametrize("shown", [(0.0, 1.0), (2.0, 2.0)])
def test_the_scale_leaves_the_picture_as_it_is(shown: tuple[float, float]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    found = with_scale(picture, shown, "title", "below")
    assert (found.dtype, found.ndim) == (np.uint8, 3)
    np.testing.assert_array_equal(found[:30, :50], picture)
    assert (found[30:, :50] == 255).all()
    bar = found[:, 50:].min(axis=2)
    assert (bar == 0).any()  # its frame
    has_colours = (np.ptp(found[:, 50:].astype(int), axis=2) > 30).any()
    assert has_colours == (shown[1] > shown[0])


def pictured(slide: Path, heatmap: np.ndarray) -> tuple[np.ndarray, np.ndarray, Heatmaps]:
    """A slide at half its size without and under a map ``(H, W)`` of level 0, and that map."""
    maps = Heatmaps(heatmap[None], [()], Geometry(()), 2.0, "error", thresholds={"error": {"p98": 0.5}})
    pyramid = Pyramid.of(heatmap, facts_of(slide).width, facts_of(slide).height, 1)
    picture = slide_picture(slide, [], np.empty(0), RANGE, pyramid, regions_above(heatmap, 0.5), maps)
    scored = scored_slide(slide, [], np.empty(0), RANGE, WIDTH // 2)
    start, (height, width) = scored.shape[1], (HEIGHT // 2, WIDTH // 2)
    np.testing.assert_array_equal(picture[:, :start], scored)
    return scored[:height, :width], picture[:height, start : start + width], maps


def test_regions_are_outlined_beside_the_scores(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openslide")
    monkeypatch.setattr(slide_picture_module, "PICTURE_SIDE", WIDTH // 2)
    heatmap = np.zeros((HEIGHT, WIDTH), np.float32)
    heatmap[60:120, 120:200] = 1
    plain, mapped, maps = pictured(slide, heatmap)
    region = heatmap[::2, ::2] > 0
    np.testing.assert_array_equal((plain != mapped).any(axis=2), region)
    edge = region.copy()
    edge[31:59, 61:99] = False
    np.testing.assert_array_equal((mapped == mapped[30, 60]).all(axis=2), edge)
    inside = overlay(plain, region.astype(np.float32), maps.range_of())
    np.testing.assert_array_equal(mapped[31:59, 61:99], inside[31:59, 61:99])


def test_a_region_is_outlined_however_small(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in pixels of the picture that it fills in part alone."""
    pytest.importorskip("openslide")
    monkeypatch.setattr(slide_picture_module, "PICTURE_SIDE", WIDTH // 2)
    heatmap = np.zeros((HEIGHT, WIDTH), np.float32)
    heatmap[61:64, 123:126] = 1
    heatmap[101, 201] = 1  # a speck
    plain, mapped, _ = pictured(slide, heatmap)
    assert (mapped[30:32, 61:63] == mapped[31, 61]).all()
    changed = (plain != mapped).any(axis=2)
    assert changed[30:32, 61:63].all()
    assert np.count_nonzero(changed) == 5  # the speck has its colour
    assert not (mapped[50, 100] == mapped[31, 61]).all()
