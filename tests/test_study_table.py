"""Tables of made-up results: means over folds and seeds, pairs on the same images only, corrected p-values, ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sanoscope.evaluation import JudgedImages, critical_difference, delong, holm, paired_difference
from sanoscope.report.study_content import StudyRow, StudySection
from sanoscope.studies.declaration import Collection, Method, Study
from sanoscope.studies.entries import Done
from sanoscope.studies.job import Job, Terms
from sanoscope.studies.job_result import JobResult, RowResult
from sanoscope.studies.overall import overall_of
from sanoscope.studies.table import section_of

LABELS = [0, 1] * 20
RNG = np.random.default_rng(0)
HERE = Collection("here", (Path("here"),))


def study(*names: str, **changes: Any) -> Study:
    methods = tuple(Method(name, "conv-vae", also=("mse",) if name == "a" else ()) for name in names)
    settings = {"metrics": ("auroc",), "reference": "a", "collections": (HERE,), **changes}
    return Study(name="s", title="s", measure="images", methods=methods, **settings)


def done(method: str, value: float | None, fold: int = 0, seed: int = 0, images: str = "same", **others: Any) -> Done:
    draws = {} if value is None else {"auroc": np.clip(value + RNG.normal(0, 0.05, 400), 0, 1)}
    scores = (np.array(LABELS) * (value or 0) + RNG.normal(0, 1, len(LABELS))).tolist()
    rows = (
        RowResult(None, None, "method", {"auroc": value}, draws, scores, milliseconds=2.0),
        RowResult("mean intensity", None, "trivial", {"auroc": 0.6}, {"auroc": np.full(400, 0.6)}, scores),
    )
    result = JobResult(rows, images, "40 images", "sides", 1.0, LABELS, [None] * len(LABELS), 10, 3.0, **others)
    return Done(Job(HERE, Method(method, "conv-vae"), fold, seed, Terms("images")), result)


def rows_of(section: StudySection) -> Mapping[str, StudyRow]:
    return {row.name: row for row in section.rows}


def table(declared: Study, jobs: Sequence[Done]) -> Mapping[str, StudyRow]:
    return rows_of(section_of(declared, HERE, jobs))


def test_means_are_over_folds_and_seeds() -> None:
    values = {(1, 0): 0.7, (1, 1): 0.8, (2, 0): 0.9, (2, 1): 1.0}
    jobs = [done("a", value, fold, seed) for (fold, seed), value in values.items()]
    row = table(study("a"), jobs)["a"]
    assert row.cells["auroc"].value == pytest.approx(0.85)
    assert row.cells["auroc"].deviation == pytest.approx(np.std(list(values.values()), ddof=1))
    draws = np.mean([one.result.rows[0].draws["auroc"] for one in jobs if one.result], axis=0)
    assert (row.cells["auroc"].low, row.cells["auroc"].high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    assert (row.parameters, row.training_seconds, row.scoring_milliseconds, row.jobs) == (10, 3.0, 2.0, 4)


def test_a_single_job_has_no_deviation_and_a_missing_value_is_left_out() -> None:
    rows = table(study("a", "b"), [done("a", 0.7), done("b", 0.8, 1), done("b", None, 2)])
    assert rows["a"].cells["auroc"].deviation is None
    assert rows["b"].cells["auroc"].value == pytest.approx(0.8)
    assert rows["a, mse"].cells["auroc"].value is None
    assert rows["a, mse"].cells["auroc"].reason == "no job has given it"


def test_comparisons_are_paired_and_corrected_over_all_rows() -> None:
    jobs = [done(name, value, seed=seed) for seed in (0, 1) for name, value in (("a", 0.6), ("b", 0.8), ("c", 0.62))]
    rows = table(study("a", "b", "c"), jobs)
    expected = {}
    for name in ("b", "c", "mean intensity"):
        sides = [[one.result for one in jobs if one.result and one.job.method.name == side] for side in ("a", name)]
        if name == "mean intensity":
            sides[1] = sides[0]
        place = 1 if name == "mean intensity" else 0
        draws = [
            np.mean([result.rows[row].draws["auroc"] for result in side], axis=0)
            for side, row in zip(sides, (0, place), strict=True)
        ]
        scores = [
            np.array([result.rows[row].scores for result in side]) for side, row in zip(sides, (0, place), strict=True)
        ]
        value = rows[name].cells["auroc"].value
        assert value is not None
        expected[name] = (
            paired_difference(0.6, value, *draws),
            delong([JudgedImages(LABELS, scores[0], scores[1], [None] * len(LABELS))]),
        )
    adjusted = holm([bootstrap.p for bootstrap, _ in expected.values()])
    adjusted_delong = holm([exact.p for _, exact in expected.values()])
    for place, (name, (bootstrap, exact)) in enumerate(expected.items()):
        comparison = rows[name].comparison
        assert comparison is not None
        assert (comparison.difference, comparison.low, comparison.p) == pytest.approx(
            (bootstrap.value, bootstrap.low, bootstrap.p)
        )
        assert comparison.p_adjusted == pytest.approx(adjusted[place])
        assert comparison.delong_p == (None if exact.p is None else pytest.approx(exact.p))
        assert comparison.delong_p_adjusted == (None if exact.p is None else pytest.approx(adjusted_delong[place]))
    assert rows["a"].comparison is None


def test_methods_that_judged_other_images_are_not_compared() -> None:
    rows = table(study("a", "b"), [done("a", 0.6), done("b", 0.8, images="others")])
    assert rows["b"].comparison is None
    assert rows["b"].cells["auroc"].value == 0.8


def test_only_folds_and_seeds_that_both_have_are_compared() -> None:
    rows = table(study("a", "b"), [done("a", 0.6, seed=0), done("a", 0.9, seed=1), done("b", 0.8, seed=0)])
    comparison = rows["b"].comparison
    assert comparison is not None
    assert comparison.difference == pytest.approx(0.2)


def test_what_is_only_described_is_neither_compared_nor_ranked() -> None:
    rows = table(study("a", "b", metrics=("kl",)), [done("a", 0.6), done("b", 0.8)])
    assert rows["b"].comparison is None
    assert rows["b"].rank is None


def test_ranks_are_means_over_folds_and_seeds_of_methods_alone() -> None:
    jobs = [
        done("a", 0.6, 1),
        done("b", 0.7, 1),
        done("a", 0.9, 2),
        done("b", 0.7, 2),
        done("c", 0.1, 1),
        done("c", 0.7, 2),
    ]
    rows = table(study("a", "b", "c"), jobs)
    assert [rows[name].rank for name in "abc"] == [1.5, 1.75, 2.75]
    assert rows["mean intensity"].rank is None


def test_a_failed_job_is_in_its_row_and_trivial_rows_come_from_another() -> None:
    failed = Done(Job(HERE, Method("a", "conv-vae"), 0, 0, Terms("images")), None, "out of memory")
    rows = table(study("a", "b"), [failed, done("b", 0.8)])
    assert rows["a"].failed == ("seed 0: out of memory",)
    assert rows["a"].jobs == 0
    assert rows["mean intensity"].cells["auroc"].value == 0.6
    assert rows["b"].comparison is None


def test_rows_of_the_paper_alone_are_there_with_its_numbers() -> None:
    published = {"a": {"here": {"auroc": "0.700"}}, "theirs": {"here": {"auroc": "0.900"}}, "else": {"there": {}}}
    rows = table(study("a", published=published), [done("a", 0.6)])
    assert rows["a"].cells["auroc"].published == "0.700"
    assert rows["theirs"].kind == "published"
    assert rows["theirs"].cells["auroc"].value is None
    assert rows["theirs"].cells["auroc"].published == "0.900"
    assert "else" not in rows


def test_collections_together_have_means_ranks_and_a_critical_difference() -> None:
    names = ("a", "b", "c")
    values = np.array([[0.9, 0.8, 0.7], [0.8, 0.9, 0.7], [0.9, 0.7, 0.6], [0.8, 0.6, 0.7]])
    sections = []
    for number, row in enumerate(values):
        collection = Collection(f"{number}", (Path(f"{number}"),))
        declared = study(*names, collections=(collection,))
        jobs = [done(name, value) for name, value in zip(names, row, strict=True)]
        sections.append(section_of(declared, collection, jobs))
    overall = overall_of(study(*names), sections)
    assert overall is not None
    ranks = {name: rank for name, _, _, rank in overall.rows if rank is not None}
    assert ranks == {"a": 1.25, "b": 2.0, "c": 2.75}
    means = {name: mean for name, _, mean, _ in overall.rows}
    assert [means[name] for name in names] == pytest.approx(values.mean(axis=0).tolist())
    assert means["mean intensity"] == pytest.approx(0.6)
    assert overall.critical_difference == critical_difference(3, 4)
    assert overall.blocks == 4
    assert overall_of(study(*names), sections[:1]) is None
