"""What a user sees of a running search: a line a trial."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from sanoscope.console import say
from sanoscope.search_space import Space
from sanoscope.selection.parameters import options_of
from sanoscope.selection.results import CRITERIA
from sanoscope.selection.trials import REASON, places

DONE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
# Another process's trial is waited for this many times as long as the longest has taken, and a minute at least.
PATIENCE_TRIALS, LEAST_PATIENCE_SECONDS = 3, 60.0


class Progress:
    """Lines on the trials of one process.

    Args:
        space: What is searched.
        criterion: One of ``CRITERIA``.
        total: Trials over all processes.
    """

    def __init__(self, space: Space, criterion: str, total: int) -> None:
        self.space, self.total = space, total
        self.name = "AUROC" if criterion == CRITERIA[0] else "validation loss"
        self.sign = -1 if criterion == CRITERIA[0] else 1
        self.seconds: list[float] = []

    def begin(self, trials: Sequence[FrozenTrial]) -> None:
        """Say what is done already."""
        if done := sum(trial.state in DONE for trial in trials):
            say(f"going on: {done} of {self.total} trials are done")

    def ended(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> None:
        """Say how one of this process's trials ended, and what is left."""
        seconds = trial.duration.total_seconds() if trial.duration else 0.0
        self.seconds.append(seconds)
        options = options_of(self.space, trial.params)
        settings = ", ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in options.items()
        )
        place = places(trials)
        parts = [f"trial {place[trial.number]}: {settings}: {self._end(trial)} ({seconds:.0f} s)"]
        complete = [one for one in trials if one.state == TrialState.COMPLETE]
        if complete:
            best = min(complete, key=lambda one: (self.sign * (one.value or 0.0), place[one.number]))
            parts.append(f"best {best.value:.4g} (trial {place[best.number]})")
        if left := self.total - sum(one.state in DONE for one in trials):
            parts.append(f"left: {left}, about {_duration(left * sum(self.seconds) / len(self.seconds))}")
        say("; ".join(parts))

    def wait(self) -> float:
        """Say that other processes have trials to end, and for how many seconds they are waited for."""
        say("waiting for the trials of other processes")
        return max(PATIENCE_TRIALS * max(self.seconds, default=0.0), LEAST_PATIENCE_SECONDS)

    def _end(self, trial: FrozenTrial) -> str:
        if trial.state == TrialState.COMPLETE:
            return f"{self.name} {trial.value:.4g}"
        verb = "pruned" if trial.state == TrialState.PRUNED else "failed:"
        return f"{verb} {trial.user_attrs.get(REASON, '')}"


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
