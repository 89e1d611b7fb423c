"""Weighted metrics and curves against scikit-learn, and sets of images."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from sanoscope.errors import DataError, OptionError
from sanoscope.evaluation import aggregate_subjects, balance, precision_recall, roc
from sanoscope.evaluation.metrics import COUNTS, METRIC_LABELS, NEEDS, WeightedMetrics

# Few different values make ties likely.
score = st.one_of(st.integers(-2, 2).map(float), st.floats(-1e6, 1e6))
image = st.tuples(st.booleans(), score, st.booleans(), st.integers(0, 4))


def expected_metrics(
    truth: np.ndarray, scores: np.ndarray, predicted: np.ndarray, weight: np.ndarray
) -> dict[str, float]:
    """By scikit-learn, on both classes."""
    tn, fp, fn, tp = reference.confusion_matrix(truth, predicted, labels=[0, 1], sample_weight=weight).ravel()
    return {
        "auroc": reference.roc_auc_score(truth, scores, sample_weight=weight),
        "average_precision": reference.average_precision_score(truth, scores, sample_weight=weight),
        "prevalence": np.average(truth, weights=weight),
        "accuracy": reference.accuracy_score(truth, predicted, sample_weight=weight),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, predicted, sample_weight=weight),
        "f1": reference.f1_score(truth, predicted, sample_weight=weight),
        "sensitivity": reference.recall_score(truth, predicted, sample_weight=weight),
        "specificity": reference.recall_score(~truth, ~predicted, sample_weight=weight),
        "true_positives": tp,
        "false_positives": fp,
        "true_negatives": tn,
        "false_negatives": fn,
    }


@settings(deadline=None, max_examples=150)
@given(st.lists(image, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_weighted_metrics_equal_scikit_learn(images: list[tuple[bool, float, bool, int]], random) -> None:  # type: ignore[no-untyped-def]
    truth, scores, predicted, weight = (np.array(column) for column in zip(*images, strict=True))
    rows = np.stack([weight, random.sample(weight.tolist(), len(images)), np.ones(len(images))])
    values = WeightedMetrics(truth, scores, predicted)(rows.astype(float))
    assert set(values) == set(METRIC_LABELS)
    for row, weights in enumerate(rows):
        present = weights > 0
        if not present.any():
            assert all(np.isnan(values[name][row]) for name in METRIC_LABELS if name not in COUNTS)
        elif len(set(truth[present])) == 2:
            # Scikit-learn warns of images of weight 0, so they are taken out for it.
            expected = expected_metrics(truth[present], scores[present], predicted[present], weights[present])
            for name, value in expected.items():
                assert values[name][row] == pytest.approx(value, abs=1e-12), name
        else:
            missing = "normal" if truth[present].all() else "abnormal"
            lacking = {name for name, needs in NEEDS.items() if missing in needs.split() or "both" in needs}
            assert {name for name, value in values.items() if np.isnan(value[row])} == lacking


def test_without_predictions_there_are_no_metrics_of_decisions() -> None:
    values = WeightedMetrics(np.array([True, False]), np.array([1.0, 0.0]), None)(np.ones((1, 2)))
    assert set(values) == {"auroc", "average_precision", "prevalence"}


def test_curves_by_definition() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.3
    scores = np.round(rng.normal(size=200) + truth, 1)
    curve = roc([*truth.astype(int), None], [*scores, 99.0])
    area = reference.auc(curve.false_positive_rate, curve.true_positive_rate)
    assert area == pytest.approx(reference.roc_auc_score(truth, scores))
    precision, recall, thresholds = precision_recall(truth, scores)
    assert (precision[-1], recall[-1]) == (1.0, 0.0)
    for p, r, threshold in zip(precision, recall, thresholds, strict=False):
        called = scores >= threshold
        assert p == pytest.approx(truth[called].mean())
        assert r == pytest.approx(called[truth].mean())


@pytest.mark.parametrize("labels", [[0, 0, None], [1, 1, 1]])
def test_curves_need_both_classes(labels: list[int | None]) -> None:
    for curve in (roc, precision_recall):
        with pytest.raises(DataError, match="both classes"):
            curve(labels, [0.1, 0.2, 0.3])


@settings(deadline=None)
@given(st.lists(st.sampled_from([0, 1, None]), max_size=60), st.integers(0, 5))
def test_balanced_subset(labels: list[int | None], seed: int) -> None:
    smaller = min(labels.count(0), labels.count(1))
    if not smaller:
        with pytest.raises(DataError, match="a balanced set needs both"):
            balance(labels, seed)
        return
    chosen = balance(labels, seed)
    assert [labels[i] for i in chosen].count(0) == [labels[i] for i in chosen].count(1) == smaller
    assert len(chosen) == 2 * smaller
    assert (np.diff(chosen) > 0).all()
    assert (chosen == balance(labels, seed)).all()


def test_balance_drops_at_random() -> None:
    labels = [0] * 100 + [1] * 10
    first, second = balance(labels, 0), balance(labels, 1)
    assert set(first[-10:]) == set(second[-10:]) == set(range(100, 110))
    assert set(first) != set(second)


def test_subjects_are_aggregated() -> None:
    labels = [0, 1, 0, None, None, 0]
    scores = [0.5, 0.1, 0.25, 0.75, 0.9, 7.0]
    subjects = ["b", "b", "a", "a", "c", None]
    of_max = aggregate_subjects(labels, scores, subjects)
    assert (of_max[0].tolist(), of_max[1].tolist(), of_max[2]) == (
        [0, 1, -1],
        [0.75, 0.5, 0.9],
        ["a", "b", "c"],
    )
    of_mean = aggregate_subjects(labels, scores, subjects, how="mean")
    assert of_mean[0].tolist() == [0, 1, -1]
    assert of_mean[1] == pytest.approx([0.5, 0.3, 0.9])
    assert aggregate_subjects([0, 0], [-3.0, -2.0], ["a", "a"])[1] == [-2.0]


def test_subjects_that_cannot_be_aggregated() -> None:
    with pytest.raises(DataError, match="the subject of none of 2 images is known"):
        aggregate_subjects([0, 1], [0.1, 0.2], [None, None])
    with pytest.raises(DataError, match="1 subjects for 2 scores"):
        aggregate_subjects([0, 1], [0.1, 0.2], ["a"])
    with pytest.raises(OptionError, match="did you mean 'mean'"):
        aggregate_subjects([0, 1], [0.1, 0.2], ["a", "b"], how="means")


def test_scikit_learn_is_imported_late() -> None:
    code = "import sys, sanoscope.evaluation, sanoscope.decision; print('sklearn' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
