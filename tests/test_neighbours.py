"""Deep nearest neighbours: distances to the nearest features of normal images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from frozen_features import batch, fitted, generator, images, learn, network, phantoms, recipe
from sanoscope.scoring import neighbours
from sanoscope.scoring.neighbours import NeighbourScoring, nearest


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 30), st.integers(1, 9))
def test_the_nearest_are_those_of_scikit_learn(queries: int, others: int, dimensions: int, count: int) -> None:
    random = np.random.default_rng(queries * others + dimensions)
    points, known = (random.normal(size=(rows, dimensions)).astype(np.float32) for rows in (queries, others))
    count = min(count, others)
    expected, numbers = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(known).kneighbors(points)
    distances, found = nearest(torch.from_numpy(points), torch.from_numpy(known), count)
    np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(distances, np.linalg.norm(points[:, None] - known[found.numpy()], axis=2), rtol=1e-5)
    assert numbers.shape == found.shape


def test_a_few_at_a_time_they_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    points, others = torch.rand(50, 4, generator=generator(0)), torch.rand(30, 4, generator=generator(1))
    together = nearest(points, others, 3)
    monkeypatch.setattr(neighbours, "TOGETHER", 100)
    for one, other in zip(together, nearest(points, others, 3), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_small_distances_between_long_features_are_exact() -> None:
    others = 1000 + torch.rand(64, 32, generator=generator(0))
    points = others + 2.0**-7
    distances, numbers = nearest(points, others, 1)
    torch.testing.assert_close(distances, torch.full((64, 1), 2.0**-7 * 32**0.5))
    assert (numbers[:, 0] == torch.arange(64)).all()


def test_of_fewer_features_than_are_asked_for_all_are_near() -> None:
    distances, numbers = nearest(torch.zeros(2, 3), torch.eye(3), 5)
    torch.testing.assert_close(distances, torch.ones(2, 3))
    assert numbers.sort().values.tolist() == [[0, 1, 2]] * 2


def test_training_remembers_every_image() -> None:
    embedding = network("deep-knn")
    features = learn("deep-knn", embedding)["features"]
    torch.testing.assert_close(features, embedding.encode(images().batch(np.arange(12)))[0])


def test_of_too_many_images_some_are_remembered_by_the_seed() -> None:
    embedding = network("deep-knn")
    everything = learn("deep-knn", embedding)["features"]
    few, again, others = (learn("deep-knn", embedding, {"training.most_images": 5}, s)["features"] for s in (0, 0, 1))
    assert len(few) == 5
    distances, numbers = nearest(few, everything, 1)
    assert distances.max() < 1e-4
    assert len(numbers.unique()) == 5
    torch.testing.assert_close(few, again, rtol=0, atol=0)
    assert not torch.equal(few, others)


def scoring(**changes: Any) -> NeighbourScoring:
    options = {f"scoring.{name}": value for name, value in changes.items()}
    made: NeighbourScoring = recipe("deep-knn", options).build("scoring")
    return made


def remembered(features: Tensor) -> dict[str, Tensor]:
    """Scores of two images by the mean and extremes of distances to three nearest."""
    embedding = network("deep-knn")
    embedding.memory.keep(features=features)
    return scoring(neighbours=3)(embedding, batch(2)).scores


def test_scores_are_of_the_distances_to_the_nearest() -> None:
    own = network("deep-knn").encode(batch(2))[0].detach()
    away = torch.zeros_like(own[0])
    away[0] = 1.0
    # One dimension's steps from the first image, and one that is too far to count.
    scores = remembered(torch.stack([own[0] + step * away for step in (1, -2, 6, 50)]))
    assert scores["mean-distance"][0] == pytest.approx(3, rel=1e-4)
    assert scores["largest-distance"][0] == pytest.approx(6, rel=1e-4)
    assert scores["nearest-distance"][0] == pytest.approx(1, rel=1e-4)


def test_an_image_that_was_learned_is_its_own_nearest() -> None:
    embedding = network("deep-knn")
    learn("deep-knn", embedding)
    scores = scoring()(embedding, images().batch(np.arange(3))).scores
    assert scores["nearest-distance"].max() < 1e-4 < scores["largest-distance"].min()


def test_cosine_looks_at_directions_alone() -> None:
    embedding = network("deep-knn")
    own = embedding.encode(batch(2))[0].detach()
    embedding.memory.keep(features=5 * own)
    assert scoring(distance="cosine", neighbours=1)(embedding, batch(2)).scores["mean-distance"].max() < 1e-5


def test_standardised_distances_are_counted_in_deviations() -> None:
    embedding = network("deep-knn")
    own = embedding.encode(batch(1))[0].detach()
    spread = torch.linspace(1, 2, own.shape[1])
    # Deviations are those of two values, each as far from their mean.
    embedding.memory.keep(features=torch.cat([own + spread, own - spread]))
    score = scoring(distance="standardised")(embedding, batch(1)).scores["mean-distance"]
    assert float(score) == pytest.approx(own.shape[1] ** 0.5, rel=1e-4)


def test_a_detector_needs_no_maps_and_can_be_asked_for_other_neighbours() -> None:
    detector = fitted("deep-knn")
    before = detector.score(phantoms())
    assert np.isfinite(before.score).all()
    assert detector.history_ == []
    np.testing.assert_array_equal(detector.decision_function(phantoms()), before.score)
    detector.adjust({"scoring.neighbours": 4}).calibrate(phantoms()[:12])
    assert (detector.decision_function(phantoms()) > before.score).all()
    assert not np.array_equal(fitted("deep-knn", seed=1).decision_function(phantoms()), before.score)
    assert before.maps is None
