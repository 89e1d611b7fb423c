"""What a study measures: folds and collections together, pixels, clusters, and choices by known anomalies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sanoscope.cases import load_cases
from study_files import TINY, brains, declared, quiet, row, study_of, tissue


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tissue(tmp_path_factory.mktemp("phantoms") / "patches")


def test_folds_test_every_image_once_and_collections_are_put_together(data: Path, tmp_path: Path) -> None:
    second = tissue(tmp_path / "others")
    content = declared(
        data,
        seeds=[0],
        collections=[{"data": str(data), "folds": 2}, {"data": str(second)}],
        methods=[declared(data)["methods"][0], {"recipe": "fc-vae", "options": {"training.epochs": 1}}],
    )
    table = quiet(tmp_path / "out").carry_out(study_of(content))
    assert table.jobs == (6, 6)
    first, other = table.sections
    assert [row.jobs for row in first.rows if row.method == "plain"] == [2, 2]
    assert table.overall is not None
    means = {name: mean for name, _, mean, _ in table.overall.rows}
    values = [next(row for row in section.rows if row.name == "plain") for section in (first, other)]
    assert means["plain"] == pytest.approx(np.mean([row.cells["auroc"].value for row in values]))
    stored = [json.loads(file.read_text()) for file in (tmp_path / "out" / "jobs").glob("*conv-vae-fold*")]
    assert len({one["result"]["images"] for one in stored}) == 2


def test_pixels_have_rows_for_maps_and_readings(tmp_path: Path) -> None:
    method = {
        "name": "beta",
        "recipe": "beta-vae",
        "options": {"network.widths": [4, 8, 8, 8], "network.latent": 4, "training.epochs": 1},
        "also": ["rec-error"],
        "readings": {"unsmoothed": {"scoring.smoothing": "none"}, "error alone": {"scoring.map": "rec-error"}},
    }
    content = declared(
        brains(tmp_path / "brains"),
        measure="pixels",
        methods=[method],
        reference="beta",
        seeds=[0],
        metrics=["auroc", "dice"],
    )
    table = quiet(tmp_path / "out").carry_out(study_of(content))
    rows = {row.name: row for row in table.sections[0].rows}
    assert list(rows)[:4] == ["beta", "beta, unsmoothed", "beta, error alone", "beta, rec-error"]
    assert {"intensity", "signed z-map", "PCA residual map"} <= rows.keys()
    assert rows["beta, error alone"].cells["auroc"] == rows["beta, rec-error"].cells["auroc"]
    assert rows["beta, unsmoothed"].cells["auroc"].value != rows["beta"].cells["auroc"].value
    comparison = rows["beta, rec-error"].comparison
    assert comparison is not None
    assert comparison.delong_p is None
    assert comparison.p is not None


def test_clusters_are_compared_with_classes(data: Path, tmp_path: Path) -> None:
    methods = [{"recipe": "pixels"}, {"recipe": "mean-colour"}, {"recipe": "conv-vae", "options": TINY}]
    content = declared(
        data,
        measure="clusters",
        methods=methods,
        reference="pixels",
        seeds=[0],
        collections=[{"data": str(data), "folds": 3, "split": "image"}],
    )
    table = quiet(tmp_path / "out").carry_out(study_of(content))
    assert table.jobs == (9, 9)
    assert [row.name for row in table.sections[0].rows] == [
        *("pixels", "mean-colour", "conv-vae", "always normal", "always abnormal")
    ]
    assert row(table, "conv-vae").parameters is not None
    assert row(table, "always normal").cells["f1"].value == 0


def test_a_selection_shows_what_few_known_anomalies_choose(data: Path, tmp_path: Path) -> None:
    method = {
        "name": "VAE",
        "recipe": "conv-vae",
        "options": {**TINY, "training.epochs": 1},
        "search": {"network.latent": [2, 6]},
        "known": [1, 2],
    }
    content = declared(data, measure="selection", methods=[method], reference=None, seeds=[0])
    table = quiet(tmp_path / "out").carry_out(study_of(content))
    rows = {row.name: row for row in table.sections[0].rows}
    best, chance = (rows[f"VAE, {name}"].cells["auroc"].value for name in ("the best (oracle)", "by chance"))
    assert best is not None
    assert chance is not None
    (curve,) = table.curves
    assert curve.x == (1.0, 2.0)
    assert all(value <= best for value in curve.y)
    assert chance <= best
    assert rows["VAE, all known, trained anew"].cells["auroc"].value is not None
    assert rows["mean intensity"].cells["auroc"].value is not None


def test_an_image_on_two_sides_is_noted_though_jobs_do_not_look_for_it(tmp_path: Path) -> None:
    folder = tissue(tmp_path / "patches")
    cases = load_cases(folder)
    learned, tested = cases.train.normals[0], cases.test[0]
    assert learned.path is not None
    assert tested.path is not None
    tested.path.write_bytes(learned.path.read_bytes())
    methods = [{"name": "plain", "recipe": "conv-vae", "options": {**TINY, "training.epochs": 1}}]
    table = quiet(tmp_path / "out").carry_out(study_of(declared(folder, methods=methods, seeds=[0])))
    assert [note for note in table.sections[0].notes if "on two sides" in note or "identical" in note]
