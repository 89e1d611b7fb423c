"""PaDiM: a Gaussian of features at every place, and Mahalanobis distances from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from torch import Tensor
from torch.nn import functional as F

from frozen_features import SIZE, batch, fitted, images, learn, network, phantoms, recipe, with_blot
from sanoscope.errors import TrainingError
from sanoscope.networks.embedding import Embedding
from sanoscope.scoring.scored import Scored
from sanoscope.training.gaussians import whitened

FEW: dict[str, Any] = {"training.channels": 6}


def learned() -> tuple[Embedding, dict[str, Tensor]]:
    embedding = network("padim")
    return embedding, learn("padim", embedding, FEW)


def scored(embedding: Embedding, pictures: Tensor, inside: Tensor | None = None, **options: Any) -> Scored:
    settings = {f"scoring.{name}": value for name, value in options.items()}
    found: Scored = recipe("padim", settings).build("scoring")(embedding, pictures, inside)
    return found


def test_whitened_lengths_are_mahalanobis_distances() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(40, 3, 5)) @ random.normal(size=(5, 5))  # (N, P, d)
    sums, products = torch.from_numpy(features.sum(0)), torch.from_numpy(np.einsum("npi,npj->pij", features, features))
    means, whitening = (one.numpy() for one in whitened(sums, products, 40, 0.01))
    for place in range(3):
        gaussian = EmpiricalCovariance().fit(features[:, place])
        covariance = gaussian.covariance_ * 40 / 39 + 0.01 * np.eye(5)
        difference = features[:, place] - gaussian.location_
        expected = np.einsum("ni,ij,nj->n", difference, np.linalg.inv(covariance), difference)
        lengths = np.linalg.norm((features[:, place] - means[place]) @ whitening[place].T, axis=1)
        np.testing.assert_allclose(lengths**2, expected, rtol=1e-4)


def test_many_places_are_factorised_in_parts() -> None:
    products = torch.eye(2, dtype=torch.float64).repeat(600, 1, 1) * torch.arange(1, 601)[:, None, None]
    _, whitening = whitened(torch.zeros(600, 2, dtype=torch.float64), products.clone(), 2, 0.0)
    torch.testing.assert_close(whitening, products.rsqrt().nan_to_num(posinf=0).float())


def test_gaussians_are_of_the_features_of_each_place() -> None:
    embedding, found = learned()
    features = embedding.places(images().batch(np.arange(12)))[:, found["channels"]].flatten(2)
    torch.testing.assert_close(found["means"], features.mean(0).T, rtol=1e-4, atol=1e-5)
    place = 3 * SIZE + 5
    covariance = torch.cov(features[:, :, place].T.double()) + 0.01 * torch.eye(6)
    precision = found["whitening"][place].T @ found["whitening"][place]
    torch.testing.assert_close(precision, torch.linalg.inv(covariance).float(), rtol=1e-3, atol=1e-3)


def test_channels_are_drawn_by_the_seed() -> None:
    embedding = network("padim")
    first, again, other = (learn("padim", embedding, FEW, seed)["channels"] for seed in (0, 0, 1))
    assert len(set(first.tolist())) == 6
    assert first.tolist() == again.tolist() != other.tolist()
    everything = learn("padim", network("padim", {"network.layers": ("r11",)}), {"training.channels": 100})
    assert everything["channels"].tolist() == list(range(64))


def test_covariances_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"100 channels at 256 places take 0\.0 GB; set fewer training\.channels"):
        learn("padim", network("padim"), {"training.most_gigabytes": 0.001})


def test_the_map_holds_the_distances() -> None:
    embedding, found = learned()
    maps = scored(embedding, batch(), smoothing=0.0).maps["mahalanobis"]
    differences = embedding.places(batch())[:, found["channels"]].flatten(2) - found["means"].T
    expected = torch.einsum("pij,bjp->bpi", found["whitening"], differences).norm(dim=2)
    torch.testing.assert_close(maps, expected.view(4, SIZE, SIZE), rtol=1e-4, atol=1e-4)


def test_a_coarse_map_is_enlarged_bilinearly() -> None:
    embedding = network("padim", {"network.layers": ("r21",)})
    learn("padim", embedding, FEW)
    scoring = recipe("padim", {"scoring.smoothing": 0.0}).build("scoring")
    coarse, _ = scoring.compare(embedding, batch(), None)
    assert coarse.shape == (4, SIZE // 2, SIZE // 2)
    enlarged = F.interpolate(coarse[:, None], (SIZE, SIZE), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(scoring(embedding, batch()).maps["mahalanobis"], enlarged)


def test_scores_are_of_the_map_inside() -> None:
    embedding, _ = learned()
    inside = torch.zeros(4, SIZE, SIZE, dtype=torch.bool)
    inside[:, 4:12, 4:12] = True
    found = scored(embedding, batch(), inside, smoothing=0.1)
    maps = found.maps["mahalanobis"]
    assert not maps[~inside].any()
    torch.testing.assert_close(found.scores["map-max"], maps.amax((1, 2)))
    torch.testing.assert_close(found.scores["map-mean"], maps.sum((1, 2)) / 64)


def test_a_detector_says_where_something_is() -> None:
    detector = fitted("padim", FEW | {"scoring.smoothing": 0.05})
    findings = detector.score(phantoms())
    assert np.isfinite(findings.score).all()
    assert not np.array_equal(fitted("padim", FEW, seed=1).decision_function(phantoms()), findings.score)
    heatmap = detector.score_map(with_blot())[0]
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    assert max(row, column) <= len(heatmap) // 4
