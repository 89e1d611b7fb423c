"""What every registered recipe promises, on a handful of small images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sanoscope import RECIPES, Case, Cases, Detector, Findings
from sanoscope.calibration import build_scoring
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.errors import DataError, ImageError, ModelError, OptionError

# A recipe is tested with its own defaults but for these, which only make it small and keep it off the network.
SMALL = {"preparation.image_size": 32, "training.epochs": 2, "training.batch_size": 8, "training.precision": "float32"}
SPECIAL: dict[str, dict[str, Any]] = {
    "resnet34-vae": {"network.pretrained": False},
    # A schedule over the whole training would not let it be made longer.
    **{name: {"training.schedule": "constant"} for name in ("constrained-attention-vae", "cavga")},
    # Weights that a test makes up would be random too.
    **{
        name: {
            "network.pretrained": False,
            "network.features": "vgg11_bn",
            "network.layers": ("r21",),
            "training.schedule": "constant",
        }
        for name in ("deep-perceptual-autoencoder", "piad")
    },
    **{
        name: {"network.pretrained": False, "network.features": "squeezenet1_1"}
        for name in ("deep-knn", "deep-if", "padim", "patchcore")
    },
    # Of these only one image size fits the layers.
    **{
        name: {"preparation.image_size": size, "network.width": width}
        for name, size, width in (
            ("cnn-autoencoder", 50, 0.05),
            ("cnn-autoencoder-no-maxpool", 50, 0.05),
            ("resnet-autoencoder", 256, 0.03),
        )
    },
    "alexnet-autoencoder": {"preparation.image_size": 250, "network.width": 0.03, "network.pretrained": False},
    "fc-autoencoder": {"network.widths": (24, 12)},
    "anogan": {"scoring.search_steps": 3},
    "deep-geo": {"training.schedule": "constant"},
    "deep-svdd": {"training.pretraining_epochs": 1},
    "f-anogan-original": {"training.generator_iterations": 1},
    "restoration-vae": {"scoring.restoration_steps": 5},
}
ONE_SIZE = [name for name, options in SPECIAL.items() if "preparation.image_size" in options]


@dataclass
class Fitted:
    detector: Detector
    options: dict[str, Any]
    normals: Cases
    others: Cases


def options_of(name: str) -> dict[str, Any]:
    known = RECIPES[name].options
    return {key: value for key, value in (SMALL | SPECIAL.get(name, {})).items() if key in known}


def says_where(detector: Detector) -> bool:
    """Whether a method has maps."""
    return bool(build_scoring(detector.recipe, {}).map_names)


def has_epochs(detector: Detector) -> bool:
    """Whether a method is trained step by step, not in closed form."""
    return "training.epochs" in detector.recipe.options


def assert_equal_maps(one: Findings, other: Findings) -> None:
    if one.maps is None or other.maps is None:
        assert one.maps is other.maps
    else:
        np.testing.assert_array_equal(one.maps.values, other.maps.values)


@pytest.fixture(scope="module", params=sorted(RECIPES))
def fitted(request: pytest.FixtureRequest) -> Fitted:
    cases = histology_phantoms(subjects=3, images_per_subject=12, size=40, seed=1).cases()
    normals = cases.where(lambda case: case.label == 0)[:20]
    labels = np.array(cases.labels)
    others = cases[[*np.flatnonzero(labels == 1)[:3], *np.flatnonzero(labels == 0)[-3:]]]
    options = options_of(request.param)
    detector = Detector(request.param, options, device="cpu").fit(normals, quiet=True)
    return Fitted(detector, options, normals, others)


def test_scores_are_finite_and_one_per_case(fitted: Fitted) -> None:
    scores = fitted.detector.decision_function(fitted.others)
    assert scores.shape == (len(fitted.others),)
    assert np.isfinite(scores).all()


def test_scoring_twice_gives_the_same(fitted: Fitted) -> None:
    first, second = (fitted.detector.score(fitted.others) for _ in range(2))
    np.testing.assert_array_equal(first.score, second.score)
    assert_equal_maps(first, second)


def test_a_score_does_not_depend_on_the_batch(fitted: Fitted) -> None:
    together = fitted.detector.score(fitted.others)
    alone = [fitted.detector.score(fitted.others[[i]]) for i in range(len(fitted.others))]
    for name, values in together.scores.items():
        np.testing.assert_allclose(values, [one.scores[name][0] for one in alone], rtol=2e-4, atol=1e-5, err_msg=name)


def test_the_same_seed_gives_the_same_model_and_another_seed_another(fitted: Fitted) -> None:
    again, other = (
        Detector(fitted.detector.recipe.name, fitted.options, seed=seed, device="cpu").fit(fitted.normals, quiet=True)
        for seed in (0, 1)
    )
    scores = fitted.detector.decision_function(fitted.others)
    np.testing.assert_array_equal(again.decision_function(fitted.others), scores)
    assert not np.array_equal(other.decision_function(fitted.others), scores)


def test_fitting_leaves_the_callers_random_numbers_alone(fitted: Fitted) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fitted.detector.decision_function(fitted.others)
    Detector(fitted.detector.recipe.name, fitted.options, device="cpu").fit(fitted.normals, quiet=True)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_saved_and_loaded_it_is_the_same(fitted: Fitted, tmp_path: Path) -> None:
    fitted.detector.save(tmp_path / "model")
    loaded = Detector.load(tmp_path / "model", device="cpu")
    before, after = fitted.detector.score(fitted.others), loaded.score(fitted.others)
    for name in before.scores:
        np.testing.assert_array_equal(before.scores[name], after.scores[name])
    assert_equal_maps(before, after)
    np.testing.assert_array_equal(before.p_values, after.p_values)
    assert before.decisions == after.decisions
    assert loaded.recipe.to_json() == fitted.detector.recipe.to_json()
    assert {file.suffix for file in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}


def test_maps_lie_on_the_source_grid_and_are_not_negative(fitted: Fitted) -> None:
    if not says_where(fitted.detector):
        with pytest.raises(OptionError, match="has no maps"):
            fitted.detector.score_map(fitted.others)
        assert fitted.detector.score(fitted.others).maps is None
        return
    heatmaps = fitted.detector.score_map(fitted.others)
    assert [heatmap.shape for heatmap in heatmaps] == [(40, 40)] * len(fitted.others)
    assert all(np.isfinite(heatmap).all() and (heatmap >= 0).all() for heatmap in heatmaps)


def test_latents_and_decisions(fitted: Fitted) -> None:
    detector = fitted.detector
    assert detector.transform(fitted.others).shape == (len(fitted.others), detector.network_.latent)
    expected = (detector.decision_function(fitted.others) > detector.threshold_).astype(int)
    np.testing.assert_array_equal(detector.predict(fitted.others), expected)
    p = detector.score(fitted.others).p_values
    assert ((p > 0) & (p <= 1)).all()


def test_resumed_training_ends_with_the_same_weights(fitted: Fitted, tmp_path: Path) -> None:
    name = fitted.detector.recipe.name
    longer = fitted.options | ({"training.epochs": 3} if has_epochs(fitted.detector) else {})
    whole = Detector(name, longer, device="cpu").fit(fitted.normals, folder=tmp_path / "whole", quiet=True)
    settings = {"folder": tmp_path / "parts", "quiet": True, "checkpoint_seconds": 0.0}
    Detector(name, fitted.options, device="cpu").fit(fitted.normals, **settings)
    resumed = Detector(name, longer, device="cpu").fit(fitted.normals, resume=True, **settings)
    for key, weights in whole.network_.state_dict().items():
        torch.testing.assert_close(resumed.network_.state_dict()[key], weights, rtol=0, atol=0)
    assert [row["epoch"] for row in resumed.history_] == ([1, 2, 3] if has_epochs(fitted.detector) else [])
    assert [row["train/loss"] for row in resumed.history_] == [row["train/loss"] for row in whole.history_]


def test_a_batch_goes_on_past_a_bad_image(fitted: Fitted) -> None:
    cases = [*fitted.others]
    mixed = Cases([*cases[:2], Case("broken", pixels=np.full((40, 40, 3), np.nan)), *cases[2:4]])
    findings = fitted.detector.score(mixed)
    assert len(findings) == 4
    assert [path for path, _ in findings.unreadable] == ["broken"]
    assert "NaN" in findings.unreadable[0][1]
    with pytest.raises(ImageError, match="broken"):
        fitted.detector.decision_function(mixed)


def test_bad_input_is_refused(fitted: Fitted) -> None:
    name = fitted.detector.recipe.name
    nan = np.full((6, 32, 32, 3), np.nan, np.float32)
    with pytest.raises(DataError, match="NaN"):
        Detector(name, fitted.options).fit(nan, quiet=True)
    with pytest.raises(DataError, match="shape"):
        Detector(name, fitted.options).fit(np.zeros((4, 4)), quiet=True)
    with pytest.raises(DataError, match="no normal cases"):
        Detector(name, fitted.options).fit(fitted.others.where(lambda case: case.label == 1), quiet=True)
    with pytest.raises(ModelError, match="not fitted"):
        Detector(name, fitted.options).score(fitted.others)
    with pytest.raises(OptionError, match=r"did you mean 'preparation\.image_size'"):
        Detector(name, {"preparation.image_siez": 3})
    with pytest.raises(OptionError, match="built into"):
        fitted.detector.adjust({"preparation.image_size": 1234})


def test_other_channels_and_sizes_work(fitted: Fitted) -> None:
    images = np.random.default_rng(0).integers(0, 4096, (8, 48, 40, 1)).astype(np.uint16)
    options = fitted.options | {"preparation.image_size": 64}
    if fitted.detector.recipe.name in ONE_SIZE:
        with pytest.raises(OptionError, match=r"takes preparation\.image_size=\d+ only, not 64"):
            Detector(fitted.detector.recipe.name, options, device="cpu").fit(images, quiet=True)
        options = fitted.options
    detector = Detector(fitted.detector.recipe.name, options, device="cpu").fit(images, quiet=True)
    assert np.isfinite(detector.decision_function(images)).all()
    if says_where(detector):
        assert [heatmap.shape for heatmap in detector.score_map(images)] == [(48, 40)] * 8
    if detector.recipe["preparation.intensity"] in ("unit", "symmetric"):
        assert detector.preparation_.intensity.scale_ == 4095
