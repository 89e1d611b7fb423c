"""Findings: what they derive from scores, what part of them can be taken, and that a folder gives them back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import roc_auc_score

from sanoscope.cases.case import Case, Cases
from sanoscope.decision import Decision, p_values
from sanoscope.errors import DataError
from sanoscope.evaluation import ResultRow
from sanoscope.findings import Findings, Heatmaps
from sanoscope.findings_folder import write_data
from sanoscope.gallery import Shown
from sanoscope.preparation.geometry import Channels, Crop, Foreground, Geometry, Resize
from sanoscope.report.images import overlay

FITTED_ON = {"normal": 5, "abnormal": 0, "description": "5 held-out images"}
DECISION = Decision("quantile", 0.5, 0.05, FITTED_ON)
OPTIONS = {"training.epochs": 1, "decision.rule": "auto"}


def make(
    labels: list[int | None],
    score: list[float],
    subjects: list[str | None] | None = None,
    names: list[str] | None = None,
    **changes: Any,
) -> Findings:
    rng = np.random.default_rng(0)
    count = len(labels)
    cases = Cases(
        (
            Case(name, pixels=rng.integers(0, 255, (12, 9, 3), np.uint8), label=label, subject=subject)
            for name, label, subject in zip(
                names or [f"image {i}" for i in range(count)], labels, subjects or [None] * count, strict=True
            )
        ),
        "a/collection",
        "folder",
    )
    scores = {"mse": np.array(score, float), "mean intensity": rng.normal(size=count)}
    recipe = {"name": "conv-vae", "title": "A VAE", "paper": "A paper", "options": OPTIONS, "changed": {}, "notes": []}
    findings = Findings(
        cases=cases,
        score_name="mse",
        scores=scores,
        trivial=("mean intensity",),
        decisions=dict.fromkeys(scores, DECISION),
        calibration=np.linspace(0, 1, 19),
        seen_in_training=np.arange(count) % 3 == 0,
        recipe=recipe,
        history=[{"epoch": 1, "seconds": 0.5, "train/loss": 3.25, "validation/loss": 4.5}],
        provenance={"data": {"source": "a/collection"}},
        notes=["a note"],
    )
    return replace(findings, **changes)


@pytest.fixture
def findings() -> Findings:
    labels: list[int | None] = [0, 0, 1, 1, None, 0, 1, 0]
    scores = [0.1, 0.9, 0.8, 0.2, 0.5, 0.3, 0.95, 0.5]
    subjects = ["a", "a", "b", "b", "c", "c", None, "a"]
    return make(labels, scores, subjects)


def test_decisions_labels_and_p_values(findings: Findings) -> None:
    assert len(findings) == 8
    # At the threshold is not above it.
    assert findings.abnormal.tolist() == [False, True, True, False, False, False, True, False]
    assert findings.labels.tolist() == [0, 0, 1, 1, -1, 0, 1, 0]
    np.testing.assert_array_equal(findings.p_values, p_values(findings.score, findings.calibration))
    assert findings.n_subjects == 3
    assert findings.has_labels
    assert not make([None, None], [0.0, 1.0]).has_labels


def test_table_has_one_row_per_case(findings: Findings) -> None:
    table = findings.table
    assert table["name"].tolist() == [case.name for case in findings.cases]
    assert table["label"].isna().tolist() == [label is None for label in findings.cases.labels]
    assert table["score"].tolist() == table["score: mse"].tolist() == findings.score.tolist()
    assert table["abnormal"].tolist() == findings.abnormal.astype(int).tolist()
    assert table["seen_in_training"].tolist() == findings.seen_in_training.astype(int).tolist()


# ------------------------------------------------------------ evaluation


def row_of(rows: list[ResultRow], name: str) -> ResultRow:
    (row,) = (row for row in rows if row.name == name)
    return row


def test_evaluation_per_image(findings: Findings) -> None:
    rows = findings.evaluate(resamples=20)
    assert [(row.name, row.kind) for row in rows] == [
        ("conv-vae, mse", "method"),
        ("mean intensity", "trivial"),
        ("predict all abnormal", "trivial"),
    ]
    labelled = findings.labels >= 0
    expected = roc_auc_score(findings.labels[labelled], findings.score[labelled])
    evaluation = rows[0].evaluation
    assert evaluation.estimates["auroc"].value == pytest.approx(expected)
    assert evaluation.estimates["accuracy"].value == pytest.approx(5 / 7)
    assert (evaluation.n_images, evaluation.resampled) == (7, "subjects")
    assert rows[0].threshold == 0.5


def test_evaluation_per_subject(findings: Findings) -> None:
    # Subjects a (normal), b (abnormal), c (normal); the image without a subject is left out.
    for how, a, b, c in (("max", 0.9, 0.8, 0.5), ("mean", 0.5, 0.5, 0.4)):
        evaluation = row_of(findings.evaluate_subjects(how, resamples=5), "conv-vae, mse").evaluation
        assert (evaluation.n_normal, evaluation.n_abnormal) == (2, 1)
        assert evaluation.estimates["auroc"].value == roc_auc_score([0, 1, 0], [a, b, c])
        called = [a > 0.5, b > 0.5, c > 0.5]
        assert evaluation.estimates["false_positives"].value == called[0] + called[2]
        assert evaluation.estimates["true_positives"].value == called[1]


def test_one_subject_is_resampled_by_image() -> None:
    findings = make([0, 1, 0, 1], [0.1, 0.9, 0.4, 0.3], ["a"] * 4)
    evaluation = findings.evaluate(resamples=20)[0].evaluation
    assert evaluation.resampled == "images"
    assert evaluation.estimates["auroc"].low is not None
    assert findings.content(resamples=5).subject_rows == {}


def test_seed_draws_the_resamples(findings: Findings) -> None:
    one, same, other = (findings.content(resamples=50, seed=seed) for seed in (0, 0, 1))
    estimates = [content.rows[0].evaluation.estimates["accuracy"] for content in (one, same, other)]
    assert estimates[0] == estimates[1]
    assert estimates[0].value == estimates[2].value
    assert estimates[0] != estimates[2]
    assert {row.evaluation.seed for rows in other.subject_rows.values() for row in rows} == {1}


def test_without_labels_there_is_no_evaluation() -> None:
    findings = make([None] * 3, [0.1, 0.6, 0.2], ["a", "b", "c"])
    with pytest.raises(DataError, match="none of 3 images has a label"):
        findings.evaluate()
    content = findings.content()
    assert (list(content.rows), dict(content.subject_rows)) == ([], {})


# ------------------------------------------------------------ parts


def test_a_part_keeps_what_belongs_to_its_cases(findings: Findings) -> None:
    pictures = {i: Shown(*(np.full((2, 2, 3), 10 * i + k, np.uint8) for k in range(3))) for i in (1, 4)}
    part = replace(findings, shown=pictures).subset([4, 2], "two of them")
    assert [case.name for case in part.cases] == ["image 4", "image 2"]
    assert {name: values.tolist() for name, values in part.scores.items()} == {
        name: values[[4, 2]].tolist() for name, values in findings.scores.items()
    }
    assert part.seen_in_training.tolist() == findings.seen_in_training[[4, 2]].tolist()
    assert list(part.shown) == [0]
    assert part.shown[0] is pictures[4]
    assert part.notes == ("a note", "two of them")
    assert part.decisions == findings.decisions
    with pytest.raises(DataError, match=r"no case is left \(none of them\)"):
        findings.subset([], "none of them")


def test_subjects_by_name(findings: Findings) -> None:
    assert [case.name for case in findings.of_subjects(["b", "c"]).cases] == [
        "image 2",
        "image 3",
        "image 4",
        "image 5",
    ]
    assert findings.of_subjects(["b"]).notes[-1] == "only subject b"
    assert findings.of_subjects(["b", "c"]).notes[-1] == "only subjects b, c"
    with pytest.raises(DataError, match="no case of subject 'd' was scored"):
        findings.of_subjects(["a", "d"])


def test_balanced_has_as_many_of_both(findings: Findings) -> None:
    balanced = findings.balanced(seed=1)
    assert sorted(balanced.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    assert "class-balanced" in balanced.notes[-1]
    with pytest.raises(DataError, match="a balanced set needs both"):
        make([0, 0], [0.0, 1.0]).balanced()


def test_gallery_groups(findings: Findings) -> None:
    groups = findings.gallery_groups(size=3)
    assert groups["Most abnormal"] == [6, 1, 2]
    assert groups["Least abnormal"] == [0, 3, 5]
    assert groups["False alarms, the strongest first"] == [1]
    assert groups["Missed, the most normal-looking first"] == [3]


def test_gallery_shows_only_the_pictures_at_hand(findings: Findings) -> None:
    assert findings.gallery() == {}
    picture = Shown(*(np.zeros((2, 2, 3), np.uint8),) * 3)
    gallery = replace(findings, shown={1: picture}).gallery()
    assert set(gallery) == {"Most abnormal", "Least abnormal", "False alarms, the strongest first"}
    (image,) = gallery["False alarms, the strongest first"]
    assert (image.name, image.subject, image.label, image.score, image.abnormal) == ("image 1", "a", 0, 0.9, True)


# ------------------------------------------------------------ as a folder


def assert_same(one: Findings, other: Findings) -> None:
    for before, after in zip(one.cases, other.cases, strict=True):
        for attribute in ("name", "path", "label", "group", "subject", "split"):
            assert getattr(before, attribute) == getattr(after, attribute), attribute
    assert (one.cases.source, one.cases.layout) == (other.cases.source, other.cases.layout)
    assert one.scores.keys() == other.scores.keys()
    for name in one.scores:
        np.testing.assert_array_equal(one.scores[name], other.scores[name])
    np.testing.assert_array_equal(one.calibration, other.calibration)
    np.testing.assert_array_equal(one.seen_in_training, other.seen_in_training)
    assert one.decisions == other.decisions
    for attribute in ("score_name", "recipe", "history", "provenance"):
        assert getattr(one, attribute) == getattr(other, attribute), attribute
    for attribute in ("trivial", "unreadable", "notes"):
        assert list(getattr(one, attribute)) == list(getattr(other, attribute)), attribute
    assert one.shown.keys() == other.shown.keys()
    for index, shown in one.shown.items():
        for kind in ("image", "reconstruction", "overlay"):
            np.testing.assert_array_equal(getattr(shown, kind), getattr(other.shown[index], kind))


def test_a_folder_gives_everything_back(findings: Findings, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    shown = {i: Shown(*rng.integers(0, 255, (3, 5, 5, 3), np.uint8)) for i in (0, 3, 11 % 8)}
    cases = findings.cases.with_cases(
        replace(case, path=Path(f"{case.name}.png"), group="g" if i else None, split="test" if i > 2 else None)
        for i, case in enumerate(findings.cases)
    )
    whole = replace(findings, shown=shown, cases=cases, unreadable=[("bad.png", "it is bad")])
    assert whole.save(tmp_path / "deep" / "folder") == tmp_path / "deep" / "folder"
    assert_same(Findings.load(tmp_path / "deep" / "folder"), whole)


# What spreadsheets and pandas take for something else, and what CSV has to quote.
AWKWARD = [
    "NA",
    "nan",
    "None",
    "null",
    "0012",
    "1e5",
    "True",
    'a "quoted" name',
    "a,b",
    " a ",
    "line\nbreak",
    "β-σ",
    "#1",
]


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names_come_back(name: str, tmp_path: Path) -> None:
    findings = make([0, 1], [0.25, 0.75], [name, None], [name, "other"])
    write_data(findings, tmp_path)
    assert_same(Findings.load(tmp_path), findings)


def test_names_that_are_no_text_come_back(tmp_path: Path) -> None:
    findings = make([0, 1], [0.25, 0.75], ["subject \udcff", None], ["no text \udcff", "other"])
    findings.save(tmp_path)
    assert_same(Findings.load(tmp_path), findings)


words = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
rows = st.lists(
    st.tuples(words, numbers, st.sampled_from([0, 1, None]), words | st.none()),
    min_size=1,
    max_size=6,
    unique_by=lambda row: row[0],
)


@settings(max_examples=50, deadline=None)
@given(rows=rows)
def test_any_scores_and_names_come_back(
    rows: list[tuple[str, float, int | None, str | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    names, scores, labels, subjects = map(list, zip(*rows, strict=True))
    findings = make(labels, scores, subjects, names)
    folder = tmp_path_factory.mktemp("findings")
    write_data(findings, folder)
    assert_same(Findings.load(folder), findings)


def test_maps_and_overlays_under_the_names_of_their_cases(tmp_path: Path) -> None:
    findings = make([0, 1], [0.25, 0.75], names=["a/b/one", "two.x"])
    geometry = Geometry((Channels(), Foreground(), Crop(), Resize(6)))
    traces = [geometry.apply(case.pixels).trace for case in findings.cases]
    values = np.random.default_rng(2).random((2, 6, 6), np.float32)
    maps = Heatmaps(values, traces, geometry, scale=0.8)
    folder = replace(findings, maps=maps).save(tmp_path / "findings")
    for index, name in enumerate(["a/b/one", "two.x"]):
        heatmap = tifffile.imread(folder / "maps" / f"{name}.tiff")
        assert (heatmap.shape, heatmap.dtype) == ((12, 9), np.float32)
        np.testing.assert_array_equal(heatmap, maps.on_source_grid(index))
        shown = np.asarray(Image.open(folder / "overlays" / f"{name}.png"))
        np.testing.assert_array_equal(shown, overlay(findings.cases[index].pixels, heatmap, (0.0, 0.8)))
    stored: Mapping[str, Any] = json.loads((folder / "findings.json").read_text())
    assert stored["map_scale"] == 0.8


def test_a_report_is_written_where_it_is_asked_for(findings: Findings, tmp_path: Path) -> None:
    path = findings.report(tmp_path / "some" / "report.html", resamples=5)
    assert "conv-vae on collection" in path.read_text()
