"""Methods that judge whole images, as a user comes to them: without maps, without epochs, chosen by ``select``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import SMALL, finished, sanoscope
from sanoscope import RECIPES, get_recipe
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.recipes import deep_energy, deep_geo, deep_isolation_forest, deep_svdd, frozen_features, image_gans, piad
from sanoscope.search_space import Choices
from sanoscope.selection.search import search
from search_runs import SETTINGS, small_cases

NAMES = [
    recipe.name
    for module in (frozen_features, deep_isolation_forest, deep_geo, deep_svdd, deep_energy, piad, image_gans)
    for recipe in module.RECIPES
]
# Only what makes them small and keeps them off the network.
OPTIONS: dict[str, Any] = {
    "preparation.image_size": 32,
    "network.pretrained": False,
    "network.features": "squeezenet1_1",
    "network.layers": ("level1",),
    "training.epochs": 2,
    "training.pretraining_epochs": 1,
    "training.batch_size": 8,
    "training.precision": "float32",
    "scoring.search_steps": 2,
}
BOTH_WAYS = Choices(("bilinear", "area"))
FROZEN = ("--set", "network.pretrained=false", "--set", "network.features=squeezenet1_1")
WEIGHTS = "resnet18_imagenet_conv1_to_layer3_bnfolded_torchvision.pth"


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "patches"
    histology_phantoms(subjects=6, images_per_subject=4, size=32, seed=1).save(folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_select_trains_and_ranks_it(name: str, tmp_path: Path) -> None:
    known = RECIPES[name].options
    recipe = get_recipe(name).with_options({key: value for key, value in OPTIONS.items() if key in known})
    outcome = search(recipe, small_cases(), tmp_path, SETTINGS, space={"preparation.interpolation": BOTH_WAYS})
    assert [trial.state for trial in outcome.result.trials] == ["complete", "complete"]
    assert all(trial.value is not None for trial in outcome.result.ranked)
    assert outcome.findings is not None
    assert (tmp_path / "search.html").exists()
    for file in ("ranking.csv", "search.json"):
        assert "nan" not in (tmp_path / file).read_text().lower()


def test_what_has_no_loss_is_not_ranked_by_it(tissue: Path, tmp_path: Path) -> None:
    small = ("--trials", "1", "--folds", "2", "--device", "cpu", "--set", "preparation.image_size=32")
    done = sanoscope(
        "select", "deep-knn", tissue, "--out", tmp_path / "search", "--criterion", "validation-loss", *small, *FROZEN
    )
    assert "the training has no validation-loss" in done.error


def test_without_maps_there_are_scores_decisions_and_a_report(tissue: Path, tmp_path: Path) -> None:
    model, findings = tmp_path / "model", tmp_path / "findings"
    finished("fit", "deep-knn", tissue, "--out", model, *SMALL[:4], *FROZEN)
    finished("score", model, tissue, "--out", findings, "--device", "cpu")
    finished("evaluate", findings)
    page = (findings / "report.html").read_text()
    assert "deep-knn" in page
    assert json.loads((findings / "findings.json").read_text())["history"] == []
    assert not (findings / "maps").exists()
    assert not list((findings / "gallery").glob("*-overlay.png"))
    assert not list((findings / "gallery").glob("*-reconstruction.png"))
    assert list((findings / "gallery").glob("*-image.png"))
    assert {"scores.csv", "metrics.json"} <= {file.name for file in findings.iterdir()}


def test_neighbours_are_counted_anew_on_a_fitted_model(tissue: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    finished("fit", "deep-knn", tissue, "--out", model, *SMALL[:4], *FROZEN)
    tables = []
    for neighbours in (1, 5):
        out = tmp_path / f"findings-{neighbours}"
        finished("score", model, tissue, "--out", out, "--set", f"scoring.neighbours={neighbours}", "--device", "cpu")
        tables.append((out / "scores.csv").read_text())
    assert tables[0] != tables[1]


def test_epochs_are_refused_where_there_are_none(tissue: Path, tmp_path: Path) -> None:
    done = sanoscope("fit", "patchcore", tissue, "--out", tmp_path / "model", "--epochs", "3", *SMALL[:4], *FROZEN)
    assert "recipe 'patchcore' has no option 'training.epochs'" in done.error
    assert not (tmp_path / "model").exists()


def test_maps_are_not_evaluated_where_there_are_none(tissue: Path, tmp_path: Path) -> None:
    done = sanoscope("fit", "deep-knn", tissue, "--out", tmp_path / "model", "--set", "postprocessing.median=2d")
    assert "recipe 'deep-knn' has no option 'postprocessing.median'" in done.error


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "least"), [("deep-knn", 0.7), ("deep-if", 0.6), ("patchcore", 0.6)])
def test_small_chest_x_rays(
    real_data: Path, real_weights: Callable[[str], Path], tmp_path: Path, name: str, least: float
) -> None:
    model, findings = tmp_path / "model", tmp_path / "findings"
    weights = ("--set", f"network.weights={real_weights(WEIGHTS)}", "--set", "data.fraction=0.2")
    size = ("--set", "preparation.image_size=64")
    finished("fit", name, real_data / "pneumoniamnist", "--out", model, "--device", "cpu", *weights, *size)
    finished("score", model, real_data / "pneumoniamnist", "--out", findings, "--device", "cpu", "--no-maps")
    finished("evaluate", findings)
    rows = json.loads((findings / "metrics.json").read_text())["images"]
    auroc = next(row for row in rows if row["kind"] == "method")["evaluation"]["estimates"]["auroc"]["value"]
    print(f"AUROC of {name}: {auroc:.3f}")
    assert auroc > least
