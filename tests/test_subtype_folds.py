"""Cross-validation of clusters: nothing sees what it must not, means and intervals by hand, and what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from sanoscope import evaluation, histology_phantoms
from sanoscope.cases import Case, Cases, rotating_folds
from sanoscope.clustering.clusterer import ClusterSettings
from sanoscope.errors import DataError, ModelError, OptionError, TrainingError
from sanoscope.subtypes.classifier import Classifier
from sanoscope.subtypes.encoders import ColourMethod, PixelMethod, PreparedEncoder, method_of
from sanoscope.subtypes.fold import run_fold, run_supervised_fold, trivial_folds
from sanoscope.subtypes.fold_table import CrossValidated, FoldResult
from sanoscope.subtypes.folds import cross_validate

QUICK = ClusterSettings(starts=2)
SMALL = {"preparation.image_size": 16}


@pytest.fixture(scope="module")
def cases() -> Cases:
    return histology_phantoms(6, 8, size=32, healthy_every=0).cases()


@pytest.fixture(scope="module")
def split(cases: Cases) -> Cases:
    return rotating_folds(cases, 3)[0]


def relabelled(cases: Cases, side: str) -> Cases:
    """The labels of one side turned round."""
    return cases.with_cases(
        replace(case, label=1 - (case.label or 0)) if case.split == side else case for case in cases
    )


def shades(labels: list[int], subjects: list[str | None]) -> Cases:
    """Dark and bright images, which any method tells apart."""
    noise = np.random.default_rng(0).integers(0, 20, (len(labels), 16, 16, 3))
    return Cases(
        Case(f"{i}", pixels=(200 * label + noise[i]).astype(np.uint8), label=label, subject=subject)
        for i, (label, subject) in enumerate(zip(labels, subjects, strict=True))
    )


def of_values(*values: float | None, train: int = 30, test: int = 10) -> CrossValidated:
    images = {"train": train, "validation": 10, "test": test}
    results = [FoldResult(("normal", "abnormal"), {"f1": value}, {}, [[0, 0], [0, 0]], images) for value in values]
    return CrossValidated("row", "Row", "clusters", tuple(results))


def of_predictions(
    labels: np.ndarray, predicted: np.ndarray, subjects: list[str | None], folds: np.ndarray, classes: int = 2
) -> CrossValidated:
    """What folds with these predictions would have given."""

    def counts(rows: list[int]) -> list[list[int]]:
        return confusion_matrix(labels[rows], predicted[rows], labels=range(classes)).tolist() if rows else empty

    empty = np.zeros((classes, classes), int).tolist()
    results = []
    for fold in np.unique(folds):
        of_subject: dict[str | None, list[int]] = {}
        for row in np.flatnonzero(folds == fold):
            of_subject.setdefault(subjects[row], []).append(row)
        alone = counts(of_subject.pop(None, []))
        known = {str(subject): counts(rows) for subject, rows in of_subject.items()}
        names = tuple(f"class {number}" for number in range(classes))
        results.append(FoldResult(names, {}, known, alone, {"train": 2, "validation": 1, "test": 1}))
    return CrossValidated("row", "Row", "clusters", tuple(results))


# ---------------------------------------------------------------- means and intervals


def test_the_interval_is_that_of_the_corrected_resampled_t_test() -> None:
    found = of_values(0.6, 0.7, 0.8).value("f1")
    assert found is not None
    assert (found.mean, found.deviation) == (pytest.approx(0.7), pytest.approx(0.1))
    # Student's t at 97.5 % with 2 degrees of freedom, by the table; a third each for 1/k and for test to training.
    half = 4.302653 * 0.1 * sqrt(1 / 3 + 10 / 30)
    assert (found.low, found.high) == (pytest.approx(0.7 - half, abs=1e-6), pytest.approx(0.7 + half, abs=1e-6))
    assert (found.folds, found.undefined) == (3, 0)


def test_folds_without_a_value_are_left_out_and_counted() -> None:
    found = of_values(0.5, None, 0.9, None).value("f1")
    assert found is not None
    assert (found.mean, found.folds, found.undefined) == (pytest.approx(0.7), 2, 2)
    one = of_values(None, 0.4).value("f1")
    assert one is not None
    assert (one.mean, one.deviation, one.low, one.high, one.undefined) == (0.4, None, None, None, 1)
    assert of_values(None, None).value("f1") is None
    assert of_values(0.5).value("accuracy") is None


@given(
    classes=st.integers(2, 4),
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=60
    ),
)
@hypothesis_settings(max_examples=50, deadline=None)
def test_pooled_metrics_are_those_of_all_predictions_together(
    classes: int, rows: list[tuple[int, int, int, int]]
) -> None:
    labels, predicted, subjects, folds = np.array(rows).T
    labels, predicted = labels % classes, predicted % classes
    names = [None if subject == 5 else f"p{subject}" for subject in subjects]
    pooled = of_predictions(labels, predicted, names, folds, classes)
    accuracy, f1 = pooled.pooled("accuracy"), pooled.pooled("f1")
    assert accuracy.value == pytest.approx(accuracy_score(labels, predicted))
    assert accuracy.low is not None
    assert accuracy.high is not None
    assert 0 <= accuracy.low <= accuracy.high <= 1
    sought = [1] if classes == 2 else list(range(classes))
    if set(sought) <= set(labels.tolist()):
        assert f1.value == pytest.approx(f1_score(labels, predicted, labels=sought, average="macro"))
    else:
        assert (f1.value, f1.reason) == (None, "needs images of all classes that are to be found")


def test_the_bootstrap_draws_subjects_as_elsewhere() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 200)
    predicted = np.where(rng.random(200) < 0.7, labels, 1 - labels)
    subjects = [f"p{number:02}" for number in np.sort(rng.integers(0, 12, 200))]
    pooled = of_predictions(labels, predicted, list(subjects), np.zeros(200))
    reference = evaluation.evaluate(labels, predicted.astype(float), predicted, subjects).estimates
    for metric in ("accuracy", "f1"):
        found = pooled.pooled(metric)
        assert (found.value, found.low, found.high) == pytest.approx(
            (reference[metric].value, reference[metric].low, reference[metric].high)
        )


def test_images_are_drawn_where_there_is_but_one_subject_or_none() -> None:
    labels, predicted = np.tile([0, 1, 1, 0], 20), np.tile([0, 1, 0, 0], 20)
    folds = np.zeros(80)
    one = of_predictions(labels, predicted, ["p"] * 80, folds).pooled("accuracy")
    none = of_predictions(labels, predicted, [None] * 80, folds).pooled("accuracy")
    assert one == none
    assert one.low is not None
    assert one.high is not None
    # About 1.96 standard errors of a share of 3 in 4 among 80.
    assert one.high - one.low == pytest.approx(2 * 1.96 * sqrt(0.75 * 0.25 / 80), rel=0.15)


def test_nothing_is_pooled_without_labelled_images() -> None:
    assert of_values(None).pooled("f1").value is None


# ---------------------------------------------------------------- one fold


def test_what_differs_in_brightness_is_found_and_named() -> None:
    cases = shades([0, 0, 1, 1, 0, 1] * 4, [f"p{i // 4}" for i in range(24)])
    result = run_fold(PixelMethod(SMALL), rotating_folds(cases, 3)[0], QUICK, "one-to-one", seed=0)
    for metric in ("accuracy", "f1", "accuracy_oracle", "f1_oracle", "adjusted_rand", "mutual_information"):
        assert result.values[metric] == pytest.approx(1)
    assert result.values["silhouette"] is not None
    assert result.values["silhouette"] > 0.9
    assert result.latent == 3 * 16 * 16
    assert sum(result.images.values()) == 24
    assert np.sum(list(result.subjects.values())) == result.images["test"]
    assert np.sum(result.alone) == 0


def test_clusters_do_not_depend_on_labels_but_their_names_do(split: Cases) -> None:
    result, turned = (
        run_fold(PixelMethod(SMALL), given, QUICK, "one-to-one", seed=0)
        for given in (split, relabelled(relabelled(split, "train"), "validation"))
    )
    for metric in ("accuracy_oracle", "f1_oracle", "adjusted_rand", "mutual_information", "silhouette"):
        assert turned.values[metric] == result.values[metric]
    assert turned.subjects == {name: np.array(counts)[:, ::-1].tolist() for name, counts in result.subjects.items()}
    assert result.values["accuracy"] is not None
    assert turned.values["accuracy"] == pytest.approx(1 - result.values["accuracy"])


def test_names_do_not_depend_on_labels_of_the_test_side(split: Cases) -> None:
    result, turned = (
        run_fold(ColourMethod(SMALL), given, QUICK, "one-to-one", seed=0)
        for given in (split, relabelled(split, "test"))
    )
    assert turned.subjects == {name: np.array(counts)[::-1].tolist() for name, counts in result.subjects.items()}
    assert turned.values["accuracy_oracle"] == result.values["accuracy_oracle"]


def test_the_test_side_is_not_learned_from(split: Cases) -> None:
    seen: list[str] = []

    class Spy(ColourMethod):
        def fit(self, cases: Cases, seed: int) -> PreparedEncoder:
            seen.extend(case.name for case in cases)
            return super().fit(cases, seed)

    run_fold(Spy(SMALL), split, QUICK, "one-to-one", seed=0)
    assert set(seen) == {case.name for case in split if case.split != "test"}


def test_images_without_subject_label_or_content_are_told_apart(split: Cases, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    test = [case.name for case in split.test]
    changes = {
        test[0]: {"subject": None},
        test[1]: {"subject": None},
        test[2]: {"label": None},
        test[3]: {"pixels": None, "path": tmp_path / "broken.png"},
    }
    changed = split.with_cases(replace(case, **changes.get(case.name, {})) for case in split)
    result = run_fold(ColourMethod(SMALL), changed, QUICK, "one-to-one", seed=0)
    assert np.sum(result.alone) == 2
    assert np.sum(list(result.subjects.values())) == len(test) - 4
    assert result.images["test"] == len(test) - 1
    assert [name for name, _ in result.unreadable] == [str(tmp_path / "broken.png")]


def test_more_classes_and_clusters_than_two() -> None:
    groups = ["dark", "grey", "bright"]
    cases = Cases(
        Case(
            f"{i}",
            pixels=np.full((16, 16), 100 * (i % 3) + i // 3, np.uint8),
            group=groups[i % 3],
            subject=f"p{i // 6}",
        )
        for i in range(36)
    )
    row, *trivial = cross_validate(
        [ColourMethod(SMALL)], cases, folds=3, settings=ClusterSettings(clusters=3, starts=5), progress=lambda _: None
    )
    assert row.folds[0].classes == ("bright", "dark", "grey")
    assert row.pooled("f1").value == 1
    assert [other.name for other in trivial] == ["always bright", "always dark", "always grey"]
    assert trivial[0].pooled("f1").value == pytest.approx((2 * 12 / 48) / 3)


def test_the_classifier_is_judged_by_the_same_test_side() -> None:
    cases = shades([0, 1] * 24, [f"p{i // 4}" for i in range(48)])
    split = rotating_folds(cases, 3)[0]
    options = {"training.epochs": 2, "training.batch_size": 8, "training.learning_rate": 1e-3}
    classifier = Classifier(options=options | {"preparation.image_size": 32}, device="cpu", quiet=True)
    result = run_supervised_fold(classifier, split, seed=0)
    _, codes = classifier.predict(split.test)
    assert result.values["accuracy"] == np.mean(codes == np.array(split.test.labels))
    assert (
        np.sum(list(result.subjects.values()), axis=0).tolist()
        == confusion_matrix(split.test.labels, codes, labels=[0, 1]).tolist()
    )
    assert "accuracy_oracle" not in result.values


def test_the_trivial_rows_have_their_closed_forms(split: Cases) -> None:
    p = np.mean(np.array(split.test.labels) == 1)
    normal, abnormal = trivial_folds(split).values()
    assert abnormal.values["accuracy"] == pytest.approx(p)
    assert abnormal.values["f1"] == pytest.approx(2 * p / (1 + p))
    assert (normal.values["accuracy"], normal.values["f1"]) == (pytest.approx(1 - p), 0)


def test_results_are_the_same_after_storing(split: Cases) -> None:
    result = run_fold(ColourMethod(SMALL), split, QUICK, "one-to-one", seed=0)
    assert FoldResult.from_json(json.loads(json.dumps(result.to_json()))) == result


# ---------------------------------------------------------------- all folds


def test_every_case_is_tested_once_by_every_row(cases: Cases) -> None:
    lines: list[str] = []
    methods = [PixelMethod(SMALL), method_of("mean-colour", SMALL)]
    rows = cross_validate(methods, cases, folds=3, settings=QUICK, progress=lines.append)
    assert [(row.name, row.kind) for row in rows] == [
        ("pixels", "clusters"),
        ("mean-colour", "trivial"),
        ("always normal", "trivial"),
        ("always abnormal", "trivial"),
    ]
    labels = [cases.labels.count(label) for label in (0, 1)]
    for row in rows:
        counts = sum(np.array(counts) for fold in row.folds for counts in fold.subjects.values())
        assert counts.sum(axis=1).tolist() == labels
    p = labels[1] / sum(labels)
    assert rows[3].pooled("f1").value == pytest.approx(2 * p / (1 + p))
    assert len(lines) == 6
    assert lines[0].startswith("Pixels, fold 1 of 3: accuracy 0.")


def test_what_is_done_is_not_done_again(cases: Cases, tmp_path: Path) -> None:
    lines: list[str] = []

    def validated(**changes: object) -> list[CrossValidated]:
        lines.clear()
        arguments = {"folds": 3, "settings": QUICK, "folder": tmp_path / "folds", "progress": lines.append}
        return cross_validate([ColourMethod(SMALL)], cases, **(arguments | changes))  # type: ignore[arg-type]

    first = validated()
    assert len(lines) == 3
    files = sorted((tmp_path / "folds").iterdir())
    assert len(files) == 3
    assert validated() == first
    assert not lines
    for changes in ({"seed": 1}, {"settings": ClusterSettings(starts=3)}, {"naming": "majority"}, {"by": "image"}):
        validated(**changes)
        assert len(lines) == 3
    assert validated() == first
    assert not lines
    files[1].write_text("{")
    with pytest.raises(ModelError, match=f"{files[1].name}: cannot be read .* remove it"):
        validated()
    files[1].unlink()
    validated()
    assert len(lines) == 1
    assert lines[0].startswith("Mean colour, fold 2 of 3")


def test_other_labels_are_other_data(cases: Cases, tmp_path: Path) -> None:
    lines: list[str] = []
    for changed in ({}, {"group": "a"}, {"subject": "p"}):
        changes = {cases[0].name: changed}
        given = cases.with_cases(replace(case, **changes.get(case.name, {})) for case in cases)
        lines.clear()
        cross_validate(
            [ColourMethod(SMALL)], given, folds=3, settings=QUICK, by="image", folder=tmp_path, progress=lines.append
        )
        assert len(lines) == 3


def test_a_fold_that_fails_is_reported_and_tried_anew(cases: Cases, tmp_path: Path) -> None:
    third = {case.name for case in rotating_folds(cases, 3)[1].test}

    class Failing(ColourMethod):
        def fit(self, cases: Cases, seed: int) -> PreparedEncoder:
            if third.isdisjoint(case.name for case in cases):
                raise TrainingError("the loss ran away\nat once")
            return super().fit(cases, seed)

    lines: list[str] = []
    for _ in range(2):
        lines.clear()
        row, *_others = cross_validate(
            [Failing(SMALL)], cases, folds=3, settings=QUICK, folder=tmp_path, progress=lines.append
        )
        assert row.failures == {2: "the loss ran away at once"}
        assert len(row.folds) == 2
    assert lines == ["Mean colour, fold 2 of 3: failed: the loss ran away at once"]


def test_what_cannot_be_compared_is_refused_at_once(cases: Cases) -> None:
    with pytest.raises(DataError, match="phantoms: no image has a class"):
        cross_validate([ColourMethod()], cases.unlabelled())
    with pytest.raises(OptionError, match="method 'pixels' is given twice"):
        cross_validate([PixelMethod(), PixelMethod(SMALL)], cases)
    with pytest.raises(OptionError, match="'released' is for two clusters"):
        cross_validate([PixelMethod()], cases, settings=ClusterSettings(clusters=3), naming="released")
    with pytest.raises(OptionError, match="folds=2"):
        cross_validate([PixelMethod()], cases, folds=2)
