"""Erosion: against scipy's, on every kind of square and foreground."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion

from sanoscope.cases.case import Case, Cases
from sanoscope.preparation.erosion import eroded
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipes import get_recipe


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 9), st.integers(1, 20), st.integers(1, 20), st.floats(0.5, 1), st.integers(0, 999))
def test_erosion_is_scipys(side: int, height: int, width: int, share: float, seed: int) -> None:
    foreground = np.random.default_rng(seed).random((3, height, width)) < share
    left = eroded(torch.from_numpy(foreground), side)
    expected = [binary_erosion(one, np.ones((side, side))) for one in foreground]
    np.testing.assert_array_equal(left, expected)
    assert left.dtype == torch.bool


def test_erosion_by_six_takes_three_above_and_two_below() -> None:
    foreground = torch.zeros(1, 30, 30, dtype=torch.bool)
    foreground[0, 5:25, 8:20] = True
    rows, columns = np.nonzero(eroded(foreground, 6)[0].numpy())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 22, 11, 17)
    foreground[0, 15, 14] = False  # a hole is no body, and grows
    assert not eroded(foreground, 6)[0, 13:19, 12:18].any()
    assert torch.equal(eroded(foreground, 0), foreground)


def built(**options: object) -> Preparation:
    recipe = get_recipe("conv-vae").with_options({"preparation": {"image_size": 16, **options}})
    preparation: Preparation = recipe.build("preparation")
    return preparation


@pytest.mark.parametrize("side", [0, 3])
def test_inside_of_a_batch(side: int) -> None:
    image = np.zeros((32, 32), np.uint8)
    image[8:28, 4:30] = 100
    cases = Cases([Case("brain", pixels=image), Case("blank", pixels=np.zeros((32, 32), np.uint8))])
    steps = built(foreground="nonzero", erosion=side)
    inside = steps.inside(steps.fit(cases).batch([0, 1]))
    assert inside is not None
    assert inside.shape == (2, 16, 16)
    brain = image[::2, ::2] > 0
    np.testing.assert_array_equal(inside[0], binary_erosion(brain, np.ones((3, 3))) if side else brain)
    assert not inside[1].any()
    everything = built()
    assert everything.inside(everything.fit(cases).batch([0, 1])) is None
