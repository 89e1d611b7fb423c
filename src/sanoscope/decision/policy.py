"""What a recipe says of its thresholds, for images and for maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sanoscope.decision.checks import Labels
from sanoscope.decision.decision import Decision, fit_decision
from sanoscope.decision.pixels import PERCENTILES
from sanoscope.errors import OptionError


@dataclass(frozen=True)
class DecisionPolicy:
    """How thresholds are found.

    Attributes:
        rule: See ``fit_decision``.
        target_false_positive_rate: See ``fit_decision``.
        map_percentiles: Whole percentiles of normal images' maps that are thresholds for pixels.
        map_threshold: A fixed threshold for pixels, for maps with a scale of their own; 0 is none.
    """

    rule: str
    target_false_positive_rate: float
    map_percentiles: tuple[float, ...]
    map_threshold: float

    def __post_init__(self) -> None:
        if unknown := [q for q in self.map_percentiles if q not in PERCENTILES]:
            raise OptionError(f"decision.map_percentiles takes whole numbers from 0 to 100, not {unknown[0]:g}")

    def for_images(self, scores: ArrayLike, labels: Labels, description: str) -> Decision:
        """The decision on a score of images, as ``fit_decision``."""
        return fit_decision(scores, labels, self.rule, self.target_false_positive_rate, description)

    def for_pixels(self, curve: np.ndarray | None) -> dict[str, float]:
        """Thresholds for a map by name, such as ``p95``.

        Args:
            curve: Of the map, as ``percentile_curve`` gives it; None where it is unknown leaves the fixed one.
        """
        fixed = {f"{self.map_threshold:g}": self.map_threshold} if self.map_threshold else {}
        if curve is None:
            return fixed
        return fixed | {f"p{q:g}": float(curve[int(q)]) for q in self.map_percentiles}
