"""Where tissue is found on slides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sanoscope.cases.slides import thumbnail
from sanoscope.cases.tissue import BORDER, CELL, Tissue, camelyon16_cells, find_tissue, without_borders
from slide_files import glass, save_slide

pytest.importorskip("openslide")


def test_tissue_is_what_is_coloured(tmp_path: Path) -> None:
    pixels = glass(1000, 800, (200, 100, 700, 500), (50, 50, 54, 54))  # and a speck
    pixels[300:304, 400:404] = pixels[0, 0]  # and a hole
    pixels[600:700, 100:300] = np.random.default_rng(0).integers(0, 8, (100, 200, 3))  # a black gap of the scan
    found = find_tissue(save_slide(tmp_path / "a.svs", pixels))
    wanted = np.zeros((800, 1000), bool)
    wanted[100:500, 200:700] = True
    assert found.scale == (1, 1)
    assert np.count_nonzero(found.mask != wanted) < 20  # the median rounds corners
    assert found.share(200, 100, 400) == pytest.approx(1, abs=1e-3)
    assert found.share(500, 0, 400) == pytest.approx(0.375, abs=0.01)


def test_glass_alone_holds_no_tissue_and_tissue_alone_is_not_divided(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(glass(600, 600) + rng.normal(0, 3, (600, 600, 3)), 0, 255).astype(np.uint8)
    assert not find_tissue(save_slide(tmp_path / "glass.svs", noisy)).mask.any()
    assert not find_tissue(save_slide(tmp_path / "even.svs", glass(300, 300))).mask.any()
    dark = glass(600, 600, (0, 0, 600, 600))
    dark[:, 300:] = (90, 20, 110)
    assert find_tissue(save_slide(tmp_path / "full.svs", dark)).mask.all()


def test_a_share_counts_what_lies_beyond_the_slide_as_none() -> None:
    tissue = Tissue(np.ones((10, 20), bool), (16.0, 16.0))
    assert tissue.share(0, 0, 160) == 1
    assert tissue.share(240, 80, 160) == 0.25
    assert tissue.share(-160, 0, 160) == 0
    assert tissue.share(32, 32, 4) == 1  # smaller than a pixel of the mask


def test_cells_of_camelyon16(tmp_path: Path) -> None:
    """Reduced 256 times a slide of 96 × 90 pixels, of which 30 on each side are left out."""
    small = glass(96, 90, (33, 33, 48, 45), (20, 54, 40, 60), (54, 54, 56, 56), (60, 36, 65, 42))
    slide = save_slide(tmp_path / "a.svs", small[:45].repeat(64, 0).repeat(64, 1), 1)
    assert camelyon16_cells(slide) == []  # as all of so small a slide is border
    levels = tmp_path / "b.svs"
    _with_level_of_256(levels, small)
    first = {(column * CELL, row * CELL) for row in range(11, 15) for column in range(11, 16)}
    second = {(column * CELL, row * CELL) for row in (18, 19) for column in (10, 11, 12)}  # to pixel 40, a third short
    third = {(20 * CELL, row * CELL) for row in (12, 13)}  # from pixel 60, five wide: one whole cell
    assert camelyon16_cells(levels) == sorted(first | second | third, key=lambda place: place[::-1])


def _with_level_of_256(path: Path, small: np.ndarray) -> None:
    """A slide whose level 0 is all glass, far too large to be looked at, beside its reduction."""
    import zlib

    from tifffile import TiffWriter

    height, width = small.shape[:2]
    tile = 4096
    blank = zlib.compress(glass(tile, tile).tobytes(), 1)
    tiles = (height * 256 // -tile) * (width * 256 // -tile)
    common = {"photometric": "rgb", "compression": "zlib", "metadata": None}
    with TiffWriter(path, bigtiff=True) as tiff:
        segments = (blank for _ in range(tiles))
        tiff.write(segments, shape=(height * 256, width * 256, 3), dtype=np.uint8, tile=(tile, tile), **common)
        tiff.write(small, tile=(64, 64), subfiletype=1, **common)


def test_borders_are_those_of_the_protocol() -> None:
    low, tall = without_borders(np.ones((700, 300), bool)), without_borders(np.ones((701, 300), bool))
    np.testing.assert_array_equal(np.argwhere(low)[[0, -1]], [[BORDER, BORDER], [669, 269]])
    np.testing.assert_array_equal(np.argwhere(tall)[[0, -1]], [[100, 50], [600, 299]])
    assert low.sum() == 640 * 240
    assert tall.sum() == 501 * 250
    assert not without_borders(np.ones((40, 50), bool)).any()


@pytest.mark.real_data
@pytest.mark.parametrize(("file", "share"), [("cmu_small_region.svs", 0.33), ("tcga-cr-7395-01a-01-ts1.svs", 0.61)])
def test_real_tissue_is_dark_and_glass_bright(real_data: Path, file: str, share: float) -> None:
    """The shares are those of masks that were looked at beside their slides."""
    path = real_data / "formats" / "wsi" / file
    found = find_tissue(path)
    assert found.mask.mean() == pytest.approx(share, abs=0.03)
    grey = thumbnail(path, 2048).mean(axis=2)
    assert grey[~found.mask].mean() > 225
    assert grey[found.mask].mean() < 190
