"""What happens beside the steps: history, checkpoints to resume from, and lines where there is no terminal."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    ModelCheckpoint,
    RichProgressBar,
    WeightAveraging,
)
from torch import Tensor

from sanoscope.console import say


class History(Checkpoint):
    """Every epoch's metrics, kept through interruptions and written as CSV.

    A ``Checkpoint`` in name only: Lightning calls those after the module has logged its epoch, and others before.

    Attributes:
        rows: One mapping per epoch: ``epoch`` (from 1), ``iterations`` in all until its end, ``seconds`` and the logged
            terms.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.rows: list[dict[str, float]] = []
        self._begun = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock."""
        self._begun = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's row and write the table anew."""
        metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        seconds = round(time.monotonic() - self._begun, 3)
        counted = {"epoch": trainer.current_epoch + 1, "iterations": trainer.global_step, "seconds": seconds}
        self.rows.append({**counted, **metrics})
        if self.file:
            self._write(self.file)

    def _write(self, file: Path) -> None:
        unfinished = file.with_suffix(".tmp")
        with unfinished.open("w", newline="") as stream:
            names = list(dict.fromkeys(name for row in self.rows for name in row))
            writer = csv.DictWriter(stream, names)
            writer.writeheader()
            writer.writerows(self.rows)
        unfinished.replace(file)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the rows from before the interruption."""
        self.rows = list(state_dict["rows"])


class EpochLines(Checkpoint):
    """One plain line for an epoch, at most every few seconds.

    Args:
        history: Of the same training.
    """

    # Often enough to see that it goes on, seldom enough to keep a log readable.
    SECONDS = 10.0

    def __init__(self, history: History) -> None:
        self.history = history
        self._last = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where the training is."""
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if not self.history.rows or (time.monotonic() - self._last < self.SECONDS and not last):
            return
        self._last = time.monotonic()
        row = self.history.rows[-1]
        terms = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if "/" in name)
        say(f"epoch {row['epoch']:.0f} of {trainer.max_epochs}: {terms} ({row['seconds']:.1f} s)")


class EpochBar(RichProgressBar):
    """Lightning's bar for a terminal, on stderr and with epochs counted from 1."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=10, console_kwargs={"stderr": True})

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Nothing beside the bar: losses are known after the epoch, and ``EpochLines`` tells them."""
        return {}

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1} of {self.trainer.max_epochs}"


class ResumePoint(Checkpoint):
    """The whole state after an epoch, written now and then; an interrupted training goes on from it.

    Args:
        file: Replaced atomically each time.
        seconds: Least time between two writings, as the optimiser's state can be large.
    """

    def __init__(self, file: Path, seconds: float) -> None:
        self.file = file
        self.seconds = seconds
        self._last = float("-inf")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the state, if it is time or the last epoch."""
        if trainer.should_stop:  # early; resumed from here it would go on past its end
            return
        last = trainer.current_epoch + 1 == trainer.max_epochs
        due = last or time.monotonic() - self._last >= self.seconds
        if trainer.strategy.broadcast(due):  # as all processes take part in it, their clocks must not decide
            trainer.save_checkpoint(self.file)
            self._last = time.monotonic()


class LastIteration(Callback):
    """Ends a training after some iterations, in the midst of an epoch if need be; its validation still takes place.

    Args:
        number: Of iterations, over all epochs.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    def on_train_batch_end(self, trainer: Trainer, *unused: Any) -> None:
        """Stop, if it was the last."""
        if trainer.global_step >= self.number:
            trainer.should_stop = True


class _Late:
    """A callback that begins to look at validation at some iteration.

    Args:
        first: That iteration.
        others: See the callback.
    """

    def __init__(self, first: int, *others: Any, **named: Any) -> None:
        super().__init__(*others, **named)
        self.first = first

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """As the callback does, unless it is too early."""
        if trainer.global_step > self.first or not self.first:
            super().on_validation_end(trainer, pl_module)  # type: ignore[misc]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """As the callback does, unless it is too early."""
        if trainer.global_step > self.first or not self.first:
            super().on_train_epoch_end(trainer, pl_module)  # type: ignore[misc]


class LateStopping(_Late, EarlyStopping):
    """Early stopping."""


class LateCheckpoint(_Late, ModelCheckpoint):
    """The best weights."""


class AveragedWeights(WeightAveraging):
    """The exponential moving average of weights and batch-norm statistics, which takes their place at the end.

    The decay begins at a tenth and rises with the iterations, so that the first weights are forgotten soon.

    Args:
        decay: The share of the average that an iteration leaves as it was, at most.
        device: Where the network is trained.
    """

    def __init__(self, decay: float, device: str) -> None:
        def averaged(average: Tensor, now: Tensor, iterations: Tensor | int) -> Tensor:
            if not average.is_floating_point():  # a count
                return now
            return torch.lerp(now, average, min(decay, float((1 + iterations) / (10 + iterations))))

        super().__init__(device=device, avg_fn=averaged)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the average also where a checkpoint was at the end of the training already, so that none took place."""
        self._copy_average_to_current(pl_module)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are either whole or absent, and are read without running any code of theirs."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write beside the file, then replace it."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        with unfinished.open("wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
