"""Zhou, Deng, Wu: Unsupervised anomaly localization using VAE and beta-VAE (the ensemble of pixel predictors).

A logistic regression over several predictors, fitted on the pixels of a few labelled subjects. It is no longer
unsupervised, and what it reaches on the subjects that it was fitted on is optimistic.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sanoscope.errors import DataError

# Three weights need no more; fitting to these takes seconds.
PIXELS = 200_000


def split_labelled(
    subjects: Sequence[str], positive: Sequence[bool], fraction: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Which images the ensemble is fitted on: those of some subjects, the other subjects being for evaluation.

    At least one subject with positive pixels is on either side.

    Args:
        subjects: Of each image, ``(N,)``.
        positive: Whether an image has positive pixels, ``(N,)``.
        fraction: Share of the subjects to fit on, rounded, within what is possible.
        seed: Of the choice.

    Returns:
        ``(N,)`` bool, true for the images to fit on.

    Raises:
        DataError: If fewer than two subjects have positive pixels.
    """
    names, rows = np.unique(np.asarray(subjects), return_inverse=True)
    carriers = np.unique(rows[np.asarray(positive, bool)])
    if len(carriers) < 2:
        raise DataError(
            f"{len(carriers)} of {len(names)} subjects have positive pixels; an ensemble needs 2, "
            "one to be fitted on and one to be evaluated on"
        )
    random = np.random.default_rng(seed)
    first, last = random.choice(carriers, 2, replace=False)
    others = random.permutation(np.setdiff1d(np.arange(len(names)), [first, last]))
    order = np.array([first, *others, last])
    count = min(max(round(fraction * len(names)), 1), len(names) - 1)
    return np.isin(rows, order[:count])


def fit_ensemble(
    features: np.ndarray, truth: np.ndarray, standardise: bool = False, pixels: int = PIXELS, seed: int = 0
) -> np.ndarray:
    """Weights of the predictors in the logarithm of the odds that a pixel is abnormal.

    ``features @ weights`` ranks pixels as the logistic regression's probability does.

    Args:
        features: A predictor a column, ``(P, K)``.
        truth: Whether a pixel is abnormal, ``(P,)`` bool.
        standardise: Fit to columns of unit variance, so that the regularisation treats all alike; the paper's
            weights of very different size say that it did not. The weights are for the columns as given either way.
        pixels: The most pixels to fit to; of more, so many are drawn.
        seed: Of that draw.

    Returns:
        Weights ``(K,)``, of any sign.

    Raises:
        DataError: If all pixels are of one class.
    """
    from sklearn.linear_model import LogisticRegression

    if len(truth) > pixels:
        drawn = np.random.default_rng(seed).choice(len(truth), pixels, replace=False, shuffle=False)
        features, truth = features[drawn], truth[drawn]
    truth = np.asarray(truth, bool)
    if truth.all() or not truth.any():
        raise DataError(
            f"all {len(truth)} pixels to fit the ensemble on are {'abnormal' if truth.any() else 'normal'}; "
            "give subjects with both"
        )
    features = features.astype(np.float64)
    spread = features.std(0) if standardise else np.ones(features.shape[1])
    spread = np.where(spread > 0, spread, 1.0)  # a predictor that is constant says nothing
    # Newton's method does not mind that predictors differ by orders of magnitude.
    regression = LogisticRegression(solver="newton-cholesky", max_iter=1000)
    weights: np.ndarray = regression.fit(features / spread, truth).coef_[0] / spread
    return weights
