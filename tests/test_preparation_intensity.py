"""Intensities: closed forms of every mode, and what is learned from training images alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sanoscope.cases.case import Case, Cases
from sanoscope.errors import DataError, OptionError
from sanoscope.preparation import intensity as intensity_module
from sanoscope.preparation import own_scale
from sanoscope.preparation import preparation as preparation_module
from sanoscope.preparation.intensity import MODES, Intensity, full_scale
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipes import get_recipe

Batch = tuple[np.ndarray, np.ndarray | None]


def preparation(**options: Any) -> Preparation:
    recipe = get_recipe("conv-vae").with_options({"preparation": {"image_size": 8} | options})
    built = recipe.build("preparation")
    assert isinstance(built, Preparation)
    return built


def cases(*images: np.ndarray) -> Cases:
    return Cases(Case(f"case {i}", pixels=image) for i, image in enumerate(images))


def fit(mode: str, *batches: Batch, **options: Any) -> Intensity:
    return Intensity(mode, **options).fit(batches)


def textured(shape: tuple[int, ...], dtype: type = np.uint8, top: float = 255, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) * top).astype(dtype)


@pytest.mark.parametrize(
    ("dtype", "low", "high", "scale"),
    [
        (np.uint8, 12, 34, (0, 255)),
        (np.float32, 0, 255, (0, 255)),
        (np.float32, 0, 256, (0, 511)),
        (np.float32, 17, 4095, (0, 4095)),
        (np.float32, 0, 4094, (0, 4095)),
        (np.float32, 0, 4096, (0, 8191)),
        (np.float32, 0, 65535, (0, 65535)),
        (np.float32, 0, 1, (0, 1)),
        (np.float32, 0.2, 0.7, (0, 1)),
        (np.float32, 0, 1.5, (0, 1.5)),
        (np.float32, -0.1, 0.7, (-0.1, 0.7)),
        (np.float32, -1024, 3071, (-1024, 3071)),
        (np.float32, 2.5, 2.5, (2.5, 2.500001)),
    ],
)
def test_full_scale(dtype: type, low: float, high: float, scale: tuple[float, float]) -> None:
    assert full_scale(np.dtype(dtype), low, high) == pytest.approx(scale)


@given(st.integers(1, 16), st.data())
def test_full_scale_of_whole_numbers_is_their_bit_depth(bits: int, data: st.DataObject) -> None:
    high = data.draw(st.integers(max(2 ** (bits - 1), 1), 2**bits - 1))
    assert full_scale(np.dtype(np.float32), 0.0, float(high)) == (0.0, 2.0**bits - 1)


def test_unit_and_symmetric_of_8_bits() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    dark = levels // 2  # what training images hold does not matter
    expected = torch.arange(256).reshape(1, 1, 16, 16) / 255
    torch.testing.assert_close(fit("unit", (dark, None)).apply(torch.from_numpy(levels)), expected)
    torch.testing.assert_close(fit("symmetric", (dark, None)).apply(torch.from_numpy(levels)), expected * 2 - 1)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_values_beyond_the_training_range_stay_unless_clipped(clip: float) -> None:
    known = np.array([0, 1000, 4095], np.float32).reshape(1, 1, 3, 1)
    new = torch.tensor([-4095.0, 8190.0]).reshape(1, 1, 2, 1)
    unit = fit("unit", (known, None), clip=clip).apply(new).flatten().tolist()
    symmetric = fit("symmetric", (known, None), clip=clip).apply(new).flatten().tolist()
    assert unit == pytest.approx([0, 1] if clip else [-1, 2])
    assert symmetric == pytest.approx([-1, 1] if clip else [-3, 3])


def test_z_scores_are_limited_to_what_is_asked_for() -> None:
    known = np.array([-1, 1], np.float32).reshape(1, 1, 2, 1)
    new = torch.tensor([-9.0, 0.5, 9.0]).reshape(1, 1, 3, 1)
    limited = fit("z-score", (known, None), clip=1.5).apply(new)
    assert limited.flatten().tolist() == pytest.approx([-1.5, 0.5, 1.5])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("split", [1, 3, 10])
def test_z_score_of_the_training_foreground(dtype: type, split: int) -> None:
    pixels = textured((10, 4, 5, 2), dtype, 200)
    inside = textured((10, 4, 5), np.float32, 1) > 0.4
    batches = [(pixels[i : i + split], inside[i : i + split]) for i in range(0, 10, split)]
    learned = fit("z-score", *batches)
    values = pixels[inside].astype(float)
    assert learned.offset_ == pytest.approx(values.mean())
    assert learned.scale_ == pytest.approx(values.std())
    prepared = learned.apply(torch.from_numpy(pixels), torch.from_numpy(inside)).permute(0, 2, 3, 1)
    assert prepared[torch.from_numpy(inside)].mean().item() == pytest.approx(0, abs=1e-5)
    assert prepared[torch.from_numpy(inside)].std(unbiased=False).item() == pytest.approx(1, abs=1e-5)


def test_percentiles_of_the_training_foreground() -> None:
    pixels = textured((6, 8, 8, 1), np.float32, 1000)
    inside = textured((6, 8, 8), np.float32, 1, seed=1) > 0.5
    learned = fit("percentiles", (pixels[:4], inside[:4]), (pixels[4:], inside[4:]), percentiles=(5.0, 90.0))
    low, high = np.percentile(pixels[inside], (5, 90))
    assert (learned.offset_, learned.offset_ + learned.scale_) == pytest.approx((low, high), rel=1e-5)
    prepared = learned.apply(torch.tensor([low, high, 2 * high - low]).reshape(1, 1, 3, 1))
    assert prepared.flatten().tolist() == pytest.approx([0, 1, 2], abs=1e-5)


def test_percentiles_heed_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intensity_module, "SAMPLED_PIXELS", 10_000)
    batches = [(np.full((4, 10, 10, 1), i, np.uint8), None) for i in range(201)]
    learned = fit("percentiles", *batches, percentiles=(0.0, 100.0))
    assert (learned.offset_, learned.scale_) == (0, 200)
    quartiles = fit("percentiles", *batches, percentiles=(25.0, 75.0))
    assert quartiles.offset_ == pytest.approx(50, abs=2)
    assert quartiles.scale_ == pytest.approx(100, abs=3)


def test_maximum_of_training() -> None:
    batches = [(textured((3, 4, 4, 1), np.float32, top), None) for top in (50.0, 200.0, 90.0)]
    learned = fit("maximum", *batches)
    assert (learned.offset_, learned.scale_) == (0, pytest.approx(batches[1][0].max()))
    prepared = learned.apply(torch.tensor([0.0, learned.scale_, -learned.scale_]).reshape(1, 1, 3, 1))
    assert prepared.flatten().tolist() == pytest.approx([0, 1, -1])


@pytest.mark.parametrize("mode", ["z-score", "percentiles", "maximum"])
def test_scaled_images_only_lose_their_background_and_what_is_beyond_the_limit(mode: str) -> None:
    pixels, inside = textured((2, 4, 4, 1), np.float32, 4), textured((2, 4, 4), np.float32, 1, seed=1) > 0.5
    unfitted = Intensity(mode, clip=1.0).apply(torch.from_numpy(pixels), torch.from_numpy(inside))[:, 0]
    expected = pixels[..., 0] * inside if mode == "z-score" else pixels[..., 0]
    np.testing.assert_array_equal(unfitted, expected.clip(-1 if mode == "z-score" else 0, 1))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("value", [0, 9])
def test_blank_images_stay_finite(mode: str, value: int) -> None:
    pixels = np.full((2, 4, 4, 1), value, np.uint8)
    nothing = np.zeros((2, 4, 4), bool)
    for inside in (None, nothing, ~nothing):
        learned = Intensity(mode).fit([(pixels, inside)])
        mask = None if inside is None else torch.from_numpy(inside)
        prepared = learned.apply(torch.from_numpy(pixels), mask)
        assert prepared.isfinite().all()
        if mode in ("z-score", "percentiles"):
            assert not prepared.any()


@pytest.mark.parametrize("mode", MODES)
def test_network_input_is_channels_last(mode: str) -> None:
    pixels, inside = textured((2, 4, 5, 3)), np.ones((2, 4, 5), bool)
    learned = Intensity(mode).fit([(pixels, inside)])
    prepared = learned.apply(torch.from_numpy(pixels), torch.from_numpy(inside))
    assert prepared.shape == (2, 3, 4, 5)
    assert prepared.dtype == torch.float32
    assert prepared.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "percentiles", [(1.0,), (1.0, 50.0, 99.0), (99.0, 1.0), (5.0, 5.0), (-1.0, 99.0), (1.0, 101.0)]
)
def test_percentiles_that_are_none(percentiles: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match=r"preparation.percentiles takes a lower and an upper one"):
        Intensity(percentiles=percentiles)


def test_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match="no training image"):
        Intensity().fit([])


def test_display_range() -> None:
    images = torch.tensor([-2.0, 3.0])
    ranges = {mode: Intensity(mode).display_range(images) for mode in MODES}
    assert ranges == {
        "unit": (0, 1),
        "symmetric": (-1, 1),
        "z-score": (-2, 3),
        "percentiles": (0, 1),
        "maximum": (0, 1),
    }


def save_ramp(path: Path) -> np.ndarray:
    """All 4096 levels of 12 bits in a 16-bit file, ``(64, 64)``."""
    ramp = np.random.default_rng(0).permutation(4096).astype(np.uint16).reshape(64, 64)
    if path.suffix == ".png":
        Image.fromarray(ramp).save(path)
    else:
        tifffile.imwrite(path, ramp)
    return ramp


@pytest.mark.parametrize("suffix", [".png", ".tif", "memory"])
def test_12_bits_keep_their_levels_all_the_way(suffix: str, tmp_path: Path) -> None:
    ramp = save_ramp(tmp_path / f"ramp{suffix if suffix != 'memory' else '.png'}")
    case = Case("ramp", pixels=ramp) if suffix == "memory" else Case("ramp", tmp_path / f"ramp{suffix}")
    steps = preparation(image_size=64)
    pictures = steps.fit(Cases([case]))
    tensor = steps.tensors(pictures.batch([0]))[0, 0]
    assert len(tensor.unique()) == 4096
    torch.testing.assert_close(tensor, torch.from_numpy(ramp.astype(np.float32)) / 4095 * 2 - 1)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "area"])
@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 4095), (np.uint16, 65535), (np.float32, 1)])
def test_full_scale_survives_resizing(interpolation: str, dtype: type, top: float) -> None:
    checks = (np.indices((50, 50)).sum(0) // 10 % 2 * top).astype(dtype)
    steps = preparation(image_size=64, interpolation=interpolation, intensity="unit")
    tensor = steps.tensors(steps.fit(cases(checks)).batch([0]))
    assert (tensor.min(), tensor.max()) == (0, 1)
    assert (steps.intensity.offset_, steps.intensity.scale_) == (0, top)


def test_an_8_bit_picture_and_its_16_bit_copy_look_alike() -> None:
    image = textured((50, 50, 3))
    image[0, 0] = 255
    tensors = []
    for copy in (image, image.astype(np.uint16) * 257, image / 255):
        steps = preparation(image_size=64, interpolation="bilinear")
        tensors.append(steps.tensors(steps.fit(cases(copy)).batch([0])))
    for tensor in tensors[1:]:
        torch.testing.assert_close(tensor, tensors[0], atol=1.5 * 2 / 255, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_learned_from_training_images_only(mode: str) -> None:
    train = [textured((8, 8), np.uint16, 1000, seed) for seed in range(4)]
    brighter = [image * 4 for image in train]
    steps = preparation(intensity=mode)
    known = steps.tensors(steps.fit(cases(*train)).batch(range(4)))
    state = steps.to_json()
    new = steps.tensors(steps.decode(cases(*brighter)).batch(range(4)))
    assert steps.to_json() == state
    # The same map as for training images: four times as bright before it, and so after it.
    offset, scale = steps.intensity.offset_, steps.intensity.scale_
    stretch = 2 if mode == "symmetric" else 1
    shift = 1 if mode == "symmetric" else 0
    values = (known + shift) / stretch * scale + offset
    torch.testing.assert_close(new, (4 * values - offset) / scale * stretch - shift, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("mode", "statistics"), [(mode, "training") for mode in MODES] + [(mode, "image") for mode in own_scale.MODES]
)
@pytest.mark.parametrize("foreground", ["none", "nonzero"])
@pytest.mark.parametrize("matching", ["none", "histogram"])
def test_round_trip_through_json(mode: str, statistics: str, foreground: str, matching: str) -> None:
    options = {"intensity": mode, "statistics": statistics, "foreground": foreground, "matching": matching}
    train = [textured((11, 9), np.uint16, 3000, seed) for seed in range(3)]
    first = preparation(**options)
    first.fit(cases(*train))
    second = preparation(**options).load_json(json.loads(json.dumps(first.to_json(), allow_nan=False)))
    new = cases(*(textured((12, 9), np.uint16, 5000, seed) for seed in range(5)))
    batches = [steps.tensors(steps.decode(new).batch(range(5))) for steps in (first, second)]
    assert torch.equal(*batches)
    assert second.form_ == first.form_


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 12), st.integers(1, 12))
def test_learning_does_not_depend_on_how_images_are_batched(one: int, other: int) -> None:
    pixels = textured((12, 3, 3, 1), np.float32, 70000)
    for mode in MODES:
        learned = [fit(mode, *((pixels[i : i + step], None) for i in range(0, 12, step))) for step in (one, other)]
        assert learned[0].offset_ == pytest.approx(learned[1].offset_)
        assert learned[0].scale_ == pytest.approx(learned[1].scale_)


def test_all_training_images_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation_module, "FIT_BATCH", 2)
    steps = preparation(intensity="unit")
    steps.fit(cases(*(np.full((8, 8), 2**bits, np.uint16) for bits in (1, 3, 5, 7, 11))))
    assert steps.intensity.scale_ == 4095


def test_mixed_kinds_are_refused_in_training() -> None:
    grey, colour, deep = textured((8, 8)), textured((8, 8, 3)), textured((8, 8), np.uint16, 4000)
    for odd, mend in ((colour, "preparation.channels"), (deep, "one bit depth")):
        with pytest.raises(DataError, match=rf"several kinds: 2 8-bit with 1 channel; 1 .*case 1.*{mend}"):
            preparation().fit(cases(grey, odd, grey // 2))
    pictures = preparation(channels="rgb").fit(cases(grey, colour, grey // 2))
    assert len(pictures) == 3


def test_mixed_kinds_are_unreadable_when_scoring() -> None:
    grey, colour, deep = textured((8, 8)), textured((8, 8, 3)), textured((8, 8), np.uint16, 4000)
    steps = preparation()
    steps.fit(cases(grey))
    pictures = steps.decode(cases(colour, grey, deep, grey // 2, np.full((8, 8), np.nan)))
    assert [case.name for case in pictures.cases] == ["case 1", "case 3"]
    reasons = {bad.case.name: bad.reason for bad in pictures.unreadable}
    trained = "where the model was trained on 8-bit with 1 channel"
    assert reasons == {
        "case 0": f"case 0: is 8-bit with 3 channels {trained}",
        "case 2": f"case 2: is 16-bit or float with 1 channel {trained}",
        "case 4": "case 4: holds NaN or infinite values",
    }
    np.testing.assert_array_equal(pictures.batch([1])[0][0, :, :, 0], grey // 2)


def test_nothing_readable() -> None:
    blank = np.full((8, 8), np.nan)
    with pytest.raises(DataError, match="no image could be read; the first: case 0: holds NaN"):
        preparation().fit(cases(blank))
    steps = preparation()
    steps.fit(cases(textured((8, 8))))
    pictures = steps.decode(cases(blank))
    assert len(pictures) == 0
    assert len(pictures.unreadable) == 1


def test_crops_that_cannot_be() -> None:
    with pytest.raises(OptionError, match=r"crop=foreground needs a foreground; set preparation.foreground"):
        preparation(crop="foreground").fit(cases(textured((9, 9))))
    with pytest.raises(OptionError, match=r"needs preparation.crop_size"):
        preparation(crop="centre")
    small, large, blank = textured((9, 20)), textured((12, 12)), np.zeros((12, 12), np.uint8)
    pictures = preparation(crop="centre", crop_size=10).fit(cases(small, large))
    assert [bad.reason for bad in pictures.unreadable] == [
        "case 0: is 9×20; too small for preparation.crop_size or random_crop of 10"
    ]
    pictures = preparation(crop="foreground", foreground="nonzero").fit(cases(blank, large))
    assert [bad.reason for bad in pictures.unreadable] == ["case 0: has no foreground to crop to"]


def test_sizes_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = [(8, 8)] * 3 + [(8, 9), (8, 9), (10, 10), (11, 11), (12, 12)]
    steps = preparation()
    steps.fit(cases(*(textured(size, seed=i) for i, size in enumerate(sizes))))
    said = capsys.readouterr().err
    assert said == "5 of 8 images are not 8×8 (8×9, 10×10, 11×11, …); all become 8×8\n"
    steps.decode(cases(textured((20, 20)), textured((20, 20), seed=1)))
    assert capsys.readouterr().err == ""


def test_foreground_and_crop_reach_the_network() -> None:
    image = np.zeros((20, 20), np.uint8)
    image[4:12, 6:14] = textured((8, 8)) // 2 + 100
    steps = preparation(foreground="nonzero", crop="foreground", intensity="z-score", statistics="image")
    pictures = steps.fit(cases(image))
    pixels, inside = pictures.batch([0])
    body = image[4:12, 6:14].astype(float)
    np.testing.assert_allclose(pixels[0, :, :, 0], (body - body.mean()) / body.std(), atol=1e-5)
    assert inside is not None
    assert inside.all()
    assert steps.tensors((pixels, inside)).mean().item() == pytest.approx(0, abs=1e-6)
    restored = steps.geometry.restore(np.ones((8, 8)), pictures.traces[0])
    np.testing.assert_array_equal(restored, image > 0)


@pytest.mark.parametrize("statistics", ["training", "image", "volume"])
def test_background_is_zero_whichever_statistics_z_score(statistics: str) -> None:
    images = []
    for seed in range(3):
        image = np.full((16, 16), 3, np.uint8)
        image[4:12, 4:12] = 150 + textured((8, 8), top=60, seed=seed)
        images.append(image)
    steps = preparation(foreground="bright", intensity="z-score", statistics=statistics, interpolation="area")
    batch = steps.fit(cases(*images)).batch(range(3))
    prepared, inside = steps.tensors(batch)[:, 0], steps.inside(batch)
    assert inside is not None
    assert inside.float().mean() == 0.25
    assert not prepared[~inside].any()
    assert prepared[inside].mean().item() == pytest.approx(0, abs=1e-5)


def test_options_that_do_not_go_together() -> None:
    refused = {
        r"preparation.statistics=image goes with preparation.intensity=.*; unit has none": {
            "statistics": "image",
            "intensity": "unit",
        },
        r"statistics=volume goes with preparation.intensity=z-score or maximum": {
            "statistics": "volume",
            "intensity": "percentiles",
        },
        r"preparation.erosion=6 needs a foreground; set preparation.foreground": {"erosion": 6},
        r"preparation.least_foreground=0.1 needs a foreground": {"least_foreground": 0.1},
        r"augmentation=mri-slices adds noise .* set preparation.intensity=z-score, not unit": {
            "augmentation": "mri-slices",
            "intensity": "unit",
        },
    }
    for message, options in refused.items():
        with pytest.raises(OptionError, match=message):
            preparation(**options)


def bodies(*shares: float) -> Cases:
    """Images ``(10, 10)`` whose first rows are foreground, on so much of them."""
    images = [np.zeros((10, 10), np.uint8) for _ in shares]
    for seed, (image, share) in enumerate(zip(images, shares, strict=True)):
        rows = round(share * 10)
        image[:rows] = 1 + textured((rows, 10), top=200, seed=seed)
    return cases(*images)


def test_training_images_with_hardly_any_foreground_are_left_out() -> None:
    given = Cases([*bodies(0.0, 0.4, 0.1, 0.5, 0.3), Case("bad", pixels=np.full((10, 10), np.nan))])
    steps = preparation(image_size=10, foreground="nonzero", least_foreground=0.3, intensity="unit")
    pictures = steps.fit(given)
    assert [case.name for case in pictures.cases] == ["case 1", "case 3", "case 4"]
    assert [bad.case.name for bad in pictures.unreadable] == ["bad"]
    assert steps.notes_ == [
        "2 training images with foreground on less than 0.3 of them were left out (preparation.least_foreground)"
    ]
    assert len(steps.decode(given)) == 5  # scoring leaves out none
    enough = preparation(image_size=10, foreground="nonzero", least_foreground=0.05)
    assert len(enough.fit(bodies(0.1, 0.3))) == 2
    assert enough.notes_ == []
    with pytest.raises(DataError, match=r"at most on 0.2; lower preparation.least_foreground"):
        steps.fit(bodies(0.0, 0.2))


def test_augmentation_is_limited_as_the_images_are() -> None:
    assert preparation().augmentation is None
    options = {"intensity": "z-score", "statistics": "image", "clip": 1.5}
    noisy = preparation(augmentation="mri-slices", **options).augmentation
    released = preparation(augmentation="mri-slices-released", **options | {"clip": 2.5}).augmentation
    assert noisy is not None
    assert released is not None
    assert (noisy.limit, noisy.spread) == (1.5, "variance")
    assert (released.limit, released.spread) == (2.5, "deviation")
