"""Maps of a slide's tiles as files over the whole slide: everything lies where its tile was read."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sanoscope.cases.annotations import mask_of
from sanoscope.cases.case import Case, Cases, SlideTile, VolumeSlice
from sanoscope.errors import ImageError
from sanoscope.heatmaps import Heatmaps
from sanoscope.map_files import slide_picture, slides
from sanoscope.map_files.area_means import Lines, area_means, area_sums
from sanoscope.map_files.pyramid import Pyramid
from sanoscope.map_files.slide_picture import scored_slide
from sanoscope.map_files.slides import write_slide
from sanoscope.map_files.writing import Judged, Wanted, write_maps
from sanoscope.preparation.geometry import Geometry, Resize
from sanoscope.report.images import overlay
from slide_files import glass, save_slide
from volume_files import save

openslide = pytest.importorskip("openslide")

WIDTH, HEIGHT, SIDE, SIZE = 715, 501, 64, 32
HOT = (320, 192)
RANGE = (0.25, 1.0)


def written(
    folder: Path,
    values: np.ndarray,
    tiles: Sequence[SlideTile],
    size: tuple[int, int] = (WIDTH, HEIGHT),
    **slide: float,
) -> Path:
    """The folder of results of tiles with maps ``(N, h, w)``; the score of each is its highest value."""
    path = save_slide(folder / "slide.tiff", glass(*size, (100, 80, 600, 400)), **slide)
    geometry = Geometry((Resize(values.shape[-1], "area"),))
    traces = [geometry.apply(np.zeros((tile.size, tile.size, 3), np.uint8)).trace for tile in tiles]
    maps = Heatmaps(
        values, traces, geometry, RANGE[1], "error", bases={"error": RANGE[0]}, thresholds={"error": {"p98": 0.5}}
    )
    cases = Cases(Case(f"slide/x{tile.x}_y{tile.y}_{n}", path, tile=tile) for n, tile in enumerate(tiles))
    scores = values.max(axis=(1, 2))
    write_slide("a/slide", cases, maps, range(len(tiles)), folder / "out", scores, scores > 0.5, RANGE)
    return folder / "out"


@pytest.fixture(scope="module")
def hot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of tiles on a grid that leaves the slide's first row out; one of them is hot."""
    places = [(x, y) for y in range(64, HEIGHT, SIDE) for x in range(0, WIDTH, SIDE)]
    values = np.zeros((len(places), SIZE, SIZE), np.float32)
    values[:] = 0.125
    values[places.index(HOT)] = 0.75
    return written(tmp_path_factory.mktemp("hot"), values, [SlideTile(x, y, SIDE, SIZE) for x, y in places], mpp=0.5)


def expected_map() -> np.ndarray:
    """What the results of the hot tile are of, a pixel for 2 × 2."""
    expected = np.full((251, 358), 0.125, np.float32)
    expected[:32] = 0
    expected[HOT[1] // 2 : HOT[1] // 2 + SIZE, HOT[0] // 2 : HOT[0] // 2 + SIZE] = 0.75
    return expected


def test_a_hot_tile_lies_at_its_place_in_the_map(hot: Path) -> None:
    with tifffile.TiffFile(hot / "maps" / "a" / "slide.tiff") as file:
        (series,) = file.series
        assert [level.shape for level in series.levels] == [(251, 358), (126, 179)]
        assert series.dtype == np.float32
        assert all(page.is_tiled and page.compression.name == "ADOBE_DEFLATE" for page in series.pages)
        np.testing.assert_array_equal(series.asarray(), expected_map())
        lower = series.levels[1].asarray()
    np.testing.assert_allclose(
        lower, np.pad(expected_map(), ((0, 1), (0, 0)), "edge").reshape(126, 2, 179, 2).mean((1, 3))
    )


def test_the_map_says_how_large_its_pixels_are(hot: Path, tmp_path: Path) -> None:
    def pixels(folder: Path) -> dict[str, str]:
        with tifffile.TiffFile(folder / "maps" / "a" / "slide.tiff") as file:
            assert file.is_ome
            tree = ElementTree.fromstring(file.ome_metadata)
        (found,) = tree.iterfind(".//{*}Pixels")
        (channel,) = tree.iterfind(".//{*}Channel")
        (about,) = tree.iterfind(".//{*}Description")
        assert channel.attrib["Name"] == "error"
        assert "2 x 2 of level 0" in str(about.text)
        return found.attrib

    found = pixels(hot)
    assert {found[f"PhysicalSize{axis}Unit"] for axis in "XY"} == {"µm"}
    assert [float(found[f"PhysicalSize{axis}"]) for axis in "XY"] == pytest.approx([1, 1])
    assert (found["SizeX"], found["SizeY"], found["Type"]) == ("358", "251", "float")
    one = np.ones((1, SIZE, SIZE), np.float32)
    assert "PhysicalSizeX" not in pixels(written(tmp_path, one, [SlideTile(0, 0, SIDE, SIZE)], mpp=None))


def test_openslide_shows_the_colours(hot: Path) -> None:
    with openslide.OpenSlide(hot / "maps" / "a" / "slide.rgb.tiff") as slide:
        assert slide.level_dimensions == ((358, 251), (179, 126))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(1)
        found = np.asarray(slide.read_region((0, 0), 0, (358, 251)))
    heatmap = expected_map()
    assert (found[..., 3] == 255).all()
    np.testing.assert_array_equal(found[..., :3], overlay(np.full((251, 358, 3), 255, np.uint8), heatmap, RANGE))
    np.testing.assert_array_equal((found[..., :3] != 255).any(axis=2), heatmap == 0.75)


def test_a_hot_tile_is_outlined_at_its_place(hot: Path) -> None:
    found = json.loads((hot / "maps" / "a" / "slide.geojson").read_text())
    assert found["sanoscope"]["reduction"] == 2
    assert found["sanoscope"]["map"] == "error"
    region, *tiles = found["features"]
    x, y = HOT
    square = [[x, y], [x + SIDE, y], [x + SIDE, y + SIDE], [x, y + SIDE], [x, y]]
    assert region["geometry"]["coordinates"] == [square]
    assert region["properties"]["objectType"] == "annotation"
    assert region["properties"]["classification"]["name"] == "Abnormal"
    assert region["properties"]["measurements"] == {
        "mean map value": 0.75,
        "highest map value": 0.75,
        "area px": SIDE**2,
    }
    assert len(tiles) == 84
    assert {tile["properties"]["objectType"] for tile in tiles} == {"tile"}
    (abnormal,) = (tile for tile in tiles if tile["properties"]["classification"]["name"] == "Abnormal")
    assert abnormal["geometry"]["coordinates"] == [square]
    assert abnormal["properties"]["measurements"] == {"score": 0.75}
    assert abnormal["properties"]["name"].startswith("slide/x320_y192")
    normal = tiles[0]["properties"]
    assert (normal["classification"]["name"], normal["measurements"]["score"]) == ("Normal", 0.125)


def test_a_hot_tile_is_coloured_in_the_picture(hot: Path) -> None:
    picture = np.asarray(Image.open(hot / "overlays" / "a" / "slide.png"), int)
    slide = glass(WIDTH, HEIGHT, (100, 80, 600, 400))
    square = np.zeros((HEIGHT, WIDTH), bool)
    square[HOT[1] : HOT[1] + SIDE, HOT[0] : HOT[0] + SIDE] = True
    scored = scored_slide(hot.parent / "slide.tiff", [], np.ones(0), RANGE, max(WIDTH, HEIGHT))
    for start in (0, scored.shape[1]):
        shown = picture[:HEIGHT, start : start + WIDTH]
        np.testing.assert_array_equal((shown != slide).any(axis=2), square)


def test_outlines_of_regions_at_the_edge_end_with_the_slide(tmp_path: Path) -> None:
    values = np.ones((1, SIZE, SIZE), np.float32)
    folder = written(tmp_path, values, [SlideTile(WIDTH - 31, HEIGHT - 43, SIDE, SIZE)])
    region, _ = json.loads((folder / "maps" / "a" / "slide.geojson").read_text())["features"]
    corners = np.array(region["geometry"]["coordinates"][0])
    assert corners.max(axis=0).tolist() == [WIDTH, HEIGHT]
    assert corners.min(axis=0).tolist() == [WIDTH - 31, HEIGHT - 43]


@st.composite
def some_tiles(draw: st.DrawFn) -> tuple[list[SlideTile], int]:
    """Tiles at any place of a slide of 61 × 45, some over its edge, and the reduction of its map."""
    ratio = draw(st.sampled_from([1, 2, 3]))
    size = draw(st.integers(3, 6))
    places = draw(st.lists(st.tuples(st.integers(-8, 60), st.integers(-8, 44)), min_size=1, max_size=6))
    return [SlideTile(x, y, ratio * size, size) for x, y in places], {1: 1, 2: 2, 3: 4}[ratio]


@settings(deadline=None, max_examples=40)
@given(some_tiles(), st.integers(0, 99))
def test_a_map_is_the_mean_of_what_the_tiles_say_there(drawn: tuple[list[SlideTile], int], seed: int) -> None:
    tiles, reduction = drawn
    heatmaps = np.random.default_rng(seed).random((len(tiles), tiles[0].size, tiles[0].size), np.float32)
    facts = slides.slide_files.SlideFacts(Path("a"), 61, 45, None, None, "", (1.0,), "")
    assert slides._reduction(facts, tiles) == reduction
    found = slides._put_together(facts, tiles, heatmaps, reduction)
    # Pixel by pixel of level 0, with room around the slide for tiles over its edge.
    room, (total, covered) = 32, np.zeros((2, 45 + 64, 61 + 64))
    for tile, heatmap in zip(tiles, heatmaps, strict=True):
        ratio = tile.side // tile.size
        place = tuple(slice(room + start, room + start + tile.side) for start in (tile.y, tile.x))
        total[place] += heatmap.repeat(ratio, 0).repeat(ratio, 1)
        covered[place] += 1
    height, width = -(-45 // reduction), -(-61 // reduction)
    assert found.shape == (height, width)
    for row in range(height):
        for column in range(width):
            corner = (row * reduction, column * reduction)
            ends = (min(corner[0] + reduction, 45), min(corner[1] + reduction, 61))
            place = tuple(slice(room + start, room + end) for start, end in zip(corner, ends, strict=True))
            expected = total[place].sum() / covered[place].sum() if covered[place].any() else 0
            assert found[row, column] == pytest.approx(expected, abs=1e-6)


def test_levels_are_means_over_areas_also_where_the_slide_ends() -> None:
    full = np.random.default_rng(0).random((701, 997), np.float32)  # a pixel for one of level 0
    pyramid = Pyramid.of(full, 997, 701, 1)
    assert [level.shape for level in pyramid.levels] == [(701, 997), (351, 499), (176, 250)]
    for number, level in enumerate(pyramid.levels):
        step = 2**number
        rows, columns = (np.arange(0, length, step) for length in full.shape)
        sums = np.add.reduceat(np.add.reduceat(full, rows, 0, np.float64), columns, 1)
        areas = np.outer(np.minimum(step, 701 - rows), np.minimum(step, 997 - columns))
        np.testing.assert_allclose(level, sums / areas, rtol=1e-5)
    assert pyramid.lines[2].columns[-2:].tolist() == [996, 997]


def test_means_between_grids_that_do_not_fit() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    old, new = Lines.of_parts(0, 0, 3, 2, (2, 3)), Lines.of_parts(0, 0, 3, 2, (1, 2))
    # Each new column has one and a half old ones, of both rows.
    np.testing.assert_allclose(area_means(values, old, new), [[(0 + 3 + 0.5 + 2) / 3, (2 + 5 + 0.5 + 2) / 3]])
    sums, areas = area_sums(values, old, Lines.of_parts(2.5, 1, 4, 3, (3, 1)))
    np.testing.assert_allclose(sums, [[2.5], [0], [0]])
    np.testing.assert_allclose(areas, [[0.5], [0], [0]])


@pytest.mark.parametrize(
    ("largest", "side", "reduction"), [(8192, 32, 1), (715, 32, 1), (8192, 33, 2), (358, 32, 2), (357, 32, 4)]
)
def test_a_map_is_as_fine_as_it_may_be(
    monkeypatch: pytest.MonkeyPatch, largest: int, side: int, reduction: int
) -> None:
    monkeypatch.setattr(slides, "LARGEST_SIDE", largest)
    facts = slides.slide_files.SlideFacts(Path("a"), WIDTH, HEIGHT, None, None, "", (1.0,), "")
    assert slides._reduction(facts, [SlideTile(0, 0, side, 32)]) == reduction


def test_a_slide_that_is_gone_is_named(tmp_path: Path) -> None:
    values, tiles = np.ones((1, SIZE, SIZE), np.float32), [SlideTile(0, 0, SIDE, SIZE)]
    written(tmp_path, values, tiles)
    path = tmp_path / "slide.tiff"
    path.unlink()
    maps = Heatmaps(values, [((32, 32),)], Geometry((Resize(SIZE),)), 1.0)
    with pytest.raises(ImageError, match=r"slide\.tiff"):
        write_slide("b", Cases([Case("b/0", path, tile=tiles[0])]), maps, [0], tmp_path, np.ones(1), np.ones(1), RANGE)


@pytest.mark.parametrize(("size", "side"), [(100, 112), (19, 42), (21, 46), (96, 96), (49, 98)])
def test_a_tile_says_nothing_of_the_pixels_beside_it(size: int, side: int) -> None:
    """Whose side divided by its size has no end in binary numbers."""
    facts = slides.slide_files.SlideFacts(Path("a"), 500, 400, None, None, "", (1.0,), "")
    for x, y in ((0, 0), (2, 6), (side, side)):
        ones = np.ones((1, size, size), np.float32)
        found = slides._put_together(facts, [SlideTile(x, y, side, size)], ones, 2)
        expected = np.zeros((200, 250), np.float32)
        expected[y // 2 : (y + side) // 2, x // 2 : (x + side) // 2] = 1
        np.testing.assert_array_equal(found > 0, expected > 0)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def everything(folder: Path) -> tuple[np.ndarray, np.ndarray, dict, np.ndarray]:
    """Map, colours, outlines and picture, read by other programs than those that wrote them."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    maps = folder / "maps" / "a"
    with openslide.OpenSlide(maps / "slide.rgb.tiff") as slide:
        colours = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))
    outlines = json.loads((maps / "slide.geojson").read_text(), parse_constant=refuse)
    return (
        tifffile.imread(maps / "slide.tiff"),
        colours,
        outlines,
        np.asarray(Image.open(folder / "overlays" / "a" / "slide.png")),
    )


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0, 1e30, -1.0])
def test_a_single_tile_with_a_map_of_one_value(tmp_path: Path, value: float) -> None:
    values = np.full((1, SIZE, SIZE), value, np.float32)
    heatmap, colours, outlines, _ = everything(written(tmp_path, values, [SlideTile(64, 64, SIDE, SIZE)]))
    assert heatmap[32:64, 32:64] == pytest.approx(value)
    assert np.count_nonzero(heatmap) == (SIZE**2 if value else 0)
    assert (colours[..., :3] != 255).any() == (value > RANGE[0])
    kinds = [feature["properties"]["objectType"] for feature in outlines["features"]]
    assert kinds == (["annotation", "tile"] if value > 0.5 else ["tile"])


@pytest.mark.parametrize("size", [(1, 700), (700, 1), (1, 1), (257, 256)])
def test_slides_of_any_shape(tmp_path: Path, size: tuple[int, int]) -> None:
    values = np.ones((1, SIZE, SIZE), np.float32)
    heatmap, colours, outlines, picture = everything(written(tmp_path, values, [SlideTile(0, 0, SIDE, SIZE)], size))
    width, height = (-(-side // 2) for side in size)
    assert heatmap.shape == colours.shape[:2] == (height, width)
    assert (heatmap[:SIZE, :SIZE] == 1).all()
    assert np.count_nonzero(heatmap) == min(height, SIZE) * min(width, SIZE)
    assert len(outlines["features"]) == (2 if min(height, SIZE) * min(width, SIZE) >= 9 else 1)
    assert picture.shape[0] >= size[1]


def test_names_in_any_script(tmp_path: Path) -> None:
    path = save_slide(tmp_path / "Schnitt.tiff", glass(200, 100, (0, 0, 200, 100)))
    name = "Gewebe µ/切片 1.2"
    cases = Cases([Case(f"{name}/0", path, tile=SlideTile(0, 0, SIDE, SIZE))])
    maps = Heatmaps(np.ones((1, SIZE, SIZE), np.float32), [()], Geometry(()), 1.0, "Fehler²")
    write_slide(name, cases, maps, [0], tmp_path, np.ones(1), np.ones(1, bool), RANGE)
    with tifffile.TiffFile(tmp_path / "maps" / f"{name}.tiff") as file:
        assert all(word in str(file.ome_metadata) for word in (name, "Fehler²"))
    with openslide.OpenSlide(tmp_path / "maps" / f"{name}.rgb.tiff") as slide:
        assert slide.dimensions == (100, 50)
    assert name in json.loads((tmp_path / "maps" / f"{name}.geojson").read_text())["features"][0]["properties"]["name"]


def test_outlines_can_be_read_again_as_annotations(tmp_path: Path) -> None:
    """By the package's own reader, which knows nothing of how they were made."""
    values = np.zeros((2, SIZE, SIZE), np.float32)
    values[:, 4:28, 6:20] = 1
    values[:, 10:14, 8:15] = 0.5  # not more than the threshold
    values[1, :, 20:] = np.random.default_rng(0).random((SIZE, 12), np.float32)
    tiles = [SlideTile(128, 64, SIDE, SIZE), SlideTile(192, 64, SIDE, SIZE)]
    folder = written(tmp_path, values, tiles)
    file = folder / "maps" / "a" / "slide.geojson"
    stored = json.loads(file.read_text())
    heatmap = tifffile.imread(folder / "maps" / "a" / "slide.tiff")
    regions = [one for one in stored["features"] if one["properties"]["objectType"] == "annotation"]
    file.write_text(json.dumps(stored | {"features": regions}))
    again = mask_of(file, SlideTile(0, 0, 480, 240))
    above = heatmap[:240, :240] > 0.5
    missing = above & ~again
    assert not (again & ~above).any()
    specks = stored["sanoscope"]["smaller regions left out"]
    assert specks > 0
    assert specks <= missing.sum() < specks * stored["sanoscope"]["least pixels of a region"]
    assert sum(one["properties"]["measurements"]["area px"] for one in regions) == 4 * again.sum()


def test_memory_for_the_largest_map_is_as_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every pixel is above the threshold; a map of a sixteenth of the pixels stands for the largest one."""
    monkeypatch.setattr(slide_picture, "PICTURE_SIDE", 64)
    scale = 4
    side = slides.LARGEST_SIDE // scale
    values = np.ones((4, SIZE, SIZE), np.float32)
    path = save_slide(tmp_path / "slide.tiff", np.zeros((side, side, 3), np.uint8), levels=4)
    tiles = [SlideTile(x, y, side // 2, SIZE) for y in (0, side // 2) for x in (0, side // 2)]
    monkeypatch.setattr(slides, "_reduction", lambda *_: 1)
    cases = Cases(Case(f"a/{n}", path, tile=tile) for n, tile in enumerate(tiles))
    maps = Heatmaps(values, [()] * 4, Geometry(()), 0.5)
    tracemalloc.start()
    try:
        write_slide("a", cases, maps, range(4), tmp_path, np.ones(4), np.ones(4, bool), RANGE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert tifffile.imread(tmp_path / "maps" / "a.tiff").shape == (side, side)
    assert peak * scale**2 < 0.7 * 2**30


def mixed(folder: Path) -> Judged:
    """Two slides of two tiles each, an image, and two slices of a volume; each map has a value of its own."""
    pixels = glass(128, 64, (0, 0, 128, 64))
    paths = [save_slide(folder / f"{name}.tiff", pixels) for name in "st"]
    image = folder / "image.png"
    Image.fromarray(np.zeros((SIZE, SIZE), np.uint8)).save(image)
    volume = save(folder / "v.nii", np.zeros((SIZE, SIZE, 5), np.float32))
    tiles = [SlideTile(x, 0, SIDE, SIZE) for x in (64, 0)]
    cases = [Case(f"{path.stem}/{tile.x}", path, tile=tile) for tile in tiles for path in paths]  # in turns
    cases.insert(1, Case("image", image))
    cases[3:3] = [Case(f"v/{index}", volume, slice=VolumeSlice("axial", index, 5)) for index in (1, 3)]
    values = np.arange(1, 8, dtype=np.float32)[:, None, None] * np.ones((SIZE, SIZE), np.float32)
    maps = Heatmaps(values, [()] * 7, Geometry(()), 7.0, thresholds={"map": {"p98": 2.5}})
    return Judged(Cases(cases), maps, np.arange(7) / 8, np.arange(7) > 4, (0.0, 1.0), "test")


def test_slides_images_and_volumes_together(tmp_path: Path) -> None:
    assert write_maps(mixed(tmp_path), tmp_path / "out", Wanted(geojson=True)) == []
    names = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*")}
    slide_files = {f"maps/{name}{kind}" for name in "st" for kind in (".tiff", ".rgb.tiff", ".geojson")}
    image_files = {"maps/image.tiff", "maps/image.geojson", "maps/v.nii.gz"}
    pictures = {f"overlays/{name}.png" for name in ("s", "t", "image", "v/1", "v/3")}
    assert names == slide_files | image_files | pictures
    # s, image, t, two slices, s, t: the first tile of each slide is its right one.
    for name, left, right in (("s", 6, 1), ("t", 7, 3)):
        heatmap = tifffile.imread(tmp_path / "out" / "maps" / f"{name}.tiff")
        np.testing.assert_array_equal(heatmap, np.repeat([[left, right]], SIZE, 1).repeat(SIZE, 0))
        features = json.loads((tmp_path / "out" / "maps" / f"{name}.geojson").read_text())["features"]
        scored = [one["properties"] for one in features if one["properties"]["objectType"] == "tile"]
        assert [one["measurements"]["score"] for one in scored] == [(right - 1) / 8, (left - 1) / 8]
        assert [one["classification"]["name"] for one in scored] == ["Normal", "Abnormal"]
        tiles, scores = [SlideTile(x, 0, SIDE, SIZE) for x in (64, 0)], np.array([right - 1, left - 1]) / 8
        expected = scored_slide(tmp_path / f"{name}.tiff", tiles, scores, (0.0, 1.0), 128)
        picture = np.asarray(Image.open(tmp_path / "out" / "overlays" / f"{name}.png"))
        np.testing.assert_array_equal(picture[:, : expected.shape[1]], expected)
    assert tifffile.imread(tmp_path / "out" / "maps" / "image.tiff")[0, 0] == 2
    assert json.loads((tmp_path / "out" / "maps" / "image.geojson").read_text())["features"] == []


def test_a_slide_that_is_gone_keeps_no_other_from_its_maps(tmp_path: Path) -> None:
    judged = mixed(tmp_path)
    (tmp_path / "s.tiff").unlink()
    (reason,) = write_maps(judged, tmp_path / "out")
    assert reason.startswith(f"{tmp_path / 's.tiff'}: cannot be read")
    written_maps = {file.name for file in (tmp_path / "out" / "maps").iterdir()}
    assert written_maps == {"t.tiff", "t.rgb.tiff", "t.geojson", "image.tiff", "v.nii.gz"}
