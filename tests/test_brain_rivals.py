"""The rivals of the constrained model: what they are built of, their presets, and post-processing on a fitted model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from command_line import SMALL, finished, sanoscope
from sanoscope import RECIPES, Cases, Detector, get_recipe
from sanoscope.cases.phantoms import brain_phantoms
from sanoscope.errors import DataError, OptionError
from sanoscope.parameters import count_parameters
from sanoscope.recipes import brain_autoencoders, brain_gans, brain_maps

RIVALS = [recipe.name for recipe in (*brain_autoencoders.RECIPES, *brain_gans.RECIPES, *brain_maps.RECIPES)]
# Silva-Rodríguez et al. count stem, batch norm and classifier of the ResNet-18 for colour too, which nothing uses.
UNUSED = 3 * 64 * 7 * 7 + 2 * 64 + 513_000
ENCODER, DECODER, HEAD, DISCRIMINATOR = 12_775_808, 1_771_841, 802_848, 2_796_257

rival = pytest.mark.parametrize("name", RIVALS)


@pytest.fixture(scope="module")
def cases() -> Cases:
    return brain_phantoms(subjects=4, slices_per_subject=5, size=64, seed=1).cases()


@pytest.fixture(scope="module")
def model(cases: Cases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"preparation.image_size": 32, "training.max_iterations": 20, "training.batch_size": 8}
    normals = cases.where(lambda case: case.label == 0)
    detector = Detector("vae", options | {"training.precision": "float32"}, device="cpu")
    return detector.fit(normals, quiet=True).save(tmp_path_factory.mktemp("vae") / "model")


# ------------------------------------------------------------ sizes


def test_counts_of_the_paper() -> None:
    counts = {name: count_parameters(get_recipe(name).preset("paper")) for name in RIVALS}
    whole = ENCODER + DECODER
    for name in ("vae", "context-vae", "bayesian-vae", "restoration-vae"):
        assert counts[name] == (whole, whole, 0)
    for name in ("autoencoder", "context-autoencoder", "bayesian-autoencoder"):
        assert counts[name] == (whole - HEAD, whole - HEAD, 0)
    for name in ("gradcam-vae", "cavga"):  # whose map needs the encoder alone
        assert counts[name] == (whole, ENCODER, 0)
    assert counts["anovaegan"] == (whole + DISCRIMINATOR, whole, 0)
    assert counts["f-anogan"] == (whole - HEAD + DISCRIMINATOR, whole - HEAD, 0)
    # 13.3, 15.0 (cut off, not rounded) and 17.8 million in the paper's supplement.
    constrained = count_parameters(get_recipe("constrained-attention-vae").preset("paper"))
    assert constrained.inference + UNUSED == 13_298_344
    assert constrained.training + UNUSED == 15_070_185
    assert counts["anovaegan"].training + UNUSED == 17_866_442


def test_a_score_by_features_needs_the_critic_too() -> None:
    recipe = get_recipe("f-anogan")
    by_map, by_features = (
        count_parameters(recipe.with_options({"scoring.score": score})).inference
        for score in ("map-mean", "residual-and-features")
    )
    assert by_features - by_map == DISCRIMINATOR


def test_the_command_line_shows_the_counts() -> None:
    text = finished("recipes", "f-anogan").out
    assert "Parameters: 3,665,890 in training, 869,633 in inference, for 64×64 pixels" in text
    assert "Parameters, preset paper: 16,541,058 in training, 13,744,801 in inference, for 224×224 pixels" in text
    assert "preset by-place:" not in text  # which has the same


# ------------------------------------------------------------ recipes


@rival
def test_every_rival_is_prepared_as_the_constrained_model_and_can_have_its_backbone(name: str) -> None:
    recipe, constrained = get_recipe(name), get_recipe("constrained-attention-vae")
    for option in recipe.parts["preparation"].options:
        assert recipe[f"preparation.{option}"] == constrained[f"preparation.{option}"]
    paper, published = recipe.preset("paper"), constrained.preset("paper")
    for option in recipe.parts["preparation"].options:
        assert paper[f"preparation.{option}"] == published[f"preparation.{option}"]
    light, full = (
        type(
            recipe.with_options({"network.backbone": backbone}).build("network", in_channels=1, image_size=64)
        ).__name__
        for backbone in ("light", "resnet18")
    )
    assert (light, full) == ("LightAutoencoder", "ResidualAutoencoder")


@rival
def test_presets_of_reading_can_be_set_on_a_fitted_model(name: str) -> None:
    recipe = get_recipe(name)
    for preset in {"by-place", "comparison-study"} & set(recipe.presets):
        assert all(option.startswith(("scoring.", "postprocessing.")) for option in recipe.presets[preset])
        read = recipe.preset(preset)
        assert read["scoring.map"] in ("positive-residual", "positive-restoration", "attention")
    assert recipe.preset("by-place")["scoring.scaling"] == "position"


def test_the_plain_vae_of_the_paper_is_the_constrained_model_without_its_constraint() -> None:
    vae, constrained = (get_recipe(name).preset("paper") for name in ("vae", "constrained-attention-vae"))
    shared = set(vae.options) & set(constrained.options)
    apart = {name for name in shared if vae[name] != constrained[name]}
    assert apart == {"scoring.map", "scoring.scaling", "network.bias", "decision.map_threshold"}


# ------------------------------------------------------------ post-processing


def test_post_processing_changes_maps_and_the_scores_of_maps(model: Path, cases: Cases) -> None:
    before = Detector.load(model, device="cpu").score(cases)
    detector = Detector.load(model, device="cpu").adjust({"postprocessing.prior": 0.9, "postprocessing.median": "2d"})
    after = detector.score(cases)
    assert (after.maps.values > 0).mean() < 0.5 * (before.maps.values > 0).mean()
    inside = before.maps.values > 0
    for row, values in enumerate(after.maps.values):
        assert after.scores["map-max"][row] == pytest.approx(values.max(), rel=1e-6)
        assert (values[~inside[row]] <= before.maps.values.max()).all()
    np.testing.assert_array_equal(after.scores["mse"], before.scores["mse"])
    np.testing.assert_allclose(detector.decision_function(cases), after.score, rtol=1e-6)
    # The threshold is still that of maps as they were when it was fitted, and the reader is told so.
    assert any("postprocessing.prior=0.9" in note for note in after.notes)


def test_a_fitted_one_has_thresholds_of_its_own(cases: Cases, model: Path) -> None:
    options = json.loads((model / "detector.json").read_text())["recipe"]["options"]
    normals = cases.where(lambda case: case.label == 0)
    fitted = Detector("vae", options | {"postprocessing.prior": 0.9}, device="cpu").fit(normals, quiet=True)
    plain = Detector.load(model, device="cpu")
    assert fitted.threshold_ < plain.threshold_
    findings = fitted.score(cases)
    assert not any("postprocessing" in note for note in findings.notes)
    np.testing.assert_allclose(fitted.decision_function(cases), findings.score, rtol=1e-6)


def test_calibrated_anew_it_is_as_if_it_had_been_fitted_so(model: Path, cases: Cases) -> None:
    options = json.loads((model / "detector.json").read_text())["recipe"]["options"]
    normals = cases.where(lambda case: case.label == 0)
    changed = {"postprocessing.prior": 0.9, "scoring.map": "positive-residual", "scoring.scaling": "position"}
    fitted = Detector("vae", options | changed, device="cpu").fit(normals, quiet=True)
    adjusted = Detector.load(model, device="cpu").adjust(changed)
    # Percentiles of maps that were read otherwise are no thresholds any more.
    assert adjusted.score(cases).maps.thresholds["positive-residual"] == {}
    calibrated = adjusted.calibrate(normals)
    expected, found = fitted.score(cases), calibrated.score(cases)
    assert found.decisions == expected.decisions
    np.testing.assert_array_equal(found.p_values, expected.p_values)
    assert found.maps.thresholds == expected.maps.thresholds
    assert set(found.maps.thresholds["positive-residual"]) == {"p85", "p90", "p95", "p98"}
    assert not any("threshold was fitted" in note for note in found.notes)
    with pytest.raises(DataError, match="are ones that the model was trained on"):
        calibrated.calibrate(normals[:4], validation=normals)


def test_a_median_over_neighbouring_slices_sees_those_that_are_scored(model: Path, cases: Cases) -> None:
    volume = cases.where(lambda case: case.subject == cases[0].subject)  # slices that are numbered
    flat, deep = (
        Detector.load(model, device="cpu").adjust({"postprocessing.median": median}).score(volume).maps.values
        for median in ("2d", "3d")
    )
    assert not np.allclose(flat, deep)
    apart = [
        Detector.load(model, device="cpu").adjust({"postprocessing.median": "3d"}).score(volume[[index]]).maps.values[0]
        for index in range(len(volume))
    ]
    np.testing.assert_allclose(np.stack(apart), flat, atol=1e-6)  # a slice alone has no neighbours


def test_a_median_over_slices_that_are_cropped_each_by_itself_is_refused(cases: Cases) -> None:
    options = {"preparation.crop": "foreground", "postprocessing.median": "3d"}
    with pytest.raises(OptionError, match="needs slices on one grid"):
        Detector("vae", options, device="cpu").fit(cases, quiet=True)


def test_presets_on_the_command_line(tmp_path: Path, model: Path, cases: Cases) -> None:
    brain_phantoms(subjects=4, slices_per_subject=5, size=64, seed=1).save(tmp_path / "brains")
    out = finished("score", model, tmp_path / "brains", "--preset", "comparison-study", "--out", tmp_path / "f").out
    assert "vae, map-mean" in out
    recipe = json.loads((tmp_path / "f" / "findings.json").read_text())["recipe"]
    assert recipe["changed"]["postprocessing.median"] == "3d"
    assert recipe["options"]["scoring.map"] == "positive-residual"
    built_in = sanoscope("score", model, tmp_path / "brains", "--preset", "paper", "--out", tmp_path / "g").error
    assert built_in == "option 'preparation.image_size' is built into the trained model; set it when fitting"
    unknown = sanoscope("score", model, tmp_path / "brains", "--preset", "by-plaice", "--out", tmp_path / "g").error
    assert unknown == "recipe 'vae' has no preset 'by-plaice'; did you mean 'by-place'?"


def test_calibration_on_the_command_line(tmp_path: Path) -> None:
    brain_phantoms(subjects=6, slices_per_subject=5, size=64, seed=1).save(tmp_path / "brains")
    small = (*SMALL, "--set", "training.max_iterations=4", "--set", "training.batch_size=4")
    finished("fit", "autoencoder", tmp_path / "brains", "--out", tmp_path / "model", *small)
    anew = ("--preset", "comparison-study", "--out", tmp_path / "anew")
    said = finished("calibrate", tmp_path / "model", tmp_path / "brains", *anew).err
    assert "threshold: " in said
    before, after = (json.loads((tmp_path / name / "detector.json").read_text()) for name in ("model", "anew"))
    assert after["recipe"]["options"]["postprocessing.median"] == "3d"
    assert before["decisions"]["map-mean"]["threshold"] != after["decisions"]["map-mean"]["threshold"]
    assert (tmp_path / "model" / "split.json").read_text() == (tmp_path / "anew" / "split.json").read_text()
    scored = finished("score", tmp_path / "anew", tmp_path / "brains", "--out", tmp_path / "findings")
    assert "the threshold was fitted with" not in scored.out + scored.err
    assert sanoscope("calibrate", tmp_path / "model", tmp_path / "brains", *anew).error.startswith(
        str(tmp_path / "anew")
    )


def test_a_rival_on_the_command_line(tmp_path: Path) -> None:
    brain_phantoms(subjects=6, slices_per_subject=5, size=64, seed=1).save(tmp_path / "brains")
    small = (*SMALL, "--set", "training.max_iterations=4", "--set", "training.batch_size=4")
    finished("fit", "f-anogan", tmp_path / "brains", "--out", tmp_path / "model", *small)
    score = ("--set", "scoring.score=residual-and-features")
    finished("score", tmp_path / "model", tmp_path / "brains", "--out", tmp_path / "findings", *score)
    done = finished("evaluate", tmp_path / "findings", "--resamples", 5)
    assert "f-anogan, positive-residual" in done.out
    assert "<html" in (tmp_path / "findings" / "report.html").read_text()
    assert len(RECIPES) > len(RIVALS)


def test_a_wasserstein_game_with_a_discriminator_trains_too(cases: Cases) -> None:
    torch.manual_seed(0)
    recipe = get_recipe("anovaegan").preset("wasserstein")
    assert recipe["objective.game"] == "wgan-gp"
    options = {"preparation.image_size": 32, "training.max_iterations": 3, "training.batch_size": 8}
    normals = cases.where(lambda case: case.label == 0)
    detector = Detector(recipe, options | {"training.precision": "float32"}, device="cpu").fit(normals, quiet=True)
    assert {"train/critic", "train/penalty"} <= set(detector.history_[0])
    assert np.isfinite(detector.decision_function(cases)).all()
