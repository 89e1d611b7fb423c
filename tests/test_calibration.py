"""Thresholds of a fitted model when another map decides: as if it had decided when the model was fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sanoscope import Case, Cases, Detector
from sanoscope.errors import OptionError
from sanoscope.findings import Findings
from sanoscope.scoring.pixel_scoring import PROJECTED
from sanoscope.scoring.predictors import PREDICTORS
from sanoscope.scoring.trivial import MAP_NAMES, NAMES

SMALL = {
    "preparation.image_size": 16,
    "training.epochs": 1,
    "training.batch_size": 8,
    "training.precision": "float32",
    "network.widths": (4, 4, 4, 4),
    "network.latent": 3,
}
OTHER_MAPS = sorted(set(PREDICTORS) - {"rec-grad"})


def heads(count: int, seed: int, abnormal: bool = False) -> list[np.ndarray]:
    """Bright discs on black, with a brighter spot where they are abnormal."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:20j, -1:1:24j]
    images = [np.where(x**2 + y**2 < 0.6, rng.integers(80, 160, x.shape), 0) for _ in range(count)]
    for image in images if abnormal else ():
        top, left = rng.integers(6, 12, 2)
        image[top : top + 3, left : left + 3] = 250
    return [image.astype(np.uint8) for image in images]


def as_cases(images: list[np.ndarray], split: str, label: int) -> list[Case]:
    return [Case(f"{split} {label} {i}", pixels=image, split=split, label=label) for i, image in enumerate(images)]


@pytest.fixture(scope="module")
def cases() -> Cases:
    validation = as_cases(heads(9, 2), "validation", 0) + as_cases(heads(4, 3, True), "validation", 1)
    test = as_cases(heads(5, 4), "test", 0) + as_cases(heads(5, 5, True), "test", 1)
    return Cases([*as_cases(heads(24, 1), "train", 0), *validation, *test])


def new(**options: Any) -> Detector:
    return Detector("beta-vae", SMALL | {name.replace("__", "."): v for name, v in options.items()}, device="cpu")


@pytest.fixture(scope="module")
def model(cases: Cases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new().fit(cases, quiet=True).save(tmp_path_factory.mktemp("fitted") / "model")


@pytest.fixture
def detector(model: Path) -> Detector:
    """A fitted detector that the test may alter."""
    return Detector.load(model, device="cpu")


def scoring_notes(findings: Findings) -> list[str]:
    return [note for note in findings.notes if "the threshold was fitted with" in note]


@pytest.mark.parametrize("name", OTHER_MAPS)
def test_another_map_brings_its_own_thresholds(detector: Detector, cases: Cases, name: str) -> None:
    fitted = {score: decision.threshold for score, decision in detector.decisions_.items()}
    findings = detector.adjust({"scoring.map": name}).score(cases.test)
    assert scoring_notes(findings) == []
    held_out = detector.score(cases.validation)
    normal = held_out.labels == 0
    for score in ("map-max", "map-mean"):
        assert findings.decisions[score].threshold != fitted[score]
        # The held-out cases have the very scores that the threshold is of.
        known = detector.calibration_.scores_of(detector.recipe)[score]
        np.testing.assert_allclose(known, held_out.scores[score], rtol=1e-5)
    np.testing.assert_allclose(findings.calibration, held_out.score[normal], rtol=1e-5)
    for score in ("elbo", "kl", "mse", *NAMES):
        assert findings.decisions[score].threshold == fitted[score]


def test_as_if_it_had_decided_from_the_start(detector: Detector, cases: Cases) -> None:
    adjusted = detector.adjust({"scoring.map": "kl-grad"}).score(cases.test)
    from_start = new(scoring__map="kl-grad").fit(cases, quiet=True).score(cases.test)
    assert adjusted.maps.name == from_start.maps.name == "kl-grad"
    np.testing.assert_array_equal(adjusted.maps.values, from_start.maps.values)
    np.testing.assert_array_equal(adjusted.score, from_start.score)
    np.testing.assert_array_equal(adjusted.p_values, from_start.p_values)
    np.testing.assert_array_equal(adjusted.abnormal, from_start.abnormal)
    assert adjusted.decisions == from_start.decisions
    assert adjusted.maps.scale == from_start.maps.scale
    assert adjusted.maps.thresholds["kl-grad"] == from_start.maps.thresholds["kl-grad"]


def test_decisions_differ_from_those_by_the_first_map(detector: Detector, cases: Cases) -> None:
    before = detector.score(cases.test)
    after = detector.adjust({"scoring.map": "kl-grad"}).score(cases.test)
    # By the threshold of the first map none would be abnormal, as the gradients of the KL are on a smaller scale.
    assert (after.score < before.decision.threshold).all()
    assert after.abnormal.any()
    assert not after.abnormal.all()
    assert detector.threshold_ == after.decision.threshold
    np.testing.assert_array_equal(detector.predict(cases.test) == 1, after.abnormal)


def test_back_again_everything_is_as_it_was(detector: Detector, cases: Cases) -> None:
    before, findings = dict(detector.decisions_), detector.score(cases.test)
    detector.adjust({"scoring.map": "combi"}).adjust({"scoring.map": "rec-grad"})
    assert detector.decisions_ == before
    np.testing.assert_array_equal(detector.score(cases.test).p_values, findings.p_values)


@pytest.mark.parametrize("name", ["rec-grad", "kl-grad"])
def test_saved_and_loaded_it_decides_the_same(detector: Detector, cases: Cases, tmp_path: Path, name: str) -> None:
    detector.adjust({"scoring.map": name})
    loaded = Detector.load(detector.save(tmp_path / "again"), device="cpu")
    assert loaded.recipe["scoring.map"] == name
    assert loaded.calibration_.options["scoring.map"] == "rec-grad"
    one, other = detector.score(cases.test), loaded.score(cases.test)
    np.testing.assert_array_equal(one.p_values, other.p_values)
    assert one.decisions == other.decisions
    assert one.maps.thresholds == other.maps.thresholds
    assert scoring_notes(other) == []
    for another in OTHER_MAPS:
        assert (
            loaded.adjust({"scoring.map": another}).decisions_ == detector.adjust({"scoring.map": another}).decisions_
        )


def test_what_scores_mean_otherwise_is_said(detector: Detector, cases: Cases) -> None:
    detector.adjust({"scoring.map": "kl-grad", "scoring.smoothing": "none"})
    (note,) = scoring_notes(detector.score(cases.test))
    assert note.startswith("scored with scoring.smoothing=none, but the threshold was fitted with")
    detector.adjust({"scoring.map": PROJECTED, "scoring.smoothing": "gaussian", "scoring.projection_steps": 2})
    findings = detector.score(cases.test)
    said = scoring_notes(findings)
    assert [note.split(",")[0] for note in said] == [
        f"scored with scoring.map={PROJECTED}",
        "scored with scoring.projection_steps=2",
    ]
    assert findings.maps.thresholds == {PROJECTED: {}}
    assert findings.maps.scale == pytest.approx(np.quantile(findings.maps.values, 0.999))


def test_thresholds_for_pixels_are_percentiles_of_training_normals(detector: Detector, cases: Cases) -> None:
    with_truth = Cases([Case("with a mask", pixels=heads(1, 9)[0], label=1, mask_pixels=np.ones((20, 24), bool))])
    detector.adjust({"decision.map_percentiles": [90.0, 100.0], "decision.map_threshold": 0.25})
    thresholds = detector.score(with_truth).maps.thresholds
    assert set(thresholds) == {*PREDICTORS, *MAP_NAMES}
    train = cases.train.with_cases(
        [*cases.train, Case("one", pixels=heads(1, 8)[0], label=1, mask_pixels=np.ones((20, 24), bool))]
    )
    maps = detector.score(train).maps
    for name in maps.names:
        of_normals = maps.of(name)[:-1].reshape(len(cases.train), -1)
        assert thresholds[name] == pytest.approx(
            {
                "0.25": 0.25,
                "p90": np.median(np.percentile(of_normals, 90, axis=1)),
                "p100": np.median(of_normals.max(1)),
            },
            rel=1e-5,
            abs=1e-12,
        )


def test_thresholds_that_cannot_be_are_refused_before_the_training(cases: Cases, tmp_path: Path) -> None:
    for options, message in (
        ({"decision__map_percentiles": [97.5]}, "takes whole numbers from 0 to 100, not 97.5"),
        ({"scoring__ensemble_weights": [1.0, 2.0]}, "scoring.ensemble_weights takes 3 numbers"),
    ):
        with pytest.raises(OptionError, match=message):
            new(**options).fit(cases, folder=tmp_path / "run", quiet=True)
        assert not (tmp_path / "run").exists()
