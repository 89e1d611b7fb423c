"""Scores that need no network: what any method must beat before it is worth its training."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

NAMES = ("mean intensity", "detail", "per-pixel z-map", "PCA residual")
MAP_NAMES = ("intensity", "signed z-map", "PCA residual map")
# As many as the usual comparisons take; more would reconstruct anomalies too.
COMPONENTS = 30
# PCA needs no more images than this to find 30 directions, and they fit in memory.
PCA_IMAGES = 2000
# A pixel that hardly varies among normals must not turn noise into an anomaly: a tenth of the typical deviation.
LEAST_DEVIATION = 0.1


class TrivialScores:
    """Distances of mean intensity and detail from the training means; mean |z| over pixels; residual of 30 components.

    Detail is the mean step between neighbouring pixels: what hazy or noisy images differ by, whatever they show.
    And their maps: the intensity itself, as bright lesions ask for no model; z where it is above the mean; the
    residual of every pixel. All work on prepared pixels ``(N, C·H·W)`` and learn from training normals only.
    """

    def fit(self, count: int, images: Callable[[np.ndarray], np.ndarray], seed: int) -> TrivialScores:
        """Learn from normals.

        Args:
            count: How many there are.
            images: Gives ``(B, C, H, W)`` for indices.
            seed: Of the choice of images for PCA, if there are many.
        """
        from sklearn.utils.extmath import randomized_svd

        chosen = np.arange(count)
        if count > PCA_IMAGES:
            chosen = np.sort(np.random.default_rng(seed).choice(count, PCA_IMAGES, replace=False))
        learned = images(chosen)
        self.detail_ = detail(learned).mean()
        flat = learned.reshape(len(chosen), -1)
        self.lowest_ = flat.min()
        self.mean_ = flat.mean(0)
        deviation = flat.std(0)
        self.deviation_ = np.maximum(deviation, max(LEAST_DEVIATION * float(np.median(deviation)), 1e-6))
        components = min(COMPONENTS, *flat.shape, max(len(chosen) - 1, 1))
        # What PCA does too, which however divides by the variance, and so by 0 where all images are equal.
        _, _, directions = randomized_svd(flat - self.mean_, components, random_state=seed)
        # In the order in which it is saved, so that a loaded model adds up in the same order.
        self.components_ = np.ascontiguousarray(directions, np.float32)
        return self

    def score(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Scores ``(B,)`` by name of images ``(B, C, H, W)``."""
        centred, residual = self._residual(images)
        values: Iterable[np.ndarray] = (
            np.abs(centred.mean(1)),
            np.abs(detail(images) - self.detail_),
            np.abs(centred / self.deviation_).mean(1),
            np.square(residual).mean(1),
        )
        return dict(zip(NAMES, values, strict=True))

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Maps ``(B, H, W)`` float32 by name of images ``(B, C, H, W)``, not negative."""
        centred, residual = self._residual(images)
        values: Iterable[np.ndarray] = (
            (images - self.lowest_).clip(min=0),
            (centred / self.deviation_).clip(min=0),
            np.square(residual),
        )
        return {
            name: array.reshape(images.shape).mean(1, dtype=np.float32)
            for name, array in zip(MAP_NAMES, values, strict=True)
        }

    def _residual(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels minus the mean, and what is left of them after the components, ``(B, C·H·W)`` each."""
        centred = images.reshape(len(images), -1) - self.mean_
        return centred, centred - (centred @ self.components_.T) @ self.components_

    def arrays(self) -> dict[str, np.ndarray]:
        """What was learned, for saving."""
        return {
            "lowest": np.array(self.lowest_),
            "detail": np.array(self.detail_),
            "mean": self.mean_,
            "deviation": self.deviation_,
            "components": self.components_,
        }

    def load_arrays(self, arrays: dict[str, np.ndarray]) -> TrivialScores:
        """Put back what was learned."""
        self.lowest_, self.detail_ = arrays["lowest"][()], arrays["detail"][()]
        self.mean_, self.deviation_ = arrays["mean"], arrays["deviation"]
        self.components_ = arrays["components"]
        return self


def detail(images: np.ndarray) -> np.ndarray:
    """Mean absolute difference between neighbouring pixels, down and across: ``(N, C, H, W)`` to ``(N,)``."""
    down, across = (np.abs(np.diff(images, axis=axis)).mean((1, 2, 3)) for axis in (2, 3))
    return np.asarray((down + across) / 2)
