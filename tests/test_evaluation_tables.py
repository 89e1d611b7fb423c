"""Rows and tables of results."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sanoscope.evaluation import (
    Estimate,
    Evaluation,
    ResultRow,
    all_positive_row,
    balance,
    evaluate,
    format_markdown_table,
    format_text_table,
    results_table,
    table_notes,
)


def row(name: str, oracle: bool = False, notes: tuple[str, ...] = (), **estimates: Estimate) -> ResultRow:
    evaluation = Evaluation("image", estimates, 4, 2, 2, 0, "images", 1000, 0.95, 0, list(notes))
    return ResultRow(name, "method", evaluation, threshold=0.25, oracle=oracle)


def values(of: ResultRow) -> dict[str, float | None]:
    return {name: estimate.value for name, estimate in of.evaluation.estimates.items()}


def test_predicting_everything_abnormal_on_a_balanced_set() -> None:
    labels = np.array([0] * 70 + [1] * 30)
    found = values(all_positive_row(labels[balance(labels, seed=0)]))
    assert found["accuracy"] == found["auroc"] == found["average_precision"] == found["prevalence"] == 0.5
    assert found["f1"] == pytest.approx(2 / 3)
    assert (found["sensitivity"], found["specificity"]) == (1.0, 0.0)


@pytest.mark.parametrize("p", [0.1, 0.284, 0.9])
def test_predicting_everything_abnormal_in_closed_form(p: float) -> None:
    labels = np.arange(1000) < 1000 * p
    trivial = all_positive_row(labels)
    found = values(trivial)
    assert trivial.kind == "trivial"
    for metric in ("accuracy", "average_precision", "prevalence"):
        assert found[metric] == pytest.approx(p), metric
    assert found["f1"] == pytest.approx(2 * p / (1 + p))
    assert found["auroc"] == found["balanced_accuracy"] == 0.5


def test_predicting_every_subject_abnormal() -> None:
    labels = [0, 1, 0, 0, 0, 0]
    trivial = all_positive_row(labels, ["a", "a", "b", "b", "c", "c"], how="max")
    assert trivial.evaluation.level == "subject-max"
    assert values(trivial)["accuracy"] == pytest.approx(1 / 3)


def test_table_of_results() -> None:
    rows = [
        row("conv-vae", auroc=Estimate(0.7124, 0.651, 0.769), true_positives=Estimate(12.0), f1=Estimate(0.5)),
        row("best", oracle=True, auroc=Estimate(None, reason="needs both classes")),
    ]
    assert results_table(rows, ["auroc", "f1", "true_positives"]) == [
        ["Method", "Kind", "AUROC", "F1", "True positives"],
        ["conv-vae", "method", "0.712 [0.65, 0.77]", "0.500", "12"],
        ["best (oracle)", "method", "– (needs both classes)", "–", "–"],
    ]


def test_notes_stand_once() -> None:
    rows = [row("a", notes=("rough", "few")), row("b", notes=("rough", "other"))]
    assert table_notes(rows) == ["rough", "few", "other"]


def test_text_table() -> None:
    assert format_text_table([["Method", "F1"], ["a longer name", "0.5"], ["b", ""]]) == "\n".join(
        ["Method         F1", "-------------  ---", "a longer name  0.5", "b"]
    )


def test_markdown_table() -> None:
    assert format_markdown_table([["Method", "F1"], ["a|b", "0.5"]]) == "\n".join(
        ["| Method | F1 |", "| --- | --- |", "| a\\|b | 0.5 |"]
    )


def test_json_round_trip() -> None:
    result = ResultRow("mse", "other score", evaluate([0, 1, 0], [0.1, 0.4, 0.2], [0, 1, 0]), 0.3, oracle=True)
    assert ResultRow.from_json(json.loads(json.dumps(result.to_json()))) == result
