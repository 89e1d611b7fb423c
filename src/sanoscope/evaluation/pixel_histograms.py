"""The scores of each subject, counted in bins: a resample of the subjects only needs to weigh and add them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from sanoscope.evaluation.bootstrap import resample_weights
from sanoscope.evaluation.pixel_counts import ScoreCounts, count_from
from sanoscope.evaluation.pixel_curves import curve_metrics

BINS = 2**13  # of each class: the gaps between their ranks are 0.2 % of the rank, far less than an interval's width
_CELLS = 2**25  # of all subjects' histograms, 128 MB; with very many subjects the bins are fewer
_CELLS_AT_ONCE = 2**20  # resampled counts made at a time: 8 MB, and about ten arrays of that size are alive
_PENDING_PIXELS = 2**20  # sorted and counted together: many small slices of a subject cost no more than one large


class SubjectHistograms:
    """Scores of both classes in each subject, in bins that all subjects share.

    Args:
        n_subjects: How many there are.
        counts: Of all pixels; the bins are made from them.
    """

    def __init__(self, n_subjects: int, counts: ScoreCounts) -> None:
        self._all = counts.thin(max(2, min(BINS, _CELLS // (4 * n_subjects))))
        # float32 is what matrices are multiplied in; it is exact up to 2**24 pixels in one bin of one subject.
        self._counts = np.zeros((n_subjects, 2, self._all.values.size), dtype=np.float32)
        self._subject = 0
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []
        self._n_pending = 0

    def counted(
        self, subject: int, pixels: Iterable[tuple[np.ndarray, np.ndarray]]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Passes pixels of a subject on, counted; quickest where those of one subject come one after another."""
        for normal, abnormal in pixels:
            if subject != self._subject or self._n_pending > _PENDING_PIXELS:
                self._count_pending()
            self._subject = subject
            self._pending.append((normal, abnormal))
            self._n_pending += normal.size + abnormal.size
            yield normal, abnormal

    def draws(self, metrics: dict[str, float], resamples: int, seed: int) -> dict[str, np.ndarray]:
        """The metrics of ``curve_metrics`` for each resample, ``(R,)`` each.

        Args:
            metrics: Of all pixels, from finer counts. What they differ by from those of the bins here is added to
                every resample.
            resamples: How many.
            seed: Of the draws.
        """
        self._count_pending()
        coarse = curve_metrics(self._all.normal[::-1], self._all.abnormal[::-1])
        portions = list(self._resampled(resamples, seed))
        return {
            name: np.clip(np.concatenate([portion[name] for portion in portions]) + (value - coarse[name]), 0, 1)
            for name, value in metrics.items()
        }

    def _resampled(self, resamples: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
        n_subjects, _, n_bins = self._counts.shape
        falling = self._counts[:, :, ::-1].reshape(n_subjects, -1)
        rows = max(1, _CELLS_AT_ONCE // n_bins)
        for weights in resample_weights(np.arange(n_subjects), resamples, seed):
            for start in range(0, len(weights), rows):
                drawn = weights[start : start + rows].astype(np.float32) @ falling
                yield curve_metrics(drawn[:, :n_bins], drawn[:, n_bins:])

    def _count_pending(self) -> None:
        if self._pending:
            for number, scores in enumerate(zip(*self._pending, strict=True)):
                counted = count_from(self._all.values, np.sort(np.concatenate(scores)))
                self._counts[self._subject, number] += counted
        self._pending, self._n_pending = [], 0
