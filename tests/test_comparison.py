"""Paired comparisons of two methods against plain definitions, closed forms and simulated null hypotheses."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, norm
from sklearn.metrics import roc_auc_score

from sanoscope.errors import DataError
from sanoscope.evaluation import (
    Difference,
    JudgedImages,
    delong,
    evaluate_with_draws,
    holm,
    paired_difference,
)


def error_of(difference: Difference) -> float:
    """The standard error that a 95 % interval was made from."""
    assert difference.low is not None
    assert difference.high is not None
    return (difference.high - difference.low) / (2 * norm.ppf(0.975))


def by_definition(
    labels: np.ndarray, reference: np.ndarray, other: np.ndarray, subjects: Sequence[object]
) -> tuple[float, float]:
    """The difference of the AUROC and its variance, by all pairs and the sums of Obuchowski's paper."""
    pairs = []
    for scores in (reference, other):
        x, y = scores[labels == 1][:, None], scores[labels == 0][None]
        pairs.append((x > y) + 0.5 * (x == y))
    psi = pairs[1] - pairs[0]
    (m, n), theta = psi.shape, psi.mean()
    names = np.array(subjects)
    of_x, of_y = names[labels == 1], names[labels == 0]
    s10 = s01 = s11 = 0.0
    for name in set(subjects):
        x_sum = psi.mean(axis=1)[of_x == name].sum() - (of_x == name).sum() * theta
        y_sum = psi.mean(axis=0)[of_y == name].sum() - (of_y == name).sum() * theta
        s10, s01, s11 = s10 + x_sum**2, s01 + y_sum**2, s11 + x_sum * y_sum
    i10, i01, i = len(set(of_x)), len(set(of_y)), len(set(subjects))
    s10, s01, s11 = s10 * i10 / ((i10 - 1) * m), s01 * i01 / ((i01 - 1) * n), s11 * i / (i - 1)
    return float(theta), float(s10 / m + s01 / n + 2 * s11 / (m * n))


def two_methods(n: int = 60, seed: int = 0, trainings: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and scores of two methods that share some of their errors."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 2)
    shared = rng.normal(size=n) + labels
    reference, other = shared + rng.normal(size=(2, trainings, n))
    return labels, reference, other


# ------------------------------------------------------------------ DeLong

image = st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 3), st.integers(0, 5))


@settings(deadline=None, max_examples=200)
@given(st.lists(image, min_size=4, max_size=25))
def test_delong_equals_its_definition(images: list[tuple[int, int, int, int]]) -> None:
    labels, reference, other, subjects = np.array(images).T
    assume(min(len(set(subjects[labels == label])) for label in (0, 1)) > 1)
    names = [f"patient {subject}" for subject in subjects]
    value, variance = by_definition(labels, reference, other, names)
    found = delong([JudgedImages(labels, reference[None], other[None], names)])
    assert found.value == pytest.approx(value, abs=1e-12)
    assert found.value == pytest.approx(roc_auc_score(labels, other) - roc_auc_score(labels, reference), abs=1e-12)
    if variance > 1e-20:
        assert error_of(found) == pytest.approx(sqrt(variance), rel=1e-9)
        assert found.p == pytest.approx(2 * norm.sf(abs(value) / sqrt(variance)), rel=1e-9)
    else:
        assert found.p == (1.0 if abs(value) < 1e-12 else None)


def test_delong_by_hand() -> None:
    """Placements 1/2 and 1 of either class: variances 1/8, so that of the AUROC of 3/4 is 1/16 + 1/16."""
    found = delong([JudgedImages([0, 1, 0, 1], [7, 7, 7, 7], [1, 2, 3, 4])])  # a constant reference has no variance
    assert found.value == 0.25
    assert error_of(found) == pytest.approx(sqrt(1 / 8))
    assert found.p == pytest.approx(2 * norm.sf(0.25 / sqrt(1 / 8)))


def test_images_of_their_own_subject_have_the_variance_of_delong() -> None:
    """There is no factor between the two: of one abnormal or normal image each, Obuchowski's sums are DeLong's."""
    labels, reference, other = two_methods()
    placements = []
    for scores in (reference[0], other[0]):
        x, y = scores[labels == 1][:, None], scores[labels == 0][None]
        placements.append(((x > y).mean(axis=1), (x > y).mean(axis=0)))
    of_x, of_y = (placements[1][side] - placements[0][side] for side in (0, 1))
    variance = of_x.var(ddof=1) / 30 + of_y.var(ddof=1) / 30
    for subjects in (None, [f"patient {i}" for i in range(60)]):
        assert error_of(delong([JudgedImages(labels, reference, other, subjects)])) == pytest.approx(sqrt(variance))


@pytest.mark.parametrize("times", [2, 7])
def test_copies_of_images_are_no_evidence(times: int) -> None:
    labels, reference, other = two_methods()
    subjects = np.array([f"patient {i % 20}" for i in range(60)])
    once, copied = (
        delong([JudgedImages(*(np.tile(of, k) for of in (labels, reference, other, subjects)))]) for k in (1, times)
    )
    assert error_of(copied) == pytest.approx(error_of(once), rel=1e-12)
    unaware = delong([JudgedImages(*(np.tile(of, times) for of in (labels, reference, other)))])
    assert error_of(unaware) < 1.1 * error_of(once) / sqrt(times)


def test_trainings_are_averaged() -> None:
    labels, reference, other = two_methods(trainings=3)
    found = delong([JudgedImages(labels, reference, other)])
    means = [np.mean([roc_auc_score(labels, scores) for scores in of]) for of in (other, reference)]
    assert found.value == pytest.approx(means[0] - means[1])
    # What the mean of AUROCs adds up from, pair by pair.
    x, y = labels == 1, labels == 0
    psi = np.mean([o[x][:, None] > o[y] for o in other], axis=0) - np.mean([r[x][:, None] > r[y] for r in reference], 0)
    variance = psi.mean(axis=1).var(ddof=1) / 30 + psi.mean(axis=0).var(ddof=1) / 30
    assert error_of(found) == pytest.approx(sqrt(variance))
    repeated = delong([JudgedImages(labels, np.repeat(reference[:1], 4, axis=0), other[:1])])
    assert repeated.value == pytest.approx(delong([JudgedImages(labels, reference[0], other[0])]).value)


def test_folds_are_averaged_as_independent() -> None:
    folds = [JudgedImages(*two_methods(n, seed)) for seed, n in enumerate((40, 60, 100))]
    alone = [delong([fold]) for fold in folds]
    together = delong(folds)
    assert together.value == pytest.approx(np.mean([fold.value for fold in alone]))
    assert error_of(together) == pytest.approx(sqrt(sum(error_of(fold) ** 2 for fold in alone)) / 3)
    assert delong([folds[0]] * 4).value == pytest.approx(alone[0].value)
    assert error_of(delong([folds[0]] * 4)) == pytest.approx(error_of(alone[0]) / 2)


def test_the_reference_and_the_other_change_places() -> None:
    labels, reference, other = two_methods()
    forth, back = delong([JudgedImages(labels, reference, other)]), delong([JudgedImages(labels, other, reference)])
    assert (back.value, back.low, back.high, back.p) == pytest.approx((-forth.value, -forth.high, -forth.low, forth.p))
    narrow = delong([JudgedImages(labels, reference, other)], level=0.5)
    assert narrow.p == forth.p
    assert forth.low < narrow.low < narrow.value < narrow.high < forth.high


def test_images_of_unknown_label_are_left_out() -> None:
    labels, reference, other = two_methods()
    partly = [None, -1, *labels[2:]]
    assert delong([JudgedImages(partly, reference, other)]) == delong(
        [JudgedImages(labels[2:], reference[:, 2:], other[:, 2:])]
    )


def test_where_delong_has_no_p_value() -> None:
    labels, reference, other = two_methods(8)
    same = delong([JudgedImages(labels, reference, np.exp(reference))])  # the same order
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    shuffled = delong(
        [JudgedImages(labels, np.stack([reference[0], other[0], other[0]]), [*other, *reference, *other])]
    )
    assert shuffled.p == 1.0  # the same trainings in another order
    perfect = delong([JudgedImages(labels, np.zeros(8), labels)])
    assert perfect == Difference(0.5, None, None, None)
    one_abnormal = delong([JudgedImages([1, 0, 0, 0], [1, 2, 3, 4], [4, 2, 3, 1])])
    assert one_abnormal == Difference(1.0, None, None, None)
    one_patient = JudgedImages(labels, reference, other, ["a" if label else None for label in labels])
    assert delong([one_patient]).p is None
    assert delong([one_patient, JudgedImages(labels, reference, other)]).p is None


def test_what_delong_refuses() -> None:
    with pytest.raises(DataError, match="0 normal and 2 abnormal images; an AUROC needs both classes"):
        delong([JudgedImages([1, 1, None], [1, 2, 3], [1, 2, 3])])
    with pytest.raises(DataError, match="2 labels for 3 scores"):
        delong([JudgedImages([1, 0], [[1, 2, 3]], [1, 2, 3])])
    with pytest.raises(DataError, match="nan at position 1"):
        delong([JudgedImages([1, 0], [1, 2], [1, np.nan])])
    with pytest.raises(DataError, match="1 subjects for 2 scores"):
        delong([JudgedImages([1, 0], [1, 2], [1, 2], ["a"])])


# ------------------------------------------------------------------ under the null hypothesis


def null_data(seed: int, n_subjects: int = 40) -> JudgedImages:
    """Two equally good methods on three alike images a subject, every fourth of which has both classes."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(n_subjects), 3)
    labels = (subject % 2).copy()
    labels[::12] = 1 - labels[::12]
    of_subject = rng.normal(size=(2, n_subjects))[:, subject]
    reference, other = 1.2 * labels + of_subject + 0.3 * rng.normal(size=(2, subject.size))
    return JudgedImages(labels, reference, other, [f"patient {s:02}" for s in subject])


def assert_uniform(p: Sequence[float | None]) -> None:
    """Within what chance, and the approximation by few subjects, allow."""
    values = np.array(p, dtype=float)
    assert kstest(values, "uniform").statistic < 1.63 / sqrt(values.size) + 0.02  # the first passes 99 of 100 times
    assert 0.02 < (values < 0.05).mean() < 0.09


def test_p_values_of_delong_are_uniform_where_subjects_are_known() -> None:
    data = [null_data(seed) for seed in range(400)]
    assert_uniform([delong([of]).p for of in data])
    unaware = [delong([JudgedImages(of.labels, of.reference, of.other)]).p for of in data]
    assert np.mean(np.array(unaware) < 0.05) > 0.15


def test_p_values_of_the_paired_bootstrap_are_uniform() -> None:
    p = []
    for seed in range(250):
        data = null_data(seed)
        (one, draws_of_one), (two, draws_of_two) = (
            evaluate_with_draws(data.labels, scores, subjects=data.subjects, resamples=199, seed=seed)
            for scores in (data.reference, data.other)
        )
        values = [of.estimates["auroc"].value for of in (one, two)]
        p.append(paired_difference(*values, draws_of_one["auroc"], draws_of_two["auroc"]).p)
    assert_uniform(p)


def test_both_tests_see_the_same_difference() -> None:
    labels, reference, other = two_methods(200, seed=3)
    better = other[0] + 0.5 * labels
    by_placements = delong([JudgedImages(labels, reference, better)])
    (one, draws_of_one), (two, draws_of_two) = (
        evaluate_with_draws(labels, scores, resamples=4000) for scores in (reference[0], better)
    )
    values = [of.estimates["auroc"].value for of in (one, two)]
    by_draws = paired_difference(*values, draws_of_one["auroc"], draws_of_two["auroc"])
    assert by_draws.value == pytest.approx(by_placements.value)
    assert (by_draws.low, by_draws.high) == pytest.approx((by_placements.low, by_placements.high), abs=0.01)
    assert by_draws.p == pytest.approx(by_placements.p, abs=0.01)


# ------------------------------------------------------------------ paired bootstrap


def test_paired_difference_by_hand() -> None:
    other_draws = [0.5, 0.5, 0.6, 0.7, 0.9, np.nan, 0.7]
    reference_draws = [0.6, 0.5, 0.5, 0.5, 0.5, 0.5, np.nan]
    found = paired_difference(0.5, 0.62, reference_draws, other_draws, level=0.5)
    # Differences -0.1, 0, 0.1, 0.2, 0.4: two are not above 0, four are not below.
    assert found.value == pytest.approx(0.12)
    assert (found.low, found.high) == pytest.approx((0.0, 0.2))
    assert found.p == pytest.approx(2 * (1 + 2) / (5 + 1))
    always = paired_difference(0.5, 0.6, np.zeros(999), np.ones(999))
    assert always.p == pytest.approx(2 / 1000)


def test_paired_difference_of_several_trainings_is_that_of_their_means() -> None:
    assert paired_difference([0.5, 0.7], [0.8, 0.6, 1.0], [0.0], [0.0]).value == pytest.approx(0.2)


def test_rounding_is_no_difference() -> None:
    draws = np.random.default_rng(0).random((3, 500))
    one, two = (draws[0] + draws[1] + draws[2]) / 3, (draws[2] + draws[1] + draws[0]) / 3
    assert (one != two).any()
    assert paired_difference(0.5, 0.5, one, two) == Difference(0.0, 0.0, 0.0, 1.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=30))
def test_paired_differences_mirror(draws: list[tuple[int, int]]) -> None:
    reference, other = np.array(draws, dtype=float).T
    forth = paired_difference(reference.mean(), other.mean(), reference, other)
    back = paired_difference(other.mean(), reference.mean(), other, reference)
    assert (back.value, back.low, back.high, back.p) == pytest.approx((-forth.value, -forth.high, -forth.low, forth.p))
    assert forth.p is not None
    assert 2 / (len(draws) + 1) <= forth.p <= 1


def test_draws_that_cannot_be_paired() -> None:
    with pytest.raises(DataError, match="evaluate both with the same resamples"):
        paired_difference(0.5, 0.6, np.zeros(10), np.zeros(11))
    for nothing in (np.empty(0), np.full(5, np.nan)):
        assert paired_difference(0.5, 0.75, nothing, nothing) == Difference(0.25, None, None, None)


# ------------------------------------------------------------------ Holm


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, None, 0.03, 0.005]) == pytest.approx([0.03, 0.06, None, 0.06, 0.02])
    assert holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])
    assert holm([0.7, 0.6]) == [1.0, 1.0]
    assert holm([None, None]) == [None, None]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(0, 1), max_size=12), st.randoms(use_true_random=False))
def test_holm_in_any_order(p: list[float | None], random: Random) -> None:
    adjusted = holm(p)
    known = sorted((a, b) for a, b in zip(p, adjusted, strict=True) if a is not None)
    assert [value is None for value in p] == [value is None for value in adjusted]
    for before, after in known:
        assert before <= after <= min(1, before * len(known))
    assert [after for _, after in known] == sorted(after for _, after in known)
    order = list(range(len(p)))
    random.shuffle(order)
    assert holm([p[i] for i in order]) == [adjusted[i] for i in order]
