"""Whole slides: what is read of them, from which level, and in how much memory."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tifffile import TiffFile, TiffWriter

from sanoscope.cases import slides
from sanoscope.cases.case import SlideTile
from sanoscope.cases.slides import facts_of, is_slide, read_region, read_tile, slide_key, thumbnail
from sanoscope.errors import ImageError
from slide_files import GLASS, save_aperio, save_repeated, save_slide

openslide = pytest.importorskip("openslide")

NOISE = np.random.default_rng(0).integers(0, 256, (600, 700, 3), np.uint8)


def means(pixels: np.ndarray, factor: int) -> np.ndarray:
    height, width = (side // factor for side in pixels.shape[:2])
    return pixels.reshape(height, factor, width, factor, 3).mean((1, 3))


def test_a_tile_at_full_size_is_as_it_is_stored(tmp_path: Path) -> None:
    slide = save_slide(tmp_path / "a.tif", NOISE)
    np.testing.assert_array_equal(read_tile(slide, SlideTile(101, 57, 300, 300)), NOISE[57:357, 101:401])


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_a_tile_is_the_mean_of_the_area_that_each_pixel_covers(tmp_path: Path, levels: int, factor: int) -> None:
    slide = save_slide(tmp_path / "a.tif", NOISE, levels)
    side = 60 * factor
    found = read_tile(slide, SlideTile(120, 36, side, 60)).astype(int)
    wanted = means(NOISE[36 : 36 + side, 120 : 120 + side], factor)
    if (levels, factor) == (2, 3):  # one and a half pixels of the second level have no exact mean
        assert abs(found.mean() - wanted.mean()) < 0.5
    else:
        assert np.abs(found - wanted).max() <= 2


@pytest.mark.parametrize(("side", "level"), [(100, 0), (195, 0), (200, 1), (390, 1), (400, 2), (800, 2)])
def test_the_smallest_level_that_is_large_enough_is_read(tmp_path: Path, side: int, level: int) -> None:
    slide = tmp_path / "a.tif"
    with TiffWriter(slide) as tiff:  # each level has a colour of its own
        for number in range(3):
            pixels = np.full((1024 >> number, 1024 >> number, 3), 60 * number, np.uint8)
            tiff.write(pixels, tile=(256, 256), photometric="rgb", subfiletype=int(number > 0), metadata=None)
    assert set(read_tile(slide, SlideTile(0, 0, side, 100)).ravel().tolist()) == {60 * level}


def test_a_level_whose_size_was_rounded_still_counts(tmp_path: Path) -> None:
    pixels = np.full((601, 701, 3), 90, np.uint8)
    slide = save_slide(tmp_path / "a.tif", pixels, 2)
    assert 2 < facts_of(slide).downsamples[1] < 2.01
    assert (read_tile(slide, SlideTile(0, 0, 400, 200)) == 90).all()


def test_what_lies_beyond_the_slide_is_white(tmp_path: Path) -> None:
    slide = save_slide(tmp_path / "a.tif", np.zeros((300, 300, 3), np.uint8))
    tile = read_tile(slide, SlideTile(200, 250, 200, 200))
    assert (tile[:50, :100] == 0).all()
    assert (tile[50:] == 255).all()
    assert (tile[:, 100:] == 255).all()
    half = read_tile(slide, SlideTile(200, 200, 200, 100))
    assert (half[:50, :50] == 0).all()
    assert (half[50:] == 255).all()
    assert (read_tile(slide, SlideTile(-64, -64, 64, 64)) == 255).all()
    assert (read_tile(slide, SlideTile(5000, 0, 64, 64)) == 255).all()


@pytest.mark.parametrize(("side", "size"), [(79, 10), (83, 10), (150, 40), (64, 50)])
def test_a_tile_shows_its_own_area_whatever_its_reduction(tmp_path: Path, side: int, size: int) -> None:
    """On a ramp each pixel is the value at its centre; at the ends a filter has one side alone to look at."""
    ramp = np.arange(160) + 20
    slide = save_slide(tmp_path / "a.tif", np.tile(ramp, (160, 1))[..., None].repeat(3, 2).astype(np.uint8))
    found = read_tile(slide, SlideTile(0, 0, side, size))
    wanted = (np.arange(size) + 0.5) * side / size - 0.5 + 20
    assert np.abs(found[size // 2, :, 0] - wanted)[1:-1].max() <= 1
    assert np.abs(found[size // 2, :, 0] - wanted).max() <= side / size


@pytest.mark.parametrize("block", [64, 100, 1000])
def test_a_picture_made_block_by_block_is_the_reduction_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(slides, "BLOCK", block)
    slide = save_slide(tmp_path / "a.tif", NOISE)
    found = read_region(slide, (0, 0), (700, 600), (100, 86))
    reduced = Image.fromarray(NOISE).reduce(6)
    wanted = reduced.resize((100, 86), Image.Resampling.LANCZOS, (0, 0, 700 / 6, 600 / 6))
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(thumbnail(slide, 70), Image.fromarray(NOISE).reduce(10))
    assert thumbnail(slide, 10).shape == (9, 10, 3)


def test_a_picture_is_never_larger_than_the_slide(tmp_path: Path) -> None:
    np.testing.assert_array_equal(thumbnail(save_slide(tmp_path / "a.tif", NOISE), 5000), NOISE)


@pytest.mark.parametrize(("mpp", "objective"), [(0.25, 40), (0.5, 20), (1, 10), (None, None), (352.8, None)])
def test_magnification_is_told_by_the_size_of_pixels(
    tmp_path: Path, mpp: float | None, objective: float | None
) -> None:
    facts = facts_of(save_slide(tmp_path / "a.tif", NOISE, 2, mpp))
    assert (facts.width, facts.height, facts.vendor, facts.downsamples) == (700, 600, "generic-tiff", (1, 2))
    assert facts.objective == (None if objective is None else pytest.approx(objective, rel=1e-3))
    assert (facts.mpp is None) == (mpp is None)


def test_slides_are_told_from_patches(tmp_path: Path) -> None:
    wide = np.zeros((256, 2304, 3), np.uint8)
    assert is_slide(save_slide(tmp_path / "pyramid.tif", wide, 2))
    assert is_slide(save_slide(tmp_path / "scanner.SVS", NOISE))
    assert not is_slide(save_slide(tmp_path / "patch.tif", NOISE, 2))
    assert not is_slide(save_slide(tmp_path / "one_level.tif", wide))
    assert not is_slide(tmp_path / "missing.tif")
    Image.fromarray(NOISE).save(tmp_path / "patch.png")
    Image.fromarray(NOISE).save(tmp_path / "plain.tif")
    assert not is_slide(tmp_path / "patch.png")
    assert not is_slide(tmp_path / "plain.tif")


def test_the_key_is_of_the_content(tmp_path: Path) -> None:
    first = save_slide(tmp_path / "a.tif", NOISE)
    again = save_slide(tmp_path / "b.tif", NOISE)
    other = save_slide(tmp_path / "c.tif", 255 - NOISE)
    assert slide_key(first) == slide_key(again) != slide_key(other)
    save_slide(first, 255 - NOISE)
    os.utime(first, ns=(1, 1))
    assert slide_key(first) == slide_key(other)


def test_an_aperio_slide_tells_its_magnification(tmp_path: Path) -> None:
    slide = save_aperio(tmp_path / "a.svs", NOISE, mpp=0.5, objective=20)
    facts = facts_of(slide)
    assert (facts.vendor, facts.mpp, facts.objective, facts.downsamples) == ("aperio", (0.5, 0.5), 20, (1,))
    assert np.abs(read_tile(slide, SlideTile(256, 0, 256, 256)).astype(int) - NOISE[:256, 256:512]).max() <= 2


def test_a_header_that_lies_is_refused_at_once(tmp_path: Path) -> None:
    slide = save_slide(tmp_path / "a.tif", NOISE)
    content = bytearray(slide.read_bytes())
    with TiffFile(slide) as tiff:
        for name in ("ImageWidth", "ImageLength"):
            struct.pack_into("<I", content, tiff.pages.first.tags[name].valueoffset, 200_000)
    slide.write_bytes(content)
    assert facts_of(slide).width == 200_000
    with pytest.raises(
        ImageError, match=r"a\.tif: has no level smaller than 200000 × 200000 pixels for a picture of 100"
    ):
        thumbnail(slide, 100)
    with pytest.raises(ImageError, match=r"a\.tif: 16384 × 16384 pixels at once are too many"):
        read_tile(slide, SlideTile(0, 0, 200_000, 2**14))
    np.testing.assert_array_equal(read_tile(slide, SlideTile(0, 0, 64, 64)), NOISE[:64, :64])


def test_a_changed_file_is_opened_anew(tmp_path: Path) -> None:
    tile = SlideTile(0, 0, 64, 64)
    slide = save_slide(tmp_path / "a.tif", NOISE)
    before = read_tile(slide, tile)
    save_slide(slide, 255 - NOISE)
    os.utime(slide, ns=(1, 1))
    np.testing.assert_array_equal(read_tile(slide, tile), 255 - before)


def test_threads_read_the_same(tmp_path: Path) -> None:
    files = [save_slide(tmp_path / f"{i}.tif", np.roll(NOISE, i, axis=1)) for i in range(20)]  # more than are kept
    places = [(i, SlideTile(16 * i, 8 * i, 128, 128)) for i in range(20)] * 3
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda place: read_tile(files[place[0]], place[1]), places)
        for (i, tile), pixels in zip(places, found, strict=True):
            wanted = np.roll(NOISE, i, axis=1)[tile.y : tile.y + 128, tile.x : tile.x + 128]
            np.testing.assert_array_equal(pixels, wanted)


def test_a_forked_process_reads_with_a_handle_of_its_own(tmp_path: Path) -> None:
    slide = save_slide(tmp_path / "a.tif", NOISE)
    script = f"""
import os, sys
from pathlib import Path
from sanoscope.cases.open_slides import opened
slide = Path({str(slide)!r})
mine = opened(slide)
child = os.fork()
if child == 0:
    os._exit(0 if opened(slide) is not mine else 3)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or int(opened(slide) is not mine))
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("content", [b"", b"no slide", b"II*\0" + bytes(60)])
def test_what_is_no_slide_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.svs"
    path.write_bytes(content)
    for read in (facts_of, slide_key, lambda p: thumbnail(p, 64), lambda p: read_tile(p, SlideTile(0, 0, 9, 9))):
        with pytest.raises(ImageError, match="cannot be read as a slide") as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(ImageError, match="No such file"):
        facts_of(tmp_path / "missing.svs")


def test_a_damaged_part_is_refused_and_the_rest_read(tmp_path: Path) -> None:
    slide = save_slide(tmp_path / "a.tif", NOISE)
    with TiffFile(slide) as tiff:
        start = tiff.pages.first.dataoffsets[4]
    content = bytearray(slide.read_bytes())
    content[start : start + 4000] = bytes(4000)
    slide.write_bytes(content)
    for _ in range(2):
        with pytest.raises(ImageError, match=f"{slide}: cannot be read as a slide"):
            read_tile(slide, SlideTile(256, 256, 200, 200))
        np.testing.assert_array_equal(read_tile(slide, SlideTile(0, 0, 200, 200)), NOISE[:200, :200])


MEASURE = """
import resource, sys
from pathlib import Path
import scipy.ndimage, skimage.filters, skimage.morphology
from sanoscope.cases import Cases, read_case
from sanoscope.cases.case import Case
from sanoscope.cases.slides import facts_of
from sanoscope.cases.tiling import Tiling, tiled

slide = Path(sys.argv[1])
facts_of(slide)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tiles = tiled(Cases([Case("a", slide)]), Tiling())
for tile in tiles[::3]:
    read_case(tile)
print(len(tiles), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
def test_memory_does_not_grow_with_the_slide(tmp_path: Path) -> None:
    """300 MB of pixels and no smaller level: 64 MB of OpenSlide's cache, and some pictures of 12 MB each."""
    tile = np.full((256, 256, 3), GLASS, np.uint8)
    tile[:200] = (190, 90, 160)
    slide = save_repeated(tmp_path / "a.svs", tile, 40)
    assert facts_of(slide).width == 10240
    found = subprocess.run(
        [sys.executable, "-c", MEASURE, str(slide)], check=True, capture_output=True, text=True, timeout=120
    )
    tiles, kilobytes = map(int, found.stdout.split())
    assert tiles == 100
    assert kilobytes < 240 * 1024


# ---------------------------------------------------------------- real slides


@pytest.fixture
def real_slides(real_data: Path) -> Path:
    return real_data / "formats" / "wsi"


@pytest.mark.real_data
@pytest.mark.parametrize("file", ["cmu_small_region.svs", "tcga-cr-7395-01a-01-ts1.svs"])
def test_real_tiles_are_openslides_own(real_slides: Path, file: str) -> None:
    path = real_slides / file
    with openslide.OpenSlide(path) as slide:
        level = slide.level_count - 1
        region = slide.read_region((1024, 1024), 0, (512, 512)).convert("RGB")
        np.testing.assert_array_equal(read_tile(path, SlideTile(1024, 1024, 512, 512)), region)
        np.testing.assert_array_equal(read_tile(path, SlideTile(1024, 1024, 512, 256)).shape, (256, 256, 3))
        if level == 0:
            halved = read_tile(path, SlideTile(1024, 1024, 512, 256))
            np.testing.assert_array_equal(halved, region.reduce(2))
        else:
            stored = slide.read_region((1024, 1024), level, (256, 256)).convert("RGB")
            np.testing.assert_array_equal(read_tile(path, SlideTile(1024, 1024, 512, 256)), stored)


@pytest.mark.real_data
def test_real_slides_say_what_they_are(real_slides: Path) -> None:
    facts = facts_of(real_slides / "cmu_small_region.svs")
    wanted = replace(facts, width=2220, height=2967, mpp=(0.499, 0.499), objective=20.0, vendor="aperio")
    assert facts == wanted
    assert facts_of(real_slides / "tcga-cr-7395-01a-01-ts1.svs").objective is None
    for broken in ("broken.svs", "unopenable.tiff"):
        with pytest.raises(ImageError, match="cannot be read as a slide"):
            facts_of(real_slides / broken)
