"""The search: configurations are tried in folds until there are enough, and the best one is trained for good.

The protocol is that of Shvetsova et al., "Anomaly detection in medical imaging with deep perceptual autoencoders":
folds of the normals, a few known anomalies of limited kinds to rank configurations, and a final test without them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.pruners import BasePruner, MedianPruner, NopPruner

from sanoscope.cases import fingerprint
from sanoscope.cases.case import Cases
from sanoscope.console import say
from sanoscope.detector import Detector
from sanoscope.errors import DataError, TrainingError
from sanoscope.findings import Findings
from sanoscope.recipe import Recipe
from sanoscope.search_space import Space, to_plain
from sanoscope.selection import trials as kept
from sanoscope.selection.final import final_recipe, final_sides, judge_final, train_final
from sanoscope.selection.fold import SCRATCH, Folds, divide_folds, readable, stops_early
from sanoscope.selection.known import SearchCases, divide
from sanoscope.selection.loop import SearchLoop
from sanoscope.selection.page import write_search
from sanoscope.selection.parameters import space_size
from sanoscope.selection.results import CRITERIA, SearchResult
from sanoscope.selection.sampler import UntriedSampler
from sanoscope.selection.settings import SearchSettings
from sanoscope.selection.space import space_of
from sanoscope.selection.storage import open_study, require_same

# Trials that are carried out whole before any is pruned.
WHOLE_TRIALS = 5
SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class Outcome:
    """What a search leaves.

    Attributes:
        result: All trials.
        detector: The best configuration, trained on all training normals; None for a worker.
        findings: Of the final test; None for a worker, and where it has not both labels.
        page: The HTML page of the search; None for a worker.
    """

    result: SearchResult
    detector: Detector | None = None
    findings: Findings | None = None
    page: Path | None = None


def search(
    recipe: Recipe,
    cases: Cases,
    out: Path,
    settings: SearchSettings | None = None,
    *,
    space: Space | None = None,
    fixed: Collection[str] = (),
) -> Outcome:
    """Search for the best options of a recipe, or go on with a search.

    Args:
        recipe: With its options set; what is not searched stays so.
        cases: On their sides, as ``load_cases`` gives them.
        out: Folder of the search: new, or of the same one. ``model``, ``findings`` and the ranking are written there.
        settings: How; None takes the defaults.
        space: Takes the place of the recipe's search space.
        fixed: Options that are not searched, though the space has them.

    Raises:
        OptionError: If a setting, the space or the storage cannot be used.
        DataError: If the data have no anomaly to be known, or too few subjects for the folds.
        ModelError: If ``out`` or the storage has a search with other settings.
        TrainingError: If no configuration can be trained.
        KeyboardInterrupt: With all that is done in the storage; the same call goes on.
    """
    settings = settings or SearchSettings()
    settings.check()
    space = space_of(recipe, space, fixed)
    _require_free(out)
    read, unreadable = readable(recipe, cases)
    divided = _divide(read, settings)
    folds = divide_folds(divided, settings.folds, settings.seed, settings.by, settings.oracle)
    common = _common(recipe, cases, divided, space, settings)
    _claim(out, common)
    study = open_study(
        settings.storage or f"sqlite:///{out.absolute() / 'search.db'}",
        settings.study or f"{recipe.name} on {Path(cases.source).name}",
        common,
        kept.put_back,
    )
    study.sampler, study.pruner = UntriedSampler(space, settings.seed), _pruner(settings.pruner)
    total = int(min(settings.trials, space_size(space)))
    SearchLoop(recipe, folds, space, settings, total, study, out).carry_out()
    result = SearchResult(
        recipe=recipe.name,
        criterion=settings.criterion,
        trials=kept.as_trials(study, space, settings.folds, recipe.changes),
        kinds=divided.kinds,
        folds=settings.folds,
        data=cases.source,
        notes=(*unreadable, *divided.notes, *_notes(settings, total, folds)),
        description=_numbers(divided, folds),
    )
    return Outcome(result) if settings.worker else _finish(result, recipe, divided, settings, out)


def _finish(result: SearchResult, recipe: Recipe, divided: SearchCases, settings: SearchSettings, out: Path) -> Outcome:
    """Train and judge the best configuration, and write what the search has found."""
    if not result.ranked:
        reasons = [trial.reason for trial in result.trials if trial.reason]
        raise TrainingError(
            f"none of {len(result.trials)} configurations could be trained; the first: {', '.join(reasons[:1])}"
        )
    best = result.ranked[0]
    chosen, notes = final_recipe(recipe, best), [*result.notes]
    if stops_early(recipe.with_options(best.options)):
        notes.append(
            f"the final training has {chosen['training.max_iterations']} iterations, the mean over folds of when the "
            "validation loss was least; it is not stopped early"
        )
    if elsewhere := sum(trial.state == "running" for trial in result.trials):
        notes.append(f"trials still being carried out elsewhere: {elsewhere}")
    else:
        for left_by_killed in out.glob(f"{SCRATCH}*"):
            shutil.rmtree(left_by_killed, ignore_errors=True)
    result = replace(result, notes=tuple(notes), fitted=chosen.changes)
    say(f"the best is trial {best.number}; it is trained on all training normals")
    cases, validation = final_sides(divided, settings.criterion)
    detector = train_final(chosen, cases, validation, out, settings.seed, settings.device)
    findings = judge_final(detector, cases, divided.notes, out, settings.maps)
    return Outcome(result, detector, findings, write_search(result, out))


def _divide(cases: Cases, settings: SearchSettings) -> SearchCases:
    """Without known anomalies where there are none and none are needed."""
    needed = settings.criterion == CRITERIA[0] or any(case.label == 1 for case in cases)
    return divide(cases, settings.known_kinds, settings.known if needed else 0, settings.seed)


def _pruner(name: str) -> BasePruner:
    return MedianPruner(n_startup_trials=WHOLE_TRIALS) if name == "median" else NopPruner()


def _common(
    recipe: Recipe, cases: Cases, divided: SearchCases, space: Space, settings: SearchSettings
) -> dict[str, Any]:
    """What all processes of a search must have in common."""
    searched = {option for name, dimension in space.items() for option in dimension.option_names(name)}
    return {
        "recipe": recipe.name,
        "options": {
            # Files may lie elsewhere on another machine.
            name: Path(value).name if value and recipe.options[name].kind is str else value
            for name, value in recipe.values.items()
            if name not in searched
        },
        "search space": to_plain(space),
        "criterion": settings.criterion,
        "folds": settings.folds,
        "split by": settings.by,
        "seed": settings.seed,
        "data": fingerprint(cases)["sha256"],
        "known kinds": sorted(set(divided.kinds)),
        "known anomalies": [case.name for case in divided.known],
        "oracle": settings.oracle,
    }


def _require_free(out: Path) -> None:
    """Refuse a folder that holds something else.

    Raises:
        DataError: If there is something in it, but no search.
    """
    files = [file.name for file in out.iterdir()] if out.is_dir() else [""] if out.exists() else []
    # Hidden ones may be the settings that another process is about to put in place.
    if SETTINGS_FILE not in files and not all(name.startswith(".") for name in files):
        raise DataError(f"{out}: exists already and holds no search; choose another --out")


def _claim(out: Path, common: dict[str, Any]) -> None:
    """Begin the folder of a search, or make sure that it is of the same one.

    Raises:
        ModelError: If it is of a search with other settings.
    """
    file = out / SETTINGS_FILE
    if file.exists():
        require_same(json.loads(file.read_text()), common, str(out))
        return
    out.mkdir(parents=True, exist_ok=True)
    unfinished = out / f".{SETTINGS_FILE}.{os.getpid()}"
    unfinished.write_text(json.dumps(common, indent=1))
    unfinished.replace(file)


def _notes(settings: SearchSettings, total: int, folds: Folds) -> list[str]:
    notes = []
    if total < settings.trials:
        notes.append(f"the search space has no more than {total} configurations")
    if folds.test is not None:
        notes.append(
            "each configuration's AUROC on the final test was taken in every fold, to show afterwards what a choice is "
            "worth (oracle); nothing was chosen by it"
        )
    return notes


def _numbers(divided: SearchCases, folds: Folds) -> dict[str, int]:
    """How many images there are of which use."""
    first, test = folds.normals[0], divided.cases.test
    return {
        "normal images of the search": len(first),
        "held out of them in a fold": len(first.test),
        "known anomalies": len(divided.known),
        "normal images of the final test": test.labels.count(0),
        "abnormal images of the final test": test.labels.count(1),
    }
