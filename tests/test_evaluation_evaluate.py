"""Evaluations: estimates, bootstrap intervals over subjects or images, and what they say about themselves."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from sanoscope.errors import DataError, OptionError
from sanoscope.evaluation import (
    METRIC_LABELS,
    Evaluation,
    aggregate_subjects,
    evaluate,
    evaluate_subjects,
    evaluate_with_draws,
    mean_with_draws,
)
from sanoscope.evaluation.bootstrap import percentile_interval, resample_weights
from sanoscope.evaluation.metrics import COUNTS


def example(n: int = 200, n_subjects: int = 20) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels, scores that tell something, and subjects."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    return labels, rng.normal(size=n) + labels, [f"patient {i}" for i in rng.integers(n_subjects, size=n)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.integers(1, 30), st.integers(0, 3))
def test_a_drawn_subject_comes_with_all_its_images(subject: list[int], resamples: int, seed: int) -> None:
    names, numbers = np.unique(subject, return_inverse=True)
    weights = np.concatenate(list(resample_weights(numbers, resamples, seed)))
    assert weights.shape == (resamples, len(subject))
    first = [int(np.argmax(numbers == s)) for s in range(names.size)]
    assert (weights == weights[:, first][:, numbers]).all()  # the same for all images of a subject
    assert (weights[:, first].sum(axis=1) == names.size).all()  # as many subjects drawn as there are


def test_draws_do_not_depend_on_the_portions() -> None:
    few_images = np.arange(5)
    (whole,) = resample_weights(few_images, 12, seed=1)
    many_images = np.concatenate([few_images, np.zeros(400_000, dtype=int)])
    portions = [weights[:, :5].copy() for weights in resample_weights(many_images, 12, seed=1)]
    assert len(portions) > 1
    assert (np.concatenate(portions) == whole).all()


def test_drawing_is_uniform() -> None:
    (weights,) = resample_weights(np.arange(50), 4000, seed=0)
    # Counts of a multinomial draw: mean 1, variance 1 - 1/50; 200,000 of them.
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=5 / math.sqrt(4000))
    assert weights.var() == pytest.approx(1 - 1 / 50, rel=0.03)


def test_percentile_interval_leaves_out_the_undefined() -> None:
    values = np.concatenate([np.arange(101.0), [np.nan] * 7])
    assert percentile_interval(values, 0.9) == pytest.approx((5.0, 95.0))
    assert percentile_interval(np.array([np.nan]), 0.9) == (None, None)


def test_interval_is_as_wide_as_theory_says() -> None:
    """25 subjects with 16 images of one label each: the evidence is 25 strong, not 400."""
    labels = np.repeat(np.arange(25) < 10, 16).astype(int)
    subjects = np.repeat([f"s{i:02}" for i in range(25)], 16).tolist()
    for names, n_independent, resampled in ((subjects, 25, "subjects"), (None, 400, "images")):
        evaluation = evaluate(labels, labels.astype(float), subjects=names, resamples=4000)
        prevalence = evaluation.estimates["prevalence"]
        assert evaluation.resampled == resampled
        assert prevalence.value == 0.4
        width = 2 * 1.96 * math.sqrt(0.4 * 0.6 / n_independent)
        assert prevalence.high - prevalence.low == pytest.approx(width, rel=0.1)


def test_evaluation_by_image() -> None:
    labels, scores, subjects = example()
    evaluation = evaluate(labels, scores, scores > 0.5, subjects)
    assert list(evaluation.estimates) == list(METRIC_LABELS)
    assert (evaluation.level, evaluation.resampled, evaluation.n_subjects) == ("image", "subjects", 20)
    assert evaluation.n_images == 200 == evaluation.n_normal + evaluation.n_abnormal
    assert evaluation.n_abnormal == labels.sum()
    assert evaluation.notes == []
    for name, estimate in evaluation.estimates.items():
        if name in COUNTS:
            assert estimate.low is estimate.high is None
        else:
            assert estimate.low < estimate.value < estimate.high
    assert sum(evaluation.estimates[name].value for name in COUNTS) == 200


def test_same_seed_same_intervals() -> None:
    labels, scores, subjects = example()
    assert evaluate(labels, scores, None, subjects, seed=3) == evaluate(labels, scores, None, subjects, seed=3)
    assert evaluate(labels, scores, None, subjects, seed=3) != evaluate(labels, scores, None, subjects, seed=4)


def test_lower_level_is_narrower() -> None:
    labels, scores, subjects = example()
    wide, narrow = (evaluate(labels, scores, None, subjects, level=c).estimates["auroc"] for c in (0.95, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_images_without_subjects_are_drawn_and_it_says_so() -> None:
    labels, scores, _ = example()
    for subjects in (None, [None] * 200):
        evaluation = evaluate(labels, scores, subjects=subjects)
        assert (evaluation.resampled, evaluation.n_subjects) == ("images", 0)
        assert evaluation.notes == [
            "intervals over images: no subjects are known, so they are too narrow where images share a patient"
        ]


def test_images_of_unknown_subject_count_for_themselves() -> None:
    labels, scores, subjects = example()
    evaluation = evaluate(labels, scores, subjects=[None, None, *subjects[2:]])
    assert (evaluation.resampled, evaluation.n_subjects) == ("subjects", 20)
    assert evaluation.notes == ["each of 2 images of unknown subject counts as a subject of its own"]


def test_few_subjects_are_called_rough() -> None:
    labels, scores, subjects = example(n_subjects=9)
    assert evaluate(labels, scores, subjects=subjects).notes == ["intervals from 9 subjects are rough"]


def test_the_images_of_one_subject_are_resampled_and_it_is_said() -> None:
    labels, scores, subjects = example(n_subjects=1)
    evaluation = evaluate(labels, scores, subjects=subjects)
    over_images = evaluate(labels, scores)
    assert evaluation.estimates == over_images.estimates
    assert evaluation.estimates["auroc"].low is not None
    assert (evaluation.resampled, evaluation.n_subjects) == ("images", 1)
    assert evaluation.notes[0] == "intervals over images: all are of one subject, so they say nothing of others"


def test_resamples_without_a_class_are_reported() -> None:
    # A resample of 12 subjects misses the one abnormal subject with chance (11/12)^12 = 0.352.
    labels, scores = [1, 1] + [0] * 22, np.arange(24.0)
    subjects = [f"s{i // 2:02}" for i in range(24)]
    evaluation = evaluate(labels, scores, scores > 5, subjects, resamples=4000)
    noted = {note.split(":")[0]: note for note in evaluation.notes}
    assert set(noted) == {"AUROC", "Average precision", "Balanced accuracy", "F1", "Sensitivity"}
    percent = int(noted["AUROC"].split("not defined in ")[1].split("%")[0])
    assert percent == pytest.approx(35.2, abs=3)
    assert evaluation.estimates["auroc"].low == evaluation.estimates["auroc"].high == 0.0


@pytest.mark.parametrize(
    ("label", "undefined"),
    [
        (
            0,
            {
                "auroc": "needs both classes",
                "average_precision": "needs both classes",
                "balanced_accuracy": "needs both classes",
                "f1": "needs the abnormal class",
                "sensitivity": "needs the abnormal class",
            },
        ),
        (
            1,
            {
                "auroc": "needs both classes",
                "average_precision": "needs both classes",
                "balanced_accuracy": "needs both classes",
                "specificity": "needs the normal class",
            },
        ),
    ],
)
def test_one_class(label: int, undefined: dict[str, str]) -> None:
    evaluation = evaluate([label] * 20, np.arange(20.0), np.arange(20) >= 5, [str(i) for i in range(20)])
    assert {name: e.reason for name, e in evaluation.estimates.items() if e.value is None} == undefined
    assert evaluation.estimates["accuracy"].value == (0.25 if label == 0 else 0.75)
    assert evaluation.estimates["accuracy"].low is not None
    assert evaluation.notes == []


def test_unlabelled_images_are_left_out() -> None:
    labels, scores, subjects = example()
    decided = scores > 0.5
    whole = evaluate(labels[:-3], scores[:-3], decided[:-3], subjects[:-3])
    partly = evaluate([*labels[:-3], None, -1, float("nan")], scores, decided, subjects)
    assert partly.estimates == whole.estimates
    assert partly.n_images == 197
    assert partly.notes == ["left out, as they have no label: 3"]


# ------------------------------------------------------------------ draws


def test_intervals_are_those_of_the_draws() -> None:
    labels, scores, subjects = example()
    evaluation, draws = evaluate_with_draws(labels, scores, scores > 0.5, subjects, resamples=200, level=0.8, seed=2)
    assert evaluation == evaluate(labels, scores, scores > 0.5, subjects, resamples=200, level=0.8, seed=2)
    assert set(draws) == set(METRIC_LABELS)
    for name, values in draws.items():
        assert values.shape == (200,)
        if name not in COUNTS:
            estimate = evaluation.estimates[name]
            assert (estimate.low, estimate.high) == pytest.approx(np.quantile(values, [0.1, 0.9]))
    numbers = np.unique(subjects, return_inverse=True)[1]
    (weights,) = resample_weights(numbers, 200, 2)
    by_sklearn = [roc_auc_score(labels, scores, sample_weight=of) for of in weights[:20]]
    assert draws["auroc"][:20] == pytest.approx(by_sklearn)


def test_methods_on_the_same_images_have_the_same_resamples() -> None:
    labels, scores, subjects = example()
    _, of_one = evaluate_with_draws(labels, scores, None, subjects, resamples=100)
    _, of_same_order = evaluate_with_draws(labels, np.exp(scores), scores > 0, subjects, resamples=100)
    _, of_reversed = evaluate_with_draws(labels, -scores, None, subjects, resamples=100)
    assert (of_one["auroc"] == of_same_order["auroc"]).all()
    assert (of_one["prevalence"] == of_reversed["prevalence"]).all()
    assert of_one["auroc"] + of_reversed["auroc"] == pytest.approx(np.ones(100))
    order = np.random.default_rng(0).permutation(200)
    shuffled = [subjects[i] for i in order]
    _, elsewhere = evaluate_with_draws(labels[order], scores[order], None, shuffled, resamples=100)
    assert elsewhere["auroc"] == pytest.approx(of_one["auroc"])


@pytest.mark.parametrize("kind", ["subjects", "one subject", "some unknown", None])
def test_means_have_the_resamples_of_evaluate(kind: str | None) -> None:
    labels, scores, subjects = example()
    known = {
        "subjects": subjects,
        "one subject": ["a"] * 200,
        "some unknown": [None, None, *subjects[2:]],
        None: None,
    }[kind]
    evaluation, draws = evaluate_with_draws(labels, scores, scores > 0.5, known, resamples=50, seed=1)
    for name, values in (("accuracy", (scores > 0.5) == labels), ("prevalence", labels)):
        mean, of_mean = mean_with_draws(values, known, 50, 1)
        assert mean == pytest.approx(evaluation.estimates[name].value)
        assert of_mean == pytest.approx(draws[name], abs=1e-12)


def test_draws_of_too_little() -> None:
    _, draws = evaluate_with_draws([1], [0.5], [1], ["a"])
    assert {values.shape for values in draws.values()} == {(0,)}
    mean, of_mean = mean_with_draws([0.5])
    assert (mean, of_mean.shape) == (0.5, (0,))
    assert mean_with_draws([0.5, 1.5], resamples=0)[1].shape == (0,)
    assert np.isnan(evaluate_with_draws([1, 1], [0.5, 0.6], resamples=7)[1]["auroc"]).all()
    with pytest.raises(DataError, match="nan at position 1"):
        mean_with_draws([0.5, float("nan")])
    with pytest.raises(DataError, match="1 subjects for 2 scores"):
        mean_with_draws([0.5, 0.6], ["a"])


# ------------------------------------------------------------------ subjects


@pytest.mark.parametrize("how", ["max", "mean"])
def test_evaluation_by_subject(how: str) -> None:
    rng = np.random.default_rng(1)
    subject_label = rng.integers(0, 2, 40)
    member = rng.integers(40, size=400)
    labels = subject_label[member] * rng.integers(0, 2, 400)
    scores = rng.normal(size=400) + labels
    subjects = [None if i < 5 else f"s{m}" for i, m in enumerate(member)]

    evaluation = evaluate_subjects(labels, scores, subjects, how, threshold=1.0)
    of_subjects, aggregated, names = aggregate_subjects(labels, scores, subjects, how)
    direct = evaluate(of_subjects, aggregated, aggregated > 1.0, names)
    assert evaluation.estimates == direct.estimates
    assert evaluation.level == f"subject-{how}"
    assert (evaluation.n_images, evaluation.n_subjects) == (395, len(names))
    assert evaluation.n_normal + evaluation.n_abnormal == len(names)
    assert evaluation.notes == ["left out, as their subject is unknown: 5 images"]
    assert "accuracy" not in evaluate_subjects(labels, scores, subjects, how).estimates


def test_a_subject_at_the_threshold_is_normal() -> None:
    evaluation = evaluate_subjects([0, 1], [0.5, 0.75], ["a", "b"], threshold=0.5)
    assert evaluation.estimates["accuracy"].value == 1.0


def test_no_resamples_no_intervals() -> None:
    labels, scores, subjects = example()
    evaluation = evaluate(labels, scores, subjects=subjects, resamples=0)
    assert evaluation.estimates["auroc"].value is not None
    assert evaluation.estimates["auroc"].low is None


def test_json_round_trip() -> None:
    labels, scores, subjects = example(30)
    for of in (labels, np.zeros(30, dtype=int)):
        evaluation = evaluate(of, scores, scores > 0, subjects, resamples=50)
        assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json(), allow_nan=False))) == evaluation


def test_unusable_input_is_refused() -> None:
    with pytest.raises(DataError, match="none of 2 images has a label"):
        evaluate([None, -1], [0.1, 0.2])
    with pytest.raises(DataError, match="nan at position 1"):
        evaluate([0, 1], [0.1, float("nan")])
    with pytest.raises(DataError, match="3 labels for 2 scores"):
        evaluate([0, 1, 1], [0.1, 0.2])
    for predictions in ([1], [0, 2], [0.3, 0.7], [[0, 1]]):
        with pytest.raises(DataError, match="one 0 or 1 for each score"):
            evaluate([0, 1], [0.1, 0.2], predictions)
    with pytest.raises(DataError, match="1 subjects for 2 scores"):
        evaluate([0, 1], [0.1, 0.2], subjects=["a"])
    with pytest.raises(OptionError, match="level is 95"):
        evaluate([0, 1], [0.1, 0.2], level=95)
    with pytest.raises(OptionError, match="resamples is -1"):
        evaluate([0, 1], [0.1, 0.2], resamples=-1)
