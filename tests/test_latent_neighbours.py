"""More like this: the nearest images in latent space."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance as reference

from sanoscope.clustering.neighbours import DISTANCES, nearest
from sanoscope.errors import DataError, OptionError

REFERENCES = {"euclidean": reference.euclidean, "cosine": reference.cosine}


def normal(rows: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width))


@pytest.mark.parametrize("metric", DISTANCES)
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 30), st.integers(2, 9), st.integers(1, 40), st.integers(0, 99))
def test_they_are_those_of_brute_force(metric: str, rows: int, width: int, count: int, seed: int) -> None:
    latents, query = normal(rows, width, seed), normal(1, width, seed + 100)[0]
    expected = np.array([REFERENCES[metric](row, query) for row in latents])
    found, distances = nearest(latents, query, count, metric)
    np.testing.assert_array_equal(found, np.argsort(expected)[:count])
    np.testing.assert_allclose(distances, np.sort(expected)[:count], rtol=1e-9, atol=1e-12)


def test_by_hand() -> None:
    latents = np.array([[0.0, 5.0], [3.0, 4.0], [1.0, 0.0], [-2.0, 0.0]])
    rows, distances = nearest(latents, np.array([0.0, 0.0]), 3)
    assert rows.tolist() == [2, 3, 0]
    assert distances.tolist() == [1.0, 2.0, 5.0]
    rows, distances = nearest(latents, np.array([10.0, 0.0]), 4, "cosine")
    assert rows.tolist() == [2, 1, 0, 3]
    np.testing.assert_allclose(distances, [0.0, 0.4, 1.0, 2.0], atol=1e-15)


@pytest.mark.parametrize("metric", DISTANCES)
def test_an_image_finds_itself_and_its_copies_in_order(metric: str) -> None:
    latents = normal(50, 64).astype(np.float32)
    latents[[3, 17, 49]] = latents[20]
    rows, distances = nearest(latents, latents[20], 5, metric)
    assert rows[:4].tolist() == [3, 17, 20, 49]
    assert distances.dtype == np.float64
    assert distances[:4].tolist() == [0.0] * 4
    assert distances[4] > 0


@pytest.mark.parametrize("metric", DISTANCES)
def test_distances_do_not_depend_on_other_images(metric: str) -> None:
    latents, query = normal(40, 30), normal(1, 30, 1)[0]
    rows, distances = nearest(latents, query, 40, metric)
    for row, distance in zip(rows, distances, strict=True):
        assert nearest(latents[row : row + 1], query, 1, metric)[1][0] == distance


def test_cosine_is_blind_to_length_and_sees_small_angles() -> None:
    query = np.array([1.0, 0.0])
    angles = np.array([3e-9, 1e-9, 2e-9])
    latents = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.array([[1.0], [50.0], [1e-3]])
    rows, distances = nearest(latents, 7 * query, 3, "cosine")
    assert rows.tolist() == [1, 2, 0]
    np.testing.assert_allclose(distances, np.sort(angles) ** 2 / 2, rtol=1e-6)


def test_an_image_without_direction_is_at_a_right_angle() -> None:
    latents = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [-1.0, 0.0], [1.0, 1.0]])
    rows, distances = nearest(latents, np.array([1.0, 0.0]), 5, "cosine")
    assert rows.tolist() == [2, 4, 0, 1, 3]
    np.testing.assert_allclose(distances, [0.0, 1 - 0.5**0.5, 1.0, 1.0, 2.0], atol=1e-15)


def test_a_query_without_direction_has_no_neighbours_by_angle() -> None:
    with pytest.raises(DataError, match=r"all zero and have no direction; use metric='euclidean'"):
        nearest(normal(4, 3), np.zeros(3), 2, "cosine")
    assert len(nearest(normal(4, 3), np.zeros(3), 2)[0]) == 2


@pytest.mark.parametrize(
    ("query", "count", "metric", "error", "message"),
    [
        (np.zeros(3), 1, "manhattan", OptionError, "metric='manhattan': choose one of euclidean, cosine"),
        (np.zeros(3), 0, "euclidean", OptionError, "count=0: at least 1"),
        (np.zeros(4), 1, "euclidean", DataError, r"shape \(4,\), the images of \(3,\); encode both"),
        (np.array([0.0, np.nan, 1.0]), 1, "euclidean", DataError, "not finite"),
    ],
)
def test_what_cannot_be_is_refused(
    query: np.ndarray, count: int, metric: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        nearest(normal(5, 3), query, count, metric)


def test_images_that_are_not_finite_are_refused() -> None:
    latents = normal(5, 3)
    latents[2, 1] = np.inf
    with pytest.raises(DataError, match="not finite"):
        nearest(latents, np.zeros(3), 1)
