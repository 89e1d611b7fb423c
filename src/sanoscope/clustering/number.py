"""How many clusters: by how well they are apart, and by whether other images would give the same ones.

Rousseeuw: "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis", Journal of
Computational and Applied Mathematics 20 (1987), 53-65.
Ben-Hur, Elisseeff, Guyon: "A stability based method for discovering structure in clustered data", Pacific Symposium
on Biocomputing 7 (2002), 6-17. Their parts of 80 % are kept; the agreement is the adjusted Rand index, which is 0 by
chance for any number of clusters, and that of all images, as clusters of a part assign the others too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from sanoscope.clustering.agreement import silhouette
from sanoscope.clustering.clusterer import Clustering
from sanoscope.clustering.components import narrowed
from sanoscope.clustering.settings import ClusterSettings
from sanoscope.errors import DataError, OptionError

PART = 0.8
# Clusterings that agree less than this differ in more than details.
STABLE = 0.8
# Differences beyond these decimals decide nothing, so that what is said can be seen in the figures that are printed.
SILHOUETTE_DECIMALS = 3
STABILITY_DECIMALS = 2
# To compare numbers takes about a hundred clusterings. In 2,000 histology patches 10 starts found the same 2 to 4
# clusters as 50 (adjusted Rand index 0.99 to 1.00). Of 5 to 8 they found others at times (0.6 to 0.99; 50 starts
# repeated: 0.91 to 0.99), so that numbers whose search is hard seem less stable than with more starts.
STARTS = 10


@dataclass(frozen=True)
class NumberChoice:
    """What speaks for each number of clusters.

    Attributes:
        numbers: Those that were judged, in ascending order.
        silhouette: Of each: the mean silhouette of the images, -1 to 1, higher where clusters are further apart. It
            also has a highest value where there are no clusters at all; one near 0 says so.
        stability: Of each: the mean adjusted Rand index of two clusterings of random parts of the images, 1 where
            they are always the same, 0 as by chance.
        stability_deviation: Of each: the standard deviation of that index between the pairs.
        suggested: The number with the highest silhouette of those with a stability of at least 0.8, or of all where
            none has, by the decimals that the reason gives; of equals the smallest.
        reason: Why, in a sentence.
    """

    numbers: tuple[int, ...]
    silhouette: tuple[float, ...]
    stability: tuple[float, ...]
    stability_deviation: tuple[float, ...]
    suggested: int
    reason: str


def judge_numbers(
    latents: np.ndarray,
    numbers: Iterable[int],
    settings: ClusterSettings,
    seed: int,
    repeats: int = 10,
    most: int = 2000,
) -> NumberChoice:
    """Silhouette and stability of clusterings into each number of clusters.

    The values of a number do not depend on which other numbers are judged.

    Args:
        latents: ``(N, L)``, finite; wide ones, such as pixels, are judged by their principal components.
        numbers: Of clusters, each at least 2. Those that are not below the number of distinct images are left out,
            and so are those whose clusters cannot be found.
        settings: How clusters are found, but for their number, and for the starts, of which at most 10 are made.
        seed: Of the parts and the starts.
        repeats: Pairs of clusterings behind each stability, at least 2. Each clustering is compared with the next,
            which takes one more clustering than there are pairs. With the defaults, 2,000 images of 256 dimensions
            and 2 to 8 clusters take 8 to 12 seconds of one core; time grows with the dimensions.
        most: The most images to judge by; of more, so many are drawn.

    Raises:
        OptionError: A number of clusters below 2, or ``repeats`` below 2.
        DataError: No number can be judged: latents that are not finite, or too few distinct images.
    """
    asked = sorted(set(numbers))
    if not asked or asked[0] < 2:
        raise OptionError(f"numbers of clusters to compare: {asked}; give some, each at least 2")
    if repeats < 2:
        raise OptionError(f"repeats={repeats}: at least 2 pairs are needed for a deviation")
    if len(latents) > most:
        latents = latents[np.sort(np.random.default_rng(seed).choice(len(latents), most, replace=False))]
    image = np.unique(latents, axis=0, return_inverse=True)[1]
    distinct = len(np.unique(image))
    possible = [number for number in asked if number < distinct]
    if not possible:
        raise DataError(
            f"the images are too few to be put into {asked[0]} or more clusters (different ones: {distinct}); "
            "give more images"
        )
    latents = narrowed(latents, seed)
    judged = {}
    for number in possible:
        # A number that cannot be had must not hide what is known of the others.
        try:
            judged[number] = _judge(latents, image, replace(settings, clusters=number), seed, repeats)
        except DataError as error:
            failure = error
    if not judged:
        raise failure
    silhouettes, stability, deviation = zip(*judged.values(), strict=True)
    suggested, reason = _suggestion(tuple(judged), np.array(silhouettes), np.array(stability))
    return NumberChoice(tuple(judged), silhouettes, stability, deviation, suggested, reason)


def _judge(
    latents: np.ndarray, image: np.ndarray, settings: ClusterSettings, seed: int, repeats: int
) -> tuple[float, float, float]:
    """The silhouette of a number of clusters, its stability, and the deviation of that."""
    settings = replace(settings, starts=min(settings.starts, STARTS))
    apart = silhouette(latents, Clustering.find(latents, settings, seed).assign(latents), seed, len(latents))
    if apart is None:
        raise DataError(f"of {settings.clusters} clusters one holds all {len(latents)} images; ask for another number")
    agreements = _agreements(latents, image, settings, seed, repeats)
    return apart, float(np.mean(agreements)), float(np.std(agreements, ddof=1))


def _agreements(
    latents: np.ndarray, image: np.ndarray, settings: ClusterSettings, seed: int, repeats: int
) -> list[float]:
    """Adjusted Rand indices of pairs of clusterings, each found in a part of the distinct images."""
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng([seed, settings.clusters])
    distinct = int(image.max()) + 1
    size = max(round(PART * distinct), settings.clusters)
    clusterings = []
    for _ in range(repeats + 1):
        part = np.isin(image, rng.choice(distinct, size, replace=False))  # copies of an image go together
        found = Clustering.find(latents[part], settings, int(rng.integers(2**31)))
        clusterings.append(found.assign(latents))
    return [adjusted_rand_score(one, other) for one, other in pairwise(clusterings)]


def _suggestion(numbers: tuple[int, ...], silhouettes: np.ndarray, stability: np.ndarray) -> tuple[int, str]:
    """The number that is suggested, and why."""
    silhouettes, stability = silhouettes.round(SILHOUETTE_DECIMALS), stability.round(STABILITY_DECIMALS)
    stable = stability >= STABLE
    suggested = int(np.where(stable | ~stable.any(), silhouettes, -np.inf).argmax())
    furthest, steadiest = int(silhouettes.argmax()), int(stability.argmax())
    apart = [f"{value:.{SILHOUETTE_DECIMALS}f}" for value in silhouettes]
    index = [f"{value:.{STABILITY_DECIMALS}f}" for value in stability]
    surpassed = silhouettes[suggested] < silhouettes[furthest]
    if not stable.any():
        rank, verdict = "", f", but no number reaches a stability of {STABLE}"
    elif surpassed:
        rank, verdict = " of the stable numbers", ""
    else:
        rank, verdict = "", ", and are stable"
    parts = [
        f"{numbers[suggested]} clusters have the highest silhouette{rank}, {apart[suggested]}{verdict}: the adjusted "
        f"Rand index between clusterings of random parts of the images is {index[suggested]}"
    ]
    if surpassed:
        parts.append(
            f"{numbers[furthest]} have a higher silhouette, {apart[furthest]}, but an index of {index[furthest]}"
        )
    if stability[suggested] < stability[steadiest]:
        parts.append(
            f"{numbers[steadiest]} are the most stable, {index[steadiest]}, with a silhouette of {apart[steadiest]}"
        )
    return numbers[suggested], "; ".join(parts) + "."
