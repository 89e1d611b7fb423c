"""Histogram equalisation: closed forms, what it does not depend on, and where in the geometry it stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from sanoscope.cases.case import Case, Cases
from sanoscope.preparation.equalisation import Equalisation
from sanoscope.preparation.geometry import Picture
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipes import get_recipe


def equalised(pixels: np.ndarray) -> np.ndarray:
    picture = Equalisation().apply(Picture(pixels))
    assert picture.trace == ((),)
    assert picture.pixels.shape == pixels.shape
    return picture.pixels


def preparation(**options: Any) -> Preparation:
    settings = {"crop": "centre", "crop_size": 20, "image_size": 10, "equalisation": "histogram"} | options
    built = get_recipe("conv-vae").with_options({"preparation": settings}).build("preparation")
    assert isinstance(built, Preparation)
    return built


def skewed(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """An image with few dark and many bright pixels, whose levels are far from evenly used."""
    return (255 * np.random.default_rng(seed).random(shape) ** 0.25).astype(np.uint8)


def test_a_ramp_stays_as_it_is() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = np.stack([ramp, ramp.T, ramp[::-1]], axis=2)
    np.testing.assert_array_equal(equalised(image), image)
    deep = np.linspace(100, 4195, 4096, dtype=np.float32).reshape(64, 64, 1)
    np.testing.assert_allclose(equalised(deep), deep, rtol=1e-6)
    whole = deep.round().astype(np.uint16)
    np.testing.assert_array_equal(equalised(whole), whole)
    assert equalised(whole).dtype == np.float32


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(17, 40), st.floats(0.2, 3), st.integers(1, 3))
def test_it_does_not_depend_on_how_intensities_are_scaled(seed: int, size: int, power: float, channels: int) -> None:
    image = np.random.default_rng(seed).integers(0, 60, (size, size, channels)).astype(np.uint8)
    levels = np.unique(np.random.default_rng(seed).integers(0, 256, 400))[:60].astype(np.uint8)  # a rising curve
    np.testing.assert_array_equal(equalised(levels[image]), equalised(image))
    curved = (image / 59.0).astype(np.float32) ** np.float32(power)
    for channel in range(channels):  # of deeper images but for their range, which they keep
        ranges = [(one.min(), np.ptp(one)) for one in (image[..., channel].astype(np.float32), curved[..., channel])]
        deep = [equalised(one[..., [channel]].astype(np.float32))[..., 0] for one in (image, curved)]
        first, second = ((one - low) / wide for one, (low, wide) in zip(deep, ranges, strict=True))
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_levels_are_evenly_used_afterwards() -> None:
    image = skewed((224, 224, 1))
    expected = np.asarray(ImageOps.equalize(Image.fromarray(image[..., 0])))
    result = equalised(image)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[..., 0], expected)
    assert image.mean() > 190
    assert abs(result.mean() - 127.5) < 2
    wide = image.astype(np.float32) * 100 - 50
    deep = equalised(wide)
    assert (deep.min(), deep.max()) == (wide.min(), wide.max())
    shares = (deep - deep.min()) / np.ptp(deep)
    assert abs(shares.mean() - 0.5) < 0.01


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_blank_images_stay_blank(dtype: type) -> None:
    blank = np.full((20, 20, 2), 7, dtype)
    np.testing.assert_array_equal(equalised(blank), blank)


def test_it_sees_the_crop_only_and_before_it_is_resized() -> None:
    image = skewed((30, 40))
    bright = image.copy()
    bright[:5] = 255  # beyond the crop
    pictures = preparation().fit(Cases([Case("a", pixels=image), Case("b", pixels=bright)]))
    pixels, _ = pictures.batch([0, 1])
    crop = Image.fromarray(image[5:25, 10:30])
    expected = ImageOps.equalize(crop).resize((10, 10), Image.Resampling.BICUBIC)
    for one in pixels:
        np.testing.assert_array_equal(one[..., 0], np.asarray(expected))
    plain = preparation(equalisation="none").fit(Cases([Case("a", pixels=image)]))
    np.testing.assert_array_equal(plain.batch([0])[0][0, ..., 0], crop.resize((10, 10), Image.Resampling.BICUBIC))


def test_maps_come_back_and_the_settings_tell_of_it() -> None:
    geometry = preparation().geometry
    picture = geometry.apply(skewed((30, 40, 1)))
    restored = geometry.restore(np.full((10, 10), 0.5), picture.trace)
    assert restored.shape == (30, 40)
    np.testing.assert_allclose(restored[5:25, 10:30], 0.5)
    assert geometry.follow(np.ones((30, 40), bool), picture.trace).all()
    with_it, without = (
        [step["step"] for step in preparation(equalisation=way).geometry.to_json()] for way in ("histogram", "none")
    )
    assert with_it == ["channels", "foreground", "crop", "equalisation", "resize"]
    assert without == ["channels", "foreground", "crop", "resize"]  # as ever, so that what was decoded is found
