"""What a search ends with: its best configuration trained on all training normals, and judged on the final test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope.cases import fingerprint
from sanoscope.cases.case import Cases
from sanoscope.cases.split_record import write_split
from sanoscope.console import say
from sanoscope.detector import Detector
from sanoscope.detector_folder import CHECKSUMS_FILE, TRAINING_FOLDER
from sanoscope.findings import Findings
from sanoscope.recipe import Recipe
from sanoscope.selection.fold import EARLY_STOPPING, stops_early
from sanoscope.selection.known import SearchCases
from sanoscope.selection.results import CRITERIA, Trial

MODEL_FOLDER, FINDINGS_FOLDER, CHOICE_FILE = "model", "findings", "choice.json"


def final_recipe(recipe: Recipe, best: Trial) -> Recipe:
    """The best configuration; where folds stopped early, as long as they took on average, and to its end."""
    chosen = recipe.with_options(best.options)
    if not stops_early(chosen):
        return chosen
    iterations = max(round(np.mean([fold.iterations for fold in best.folds])), 1)
    return chosen.with_options({"training.max_iterations": iterations, EARLY_STOPPING: 0})


def final_sides(divided: SearchCases, criterion: str) -> tuple[Cases, Cases]:
    """The cases of the final model on their sides, and those that its thresholds are fitted on.

    Known anomalies are among the latter, unless the choice was to be without them.
    """
    known = {case.name for case in divided.known}
    if criterion == CRITERIA[0]:
        return divided.cases, divided.cases.where(lambda case: case.split == "validation" or case.name in known)
    cases = divided.cases.with_cases(
        replace(case, split=None) if case.name in known and case.split == "validation" else case
        for case in divided.cases
    )
    return cases, cases.validation


def train_final(recipe: Recipe, cases: Cases, validation: Cases, out: Path, seed: int, device: str) -> Detector:
    """Train on the training side and save to ``out/model``; goes on with a training that was interrupted.

    Args:
        recipe: With its options set.
        cases: On their sides.
        validation: What thresholds are fitted on.
        out: Folder of the search.
        seed: Of everything random.
        device: As for ``Detector``.

    Raises:
        SanoscopeError: See ``Detector.fit``.
    """
    model = out / MODEL_FOLDER
    data = [fingerprint(side)["sha256"] for side in (cases, validation)]
    choice = {"recipe": recipe.name, "options": recipe.values, "seed": seed, "data": data}
    if model.exists() and not _is_for(choice, out / CHOICE_FILE):
        say(f"{model}: is of another configuration, which is no longer the best; it is trained anew")
        shutil.rmtree(model)
    (out / CHOICE_FILE).write_text(json.dumps(choice, indent=1))
    if (model / CHECKSUMS_FILE).exists():
        return Detector.load(model, device=device)
    detector = Detector(recipe, seed=seed, device=device)
    detector.fit(cases.train, validation, folder=model / TRAINING_FOLDER, resume=(model / TRAINING_FOLDER).exists())
    write_split(cases, model)
    detector.save(model)
    return detector


def _is_for(choice: Mapping[str, Any], file: Path) -> bool:
    return file.exists() and json.loads(file.read_text()) == json.loads(json.dumps(choice))


def judge_final(detector: Detector, cases: Cases, notes: tuple[str, ...], out: Path, maps: bool) -> Findings | None:
    """Judge the final test and write ``out/findings``; None where it has no labels to compare with."""
    test = cases.test
    if not {0, 1} <= set(test.labels):
        return None
    findings = detector.score(test.with_cases(test, notes), maps=maps)
    shutil.rmtree(out / FINDINGS_FOLDER, ignore_errors=True)
    findings.save(out / FINDINGS_FOLDER)
    return findings
