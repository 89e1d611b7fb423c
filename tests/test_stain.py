"""Stain normalisation: stains that are known by construction, what changes nothing, and where it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2lab
from sklearn.decomposition import DictionaryLearning, sparse_encode

from sanoscope import Detector, load_cases
from sanoscope.cases.case import Case, Cases
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.errors import DataError, OptionError
from sanoscope.preparation.geometry import Geometry, Picture
from sanoscope.preparation.preparation import Preparation
from sanoscope.preparation.stain import StainNormalisation, normalise_to
from sanoscope.preparation.stain_matrix import (
    LEARNING_SPARSITY,
    METHODS,
    Stained,
    separated,
    sparse_concentrations,
    stains_of_dictionary,
    stains_of_extreme_angles,
)
from sanoscope.preparation.stored import geometry_from_json
from sanoscope.recipes import get_recipe

# Haematoxylin and eosin after Ruifrok and Johnston, and two stains of another laboratory.
KNOWN = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
OTHER = np.array([[0.55, 0.75, 0.45], [0.25, 0.85, 0.40]])
both_methods = pytest.mark.parametrize("method", sorted(METHODS))


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def amounts(seed: int = 0, size: int = 96) -> np.ndarray:
    """Concentrations ``(size, size, 2)``: nuclei, and fibres that spare them, with about a sixth of glass."""
    drawn = np.random.default_rng(seed)
    nuclei, fibres, glass = (gaussian_filter(drawn.normal(size=(size, size)), width) for width in (2, 6, 8))
    haematoxylin = np.maximum(nuclei / nuclei.std() - 0.6, 0)
    eosin = np.maximum(fibres / fibres.std() + 0.5, 0) * (haematoxylin < 0.3)
    eosin[glass > glass.std()] = haematoxylin[glass > glass.std()] = 0
    return np.stack([haematoxylin, 0.8 * eosin], axis=2)


def stained(concentrations: np.ndarray, stains: np.ndarray = KNOWN, light: float = 255) -> np.ndarray:
    """The image that Beer and Lambert make of it, with a little noise."""
    exact = light * np.exp(-concentrations @ unit(stains))
    noise = np.random.default_rng(9).normal(0, 0.7, exact.shape)
    return np.asarray(np.rint(exact + noise).clip(0, 255).astype(np.uint8))


def degrees(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    cosines = (unit(np.asarray(one)) * unit(np.asarray(other))).sum(axis=-1)
    return np.asarray(np.degrees(np.arccos(cosines.clip(-1, 1))))


def separate(image: np.ndarray, method: str) -> Stained:
    found = separated(image, method)
    assert found is not None
    return found


def step_to(image: np.ndarray, method: str) -> StainNormalisation:
    found = separate(image, method)
    return StainNormalisation(method, tuple(found.stains.ravel().tolist()), tuple(found.highest.tolist()))


def normalised(step: StainNormalisation, image: np.ndarray) -> np.ndarray:
    picture = step.apply(Picture(image))
    assert picture.trace == ((),)
    assert picture.pixels.dtype == np.uint8
    return picture.pixels


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.001, 0.01, 0.1, 0.5]))
def test_concentrations_are_those_of_the_non_negative_lasso(seed: int, sparsity: float) -> None:
    drawn = np.random.default_rng(seed)
    atoms, densities = unit(drawn.random((2, 3)) + np.diag([0.2, 0.2, 0])[:2]), 2 * drawn.random((40, 3))
    expected = sparse_encode(
        densities, atoms, algorithm="lasso_cd", alpha=sparsity, positive=True, max_iter=100_000, check_input=False
    )
    found = sparse_concentrations(densities, atoms, sparsity)
    excess = [
        0.5 * ((densities - code @ atoms) ** 2).sum(axis=1) + sparsity * code.sum(axis=1) for code in (found, expected)
    ]
    assert (found >= 0).all()
    assert (excess[0] <= excess[1] + 1e-9).all()  # its solver stops early where atoms are much alike
    if degrees(*atoms) > 10:
        np.testing.assert_allclose(found, expected, atol=0.02)


def test_concentrations_in_closed_form() -> None:
    known = unit(KNOWN)
    amount = np.array([[0.3, 0.9], [2, 0.1], [0, 1], [1, 0], [0, 0]])
    np.testing.assert_allclose(sparse_concentrations(amount @ known, known, 0), amount, atol=1e-12)
    alone = sparse_concentrations(amount[2:4] @ known, known, 0.2)
    np.testing.assert_allclose(alone, amount[2:4] * 0.8, atol=1e-12)  # each shrinks by the sparsity
    assert not sparse_concentrations(amount @ known, known, 99).any()


@pytest.mark.parametrize("stains", [KNOWN, OTHER], ids=["known", "other"])
@both_methods
def test_known_stains_are_found_haematoxylin_first(method: str, stains: np.ndarray) -> None:
    for size, seed in ((96, 0), (192, 1), (50, 2)):
        given_amounts = amounts(seed, size)
        for order in (1, -1):  # of the construction, which may not matter
            image = stained(given_amounts[..., ::order], stains[::order])
            found = separate(image, method)
            assert (degrees(found.stains, stains) < 2.5).all()
            np.testing.assert_allclose(np.linalg.norm(found.stains, axis=1), 1, rtol=1e-6)
            error = found.concentrations - given_amounts
            assert np.abs(error).mean() < 0.06 * given_amounts.max()
            tissue = given_amounts.sum(axis=2) > 0.2
            np.testing.assert_allclose(found.highest, np.percentile(given_amounts[tissue], 99, axis=0), rtol=0.15)


def test_the_dictionary_is_that_of_scikit_learn() -> None:
    mixed = amounts(3)[::4, ::4].reshape(-1, 2) @ [[1, 0.3], [0.4, 1]]  # so that no pixel has one stain alone
    densities = np.maximum(mixed @ unit(OTHER) + np.random.default_rng(0).normal(0, 0.02, (len(mixed), 3)), 0)
    densities = densities[densities.sum(axis=1) > 0.3]
    learner = DictionaryLearning(
        2,
        alpha=LEARNING_SPARSITY,
        fit_algorithm="cd",
        positive_dict=True,
        positive_code=True,
        random_state=0,
        max_iter=400,
        tol=1e-7,
    )
    expected = learner.fit(densities).components_
    found = stains_of_dictionary(densities)
    assert found is not None
    assert (degrees(found, expected[np.argsort(-expected[:, 0])]) < 0.3).all()
    extreme = stains_of_extreme_angles(densities)
    assert extreme is not None
    assert degrees(found, extreme).max() > 1  # it is not where it began


@both_methods
def test_normalised_to_itself_an_image_stays(method: str) -> None:
    image = stained(amounts())
    change = normalised(step_to(image, method), image).astype(float) - image
    assert np.abs(change).mean() < 2
    assert np.percentile(np.abs(change), 99) < 12


@both_methods
def test_an_image_of_other_stains_gets_the_targets(method: str) -> None:
    target, image = stained(amounts(0)), stained(amounts(1) * [0.7, 1.4], OTHER)
    step = step_to(target, method)
    result = normalised(step, image)
    before, after = separate(image, method), separate(result, method)
    wanted = np.reshape(step.stains, (2, 3))
    assert (degrees(before.stains, wanted) > 8).all()
    assert (degrees(after.stains, wanted) < 2).all()
    np.testing.assert_allclose(after.highest, step.concentrations, rtol=0.05)
    # As if it had been stained like the target: the same tissue, in the target's colours and strength.
    strength = np.array(step.concentrations) / np.percentile(amounts(1)[amounts(1).sum(axis=2) > 0.2], 99, axis=0)
    ideal = stained(amounts(1) * strength).astype(float)
    assert np.abs(result - ideal).mean() < 4 < np.abs(image - ideal).mean() / 3
    again = normalised(step, result).astype(float)
    assert np.abs(again - result).mean() < 2


@both_methods
def test_brightness_makes_no_difference(method: str) -> None:
    step = step_to(stained(amounts(0)), method)
    bright, dim = (normalised(step, stained(amounts(1), OTHER, light)).astype(float) for light in (255, 190))
    assert np.abs(bright - dim).mean() < 1.5


@both_methods
def test_images_without_stains_only_become_bright(method: str) -> None:
    step = step_to(stained(amounts()), method)
    white = np.full((50, 50, 3), 230, np.uint8)
    np.testing.assert_array_equal(normalised(step, white), 255)
    speck = white.copy()
    speck[:7, :9] = stained(amounts())[:7, :9]  # 63 pixels
    np.testing.assert_array_equal(normalised(step, speck)[7:], 255)
    np.testing.assert_array_equal(normalised(step, speck), np.rint(np.minimum(speck * (255 / 230), 255)))
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (40, 40, 1), np.uint8), 3, axis=2)
    grey[:8] = 255
    np.testing.assert_array_equal(normalised(step, grey), grey)
    black = np.zeros((20, 20, 3), np.uint8)
    np.testing.assert_array_equal(normalised(step, black), black)
    one_stain = stained(amounts() * [1, 0])
    assert np.isfinite(normalised(step, one_stain)).all()


@pytest.mark.parametrize(("size", "least"), [(50, 64), (80, 64), (200, 400)])
@both_methods
def test_how_little_tissue_is_too_little(method: str, size: int, least: int) -> None:
    tissue = stained(np.resize([[1, 0], [0, 1], [0.5, 0.6]], (least, 2)))
    image = np.full((size * size, 3), 250, np.uint8)
    image[:least] = tissue
    assert separated(image.reshape(size, size, 3), method) is not None
    image[0] = 250
    assert separated(image.reshape(size, size, 3), method) is None


def test_glass_is_told_by_lightness() -> None:
    is_tissue, _, _ = METHODS["vahadane"]
    colours = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    np.testing.assert_array_equal(is_tissue(colours), rgb2lab(colours)[..., 0] < 80)


def built(**options: Any) -> Preparation:
    chosen = {"image_size": 32, "stain": "macenko"} | options
    preparation: Preparation = get_recipe("conv-vae").with_options({"preparation": chosen}).build("preparation")
    return preparation


def step_of(preparation: Preparation) -> StainNormalisation:
    (step,) = (step for step in preparation.geometry.steps if isinstance(step, StainNormalisation))
    return step


def tiles(count: int = 7) -> list[Case]:
    """Tiles of one stain more and more unlike the first, and so the middle one is the most typical."""
    shares = np.linspace(0, 1, count)
    return [
        Case(f"tile {i}", pixels=stained(amounts(1, 64), (1 - share) * KNOWN + share * OTHER), label=0)
        for i, share in enumerate(shares)
    ]


@both_methods
def test_the_most_typical_training_image_is_the_target(method: str) -> None:
    blank = Case("blank", pixels=np.full((64, 64, 3), 240, np.uint8), label=0)
    ill = Case("ill", pixels=tiles()[3].pixels, label=1)
    bad = Case("bad", pixels=np.full((64, 64, 3), np.nan), label=0)
    steps = built(stain=method)
    pictures = steps.fit(Cases([*tiles(), blank, bad]))
    assert [unreadable.case.name for unreadable in pictures.unreadable] == ["bad"]
    assert step_of(steps).target == "tile 3"
    assert steps.notes_ == [f"stains are made those of tile 3, after {method.title()} et al."]
    assert step_of(steps) == normalise_to("training", method, Cases([ill, bad, *tiles()[::-1]]), Geometry(()))
    pixels, _ = pictures.batch(range(7))
    colours = pixels.reshape(7, -1, 3).mean(axis=1)
    plain, _ = built(stain="none").fit(Cases(tiles())).batch(range(7))
    assert (np.ptp(colours, axis=0) < 0.35 * np.ptp(plain.reshape(7, -1, 3).mean(axis=1), axis=0)).all()


def test_the_order_of_the_training_images_makes_no_difference() -> None:
    many = Cases([Case(f"{seed:03}", pixels=stained(amounts(seed, 24)), label=0) for seed in range(200)])
    one, other = (normalise_to("training", "macenko", cases, Geometry(())) for cases in (many, many[::-1]))
    assert one == other


def test_it_stands_behind_the_channels_and_before_the_foreground() -> None:
    names = ["channels", "stainnormalisation", "foreground", "histogrammatching", "crop", "resize"]
    steps = built(matching="histogram", foreground="dark")
    steps.fit(Cases(tiles()))
    assert [step["step"] for step in steps.geometry.to_json()] == names
    steps.fit(Cases(tiles()[:3]))  # learned anew, not on top
    assert [step["step"] for step in steps.geometry.to_json()] == names
    assert steps.notes_[0].startswith("stains are made those of tile 1,")
    assert len(steps.notes_) == 2
    picture = steps.geometry.apply(stained(amounts(1, 50)))
    assert steps.geometry.restore(np.ones((32, 32)), picture.trace).shape == (50, 50)


@pytest.mark.parametrize("matching", ["none", "histogram"])
@both_methods
def test_round_trip_through_json(method: str, matching: str) -> None:
    first = built(stain=method, matching=matching)
    first.fit(Cases(tiles()))
    stored = json.loads(json.dumps(first.to_json(), allow_nan=False))
    second = built(stain=method, matching=matching).load_json(stored)
    assert second.geometry == first.geometry == geometry_from_json(stored["steps"])
    assert second.notes_ == first.notes_
    new = Cases([Case("new", pixels=stained(amounts(5, 64), OTHER))])
    assert first.tensors(first.decode(new).batch([0])).equal(second.tensors(second.decode(new).batch([0])))


def test_a_file_is_the_target_and_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "target.png"
    Image.fromarray(stained(amounts(4), OTHER)).save(file)
    steps = built(stain_target=str(file))
    steps.fit(Cases(tiles()))
    assert step_of(steps).target == str(file)
    assert steps.notes_ == [f"stains are made those of {file}, after Macenko et al."]
    assert (degrees(np.reshape(step_of(steps).stains, (2, 3)), OTHER) < 2.5).all()
    file.unlink()
    again = built(stain_target=str(file)).load_json(steps.to_json())
    assert len(again.decode(Cases(tiles()[:2]))) == 2


def test_a_target_that_will_not_do_is_refused(tmp_path: Path) -> None:
    def refused(name: str, pixels: np.ndarray | None, message: str) -> None:
        if pixels is not None:
            Image.fromarray(pixels).save(tmp_path / name)
        with pytest.raises(OptionError, match=rf"^preparation\.stain_target=\S+{name}: {message}"):
            built(stain_target=str(tmp_path / name)).fit(Cases(tiles()))

    refused("missing.png", None, "cannot be opened")
    refused("white.png", np.full((90, 90, 3), 250, np.uint8), "shows too little tissue of two stains; give an image")
    refused("grey.png", np.zeros((90, 90), np.uint8), "is 8-bit with 1 channel, where preparation.stain=macenko")
    refused("deep.png", np.zeros((90, 90), np.uint16), "is 16-bit or float with 1 channel")


def test_settings_and_images_that_do_not_go_with_it() -> None:
    with pytest.raises(OptionError, match=r"stain=macenko needs colours.*channels=grey.*set preparation\.channels="):
        built(channels="grey")
    with pytest.raises(OptionError, match=r"stain_target=there\.png needs preparation\.stain=macenko or vahadane"):
        built(stain="none", stain_target="there.png")
    with pytest.raises(OptionError, match=r"preparation\.stain' does not take 'reinhard'"):
        built(stain="reinhard")
    grey = Case("grey", pixels=np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8), label=0)
    deep = Case("deep", pixels=tiles()[0].pixels.astype(np.uint16) * 256, label=0)  # type: ignore[union-attr]
    pictures = built().fit(Cases([*tiles(), grey, deep]))
    reasons = {unreadable.case.name: unreadable.reason for unreadable in pictures.unreadable}
    assert sorted(reasons) == ["deep", "grey"]
    assert reasons["deep"].startswith("deep: is 16-bit or float with 3 channels, where preparation.stain=macenko")
    with pytest.raises(DataError, match=r"none of 2 normal images .*set preparation\.stain=none"):
        built().fit(Cases([grey, deep]))


@both_methods
def test_a_detector_keeps_its_target(method: str, tmp_path: Path) -> None:
    cases = histology_phantoms(subjects=3, images_per_subject=12, size=40, seed=1).cases()
    options = {
        "preparation.image_size": 32,
        "preparation.stain": method,
        "training.epochs": 1,
        "training.batch_size": 8,
        "training.precision": "float32",
    }
    detector = Detector("conv-vae", options, device="cpu").fit(cases.normals, quiet=True)
    findings = detector.score(cases[:5])
    assert len(findings) == 5
    assert sum(f"after {method.title()} et al." in note for note in detector.notes_) == 1
    detector.save(tmp_path / "model")
    loaded = Detector.load(tmp_path / "model", device="cpu")
    assert loaded.preparation_.geometry == detector.preparation_.geometry
    assert loaded.notes_ == detector.notes_
    again = loaded.score(cases[:5])
    np.testing.assert_array_equal(again.score, findings.score)
    assert findings.maps is not None
    assert again.maps is not None
    np.testing.assert_array_equal(again.maps.values, findings.maps.values)


@pytest.mark.real_data
@both_methods
def test_tissue_of_several_patients_becomes_more_alike_in_colour(method: str, real_data: Path) -> None:
    cases = load_cases(real_data / "idc")
    step = normalise_to("training", method, cases.train, Geometry(()))
    before: list[np.ndarray] = []
    after: list[np.ndarray] = []
    for subject in ("8863", "8864", "8865", "8867"):
        patient = [case for case in cases if case.subject == subject and case.label == 0][:400:16]
        images = [np.asarray(Image.open(case.path)) for case in patient if case.path is not None]
        tissue = [METHODS["vahadane"][0](image) for image in images]
        for means, several in ((before, images), (after, [normalised(step, image) for image in images])):
            inside = [image[where] for image, where in zip(several, tissue, strict=True)]
            means.append(np.concatenate(inside).mean(axis=0))
    spreads = [np.linalg.norm(np.std(means, axis=0)) for means in (before, after)]
    assert spreads[1] < 0.6 * spreads[0]
