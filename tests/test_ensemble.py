"""The ensemble of pixel predictors: which subjects it is fitted on, and its weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from sanoscope.errors import DataError
from sanoscope.evaluation.ensemble import fit_ensemble, split_labelled


@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=2, max_size=40),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_subjects_are_on_one_side_and_both_sides_have_lesions(
    images: list[tuple[int, bool]], fraction: float, seed: int
) -> None:
    subjects, positive = [f"subject {number}" for number, _ in images], [flag for _, flag in images]
    carriers = {subject for subject, flag in zip(subjects, positive, strict=True) if flag}
    if len(carriers) < 2:
        with pytest.raises(DataError, match=f"{len(carriers)} of {len(set(subjects))} subjects have positive"):
            split_labelled(subjects, positive, fraction, seed)
        return
    chosen = split_labelled(subjects, positive, fraction, seed)
    assert chosen.shape == (len(images),)
    assert chosen.dtype == bool
    sides = [{subject for subject, side in zip(subjects, chosen, strict=True) if side == wanted} for wanted in (0, 1)]
    assert not sides[0] & sides[1]
    assert sides[0] & carriers
    assert sides[1] & carriers
    count = len(set(subjects))
    assert len(sides[1]) == min(max(round(fraction * count), 1), count - 1)
    np.testing.assert_array_equal(chosen, split_labelled(subjects, positive, fraction, seed))


def test_another_seed_takes_other_subjects() -> None:
    subjects = [str(number) for number in range(50)]
    splits = {tuple(np.flatnonzero(split_labelled(subjects, [True] * 50, seed=seed))) for seed in range(5)}
    assert len(splits) == 5
    assert all(len(split) == 5 for split in splits)


@pytest.fixture
def pixels() -> tuple[np.ndarray, np.ndarray]:
    """Three predictors of very different size, and truth drawn from a logistic model over them."""
    random = np.random.default_rng(0)
    features = random.exponential((1.0, 10.0, 0.01), (60_000, 3)).astype(np.float32)
    odds = features @ np.array([1.0, 0.1, 100.0]) - 4
    return features, random.random(len(odds)) < 1 / (1 + np.exp(-odds))


def test_weights_are_those_that_made_the_truth(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_allclose(fit_ensemble(*pixels, standardise=True), [1.0, 0.1, 100.0], rtol=0.1)


def test_unless_standardised_the_penalty_is_on_the_weights_as_they_are(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    """At the minimum of ``½ |w|²`` and the negative log-likelihood both slopes cancel."""
    features, truth = pixels[0].astype(np.float64), pixels[1]
    weights = fit_ensemble(*pixels)

    def surplus(intercept: float) -> float:
        return float((expit(features @ weights + intercept) - truth).sum())

    intercept = brentq(surplus, -20, 20)
    slope = features.T @ (expit(features @ weights + intercept) - truth)
    np.testing.assert_allclose(slope, -weights, rtol=0.01, atol=0.1)


def test_it_ranks_better_than_any_predictor(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    features, truth = pixels
    half = len(truth) // 2
    weights = fit_ensemble(features[:half], truth[:half], standardise=True)
    single = [roc_auc_score(truth[half:], features[half:, column]) for column in range(3)]
    assert roc_auc_score(truth[half:], features[half:] @ weights) > max(single) + 0.02


def test_of_many_pixels_some_are_drawn(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    whole = fit_ensemble(*pixels, standardise=True)
    few, again, others = (fit_ensemble(*pixels, standardise=True, pixels=20_000, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(few, again)
    assert not np.array_equal(few, others)
    np.testing.assert_allclose(few, whole, rtol=0.2)


def test_a_constant_predictor_says_nothing(pixels: tuple[np.ndarray, np.ndarray]) -> None:
    features, truth = pixels
    with_constant = np.column_stack([features, np.full(len(truth), 3.0)])
    np.testing.assert_allclose(
        fit_ensemble(with_constant, truth, True)[:3], fit_ensemble(features, truth, True), rtol=1e-3
    )


@pytest.mark.parametrize("value", [False, True])
def test_one_class_is_refused(value: bool) -> None:
    with pytest.raises(DataError, match="abnormal" if value else "normal"):
        fit_ensemble(np.ones((10, 2)), np.full(10, value))
