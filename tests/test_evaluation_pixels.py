"""Pixel metrics against scikit-learn and plain definitions."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn import metrics as reference

from sanoscope.errors import DataError, OptionError
from sanoscope.evaluation import (
    OPERATING_POINT,
    PIXEL_DECISION_LABELS,
    PIXEL_METRIC_LABELS,
    PixelEvaluation,
    PixelRow,
    PixelSample,
    evaluate_pixels,
    evaluate_pixels_with_draws,
    format_text_table,
    pixel_decisions_table,
    pixel_results_table,
    pixel_table_notes,
)
from sanoscope.evaluation.bootstrap import resample_weights
from sanoscope.evaluation.pixel_counts import EXACT_PIXELS, PixelCounter, ScoreCounts
from sanoscope.evaluation.pixel_curves import curve_metrics
from sanoscope.evaluation.pixel_histograms import SubjectHistograms

CURVES = ("auroc", "average_precision", "auprc_trapezoidal", "oracle_dice")


def expected_curves(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """By scikit-learn, on both classes."""
    precision, recall, _ = reference.precision_recall_curve(truth, scores)
    return {
        "auroc": reference.roc_auc_score(truth, scores),
        "average_precision": reference.average_precision_score(truth, scores),
        "auprc_trapezoidal": reference.auc(recall, precision),
        "oracle_dice": np.max(2 * precision * recall / np.maximum(precision + recall, 1e-300)),
    }


def of_counts(counts: ScoreCounts) -> dict[str, float]:
    return {k: float(v) for k, v in curve_metrics(counts.normal[::-1], counts.abnormal[::-1]).items()}


def counted(truth: np.ndarray, scores: np.ndarray, portion: int, exact_pixels: int, bins: int) -> PixelCounter:
    counter = PixelCounter(exact_pixels, bins)
    for start in range(0, scores.size, portion):
        part, abnormal = scores[start : start + portion], truth[start : start + portion]
        counter.add(part[~abnormal], part[abnormal])
    return counter


def draw(kind: str, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Truth and scores of a distribution that could be hard to bin."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.02
    if kind == "few abnormal":
        truth = np.zeros(n, dtype=bool)
        truth[rng.choice(n, 20, replace=False)] = True
    noise = rng.standard_normal(n, dtype=np.float32)
    scores = {
        "normal": lambda: noise + truth,
        "heavy tails": lambda: rng.standard_cauchy(n) ** 3 + 50 * truth,
        "mostly background": lambda: np.where((rng.random(n) < 0.5) & ~truth, 0, np.abs(noise) + truth),
        "narrow": lambda: 0.5 + 1e-5 * (noise + truth),
        "tied": lambda: np.floor(8 * rng.random(n) + truth),
        "few abnormal": lambda: noise + 4 * truth,
        "drifting": lambda: np.linspace(0, 20, n) + noise + truth,
        "separated": lambda: noise + 20 * truth,
        "sorted": lambda: np.sort(noise),
    }[kind]()
    return truth, scores.astype(np.float32)


DISTRIBUTIONS = (
    "normal",
    "heavy tails",
    "mostly background",
    "narrow",
    "tied",
    "few abnormal",
    "drifting",
    "separated",
    "sorted",
)

# ------------------------------------------------------------------ curves

# Few different values make ties likely; -0.0 equals 0.0.
score = st.one_of(st.sampled_from([-1.0, -0.0, 0.0, 0.5]), st.floats(width=32, allow_nan=False, allow_infinity=False))
pixel = st.tuples(st.booleans(), score)


@settings(deadline=None, max_examples=100)
@example([(True, float(np.finfo(np.float32).min))])
@example([(True, float(np.finfo(np.float32).min)), (False, 0.0)])
@given(st.lists(pixel, min_size=1, max_size=40))
def test_curve_metrics_equal_scikit_learn(pixels: list[tuple[bool, float]]) -> None:
    truth = np.array([abnormal for abnormal, _ in pixels])
    scores = np.array([value for _, value in pixels], dtype=np.float32)
    result = evaluate_pixels(lambda: [PixelSample(scores[None], truth[None])], {})
    values = {name: estimate.value for name, estimate in result.estimates.items()}
    assert values["prevalence"] == truth.mean()
    if truth.all() or not truth.any():
        assert result.estimates["auroc"].reason == "needs both classes"
        return
    for name, value in expected_curves(truth, scores).items():
        assert values[name] == pytest.approx(value, abs=1e-12), name
    assert values["oracle_iou"] == pytest.approx(values["oracle_dice"] / (2 - values["oracle_dice"]), abs=1e-12)
    # The stored threshold, by its stated convention, makes the decision whose Dice was given.
    called = scores > result.decisions[OPERATING_POINT].threshold
    assert reference.f1_score(truth, called) == pytest.approx(values["oracle_dice"], abs=1e-12)
    assert reference.jaccard_score(truth, called) == pytest.approx(values["oracle_iou"], abs=1e-12)


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_larger_arrays_equal_scikit_learn(kind: str) -> None:
    truth, scores = draw(kind, 60_000)
    found = of_counts(counted(truth, scores, 7_000, EXACT_PIXELS, 100).counts())
    for name, value in expected_curves(truth, scores).items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(DISTRIBUTIONS),
    st.integers(0, 1000),
    st.integers(300, 3000),
    st.integers(1_000, 8_000),
    st.sampled_from([0.1, 0.6, 1.0]),
)
def test_error_of_bins_is_bounded(kind: str, seed: int, bins: int, exact_pixels: int, portion: float) -> None:
    truth, scores = draw(kind, 60_000, seed)
    counter = counted(truth, scores, int(portion * exact_pixels), exact_pixels, bins)
    counts = counter.counts()
    exact = expected_curves(truth, scores)
    # Each pixel may be counted in a lower bin once when its portion is counted, and once in each merge.
    times = 2 + np.log2(60_000 / (exact_pixels / 2))
    bound = times * np.log(60_000) / bins
    found = of_counts(counts)
    for name in CURVES:
        assert abs(found[name] - exact[name]) <= bound, name
    assert (counts.normal.sum(), counts.abnormal.sum()) == ((~truth).sum(), truth.sum())
    assert counts.values.size <= 2 * bins
    assert (np.diff(counts.values) > 0).all()


@pytest.mark.parametrize("kind", ["mostly background", "drifting"])
def test_beyond_the_exact_pixels_metrics_are_within_a_ten_thousandth(kind: str) -> None:
    truth, scores = draw(kind, 10_000_000)
    counter = PixelCounter()
    everything = PixelCounter(exact_pixels=scores.size)
    for part, abnormal in zip(np.split(scores, 10), np.split(truth, 10), strict=True):
        counter.add(part[~abnormal], part[abnormal])
        everything.add(part[~abnormal], part[abnormal])
    assert not counter.exact
    assert everything.exact
    binned, exact = of_counts(counter.counts()), of_counts(everything.counts())
    for name in CURVES:
        assert binned[name] == pytest.approx(exact[name], abs=1e-5), name


# ------------------------------------------------------------------ decisions


def slices(seed: int = 0, count: int = 12, subjects: int = 4, size: int = 24) -> list[PixelSample]:
    """Noise with a bright square in every second slice, background left of a line."""
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        truth = np.zeros((size, size), dtype=bool)
        if index % 2:
            y, x = rng.integers(0, size - 6, 2)
            truth[y : y + 5, x : x + 4] = True
        inside = np.broadcast_to(np.arange(size) >= 6, truth.shape)
        scores = np.round(np.abs(rng.normal(size=truth.shape)) + 1.5 * truth, 1) * inside
        samples.append(PixelSample(scores.astype(np.float32), truth, inside, f"s{index % subjects}"))
    return samples


def dice(truth: np.ndarray, called: np.ndarray) -> float:
    return 1.0 if not (truth | called).any() else 2 * (truth & called).sum() / (truth.sum() + called.sum())


@pytest.mark.parametrize("foreground_only", [False, True])
def test_decisions_by_definition(foreground_only: bool) -> None:
    samples = slices()
    result = evaluate_pixels(lambda: iter(samples), {"low": 0.5, "high": 1.8}, foreground_only=foreground_only)
    assert list(result.decisions) == ["low", "high", OPERATING_POINT]
    considered = [sample.inside if foreground_only else np.ones_like(sample.truth) for sample in samples]
    truth = [sample.truth[some] for sample, some in zip(samples, considered, strict=True)]
    assert result.n_pixels == sum(map(len, truth))
    assert result.n_abnormal_pixels == np.concatenate(truth).sum()
    assert (result.n_images, result.n_normal_images, result.n_subjects) == (12, 6, 4)
    for name, decision in result.decisions.items():
        assert decision.oracle == (name == OPERATING_POINT)
        called = [(sample.scores > decision.threshold)[some] for sample, some in zip(samples, considered, strict=True)]
        of_subjects = [dice(np.concatenate(truth[first::4]), np.concatenate(called[first::4])) for first in range(4)]
        expected = {
            "dice": dice(np.concatenate(truth), np.concatenate(called)),
            "iou": reference.jaccard_score(np.concatenate(truth), np.concatenate(called)),
            "dice_per_subject": np.mean(of_subjects),
            "dice_per_subject_sd": np.std(of_subjects),
            "false_positive_area": np.mean([called[index].mean() for index in range(0, 12, 2)]),
        }
        for metric, value in expected.items():
            assert decision.estimates[metric].value == pytest.approx(value, abs=1e-12), (name, metric)
        assert set(decision.estimates) == set(PIXEL_DECISION_LABELS)


def test_subjects_without_anything_have_a_dice_of_one() -> None:
    lesion = np.array([[True, False]])
    samples = [
        PixelSample(np.float32([[2, 0]]), lesion, None, "a"),  # 1
        PixelSample(np.float32([[0, 0]]), np.zeros_like(lesion), None, "b"),  # nothing there, nothing called: 1
        PixelSample(np.float32([[0, 3]]), np.zeros_like(lesion), None, "c"),  # 0
        PixelSample(np.float32([[0, 2]]), lesion, None, "d"),  # 0
    ]
    decision = evaluate_pixels(lambda: samples, {"one": 1.0}).decisions["one"]
    assert decision.estimates["dice_per_subject"].value == 0.5
    assert decision.estimates["dice_per_subject_sd"].value == 0.5
    assert decision.estimates["false_positive_area"].value == 0.25


@pytest.mark.parametrize("shape", [(9, 9), (5, 6, 7)])
def test_lesions_are_components_that_touch_at_corners(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    truth, scores = rng.random(shape) < 0.12, rng.random(shape).astype(np.float32)
    inside = rng.random(shape) < 0.7
    labels, count = ndimage.label(truth, ndimage.generate_binary_structure(len(shape), len(shape)))
    sample = PixelSample(scores, truth, inside)
    for foreground_only, counted_pixels in ((False, np.ones(shape, bool)), (True, inside)):
        lesions = [(labels == number) & counted_pixels for number in range(1, count + 1)]
        lesions = [lesion for lesion in lesions if lesion.any()]
        result = evaluate_pixels(lambda: [sample], {"t": 0.7}, foreground_only=foreground_only)
        assert result.n_lesions == len(lesions) > 1
        detected = np.mean([(scores[lesion] > 0.7).any() for lesion in lesions])
        assert result.decisions["t"].estimates["lesion_sensitivity"].value == pytest.approx(detected)


def test_diagonal_pixels_are_one_lesion() -> None:
    sample = PixelSample(np.zeros((3, 3), np.float32), np.eye(3, dtype=bool))
    assert evaluate_pixels(lambda: [sample], {}).n_lesions == 1


# ------------------------------------------------------------------ intervals


def test_intervals_are_those_of_drawn_subjects() -> None:
    samples, resamples = slices(count=8), 60
    result = evaluate_pixels(lambda: samples, {"t": 1.2}, resamples=resamples, level=0.9, seed=3)
    draws: dict[str, list[float]] = {}
    for weights in np.concatenate(list(resample_weights(np.arange(4), resamples, 3))):
        drawn = [sample for index, sample in enumerate(samples) for _ in range(int(weights[index % 4]))]
        truth = np.concatenate([sample.truth.ravel() for sample in drawn])
        scores = np.concatenate([sample.scores.ravel() for sample in drawn])
        if truth.any():
            called = scores > np.float32(1.2)
            values = expected_curves(truth, scores) | {"dice": reference.f1_score(truth, called)}
            for name, value in values.items():
                draws.setdefault(name, []).append(value)
    for name, values in draws.items():
        estimate = (result.estimates | result.decisions["t"].estimates)[name]
        assert (estimate.low, estimate.high) == pytest.approx(np.quantile(values, [0.05, 0.95]), abs=1e-6), name


def test_pixel_intervals_are_those_of_the_draws() -> None:
    samples = slices(count=8)
    evaluation, draws = evaluate_pixels_with_draws(lambda: samples, {"t": 1.2, "0.5": 0.5}, resamples=60, seed=3)
    assert evaluation == evaluate_pixels(lambda: samples, {"t": 1.2, "0.5": 0.5}, resamples=60, seed=3)
    estimates = dict(evaluation.estimates)
    for threshold, decision in evaluation.decisions.items():
        of = {name: estimate for name, estimate in decision.estimates.items() if name != "dice_per_subject_sd"}
        estimates |= {f"{name}@{threshold}": estimate for name, estimate in of.items()}
    assert {"dice@t", "iou@0.5", f"dice@{OPERATING_POINT}"} < set(estimates) == set(draws)
    for name, estimate in estimates.items():
        defined = draws[name][~np.isnan(draws[name])]
        assert draws[name].shape == (60,)
        assert (estimate.low, estimate.high) == pytest.approx(np.quantile(defined, [0.025, 0.975])), name
    assert draws["oracle_iou"] == pytest.approx(1 / (2 / draws["oracle_dice"] - 1), nan_ok=True)


def test_maps_of_the_same_images_have_the_same_resamples() -> None:
    samples = slices(count=8)
    shrunk = [PixelSample(s.scores / 2, s.truth, None, s.subject) for s in samples]
    turned = [PixelSample(-s.scores, s.truth, None, s.subject) for s in samples]
    (_, one), (_, same), (_, reverse) = (
        evaluate_pixels_with_draws(lambda of=of: of, {"t": threshold}, resamples=40)
        for of, threshold in ((samples, 1.0), (shrunk, 0.5), (turned, 1.0))
    )
    for name in ("auroc", "average_precision", "dice@t", "dice_per_subject@t", "lesion_sensitivity@t"):
        np.testing.assert_array_equal(one[name], same[name])
    np.testing.assert_array_equal(one["prevalence"], reverse["prevalence"])
    some = one["prevalence"] > 0  # a resample may lack all slices with a square
    assert one["auroc"][some] + reverse["auroc"][some] == pytest.approx(np.ones(some.sum()), abs=1e-9)
    assert np.isnan(one["auroc"][~some]).all()


def test_there_are_no_draws_of_one_subject() -> None:
    _, draws = evaluate_pixels_with_draws(lambda: slices(subjects=1), {"t": 1.0})
    assert set(PIXEL_METRIC_LABELS) < set(draws)
    assert {values.shape for values in draws.values()} == {(0,)}


def test_coarse_bins_of_the_bootstrap_are_corrected() -> None:
    truth, scores = draw("normal", 40_000)
    counts = counted(truth, scores, 40_000, 40_000, 1).counts()
    exact = of_counts(counts)
    fine, coarse = (SubjectHistograms(40, of) for of in (counts, counts.thin(60)))
    for histograms in (fine, coarse):
        for subject in range(40):
            part = slice(subject * 1000, subject * 1000 + 1000)
            list(histograms.counted(subject, [(scores[part][~truth[part]], scores[part][truth[part]])]))
    of_fine, of_coarse = (histograms.draws(exact, 200, 0) for histograms in (fine, coarse))
    for name in CURVES:
        difference = of_coarse[name] - of_fine[name]
        close = 0.3 if name == "oracle_dice" else 0.1  # the best threshold need not be the edge of a bin
        assert abs(difference.mean()) + difference.std() < close * of_fine[name].std(), name


def test_images_of_unknown_subject_are_subjects_of_their_own() -> None:
    named = [PixelSample(s.scores, s.truth, None, str(i)) for i, s in enumerate(slices())]
    unnamed = [PixelSample(s.scores, s.truth, None, None) for s in named]
    first, second = (evaluate_pixels(lambda s=s: s, {"t": 1.0}, resamples=50) for s in (named, unnamed))
    assert first.estimates == second.estimates
    assert first.decisions == second.decisions
    assert (first.n_subjects, second.n_subjects) == (12, 0)
    assert first.notes == []
    assert "no subjects are known" in second.notes[0]
    mixed = evaluate_pixels(lambda: [*named[:11], unnamed[11]], {}, resamples=50)
    assert mixed.notes == ["each of 1 images of unknown subject counts as a subject of its own"]


def test_few_subjects_are_noted() -> None:
    assert evaluate_pixels(slices, {}, resamples=20).notes == ["intervals from 4 subjects are rough"]
    one = evaluate_pixels(lambda: slices(subjects=1), {}, resamples=20)
    assert one.notes == ["no intervals: they come from differences between subjects, and there is one subject"]
    assert (one.resamples, one.estimates["auroc"].low) == (0, None)


def test_resamples_without_a_class_are_noted() -> None:
    samples = slices(count=12, subjects=12)
    sparse = [
        PixelSample(s.scores, s.truth if i == 1 else s.truth & False, None, s.subject) for i, s in enumerate(samples)
    ]
    (note,) = evaluate_pixels(lambda: sparse, {}, resamples=200).notes
    assert note.startswith("a class was missing in 3")


def test_without_abnormal_pixels() -> None:
    samples = slices()[::2]
    result = evaluate_pixels(lambda: samples, {"t": 1.0}, resamples=20)
    assert result.estimates["auroc"].reason == "needs both classes"
    assert result.estimates["oracle_dice"].reason == "needs abnormal pixels"
    assert result.estimates["prevalence"].value == 0
    assert result.decisions["t"].estimates["dice"].reason == "needs abnormal pixels"
    assert result.decisions["t"].estimates["lesion_sensitivity"].reason == "needs lesions"
    assert result.decisions["t"].estimates["dice_per_subject"].value == 0
    assert result.decisions["t"].estimates["false_positive_area"].low is not None
    assert result.decisions[OPERATING_POINT].threshold is None
    assert result.notes[0].startswith("no pixel is abnormal")


# ------------------------------------------------------------------ refusals, storage, tables


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (PixelSample(np.zeros(4, np.float32), np.zeros(4, bool)), r"image 0: scores of shape \(4,\)"),
        (PixelSample(np.zeros((2, 2), np.float32), np.zeros((2, 3), bool)), "truth is bool of shape"),
        (PixelSample(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.uint8), None, "p"), "subject p: truth is uint8"),
        (PixelSample(np.zeros((2, 2), np.float32), np.zeros((2, 2), bool), np.zeros((1, 2), bool)), "inside is bool"),
        (PixelSample(np.zeros((2, 2)), np.zeros((2, 2), bool)), "scores are float64; give float32"),
        (PixelSample(np.float32([[0, np.nan]]), np.zeros((1, 2), bool)), "1 scores are not finite"),
    ],
)
def test_samples_that_cannot_be_evaluated(sample: PixelSample, message: str) -> None:
    with pytest.raises(DataError, match=message):
        evaluate_pixels(lambda: [sample], {})


def test_what_cannot_be_evaluated() -> None:
    empty: Iterable[PixelSample] = []
    with pytest.raises(DataError, match="there is no pixel in 0 images"):
        evaluate_pixels(lambda: empty, {})
    outside = PixelSample(np.zeros((2, 2), np.float32), np.zeros((2, 2), bool), np.zeros((2, 2), bool))
    with pytest.raises(DataError, match="no pixel in the foreground of 1 images"):
        evaluate_pixels(lambda: [outside], {}, foreground_only=True)
    once = iter(slices())
    with pytest.raises(DataError, match="begins anew at each call"):
        evaluate_pixels(lambda: once, {})
    with pytest.raises(OptionError, match="'t' is nan"):
        evaluate_pixels(slices, {"t": float("nan")})
    with pytest.raises(OptionError, match="rename it"):
        evaluate_pixels(slices, {OPERATING_POINT: 1.0})
    with pytest.raises(OptionError, match="level is 95"):
        evaluate_pixels(slices, {}, level=95)
    with pytest.raises(OptionError, match="resamples is -1"):
        evaluate_pixels(slices, {}, resamples=-1)


def test_json_round_trip() -> None:
    row = PixelRow("β-VAE", "method", evaluate_pixels(slices, {"t": 1.0}, resamples=20))
    stored = json.loads(json.dumps(row.to_json()))
    assert PixelRow.from_json(stored) == row
    assert PixelEvaluation.from_json(stored["evaluation"]) == row.evaluation


def test_tables() -> None:
    rows = [
        PixelRow("a", "method", evaluate_pixels(slices, {"t": 1.0}, resamples=20)),
        PixelRow("b", "trivial", evaluate_pixels(lambda: slices()[::2], {}, resamples=0)),
    ]
    results, decisions = pixel_results_table(rows), pixel_decisions_table(rows)
    assert results[0] == ["Method", "Kind", *PIXEL_METRIC_LABELS.values()]
    assert "AUPRC, trapezoidal (the paper's, optimistic)" in results[0]
    assert [heading for heading in results[0] if "Best" in heading and "oracle" not in heading] == []
    auroc = rows[0].evaluation.estimates["auroc"]
    assert results[1][2] == f"{auroc.value:.3f} [{auroc.low:.2f}, {auroc.high:.2f}]"
    assert results[2][2] == "– (needs both classes)"
    assert [line[:2] for line in decisions[1:]] == [["a", "method"], ["a", "method"], ["b", "trivial"]]
    assert decisions[1][2] == "t: 1"
    assert decisions[2][2].startswith("operating point (oracle): ")
    assert decisions[3][2] == OPERATING_POINT
    of = rows[0].evaluation.decisions["t"].estimates
    mean, sd = of["dice_per_subject"], of["dice_per_subject_sd"]
    assert f"{mean.value:.3f} ± {sd.value:.3f} [{mean.low:.2f}, {mean.high:.2f}]" in decisions[1]
    assert decisions[1][-1].endswith("of 6")
    assert format_text_table(decisions).count("\n") == 4
    assert pixel_table_notes(rows)[0] == "intervals from 4 subjects are rough"


def test_slices_of_a_volume_without_lesion_are_normal_images() -> None:
    scores = np.zeros((3, 4, 4), np.float32)
    scores[0, 0, :2] = scores[2, :2] = 1  # 2 of 16 pixels, and 8
    truth = np.zeros(scores.shape, bool)
    truth[1, 1, 1] = True
    inside = np.ones(scores.shape, bool)
    inside[2, 2:] = False
    sample = PixelSample(scores, truth, inside, "a")
    whole, foreground = (
        evaluate_pixels(lambda: [sample], {"t": 0.5}, foreground_only=only, resamples=0) for only in (False, True)
    )
    assert (whole.n_images, whole.n_normal_images) == (1, 2)
    assert whole.decisions["t"].estimates["false_positive_area"].value == (2 / 16 + 8 / 16) / 2
    assert foreground.decisions["t"].estimates["false_positive_area"].value == (2 / 16 + 1) / 2
