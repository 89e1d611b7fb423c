"""The deep perceptual autoencoder from the command line, on small chest X-rays with published features."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from command_line import SMALL, finished, sanoscope
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.recipes import get_recipe

RECIPE = "deep-perceptual-autoencoder"
FILES = {
    "vgg11_bn": "vgg11_bn_imagenet_features0_13_torchvision.pth",
    "squeezenet1_1": "squeezenet1_1_torchvision_rgbnorm_half.pth",
}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "patches"
    histology_phantoms(subjects=3, images_per_subject=8, size=32, seed=1).save(folder)
    return folder


def settings(**options: object) -> list[str]:
    named = {name.replace("__", "."): value for name, value in options.items()}
    return [part for name, value in named.items() for part in ("--set", f"{name}={value}")]


@pytest.mark.real_data
@pytest.mark.parametrize(("features", "least"), [("vgg11_bn", 0.65), ("squeezenet1_1", 0.6)])
def test_small_chest_x_rays(
    real_data: Path, real_weights: Callable[[str], Path], tmp_path: Path, features: str, least: float
) -> None:
    weights = real_weights(FILES[features])
    data, model, findings = real_data / "pneumoniamnist", tmp_path / "model", tmp_path / "findings"
    chosen = settings(
        network__features=features,
        network__weights=weights,
        network__layers="[level3]",
        network__latent=16,
        training__batch_size=16,
        training__learning_rate=0.005,
        training__schedule="constant",
        training__max_iterations=40,
        data__fraction=0.2,
    )
    finished("fit", RECIPE, data, "--out", model, *SMALL, *chosen)
    finished("score", model, data, "--out", findings, "--device", "cpu", "--no-maps")
    with (findings / "scores.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    auroc = roc_auc_score([int(row["label"]) for row in table], [float(row["score"]) for row in table])
    print(f"AUROC of {features} after 40 steps: {auroc:.3f}")
    assert auroc > least


def test_weights_that_are_missing_are_told_before_anything_is_written(phantoms: Path, tmp_path: Path) -> None:
    weights = settings(network__features="squeezenet1_1", network__weights=tmp_path / "none.pth")
    done = sanoscope("fit", RECIPE, phantoms, "--out", tmp_path / "model", *SMALL, *weights)
    assert done.error.startswith(f"{tmp_path / 'none.pth'}: ")
    assert "\n" not in done.error
    assert not (tmp_path / "model").exists()


def test_a_layer_that_is_too_deep_is_told_before_anything_is_written(phantoms: Path, tmp_path: Path) -> None:
    chosen = settings(network__features="squeezenet1_1", network__layers="[fire9]", preparation__image_size=16)
    done = sanoscope("fit", RECIPE, phantoms, "--out", tmp_path / "model", *SMALL, *chosen)
    assert "preparation.image_size=16 is too small for layer fire9 of squeezenet1_1; set a larger one" in done.error
    assert not (tmp_path / "model").exists()


def test_growing_from_the_command_line(phantoms: Path, tmp_path: Path) -> None:
    chosen = settings(
        network__features="vgg11_bn",
        network__pretrained="false",
        network__widths="[4]",
        network__layers="[r21]",
        network__growing_from=16,
        training__phase_iterations=2,
        training__batch_size=8,
        training__max_iterations=6,
    )
    finished("fit", RECIPE, phantoms, "--out", tmp_path / "model", *SMALL, *chosen)
    finished("score", tmp_path / "model", phantoms, "--out", tmp_path / "findings", "--device", "cpu", "--no-maps")
    options = json.loads((tmp_path / "model" / "detector.json").read_text())["recipe"]["options"]
    assert options["network.growing_from"] == 16


def test_too_long_phases_are_told_in_one_line(phantoms: Path, tmp_path: Path) -> None:
    chosen = settings(
        network__features="vgg11_bn",
        network__pretrained="false",
        network__layers="[r21]",
        network__growing_from=16,
        training__phase_iterations=50,
        training__max_iterations=60,
    )
    done = sanoscope("fit", RECIPE, phantoms, "--out", tmp_path / "model", *SMALL, *chosen)
    assert (
        "training.phase_iterations=50 takes 100 iterations until the network has grown, and there are 60" in done.error
    )


def test_its_presets_are_listed() -> None:
    out = finished("recipes", RECIPE).out
    for name in get_recipe(RECIPE).presets:
        assert f"Preset {name}: " in out
    assert "network.growing_from=8" in out
    assert "training.phase_iterations" in out
