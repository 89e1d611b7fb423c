"""Readers: what was written comes back exactly, and what is broken is refused in one line."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sanoscope.cases import read_image, read_mask
from sanoscope.cases.readers import READERS
from sanoscope.cases.suffixes import suffix_of
from sanoscope.errors import ImageError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (23, 17), np.uint8)
COLOUR = RNG.integers(0, 256, (23, 17, 3), np.uint8)
COLOUR_16 = RNG.integers(0, 65536, (23, 17, 3), np.uint16)


def by_pil(pixels: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def by_tifffile(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **options)
    return stream.getvalue()


def png_16(pixels: np.ndarray, colour: int, interlaced: bool = False) -> bytes:
    """A 16-bit PNG whose rows take each of the five filters in turn."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, channels = pixels.shape
    step = 2 * channels
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [
            (0, 0, 8, 8),
            (4, 0, 8, 8),
            (0, 4, 4, 8),
            (2, 0, 4, 4),
            (0, 2, 2, 4),
            (1, 0, 2, 2),
            (0, 1, 1, 2),
        ]
    lines = b""
    for x, y, dx, dy in passes:
        above = np.zeros(pixels[0, x::dx].size * 2, int)
        for i, row in enumerate(pixels[y::dy, x::dx]):
            line = np.frombuffer(row.astype(">u2").tobytes(), np.uint8).astype(int)
            left, above_left = (np.r_[np.zeros(step, int), r[:-step]] for r in (line, above))
            estimate = left + above - above_left
            distance = np.abs(np.stack([estimate - left, estimate - above, estimate - above_left]))
            paeth = np.choose(distance.argmin(axis=0), [left, above, above_left])
            predicted = [np.zeros_like(line), left, above, (left + above) // 2, paeth][i % 5]
            lines += bytes([i % 5]) + (line - predicted).astype(np.uint8).tobytes()
            above = line
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def read(content: bytes, suffix: str) -> np.ndarray:
    return read_image(Path(f"image{suffix}"), content)


def refusal(content: bytes, suffix: str) -> str:
    with pytest.raises(ImageError) as caught:
        read(content, suffix)
    message = str(caught.value)
    assert message.startswith(f"image{suffix}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_eight_bits_come_back_as_written(pixels: np.ndarray, suffix: str) -> None:
    kind = {".tif": "TIFF"}.get(suffix, suffix[1:].upper())
    found = read(by_pil(pixels, kind), suffix)
    assert found.dtype == np.uint8
    assert found.flags.writeable
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, pixels.reshape(23, 17, -1))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_gives_one_channel_or_three(mode: str) -> None:
    smooth = Image.fromarray(COLOUR).resize((64, 48), Image.Resampling.BICUBIC).convert(mode)
    found = read(by_pil(smooth, "JPEG", quality=95, subsampling=0), ".jpg")
    assert found.shape == (48, 64, 1 if mode == "L" else 3)
    wanted = np.asarray(smooth.convert("L" if mode == "L" else "RGB")).reshape(found.shape)
    assert np.abs(found.astype(int) - wanted).mean() < 4


def test_jpeg_orientation_is_not_applied_and_damaged_exif_is_passed_over() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read(by_pil(GREY, "JPEG", exif=exif), ".jpeg").shape == (23, 17, 1)
    damaged = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x0f\x01\x02\0\xff\0\0\0\xf0\xff\0\0"
    assert read(by_pil(GREY, "JPEG", exif=damaged), ".jpeg").shape == (23, 17, 1)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_12_bit_ramp_keeps_its_levels(suffix: str, tmp_path: Path) -> None:
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    path = tmp_path / f"ramp{suffix}"
    path.write_bytes(by_pil(ramp, "PNG") if suffix == ".png" else by_tifffile(ramp))
    found = read_image(path)
    assert found.dtype == np.uint16
    assert len(np.unique(found)) == 4096
    np.testing.assert_array_equal(found[:, :, 0], ramp)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_16_bit_colour_png_keeps_both_bytes(alpha: bool, interlaced: bool) -> None:
    stored = np.dstack([COLOUR_16, COLOUR_16[:, :, 0]]) if alpha else COLOUR_16
    found = read(png_16(stored, 6 if alpha else 2, interlaced), ".png")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, COLOUR_16)


def test_16_bit_grey_png_with_alpha_is_refused() -> None:
    assert "save it as TIFF" in refusal(png_16(COLOUR_16[:, :, :2], 4), ".png")


def test_alpha_is_dropped_and_palettes_and_bits_become_bytes() -> None:
    translucent = np.dstack([COLOUR, GREY])
    np.testing.assert_array_equal(read(by_pil(translucent, "PNG"), ".png"), COLOUR)
    grey_alpha = Image.merge("LA", [Image.fromarray(GREY)] * 2)
    np.testing.assert_array_equal(read(by_pil(grey_alpha, "PNG"), ".png")[:, :, 0], GREY)
    palette = Image.fromarray(COLOUR).quantize(16)
    content = by_pil(palette, "PNG", transparency=bytes(range(16)))
    np.testing.assert_array_equal(read(content, ".png"), np.asarray(palette.convert("RGB")))
    bits = Image.fromarray(GREY > 100)
    for kind, suffix in (("PNG", ".png"), ("BMP", ".bmp"), ("TIFF", ".tif")):
        found = read(by_pil(bits, kind), suffix)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found[:, :, 0], np.uint8(255) * (GREY > 100))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "i4", "f4", ">u2", ">f4"])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("planar", [False, True])
def test_tiff_of_any_type_and_number_of_channels(dtype: str, channels: int, planar: bool) -> None:
    pixels = (RNG.random((11, 9, channels)) * 100).astype(dtype)
    stored = np.moveaxis(pixels, 2, 0) if planar else pixels
    if channels == 1:
        stored, layout = pixels[:, :, 0], {}
    else:
        layout = {"planarconfig": "separate" if planar else "contig", "photometric": "minisblack"}
    content = by_tifffile(stored, byteorder=">" if dtype.startswith(">") else "<", **layout)
    found = read(content, ".tiff")
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, pixels)


def test_tiff_floats_become_single_precision() -> None:
    pixels = RNG.random((8, 8))
    for dtype in (np.float64, np.float16):
        found = read(by_tifffile(pixels.astype(dtype)), ".tif")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found[:, :, 0], pixels.astype(dtype).astype(np.float32))
    assert "NaN or infinity" in refusal(by_tifffile(np.full((8, 8), 1e300)), ".tif")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_tiff_with_values_that_are_no_numbers_is_refused(bad: float) -> None:
    pixels = np.zeros((8, 8), np.float32)
    pixels[3, 4] = bad
    assert "NaN or infinity" in refusal(by_tifffile(pixels), ".tif")
    assert "complex64" in refusal(by_tifffile(np.zeros((8, 8), np.complex64)), ".tif")


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR, COLOUR_16[:, :, 0]], ids=["grey", "colour", "16 bit"])
def test_tiff_compressions(pixels: np.ndarray, compression: str) -> None:
    found = read(by_pil(pixels, "TIFF", compression=compression), ".tif")
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels.reshape(23, 17, -1))


def test_tiff_palette_cmyk_and_alpha() -> None:
    palette = Image.fromarray(COLOUR).quantize(16)
    np.testing.assert_array_equal(read(by_pil(palette, "TIFF"), ".tif"), np.asarray(palette.convert("RGB")))
    cmyk = Image.fromarray(COLOUR).convert("CMYK")
    np.testing.assert_array_equal(read(by_pil(cmyk, "TIFF"), ".tif"), np.asarray(cmyk.convert("RGB")))
    with_alpha = by_tifffile(np.dstack([COLOUR, GREY]), photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read(with_alpha, ".tif"), COLOUR)


def test_tiff_pages_are_channels_only_where_the_file_says_so() -> None:
    pages = RNG.random((4, 11, 9)).astype(np.float32)
    marked = by_tifffile(pages, imagej=True, metadata={"axes": "CYX"})
    np.testing.assert_array_equal(read(marked, ".tif"), np.moveaxis(pages, 0, 2))
    unmarked = refusal(by_tifffile(pages, photometric="minisblack"), ".tif")
    assert "4 pages that are not marked as channels" in unmarked
    two = by_pil(COLOUR, "TIFF", save_all=True, append_images=[Image.fromarray(GREY[:9, :9])])
    assert "holds 2 images" in refusal(two, ".tif")


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        (by_pil(COLOUR, "PNG"), ".png"),
        (png_16(COLOUR_16, 2), ".png"),
        (by_pil(COLOUR, "JPEG"), ".jpg"),
        (by_pil(COLOUR, "BMP"), ".bmp"),
        (by_tifffile(COLOUR_16), ".tif"),
        (by_tifffile(COLOUR_16, compression="zlib", rowsperstrip=4), ".tif"),
        (by_tifffile(COLOUR_16, tile=(16, 16)), ".tif"),
        (by_tifffile(COLOUR_16.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"}), ".tif"),
        (by_pil(COLOUR, "TIFF"), ".tif"),
        (by_pil(COLOUR, "TIFF", compression="tiff_lzw"), ".tif"),
    ],
    ids=["png", "png 16", "jpg", "bmp", "tif", "tif zlib", "tif tiles", "tif pages", "tif pil", "tif lzw"],
)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_never_read_as_another_image(content: bytes, suffix: str, share: float) -> None:
    cut = content[: int(share * len(content))]
    try:
        found = read(cut, suffix)
    except ImageError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:  # what was cut off did not matter, such as the mark of the end
        np.testing.assert_array_equal(found, read(content, suffix))


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    for suffix in READERS:
        assert refusal(b"", suffix).endswith("the file is empty")
        refusal(b"these are words, not pixels\n" * 9, suffix)
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "missing.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match="Is a directory"):
        read_image(tmp_path / "folder.png")
    assert "files ending in '.mha' are not read; read are .png" in refusal(b"", ".mha")
    assert "is a volume, not an image; load_cases" in refusal(b"", ".nii.gz")
    assert "without a suffix" in refusal(b"", "")


def test_a_file_by_another_name_is_named_for_what_it_is() -> None:
    assert "the content is that of a .jpg file" in refusal(by_pil(GREY, "JPEG"), ".png")
    assert "the content is that of a .png file" in refusal(by_pil(GREY, "PNG"), ".tif")


def test_an_image_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for kind, suffix in (("PNG", ".png"), ("BMP", ".bmp"), ("JPEG", ".jpg"), ("TIFF", ".tif")):
        assert "17 × 23 pixels are more than the limit of 100" in refusal(by_pil(GREY, kind), suffix)


@pytest.mark.parametrize("write", [lambda path: path, str], ids=["path", "text"])
def test_suffixes_in_any_case_and_odd_paths(write: Callable[[Path], Path | str], tmp_path: Path) -> None:
    assert suffix_of(write(Path("a b.c/ü é.PNG"))) == ".png"
    assert suffix_of(write(Path("scan.NII.GZ"))) == ".nii.gz"
    assert suffix_of(write(Path("v1.2/README"))) == ""
    assert suffix_of(write(Path(".png"))) == ""
    path = tmp_path / "Größe 50 % 你好.PNG"
    path.write_bytes(by_pil(GREY, "PNG"))
    np.testing.assert_array_equal(read_image(path)[:, :, 0], GREY)


def test_a_mask_is_what_is_not_zero(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(by_pil(np.where(GREY[:, :, None] > 250, COLOUR | 1, 0).astype(np.uint8), "PNG"))
    found = read_mask(path)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, GREY > 250)


@pytest.mark.real_data
def test_real_files_of_each_collection(real_data: Path) -> None:
    shapes = {
        "idc/8863/0/8863_idx5_x1001_y1001_class0.png": (50, 50, 3),
        "lgg/TCGA_DU_8166_19970322/TCGA_DU_8166_19970322_18.png": (256, 256),
        "formats/lgg_tif/TCGA_DU_5872_19950223/TCGA_DU_5872_19950223_12.tif": (256, 256, 3),
        "formats/wsi/kidney-48-5.tif": (901, 1493, 3),
        "formats/wsi/boxes.tiff": (250, 300, 3),
    }
    for file, shape in shapes.items():
        assert read_image(real_data / file).shape[: len(shape)] == shape
    with pytest.raises(ImageError, match="52479 is not a known COMPRESSION"):
        read_image(real_data / "formats/wsi/unopenable.tiff")
