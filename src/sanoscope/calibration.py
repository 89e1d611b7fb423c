"""Scores of held-out cases, and the decisions that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.decision import Decision
from sanoscope.errors import OptionError
from sanoscope.recipe import Recipe

if TYPE_CHECKING:
    from sanoscope.scoring.reconstruction import ReconstructionScoring

# Options of scoring that do not change what a score means.
IMMATERIAL = ("scoring.score", "scoring.also", "scoring.samples_seed", "scoring.precision")


@dataclass(frozen=True)
class Calibration:
    """Scores of held-out cases, kept so that the decision can be changed without refitting.

    Attributes:
        scores: ``(M,)`` each, by name.
        labels: ``(M,)``: 0, 1, or −1 where unknown, which counts as normal.
        map_scale: See ``Heatmaps.scale``.
        description: What the cases are.
        options: The options of scoring that were in force.
    """

    scores: Mapping[str, np.ndarray]
    labels: np.ndarray
    map_scale: float
    description: str
    options: Mapping[str, Any] = field(default_factory=dict)


def build_scoring(recipe: Recipe) -> ReconstructionScoring:
    """The scoring of a recipe, with the KL weight that its objective was trained with."""
    scoring: ReconstructionScoring = recipe.build("scoring", beta=recipe["objective.beta"])
    return scoring


def fit_decisions(recipe: Recipe, calibration: Calibration) -> dict[str, Decision]:
    """A decision for each score.

    Raises:
        OptionError: If the recipe asks for a score that the held-out cases do not have.
    """
    if lacking := [name for name in build_scoring(recipe).names if name not in calibration.scores]:
        raise OptionError(
            f"score '{lacking[0]}' was not computed when the model was fitted, so it has no threshold; "
            "fit with scoring.also=all"
        )
    fitted_on = {"labels": calibration.labels, "description": calibration.description}
    return {name: recipe.build("decision", scores=scores, **fitted_on) for name, scores in calibration.scores.items()}


def scoring_notes(recipe: Recipe, calibration: Calibration) -> list[str]:
    """Where scores now mean something else than those that the threshold was fitted on."""
    return [
        f"scored with {name}={recipe[name]}, but the threshold was fitted with {name}={value}: "
        "fit with the same for decisions and p-values that hold"
        for name, value in calibration.options.items()
        if name not in IMMATERIAL and recipe[name] != value
    ]
