"""One step of training an autoencoder, as Lightning wants it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sanoscope.errors import TrainingError
from sanoscope.networks.network import Network
from sanoscope.objectives.elbo import Terms
from sanoscope.preparation.augmentation import Augmentation
from sanoscope.preparation.intensity import Intensity
from sanoscope.training.batches import Stored, derived_seed
from sanoscope.training.parallel import mean_of, own_randomness, summed
from sanoscope.training.processes import Part, part_of

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
# An epoch whose mean loss is this many times the best one so far will not come back. The first epoch of a summed
# loss may well be that much above the second, so only later ones are judged.
EXPLOSION = 100.0
# Looking at the loss waits for the device, or for other processes; not every step can afford that.
LOOK_EVERY = 20
REMEDY = (
    "try a lower training.learning_rate (a tenth), a smaller objective.beta where there is one, or "
    "training.precision=float32"
)

# What the noise of an epoch, the randomness of its augmentation, and that of one of several processes are told apart
# by in their seeds.
AUGMENTATION_SEED = 1
PROCESS_SEED = 4


class Prepared(NamedTuple):
    """A batch as networks see it.

    Attributes:
        images: ``(B, C, H, W)``.
        foreground: ``(B, H, W)`` bool; None where everything is.
        rows: Which of all pictures these are, ``(B,)``; None where that is not known.
        seen: What the network gets instead of the images, ``(B, C, H, W)``; None where it gets these.
    """

    images: Tensor
    foreground: Tensor | None
    rows: Tensor | None = None
    seen: Tensor | None = None

    def part(self, rows: slice) -> Prepared:
        """Some of the batch."""
        return Prepared(*(None if one is None else one[rows] for one in self))  # type: ignore[arg-type]


class TrainingModule(LightningModule):
    """Sampled latents, and means of the terms over an epoch's images; what the terms are is ``terms``.

    Args:
        network: Trained in place.
        objective: Gives the terms. Its loss is a sum over the batch, or it logs one per image as ``loss``.
        intensity: Turns stored pixels into network input, on the device.
        augmentation: Changes training images at random; None leaves them.
        optimizer: ``adamw`` or ``adam``.
        learning_rate: At the start.
        schedule: ``constant``, ``cosine`` down to 0 over the training, or ``late-cosine`` over its second half.
        weight_decay: Of the optimiser.
        fresh_optimizer_at: The epoch that starts with the optimiser's moments forgotten; 0 is never.
        epochs: In all, for the objective's schedule.
        iterations: In all, for the optimiser's schedule.
        seed: Of the run; noise and dropout of an epoch depend on it and the epoch only.
        compiled: Compile the forward pass.

    Attributes:
        finite: Means over an epoch's images that end the training where they are not finite.
        one_process: Why its steps cannot be those of several processes; None where they can.
        uses_all: Whether every step's loss depends on all that is trained.
    """

    finite: ClassVar[frozenset[str]] = frozenset({"train/loss"})
    one_process: ClassVar[str | None] = None
    uses_all: bool = True

    def __init__(
        self,
        network: Network,
        objective: Callable[..., Terms],
        intensity: Intensity,
        augmentation: Augmentation | None,
        optimizer: str,
        learning_rate: float,
        schedule: str,
        weight_decay: float,
        fresh_optimizer_at: int,
        epochs: int,
        iterations: int,
        seed: int,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.objective = objective
        self.intensity = intensity
        self.augmentation = augmentation
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.fresh_optimizer_at = fresh_optimizer_at
        self.epochs = epochs
        self.iterations = iterations
        self.seed = seed
        self._forward = torch.compile(network) if compiled else network
        self._best_loss = float("inf")
        self._sums: dict[str, Tensor] = {}
        self._seen: Counter[str] = Counter()

    def terms(self, batch: Prepared, noise: Tensor | None) -> Terms:
        """The loss of a batch and what to log of it.

        Args:
            batch: Prepared, and augmented in training.
            noise: Standard normal ``(B, L)`` for the sampled latents of training; None, in validation, takes the
                posterior mean and the objective as it is at the end of the training.
        """
        if noise is None:
            return self.objective(batch.images, *self.network(batch.images))
        progress = self.current_epoch / max(self.epochs - 1, 1)
        return self.objective(batch.images, *self._forward(batch.images, noise), progress)

    def objective_changed(self) -> bool:
        """Whether the loss of the epoch that ends cannot be compared with those before or after it."""
        return False

    def judged_loss(self, means: dict[str, Tensor]) -> float | None:
        """What has run away if it has grown too much; None where the epoch has nothing that can be judged.

        Args:
            means: Over the epoch's images, by ``train/`` and the name of the term.
        """
        return float(means["train/loss"])

    def configure_optimizers(self) -> Any:
        """The optimiser over what is not frozen, and its schedule, if any."""
        return self.optimizer_and_schedule([one for one in self.network.parameters() if one.requires_grad])

    def optimizer_and_schedule(self, parameters: list[Parameter]) -> Any:
        """An optimiser of some parameters, and its schedule, if any, as Lightning wants them."""
        optimizer = self.new_optimizer(parameters)
        if self.schedule == "constant":
            return optimizer
        scheduler = self.new_scheduler(optimizer, self.iterations)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def new_optimizer(self, parameters: list[Parameter], **others: Any) -> Optimizer:
        """An optimiser of the training's kind, one fused kernel for all parameters; with some settings replaced."""
        settings = {"lr": self.learning_rate, "weight_decay": self.weight_decay, "fused": True}
        optimizer: Optimizer = OPTIMIZERS[self.optimizer](parameters, **(settings | others))
        return optimizer

    def new_scheduler(self, optimizer: Optimizer, iterations: int, first: int = 0) -> LambdaLR:
        """The cosine of an optimiser that takes so many steps in all, from one of them on."""
        start = (first + iterations) / 2 if self.schedule == "late-cosine" else first

        def share(iteration: int) -> float:
            done = (iteration - start) / (iterations - start)
            return 0.5 * (1 + math.cos(math.pi * min(max(done, 0), 1)))

        return LambdaLR(optimizer, share)

    def on_train_epoch_start(self) -> None:
        """Seed this epoch, and forget the optimiser's moments where the schedule says so."""
        torch.manual_seed(derived_seed(self.seed, self.current_epoch))
        self._augmenting = torch.Generator(self.device)
        self._augmenting.manual_seed(derived_seed(self.seed, self.current_epoch, AUGMENTATION_SEED))
        if self.fresh_optimizer_at and self.current_epoch == self.fresh_optimizer_at:
            for optimizer in self.trainer.optimizers:
                optimizer.state.clear()

    def on_after_batch_transfer(self, batch: Stored, dataloader_idx: int) -> Prepared:
        """Network input; made here so that 8-bit pixels travel to the device as they are."""
        return Prepared(self.intensity.apply(batch.pixels, batch.foreground), batch.foreground, batch.rows)

    def training_step(self, batch: Prepared, batch_index: int) -> Tensor | None:
        """The loss of one batch with sampled latents; none where the step is taken already."""
        # What is random is drawn for the whole batch in every process, so that it does not depend on their number.
        batch = self.augmented(batch)
        noise = self.noise(batch.images)
        part = self.part(batch)
        with own_randomness(self.trainer, self.seed, self.current_epoch, PROCESS_SEED, batch_index):
            terms = self.terms(batch.part(part.rows), noise[part.rows])
        self.record(terms, part.size, batch_index, part.counted)
        return part.weight(terms.summed) * terms.loss

    def part(self, batch: Prepared) -> Part:
        """What this process looks at of a batch; all of it, where there is no other."""
        return part_of(len(batch.images), self.trainer.global_rank, self.trainer.world_size)

    def augmented(self, batch: Prepared) -> Prepared:
        """The batch with its images changed at random, where training does so."""
        if self.augmentation is None:
            return batch
        return batch._replace(images=self.augmentation(batch.images, self._augmenting))

    def noise(self, images: Tensor) -> Tensor:
        """Standard normal noise for the latents of images, ``(B, L)``."""
        return torch.randn(len(images), self.network.latent, device=images.device)

    def record(self, terms: Terms, count: int, batch_index: int, counted: bool = True) -> None:
        """Add the terms of a batch of so many images to the epoch's means, if they count.

        Raises:
            TrainingError: If the loss is not finite; in all processes where it is not in one.
        """
        at_hand = self.device.type == "cpu" and self.trainer.world_size == 1
        if at_hand or batch_index % LOOK_EVERY == 0:
            self._require_finite(summed(self.trainer, terms.loss))
        self._add({"loss": terms.loss.detach() / count, **terms.logged}, count if counted else 0)

    def validation_step(self, batch: Prepared, batch_index: int) -> None:
        """The same terms at the posterior mean, so that they do not depend on any noise."""
        part = self.part(batch)
        terms = self.terms(batch.part(part.rows), None)
        values = {"loss": terms.loss.detach() / part.size, **terms.logged}
        named = {f"validation/{name}": value for name, value in values.items()}
        # A multiple, as Lightning takes the mean of these numbers over processes for a whole one.
        weight = part.size * part.processes if part.counted else 0
        self.log_dict(named, batch_size=weight, sync_dist=part.processes > 1)

    def on_train_epoch_end(self) -> None:
        """Log the means over the epoch's images, and stop a training that has run away."""
        means = {f"train/{name}": mean_of(self.trainer, total, self._seen[name]) for name, total in self._sums.items()}
        self._sums, self._seen = {}, Counter()
        self.log_dict(means)
        for name in self.finite & means.keys():
            self._require_finite(means[name])
        loss = self.judged_loss(means)
        if loss is None or self.objective_changed():
            self._best_loss = float("inf")
            return
        if loss > EXPLOSION * self._best_loss:
            raise TrainingError(
                f"the loss grew from {self._best_loss:.4g} to {loss:.4g} in epoch {self.current_epoch + 1}; {REMEDY}"
            )
        self._best_loss = min(self._best_loss, loss)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the best loss across an interruption."""
        checkpoint["best_loss"] = self._best_loss

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the best loss again."""
        self._best_loss = checkpoint["best_loss"]

    def _add(self, values: dict[str, Tensor], count: int) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value * count
            self._seen[name] += count

    def _require_finite(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss became {loss.item()} in epoch {self.current_epoch + 1}; {REMEDY}")
