"""Clusters of latents: what is found, what is refused, and that an image's cluster is its own affair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file, save_file
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from sanoscope.clustering import ALGORITHMS, COVARIANCES, Clustering, ClusterSettings, partition
from sanoscope.clustering.algorithms import COVARIANCE_TYPES
from sanoscope.errors import DataError, ModelError, OptionError

SIZES = (30, 60, 10)
EVERY_KIND = [{"algorithm": algorithm} for algorithm in ALGORITHMS[:2]] + [
    {"algorithm": "gaussian-mixture", "covariance": covariance} for covariance in COVARIANCES
]


def blobs(length: int = 4, apart: float = 50.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Latents of three sizes of groups, far apart unless told otherwise, shuffled, and the groups."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(3), SIZES))
    return rng.normal(size=(groups.size, length)) + apart * np.eye(3, length)[groups], groups


def few_starts(**values: Any) -> ClusterSettings:
    return ClusterSettings(**({"starts": 5} | values))


@pytest.mark.parametrize("scaling", ["none", "standard"])
@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: "-".join(kind.values()))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_groups_that_are_far_apart_are_found_exactly(kind: dict[str, str], scaling: str, dtype: type) -> None:
    latents, groups = blobs()
    found = Clustering.find(latents.astype(dtype), few_starts(clusters=3, scaling=scaling, **kind), seed=0)
    assert found.sizes.tolist() == sorted(SIZES, reverse=True)
    by_size = np.array([1, 0, 2])  # the second group is the largest
    assert (found.assign(latents) == by_size[groups]).all()
    means = np.stack([latents[groups == group].mean(axis=0) for group in (1, 0, 2)])
    # Mini-batches leave the mean of what they saw.
    assert found.centres == pytest.approx(means, abs=2 if kind["algorithm"] == "mini-batch-k-means" else 1e-4)


@pytest.mark.parametrize(("scaling", "distance"), [("none", 5.0), ("standard", np.sqrt(8))])
def test_two_images_are_two_clusters(scaling: str, distance: float) -> None:
    latents = np.array([[0.0, 0.0], [3.0, 4.0]])  # of standard deviations 1.5 and 2: each is two of them apart
    found = Clustering.find(latents, ClusterSettings(scaling=scaling), seed=0)
    assert found.centres == pytest.approx(latents)
    assert found.sizes.tolist() == [1, 1]
    assert found.distances(latents) == pytest.approx(np.array([[0, distance], [distance, 0]]))
    assert found.probabilities(latents) is None


def test_scaling_makes_dimensions_count_alike() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1], [60, 40])
    latents = np.stack([groups + rng.normal(0, 0.05, 100), rng.normal(0, 30, 100), np.full(100, 7.0)], axis=1)
    agreement = {
        scaling: partition(groups, Clustering.find(latents, few_starts(scaling=scaling), 0).assign(latents))
        for scaling in ("none", "standard")
    }
    assert agreement["standard"]["adjusted_rand"] == 1
    assert agreement["none"]["adjusted_rand"] < 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_centres_of_k_means_are_the_means_of_their_images(dtype: type) -> None:
    latents = np.random.default_rng(0).normal(100, 1, size=(400, 6)).astype(dtype)
    found = Clustering.find(latents, few_starts(clusters=4), seed=1)
    clusters = found.assign(latents)
    assert found.sizes.tolist() == np.bincount(clusters).tolist()
    for cluster, centre in enumerate(found.centres):
        assert centre == pytest.approx(latents[clusters == cluster].mean(axis=0, dtype=np.float64), rel=1e-12)


def test_k_means_is_as_good_as_scikit_learns() -> None:
    latents, _ = blobs(apart=2)
    found = Clustering.find(latents, few_starts(clusters=3), seed=3)
    reference = KMeans(3, n_init=5, tol=0, random_state=3).fit(latents)
    assert np.square(found.distances(latents).min(axis=1)).sum() == pytest.approx(reference.inertia_)
    assert partition(reference.labels_, found.assign(latents))["adjusted_rand"] == 1


def test_mini_batches_come_close_to_full_k_means() -> None:
    """They do not where centres are made random images till the end, as in the first published code."""
    latents = np.random.default_rng(0).normal(size=(3000, 8)) * np.arange(8, 0, -1)
    for seed in range(3):
        squares = [
            np.square(Clustering.find(latents, few_starts(algorithm=algorithm), seed).distances(latents).min(1)).sum()
            for algorithm in ALGORITHMS[:2]
        ]
        assert squares[0] <= squares[1] < 1.05 * squares[0]


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_a_mixture_agrees_with_scikit_learn(covariance: str) -> None:
    latents, _ = blobs(length=3, apart=3)
    options = few_starts(clusters=3, algorithm="gaussian-mixture", covariance=covariance, scaling="standard")
    found = Clustering.find(latents, options, seed=0)
    scaled = latents / latents.std(axis=0)
    reference = GaussianMixture(
        3, covariance_type=COVARIANCE_TYPES[covariance], n_init=5, max_iter=1000, random_state=0
    ).fit(scaled)
    order = [np.abs(reference.means_ - centre).sum(axis=1).argmin() for centre in found.centres / latents.std(axis=0)]
    probabilities = found.probabilities(latents)
    assert probabilities is not None
    assert probabilities == pytest.approx(reference.predict_proba(scaled)[:, order], abs=1e-6)
    assert (found.assign(latents) == probabilities.argmax(axis=1)).all()
    covariances = np.broadcast_to(
        reference.covariances_, {"tied": (3, 3, 3)}.get(covariance, reference.covariances_.shape)
    )
    for cluster, component in enumerate(order):
        own = covariances[component]
        inverse = np.linalg.inv(own if own.ndim == 2 else own * np.eye(3))
        difference = scaled - reference.means_[component]
        expected = np.sqrt(np.einsum("nl,lm,nm->n", difference, inverse, difference))
        assert found.distances(latents)[:, cluster] == pytest.approx(expected, rel=1e-5)


def test_the_likelier_component_need_not_be_the_nearer() -> None:
    """Densities at 1.4: half of N(0, 1) is 0.0749, half of N(4, 4) 0.0428, though 1.4 is more than 1.3 deviations."""
    two = ClusterSettings(algorithm="gaussian-mixture")
    mixture = Clustering(
        two, np.array([[0.0], [4.0]]), np.array([1, 1]), np.array([[1.0], [0.5]]), np.array([0.5, 0.5])
    )
    image = np.array([[1.4]])
    assert mixture.distances(image) == pytest.approx(np.array([[1.4, 1.3]]))
    assert mixture.assign(image).tolist() == [0]
    densities = np.array([[np.exp(-(1.4**2) / 2), np.exp(-(1.3**2) / 2) / 2]])
    assert mixture.probabilities(image) == pytest.approx(densities / densities.sum())


@pytest.mark.parametrize("length", [1, 5, 257])
@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: "-".join(kind.values()))
def test_an_image_has_its_cluster_whatever_else_is_given(kind: dict[str, str], length: int) -> None:
    latents = np.random.default_rng(0).normal(size=(60, length)).astype(np.float32)
    found = Clustering.find(latents, few_starts(starts=1, **kind), seed=0)
    together, clusters = found.distances(latents), found.assign(latents)
    assert clusters.dtype == np.int64
    for order in (np.arange(60)[::-1], np.arange(7)):
        assert (found.distances(np.asfortranarray(latents[order])) == together[order]).all()
        assert (found.assign(latents[order]) == clusters[order]).all()
    assert all((found.distances(image[None])[0] == row).all() for image, row in zip(latents, together, strict=True))
    assert found.assign(latents[:0]).shape == (0,)


@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: "-".join(kind.values()))
def test_the_same_seed_gives_the_same_clusters(kind: dict[str, str]) -> None:
    latents, _ = blobs(apart=1)
    one, other = (Clustering.find(latents, few_starts(clusters=3, **kind), seed=5).to_arrays() for _ in range(2))
    assert all((one[name] == other[name]).all() for name in one)


def test_k_means_is_the_same_on_any_number_of_threads() -> None:
    latents = np.random.default_rng(0).normal(size=(2000, 20)).astype(np.float32)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(Clustering.find(latents, few_starts(clusters=4, starts=2), seed=0).to_arrays())
    assert all((found[0][name] == found[1][name]).all() for name in found[0])


@settings(deadline=None, max_examples=50)
@given(arrays(np.int64, st.tuples(st.integers(4, 12), st.integers(1, 2)), elements=st.integers(-2, 2)))
def test_clusters_are_numbered_by_size(points: np.ndarray) -> None:
    """Few different values: images are often as near to one centre as to another."""
    if len(np.unique(points, axis=0)) < 3:
        return
    found = Clustering.find(points, few_starts(clusters=3), seed=0)
    assert (np.diff(found.sizes) <= 0).all()
    assert (np.bincount(found.assign(points), minlength=3) == found.sizes).all()


@pytest.mark.parametrize("kind", EVERY_KIND, ids=lambda kind: "-".join(kind.values()))
def test_what_is_saved_gives_the_same_assignments(kind: dict[str, str], tmp_path: Path) -> None:
    latents, _ = blobs(apart=1)
    found = Clustering.find(latents, few_starts(clusters=3, **kind), seed=0)
    save_file(found.to_arrays(), tmp_path / "clusters.safetensors")
    restored = ClusterSettings.from_json(json.loads(json.dumps(found.settings.to_json())))
    again = Clustering.from_arrays(restored, load_file(tmp_path / "clusters.safetensors"))
    assert again.settings == found.settings
    assert (again.sizes == found.sizes).all()
    assert (again.distances(latents) == found.distances(latents)).all()
    assert (again.assign(latents) == found.assign(latents)).all()


def test_what_was_saved_otherwise_is_refused() -> None:
    found = Clustering.find(blobs()[0], few_starts(), seed=0)
    stored = found.to_arrays()
    with pytest.raises(ModelError, match="missing 1 required positional argument: 'centres'"):
        Clustering.from_arrays(found.settings, {name: stored[name] for name in ("sizes", "whitening")})
    with pytest.raises(ModelError, match="unexpected keyword argument 'more'"):
        Clustering.from_arrays(found.settings, stored | {"more": stored["sizes"]})
    with pytest.raises(ModelError, match=r"shapes .*\(2,\).* not .*\(3,\)"):
        Clustering.from_arrays(ClusterSettings(clusters=3), stored)
    with pytest.raises(ModelError, match="find them again"):
        Clustering.from_arrays(ClusterSettings(algorithm="gaussian-mixture"), stored)
    with pytest.raises(ModelError, match="unexpected keyword argument 'k'"):
        ClusterSettings.from_json({"k": 2})
    with pytest.raises(ModelError, match="clusters must be"):
        ClusterSettings.from_json({"clusters": "2"})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"clusters": 1}, "clusters must be a whole number of at least 2, not 1"),
        ({"clusters": 2.0}, "not 2.0"),
        ({"starts": 0}, "starts must be a whole number of at least 1, not 0"),
        ({"iterations": -1}, "iterations must"),
        ({"batch_size": 0}, "batch_size must"),
        ({"algorithm": "kmeans"}, "algorithm does not take 'kmeans'; did you mean 'k-means'"),
        ({"scaling": "z-score"}, "scaling does not take 'z-score'; known: none, standard"),
        ({"covariance": "diag"}, "did you mean 'diagonal'"),
    ],
)
def test_settings_that_cannot_be_are_refused(value: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ClusterSettings(**value)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_too_few_distinct_images_are_refused(algorithm: str) -> None:
    options = few_starts(clusters=3, algorithm=algorithm)
    with pytest.raises(DataError, match="2 images, of which 2 are distinct, are too few for 3 clusters"):
        Clustering.find(np.array([[1.0], [2.0]]), options, seed=0)
    with pytest.raises(DataError, match="6 images, of which 2 are distinct, are too few for 3 clusters"):
        Clustering.find(np.array([[0.0], [2.0], [-0.0], [2.0], [0.0], [2.0]]), options, seed=0)
    with pytest.raises(DataError, match="the latents of all 5 images are equal"):
        Clustering.find(np.ones((5, 3), np.float32), options, seed=0)


def test_images_that_hardly_differ_are_refused() -> None:
    with pytest.raises(DataError, match=r"k-means finds no 3 clusters in 3 images .*ask for fewer clusters"):
        Clustering.find(np.array([[0.0], [1e-200], [1.0]]), few_starts(clusters=3), seed=0)  # its square is 0


def test_a_mixture_that_does_not_settle_is_refused() -> None:
    latents, _ = blobs(apart=1)
    options = few_starts(clusters=3, algorithm="gaussian-mixture", iterations=1)
    with pytest.raises(DataError, match=r"gaussian-mixture finds no 3 clusters in 100 images .*more iterations"):
        Clustering.find(latents, options, seed=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_latents_that_are_not_finite_are_refused(bad: float) -> None:
    latents, _ = blobs()
    found = Clustering.find(latents, few_starts(), seed=0)
    latents[[3, 8], 1] = bad
    for use in (found.assign, found.distances, lambda values: Clustering.find(values, few_starts(), seed=0)):
        with pytest.raises(DataError, match="2 of 100 images are not finite, the first at row 3"):
            use(latents)


def test_latents_of_another_shape_are_refused() -> None:
    found = Clustering.find(blobs(length=4)[0], few_starts(), seed=0)
    with pytest.raises(DataError, match="latents of 3 dimensions, but the clusters were found in 4"):
        found.assign(np.zeros((2, 3)))
    for shape in ((4,), (2, 2, 2), (3, 0)):
        with pytest.raises(DataError, match="latents of shape"):
            Clustering.find(np.zeros(shape), few_starts(), seed=0)
