"""One step of training a variational autoencoder, as Lightning wants it."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from sanoscope.errors import TrainingError
from sanoscope.networks.variational import VariationalAutoencoder
from sanoscope.objectives.elbo import NegativeELBO
from sanoscope.preparation.intensity import Intensity
from sanoscope.training.batches import Stored, derived_seed

OPTIMIZERS = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
# An epoch whose mean loss is this many times the best one so far will not come back. The first epoch of a summed
# loss may well be that much above the second, so only later ones are judged.
EXPLOSION = 100.0
# Looking at the loss waits for the device; on a GPU not every step can afford that.
LOOK_EVERY = 20
REMEDY = "try a lower training.learning_rate (a tenth), a smaller objective.beta, or training.precision=float32"


class VariationalTraining(LightningModule):
    """Sampled latents, summed loss, and terms logged as per-image means of per-image sums.

    Args:
        network: Trained in place.
        objective: Gives the loss.
        intensity: Turns stored pixels into network input, on the device.
        optimizer: ``adamw`` or ``adam``.
        learning_rate: Constant over the training.
        weight_decay: Of the optimiser.
        fresh_optimizer_at: The epoch that starts with the optimiser's moments forgotten; 0 is never.
        epochs: In all, for the objective's schedule.
        seed: Of the run; noise and dropout of an epoch depend on it and the epoch only.
        compiled: Compile the forward pass.
    """

    def __init__(
        self,
        network: VariationalAutoencoder,
        objective: NegativeELBO,
        intensity: Intensity,
        optimizer: str,
        learning_rate: float,
        weight_decay: float,
        fresh_optimizer_at: int,
        epochs: int,
        seed: int,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.objective = objective
        self.intensity = intensity
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.fresh_optimizer_at = fresh_optimizer_at
        self.epochs = epochs
        self.seed = seed
        self._forward = torch.compile(network) if compiled else network
        self._best_loss = float("inf")
        self._sums: dict[str, Tensor] = {}
        self._seen = 0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser over what is not frozen; one fused kernel for all parameters."""
        parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        settings = {"lr": self.learning_rate, "weight_decay": self.weight_decay}
        optimizer: torch.optim.Optimizer = OPTIMIZERS[self.optimizer](parameters, **settings, fused=True)
        return optimizer

    def on_train_epoch_start(self) -> None:
        """Seed this epoch, and forget the optimiser's moments where the schedule says so."""
        torch.manual_seed(derived_seed(self.seed, self.current_epoch))
        if self.fresh_optimizer_at and self.current_epoch == self.fresh_optimizer_at:
            for optimizer in self.trainer.optimizers:
                optimizer.state.clear()

    def on_after_batch_transfer(self, batch: Stored, dataloader_idx: int) -> Tensor:
        """Network input ``(B, C, H, W)``; done here so that 8-bit pixels travel to the device as they are."""
        return self.intensity.apply(*batch)

    def training_step(self, images: Tensor, batch_index: int) -> Tensor:
        """The loss of one batch with sampled latents."""
        noise = torch.randn(len(images), self.network.latent, device=images.device)
        output = self._forward(images, noise)
        progress = self.current_epoch / max(self.epochs - 1, 1)
        terms = self.objective(images, output.reconstruction, output.mean, output.logvar, progress)
        if self.device.type == "cpu" or batch_index % LOOK_EVERY == 0:
            self._require_finite(terms.loss)
        self._add({"loss": terms.loss.detach() / len(images), **terms.logged}, len(images))
        return terms.loss

    def validation_step(self, images: Tensor, batch_index: int) -> None:
        """The same terms at the posterior mean, so that they do not depend on any noise."""
        terms = self.objective(images, *self.network(images))
        values = {"loss": terms.loss / len(images), **terms.logged}
        self.log_dict({f"validation/{name}": value for name, value in values.items()}, batch_size=len(images))

    def on_train_epoch_end(self) -> None:
        """Log the means over the epoch's images, and stop a training that has run away."""
        means = {f"train/{name}": total / self._seen for name, total in self._sums.items()}
        self._sums, self._seen = {}, 0
        self.log_dict(means)
        loss = float(means["train/loss"])
        self._require_finite(means["train/loss"])
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
        self._seen += count

    def _require_finite(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss became {loss.item()} in epoch {self.current_epoch + 1}; {REMEDY}")
