"""Encoders: vectors of images, by pixels and by detectors that see no labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sanoscope import Detector, get_recipe, histology_phantoms, hold_out
from sanoscope.cases import Case, Cases
from sanoscope.errors import ModelError, OptionError
from sanoscope.subtypes.encoders import (
    ColourMethod,
    FittedMethod,
    PixelMethod,
    RecipeMethod,
    method_of,
    prepared_method,
)

TINY = {"training.epochs": 1, "network.latent": 8, "preparation.image_size": 32}


@pytest.fixture(scope="module")
def cases() -> Cases:
    return hold_out(histology_phantoms(6, 8, size=32).cases(), 0.2, 0.2)


def relabelled(cases: Cases) -> Cases:
    """The same images on the same sides with all labels turned round."""
    return cases.with_cases(replace(case, label=1 - (case.label or 0), group="other") for case in cases)


def test_pixels_are_the_flattened_images_in_0_to_1() -> None:
    images = histology_phantoms(2, 3, size=32).images
    cases = Cases(Case(f"{i}", pixels=image, split="train") for i, image in enumerate(images))
    encoder = PixelMethod({"preparation.image_size": 32}).fit(cases, seed=0)
    pictures, vectors = encoder.encode(cases)
    assert [case.name for case in pictures.cases] == [case.name for case in cases]
    np.testing.assert_allclose(vectors, images.transpose(0, 3, 1, 2).reshape(6, -1) / 255, atol=1e-6)


def test_pixels_are_prepared_as_in_the_paper_by_default(cases: Cases) -> None:
    method = PixelMethod()
    chosen = {name: method.settings[f"preparation.{name}"] for name in ("image_size", "interpolation", "intensity")}
    assert chosen == {"image_size": 50, "interpolation": "bilinear", "intensity": "unit"}
    _, vectors = method.fit(cases, seed=0).encode(cases.test)
    assert vectors.shape == (len(cases.test), 3 * 50 * 50)
    assert vectors.min() >= 0
    assert vectors.max() <= 1


def test_mean_colour_is_the_mean_of_each_channel() -> None:
    images = np.zeros((2, 32, 32, 3), np.uint8)
    images[0, :16] = (255, 51, 0)
    images[1] = (0, 102, 255)
    cases = Cases(Case(f"{i}", pixels=image) for i, image in enumerate(images))
    _, vectors = ColourMethod({"preparation.image_size": 32}).fit(cases, seed=0).encode(cases)
    np.testing.assert_allclose(vectors, [[0.5, 0.1, 0], [0, 0.4, 1]], atol=1e-6)


def test_vectors_are_the_same_however_many_images_are_encoded_at_once() -> None:
    cases = Cases(Case(f"{i}", pixels=np.full((32, 32), i % 256, np.uint8)) for i in range(300))
    encoder = ColourMethod().fit(cases, seed=0)
    _, vectors = encoder.encode(cases)
    np.testing.assert_allclose(vectors[:, 0] * 255, np.arange(300) % 256, rtol=1e-5)
    assert np.array_equal(encoder.encode(cases[[299]])[1], vectors[299:])


def test_what_cannot_be_read_is_listed(cases: Cases, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    encoder = PixelMethod().fit(cases, seed=0)
    broken = Case("broken", path=tmp_path / "broken.png")
    pictures, vectors = encoder.encode(Cases([broken, cases[0]]))
    assert [item.case.name for item in pictures.unreadable] == ["broken"]
    assert len(vectors) == len(pictures) == 1
    pictures, vectors = encoder.encode(Cases([broken]))
    assert len(vectors) == len(pictures) == 0


@pytest.mark.parametrize("method", [RecipeMethod(get_recipe("fc-vae").with_options(TINY), "cpu"), PixelMethod()])
def test_labels_cannot_be_seen(cases: Cases, method: RecipeMethod | PixelMethod) -> None:
    vectors = [method.fit(given, seed=1).encode(given.test)[1] for given in (cases, relabelled(cases))]
    assert np.array_equal(*vectors)
    assert len(np.unique(vectors[0], axis=0)) == len(cases.test)


def test_a_recipe_learns_from_the_abnormal_too_and_never_from_the_test_side(cases: Cases) -> None:
    encoder = RecipeMethod(get_recipe("fc-vae").with_options(TINY), "cpu").fit(cases, seed=0)
    assert encoder.name == "fc-vae"
    assert 1 in cases.train.labels
    assert encoder.detector.provenance_["data"]["training"]["images"] == len(cases.train)
    assert encoder.detector.provenance_["data"]["validation"]["images"] == len(cases.validation)


def test_a_fitted_detector_stays_as_it_is(cases: Cases) -> None:
    detector = Detector("fc-vae", TINY, device="cpu").fit(cases.train, cases.validation, quiet=True)
    method = FittedMethod(detector)
    assert method.fit(cases, seed=5) is method
    assert np.array_equal(method.encode(cases.test)[1], detector.transform(cases.test))


def test_a_training_is_kept_and_gone_on_with_where_a_folder_is_given(cases: Cases, tmp_path: Path) -> None:
    recipe = get_recipe("fc-vae").with_options(TINY)
    vectors = RecipeMethod(recipe, "cpu", tmp_path).fit(cases, seed=0).encode(cases.test)[1]
    again = RecipeMethod(recipe, "cpu", tmp_path).fit(cases, seed=0)
    assert np.array_equal(again.encode(cases.test)[1], vectors)
    with pytest.raises(ModelError, match="another seed"):
        RecipeMethod(recipe, "cpu", tmp_path).fit(cases, seed=1)


def test_methods_by_name() -> None:
    method = method_of("fc-vae", {"network.latent": 8}, "cpu")
    assert (method.name, method.kind, method.settings["network.latent"]) == ("fc-vae", "clusters", 8)
    assert method_of("mean-colour").kind == "trivial"
    pixels = method_of("pixels", {"preparation.image_size": 16})
    assert (pixels.title, pixels.settings["preparation.image_size"]) == ("Pixels", 16)


def test_wrong_names_and_options_say_the_nearest() -> None:
    with pytest.raises(OptionError, match="no recipe 'pixel'; did you mean 'pixels'"):
        method_of("pixel")
    with pytest.raises(OptionError, match="no recipe 'fc-vea'; did you mean 'fc-vae'"):
        method_of("fc-vea")
    with pytest.raises(OptionError, match=r"'mean-colour' has no option 'preparation\.size'"):
        method_of("mean-colour", {"preparation.size": 3})
    with pytest.raises(OptionError, match="called 'colour'; did you mean 'mean-colour'"):
        prepared_method("colour")
