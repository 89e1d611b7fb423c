"""Histogram matching: against the definition by counting, and which slice becomes the reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanoscope import load_cases
from sanoscope.cases.case import Case, Cases, VolumeSlice
from sanoscope.errors import DataError
from sanoscope.preparation.geometry import Picture
from sanoscope.preparation.histogram_matching import SHARES, HistogramMatching, from_centre, quantiles_of
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipes import get_recipe


def by_counting(source: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """What matching means: shares not exceeding each value, and the reference's values interpolated over its own."""
    levels = sorted(set(reference.tolist()))
    shares = [np.mean(reference <= level) for level in levels]
    matched = [np.interp(np.mean(source <= value), shares, levels) for value in source.tolist()]
    return np.array(matched)


def match(source: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Flat values matched as one row of pixels."""
    picture = HistogramMatching(quantiles_of(reference)).apply(Picture(source.reshape(1, -1, 1)))
    assert picture.pixels.dtype == np.float32
    return picture.pixels.ravel()


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=60),
    st.lists(st.integers(-100, 100), min_size=1, max_size=9),
    st.sampled_from([1, 2, 4, 8, 16]),
)
def test_matching_is_what_counting_says(source: list[int], distinct: list[int], repeats: int) -> None:
    # Shares of a reference of 16 values lie on the grid that its quantiles are kept on, so nothing is lost there.
    reference = np.resize(np.array(distinct), 16 // repeats).repeat(repeats)
    expected = by_counting(np.array(source), reference)
    np.testing.assert_allclose(match(np.array(source), reference), expected, rtol=1e-5, atol=1e-4)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 999), st.integers(50, 3000), st.integers(50, 3000))
def test_matching_of_many_values_is_within_a_step_of_the_quantiles(seed: int, count: int, others: int) -> None:
    rng = np.random.default_rng(seed)
    source, reference = rng.normal(50, 9, count), rng.gamma(2, 3, others)
    exact = by_counting(source, reference)
    shares = np.array([np.mean(source <= value) for value in source])
    step = 1 / (len(SHARES) - 1)
    levels = np.sort(reference)
    own = np.arange(1, others + 1) / others
    low, high = (np.interp(shares + shift, own, levels) for shift in (-step, step))
    matched = match(source, reference)
    assert (matched >= low - 1e-4).all()
    assert (matched <= high + 1e-4).all()
    assert (exact >= low).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 999), st.integers(1, 400))
def test_order_is_kept_and_units_do_not_matter(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    source, reference = rng.normal(size=count).astype(np.float32), rng.gamma(2, 3, 700)
    matched = match(source, reference)
    assert (np.diff(matched[np.argsort(source, kind="stable")]) >= 0).all()
    np.testing.assert_array_equal(match(np.exp(source), reference), matched)  # any increasing map will do


def test_matched_to_itself_it_stays() -> None:
    image = np.random.default_rng(0).gamma(3, 20, 20000)
    body = np.abs(image - np.median(image)) < 100
    assert np.abs(match(image, image) - image)[body].max() < 1
    eight_bit = np.rint(image).clip(0, 255)
    assert np.mean(np.rint(match(eight_bit, eight_bit)) == eight_bit) > 0.97


def test_the_foreground_is_matched_and_the_background_becomes_zero() -> None:
    rng = np.random.default_rng(0)
    pixels, inside = rng.integers(1, 200, (9, 7, 3)), rng.random((9, 7)) > 0.5
    reference = rng.gamma(2, 3, 640)
    matched = HistogramMatching(quantiles_of(reference)).apply(Picture(pixels, inside))
    assert not matched.pixels[~inside].any()
    np.testing.assert_allclose(matched.pixels[inside].ravel(), match(pixels[inside].ravel(), reference), rtol=1e-6)
    assert matched.trace == ((),)
    blank = HistogramMatching(quantiles_of(reference)).apply(Picture(pixels, np.zeros_like(inside)))
    assert not blank.pixels.any()


def test_how_far_from_the_centre() -> None:
    slices = [Case(f"volume {i}", slice=VolumeSlice("axial", i, 5)) for i in range(5)]
    assert from_centre(Cases(slices)) == pytest.approx([0.4, 0.2, 0, 0.2, 0.4])
    numbered = [Case(f"a/a_7_{number}.flair", subject="a") for number in (3, 4, 9, 10, 13)]
    assert from_centre(Cases(numbered)) == pytest.approx([0.5, 0.4, 0.1, 0.2, 0.5])
    others = [
        Case("b_1", subject="b"),
        Case("b_2", subject="b"),
        Case("c", subject="c"),
        Case("5"),
        Case("6"),
        Case("7"),
    ]
    assert from_centre(Cases([*numbered, *others]))[5:] == [0.5] * 6


def slices(subject: str, numbers: range, label: int = 0) -> list[Case]:
    """Slices ``(12, 12)`` whose centre is body, brighter with their number."""
    cases = []
    for number in numbers:
        image = np.zeros((12, 12), np.uint8)
        image[3:9, 3:9] = np.random.default_rng(number).integers(1, 60, (6, 6)) + number
        cases.append(Case(f"{subject}/{number}", pixels=image, subject=subject, label=label))
    return cases


def built(**options: object) -> Preparation:
    chosen = {"image_size": 12, "foreground": "nonzero", "intensity": "unit", "matching": "histogram"}
    preparation: Preparation = (
        get_recipe("conv-vae").with_options({"preparation": chosen | options}).build("preparation")
    )
    return preparation


def reference_of(preparation: Preparation) -> HistogramMatching:
    (step,) = (step for step in preparation.geometry.steps if isinstance(step, HistogramMatching))
    return step


def test_the_reference_is_the_central_normal_slice() -> None:
    subject, other = slices("b", range(1, 12)), slices("a", range(1, 12))
    steps = built()
    steps.fit(Cases([*subject, *other]))
    assert reference_of(steps).reference == "a/6"  # the first by name of the two
    assert steps.notes_ == ["histograms are matched to that of a/6"]
    assert other[5].pixels is not None
    body = other[5].pixels[3:9, 3:9]
    assert reference_of(steps).quantiles == quantiles_of(body.ravel())
    assert [type(step).__name__ for step in steps.geometry.steps] == [
        "Channels",
        "Foreground",
        "HistogramMatching",
        "Crop",
        "Resize",
    ]


def test_abnormal_empty_and_unreadable_slices_are_no_reference() -> None:
    given = slices("a", range(1, 12))
    given[5] = slices("a", range(6, 7), label=1)[0]
    given[4] = Case("a/5", pixels=np.zeros((12, 12), np.uint8), subject="a", label=0)
    given[6] = Case("a/7", pixels=np.full((12, 12), np.nan), subject="a", label=0)
    steps = built()
    pictures = steps.fit(Cases(given))
    assert reference_of(steps).reference == "a/4"
    assert [bad.case.name for bad in pictures.unreadable] == ["a/7"]
    with pytest.raises(DataError, match=r"foreground on 5% of it.* set preparation.matching=none"):
        built().fit(Cases([given[4]]))


def test_every_image_gets_the_references_histogram() -> None:
    given = Cases(slices("a", range(1, 12)))
    steps = built()
    pixels, inside = steps.fit(given).batch(range(len(given)))
    assert inside is not None
    reference = np.sort(pixels[5][inside[5]], axis=None)
    for image, body in zip(pixels, inside, strict=True):
        assert not image[~body].any()
        assert np.abs(np.sort(image[body], axis=None) - reference).max() < 8  # steps of ties in 36 values
    new = slices("z", range(100, 101))[0]
    again = built().load_json(json.loads(json.dumps(steps.to_json(), allow_nan=False)))
    assert again.geometry == steps.geometry
    assert again.notes_ == steps.notes_
    known, loaded = (one.tensors(one.decode(Cases([new])).batch([0])) for one in (steps, again))
    assert known.equal(loaded)
    assert known.max() <= steps.tensors((pixels, inside)).max()


@pytest.mark.parametrize(
    ("intensity", "statistics"), [("z-score", "image"), ("maximum", "volume"), ("z-score", "training")]
)
def test_the_references_scale_is_everyones(intensity: str, statistics: str) -> None:
    given = slices("a", range(1, 12))
    units = [Case(case.name, pixels=case.pixels * np.uint16(i + 1), subject="a") for i, case in enumerate(given)]
    steps = built(intensity=intensity, statistics=statistics)
    batches = []
    for cases in (given, units):
        prepared = steps.fit(Cases(cases))
        batches.append(steps.tensors(prepared.batch(range(11))))
    np.testing.assert_allclose(batches[0], batches[1], atol=1e-4)  # whatever unit each image is in


@pytest.mark.real_data
def test_brain_slices_are_matched_to_one_near_the_centre(real_data: Path) -> None:
    train = load_cases(real_data / "lgg").train.normals
    chosen = sorted({case.subject for case in train if case.subject is not None})[:4]
    # At the files' own size, so that histograms can be compared; their background is not quite zero.
    steps = built(image_size=256, channels="grey", foreground="bright")
    pictures = steps.fit(train.where(lambda case: case.subject in chosen))
    reference = reference_of(steps).reference
    pixels, inside = pictures.batch(range(len(pictures)))
    assert inside is not None
    names = [case.name for case in pictures.cases]
    assert inside[names.index(reference)].mean() > 0.25
    medians = [np.median(image[body]) for image, body in zip(pixels, inside, strict=True) if body.mean() > 0.2]
    assert len(medians) > 10
    assert np.std(medians) < 0.02 * np.mean(medians)
