"""Own scale: closed forms of every mode, on the image and on its volume."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanoscope.cases.case import Case, Cases
from sanoscope.errors import OptionError
from sanoscope.preparation.geometry import Geometry, Picture, Resize
from sanoscope.preparation.own_scale import MODES, OwnScale
from sanoscope.preparation.preparation import Preparation
from sanoscope.preparation.volume_statistics import VolumeStatistics
from sanoscope.recipes import get_recipe

# The robust mode has a range of its own.
PLAIN_MODES = tuple(mode for mode in MODES if mode != "robust")

every_mode = pytest.mark.parametrize("mode", PLAIN_MODES)


def picture(seed: int = 0, channels: int = 2, volume: VolumeStatistics | None = None) -> Picture:
    rng = np.random.default_rng(seed)
    return Picture(rng.gamma(2, 40, (12, 9, channels)), rng.random((12, 9)) > 0.3, volume=volume)


def closed_form(mode: str, given: Picture, inside: np.ndarray) -> np.ndarray:
    values = given.pixels[inside]
    if mode == "maximum":
        return given.pixels / given.pixels.max()
    if mode == "percentiles":
        low, high = np.percentile(values, (10, 80))
        return (given.pixels - low) / (high - low)
    if mode == "contrast":
        centred = given.pixels - values.mean()
        return np.where(inside[..., None], centred / np.abs(values - values.mean()).mean(), 0)
    scores = (given.pixels - values.mean()) / values.std()
    return np.where(inside[..., None], scores, 0)


@every_mode
@pytest.mark.parametrize("statistics", ["image", "volume"])
def test_statistics_of_the_image(mode: str, statistics: str) -> None:
    if mode in ("percentiles", "contrast") and statistics == "volume":
        return
    given = picture()  # of no volume, so the image's own statistics in either case
    assert given.foreground is not None
    scaled = OwnScale(mode, statistics, (10.0, 80.0)).apply(given)
    np.testing.assert_allclose(scaled.pixels, closed_form(mode, given, given.foreground), atol=1e-5)
    assert scaled.pixels.dtype == np.float32
    assert scaled.trace == ((),)
    np.testing.assert_array_equal(scaled.foreground, given.foreground)


def test_statistics_of_the_volume() -> None:
    volume = np.random.default_rng(1).gamma(2, 40, (6, 12, 9))
    volume[volume < 30] = 0
    statistics = VolumeStatistics(volume)
    inside = volume[2] > 0
    one = Picture(volume[2][..., None], inside, volume=statistics)
    scores = OwnScale("z-score", "volume").apply(one).pixels[..., 0]
    voxels = volume[volume > 0]
    np.testing.assert_allclose(scores[inside], (volume[2][inside] - voxels.mean()) / voxels.std(), atol=1e-5)
    assert not scores[~inside].any()
    shares = OwnScale("maximum", "volume").apply(one).pixels[..., 0]
    np.testing.assert_allclose(shares, volume[2] / volume.max(), atol=1e-6)
    alone = OwnScale("maximum", "image").apply(one).pixels
    assert alone.max() == 1
    with pytest.raises(OptionError, match=r"goes with preparation.intensity=z-score or maximum"):
        OwnScale("percentiles", "volume")


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(PLAIN_MODES), st.floats(0.01, 1e4), st.floats(-1e4, 1e4), st.integers(0, 9))
def test_units_do_not_matter(mode: str, unit: float, zero: float, seed: int) -> None:
    given = picture(seed)
    zero = 0.0 if mode == "maximum" else zero
    other = Picture(given.pixels * unit + zero, given.foreground)
    scaled = [OwnScale(mode).apply(one).pixels for one in (given, other)]
    np.testing.assert_allclose(*scaled, atol=1e-4)


@every_mode
@pytest.mark.parametrize("value", [0.0, 0.1, 9.0, -1000.0])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0, None])
def test_blank_pictures_stay_small(mode: str, value: float, share: float | None) -> None:
    inside = None if share is None else np.arange(64).reshape(8, 8) < share * 64
    scaled = OwnScale(mode).apply(Picture(np.full((8, 8, 1), value, np.float32), inside)).pixels
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max() <= max(1.0, abs(value))
    if mode != "maximum":
        assert not scaled.any()


def test_tiny_units_are_no_blanks() -> None:
    given = Picture(picture().pixels * 1e-9)  # such as diffusion in m²/s
    for mode in PLAIN_MODES:
        assert np.ptp(OwnScale(mode).apply(given).pixels) >= 0.9


def test_a_brain_fades_into_a_background_of_zero() -> None:
    image = np.zeros((8, 8, 1), np.uint8)
    image[:, 3:] = np.random.default_rng(0).integers(50, 200, (8, 5, 1))
    steps = Geometry((OwnScale("z-score"), Resize(4, "area")))
    inside = image[..., 0] > 0
    scores = np.where(inside, (image[..., 0] - image[:, 3:].mean()) / image[:, 3:].std(), 0)
    expected = scores.reshape(4, 2, 4, 2).mean((1, 3))
    scaled = steps.apply(image, inside)
    np.testing.assert_allclose(scaled.pixels[..., 0], expected, atol=1e-6)


def built(**options: object) -> Preparation:
    recipe = get_recipe("conv-vae").with_options({"preparation": {"image_size": 8, **options}})
    preparation: Preparation = recipe.build("preparation")
    return preparation


@every_mode
def test_bit_depths_mix_where_each_image_has_its_own_scale(mode: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    copies = [image, image.astype(np.uint16) * 257, image / 255]
    steps = built(intensity=mode, statistics="image")
    cases = Cases(Case(str(i), pixels=pixels) for i, pixels in enumerate(copies))
    tensors = steps.tensors(steps.fit(cases).batch(range(3)))
    np.testing.assert_allclose(tensors[1:], tensors[:1].expand(2, -1, -1, -1), atol=1e-4)
    learned = (steps.intensity.offset_, steps.intensity.scale_)
    assert (learned == (0, 1)) == (mode != "contrast")


def test_robust_scale_heeds_the_middle_of_the_foreground_alone() -> None:
    values = np.linspace(10, 30, 101, dtype=np.float32).reshape(101, 1, 1)
    image = np.concatenate([values, np.full((5, 1, 1), 500, np.float32), np.zeros((40, 1, 1), np.float32)])
    scaled = OwnScale("robust").apply(Picture(image, image[..., 0] > 0)).pixels
    low, median, high = np.percentile(image[image > 0], (25, 50, 75))
    np.testing.assert_allclose(scaled[:101], 0.4 + 0.1 * (values - median) / (high - low), atol=1e-6)
    assert (scaled[101:106] == 1).all()
    assert (scaled[106:] == 0).all()
    with pytest.raises(OptionError, match="robust is of the image"):
        OwnScale("robust", "volume")
