"""``sanoscope evaluate`` as a user types it: its numbers against scikit-learn's on the written table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from command_line import SMALL, finished, sanoscope
from sanoscope.cases.phantoms import histology_phantoms

FEW = ("--resamples", "20")  # intervals are tested elsewhere


@pytest.fixture(scope="module")
def model_and_data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model, and a collection whose test side has three subjects."""
    folder = tmp_path_factory.mktemp("fitted")
    phantoms = histology_phantoms(subjects=5, images_per_subject=8, size=40, seed=1)
    sides = dict(zip(sorted(set(phantoms.subjects)), ("train", "validation", "test", "test", "test"), strict=True))
    phantoms.save(folder / "patches", [sides[subject] for subject in phantoms.subjects])
    finished("fit", "conv-vae", folder / "patches", "--out", folder / "model", *SMALL, "--epochs", "1")
    return folder / "model", folder / "patches"


@pytest.fixture(scope="module")
def scored(model_and_data: tuple[Path, Path]) -> Path:
    folder = model_and_data[0].parent / "findings"
    finished("score", *model_and_data, "--out", folder, "--device", "cpu", "--no-maps")
    return folder


@pytest.fixture
def findings(scored: Path, tmp_path: Path) -> Path:
    """A copy that the test may alter."""
    return Path(shutil.copytree(scored, tmp_path / "findings"))


def table_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "scores.csv", dtype={"name": str, "subject": str})


def metrics_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return content


def values_of(rows: list[dict[str, Any]], name: str) -> dict[str, float | None]:
    (row,) = (row for row in rows if row["name"] == name)
    return {metric: estimate["value"] for metric, estimate in row["evaluation"]["estimates"].items()}


def expected(labels: Any, scores: Any, threshold: float) -> dict[str, float]:
    """The same metrics by scikit-learn."""
    called = np.asarray(scores) > threshold
    (tn, fp), (fn, tp) = metrics.confusion_matrix(labels, called, labels=[0, 1])
    return {
        "auroc": metrics.roc_auc_score(labels, scores),
        "average_precision": metrics.average_precision_score(labels, scores),
        "prevalence": np.mean(labels),
        "accuracy": metrics.accuracy_score(labels, called),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, called),
        "f1": metrics.f1_score(labels, called, zero_division=0),
        "sensitivity": metrics.recall_score(labels, called),
        "specificity": metrics.recall_score(labels, called, pos_label=0),
        "true_positives": tp,
        "false_positives": fp,
        "true_negatives": tn,
        "false_negatives": fn,
    }


def test_numbers_are_those_of_scikit_learn(findings: Path) -> None:
    done = finished("evaluate", findings, *FEW)
    table, written = table_of(findings), metrics_of(findings)
    decisions = json.loads((findings / "findings.json").read_text())["decisions"]
    method = {"wasserstein", "mse", "elbo", "kl"}
    assert len(decisions) == 8
    for score, decision in decisions.items():
        name = f"conv-vae, {score}" if score in method else score
        by_sklearn = expected(table["label"], table[f"score: {score}"], decision["threshold"])
        assert values_of(written["images"], name) == pytest.approx(by_sklearn)
        assert f"{name:<21}" in done.out
        assert f"{by_sklearn['auroc']:.3f}" in done.out
        for how in ("max", "mean"):
            (title,) = (title for title in written["subjects"] if {"max": "highest", "mean": "mean"}[how] in title)
            assert f"{title}:" in done.out.splitlines()
            subjects = table.groupby("subject").agg({"label": "max", f"score: {score}": how})
            if subjects["label"].nunique() == 2:
                by_sklearn = expected(subjects["label"], subjects[f"score: {score}"], decision["threshold"])
                assert values_of(written["subjects"][title], name) == pytest.approx(by_sklearn)
    prevalence = table["label"].mean()
    everything = values_of(written["images"], "predict all abnormal")
    assert (everything["auroc"], everything["accuracy"]) == (0.5, pytest.approx(prevalence))
    assert everything["f1"] == pytest.approx(2 * prevalence / (1 + prevalence))


def test_what_is_written_and_where(findings: Path, tmp_path: Path) -> None:
    report = findings / "report.html"
    report.unlink()
    done = finished("evaluate", findings, *FEW)
    assert done.out.splitlines()[-1] == f"report: {report}"
    assert "AUROC" in report.read_text()
    written = metrics_of(findings)
    assert written.keys() == {"images", "subjects", "pixels", "decision", "recipe", "provenance", "notes"}
    assert written["decision"]["threshold"] == pytest.approx(
        json.loads((findings / "findings.json").read_text())["decisions"]["wasserstein"]["threshold"]
    )
    assert written["recipe"]["name"] == "conv-vae"
    elsewhere = tmp_path / "else" / "where"
    finished("evaluate", findings, *FEW, "--out", elsewhere)
    assert {file.name for file in elsewhere.iterdir()} == {"metrics.json", "report.html"}
    assert metrics_of(elsewhere) == written


def test_some_subjects_alone(findings: Path) -> None:
    table = table_of(findings)
    names = sorted(table["subject"].unique())
    done = finished("evaluate", findings, *FEW, "--subject", names[0])
    assert f"only subject {names[0]}" in done.out
    row = metrics_of(findings / f"subject-{names[0]}")["images"][0]
    assert row["evaluation"]["n_images"] == (table["subject"] == names[0]).sum()
    finished("evaluate", findings, *FEW, "--subject", names[0], "--subject", names[2])
    row = metrics_of(findings / f"subject-{names[0]}-{names[2]}")["images"][0]
    assert row["evaluation"]["n_images"] == table["subject"].isin([names[0], names[2]]).sum()
    assert sanoscope("evaluate", findings, "--subject", "nobody").error == "no case of subject 'nobody' was scored"


def test_balanced_has_as_many_of_both_and_a_seed(findings: Path) -> None:
    smaller = table_of(findings)["label"].value_counts().min()
    for seed in (0, 0, 1):
        finished("evaluate", findings, *FEW, "--balanced", "--seed", seed, "--out", findings / f"balanced {seed}")
    first, other = (metrics_of(findings / f"balanced {seed}")["images"] for seed in (0, 1))
    assert (first[0]["evaluation"]["n_normal"], first[0]["evaluation"]["n_abnormal"]) == (smaller, smaller)
    assert values_of(first, "predict all abnormal")["accuracy"] == 0.5
    assert values_of(first, "predict all abnormal")["f1"] == pytest.approx(2 / 3)
    assert first[0]["evaluation"]["seed"] == 0
    assert other[0]["evaluation"]["seed"] == 1
    assert first != other


def test_one_class_is_evaluated_as_far_as_it_goes(findings: Path) -> None:
    table = pd.read_csv(findings / "scores.csv", dtype=str, keep_default_na=False)
    table[table["label"] == "0"].to_csv(findings / "scores.csv", index=False)
    done = finished("evaluate", findings, *FEW)
    assert "– (needs both classes)" in done.out
    assert "– (needs the abnormal class)" in done.out
    estimates = metrics_of(findings)["images"][0]["evaluation"]["estimates"]
    assert estimates["auroc"] == {"value": None, "low": None, "high": None, "reason": "needs both classes"}
    assert estimates["specificity"]["value"] is not None
    assert "needs both classes" in (findings / "report.html").read_text()
    assert "a balanced set needs both" in sanoscope("evaluate", findings, "--balanced").error


def test_without_labels_there_is_nothing_to_evaluate(findings: Path) -> None:
    table = pd.read_csv(findings / "scores.csv", dtype=str, keep_default_na=False)
    table.assign(label="").to_csv(findings / "scores.csv", index=False)
    done = sanoscope("evaluate", findings)
    assert done.error == f"{findings}: no scored image has a label, so there is nothing to evaluate against"


def test_scores_that_were_partly_labelled(findings: Path) -> None:
    table = pd.read_csv(findings / "scores.csv", dtype=str, keep_default_na=False)
    table.loc[:3, "label"] = ""
    table.to_csv(findings / "scores.csv", index=False)
    done = finished("evaluate", findings, *FEW)
    assert "note: left out, as they have no label: 4" in done.out
    assert metrics_of(findings)["images"][0]["evaluation"]["n_images"] == len(table) - 4


def test_without_maps_nothing_stands_side_by_side(findings: Path, scored: Path) -> None:
    said = "has no maps to show; score images that have masks, with maps"
    assert sanoscope("evaluate", findings, "--beside", scored).error == f"{findings}: {said}"


def test_an_output_folder_that_cannot_be_made(findings: Path) -> None:
    done = sanoscope("evaluate", findings, *FEW, "--out", findings / "scores.csv" / "deeper")
    assert done.error.startswith(f"{findings / 'scores.csv' / 'deeper'}: ")


def rewrite(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        stored = json.loads((folder / "findings.json").read_text())
        change(stored)
        (folder / "findings.json").write_text(json.dumps(stored))

    return damage


def without_column(folder: Path) -> None:
    pd.read_csv(folder / "scores.csv").drop(columns="score: wasserstein").to_csv(folder / "scores.csv", index=False)


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (shutil.rmtree, "has no scores.csv; give a folder that 'sanoscope score' wrote"),
    "no table": (lambda folder: (folder / "scores.csv").unlink(), "has no scores.csv"),
    "no findings": (lambda folder: (folder / "findings.json").unlink(), "has no findings.json"),
    "empty table": (lambda folder: (folder / "scores.csv").write_text(""), "is not a folder that 'sanoscope score'"),
    "no JSON": (lambda folder: (folder / "findings.json").write_text("{"), "is not a folder that 'sanoscope score'"),
    "a list": (lambda folder: (folder / "findings.json").write_text("[]"), "is not a folder that 'sanoscope score'"),
    "no recipe": (rewrite(lambda stored: stored.pop("recipe")), "(KeyError: 'recipe')"),
    "no such score": (rewrite(lambda stored: stored.update(score="msee")), "(KeyError: 'score: msee')"),
    "the deciding score is gone": (without_column, "(KeyError: 'score: wasserstein')"),
    "no decision": (rewrite(lambda stored: stored["decisions"].pop("mse")), "(KeyError: 'mse')"),
    "a broken picture": (
        lambda folder: next(folder.glob("gallery/*-image.png")).write_bytes(b"none"),
        "is not a folder that 'sanoscope score'",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_folders_that_are_no_findings(findings: Path, damage: str) -> None:
    harm, reason = DAMAGES[damage]
    harm(findings)
    done = sanoscope("evaluate", findings)
    assert reason in done.error
    assert str(findings) in done.error
