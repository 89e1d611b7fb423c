"""Isolation forests on deep features: scikit-learn's scores without its objects, closed forms, and the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest as ScikitForest

from sanoscope import Cases, Detector
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.networks.feature_layers import LAYERS
from sanoscope.networks.isolation_forest import IsolationForest
from sanoscope.recipes.deep_isolation_forest import DEEP_ISOLATION_FOREST
from sanoscope.scoring.isolation_forest import expected_steps, isolation
from sanoscope.training.isolation_forest import nodes_of

# Weights that a test makes up would be random too.
SMALL: dict[str, Any] = {
    "preparation.image_size": 32,
    "network.features": "squeezenet1_1",
    "network.layers": ("level1", "level2"),
    "network.pretrained": False,
    "training.trees": 20,
    "training.samples": 8,
}


def remembering(forest: ScikitForest) -> IsolationForest:
    """The network with a forest of scikit-learn's in its memory."""
    with torch.device("meta"):
        network = IsolationForest(
            in_channels=1,
            image_size=32,
            features="squeezenet1_1",
            layers=("conv1",),
            weights=None,
            pretrained=False,
        )
    network.memory.keep(**{name: torch.from_numpy(array) for name, array in nodes_of(forest).items()})
    return network


def scores(forest: ScikitForest, features: np.ndarray) -> np.ndarray:
    return isolation(remembering(forest), torch.from_numpy(features)).numpy()


def grown(features: np.ndarray, trees: int = 10, samples: int = 16, seed: int = 0) -> ScikitForest:
    forest = ScikitForest(n_estimators=trees, max_samples=min(samples, len(features)), random_state=seed)
    return forest.fit(features)


# ------------------------------------------------------------ scores


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 5), st.integers(2, 40), st.sampled_from([0, 1, 8]))
def test_scores_are_scikit_learns(seed: int, count: int, features: int, samples: int, decimals: int) -> None:
    random = np.random.default_rng(seed)
    # Coarse ones have many that are alike, and features that never change.
    seen, others = (random.normal(size=(n, features)).round(decimals).astype(np.float32) for n in (count, 50))
    forest = grown(seen, samples=samples, seed=seed)
    np.testing.assert_allclose(scores(forest, others), -forest.score_samples(others), rtol=1e-12)
    np.testing.assert_allclose(scores(forest, seen), -forest.score_samples(seen), rtol=1e-12)


def test_features_next_to_thresholds_go_scikit_learns_way() -> None:
    random = np.random.default_rng(0)
    forest = grown(random.normal(1e3, 1e-2, size=(200, 1)).astype(np.float32), trees=50, samples=128)
    thresholds = np.concatenate([tree.tree_.threshold[tree.tree_.feature >= 0] for tree in forest.estimators_])
    nearest = thresholds.astype(np.float32)[:, None]
    assert 0.1 < (nearest[:, 0] > thresholds).mean() < 0.9  # rounded up and down
    for towards in (-np.inf, np.inf):
        around = np.nextafter(nearest, np.float32(towards))
        np.testing.assert_allclose(scores(forest, around), -forest.score_samples(around), rtol=1e-12)
    np.testing.assert_allclose(scores(forest, nearest), -forest.score_samples(nearest), rtol=1e-12)


def test_scores_of_known_trees() -> None:
    two = np.array([[0.0], [1.0]], np.float32)
    # One step parts two images, and as many are expected.
    np.testing.assert_allclose(scores(grown(two), np.array([[-9.0], [9.0]], np.float32)), 0.5)
    alike = np.ones((12, 3), np.float32)
    # Nothing can be parted: all images are at the root, and expected to take as many steps as any.
    np.testing.assert_allclose(scores(grown(alike), alike[:1] * 5), 0.5)
    random = np.random.default_rng(0)
    forest = grown(random.normal(size=(300, 4)).astype(np.float32), trees=100, samples=256)
    near, far = scores(forest, np.array([[0.0] * 4, [20.0] * 4], np.float32))
    assert 0 < near < 0.5 < 0.65 < far < 1


def test_expected_steps_are_of_a_search_that_fails() -> None:
    found = expected_steps(torch.tensor([[0, 1, 2, 3, 256]]))
    # Twice the harmonic number, less what its end takes; Preiss: Data structures and algorithms.
    exact = [2 * sum(1 / i for i in range(1, n)) - 2 * (n - 1) / n for n in (3, 256)]
    np.testing.assert_allclose(found[0, :3], [0, 0, 1], atol=0)
    assert found[0, 4] == pytest.approx(exact[1], abs=1 / 255)
    assert found[0, 3] == pytest.approx(exact[0], abs=1 / 2)
    assert found.dtype == torch.float64


# ------------------------------------------------------------ the recipe


@pytest.fixture(scope="module")
def cases() -> Cases:
    return histology_phantoms(subjects=3, images_per_subject=12, size=40, seed=1).cases()


def fitted(cases: Cases, seed: int = 0, **options: Any) -> Detector:
    normals = cases.where(lambda case: case.label == 0)[:20]
    return Detector(DEEP_ISOLATION_FOREST, SMALL | options, seed=seed, device="cpu").fit(normals, quiet=True)


def test_detector_scores_as_a_forest_on_its_features(cases: Cases) -> None:
    detector = fitted(cases)
    features = detector.transform(cases[:8])
    assert features.shape == (8, 64 + 128)
    found = detector.score(cases[:8], maps=False)
    assert set(found.scores) >= {"isolation"}
    np.testing.assert_array_equal(found.score, isolation(detector.network_, torch.from_numpy(features)))
    assert found.score.std() > 0
    alone = np.concatenate([detector.decision_function(cases[[i]]) for i in range(8)])
    np.testing.assert_allclose(alone, found.score, rtol=2e-4)


def test_saved_without_pickles_and_loaded(cases: Cases, tmp_path: Path) -> None:
    detector = fitted(cases)
    detector.save(tmp_path / "model")
    assert {file.suffix for file in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}
    loaded = Detector.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.decision_function(cases), detector.decision_function(cases))


def test_seed_decides(cases: Cases) -> None:
    first, again, other = (fitted(cases, seed).decision_function(cases) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_trees_samples_and_images_as_asked_for(cases: Cases) -> None:
    forest = fitted(cases, **{"training.samples": 4}).network_.memory
    assert forest.feature.shape[0] == 20
    assert set(forest.images[:, 0].tolist()) == {4}
    assert forest.steps.max() <= 2  # no deeper than log2(4)
    # Of fewer images than a tree would take, all.
    few = fitted(cases, **{"training.samples": 256, "training.images": 5}).network_.memory
    assert set(few.images[:, 0].tolist()) == {5}


@pytest.mark.parametrize("name", DEEP_ISOLATION_FOREST.presets)
def test_presets_name_layers_of_inception_resnet(name: str) -> None:
    recipe = DEEP_ISOLATION_FOREST.preset(name)
    assert recipe["preparation.image_size"] == 299
    layers = recipe["network.layers"]
    assert set(layers) <= set(LAYERS[recipe["network.features"]])
    if name == "paper":
        assert layers == LAYERS["inception_resnet_v2"]
