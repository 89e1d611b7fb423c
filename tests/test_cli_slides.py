"""Slides on the command line as a user types it: tiles, maps over whole slides, outlines, and broken files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tifffile import TiffFile

from command_line import SMALL, finished, sanoscope
from sanoscope import Findings
from sanoscope.cases.case import SlideTile
from slide_files import GLASS, glass, rectangle, save_asap, save_slide

openslide = pytest.importorskip("openslide")

WIDTH, HEIGHT = 1024, 768  # at 40×
TISSUE_BOX, LESION = (128, 128, 896, 640), (384, 256, 512, 384)  # of 6 × 4 tiles, and of one of them
TILES = [(x, y) for y in range(128, 640, 128) for x in range(128, 896, 128)]
QUICK = (*SMALL, "--epochs", 1, "--set", "training.max_iterations=2", "--set", "training.batch_size=8")
TILING = ("--set", "data.tile_size=64", "--set", "data.magnification=20")


def write_slide(path: Path, seed: int, *, lesion: bool = False, mpp: float | None = 0.25) -> Path:
    """Noisy tissue on glass, with one green square where there is a lesion."""
    pixels = glass(WIDTH, HEIGHT, TISSUE_BOX).astype(float)
    tissue = (pixels != GLASS).any(axis=2)
    pixels[tissue] += np.random.default_rng(seed).normal(0, 12, (tissue.sum(), 3))
    if lesion:
        left, top, right, bottom = LESION
        pixels[top:bottom, left:right] = (0, 255, 0)
    return save_slide(path, np.clip(pixels, 0, 255).astype(np.uint8), 2, mpp)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for seed, name in enumerate("abc"):
        write_slide(folder / "normal" / f"{name}.svs", seed)
    done = finished("fit", "conv-vae", folder / "normal", "--out", folder / "model", *QUICK, *TILING)
    assert "72 images; 72 unlabelled; 3 subjects; train 24, validation 24, test 24" in done.err
    assert "slides: 3, of which 72 tiles (64 pixels at 20×, data.tissue=otsu, data.tiles=all)" in done.err
    return folder / "model"


@pytest.fixture(scope="module")
def slide(model: Path) -> Path:
    path = write_slide(model.parent / "new" / "d.svs", 9, lesion=True)
    save_asap(path.with_suffix(".xml"), [("Tumor", rectangle(*LESION))])
    return path


@pytest.fixture(scope="module")
def scored(model: Path, slide: Path) -> Path:
    folder = model.parent / "findings"
    done = finished("score", model, slide, "--out", folder, "--device", "cpu")
    assert "of 24 images" in done.out
    assert "Per pixel" in done.out
    return folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_tile_has_a_row(scored: Path, slide: Path) -> None:
    rows = rows_of(scored)
    assert [(int(row["tile_x"]), int(row["tile_y"])) for row in rows] == TILES
    assert {(row["path"], row["subject"], row["tile_side"], row["tile_size"]) for row in rows} == {
        (str(slide), "d", "128", "64")
    }
    assert [row["name"] for row in rows if row["label"] == "1"] == ["d/x000384_y000256"]
    assert max(rows, key=lambda row: float(row["score"]))["name"] == "d/x000384_y000256"


def test_the_map_lies_over_the_whole_slide(scored: Path, slide: Path) -> None:
    written = {file.relative_to(scored / "maps").as_posix() for file in (scored / "maps").rglob("*")}
    assert written == {"d.tiff", "d.rgb.tiff", "d.geojson"}
    with TiffFile(scored / "maps" / "d.tiff") as tiff:
        heatmap = tiff.series[0].asarray()
    assert heatmap.dtype == np.float32
    assert heatmap.shape == (HEIGHT // 2, WIDTH // 2)  # as fine as the tiles were read
    left, top, right, bottom = (edge // 2 for edge in TISSUE_BOX)
    outside = np.ones(heatmap.shape, bool)
    outside[top:bottom, left:right] = False
    assert not heatmap[outside].any()
    left, top, right, bottom = (edge // 2 for edge in LESION)
    inside = np.zeros(heatmap.shape, bool)
    inside[top:bottom, left:right] = True
    assert inside[np.unravel_index(heatmap.argmax(), heatmap.shape)]
    assert heatmap[inside].mean() > 2 * heatmap[~inside & ~outside].mean()
    with openslide.OpenSlide(scored / "maps" / "d.rgb.tiff") as coloured:
        assert coloured.dimensions == (WIDTH // 2, HEIGHT // 2)
    with Image.open(scored / "overlays" / "d.png") as picture:
        assert picture.width > WIDTH  # with what the colours mean
        assert picture.height >= HEIGHT


def test_outlines_are_in_pixels_of_level_0(scored: Path) -> None:
    features = json.loads((scored / "maps" / "d.geojson").read_text())["features"]
    tiles = [feature for feature in features if feature["properties"]["objectType"] == "tile"]
    corners = [tuple(np.min(feature["geometry"]["coordinates"][0], axis=0)) for feature in tiles]
    assert corners == TILES
    scores = [feature["properties"]["measurements"]["score"] for feature in tiles]
    assert scores == pytest.approx([float(row["score"]) for row in rows_of(scored)])
    regions = [feature for feature in features if feature not in tiles]
    assert regions
    found = np.concatenate([ring for region in regions for ring in _rings(region["geometry"])])
    assert (found >= 0).all()
    assert (found <= (WIDTH, HEIGHT)).all()


def _rings(geometry: dict[str, object]) -> list[list[list[float]]]:
    coordinates = geometry["coordinates"]
    polygons = coordinates if geometry["type"] == "MultiPolygon" else [coordinates]
    return [ring for polygon in polygons for ring in polygon]  # type: ignore[attr-defined]


def test_findings_know_their_tiles(scored: Path, slide: Path) -> None:
    loaded = Findings.load(scored)
    assert [case.tile for case in loaded.cases] == [SlideTile(x, y, 128, 64) for x, y in TILES]
    assert {case.path for case in loaded.cases} == {slide}
    assert 'alt="slices of d' not in (scored / "report.html").read_text()


def test_some_tiles_only(model: Path, slide: Path, scored: Path, tmp_path: Path) -> None:
    out = tmp_path / "findings"
    done = finished("score", model, slide, "--out", out, "--device", "cpu", "--set", "data.tiles=random:5")
    assert "of 5 images" in done.out
    of_all = {row["name"]: row["score"] for row in rows_of(scored)}
    assert len(rows_of(out)) == 5
    assert all(float(of_all[row["name"]]) == pytest.approx(float(row["score"])) for row in rows_of(out))
    with TiffFile(out / "maps" / "d.tiff") as tiff:
        assert np.count_nonzero(tiff.series[0].asarray()) <= 5 * 64 * 64


def test_a_broken_slide_keeps_no_other_from_being_scored(model: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "findings"
    write_slide(data / "good.svs", 3)
    write_slide(data / "untold.svs", 4, mpp=None)
    content = write_slide(data / "torn.svs", 5).read_bytes()
    (data / "torn.svs").write_bytes(content[: len(content) // 2])
    done = sanoscope("score", model, data, "--out", out, "--device", "cpu", "--set", "data.tiles=random:3")
    assert done.code == 1
    assert (
        f"not scored: {data / 'untold.svs'}: does not tell its magnification; set data.objective, such as" in done.err
    )
    assert f"not scored: {data / 'torn.svs'}: cannot be read as a slide" in done.err
    assert "check that the file is whole" in done.err
    assert {row["subject"] for row in rows_of(out)} == {"good"}
    assert (out / "maps" / "good.tiff").exists()
    mended = finished(
        "score", model, data / "untold.svs", "--out", tmp_path / "b", "--device", "cpu", "--set", "data.objective=40"
    )
    assert "of 24 images" in mended.out


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("data.tiles=some", "data.tiles=some is not understood; write all, or random:50"),
        ("data.tissue=otsi", "did you mean 'otsu'?"),
        ("data.magnification=80", "set it no higher"),
    ],
)
def test_options_that_cannot_be(model: Path, slide: Path, tmp_path: Path, option: str, reason: str) -> None:
    done = sanoscope("score", model, slide, "--out", tmp_path / "out", "--device", "cpu", "--set", option)
    assert done.code == 2
    assert reason in done.err
