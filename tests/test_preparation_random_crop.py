"""Random crops: what training decodes for them, what cannot be, and a training that takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sanoscope import Detector
from sanoscope.cases.case import Case, Cases
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.errors import DataError, OptionError
from sanoscope.preparation.augmentation import Composition, Flips, RandomCrops
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipes import get_recipe

OPTIONS = {"crop": "centre", "crop_size": 8, "image_size": 8, "random_crop": 24}


def preparation(**options: Any) -> Preparation:
    built = get_recipe("conv-vae").with_options({"preparation": OPTIONS | options}).build("preparation")
    assert isinstance(built, Preparation)
    return built


def cases(*sizes: tuple[int, int]) -> Cases:
    drawn = np.random.default_rng(0)
    return Cases(Case(f"case {i}", pixels=drawn.integers(0, 256, (*size, 3), np.uint8)) for i, size in enumerate(sizes))


def centre(case: Case, side: int) -> np.ndarray:
    assert case.pixels is not None
    top, left = ((length - side) // 2 for length in case.pixels.shape[:2])
    return case.pixels[top : top + side, left : left + side]


def test_training_sees_more_of_the_same_cases_than_scoring() -> None:
    images = cases((30, 26), (24, 40))
    steps = preparation()
    pictures = steps.fit(images)
    training = steps.for_training(pictures)
    assert [case.name for case in training.cases] == ["case 0", "case 1"]
    scored, seen = pictures.batch([0, 1])[0], training.batch([0, 1])[0]
    for row, case in enumerate(images):
        np.testing.assert_array_equal(scored[row], centre(case, 8))
        np.testing.assert_array_equal(seen[row], centre(case, 24))
    np.testing.assert_array_equal(steps.decode(images).batch([0, 1])[0], scored)
    assert steps.augmentation == RandomCrops(8)
    assert preparation(augmentation="flips").augmentation == Composition((RandomCrops(8), Flips()))


def test_crops_have_the_scale_that_scoring_has() -> None:
    images = cases((40, 40))
    steps = preparation(crop_size=16, random_crop=36, image_size=9, interpolation="bilinear")
    seen = steps.for_training(steps.fit(images)).batch([0])[0][0]
    expected = Image.fromarray(centre(images[0], 36)).resize((20, 20), Image.Resampling.BILINEAR)  # 36 · 9 / 16
    np.testing.assert_array_equal(seen, np.asarray(expected))
    assert steps.augmentation == RandomCrops(9)


def test_without_random_crops_training_has_the_pictures_themselves() -> None:
    steps = preparation(random_crop=0)
    pictures = steps.fit(cases((30, 26)))
    assert steps.for_training(pictures) is pictures
    assert steps.augmentation is None


def test_histograms_are_matched_in_training_too() -> None:
    steps = preparation(matching="histogram", random_crop=8)
    pictures = steps.fit(cases((30, 26), (24, 40)))
    np.testing.assert_array_equal(steps.for_training(pictures).batch([0, 1])[0], pictures.batch([0, 1])[0])


def test_images_without_room_for_the_crop_are_left_out() -> None:
    steps = preparation()
    training = steps.for_training(steps.fit(cases((30, 26), (23, 40), (7, 40))))
    assert [case.name for case in training.cases] == ["case 0"]
    assert [bad.reason for bad in training.unreadable] == [
        "case 2: is 7×40; too small for preparation.crop_size or random_crop of 8",
        "case 1: is 23×40; too small for preparation.crop_size or random_crop of 24",
    ]
    with pytest.raises(DataError, match=r"is 23×40; too small for preparation\.crop_size or random_crop of 24"):
        steps.for_training(steps.fit(cases((23, 40))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"crop": "square"},
            "random_crop=24 needs preparation.crop=centre and a crop_size from 1 to 24; .* square and 8",
        ),
        ({"crop_size": 0, "crop_share": 0.5}, "they are centre and 0"),
        ({"crop_size": 25}, "they are centre and 25"),
        ({"random_crop": 7}, "random_crop=7 needs .* they are centre and 8"),
        ({"random_crop": -1}, "must be at least 0"),
        ({"equalisation": "histogram"}, "set preparation.equalisation=none"),
        ({"foreground": "dark"}, "foreground=dark would stay .* random_crop=24 .* set preparation.foreground=none"),
        ({"foreground": "dark", "random_crop": 0, "augmentation": "flips"}, "foreground=dark would stay"),
    ],
)
def test_random_crops_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        preparation(**options)


FIT = {
    "preparation": {"image_size": 16, "crop": "centre", "crop_size": 16, "random_crop": 40, "augmentation": "flips"},
    "training": {"epochs": 2, "batch_size": 8, "precision": "float32"},
}


@pytest.fixture(scope="module")
def tissue() -> Cases:
    phantoms = histology_phantoms(subjects=3, images_per_subject=12, size=40, seed=1).cases()
    return phantoms.where(lambda case: case.label == 0)[:16]


def fitted(tissue: Cases, epochs: int = 2, crop: int = 40, **settings: Any) -> Detector:
    options = {
        "preparation": FIT["preparation"] | {"random_crop": crop},
        "training": FIT["training"] | {"epochs": epochs},
    }
    return Detector("conv-vae", options, device="cpu").fit(tissue, quiet=True, **settings)


def losses(detector: Detector) -> list[float]:
    return [row["train/loss"] for row in detector.history_]


def test_a_training_on_random_crops_is_the_same_again_and_resumed(tissue: Cases, tmp_path: Path) -> None:
    whole = fitted(tissue, 3)
    begun = fitted(tissue, folder=tmp_path, checkpoint_seconds=0.0)
    assert losses(begun) == losses(whole)[:2]
    resumed = fitted(tissue, 3, folder=tmp_path, checkpoint_seconds=0.0, resume=True)
    for key, weights in whole.network_.state_dict().items():
        torch.testing.assert_close(resumed.network_.state_dict()[key], weights, rtol=0, atol=0)
    assert losses(resumed) == losses(whole)
    assert losses(fitted(tissue, crop=16)) != losses(begun)


def test_scoring_sees_the_centre_only(tissue: Cases, tmp_path: Path) -> None:
    detector = fitted(tissue)
    framed = []
    for case in tissue[:4]:
        assert case.pixels is not None
        pixels = case.pixels.copy()
        pixels[:12] = pixels[28:] = 0
        framed.append(Case(case.name, pixels=pixels))
    np.testing.assert_array_equal(detector.decision_function(Cases(framed)), detector.decision_function(tissue[:4]))
    (heatmap,) = detector.score_map(tissue[:1])
    assert heatmap.shape == (40, 40)
    detector.save(tmp_path / "model")
    loaded = Detector.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.decision_function(tissue), detector.decision_function(tissue))
