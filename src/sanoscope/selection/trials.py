"""The trials of a shared search: which count, which folds are done, and whose process is gone."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sanoscope.search_space import Space
from sanoscope.selection.parameters import options_of
from sanoscope.selection.results import FoldResult, Trial

# What a trial keeps: each fold's result, why it ended without a value, and which process carries it out.
REASON, PROCESS, FIRST = "reason", "process", "first"
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is one of those asked for.

    One that ended without a value or a reason was given up with its process, and another has taken its place; or it was
    one too many, as several processes began their last at once.
    """
    return trial.state != TrialState.FAIL or REASON in trial.user_attrs


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count, in order."""
    return [trial for trial in study.get_trials(deepcopy=False) if counts(trial)]


def places(trials: Iterable[FrozenTrial]) -> dict[int, int]:
    """By the number that its storage gives a trial, its place among those that count, in the order of their beginning.

    A trial that was given up and taken up again has the place of its beginning.
    """
    counting = sorted(filter(counts, trials), key=_first_number)
    return {trial.number: place for place, trial in enumerate(counting)}


def _first_number(trial: FrozenTrial) -> int:
    return int(trial.user_attrs.get(FIRST, trial.number))


def keep_fold(trial: optuna.Trial, number: int, result: FoldResult) -> None:
    """Put a fold's result into the storage."""
    trial.set_user_attr(f"fold {number}", json.dumps(result.to_json()))


def folds_of(trial: FrozenTrial, folds: int) -> dict[int, FoldResult]:
    """The folds of a trial that are done, by number."""
    stored = {number: trial.user_attrs.get(f"fold {number}") for number in range(folds)}
    return {number: FoldResult.from_json(json.loads(text)) for number, text in stored.items() if text}


def finished_folds(study: optuna.Study, params: Mapping[str, Any], folds: int) -> dict[int, FoldResult]:
    """The folds of a configuration that any trial has done."""
    done: dict[int, FoldResult] = {}
    for trial in study.get_trials(deepcopy=False):
        if trial.params == params:
            done |= folds_of(trial, folds)
    return done


def put_back(study: optuna.Study, trial: FrozenTrial) -> None:
    """Let a configuration be taken up again, by whichever process comes first, with the folds that are done."""
    kept = {name: value for name, value in trial.user_attrs.items() if name.startswith("fold ")}
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=kept | {FIRST: _first_number(trial)},
        )
    )


def take_from_dead(study: optuna.Study) -> None:
    """Put back the trials of processes of this machine that are gone, and of others that give no sign of life."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        process = trial.user_attrs.get(PROCESS)
        if process is None or process["machine"] != _machine() or _lives(process["pid"]):
            continue
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):
            study.tell(trial.number, state=TrialState.FAIL)  # raises where another process was faster
            put_back(study, trial)


def this_process() -> dict[str, Any]:
    """Who carries out a trial, to see later whether it still does."""
    return {"machine": _machine(), "pid": os.getpid()}


def _machine() -> str:
    """A name under which process numbers are known: the host's, and that of the container in it."""
    space = Path("/proc/self/ns/pid")
    return f"{socket.gethostname()} {space.readlink()}" if space.exists() else socket.gethostname()


def _lives(pid: int) -> bool:
    if os.name != "posix":  # where asking would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def as_trials(
    study: optuna.Study, space: Space, folds: int, common: Mapping[str, Any] = MappingProxyType({})
) -> tuple[Trial, ...]:
    """The trials that count, as plain values, numbered by their places.

    Args:
        study: The search.
        space: What it goes over.
        folds: How many a trial has.
        common: Options that all trials have, beside the recipe's defaults.
    """
    trials = counted(study)
    place = places(trials)
    plain = (
        Trial(
            number=place[trial.number],
            state=STATES[trial.state],
            options={**common, **options_of(space, trial.params)},
            value=trial.value if trial.state == TrialState.COMPLETE else None,
            folds=tuple(result for _, result in sorted(folds_of(trial, folds).items())),
            reason=trial.user_attrs.get(REASON, ""),
        )
        for trial in trials
    )
    return tuple(sorted(plain, key=lambda trial: trial.number))
