"""Scores of held-out cases, and the decisions that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.decision import Decision, DecisionPolicy, percentile_curve
from sanoscope.errors import OptionError
from sanoscope.heatmaps import map_base, map_scale
from sanoscope.recipe import Recipe
from sanoscope.scoring.postprocessing import Postprocessing

if TYPE_CHECKING:
    from sanoscope.preparation.pictures import Pictures
    from sanoscope.scoring.inference import Inference
    from sanoscope.scoring.scored import Scoring

# Options that say what a score means, and those among them that do not.
OPTIONS = ("scoring.", "postprocessing.")
MAP = "scoring.map"
# Of so many training normals the maps are looked at for thresholds: percentiles of medians need no more.
MAP_IMAGES = 256
IMMATERIAL = ("scoring.score", "scoring.also", "scoring.samples_seed", "scoring.precision")


@dataclass(frozen=True)
class Calibration:
    """Scores of held-out cases, kept so that the decision can be changed without refitting.

    Attributes:
        scores: ``(M,)`` each, by name.
        labels: ``(M,)``: 0, 1, or −1 where unknown, which counts as normal.
        map_scales: For each map, see ``Heatmaps.scale``.
        map_bases: For each map, see ``Heatmaps.bases``.
        map_scores: By map and name, the scores that would be theirs if another map decided.
        map_curves: For each map, percentiles of what training normals have, as ``percentile_curve`` gives them.
        description: What the cases are.
        options: The options of scoring that were in force.
    """

    scores: Mapping[str, np.ndarray]
    labels: np.ndarray
    map_scales: Mapping[str, float]
    map_bases: Mapping[str, float]
    map_curves: Mapping[str, np.ndarray]
    map_scores: Mapping[str, Mapping[str, np.ndarray]]
    description: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def scores_of(self, recipe: Recipe) -> dict[str, np.ndarray]:
        """The scores as they are when the map decides that a recipe names."""
        return {**self.scores, **self.map_scores.get(recipe.values.get(MAP, ""), {})}

    def knows(self, name: str, recipe: Recipe) -> bool:
        """Whether the scores hold with the recipe's value of an option of scoring."""
        return (
            name in IMMATERIAL or recipe[name] == self.options[name] or (name == MAP and recipe[MAP] in self.map_scores)
        )

    def holds(self, recipe: Recipe) -> bool:
        """Whether all options of scoring and post-processing mean what they did."""
        return all(self.knows(name, recipe) for name in self.options)


def build_scoring(recipe: Recipe, learned: Mapping[str, np.ndarray]) -> Scoring:
    """The scoring of a recipe with what it has learned."""
    scoring: Scoring = recipe.build("scoring")
    scoring.learned = dict(learned)
    return scoring


def build_postprocessing(recipe: Recipe) -> Postprocessing:
    """The post-processing of a recipe; none where it has no maps.

    Raises:
        OptionError: If it filters over neighbouring slices and each slice is cropped by itself.
    """
    if "postprocessing" not in recipe.parts:
        return Postprocessing()
    postprocessing: Postprocessing = recipe.build("postprocessing")
    if postprocessing.volumetric and recipe["preparation.crop"] == "foreground":
        raise OptionError(
            "postprocessing.median=3d needs slices on one grid, and preparation.crop=foreground crops each by itself; "
            "set the median to 2d, or crop otherwise when fitting"
        )
    return postprocessing


def calibrate(recipe: Recipe, inference: Inference, held_out: Pictures, train: Pictures) -> Calibration:
    """Score held-out cases, and look at the maps of training normals.

    Args:
        recipe: That the network was trained by.
        inference: The trained network with the recipe's scoring.
        held_out: Pictures that were kept from training; some may be abnormal.
        train: Pictures of training normals.
    """
    result = inference.run(held_out, all_maps=True)
    labels = np.array([-1 if case.label is None else case.label for case in held_out.cases], np.int64)
    normal_maps = inference.run(train.evenly(MAP_IMAGES), all_maps=True).maps if result.maps else {}
    return Calibration(
        scores=result.scores,
        labels=labels,
        map_scales={name: map_scale(maps[labels != 1]) for name, maps in result.maps.items()},
        map_bases={name: map_base(maps[labels != 1]) for name, maps in result.maps.items()},
        map_scores={name: result.map_scores[name] for name in inference.scoring.map_names[1:]},
        map_curves={name: percentile_curve(maps) for name, maps in normal_maps.items()},
        description=f"{len(held_out)} held-out images of {Path(held_out.cases.source).name}",
        options={name: value for name, value in recipe.values.items() if name.startswith(OPTIONS)},
    )


def fit_decisions(recipe: Recipe, calibration: Calibration) -> dict[str, Decision]:
    """A decision for each score.

    Raises:
        OptionError: If the recipe asks for a score that the held-out cases do not have.
    """
    if lacking := [name for name in build_scoring(recipe, {}).names if name not in calibration.scores]:
        raise OptionError(
            f"score '{lacking[0]}' was not computed when the model was fitted, so it has no threshold; "
            "fit with scoring.also=all"
        )
    policy: DecisionPolicy = recipe.build("decision")
    return {
        name: policy.for_images(scores, calibration.labels, calibration.description)
        for name, scores in calibration.scores_of(recipe).items()
    }


def map_thresholds(recipe: Recipe, calibration: Calibration) -> dict[str, dict[str, float]]:
    """For each map, its thresholds by what they are called; of maps that now mean something else, fixed ones alone."""
    policy: DecisionPolicy = recipe.build("decision")
    holds = calibration.holds(recipe)
    return {name: policy.for_pixels(curve if holds else None) for name, curve in calibration.map_curves.items()}


def scoring_notes(recipe: Recipe, calibration: Calibration) -> list[str]:
    """Where scores now mean something else than those that the threshold was fitted on."""
    return [
        f"scored with {name}={recipe[name]}, but the threshold was fitted with {name}={value}: "
        "calibrate or fit with the same for decisions, percentiles of maps and p-values that hold"
        for name, value in calibration.options.items()
        if not calibration.knows(name, recipe)
    ]
