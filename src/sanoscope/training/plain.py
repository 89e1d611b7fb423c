"""Plain training: one network, one objective, a fixed number of epochs."""

from __future__ import annotations

import copy
import math
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from sanoscope.errors import ModelError, OptionError, SanoscopeError, TrainingError
from sanoscope.networks.network import Network
from sanoscope.objectives.elbo import Terms
from sanoscope.preparation.augmentation import Augmentation
from sanoscope.preparation.intensity import Intensity
from sanoscope.preparation.pictures import Pictures
from sanoscope.training.batches import SeededBatches, Stored, batches
from sanoscope.training.callbacks import (
    AtomicCheckpointIO,
    AveragedWeights,
    EpochBar,
    EpochLines,
    History,
    LastIteration,
    LateCheckpoint,
    LateStopping,
    ResumePoint,
)
from sanoscope.training.contexts import calm, kept_in
from sanoscope.training.devices import mixed_precision
from sanoscope.training.module import TrainingModule
from sanoscope.training.parallel import lightning_settings, synchronised, take_device, together
from sanoscope.training.processes import ALONE, Processes

RESUME_FILE = "resume.ckpt"
BEST_FILE = "best"


@dataclass(frozen=True)
class Surroundings:
    """What a training needs beside the recipe.

    Attributes:
        folder: For logs and checkpoints; None keeps nothing.
        seed: Of the run.
        device: ``cpu``, ``cuda`` or ``mps``.
        resume: Go on from the checkpoint in ``folder``, if there is one.
        quiet: No progress bar and no lines.
        checkpoint_seconds: Least time between two checkpoints.
        processes: That train together.
    """

    folder: Path | None
    seed: int
    device: str
    resume: bool = False
    quiet: bool = False
    checkpoint_seconds: float = 30.0
    processes: Processes = ALONE


class PlainTraining:
    """Train an autoencoder for some epochs on normals.

    Args:
        epochs: Passes over the training normals, at most.
        max_iterations: Steps after which it ends, in the midst of an epoch if need be; 0 is after all epochs.
        batch_size: Images in a step.
        drop_last: See ``SeededBatches``.
        optimizer: ``adamw`` or ``adam``.
        learning_rate: See ``TrainingModule``.
        schedule: See ``TrainingModule``.
        weight_decay: Of the optimiser.
        fresh_optimizer_at: See ``TrainingModule``.
        early_stopping: Stop after so many epochs without a better validation loss and keep the best weights;
            0 trains to the end and keeps the last.
        average: Decay in an iteration of the moving average of weights that is validated and kept; 0 keeps the last.
        precision: ``auto`` uses bfloat16 for the arithmetic where the processor has units for it.
        compile: Compile the forward pass, which pays for long trainings.

    Raises:
        OptionError: If the average would never move.
    """

    module: type[TrainingModule] = TrainingModule
    # Validation losses up to this iteration do not count for early stopping, or for what is best.
    judged_after = 0

    def __init__(
        self,
        epochs: int,
        max_iterations: int,
        batch_size: int,
        drop_last: bool,
        optimizer: str,
        learning_rate: float,
        schedule: str,
        weight_decay: float,
        fresh_optimizer_at: int,
        early_stopping: int,
        average: float,
        precision: str,
        compile: bool = False,  # the option's natural name
    ) -> None:
        if average >= 1:
            raise OptionError(f"training.average must be below 1, such as 0.99, not {average:g}")
        self.epochs = epochs
        self.max_iterations = max_iterations
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.early_stopping = early_stopping
        self.keeps_best = bool(early_stopping)
        self.average = average
        self.precision = precision
        self.module_settings: dict[str, Any] = {
            "optimizer": optimizer,
            "learning_rate": learning_rate,
            "schedule": schedule,
            "weight_decay": weight_decay,
            "fresh_optimizer_at": fresh_optimizer_at,
            "compiled": compile,
        }

    def run(
        self,
        network: Network,
        objective: Callable[..., Terms],
        intensity: Intensity,
        train: Pictures,
        validation: Pictures | None,
        surroundings: Surroundings,
        augmentation: Augmentation | None = None,
    ) -> list[dict[str, float]]:
        """Train ``network`` in place.

        Args:
            network: As initialised.
            objective: Gives the loss.
            intensity: Fitted.
            train: Pictures of training normals.
            validation: Pictures of held-out normals, for the curves and early stopping.
            surroundings: Folder, seed, device.
            augmentation: Changes training images at random; its generator is seeded for each epoch.

        Returns:
            One row of metrics for each epoch.

        Raises:
            TrainingError: If the loss runs away, or there is too little to train on.
            KeyboardInterrupt: On Ctrl-C, with a checkpoint to resume from left behind.
        """
        if len(train) < 2:
            raise TrainingError(f"{len(train)} training image is too few; at least 2 normal images are needed")
        if self.keeps_best and not validation:
            raise TrainingError("there are no validation images to tell which weights are the best; give some")
        resume_file = surroundings.folder / RESUME_FILE if surroundings.folder else None
        written = surroundings.folder if surroundings.processes.main else None
        history = History(written / "history.csv" if written else None)
        order = SeededBatches(len(train), self.batch_size, surroundings.seed, shuffle=True, drop_last=self.drop_last)
        epochs, iterations = self._length(len(order))
        take_device(surroundings.device, surroundings.processes)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Lightning would not leave batch norms that it synchronises as they were.
        apart = synchronised(surroundings.device, surroundings.processes)
        trained = copy.deepcopy(network) if apart else network
        with calm(), torch.random.fork_rng(devices=[]), kept_in(surroundings.folder) as folder:
            module = self.new_module(
                trained,
                objective,
                intensity,
                augmentation,
                epochs=epochs,
                iterations=iterations,
                seed=surroundings.seed,
            )
            self.prepare(module, train, surroundings)
            trainer = self._trainer(surroundings, history, epochs, folder, module.uses_all)
            resumed = resume_file if surroundings.resume and resume_file and resume_file.exists() else None
            self._fit(trainer, module, batches(train, order), validation, resumed)
            if self.keeps_best and surroundings.processes.main:
                best = torch.load(folder / f"{BEST_FILE}.ckpt", weights_only=True)
                module.load_state_dict(best["state_dict"])
        if len(history.rows) > epochs:
            raise ModelError(
                f"{resumed}: has {len(history.rows)} epochs already; set training.epochs to as many or more, "
                f"not {epochs}"
            )
        if apart:
            network.load_state_dict(trained.state_dict())
        network.eval()
        return history.rows

    def module_for(self, network: Network) -> type[TrainingModule]:
        """The kind of steps that train a network."""
        return self.module

    def one_process(self, network: Network) -> str | None:
        """Why a network cannot be trained in several processes; None where it can."""
        return self.module_for(network).one_process

    def new_module(self, network: Network, *others: Any, **settings: Any) -> TrainingModule:
        """What Lightning trains, of the arguments of ``TrainingModule`` that are not the training's own."""
        return self.module_for(network)(network, *others, **settings, **self.module_settings)  # type: ignore[misc]

    def prepare(self, module: TrainingModule, train: Pictures, surroundings: Surroundings) -> None:
        """Done once before the first step, and again before those of a resumed training; here there is nothing."""

    def iterations(self, images: int) -> int:
        """How many steps a training on so many images takes, unless it stops early."""
        return self._length(len(SeededBatches(images, self.batch_size, 0, shuffle=True, drop_last=self.drop_last)))[1]

    def _length(self, steps: int) -> tuple[int, int]:
        """Epochs and iterations in all, of so many steps an epoch."""
        if not self.max_iterations or self.max_iterations >= self.epochs * steps:
            return self.epochs, self.epochs * steps
        return math.ceil(self.max_iterations / steps), self.max_iterations

    def _fit(
        self,
        trainer: Trainer,
        module: TrainingModule,
        train: DataLoader[Stored],
        validation: Pictures | None,
        resumed: Path | None,
    ) -> None:
        held_out = None
        if validation:
            held_out = batches(validation, SeededBatches(len(validation), self.batch_size, seed=0, shuffle=False))
        handler = signal.getsignal(signal.SIGINT)
        try:
            with together(trainer):
                trainer.fit(module, train, held_out, ckpt_path=resumed, weights_only=True)
        except SystemExit as error:  # how Lightning ends after Ctrl-C
            raise KeyboardInterrupt from error
        except Exception as error:  # a broken checkpoint raises errors of zipfile, pickle, torch and Lightning
            if resumed is None or trainer.global_step > 0 or isinstance(error, SanoscopeError):
                raise
            reason = f"{type(error).__name__}: {str(error).split('. ')[0].strip()}"
            raise ModelError(f"{resumed}: cannot be resumed from ({reason}); remove it to start anew") from error
        finally:
            if threading.current_thread() is threading.main_thread():  # Lightning leaves Ctrl-C switched off
                signal.signal(signal.SIGINT, handler)

    def _trainer(
        self, surroundings: Surroundings, history: History, epochs: int, folder: Path, uses_all: bool
    ) -> Trainer:
        callbacks: list[Callback] = [history]
        first = self.judged_after
        if self.max_iterations:
            callbacks.append(LastIteration(self.max_iterations))
        if self.average:
            callbacks.append(AveragedWeights(self.average, surroundings.device))
        if not surroundings.quiet:
            callbacks.append(EpochLines(history))
            if sys.stderr.isatty():
                callbacks.append(EpochBar())
        if self.early_stopping:
            callbacks.append(LateStopping(first, monitor="validation/loss", patience=self.early_stopping))
        if self.keeps_best:
            callbacks.append(
                LateCheckpoint(
                    first,
                    folder,
                    BEST_FILE,
                    monitor="validation/loss",
                    save_weights_only=True,
                    enable_version_counter=False,
                )
            )
        if surroundings.folder:  # the last, so that it keeps the state of the others too
            callbacks.append(ResumePoint(surroundings.folder / RESUME_FILE, surroundings.checkpoint_seconds))
        return Trainer(
            accelerator=surroundings.device,
            **lightning_settings(surroundings.device, surroundings.processes, uses_all),
            precision="bf16-mixed" if mixed_precision(self.precision, surroundings.device) else "32-true",
            max_epochs=epochs,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO()],
            logger=TensorBoardLogger(surroundings.folder, name="", version="logs") if surroundings.folder else False,
            enable_progress_bar=not surroundings.quiet and sys.stderr.isatty(),
            enable_model_summary=False,
            num_sanity_val_steps=0,
            inference_mode=False,  # which no gradient could be taken in, and some losses need one
            log_every_n_steps=1,
            use_distributed_sampler=False,
            default_root_dir=surroundings.folder,
        )
