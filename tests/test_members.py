"""Images to look at of each cluster: the nearest to the centre, and the least sure."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sanoscope.clustering.members import central, marginal

# Two centres on a line, at 0 and 10, and images at these places.
PLACES = np.array([1.0, 4.5, -3.0, 0.0, 9.0, 6.0, 30.0])
DISTANCES = np.abs(PLACES[:, None] - [0.0, 10.0])
CLUSTERS = DISTANCES.argmin(axis=1)


@st.composite
def clustered(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Distances with many ties, clusters that need not be the nearest, and how many to show."""
    shape = draw(st.tuples(st.integers(0, 12), st.integers(1, 4)))
    distances = draw(arrays.arrays(np.float64, shape, elements=st.integers(0, 5).map(float)))
    clusters = draw(arrays.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))
    return distances, clusters, draw(st.integers(0, 5))


def test_by_hand() -> None:
    assert central(DISTANCES, CLUSTERS, 3) == [[3, 0, 2], [4, 5, 6]]
    assert central(DISTANCES, CLUSTERS, 1) == [[3], [4]]
    assert marginal(DISTANCES, CLUSTERS, 3) == [[1, 0, 3], [5, 4, 6]]
    assert marginal(DISTANCES, CLUSTERS, 9) == [[1, 0, 3, 2], [5, 4, 6]]


def test_equals_are_in_the_order_of_rows() -> None:
    distances = np.tile([1.0, 2.0], (200, 1))
    clusters = np.arange(200) % 2
    for lists in (central(distances, clusters, 50), marginal(distances, clusters, 50)):
        assert lists == [list(range(0, 100, 2)), list(range(1, 100, 2))]


def test_an_outlier_in_line_with_the_centres_is_sure_of_its_cluster() -> None:
    """By the ratio of its distances, 30 to 20, the image at 30 would be less sure than that at 9."""
    assert marginal(DISTANCES, CLUSTERS, 9)[1][-1] == 6


def test_the_order_is_that_of_the_distance_from_the_boundary() -> None:
    """Between two centres the boundary is the plane halfway, here where the first coordinate is 1."""
    places = np.random.default_rng(0).normal(size=(200, 3), scale=4)
    distances = np.stack([np.linalg.norm(places - centre, axis=1) for centre in ([0, 0, 0], [2, 0, 0])], axis=1)
    clusters = distances.argmin(axis=1)
    for cluster, rows in enumerate(marginal(distances, clusters, 200)):
        members = np.flatnonzero(clusters == cluster)
        assert rows == members[np.argsort(np.abs(places[members, 0] - 1))].tolist()


def test_the_nearest_other_centre_counts() -> None:
    distances = np.array([[1.0, 9.0, 2.0], [1.0, 3.0, 9.0]])
    assert marginal(distances, np.zeros(2, int), 2) == [[0, 1], [], []]


def test_one_that_is_nearer_to_another_centre_comes_first() -> None:
    """A mixture puts an image into a wide component whose centre is further off."""
    distances = np.array([[2.0, 2.1], [3.0, 1.0], [2.0, 2.5]])
    assert marginal(distances, np.zeros(3, int), 2)[0] == [1, 0]


def test_a_cluster_without_images_and_a_sole_cluster() -> None:
    assert central(DISTANCES, np.zeros(7, int), 2) == [[3, 0], []]
    assert marginal(DISTANCES, np.zeros(7, int), 2)[1] == []
    assert central(DISTANCES[:, :1], np.zeros(7, int), 1) == [[3]]
    assert marginal(DISTANCES[:, :1], np.zeros(7, int), 3) == [[]]


@given(clustered())
def test_the_most_central_really_are(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    distances, clusters, size = case
    lists = central(distances, clusters, size)
    assert len(lists) == distances.shape[1]
    for cluster, rows in enumerate(lists):
        members = np.flatnonzero(clusters == cluster)
        assert set(rows) <= set(members.tolist())
        assert len(rows) == len(set(rows)) == min(size, len(members))
        np.testing.assert_array_equal(distances[rows, cluster], np.sort(distances[members, cluster])[:size])


@given(clustered())
def test_the_most_marginal_really_are(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    distances, clusters, size = case
    lists = marginal(distances, clusters, size)
    assert len(lists) == distances.shape[1]
    for cluster, rows in enumerate(lists):
        if distances.shape[1] == 1:
            assert rows == []
            continue
        members = np.flatnonzero(clusters == cluster).tolist()
        assert len(rows) == len(set(rows)) == min(size, len(members))
        others = [number for number in range(distances.shape[1]) if number != cluster]
        margins = {row: min(distances[row, others] ** 2) - distances[row, cluster] ** 2 for row in members}
        assert [margins[row] for row in rows] == sorted(margins.values())[:size]


def test_what_is_given_is_not_changed() -> None:
    before = DISTANCES.copy()
    marginal(DISTANCES, CLUSTERS, 3)
    np.testing.assert_array_equal(DISTANCES, before)
