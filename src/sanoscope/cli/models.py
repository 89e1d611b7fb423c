"""What verbs do with a model alike: load it with other options, and say where its threshold is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sanoscope.cli.options import recipe_options
from sanoscope.console import say

if TYPE_CHECKING:
    from sanoscope.detector import Detector


def load_adjusted(
    model: Path, device: str, preset: str | None, config: Path | None, assignments: list[str] | None
) -> Detector:
    """A model with the options of a preset, of a file and of the command line, the later ones before the earlier."""
    from sanoscope.detector import Detector

    detector = Detector.load(model, device=device)
    if preset:
        detector.adjust(detector.recipe.preset_options(preset))
    return detector.adjust(recipe_options(config, assignments))


def say_threshold(detector: Detector) -> None:
    """Its value, on which score, and where it comes from."""
    score = detector.recipe["scoring.score"]
    decision = detector.decisions_[score]
    normal, abnormal = decision.fitted_on["normal"], decision.fitted_on["abnormal"]
    line = f"{decision.threshold:.5g} on {score}, by {decision.rule}; held out: {normal} normal, {abnormal} abnormal"
    say(f"threshold: {line}; {decision.fitted_on['note']}" if "note" in decision.fitted_on else f"threshold: {line}")
