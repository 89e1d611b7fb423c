"""How often each score occurs among normal and among abnormal pixels, counted in one pass with bounded memory.

Up to ``EXACT_PIXELS`` pixels every different score is kept. Beyond, scores are gathered into bins whose edges are
scores at chosen ranks of either class, counted from the highest score: every rank at first, then with gaps that
grow in proportion to the rank. A bin so adds a small part to the true and false positives above it, and no metric
of a precision-recall or ROC curve can change by more, whatever the distribution of the scores: narrow, heavy-tailed
or mostly zero. Counts of equally many pixels are merged pairwise, so that the error of a hundred merges does not add
up: it grows with the logarithm of the number of pixels.

Munro, Paterson: "Selection and sorting with limited storage" (1980); Manku, Rajagopalan, Lindsay: "Approximate
medians and other quantiles in one pass and with limited memory" (1998).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EXACT_PIXELS = 2**23  # 32 MB of scores; the exact counts and curves of as many take about 0.4 GB
BINS = 2**20  # of each class: the gaps between chosen ranks are 2e-5 of the rank


@dataclass(frozen=True)
class ScoreCounts:
    """Pixels of both classes by score.

    Attributes:
        values: ``(K,)`` float32, rising.
        normal: ``(K,)`` int64, the normal pixels with a score of at least ``values[i]`` and below ``values[i + 1]``.
        abnormal: ``(K,)`` int64, the abnormal ones.
    """

    values: np.ndarray
    normal: np.ndarray
    abnormal: np.ndarray

    @classmethod
    def of(cls, normal: np.ndarray, abnormal: np.ndarray, bins: int) -> ScoreCounts:
        """Count scores.

        Args:
            normal: Of the normal pixels, rising.
            abnormal: Of the abnormal pixels, rising.
            bins: The most of each class; where there are fewer pixels, every different score is kept.
        """
        edges = [scores[scores.size - _ranks(scores.size, bins)] for scores in (normal, abnormal)]
        values = _union(*edges)
        return cls(values, count_from(values, normal), count_from(values, abnormal))

    def merge(self, other: ScoreCounts) -> ScoreCounts:
        """The pixels of both."""
        values = _union(self.values, other.values)
        normal, abnormal = np.zeros((2, values.size), dtype=np.int64)
        for counts in (self, other):
            position = np.searchsorted(values, counts.values)
            normal[position] += counts.normal
            abnormal[position] += counts.abnormal
        return ScoreCounts(values, normal, abnormal)

    def thin(self, bins: int) -> ScoreCounts:
        """The same pixels in fewer bins; a bin that is left out is added to the next lower one.

        Args:
            bins: The most of each class.
        """
        kept = np.zeros(self.values.size, dtype=bool)
        for counts in (self.normal, self.abnormal):
            at_least = np.cumsum(counts[::-1])  # pixels with at least the score of each bin, from the highest
            kept[counts.size - 1 - np.searchsorted(at_least, _ranks(int(at_least[-1]), bins))] = True
        edges = np.flatnonzero(kept)
        return ScoreCounts(
            self.values[edges], *(np.add.reduceat(counts, edges) for counts in (self.normal, self.abnormal))
        )


class PixelCounter:
    """Counts the scores of pixels that come in portions; see the module for how exactly.

    Args:
        exact_pixels: Up to as many pixels every different score is kept.
        bins: Beyond, the most of each class.
    """

    def __init__(self, exact_pixels: int = EXACT_PIXELS, bins: int = BINS) -> None:
        self.size = 0
        self._exact_pixels = exact_pixels
        self._bins = bins
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_pending = 0
        self._merged: list[tuple[int, ScoreCounts]] = []  # how many times each was merged, falling

    @property
    def exact(self) -> bool:
        """Whether every different score is kept."""
        return not self._merged

    def add(self, normal: np.ndarray, abnormal: np.ndarray) -> None:
        """Count some pixels.

        Args:
            normal: ``(N,)`` float32, finite, the scores of normal pixels; at most ``exact_pixels`` with the others.
            abnormal: ``(A,)``, those of abnormal ones.
        """
        size = normal.size + abnormal.size
        if self._n_pending + size > self._exact_pixels:
            self._merge_pending()
        self._pending.append((normal, abnormal))
        self._n_pending += size
        self.size += size

    def counts(self) -> ScoreCounts:
        """Of all pixels so far, one or more."""
        if self.exact:
            return self._count_pending(self._exact_pixels)
        counts = self._count_pending(self._bins)
        for _, others in reversed(self._merged):
            counts = counts.merge(others).thin(self._bins)
        return counts

    def _count_pending(self, bins: int) -> ScoreCounts:
        normal, abnormal = (np.sort(np.concatenate(scores)) for scores in zip(*self._pending, strict=True))
        return ScoreCounts.of(normal, abnormal, bins)

    def _merge_pending(self) -> None:
        times, counts = 0, self._count_pending(self._bins)
        self._pending, self._n_pending = [], 0
        while self._merged and self._merged[-1][0] == times:
            counts = self._merged.pop()[1].merge(counts).thin(self._bins)
            times += 1
        self._merged.append((times, counts))


def count_from(edges: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """How many scores are at least each edge and below the next, ``(K,)``.

    Args:
        edges: ``(K,)``, rising.
        scores: Rising, none below the first edge.
    """
    return np.diff(np.searchsorted(scores, edges), append=scores.size)


def _union(*scores: np.ndarray) -> np.ndarray:
    """Every different score, rising; by sorting, which is several times quicker than the hashing of ``np.unique``."""
    together = np.sort(np.concatenate(scores))
    first = np.ones(together.size, dtype=bool)
    np.not_equal(together[1:], together[:-1], out=first[1:])
    return together[first]


def _ranks(total: int, at_most: int) -> np.ndarray:
    """Chosen ranks from 1, the highest score, to ``total``, the lowest: rising, gaps in proportion to the rank."""
    if total <= at_most:
        return np.arange(1, total + 1)
    ranks = np.rint(np.exp(np.linspace(0, np.log(total), at_most))).astype(np.int64)
    ranks[-1] = total
    return ranks[np.diff(ranks, prepend=0) > 0]
