"""The detector from Python: what it takes, what it says, what it refuses, and what it keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from sanoscope import RECIPES, Case, Cases, Detector, load_cases
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.errors import DataError, ImageError, ModelError, OptionError, TrainingError
from sanoscope.scoring.trivial import NAMES as TRIVIAL

SMALL = {"preparation.image_size": 32, "training.epochs": 1, "training.batch_size": 8, "training.precision": "float32"}


@pytest.fixture(scope="module")
def cases() -> Cases:
    """Thirty patches of three subjects, assigned to sides with both labels held out."""
    cases = histology_phantoms(subjects=3, images_per_subject=10, size=40, seed=1).cases()
    sides = dict(zip(sorted(set(cases.subjects)), ("test", "validation", "train"), strict=True))
    return cases.assign([sides[case.subject] for case in cases])


@pytest.fixture(scope="module")
def fitted(cases: Cases) -> Detector:
    return new().fit(cases, quiet=True)


@pytest.fixture
def detector(fitted: Detector, tmp_path: Path) -> Detector:
    """A fitted detector that the test may alter."""
    return Detector.load(fitted.save(tmp_path / "model"), device="cpu")


def new(**options: Any) -> Detector:
    return Detector("conv-vae", SMALL | {name.replace("__", "."): v for name, v in options.items()}, device="cpu")


def same_weights(one: Detector, other: Detector) -> bool:
    states = (one.network_.state_dict(), other.network_.state_dict())
    return all(torch.equal(weights, states[1][name]) for name, weights in states[0].items())


# ------------------------------------------------------------ what it learns from


def test_cases_with_sides_are_taken_apart(fitted: Detector, cases: Cases) -> None:
    assert same_weights(fitted, new().fit(cases.train, cases.validation, quiet=True))
    labels = [case.label for case in cases.validation]
    assert fitted.calibration_.labels.tolist() == labels
    decision = fitted.decisions_["wasserstein"]
    assert decision.rule == "youden"
    assert (decision.fitted_on["normal"], decision.fitted_on["abnormal"]) == (labels.count(0), labels.count(1))
    assert fitted.threshold_ == decision.threshold


def test_only_normals_are_learned_from(cases: Cases) -> None:
    both = cases.with_cases([*cases.train, *(replace(c, split="train") for c in cases.test if c.label == 1)])
    mixed = new().fit(both, cases.validation, quiet=True)
    assert same_weights(mixed, new().fit(cases.train, cases.validation, quiet=True))
    abnormal = sum(case.label == 1 for case in cases.test)
    assert f"{abnormal} abnormal cases among the training data were left out" in mixed.notes_


def test_arrays_files_and_paths_give_the_same(cases: Cases, tmp_path: Path) -> None:
    phantoms = histology_phantoms(subjects=1, images_per_subject=10, size=40, seed=3)
    normals = phantoms.images[phantoms.labels == 0]
    phantoms.save(tmp_path / "patches")
    from_array = new().fit(normals, quiet=True)
    from_path = new().fit(tmp_path / "patches", quiet=True)
    assert same_weights(from_array, from_path)
    np.testing.assert_array_equal(from_array.decision_function(normals), from_path.decision_function(normals))
    assert from_array.decisions_["mse"].rule == "quantile"


def test_without_validation_some_are_held_out_and_not_learned_from(cases: Cases) -> None:
    normals = cases.train.normals
    detector = new(data__holdout=0.3).fit(normals, quiet=True)
    assert len(detector.calibration_.labels) == 3
    assert len(detector.training_keys_) == len(normals) - 3
    assert any("were held out to set the threshold" in note for note in detector.notes_)


def test_it_says_what_it_does_unless_quiet(cases: Cases, capsys: pytest.CaptureFixture[str]) -> None:
    new().fit(cases.train.normals, quiet=True)
    assert capsys.readouterr() == ("", "")
    new().fit(cases.train.normals)
    said = capsys.readouterr()
    assert said.out == ""
    assert "held out to set the threshold" in said.err
    assert "epoch 1 of 1" in said.err


def test_two_images_are_the_least(cases: Cases) -> None:
    normals = cases.train.normals
    with pytest.raises(TrainingError, match="1 training image is too few"):
        new().fit(normals[:1], cases.validation, quiet=True)
    new().fit(normals[:2], cases.validation, quiet=True)


def test_images_held_out_that_cannot_be_read(cases: Cases, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    bad = Cases([Case("bad", path=tmp_path / "bad.png", label=0)])
    with pytest.raises(DataError, match=r"held out to set the threshold could be read; the first: .*bad\.png"):
        new().fit(cases.train, bad, quiet=True)


def test_early_stopping_keeps_the_best_weights_without_a_folder(cases: Cases) -> None:
    wild = {"training__early_stopping": 2, "training__learning_rate": 0.05, "training__epochs": 6}
    detector = new(**wild).fit(cases, quiet=True)
    losses = [row["validation/loss"] for row in detector.history_]
    assert losses.index(min(losses)) == len(losses) - 3


def test_unknown_device() -> None:
    with pytest.raises(OptionError, match="unknown device 'gpu'"):
        Detector(device="gpu")


# ------------------------------------------------------------ what it says


def test_findings_hold_every_score_with_its_decision(fitted: Detector, cases: Cases) -> None:
    findings = fitted.score(cases.test)
    assert list(findings.scores) == ["wasserstein", "mse", "elbo", "kl", *TRIVIAL]
    assert findings.decisions.keys() == findings.scores.keys()
    np.testing.assert_array_equal(findings.score, fitted.decision_function(cases.test))
    np.testing.assert_array_equal(findings.abnormal, fitted.predict(cases.test) == 1)
    normals = fitted.calibration_.labels != 1
    np.testing.assert_array_equal(findings.calibration, fitted.calibration_.scores["wasserstein"][normals])
    for index, heatmap in enumerate(fitted.score_map(cases.test)):
        np.testing.assert_array_equal(findings.maps.on_source_grid(index), heatmap)
    assert fitted.score(cases.test, maps=False).maps is None


def test_order_and_company_do_not_matter(fitted: Detector, cases: Cases) -> None:
    order = np.random.default_rng(0).permutation(len(cases))
    straight, shuffled = fitted.decision_function(cases), fitted.decision_function(cases[order])
    np.testing.assert_allclose(shuffled, straight[order], rtol=2e-4)


def test_images_it_learned_from_are_recognised_by_content(fitted: Detector, cases: Cases) -> None:
    learned = [case for case in cases.train if case.label == 0]
    renamed = Cases(Case(f"other {i}", pixels=case.pixels) for i, case in enumerate([*learned[:3], *cases.test[:2]]))
    findings = fitted.score(renamed)
    assert findings.seen_in_training.tolist() == [True] * 3 + [False] * 2
    assert "3 of the scored images were in the training set: their scores are too low" in findings.notes
    assert not any("training set" in note for note in fitted.score(cases.test).notes)


def test_pictures_of_the_gallery_are_the_networks_view(fitted: Detector, cases: Cases) -> None:
    findings = fitted.score(cases.test)
    wanted = {index for group in findings.gallery_groups().values() for index in group}
    assert set(findings.shown) == wanted
    for shown in findings.shown.values():
        assert shown.image.shape == shown.reconstruction.shape == shown.overlay.shape == (32, 32, 3)
        assert not np.array_equal(shown.image, shown.reconstruction)


def test_latents(fitted: Detector, cases: Cases) -> None:
    assert fitted.transform(cases.test).shape == (len(cases.test), 64)
    assert fitted.transform(cases.test[:0]).shape == (0, 64)
    pictures, latents = fitted.encode(cases.test)
    assert [case.name for case in pictures.cases] == [case.name for case in cases.test]
    np.testing.assert_array_equal(latents, fitted.transform(cases.test))


def test_encoding_goes_on_past_a_bad_image(cases: Cases, fitted: Detector) -> None:
    broken = Case("broken", pixels=np.full((40, 40, 3), np.nan))
    pictures, latents = fitted.encode(Cases([cases[0], broken, cases[1]]))
    assert [item.case.name for item in pictures.unreadable] == ["broken"]
    np.testing.assert_array_equal(latents, fitted.transform(cases[:2]))


def test_what_cannot_be_read_is_listed_or_refused(fitted: Detector, cases: Cases, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    bad = Case("bad", path=tmp_path / "bad.png")
    mixed = cases.with_cases([cases.test[0], bad, cases.test[1]])
    findings = fitted.score(mixed)
    assert [case.name for case in findings.cases] == [cases.test[0].name, cases.test[1].name]
    assert [path for path, _ in findings.unreadable] == [str(bad.path)]
    for method in (fitted.decision_function, fitted.predict, fitted.score_map, fitted.transform):
        with pytest.raises(ImageError, match=r"1 images cannot be scored, the first: .*bad\.png"):
            method(mixed)
    with pytest.raises(DataError, match=r"memory: none of 1 images can be scored; the first: .*bad\.png"):
        fitted.score(Cases([bad]))


def test_no_case_at_all(fitted: Detector, cases: Cases) -> None:
    with pytest.raises(DataError, match="phantoms: none of 0 images can be scored"):
        fitted.score(cases[:0])


def test_before_fitting_there_is_nothing_to_say(cases: Cases, tmp_path: Path) -> None:
    detector = new()
    for method in (detector.score, detector.decision_function, detector.predict, detector.transform):
        with pytest.raises(ModelError, match=r"not fitted yet; call fit, or Detector\.load"):
            method(cases)
    with pytest.raises(ModelError, match="not fitted yet"):
        detector.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


# ------------------------------------------------------------ changing its mind


def test_decision_and_score_are_adjusted_without_fitting(detector: Detector, cases: Cases) -> None:
    scores = detector.score(cases.test).scores
    assert detector.adjust({"scoring.score": "kl", "decision.rule": "quantile"}) is detector
    findings = detector.score(cases.test)
    np.testing.assert_array_equal(findings.score, scores["kl"])
    np.testing.assert_array_equal(detector.decision_function(cases.test), scores["kl"])
    assert findings.decision.rule == "quantile"
    assert detector.threshold_ == findings.decision.threshold
    normals = detector.calibration_.labels != 1
    np.testing.assert_array_equal(findings.calibration, detector.calibration_.scores["kl"][normals])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"network.latent": 3}, "'network.latent' is built into the trained model; set it when fitting"),
        ({"scoring.score": "mse", "training.epochs": 9}, "'training.epochs' is built into"),
        ({"scoring.score": "mse", "decision.target_false_positive_rate": 2.0, "decision.rule": "quantile"}, "between"),
        ({"scoring.scroe": "mse"}, "did you mean 'scoring.score'?"),
    ],
)
def test_what_is_refused_changes_nothing(detector: Detector, options: dict[str, Any], reason: str) -> None:
    before = detector.recipe, dict(detector.decisions_)
    with pytest.raises(OptionError, match=reason.replace("?", r"\?")):
        detector.adjust(options)
    assert (detector.recipe, detector.decisions_) == before


def test_an_option_as_it_is_may_be_repeated(detector: Detector) -> None:
    assert detector.adjust({"network.latent": 64}).recipe["network.latent"] == 64


def test_a_score_that_was_never_computed_has_no_threshold(cases: Cases) -> None:
    detector = new(scoring__also="none").fit(cases, quiet=True)
    assert list(detector.score(cases.test).scores) == ["wasserstein", *TRIVIAL]
    for options in ({"scoring.score": "mse"}, {"scoring.also": "all"}):
        with pytest.raises(OptionError, match=r"was not computed when .* no threshold; fit with scoring\.also=all"):
            detector.adjust(options)


def test_other_latents_than_the_thresholds_are_said(detector: Detector, cases: Cases) -> None:
    assert not any("scoring." in note for note in detector.score(cases.test).notes)
    detector.adjust({"scoring.latent": "sample"})
    (note,) = (note for note in detector.score(cases.test).notes if "scoring." in note)
    assert note.startswith("scored with scoring.latent=sample, but the threshold was fitted with scoring.latent=mean")
    sampled = new(scoring__latent="sample").fit(cases, quiet=True)
    assert not any("scoring." in note for note in sampled.score(cases.test).notes)


# ------------------------------------------------------------ keeping


def test_saving_twice_writes_the_same(fitted: Detector, tmp_path: Path) -> None:
    first, second = fitted.save(tmp_path / "a"), fitted.save(tmp_path / "deep" / "b")
    assert {file.name: file.read_bytes() for file in first.iterdir()} == {
        file.name: file.read_bytes() for file in second.iterdir()
    }
    before = (first / "checksums.json").read_bytes()
    fitted.save(first)
    assert (first / "checksums.json").read_bytes() == before


def test_only_arrays_and_json_are_stored(fitted: Detector, tmp_path: Path) -> None:
    folder = fitted.save(tmp_path / "model")
    arrays = load_file(folder / "weights.safetensors")
    weights = {name.removeprefix("network."): array for name, array in arrays.items() if name.startswith("network.")}
    for name, tensor in fitted.network_.state_dict().items():
        np.testing.assert_array_equal(weights[name], tensor.numpy())
    state = json.loads((folder / "detector.json").read_text())
    assert state["recipe"]["options"] == json.loads(json.dumps(fitted.recipe.values))


def test_loaded_keeps_its_values_whatever_the_defaults_become(
    fitted: Detector, cases: Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fitted.save(tmp_path / "model")
    recipe = RECIPES["conv-vae"]
    later = replace(
        recipe,
        parts=recipe.parts
        | {
            "network": recipe.parts["network"].updated(latent=8),
            "scoring": recipe.parts["scoring"].updated(score="mse"),
        },
    )
    monkeypatch.setitem(RECIPES, "conv-vae", later)
    assert Detector("conv-vae").recipe["network.latent"] == 8
    loaded = Detector.load(folder, device="cpu")
    assert loaded.recipe.values == fitted.recipe.values
    np.testing.assert_array_equal(loaded.decision_function(cases.test), fitted.decision_function(cases.test))


def test_what_differs_from_the_defaults_is_known_after_loading(detector: Detector, cases: Cases) -> None:
    assert dict(detector.recipe.changes) == {
        "preparation.image_size": 32,
        "training.epochs": 1,
        "training.batch_size": 8,
        "training.precision": "float32",
    }
    assert detector.score(cases.test).recipe["changed"] == detector.recipe.changes


def test_fitted_again_it_forgets_what_it_was(cases: Cases) -> None:
    detector = new().fit(cases, quiet=True)
    detector.fit(load_cases(cases.with_cases(cases.train.normals), split="image"), quiet=True)
    fresh = new().fit(load_cases(cases.with_cases(cases.train.normals), split="image"), quiet=True)
    assert same_weights(detector, fresh)
    assert detector.decisions_ == fresh.decisions_
