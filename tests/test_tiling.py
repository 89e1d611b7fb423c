"""From slides to tiles: which squares, under which names, with which labels."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sanoscope.cases import Cases, Slicing, read_case, read_cases, tiling, true_mask
from sanoscope.cases.case import Case, SlideTile
from sanoscope.cases.tiling import Tiling, tiled
from sanoscope.errors import DataError, ImageError, OptionError
from slide_files import TISSUE, glass, rectangle, save_asap, save_geojson, save_slide

pytest.importorskip("openslide")

HALF = Tiling(size=64, magnification=20)  # 128 pixels of a slide at 40×


def one(path: Path, **known: object) -> Cases:
    return Cases([Case("slide", path, **known)])  # type: ignore[arg-type]


def corners(cases: Cases) -> list[tuple[int, int]]:
    return [(case.tile.x, case.tile.y) for case in cases if case.tile is not None]


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """Tissue on two rows of three tiles at 20×, and on a third of those to their right."""
    return save_slide(tmp_path / "a.svs", glass(640, 512, (128, 128, 512 + 40, 384)))


def test_tiles_lie_where_there_is_tissue(slide: Path) -> None:
    cases = tiled(one(slide, label=0, group="benign"), HALF)
    places = [(x, y) for y in (128, 256) for x in (128, 256, 384)]
    assert corners(cases) == places
    first = cases[0]
    assert (first.name, first.path, first.label, first.group, first.subject, first.position) == (
        "slide/x000128_y000128",
        slide,
        0,
        "benign",
        "slide",
        (128, 128),
    )
    assert first.tile == SlideTile(128, 128, 128, 64)
    assert cases.notes == ("slides: 1, of which 6 tiles (64 pixels at 20×, data.tissue=otsu, data.tiles=all)",)
    pixels = read_case(first)
    assert pixels.shape == (64, 64, 3)
    assert (pixels == TISSUE).all()
    assert corners(tiled(one(slide), Tiling(64, 20, least_tissue=0.3))) == [
        (x, y) for y in (128, 256) for x in (128, 256, 384, 512)
    ]
    assert len(tiled(one(slide), Tiling(64, 20, tissue="none"))) == 20


def test_a_tile_covers_what_its_magnification_says(tmp_path: Path) -> None:
    pixels = glass(640, 512, (0, 0, 640, 512))
    for mpp, magnification, side in ((0.25, 10, 256), (0.5, 10, 128), (0.25, 40, 64), (0.25, 42, 61)):
        path = save_slide(tmp_path / f"{mpp}_{magnification}.svs", pixels, mpp=mpp)
        assert Tiling(64, magnification).side(path) == side
    with pytest.raises(ImageError, match=r"0\.25_40\.svs: has 40× and not data\.magnification=50"):
        Tiling(64, 50).side(tmp_path / "0.25_40.svs")


def test_a_slide_that_does_not_tell_its_magnification(tmp_path: Path) -> None:
    path = save_slide(tmp_path / "a.svs", glass(640, 512, (0, 0, 640, 512)), mpp=None)
    with pytest.raises(ImageError, match=r"does not tell its magnification; set data\.objective"):
        HALF.side(path)
    assert Tiling(64, 20, objective=20).side(path) == 64
    whole = tiled(one(path), HALF)
    assert whole[0].tile is None
    assert "slides that cannot be cut into tiles: 1" in whole.notes[1]
    with pytest.raises(ImageError, match=r"set data\.objective"):
        read_case(whole[0])


def test_tiles_at_the_edge_reach_beyond_it_where_half_of_them_is_tissue(tmp_path: Path) -> None:
    path = save_slide(tmp_path / "a.svs", glass(128 + 70, 128 + 60, (0, 0, 198, 188)))
    cases = tiled(one(path), HALF)
    assert corners(cases) == [(0, 0), (128, 0)]
    assert (read_case(cases[1])[:, 36:] == 255).all()


def test_labels_are_those_of_outlines_where_there_are_any(slide: Path, tmp_path: Path) -> None:
    assert tiled(one(slide, label=1), HALF).labels == [1] * 6
    clause = "slides labelled abnormal without outlines, each tile labelled like them: 1 (slide)"
    assert clause in tiled(one(slide, label=1), HALF).notes
    assert tiled(one(slide), HALF).labels == [None] * 6
    outline = save_asap(tmp_path / "outlines" / "a.xml", [("Tumor", rectangle(250, 128, 300, 200))])
    cases = tiled(one(slide, label=1, mask=outline), HALF)
    assert cases.labels == [1, 1, 0, 0, 0, 0]
    second = true_mask(cases[1])
    assert second is not None
    assert second[:36, :22].all()
    assert second.sum() == 36 * 22
    geometry = {"type": "Polygon", "coordinates": [rectangle(400, 300, 440, 340)]}
    beside = save_geojson(slide.with_suffix(".geojson"), ("Tumor", geometry))
    found = tiled(one(slide), HALF)
    assert found.labels == [0, 0, 0, 0, 0, 1]
    assert found[0].mask == beside


def test_outlines_that_cannot_be_read_stop_it(slide: Path) -> None:
    for content in ("<a>", "<Annotations><Annotation><Regions/></Annotation></Annotations>"):  # which ImageScope writes
        slide.with_suffix(".xml").write_text(content)
        with pytest.raises(DataError, match=r"a\.xml: holds no outlines .* would count as normal"):
            tiled(one(slide), HALF)


def test_random_tiles_depend_on_the_slide_alone(slide: Path, tmp_path: Path) -> None:
    three = Tiling(64, 20, tiles="random:3")
    alone = corners(tiled(one(slide), three))
    assert len(alone) == 3
    assert alone == sorted(alone, key=lambda place: place[::-1])
    assert set(alone) < set(corners(tiled(one(slide), HALF)))
    others = [save_slide(tmp_path / f"{i}.svs", glass(640, 512, (0, 0, 640, 512))) for i in range(3)]
    cases = Cases([*(Case(f"other/{path.stem}", path) for path in others), Case("elsewhere/b", slide)])
    together = tiled(cases, three)
    assert corners(together.where(lambda case: case.path == slide)) == alone
    drawn = {tuple(corners(together.where(lambda case, path=path: case.path == path))) for path in others}
    assert len(drawn) > 1
    assert len(tiled(one(slide), Tiling(64, 20, tiles="random:99"))) == 6


@given(st.integers(1, 90), st.integers(1, 90), st.integers(16, 40), st.sampled_from([10.0, 20.0, 37.0]))
@settings(max_examples=30, deadline=None)
def test_tiles_of_everything_cover_a_slide_once(width: int, height: int, size: int, magnification: float) -> None:
    with TemporaryDirectory() as folder:
        path = save_slide(Path(folder) / "a.svs", glass(width, height))
        cases = tiled(one(path), Tiling(size, magnification, tissue="none"))
    covered = np.zeros((height, width), int)
    for case in cases:
        assert case.tile is not None
        covered[case.tile.y : case.tile.y + case.tile.side, case.tile.x : case.tile.x + case.tile.side] += 1
        assert case.tile.x < width
        assert case.tile.y < height
    assert (covered == 1).all()
    assert len(set(corners(cases))) == len(cases)


def test_a_tile_is_abnormal_where_its_mask_is_and_only_there(slide: Path) -> None:
    specks = [("Tumor", rectangle(x + 0.9, 200.9, x + 3.1, 203.1)) for x in (130, 254.5, 300, 500)]
    save_asap(slide.with_suffix(".xml"), specks)
    for size in (16, 64, 128):
        cases = tiled(one(slide), Tiling(size, 40 * size / 128))
        masks = [true_mask(case) for case in cases]
        assert cases.labels == [int(mask is not None and mask.any()) for mask in masks]
        assert 1 in cases.labels or size == 16


def test_more_tiles_than_a_slide_can_have_are_refused(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiling, "MOST_TILES", 19)
    with pytest.raises(ImageError, match=r"a\.svs: has 20 tiles of 128 pixels; set data\.tile_size higher"):
        HALF.places(slide)


def test_what_is_no_whole_slide_stays(slide: Path, tmp_path: Path) -> None:
    Image.fromarray(glass(8, 8)).save(tmp_path / "plain.png")
    others = [
        Case("plain", tmp_path / "plain.png"),
        Case("memory", pixels=glass(8, 8)),
        Case("tile", slide, tile=SlideTile(0, 0, 128, 64)),
        Case("both", slide, pixels=glass(8, 8)),
    ]
    assert list(tiled(Cases(others), HALF)) == others
    mixed = tiled(Cases([others[0], Case("slide", slide), others[1]]), HALF)
    assert [case.name for case in mixed][::7] == ["plain", "memory"]
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"no slide")
    found = tiled(one(broken), HALF)
    assert "cannot be read as a slide" in found.notes[1]
    with pytest.raises(ImageError, match=r"broken\.svs: cannot be read as a slide"):
        read_case(found[0])


def test_slides_without_tissue_are_left_out(slide: Path, tmp_path: Path) -> None:
    empty = save_slide(tmp_path / "empty.svs", glass(640, 512))
    found = tiled(Cases([Case("slide", slide), Case("empty", empty)]), HALF)
    assert len(found) == 6
    assert "slides of which no tile is left: 1 (empty)" in found.notes
    with pytest.raises(DataError, match=r"no tile of its slides is left; set data\.tissue=none"):
        tiled(one(empty), HALF)


def test_camelyon16s_cells_and_their_labels(tmp_path: Path) -> None:
    """One cell is 3 × 3 pixels of a slide reduced 256 times, whose border of 30 pixels is left out."""
    pixels = np.repeat(np.repeat(glass(72, 66, (30, 30, 42, 36)), 8, 0), 8, 1)
    path = save_slide(tmp_path / "a.svs", pixels)
    protocol = Tiling(size=192, tissue="camelyon16")
    assert protocol.side(path) == 768
    with pytest.raises(DataError, match="no tile"):  # of 3 × 3 reduced pixels there is nothing but border
        tiled(one(path), protocol)
    large = _large(tmp_path / "large.svs")
    cells = [(x * 768, y * 768) for y in (10, 11) for x in (10, 11, 12, 13)]
    normal = tiled(one(large, label=0), protocol)
    assert corners(normal) == cells
    assert normal.labels == [0] * 8
    assert normal[0].tile == SlideTile(7680, 7680, 768, 192)
    assert "(cells of 768 pixels at 192, data.tissue=camelyon16, data.tiles=all)" in normal.notes[0]
    outline = save_asap(tmp_path / "a.xml", [("_0", rectangle(7680, 7680, 7680 + 2 * 768 + 100, 7680 + 768))])
    tumour = tiled(one(large, label=1, mask=outline), protocol)
    assert corners(tumour) == cells[:2]  # the third is abnormal in part, the others are normal
    assert tumour.labels == [1, 1]
    assert "cells of slides with outlines that are not wholly abnormal, left out: 6" in tumour.notes
    both = tiled(Cases([Case("n", large, label=0), Case("t", large, label=1)]), protocol)
    assert both.labels == [0] * 8
    assert "slides labelled abnormal without outlines, left out: 1 (t)" in both.notes


def _large(path: Path) -> Path:
    """A slide of 24,576 × 16,896 pixels of glass, by the reduction beside it with tissue on 4 × 2 cells."""
    import zlib

    from tifffile import TiffWriter

    tile = 4096
    blank = zlib.compress(glass(tile, tile).tobytes(), 1)
    with TiffWriter(path) as tiff:
        common = {"photometric": "rgb", "compression": "zlib", "metadata": None}
        segments = (blank for _ in range(6 * 5))
        tiff.write(segments, shape=(66 * 256, 96 * 256, 3), dtype=np.uint8, tile=(tile, tile), **common)
        tiff.write(glass(96, 66, (30, 30, 42, 36)), tile=(64, 64), subfiletype=1, **common)
    return path


def test_a_folder_of_slides_is_a_collection(tmp_path: Path) -> None:
    for name in ("normal/a.svs", "tumor/b.svs"):
        save_slide(tmp_path / name, glass(256, 256, (0, 0, 256, 256)))
    cases = read_cases(tmp_path, slicing=Slicing(tiling=HALF))
    assert [(case.name, case.label, case.subject) for case in cases][::4] == [
        ("normal/a/x000000_y000000", 0, "normal/a"),
        ("tumor/b/x000000_y000000", 1, "tumor/b"),
    ]
    assert len(cases) == 8


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"tissue": "otso"}, r"data\.tissue=otso is unknown; did you mean 'otsu'\?"),
        ({"tiles": "random"}, r"data\.tiles=random is not understood; write all, or random:50"),
        ({"tiles": "random:0"}, r"data\.tiles=random:0"),
        ({"size": 0}, r"data\.tile_size=0"),
        ({"magnification": 0}, r"data\.magnification=0"),
        ({"objective": -1}, r"data\.objective=-1"),
        ({"least_tissue": 1.5}, r"data\.least_tissue=1\.5"),
    ],
)
def test_values_that_are_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        Tiling(**values)  # type: ignore[arg-type]


@pytest.mark.real_data
def test_real_slides_are_cut(real_data: Path) -> None:
    path = real_data / "formats" / "wsi" / "cmu_small_region.svs"
    cases = read_cases(path, slicing=Slicing(tiling=Tiling()))
    assert 7 <= len(cases) <= 10  # as counted on a picture of the slide
    assert {case.subject for case in cases} == {"cmu_small_region"}
    assert all(read_case(case).shape == (256, 256, 3) for case in cases)


@pytest.mark.real_data
def test_files_of_one_slide_in_dicom_are_one_slide(real_data: Path, tmp_path: Path) -> None:
    for name in ("boxes_0.dcm", "boxes_1.dcm"):
        (tmp_path / name).write_bytes((real_data / "formats" / "wsi" / name).read_bytes())
    cases = read_cases(tmp_path, slicing=Slicing(tiling=Tiling(16, 20, tissue="none")))
    assert len(cases) == 1
    assert "files that are further levels of a slide in DICOM: 1" in cases.notes


def test_a_slide_in_dicom_without_suffixes_is_one_slide(real_data: Path, tmp_path: Path) -> None:
    for number in (0, 1):
        shutil.copy(real_data / "formats" / "wsi" / f"boxes_{number}.dcm", tmp_path / f"IM{number}")
    cases = read_cases(tmp_path, slicing=Slicing(tiling=Tiling(size=8, magnification=20, tissue="none")))
    assert [case.tile for case in cases] == [SlideTile(x, y, 8, 8) for y in (0, 8) for x in (0, 8)]
    assert {case.subject for case in cases} == {"IM0"}
    assert "files that are further levels of a slide in DICOM: 1" in cases.notes
