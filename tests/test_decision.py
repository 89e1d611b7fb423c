"""Thresholds for images and for pixels, and conformal p-values."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanoscope.decision import Decision, DecisionPolicy, fit_decision, p_values, percentile_curve
from sanoscope.errors import DataError, ModelError, OptionError

# Few different values make ties likely; any floats test the extremes.
tied = st.integers(-3, 3).map(lambda i: i / 4)
any_floats = st.floats(allow_nan=False, allow_infinity=False)
score = st.one_of(tied, any_floats)
rate = st.integers(1, 999).map(lambda i: i / 1000)


@st.composite
def labelled_scores(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    """Scores with labels of both classes."""
    pairs = draw(st.lists(st.tuples(score, st.integers(0, 1)), max_size=25))
    scores, labels = [s for s, _ in pairs], [label for _, label in pairs]
    return [*scores, draw(score), draw(score)], [*labels, 0, 1]


def rates(predicted: np.ndarray, labels: list[int]) -> tuple[int, int]:
    """J times the size of both classes, and the false positives."""
    truth = np.array(labels) == 1
    tp, fp = int((predicted & truth).sum()), int((predicted & ~truth).sum())
    return tp * int((~truth).sum()) - fp * int(truth.sum()), fp


@settings(deadline=None)
@given(labelled_scores())
def test_youden_is_the_best_of_all_thresholds(data: tuple[list[float], list[int]]) -> None:
    scores, labels = data
    decision = fit_decision(scores, labels)
    assert decision.rule == "youden"
    assert decision.target_false_positive_rate is None
    j, false_positives = rates(decision.decide(scores), labels)
    every = [rates(np.array(scores) > threshold, labels) for threshold in [-math.inf, *scores]]
    assert j == max(j for j, _ in every)
    assert false_positives == min(fp for other, fp in every if other == j)


def test_youden_threshold_lies_midway_between_scores() -> None:
    decision = fit_decision([0.0, 1.0, 2.0, 4.0], [0, 0, 1, 1])
    assert decision.threshold == 1.5
    assert decision.fitted_on == {"normal": 2, "abnormal": 2, "description": "validation split"}


def test_youden_between_neighbouring_floats() -> None:
    low = np.nextafter(1.0, 0.0)
    for pair in ([low, 1.0], [1.0, np.nextafter(1.0, 2.0)], [0.0, 5e-324], [-1.7e308, 1.7e308]):
        assert fit_decision(pair, [0, 1]).decide(pair).tolist() == [False, True]


def test_youden_that_finds_nothing_says_so() -> None:
    decision = fit_decision([3.0, 4.0, 1.0], [0, 0, 1])
    assert not decision.decide([1.0, 3.0, 4.0]).any()
    assert "nothing abnormal" in decision.fitted_on["note"]


@settings(deadline=None)
@given(st.lists(score, min_size=1, max_size=60), rate)
def test_quantile_keeps_the_false_positive_rate(normals: list[float], target: float) -> None:
    decision = fit_decision(normals, [0] * len(normals), target_false_positive_rate=target)
    assert decision.rule == "quantile"
    assert decision.decide(normals).mean() <= target


@settings(deadline=None)
@given(st.lists(score, min_size=1, max_size=60), st.lists(score, min_size=1, max_size=20), rate)
def test_quantile_decides_as_the_p_value(normals: list[float], scores: list[float], target: float) -> None:
    decision = fit_decision(normals, [0] * len(normals), target_false_positive_rate=target)
    p = p_values(scores, normals)
    if "note" in decision.fitted_on:  # too few normals for any p-value to reach the target
        assert (p > target).all()
        assert decision.threshold == max(normals)
    else:
        assert (decision.decide(scores) == (p <= target)).all()


@pytest.mark.parametrize(
    ("n", "target", "rank"),
    [(19, 0.05, 19), (99, 0.05, 95), (149, 0.18, 123), (99, 0.29, 71), (999, 0.001, 999), (20, 0.05, 20)],
)
def test_quantile_is_the_conformal_order_statistic(n: int, target: float, rank: int) -> None:
    normals = np.random.default_rng(0).permutation(np.arange(1, n + 1))
    decision = fit_decision(normals, [0] * n, target_false_positive_rate=target)
    assert decision.threshold == rank
    assert "note" not in decision.fitted_on


def test_quantile_of_too_few_normals_says_so() -> None:
    decision = fit_decision(range(18), [0] * 18, target_false_positive_rate=0.05)
    assert decision.threshold == 17
    assert decision.fitted_on["note"] == (
        "a false-positive rate of 0.05 needs 19 normals; with 18 the threshold is their largest score"
    )


def test_quantile_ignores_abnormal_images() -> None:
    decision = fit_decision([1.0, 2.0, 3.0, 50.0], [0, 0, 0, 1], "quantile", target_false_positive_rate=0.5)
    assert decision.threshold == 2.0
    assert decision.fitted_on["abnormal"] == 1


@pytest.mark.parametrize("unknown", [None, -1, float("nan")])
def test_unknown_labels_count_as_normal(unknown: int | None) -> None:
    decision = fit_decision([1.0, 2.0, 3.0], [0, unknown, unknown], target_false_positive_rate=0.5)
    assert decision.rule == "quantile"
    assert decision.fitted_on["normal"] == 3
    assert decision.fitted_on["note"] == "2 images without a label are counted as normal"
    assert fit_decision([1.0, 2.0], [unknown, 1]).rule == "youden"


@settings(deadline=None)
@given(st.lists(score, min_size=2, max_size=30))
def test_p_values_of_exchangeable_scores_are_superuniform(scores: list[float]) -> None:
    # Each score in turn is the new one: the exact distribution under exchangeability.
    p = np.array([p_values([s], scores[:i] + scores[i + 1 :])[0] for i, s in enumerate(scores)])
    for level in p:
        assert (p <= level).mean() <= level + 1e-12


def test_p_values_by_hand() -> None:
    assert p_values([0.0, 2.0, 2.5, 9.0], [3.0, 1.0, 2.0]) == pytest.approx([1.0, 0.75, 0.5, 0.25])


def test_json_round_trip() -> None:
    for labels in ([0, 0, 1], [None, None, None]):
        decision = fit_decision([0.1, 0.2, 0.7], labels, description="phantoms, seed 0")
        assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision


@pytest.mark.parametrize(
    "change",
    [{"rule": "guess"}, {"threshold": float("nan")}, {"threshold": None}, {"threshold": "0.3"}, {"extra": 1}],
)
def test_altered_decisions_are_refused(change: dict[str, object]) -> None:
    stored = fit_decision([0.1, 0.2], [0, 1]).to_json()
    with pytest.raises(ModelError, match="fit it again"):
        Decision.from_json(stored | change)
    del stored["threshold"]
    with pytest.raises(ModelError, match="threshold"):
        Decision.from_json(stored)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, float("nan"), 0.2], [0, 0, 1], "1 of 3 scores are not finite, the first is nan at position 1"),
        ([0.1, float("inf")], [0, 1], "not finite"),
        ([], [], "at least one"),
        ([[0.1, 0.2]], [0], "one score for each image"),
        ([0.1, 0.2], [0], "1 labels for 2 scores"),
        ([0.1, 0.2], [0, 2], "label 2; use 0 for normal"),
        ([0.1, 0.2], [1, 1], "validation split: all 2 images are abnormal"),
    ],
)
def test_unusable_data_is_refused(scores: list[float], labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit_decision(scores, labels)


def test_youden_needs_both_classes() -> None:
    with pytest.raises(DataError, match="use rule 'quantile'"):
        fit_decision([0.1, 0.2], [0, None], "youden")


def test_unusable_options_are_refused() -> None:
    with pytest.raises(OptionError, match="did you mean 'quantile'"):
        fit_decision([0.1, 0.2], [0, 1], "quantil")
    for target in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(OptionError, match="between 0 and 1"):
            fit_decision([0.1, 0.2], [0, 0], target_false_positive_rate=target)


def test_scores_that_are_not_finite_are_never_decided() -> None:
    decision = fit_decision([0.1, 0.2], [0, 1])
    with pytest.raises(DataError, match="nan at position 0"):
        decision.decide([float("nan")])
    with pytest.raises(DataError, match="nan"):
        p_values([float("nan")], [0.1])
    with pytest.raises(DataError, match="at least one"):
        p_values([0.1], [])


# ------------------------------------------------------------ thresholds for pixels


def policy(**changes: Any) -> DecisionPolicy:
    given = {"rule": "auto", "target_false_positive_rate": 0.05, "map_percentiles": (95.0,), "map_threshold": 0.0}
    return DecisionPolicy(**(given | changes))


def test_percentile_curve_by_hand() -> None:
    # Percentiles of 0, 1, …, 100 are themselves; the image in the middle counts, not the mean of the three.
    ramp = np.random.default_rng(0).permutation(101).astype(float).reshape(1, 101, 1)
    curve = percentile_curve(np.concatenate([3 * ramp, np.zeros_like(ramp), ramp]))
    np.testing.assert_allclose(curve, np.arange(101), atol=1e-9)
    np.testing.assert_allclose(percentile_curve(np.concatenate([ramp, 3 * ramp])), 2 * np.arange(101), atol=1e-9)


def test_percentile_curve_is_numpys_image_by_image() -> None:
    maps = np.random.default_rng(0).exponential(1, (7, 5, 9)).astype(np.float32)
    curve = percentile_curve(maps)
    assert curve.shape == (101,)
    for q in (0, 1, 50, 85, 99, 100):
        by_hand = sorted(np.percentile(image, q) for image in maps)[3]
        assert curve[q] == pytest.approx(by_hand, rel=1e-6)
    assert (np.diff(curve) >= 0).all()


def test_thresholds_for_pixels_have_names() -> None:
    curve = np.arange(101) / 7
    assert policy().for_pixels(curve) == {"p95": 95 / 7}
    several = policy(map_percentiles=(85.0, 100.0, 0.0), map_threshold=0.5).for_pixels(curve)
    assert several == {"0.5": 0.5, "p85": 85 / 7, "p100": 100 / 7, "p0": 0.0}
    assert list(several) == ["0.5", "p85", "p100", "p0"]
    assert policy(map_threshold=0.0).for_pixels(curve).keys() == {"p95"}


@pytest.mark.parametrize("refused", [97.5, -1.0, 101.0, float("nan"), float("inf")])
def test_percentiles_that_are_not_kept_are_refused(refused: float) -> None:
    with pytest.raises(OptionError, match=rf"takes whole numbers from 0 to 100, not {refused:g}"):
        policy(map_percentiles=(95.0, refused))


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [0, 0, None, None]])
@pytest.mark.parametrize("rule", ["auto", "quantile"])
def test_a_policy_decides_of_images_as_it_is_told(labels: list[int | None], rule: str) -> None:
    scores = [0.1, 0.2, 0.7, 0.6]
    decision = policy(rule=rule, target_false_positive_rate=0.4).for_images(scores, labels, "here")
    assert decision == fit_decision(scores, labels, rule, 0.4, "here")
