"""How many clusters: silhouette, stability, and what they suggest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

from sanoscope.clustering import Clustering, ClusterSettings
from sanoscope.clustering.number import NumberChoice, _suggestion, judge_numbers
from sanoscope.errors import DataError, OptionError

FEW = ClusterSettings(starts=3)


def blobs(*centres: tuple[float, float], images: int = 30, seed: int = 0) -> np.ndarray:
    """Round blobs of deviation 1."""
    return np.random.default_rng(seed).normal(size=(len(centres) * images, 2)) + np.repeat(centres, images, axis=0)


# Of these, two clusters always join the first two.
THREE = blobs((0, 0), (12, 0), (0, 40))
NOISE = np.random.default_rng(1).normal(size=(90, 12))


@pytest.fixture(scope="module")
def three() -> NumberChoice:
    return judge_numbers(THREE, range(2, 6), FEW, 0)


def suggestion(*judged: tuple[int, float, float]) -> tuple[int, str]:
    """What is suggested of numbers, each with its silhouette and stability."""
    numbers, silhouettes, stability = zip(*judged, strict=True)
    return _suggestion(numbers, np.array(silhouettes), np.array(stability))


def test_three_blobs_are_three_clusters(three: NumberChoice) -> None:
    assert three.numbers == (2, 3, 4, 5)
    assert three.suggested == 3
    assert three.stability[:2] == (1, 1)  # two are as stable, but less apart
    assert three.stability_deviation[:2] == (0, 0)
    assert three.silhouette[1] == max(three.silhouette)
    assert max(three.stability[2:]) < 0.95
    assert three.reason.startswith(f"3 clusters have the highest silhouette, {three.silhouette[1]:.3f}, and are stable")


def test_blobs_at_equal_distances_are_joined_by_chance() -> None:
    """Of three, two clusters join those that the part happens to bring nearer: all agree, or as here by hand."""
    joined = adjusted_rand_score([0, 1, 1] * 30, [1, 0, 1] * 30)
    choice = judge_numbers(blobs((0, 0), (20, 0), (10, 300**0.5)), [2], ClusterSettings(), 0)
    same = (choice.stability[0] - joined) / (1 - joined)  # the share of the 10 pairs that agree
    assert 0 < round(10 * same) < 10
    assert 10 * same == pytest.approx(round(10 * same))
    assert choice.stability_deviation[0] == pytest.approx((1 - joined) * (same * (1 - same) * 10 / 9) ** 0.5)


def test_the_silhouette_is_that_of_scikit_learn(three: NumberChoice) -> None:
    for number, value in zip(three.numbers, three.silhouette, strict=True):
        clusters = Clustering.find(THREE, replace(FEW, clusters=number), 0).assign(THREE)
        assert value == pytest.approx(silhouette_score(THREE, clusters))


def test_where_there_are_no_clusters_no_number_is_stable() -> None:
    choice = judge_numbers(NOISE, (2, 3, 4), FEW, 0)
    assert max(choice.stability) < 0.5
    assert min(choice.stability_deviation) > 0
    assert max(choice.silhouette) < 0.2
    assert "no number reaches a stability of 0.8" in choice.reason


def test_values_do_not_depend_on_the_other_numbers(three: NumberChoice) -> None:
    alone = judge_numbers(THREE, [4], FEW, 0)
    assert alone.numbers == (4,)
    assert alone.suggested == 4
    assert (alone.silhouette[0], alone.stability[0]) == (three.silhouette[2], three.stability[2])
    assert judge_numbers(THREE, [5, 3, 3], FEW, 0).numbers == (3, 5)


def test_the_same_seed_gives_the_same_figures(three: NumberChoice) -> None:
    assert judge_numbers(THREE, range(2, 6), FEW, 0) == three
    assert judge_numbers(THREE, [5], FEW, 1).stability != three.stability[3:]


def test_more_starts_than_ten_are_not_made() -> None:
    ten, many = (judge_numbers(NOISE, [4], replace(FEW, starts=starts), 0) for starts in (10, 40))
    assert ten == many
    assert judge_numbers(NOISE, [4], replace(FEW, starts=1), 0) != ten


def test_of_many_images_some_are_judged() -> None:
    choice = judge_numbers(THREE, [2, 3], FEW, 0, most=40)
    drawn = np.sort(np.random.default_rng(0).choice(90, 40, replace=False))
    assert choice == judge_numbers(THREE[drawn], [2, 3], FEW, 0)
    assert choice.suggested == 3


def test_numbers_that_are_not_below_that_of_distinct_images_are_left_out() -> None:
    copies = np.repeat([[0.0, 0.0], [1.0, 5.0], [9.0, 2.0], [7.0, -9.0]], [9, 1, 1, 5], axis=0)
    assert judge_numbers(copies, range(2, 9), FEW, 0).numbers == (2, 3)
    with pytest.raises(DataError, match=r"too few to be put into 4 or more clusters \(different ones: 4\)"):
        judge_numbers(copies, [5, 4], FEW, 0)
    with pytest.raises(DataError, match="different ones: 1"):
        judge_numbers(np.ones((20, 3)), [2], FEW, 0)


def test_a_part_has_as_many_distinct_images_as_clusters_are_asked_for() -> None:
    """80 % of 9 images are 7, too few for 8 clusters."""
    assert judge_numbers(np.random.default_rng(0).normal(size=(9, 2)), [8], FEW, 0).numbers == (8,)


def test_a_number_that_cannot_be_had_does_not_hide_the_others() -> None:
    """The two halves of either blob differ by less than k-means can tell apart at that distance."""
    latents = np.repeat([0.0, 1e-12, 1e3, 1e3 + 1e-12], 10)[:, None]
    assert len(np.unique(latents)) == 4
    assert judge_numbers(latents, [2, 3], FEW, 0).numbers == (2,)
    with pytest.raises(DataError, match="finds no 3 clusters"):
        judge_numbers(latents, [3], FEW, 0)


def test_latents_that_are_not_finite_are_refused() -> None:
    latents = THREE.copy()
    latents[4, 1] = np.nan
    with pytest.raises(DataError, match="not finite"):
        judge_numbers(latents, [2, 3], FEW, 0)


@pytest.mark.parametrize("numbers", [[], [1, 2], [0]])
def test_fewer_than_two_clusters_are_no_choice(numbers: list[int]) -> None:
    with pytest.raises(OptionError, match="each at least 2"):
        judge_numbers(THREE, numbers, FEW, 0)


def test_one_pair_has_no_deviation() -> None:
    with pytest.raises(OptionError, match="repeats=1: at least 2"):
        judge_numbers(THREE, [2], FEW, 0, repeats=1)
    assert judge_numbers(THREE, [2], FEW, 0, repeats=2).stability == (1,)


@pytest.mark.parametrize("algorithm", ["mini-batch-k-means", "gaussian-mixture"])
def test_every_algorithm_can_be_judged(algorithm: str) -> None:
    assert judge_numbers(THREE, [2, 3], replace(FEW, algorithm=algorithm), 0, repeats=3).suggested == 3


BETWEEN = "the adjusted Rand index between clusterings of random parts of the images is"


def test_both_agree() -> None:
    assert suggestion((2, 0.4, 0.97), (3, 0.3, 0.9)) == (
        2,
        f"2 clusters have the highest silhouette, 0.400, and are stable: {BETWEEN} 0.97.",
    )


def test_the_furthest_apart_are_not_stable() -> None:
    assert suggestion((2, 0.3, 0.99), (3, 0.35, 0.92), (5, 0.4, 0.55)) == (
        3,
        f"3 clusters have the highest silhouette of the stable numbers, 0.350: {BETWEEN} 0.92; 5 have a higher "
        "silhouette, 0.400, but an index of 0.55; 2 are the most stable, 0.99, with a silhouette of 0.300.",
    )


def test_none_is_stable() -> None:
    assert suggestion((2, 0.1, 0.5), (3, 0.2, 0.4)) == (
        3,
        f"3 clusters have the highest silhouette, 0.200, but no number reaches a stability of 0.8: {BETWEEN} 0.40; "
        "2 are the most stable, 0.50, with a silhouette of 0.100.",
    )


def test_what_printed_figures_do_not_show_decides_nothing() -> None:
    assert suggestion((2, 0.3001, 0.9), (3, 0.3002, 0.9))[0] == 2
    assert suggestion((2, 0.3, 0.796), (3, 0.2, 0.9))[0] == 2
    assert suggestion((2, 0.3, 0.794), (3, 0.2, 0.9))[0] == 3
    assert "most stable" not in suggestion((2, 0.3, 0.901), (3, 0.2, 0.904))[1]
    assert "higher" not in suggestion((2, 0.3, 0.5), (3, 0.3, 0.9))[1]
