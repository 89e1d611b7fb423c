"""The trials that one process carries out, of a search that others may share."""

from __future__ import annotations

import time
from pathlib import Path

import optuna
import torch
from optuna.trial import FrozenTrial, TrialState

from sanoscope.console import say
from sanoscope.errors import SanoscopeError, TrainingError
from sanoscope.recipe import Recipe
from sanoscope.search_space import Space
from sanoscope.selection import trials as kept
from sanoscope.selection.fold import Folds, run_fold
from sanoscope.selection.parameters import options_of, suggested
from sanoscope.selection.progress import Progress
from sanoscope.selection.ranking import fold_value
from sanoscope.selection.settings import SearchSettings

# How often a process looks whether the others are done.
POLL_SECONDS = 1.0
# What is the configuration's fault, so that the search goes on without it.
FAILURES = (SanoscopeError, torch.OutOfMemoryError)


class SearchLoop:
    """Trials of one process, of a search that others may share.

    Args:
        recipe: With its options set.
        folds: What configurations are trained and judged on.
        space: What is searched.
        settings: How.
        total: Trials over all processes.
        study: In its storage.
        out: Folder of the search.
    """

    def __init__(
        self,
        recipe: Recipe,
        folds: Folds,
        space: Space,
        settings: SearchSettings,
        total: int,
        study: optuna.Study,
        out: Path,
    ) -> None:
        self.recipe, self.folds, self.space, self.settings = recipe, folds, space, settings
        self.total, self.study, self.out = total, study, out
        self.progress = Progress(space, settings.criterion, total)

    def carry_out(self) -> None:
        """Try configurations until there are enough, then wait for those of other processes."""
        kept.take_from_dead(self.study)
        self.progress.begin(kept.counted(self.study))
        until: float | None = None
        while True:
            kept.take_from_dead(self.study)
            trials = kept.counted(self.study)
            states = {trial.state for trial in trials}
            if len(trials) < self.total or TrialState.WAITING in states:
                self._carry_out_one()
                until = None
            elif self.settings.worker or TrialState.RUNNING not in states:
                return
            else:
                until = until or time.monotonic() + self.progress.wait()
                if time.monotonic() > until:
                    return
                time.sleep(POLL_SECONDS)

    def _carry_out_one(self) -> None:
        try:
            self.study.optimize(self._try, n_trials=1, catch=(*FAILURES, _OneTooManyError), callbacks=[self._ended])
        except optuna.exceptions.UpdateFinishedTrialError:
            say("a trial gave no sign of life for so long that another process has taken it up")

    def _ended(self, study: optuna.Study, trial: FrozenTrial) -> None:
        if kept.counts(trial):
            self.progress.ended(trial, kept.counted(study))

    def _try(self, trial: optuna.Trial) -> float:
        """The criterion's mean over folds."""
        trial.set_user_attr(kept.PROCESS, kept.this_process())
        earlier = [other for other in kept.counted(self.study) if other.number < trial.number]
        if len(earlier) >= self.total:
            raise _OneTooManyError
        try:
            return self._mean_over_folds(trial)
        except FAILURES as error:
            trial.set_user_attr(kept.REASON, str(error).partition("\n")[0])
            raise
        except KeyboardInterrupt:
            kept.put_back(self.study, self.study.get_trials(deepcopy=False)[trial.number])
            raise

    def _mean_over_folds(self, trial: optuna.Trial) -> float:
        params = suggested(trial, self.space)
        recipe = self.recipe.with_options(options_of(self.space, params))
        done = kept.finished_folds(self.study, params, self.settings.folds)
        values: list[float] = []
        for number in range(self.settings.folds):
            result = done.get(number) or run_fold(
                recipe, self.folds, number, self.settings.seed, self.settings.device, self.out
            )
            kept.keep_fold(trial, number, result)
            values.append(fold_value(result, self.settings.criterion))
            mean = sum(values) / len(values)
            if mean != mean:
                raise TrainingError(f"the training has no {self.settings.criterion}, so it cannot be ranked by it")
            trial.report(mean, number)
            if number + 1 < self.settings.folds and trial.should_prune():
                reason = f"after {number + 1} of {self.settings.folds} folds, with {mean:.4g} on average"
                trial.set_user_attr(kept.REASON, reason)
                raise optuna.TrialPruned(reason)
        return mean


class _OneTooManyError(Exception):
    """Several processes began what would have been the last trial at once."""
