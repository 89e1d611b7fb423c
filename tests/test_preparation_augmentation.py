"""Augmentation: each change alone, in its range, drawn for each image, and the same for the same generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sanoscope.preparation.augmentation import (
    Augmentation,
    Composition,
    Flips,
    MRIAugmentation,
    RandomCrops,
    augmentation_of,
)

NOTHING: dict[str, Any] = {
    "mirror": 0.0,
    "rotation": (0.0, 0.0),
    "scale": (1.0, 1.0),
    "shift": 0,
    "brightness": (1.0, 1.0),
    "noise": 0.0,
    "limit": 0.0,
    "further_noise": 0.0,
}


def only(**changes: Any) -> MRIAugmentation:
    return MRIAugmentation(**NOTHING | changes)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 4, channels: int = 2, size: int = 16) -> Tensor:
    drawn = torch.randn(count, channels, size, size, generator=generator(99))
    return drawn.contiguous(memory_format=torch.channels_last)


def same(images: Tensor, count: int) -> Tensor:
    return images[:1].expand(count, -1, -1, -1)


def test_nothing_changes_where_every_range_is_null() -> None:
    changed = only()(images(), generator())
    torch.testing.assert_close(changed, images(), atol=1e-5, rtol=0)
    assert changed.is_contiguous(memory_format=torch.channels_last)


def test_it_is_the_generators_and_leaves_the_images_alone() -> None:
    given = images()
    first, second, third = (MRIAugmentation()(given, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert torch.equal(given, images())
    state = torch.get_rng_state()
    MRIAugmentation()(given, generator())
    assert torch.equal(torch.get_rng_state(), state)
    assert (first.shape, first.dtype) == (given.shape, given.dtype)
    assert not torch.equal(*MRIAugmentation()(same(given, 2), generator()))  # each image has its own draw


def test_half_are_mirrored_left_to_right() -> None:
    given = same(images(), 400)
    changed = only(mirror=0.5)(given, generator())
    mirrored = (changed - given.flip(3)).abs().amax((1, 2, 3)) < 1e-5
    kept = (changed - given).abs().amax((1, 2, 3)) < 1e-5
    assert torch.equal(mirrored, ~kept)
    assert 160 <= mirrored.sum() <= 240  # four standard deviations of a fair coin
    assert torch.allclose(only(mirror=1.0)(given, generator()), given.flip(3), atol=1e-5)


def test_shifts_are_whole_pixels_and_bring_in_zeros() -> None:
    given = same(images(), 300)
    changed = only(shift=1)(given, generator())
    padded = torch.nn.functional.pad(given[0], (1, 1, 1, 1))
    crops = [padded[:, i : i + 16, j : j + 16] for i in range(3) for j in range(3)]
    far = torch.stack([(changed - crop).abs().amax((1, 2, 3)) for crop in crops])  # (9, B)
    assert (far.amin(0) < 1e-4).all()
    assert set(far.argmin(0).tolist()) == set(range(9))


def blob(size: int = 65) -> Tensor:
    """A bright spot to the right of the centre, ``(1, 1, S, S)``."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    spot = torch.exp(-((rows - 32.0) ** 2 + (columns - 52.0) ** 2) / 8)
    return spot[None, None]


def places(changed: Tensor) -> Tensor:
    """Where the spot is from the centre, down and across, ``(B, 2)``."""
    mass = changed[:, 0] / changed[:, 0].sum((1, 2), keepdim=True)
    steps = torch.arange(changed.shape[-1]) - 32.0
    return torch.stack([(mass.sum(2) * steps).sum(1), (mass.sum(1) * steps).sum(1)], 1)


@pytest.mark.parametrize("angle", [0.1, -0.1, np.pi / 2])
def test_rotation_is_in_radians(angle: float) -> None:
    down, across = places(only(rotation=(angle, angle))(blob(), generator()))[0]
    assert (down, across) == pytest.approx((-20 * np.sin(angle), 20 * np.cos(angle)), abs=0.05)


def test_a_larger_field_of_view_makes_the_head_smaller() -> None:
    for scale in (0.9, 1.2):
        down, across = places(only(scale=(scale, scale))(blob(), generator()))[0]
        assert (down, across) == pytest.approx((0, 20 / scale), abs=0.05)


def test_rotation_and_scale_are_uniform_in_their_ranges() -> None:
    spots = places(only(rotation=(-0.1, 0.1), scale=(0.9, 1.2))(same(blob(), 500), generator()))
    angles, scales = torch.atan2(-spots[:, 0], spots[:, 1]), 20 / spots.norm(dim=1)
    for values, (low, high) in ((angles, (-0.1, 0.1)), (scales, (0.9, 1.2))):
        assert values.min() > low - 0.003
        assert values.max() < high + 0.003
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.2 * (high - low) / 2)
        assert values.std().item() == pytest.approx((high - low) / 12**0.5, rel=0.15)
    assert abs(torch.corrcoef(torch.stack([angles, scales]))[0, 1]) < 0.2


def test_all_movements_together_keep_their_sense() -> None:
    together = only(mirror=1.0, rotation=(0.3, 0.3), scale=(1.1, 1.1))(blob(), generator())
    down, across = places(together)[0]
    # Turned first, then exchanged left and right.
    assert (down, across) == pytest.approx((-20 / 1.1 * np.sin(0.3), -20 / 1.1 * np.cos(0.3)), abs=0.05)


def test_brightness_multiplies() -> None:
    given = same(images(), 400)
    ratios = (only(brightness=(0.95, 1.1))(given, generator()) / given).median(3).values.median(2).values[:, 0]
    assert ratios.min() > 0.9499
    assert ratios.max() < 1.1001
    assert ratios.mean().item() == pytest.approx(1.025, abs=0.01)


@pytest.mark.parametrize("which", ["noise", "further_noise"])
@pytest.mark.parametrize("spread", ["variance", "deviation"])
def test_noise_has_the_spread_that_is_drawn(which: str, spread: str) -> None:
    noise = only(**{which: 0.2, "spread": spread})(torch.zeros(400, 1, 32, 32), generator())
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    deviations = noise.std((1, 2, 3))
    drawn = deviations**2 if spread == "variance" else deviations
    assert drawn.max() < 0.2 * 1.2
    assert drawn.mean().item() == pytest.approx(0.1, abs=0.015)
    assert drawn.std().item() == pytest.approx(0.2 / 12**0.5, rel=0.15)


def test_the_limit_stands_between_the_noises() -> None:
    given = images(50) * 3
    assert only(limit=1.5, noise=0.05)(given, generator()).abs().max() == 1.5
    beyond = only(limit=1.5, further_noise=0.2)(given, generator()).abs()
    assert 1.6 < beyond.max() < 1.5 + 6 * 0.2**0.5


def ways(images: Tensor) -> Tensor:
    """As they are, and mirrored left to right, top to bottom and both, ``(4, B, C, S, S)``."""
    return torch.stack([images, images.flip(3), images.flip(2), images.flip((2, 3))])


def test_flips_mirror_each_image_either_way_by_itself() -> None:
    before = same(images(), 400)
    changed = Flips()(before, generator())
    equal = (changed == ways(before)).flatten(2).all(2)  # (4, B)
    assert (equal.sum(0) == 1).all()
    for count in equal.sum(1):  # four standard deviations of a probability of one quarter
        assert 65 <= count <= 135
    assert changed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(changed, Flips()(before, generator()))
    assert not torch.equal(changed, Flips()(before, generator(1)))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 7), st.integers(0, 4), st.integers(0, 99))
def test_a_random_crop_is_a_square_of_the_image(size: int, room: int, seed: int) -> None:
    before = images(5, size=size + room)
    crops = RandomCrops(size)(before, generator(seed))
    assert crops.shape == (5, 2, size, size)
    assert crops.is_contiguous(memory_format=torch.channels_last)
    for image, crop in zip(before, crops, strict=True):
        places = [(i, j) for i in range(room + 1) for j in range(room + 1)]
        assert any(torch.equal(image[:, i : i + size, j : j + size], crop) for i, j in places)
    assert torch.equal(crops, RandomCrops(size)(before, generator(seed)))


def test_random_crops_are_from_everywhere_alike() -> None:
    places = torch.arange(9.0).view(1, 1, 3, 3).expand(900, -1, -1, -1)
    drawn = RandomCrops(1)(places, generator()).flatten().long().bincount(minlength=9)
    assert (drawn >= 60).all()  # four standard deviations below 100
    whole = images()
    assert torch.equal(RandomCrops(16)(whole, generator()), whole)


def test_a_composition_crops_before_it_flips() -> None:
    before = images(50, size=20)
    source, expected = generator(), generator()
    changed = Composition((RandomCrops(16), Flips()))(before, source)
    assert torch.equal(changed, Flips()(RandomCrops(16)(before, expected), expected))
    assert torch.equal(source.get_state(), expected.get_state())


@pytest.mark.parametrize(
    ("name", "crop", "expected"),
    [
        ("none", 0, None),
        ("none", 8, RandomCrops(8)),
        ("flips", 0, Flips()),
        ("flips", 8, Composition((RandomCrops(8), Flips()))),
        ("mri-slices", 0, MRIAugmentation(limit=2.5)),
        ("mri-slices-released", 0, MRIAugmentation(limit=2.5, spread="deviation")),
    ],
)
def test_what_a_name_stands_for(name: str, crop: int, expected: Augmentation | None) -> None:
    assert augmentation_of(name, 2.5, crop) == expected
