"""How well clusters match classes, and how well they are apart: closed forms, and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from sanoscope.clustering import METRIC_LABELS, METRICS, classification, partition, silhouette
from sanoscope.errors import DataError

codes = st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 2)), min_size=1, max_size=25)


def test_every_metric_has_a_label() -> None:
    labels = np.array([0, 1])
    given_here = {*classification(labels, labels, 2), *partition(labels, labels), "silhouette"}
    assert given_here == set(METRICS) == set(METRIC_LABELS)


@pytest.mark.parametrize(("always", "accuracy", "f1"), [(0, 0.716, 0.0), (1, 0.284, 2 * 0.284 / 1.284)])
def test_predicting_always_the_same(always: int, accuracy: float, f1: float) -> None:
    """The trivial rows at the published prevalence of 28.4 %; the second F1 is 0.442."""
    labels = np.repeat([0, 1], [716, 284])
    assert classification(labels, np.full(1000, always), 2) == {"accuracy": accuracy, "f1": pytest.approx(f1)}


@settings(deadline=None)
@given(codes)
def test_classification_equals_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(pairs).T
    values = classification(labels, predicted, 3)
    truth, guess = labels[labels >= 0], predicted[labels >= 0]
    assert values["accuracy"] == (reference.accuracy_score(truth, guess) if truth.size else None)
    present = {0, 1, 2} <= set(truth.tolist())
    expected = np.mean([reference.f1_score(truth == code, guess == code) for code in range(3)]) if present else None
    assert values["f1"] == pytest.approx(expected)

    two = np.minimum(labels, 1), np.minimum(predicted, 1)
    values = classification(*two, 2)
    known = two[0] >= 0
    expected = reference.f1_score(two[0][known], two[1][known]) if 1 in truth or 2 in truth else None
    assert values["f1"] == pytest.approx(expected)


@settings(deadline=None)
@given(codes, st.permutations(range(3)))
def test_partitions_equal_scikit_learn_and_do_not_ask_for_names(pairs: list[tuple[int, int]], names: list[int]) -> None:
    labels, clusters = np.array(pairs).T
    values = partition(labels, clusters)
    known = labels >= 0
    if len(set(labels[known].tolist())) < 2:
        assert values == {"adjusted_rand": None, "mutual_information": None}
        return
    truth, found = labels[known], clusters[known]
    assert values["adjusted_rand"] == pytest.approx(reference.adjusted_rand_score(truth, found))
    assert values["mutual_information"] == pytest.approx(reference.normalized_mutual_info_score(truth, found))
    renamed = partition(labels, np.array(names)[clusters])
    assert renamed == {name: pytest.approx(value, abs=1e-12) for name, value in values.items()}


def test_the_silhouette_by_hand() -> None:
    """Two pairs, 1 wide and 10 apart: an outer image has a = 1 and b = 10.5, an inner one a = 1 and b = 9.5."""
    latents = np.array([[0.0], [1.0], [10.0], [11.0]])
    expected = ((1 - 1 / 10.5) + (1 - 1 / 9.5)) / 2
    assert silhouette(latents, np.array([0, 0, 1, 1]), seed=0) == pytest.approx(expected)


def test_the_silhouette_equals_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    latents, clusters = rng.normal(size=(200, 5)).astype(np.float32), rng.integers(3, size=200)
    assert silhouette(latents, clusters, seed=0) == pytest.approx(reference.silhouette_score(latents, clusters))


def test_the_silhouette_of_many_images_is_that_of_some() -> None:
    rng = np.random.default_rng(0)
    clusters = rng.integers(2, size=1000)
    latents = rng.normal(size=(1000, 3)) + 3 * clusters[:, None]
    all_of_them = silhouette(latents, clusters, seed=0)
    some = [silhouette(latents, clusters, seed=seed, most=300) for seed in (0, 0, 1)]
    assert some[0] == some[1] != some[2]
    assert some == pytest.approx([all_of_them] * 3, abs=0.03)
    assert all_of_them not in some


def test_a_silhouette_that_is_undefined_is_none() -> None:
    latents = np.arange(4.0)[:, None]
    assert silhouette(latents, np.zeros(4, int), seed=0) is None
    assert silhouette(latents, np.arange(4), seed=0) is None
    assert silhouette(latents[:0], np.zeros(0, int), seed=0) is None


def test_other_lengths_are_refused() -> None:
    two, three = np.array([0, 1]), np.array([0, 1, 1])
    for compare in (lambda: classification(two, three, 2), lambda: partition(two, three)):
        with pytest.raises(DataError, match="2 labels for 3 images"):
            compare()
    with pytest.raises(DataError, match="2 latents and 3 clusters"):
        silhouette(np.zeros((2, 1)), three, seed=0)
