"""Weights of losses by the sizes of their gradients: Tuluptceva et al.: Perceptual image anomaly detection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor


class GradientBalance:
    """The weight by which a loss moves a network about as much as another one does.

    Now and then the norms of both losses' gradients are recorded for each layer. The weight is the median, over layers
    and records, of the ratio of the norms after exponential smoothing, which begins at the oldest record.

    Args:
        records: How many of the last records count.
        smoothing: Share of a record in the smoothed norm; 1 does not smooth.

    Attributes:
        weight: 1 until something is recorded.
    """

    def __init__(self, records: int, smoothing: float) -> None:
        self.records = records
        self.smoothing = smoothing
        self.weight = 1.0
        self._weighted: list[list[float]] = []  # one row a record, one column a layer
        self._other: list[list[float]] = []

    def record(self, weighted: Sequence[Tensor], other: Sequence[Tensor]) -> None:
        """Take down the gradients of one step and set the weight anew.

        Args:
            weighted: Of the loss that is to be weighted, by each layer's weights.
            other: Of the loss that it is to be as large as.
        """
        for kept, gradients in ((self._weighted, weighted), (self._other, other)):
            kept.append(torch.stack([gradient.float().norm() for gradient in gradients]).tolist())
            del kept[: -self.records]
        above, below = self._smoothed(self._other), self._smoothed(self._weighted)
        # A layer that the weighted loss does not reach says nothing of its weight.
        if (reached := below > 0).any():
            self.weight = float(np.median(above[reached] / below[reached]))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"weight": self.weight, "weighted": [*self._weighted], "other": [*self._other]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept."""
        self.weight, self._weighted, self._other = state["weight"], state["weighted"], state["other"]

    def _smoothed(self, norms: list[list[float]]) -> np.ndarray:
        return pd.DataFrame(norms).ewm(alpha=self.smoothing, adjust=False).mean().to_numpy()
