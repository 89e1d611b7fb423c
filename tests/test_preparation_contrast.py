"""Global contrast normalisation: each image by itself, then to [0, 1] by the range of training normals."""

from __future__ import annotations

import numpy as np
import pytest

from sanoscope.cases.case import Case, Cases
from sanoscope.errors import OptionError
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipes import get_recipe

CONTRAST = {"intensity": "contrast", "statistics": "image"}


def built(**options: object) -> Preparation:
    recipe = get_recipe("conv-vae").with_options({"preparation": {"image_size": 8, **options}})
    preparation: Preparation = recipe.build("preparation")
    return preparation


def cases(count: int, seed: int) -> Cases:
    images = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return Cases(Case(str(i), pixels=image) for i, image in enumerate(images))


def normalised(images: Cases) -> np.ndarray:
    """Each image minus its mean, over its mean absolute value, of all channels, ``(N, C, H, W)``."""
    pixels = np.stack([case.pixels for case in images]).transpose(0, 3, 1, 2).astype(np.float64)
    centred = pixels - pixels.mean((1, 2, 3), keepdims=True)
    return np.asarray(centred / np.abs(centred).mean((1, 2, 3), keepdims=True))


def test_training_normals_fill_the_range_and_others_may_leave_it() -> None:
    steps, train, others = built(**CONTRAST), cases(5, 0), cases(40, 1)
    pictures = steps.fit(train)
    low, high = normalised(train).min(), normalised(train).max()
    prepared = steps.tensors(pictures.batch(np.arange(5))).numpy()
    np.testing.assert_allclose(prepared, (normalised(train) - low) / (high - low), atol=1e-5)
    assert (prepared.min(), prepared.max()) == pytest.approx((0, 1), abs=1e-6)
    prepared = steps.tensors(steps.decode(others).batch(np.arange(40))).numpy()
    np.testing.assert_allclose(prepared, (normalised(others) - low) / (high - low), atol=1e-5)
    assert prepared.min() < 0 or prepared.max() > 1


def test_what_was_learned_is_put_back() -> None:
    steps, others = built(**CONTRAST), cases(3, 1)
    steps.fit(cases(5, 0))
    again = built(**CONTRAST).load_json(steps.to_json())
    first, second = (one.tensors(one.decode(others).batch(np.arange(3))).numpy() for one in (steps, again))
    np.testing.assert_array_equal(first, second)


def test_the_range_can_be_a_limit() -> None:
    free, limited = built(**CONTRAST), built(**CONTRAST, clip=1.0)
    prepared = []
    for steps in (free, limited):
        steps.fit(cases(5, 0))
        prepared.append(steps.tensors(steps.decode(cases(40, 1)).batch(np.arange(40))).numpy())
    np.testing.assert_array_equal(prepared[1], prepared[0].clip(0, 1))


def test_a_blank_training_image_has_no_range_to_divide_by() -> None:
    steps = built(**CONTRAST)
    pictures = steps.fit(Cases([Case("blank", pixels=np.full((8, 8), 9, np.uint8))]))
    assert not steps.tensors(pictures.batch(np.arange(1))).any()


@pytest.mark.parametrize(
    ("statistics", "message"),
    [("training", "set preparation.statistics=image"), ("volume", "contrast is of the image")],
)
def test_it_is_of_the_image_alone(statistics: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        built(intensity="contrast", statistics=statistics)
