"""Geometry: what the steps do to pictures, and how maps come back to the source grid."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import binary_opening

from sanoscope.errors import ImageError, OptionError
from sanoscope.preparation.geometry import Channels, Crop, Foreground, Geometry, Picture, Resize
from sanoscope.preparation.regions import otsu
from sanoscope.preparation.resizing import INTERPOLATIONS, area_weights, resize
from sanoscope.preparation.volume_statistics import VolumeStatistics

PIL_METHODS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
CROPS = ("none", "centre", "square", "foreground")
FOREGROUNDS = ("none", "nonzero", "bright", "dark", "body", "brain")
every_interpolation = pytest.mark.parametrize("interpolation", INTERPOLATIONS)


def geometry(
    size: int = 16,
    interpolation: str = "bicubic",
    channels: str = "native",
    foreground: str = "none",
    crop: str = "none",
    crop_size: int = 8,
) -> Geometry:
    return Geometry((Channels(channels), Foreground(foreground), Crop(crop, crop_size), Resize(size, interpolation)))


def textured(shape: tuple[int, ...], dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    return (np.random.default_rng(seed).random(shape) * top).astype(dtype)


# Every combination of choices, except cropping to a foreground that nobody looks for.
STEPS = [
    pytest.param(*choice, id="-".join(choice))
    for choice in product(INTERPOLATIONS, ("native", "grey", "rgb"), FOREGROUNDS, CROPS)
    if choice[2:] != ("none", "foreground")
]


@pytest.mark.parametrize(("interpolation", "channels", "foreground", "crop"), STEPS)
def test_every_combination_goes_there_and_back(interpolation: str, channels: str, foreground: str, crop: str) -> None:
    image = np.zeros((23, 31, 3), np.uint8)
    image[3:20, 6:25] = 100 + textured((17, 19, 3)) // 2
    steps = geometry(12, interpolation, channels, foreground, crop, crop_size=15)
    picture = steps.apply(image)
    assert picture.pixels.shape == (12, 12, 1 if channels == "grey" else 3)
    assert picture.pixels.dtype == np.uint8
    if foreground == "none":
        assert picture.foreground is None
    else:
        assert picture.foreground is not None
        assert picture.foreground.shape == (12, 12)
        assert picture.foreground.dtype == bool
    top, bottom, left, right = {
        "none": (0, 23, 0, 31),
        "centre": (4, 19, 8, 23),
        "square": (0, 23, 4, 27),
        "foreground": (3, 20, 6, 25) if foreground != "dark" else (0, 23, 0, 31),
    }[crop]
    restored = steps.restore(np.full((12, 12), 0.7), picture.trace)
    assert restored.shape == (23, 31)
    assert restored.dtype == np.float32
    np.testing.assert_allclose(restored[top:bottom, left:right], 0.7, rtol=1e-6)
    restored[top:bottom, left:right] = 0
    assert not restored.any()  # nothing was seen outside


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 40),
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    st.sampled_from(list(INTERPOLATIONS)),
    st.sampled_from(["none", "square", "foreground"]),
)
def test_maps_come_back_in_any_source_size(
    height: int, width: int, size: int, dtype: type, interpolation: str, crop: str
) -> None:
    image = textured((height, width, 1), dtype)
    image[height // 2, width // 2] = 1
    steps = geometry(size, interpolation, foreground="nonzero", crop=crop)
    picture = steps.apply(image)
    heatmap = np.random.default_rng(1).random((size, size), np.float32)
    restored = steps.restore(heatmap, picture.trace)
    assert restored.shape == (height, width)
    assert np.isfinite(restored).all()
    assert restored.max() <= heatmap.max() + 1e-6
    assert restored.min() >= min(heatmap.min(), 0) - 1e-6


def test_maps_come_back_bilinearly() -> None:
    heatmap = textured((16, 16), np.float32)
    picture = geometry(16).apply(textured((40, 50, 1)))
    expected = Image.fromarray(heatmap).resize((50, 40), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(geometry(16).restore(heatmap, picture.trace), np.asarray(expected))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(24, 200),
    st.integers(24, 200),
    st.floats(0.25, 0.75),
    st.floats(0.25, 0.75),
    st.sampled_from(["none", "square", "foreground"]),
)
def test_a_bright_blob_comes_back_to_its_place(height: int, width: int, down: float, across: float, crop: str) -> None:
    centre = np.array([height / 2, width / 2]) + (np.array([down, across]) - 0.5) * min(height, width)
    rows, columns = np.indices((height, width))
    spread = min(height, width) / 16
    blob = np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / (2 * spread**2))
    image = (blob * 60000 + 1).astype(np.uint16)[..., None]
    image[: height // 12], image[:, : width // 12] = 0, 0  # something to crop to
    steps = geometry(64, foreground="nonzero", crop=crop)
    picture = steps.apply(image)
    restored = steps.restore(picture.pixels[..., 0], picture.trace)
    weights = np.where(restored > 0.5 * restored.max(), restored, 0)
    found = np.array([(weights * rows).sum(), (weights * columns).sum()]) / weights.sum()
    pixel = max(1.0, height / 64, width / 64)  # of the file, or of the network where that is coarser
    assert np.abs(found - centre).max() < pixel


@pytest.mark.parametrize("interpolation", PIL_METHODS)
@pytest.mark.parametrize("shape", [(50, 50, 3), (40, 70, 1), (90, 30, 4)])
def test_8_bit_pictures_are_resized_as_by_pil(interpolation: str, shape: tuple[int, ...]) -> None:
    image = textured(shape)
    pixels = geometry(64, interpolation).apply(image).pixels
    assert pixels.dtype == np.uint8
    for channel in range(shape[2]):
        expected = Image.fromarray(image[..., channel]).resize((64, 64), PIL_METHODS[interpolation])
        np.testing.assert_array_equal(pixels[..., channel], np.asarray(expected))
    if shape[2] == 3:
        together = Image.fromarray(image).resize((64, 64), PIL_METHODS[interpolation])
        np.testing.assert_array_equal(pixels, np.asarray(together))


@every_interpolation
@pytest.mark.parametrize("size", [24, 64])
def test_deep_pictures_are_resized_as_8_bit_ones(interpolation: str, size: int) -> None:
    image = 90 + textured((40, 48, 2)) // 4
    image[0, 0], image[-1, -1] = 0, 255  # the range; near it bicubic interpolation is cut off
    middle = slice(size // 8, -size // 8)
    eight_bit = geometry(size, interpolation).apply(image).pixels[middle, middle]
    sixteen_bit = geometry(size, interpolation).apply(image.astype(np.uint16) * 257).pixels[middle, middle]
    floats = geometry(size, interpolation).apply(image / np.float32(255)).pixels[middle, middle]
    assert sixteen_bit.dtype == floats.dtype == np.float32
    np.testing.assert_array_equal(sixteen_bit, np.rint(sixteen_bit))
    np.testing.assert_allclose(sixteen_bit / 257, floats * 255, atol=0.5 / 257 + 1e-4)
    np.testing.assert_allclose(floats * 255, eight_bit, atol=1.5)  # 8 bits are rounded after each direction


@every_interpolation
@pytest.mark.parametrize(("low", "high"), [(0, 4095), (0, 65535), (-1024, 3071)])
def test_resizing_keeps_the_range_of_whole_numbers(interpolation: str, low: int, high: int) -> None:
    checks = np.where(np.indices((50, 50)).sum(0) // 5 % 2, high, low)[..., None]
    pixels = geometry(64, interpolation).apply(checks.astype(np.int32)).pixels
    assert (pixels.min(), pixels.max()) == (low, high)
    np.testing.assert_array_equal(pixels, np.rint(pixels))


def test_resizing_keeps_floats_in_their_range() -> None:
    checks = (np.indices((50, 50)).sum(0) // 5 % 2).astype(np.float32)[..., None]
    pixels = geometry(64).apply(checks).pixels
    assert (pixels.min(), pixels.max()) == (0, 1)
    assert len(np.unique(pixels)) > 10  # not rounded


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32, np.float64])
def test_pictures_of_the_right_size_are_left_alone(dtype: type) -> None:
    image = textured((16, 16, 2), dtype)
    picture = geometry(16).apply(image)
    np.testing.assert_array_equal(picture.pixels, image.astype(np.uint8 if dtype is np.uint8 else np.float32))
    heatmap = textured((16, 16), np.float32)
    np.testing.assert_array_equal(geometry(16).restore(heatmap, picture.trace), heatmap)


def test_resize_of_a_ramp_is_a_ramp() -> None:
    ramp = np.tile(np.arange(32, dtype=np.float32)[:, None, None], (1, 8, 1))
    for interpolation in INTERPOLATIONS:
        half = resize(ramp, (16, 8), interpolation)[2:-2, 0, 0]
        np.testing.assert_allclose(half, np.arange(16)[2:-2] * 2 + 0.5, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_area_is_the_mean_of_blocks(dtype: type, channels: int) -> None:
    image = textured((24, 36, channels), dtype)
    blocks = image.reshape(8, 3, 9, 4, channels).astype(np.float64).mean((1, 3))
    small = resize(image, (8, 9), "area")
    np.testing.assert_allclose(small, blocks, atol=1e-6 if dtype is np.float32 else 0.5)
    large = resize(small, (24, 36), "area")
    np.testing.assert_array_equal(large, small.repeat(3, 0).repeat(4, 1))


def test_area_from_240_to_224_leaves_nothing_out() -> None:
    image = textured((240, 240, 2), np.float32)
    small = resize(image, (224, 224), "area")
    np.testing.assert_allclose(small.mean((0, 1), np.float64), image.mean((0, 1), np.float64), rtol=1e-6)
    np.testing.assert_allclose(area_weights(240, 224).sum(0), 224 / 240)  # each old pixel counts as much


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_area_weights_are_shares(source: int, target: int) -> None:
    weights = area_weights(source, target).toarray()
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights.sum(0), target / source)
    # Both grids fit whole numbers of cells of their common multiple, where shares can be counted.
    cells = np.repeat(np.eye(source), target, axis=1).reshape(source, target, source).mean(2)
    np.testing.assert_allclose(weights, cells.T, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grey_of_colours(dtype: type) -> None:
    image = textured((9, 9, 3), dtype)
    grey = Channels("grey").apply(Picture(image)).pixels
    assert grey.shape == (9, 9, 1)
    assert grey.dtype == dtype
    expected = image.astype(np.float64) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey[..., 0], expected, atol=0.5 if dtype is not np.float32 else 1e-6)
    if dtype is np.uint8:
        pil = np.asarray(Image.fromarray(image).convert("L"), int)
        assert np.abs(grey[..., 0] - pil).max() <= 1  # PIL rounds its weights to 16 bits


def test_white_stays_white_in_grey() -> None:
    for dtype in (np.uint8, np.uint16):
        top = np.iinfo(dtype).max
        for count in (2, 3, 4):
            grey = Channels("grey").apply(Picture(np.full((2, 2, count), top, dtype))).pixels
            assert (grey == top).all()


def test_channels() -> None:
    one, two, three = (textured((5, 4, count)) for count in (1, 2, 3))
    for image in (one, two, three):
        assert Channels("native").apply(Picture(image)).pixels is image
    np.testing.assert_array_equal(Channels("rgb").apply(Picture(one)).pixels, np.repeat(one, 3, 2))
    assert Channels("rgb").apply(Picture(three)).pixels is three
    assert Channels("grey").apply(Picture(one)).pixels is one
    mean = Channels("grey").apply(Picture(two)).pixels[..., 0]
    np.testing.assert_allclose(mean, two.mean(2), atol=0.5)
    with pytest.raises(ImageError, match=r"2 channels, .* set preparation.channels=native"):
        Channels("rgb").apply(Picture(two))


def between_class_variance(values: np.ndarray, upper: np.ndarray) -> float:
    if upper.all() or not upper.any():
        return 0.0
    below, above = values[~upper], values[upper]
    return float(len(below) * len(above) * (below.mean() - above.mean()) ** 2)


@settings(deadline=None)
@given(st.lists(st.integers(0, 255), min_size=2, max_size=60).filter(lambda values: len(set(values)) > 1))
@example(list(range(256)))  # the value after the threshold lies on the edge of its bin
def test_otsu_is_the_best_of_all_thresholds(drawn: list[int]) -> None:
    values = np.array([*drawn, 0, 256], float)  # so that bins are one level wide, the last with both its edges
    bins = values.clip(max=255)
    best = max(between_class_variance(bins, bins >= cut) for cut in range(1, 256))
    assert between_class_variance(bins, values > otsu(values)) == pytest.approx(best)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60))
def test_otsu_of_any_values_parts_them(drawn: list[float]) -> None:
    values = np.array(drawn, np.float32)
    upper = values > otsu(values)
    assert upper.any() == (len(set(drawn)) > 1)
    assert not upper.all()


def test_otsu_of_neighbouring_floats() -> None:
    values = np.array([1e8, 1e8, np.nextafter(np.float32(1e8), np.float32(np.inf))], np.float32)
    assert (values > otsu(values)).tolist() == [False, False, True]


def test_foreground_methods() -> None:
    image = np.zeros((4, 6, 2), np.uint16)
    image[1:3, 1:4, 1] = [[2000, 2500, 3000], [2200, 2400, 1]]
    expected = {
        "nonzero": image.any(2),
        "bright": image.any(2) & (image[..., 1] != 1),
        "dark": ~image.any(2) | (image[..., 1] == 1),
    }
    for method, mask in expected.items():
        np.testing.assert_array_equal(Foreground(method).apply(Picture(image)).foreground, mask, method)
    assert Foreground("none").apply(Picture(image)).foreground is None


def test_a_foreground_that_came_with_the_image_is_taken() -> None:
    image, given = textured((20, 20, 1)), textured((20, 20), np.float32) > 0.5
    for method in FOREGROUNDS[1:]:
        np.testing.assert_array_equal(geometry(20, foreground=method).apply(image, given).foreground, given)
    assert geometry(20).apply(image, given).foreground is None
    framed = np.pad(given, 5)
    picture = geometry(20, foreground="bright", crop="foreground").apply(textured((30, 30, 1)), framed)
    assert picture.trace[2] == (30, 30, 5, 5)
    np.testing.assert_array_equal(picture.foreground, given)
    with pytest.raises(ImageError, match=r"is 20×20, but its foreground 30×30"):
        geometry(foreground="nonzero").apply(image, framed)


def test_what_is_known_of_the_volume_stays_with_the_picture() -> None:
    volume = VolumeStatistics(np.arange(4))
    steps = geometry(8, foreground="nonzero", crop="square")
    assert steps.apply(textured((20, 24, 3)), volume=volume).volume is volume
    assert steps.apply(textured((20, 24, 3))).volume is None


def head() -> tuple[np.ndarray, np.ndarray]:
    """A bright disc in noise, with a dark hole and a bright speck beside it; and the disc."""
    image = np.random.default_rng(0).integers(0, 6, (64, 64, 1)).astype(np.uint8)
    rows, columns = np.indices((64, 64)) - 32
    disc = rows**2 + columns**2 < 26**2
    image[disc] = 90
    image[28:33, 28:33] = 2
    image[1:4, 1:4] = 90
    return image, disc


def test_a_body_is_the_largest_bright_region_with_its_holes() -> None:
    image, disc = head()
    found = Foreground("body").apply(Picture(image)).foreground
    np.testing.assert_array_equal(found, binary_opening(disc, np.ones((3, 3))))


def test_a_brain_is_a_body_without_its_surface() -> None:
    image, _ = head()
    found = Foreground("brain", peel=0.125).apply(Picture(image)).foreground
    rows, columns = np.indices((64, 64)) - 32
    radius = np.hypot(rows, columns)
    assert found is not None
    assert found[radius < 26 - 8 - 2].all()
    assert not found[radius > 26 - 8 + 2].any()
    # What is stripped already is left as it is.
    image[radius >= 20] = 0
    np.testing.assert_array_equal(Foreground("brain", peel=0.125).apply(Picture(image)).foreground, image[..., 0] > 0)


@pytest.mark.parametrize("value", [0, 7])
def test_foreground_of_a_blank_picture(value: int) -> None:
    picture = Picture(np.full((4, 4, 1), value, np.uint8))
    shares = {method: Foreground(method).apply(picture).foreground for method in FOREGROUNDS[1:]}
    assert shares["nonzero"].all() == bool(value)
    assert not shares["bright"].any()
    assert not shares["body"].any()
    assert shares["dark"].all()


def test_foreground_follows_the_pixels() -> None:
    image = np.zeros((40, 40, 1), np.uint8)
    image[10:30, 14:26] = 200
    picture = geometry(10, foreground="bright", crop="square").apply(image)
    inside = np.zeros((40, 40))
    inside[10:30, 14:26] = 1
    expected = inside.reshape(10, 4, 10, 4).mean((1, 3)) >= 0.5
    np.testing.assert_array_equal(picture.foreground, expected)


@pytest.mark.parametrize("crop", CROPS)
def test_masks_go_where_their_pixels_go(crop: str) -> None:
    image = np.zeros((31, 26, 1), np.uint8)
    image[5:25, 3:23] = 100 + textured((20, 20, 1)) // 2
    mask = textured((31, 26), np.float32, seed=1) > 0.5
    steps = geometry(10, foreground="nonzero", crop=crop, crop_size=20)
    picture = steps.apply(image)
    moved = steps.follow(mask, picture.trace)
    # A mask is moved as an image of itself would be, with the foreground of the picture.
    alike = geometry(10, "area", foreground="nonzero", crop=crop, crop_size=20)
    shares = alike.apply(mask[..., None].astype(np.float32), image.any(axis=2)).pixels[..., 0]
    np.testing.assert_array_equal(moved, shares >= 0.5)
    np.testing.assert_array_equal(steps.follow(image.any(axis=2), picture.trace), picture.foreground)


def test_crops() -> None:
    image = textured((9, 14, 1))
    centre = Crop("centre", 4).apply(Picture(image))
    np.testing.assert_array_equal(centre.pixels, image[2:6, 5:9])
    square = Crop("square").apply(Picture(image))
    np.testing.assert_array_equal(square.pixels, image[:, 2:11])
    inside = np.zeros((9, 14), bool)
    inside[3, 4] = inside[7, 10] = True
    body = Crop("foreground").apply(Picture(image, inside))
    np.testing.assert_array_equal(body.pixels, image[3:8, 4:11])
    assert body.foreground is not None
    np.testing.assert_array_equal(body.foreground, inside[3:8, 4:11])
    whole = Crop("none").apply(Picture(image))
    np.testing.assert_array_equal(whole.pixels, image)


def test_crops_that_cannot_be() -> None:
    image = textured((9, 14, 1))
    with pytest.raises(ImageError, match=r"is 9×14; too small for preparation.crop_size or random_crop of 10"):
        Crop("centre", 10).apply(Picture(image))
    with pytest.raises(ImageError, match="no foreground"):
        Crop("foreground").apply(Picture(image, np.zeros((9, 14), bool)))
    with pytest.raises(OptionError, match=r"set preparation.foreground"):
        Crop("foreground").apply(Picture(image))
    with pytest.raises(OptionError, match=r"needs preparation.crop_size, which is 0"):
        Crop("centre", 0)


def test_json_tells_settings_apart() -> None:
    ways = [
        geometry(),
        geometry(size=17),
        geometry(interpolation="area"),
        geometry(channels="grey"),
        geometry(foreground="dark"),
        geometry(crop="square"),
        geometry(crop="centre"),
        geometry(crop="centre", crop_size=9),
    ]
    assert len({str(way.to_json()) for way in ways}) == len(ways)
    assert geometry().to_json() == geometry().to_json()
    assert [step["step"] for step in geometry().to_json()] == ["channels", "foreground", "crop", "resize"]
