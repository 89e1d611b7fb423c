"""PatchCore: a few remembered features of places, and distances to the nearest of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from frozen_features import SIZE, batch, fitted, generator, images, learn, network, phantoms, recipe, with_blot
from sanoscope.networks.embedding import Embedding
from sanoscope.scoring.scored import Scored
from sanoscope.training.coreset import greedy_centres, projected

FEW: dict[str, Any] = {"training.most_places": 600, "training.share": 0.05}
RAW = {"scoring.smoothing": 0.0}


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 60), st.integers(1, 6), st.integers(0, 5))
def test_greedy_centres_are_those_of_the_definition(count: int, dimensions: int, seed: int) -> None:
    points = torch.rand(count, dimensions, generator=generator(seed))
    found = greedy_centres(points, count // 2 + 1, generator(seed)).tolist()
    distances = torch.cdist(points.double(), points.double())
    for number in range(1, len(found)):
        nearest = distances[:, found[:number]].amin(1)
        assert nearest[found[number]] == pytest.approx(float(nearest.max()), abs=1e-3)
    assert len(set(found)) == len(found)


def test_equal_points_are_no_centre_twice() -> None:
    assert sorted(greedy_centres(torch.ones(5, 3), 5, generator(0)).tolist()) == list(range(5))


def test_a_projection_keeps_distances_about() -> None:
    points = torch.rand(20, 2000, generator=generator(0))
    kept = projected(points, 500, generator(1))
    assert kept.shape == (20, 500)
    apart = ~torch.eye(20, dtype=torch.bool)
    ratios = torch.cdist(kept, kept)[apart] / torch.cdist(points, points)[apart]
    assert 0.85 < ratios.min() < ratios.max() < 1.15
    assert projected(points, 0, generator(1)) is points


def patches(options: dict[str, Any], seed: int = 0) -> Tensor:
    return learn("patchcore", network("patchcore"), options, seed)["patches"]


def test_a_share_of_all_places_is_remembered() -> None:
    embedding = network("patchcore")
    found = learn("patchcore", embedding, {"training.share": 0.01, "training.projection": 0})["patches"]
    assert found.shape == (31, 64 + 128)  # of 12 · 16² places
    everything = embedding.places(images().batch(np.arange(12)), 3).flatten(2).transpose(1, 2).flatten(0, 1)
    assert torch.cdist(found, everything).amin(1).max() < 1e-2


def test_what_is_looked_at_and_remembered_is_bounded() -> None:
    assert len(patches({"training.share": 0.5, "training.most_places": 600})) == 300
    assert len(patches({"training.share": 0.5, "training.most_patches": 40})) == 40
    assert len(patches({"training.share": 5.0, "training.most_places": 48}).unique(dim=0)) == 48
    # Of fewer places than images, some of the images have one each.
    assert len(patches({"training.share": 1.0, "training.most_places": 7})) == 7


def test_the_seed_says_which_are_remembered() -> None:
    first, again, other = (patches(FEW, seed) for seed in (0, 0, 1))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)


def remembering() -> Embedding:
    embedding = network("patchcore")
    learn("patchcore", embedding, FEW)
    return embedding


def scored(embedding: Embedding, pictures: Tensor, inside: Tensor | None = None, **options: Any) -> Scored:
    settings = RAW | {f"scoring.{name}": value for name, value in options.items()}
    found: Scored = recipe("patchcore", settings).build("scoring")(embedding, pictures, inside)
    return found


def test_the_map_holds_distances_to_the_nearest() -> None:
    embedding = remembering()
    points = embedding.places(batch(), 3).flatten(2).transpose(1, 2)  # (B, P, L)
    remembered = embedding.memory.get_buffer("patches")
    expected = (points[:, :, None] - remembered).norm(dim=3).amin(2)
    torch.testing.assert_close(scored(embedding, batch()).maps["distance"], expected.view(4, SIZE, SIZE))


def test_the_farthest_place_is_reweighted() -> None:
    embedding = remembering()
    remembered = embedding.memory.get_buffer("patches")
    scores = scored(embedding, batch(), neighbours=3).scores["reweighted"]
    for points, score in zip(embedding.places(batch(), 3).flatten(2).transpose(1, 2), scores, strict=True):
        distances = torch.cdist(points.double(), remembered.double())
        farthest = distances.amin(1).argmax()
        nearest = distances[farthest].argmin()
        around = torch.cdist(remembered[nearest, None], remembered)[0].argsort()[:3]
        weight = 1 - distances[farthest, nearest].exp() / distances[farthest, around].exp().sum()
        assert float(score) == pytest.approx(float(distances[farthest, nearest] * weight), rel=1e-3)


def test_what_is_outside_does_not_count() -> None:
    embedding = remembering()
    blotted = batch(2)
    blotted[1] = blotted[0]
    blotted[1, :, :4, :4] = torch.tensor([1.0, -1.0, 1.0])[:, None, None]
    inside = torch.zeros(2, SIZE, SIZE, dtype=torch.bool)
    inside[:, 10:, 10:] = True
    found = scored(embedding, blotted, inside)
    assert not found.maps["distance"][~inside].any()
    for scores in found.scores.values():
        torch.testing.assert_close(scores[0], scores[1])
    nothing = scored(embedding, blotted, torch.zeros_like(inside))
    assert not any(scores.any() for scores in nothing.scores.values())


def test_scores_that_are_not_asked_for_are_left_out() -> None:
    embedding = remembering()
    alone = scored(embedding, batch(), score="map-mean", also="none")
    assert list(alone.scores) == ["map-mean"]
    torch.testing.assert_close(alone.scores["map-mean"], alone.maps["distance"].mean((1, 2)))


def test_scoring_looks_at_the_neighbourhood_of_the_training() -> None:
    assert recipe("patchcore", {"training.neighbourhood": 5}).build("scoring").neighbourhood == 5


def test_a_detector_says_where_something_is() -> None:
    detector = fitted("patchcore", FEW)
    findings = detector.score(phantoms())
    assert np.isfinite(findings.score).all()
    np.testing.assert_allclose(detector.decision_function(phantoms()), findings.score)
    heatmap = detector.score_map(with_blot())[0]
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    assert max(row, column) <= len(heatmap) // 4
