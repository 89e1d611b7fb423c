"""Latents as points in a plane: principal components and t-SNE."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from sanoscope.clustering.projection import Projection, project


def normal(rows: int, width: int, seed: int = 0) -> np.ndarray:
    """Gaussian latents whose dimensions have deviations from 1 to about 3, about a mean that is not 0."""
    return np.random.default_rng(seed).normal(size=(rows, width)) * np.linspace(1, 3, width) + 10


def both(projections: list[Projection]) -> tuple[Projection, Projection]:
    pca, tsne = projections
    assert (pca.name, tsne.name) == ("PCA", "t-SNE")
    return pca, tsne


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray, list[Projection]]:
    """Two blobs of 40 images that are far apart, which is which, and their projections."""
    blob = np.repeat([0, 1], 40)
    latents = np.random.default_rng(0).normal(size=(80, 16)) + 30 * blob[:, None]
    return latents, blob, project(latents, 0)


# 1,200 wide latents are reduced to 50 components on the way, 300 images of 20 are not.
@pytest.mark.parametrize(("rows", "width"), [(12, 5), (300, 20), (5, 40), (30, 1200)])
def test_principal_components_are_those_of_the_singular_values(rows: int, width: int) -> None:
    latents = normal(rows, width)
    pca = project(latents, 0)[0]
    left, singular, right = np.linalg.svd(latents - latents.mean(axis=0), full_matrices=False)
    assert pca.explained == pytest.approx(tuple((singular**2 / (singular**2).sum())[:2]), rel=1e-6)
    scores = (left * singular)[:, :2]
    signs = np.sign((scores * pca.points).sum(axis=0))
    np.testing.assert_allclose(pca.points, scores * signs, atol=1e-5 * singular[0])
    # The largest loading of each axis is positive.
    np.testing.assert_array_equal(signs, np.sign(right[[0, 1], np.abs(right[:2]).argmax(axis=1)]))
    assert pca.points.dtype == np.float64
    assert pca.rows.tolist() == list(range(rows))
    assert pca.perplexity is None


def test_axes_point_the_same_way_whatever_the_order_of_the_images() -> None:
    latents = normal(100, 8)
    order = np.random.default_rng(1).permutation(100)
    one, other = project(latents, 0)[0], project(latents[order], 5)[0]
    np.testing.assert_allclose(one.points[order], other.points, atol=1e-9)


def test_blobs_that_are_far_apart_stay_apart(blobs: tuple[np.ndarray, np.ndarray, list[Projection]]) -> None:
    latents, blob, projections = blobs
    for projection in both(projections):
        distances = np.linalg.norm(projection.points[:, None] - projection.points, axis=2)
        np.fill_diagonal(distances, np.inf)
        assert (blob[distances.argmin(axis=1)] == blob).all()
        centres = [projection.points[blob == number].mean(axis=0) for number in (0, 1)]
        radius = max(np.linalg.norm(projection.points[blob == n] - centres[n], axis=1).max() for n in (0, 1))
        assert np.linalg.norm(centres[0] - centres[1]) > 2 * radius
    tsne = projections[1]
    assert tsne.points.shape == (80, 2)
    assert tsne.points.dtype == np.float64
    assert tsne.explained is None
    # Neighbours in the plane were neighbours before: by chance this is 0.5.
    assert trustworthiness(latents, tsne.points, n_neighbors=5) > 0.75


def test_the_same_seed_gives_the_same_points(blobs: tuple[np.ndarray, np.ndarray, list[Projection]]) -> None:
    latents, _, projections = blobs
    for one, other in zip(projections, project(latents, 0), strict=True):
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.rows, other.rows)


def test_units_make_no_difference_to_the_map() -> None:
    latents = normal(40, 4)
    (_, one), (_, small), (_, large) = (project(latents * unit, 0) for unit in (1.0, 2.0**-120, 2.0**120))
    np.testing.assert_array_equal(one.points, small.points)
    np.testing.assert_array_equal(one.points, large.points)


def test_of_many_images_some_are_drawn_for_the_map() -> None:
    latents = normal(200, 4)
    pca, tsne = both(project(latents, 0, most=30))
    assert len(pca.rows) == 200
    assert len(tsne.rows) == len(set(tsne.rows.tolist())) == 30
    assert (np.diff(tsne.rows) > 0).all()
    assert tsne.rows.max() > 150
    assert tsne.rows.min() < 50
    assert project(latents, 1, most=30)[1].rows.tolist() != tsne.rows.tolist()
    np.testing.assert_array_equal(tsne.points, project(latents[tsne.rows], 0)[1].points)


def test_perplexity_is_a_third_of_few_images(blobs: tuple[np.ndarray, np.ndarray, list[Projection]]) -> None:
    assert blobs[2][1].perplexity == pytest.approx(79 / 3)
    assert project(normal(100, 3), 0)[1].perplexity == 30
    assert project(normal(40, 3), 0, perplexity=5)[1].perplexity == 5
    assert project(normal(4, 3), 0)[1].perplexity == 1


def test_wide_latents_are_reduced_without_losing_their_neighbours() -> None:
    blob = np.repeat([0, 1, 2], 20)
    random = np.random.default_rng(0)
    latents = random.normal(size=(60, 1500)) + random.normal(size=(3, 1500))[blob]
    tsne = project(latents, 0)[1]
    distances = np.linalg.norm(tsne.points[:, None] - tsne.points, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (blob[distances.argmin(axis=1)] == blob).all()


@pytest.mark.parametrize("latents", [np.zeros((0, 3)), np.ones((1, 3)), np.full((30, 4), 0.1)])
def test_where_nothing_differs_there_is_nothing_to_lay_out(latents: np.ndarray) -> None:
    assert project(latents, 0) == []


@pytest.mark.parametrize(
    "latents",
    [normal(2, 5), normal(3, 5), normal(30, 1), np.array([[0.0], [1.0], [1.0], [2.0]])],
    ids=["two images", "three images", "one dimension", "four images of one dimension"],
)
def test_where_a_map_has_nothing_to_arrange_there_are_principal_components_alone(latents: np.ndarray) -> None:
    (pca,) = project(latents, 0)
    assert pca.name == "PCA"
    assert pca.points.shape == (len(latents), 2)
    assert sum(pca.explained or ()) == pytest.approx(1)
    if latents.shape[1] == 1:
        assert pca.explained == (1, 0)
        np.testing.assert_allclose(pca.points, np.c_[latents - latents.mean(), np.zeros(len(latents))])


@pytest.mark.parametrize(
    "latents",
    [
        normal(4, 2),
        np.repeat([[0.0, 0.0], [1.0, 1.0]], 20, axis=0),
        np.r_[np.zeros((20, 3)), np.ones((1, 3))],
        np.arange(20.0)[:, None] * np.ones(3),
        np.float32(3e38) * np.random.default_rng(0).choice([-1, 1], (20, 3)).astype(np.float32),
        np.r_[np.zeros((3, 1100)), np.ones((1, 1100))],
    ],
    ids=["four images", "two images many times", "one other", "a line", "huge", "few and wide"],
)
def test_degenerate_latents_are_laid_out_without_a_warning(latents: np.ndarray) -> None:
    for projection in both(project(latents, 0)):
        assert projection.points.shape == (len(latents), 2)
        assert np.isfinite(projection.points).all()


def test_no_map_of_drawn_images_that_are_all_equal() -> None:
    latents = np.zeros((200, 3))
    latents[0] = 1
    seed = next(seed for seed in range(100) if 0 not in np.random.default_rng(seed).choice(200, 5, replace=False))
    assert [projection.name for projection in project(latents, seed, most=5)] == ["PCA"]
