"""Training of Deep SVDD: an autoencoder first, then its encoder alone, towards the mean of its latents."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from sanoscope.errors import OptionError
from sanoscope.networks.lenet import LeNet
from sanoscope.objectives.elbo import Terms
from sanoscope.objectives.hypersphere import HypersphereObjective, centre_of
from sanoscope.preparation.pictures import Pictures
from sanoscope.training.batches import derived_seed
from sanoscope.training.kept_features import BATCH, PreparedPictures
from sanoscope.training.module import Prepared, TrainingModule
from sanoscope.training.plain import PlainTraining, Surroundings

# What the decoder's initial weights are told apart by in their seed.
DECODER_SEED = 2
DROP = 0.1


class DeepSVDDModule(TrainingModule):
    """Steps of encoder and decoder on the reconstruction, and from some epoch on of the encoder on the distance.

    The decoder is the module's own: it is kept with what a training can be resumed from, not with the network.

    Args:
        shared: See ``TrainingModule``, as ``others``.
        pretraining_epochs: See ``DeepSVDDTraining``, as all that follow.
        pretraining_rate: See there.
        pretraining_drop: See there.
        drop: See there.

    Attributes:
        normals: All training normals, that the centre is taken of.
    """

    network: LeNet
    objective: HypersphereObjective
    normals: PreparedPictures
    uses_all = False  # the decoder is left alone in the second stage

    def __init__(
        self,
        *shared: Any,
        pretraining_epochs: int,
        pretraining_rate: float,
        pretraining_drop: int,
        drop: int,
        **others: Any,
    ) -> None:
        super().__init__(*shared, **others)
        self.pretraining_epochs = pretraining_epochs
        self.stages = (pretraining_rate, pretraining_drop), (self.learning_rate, drop)
        torch.manual_seed(derived_seed(self.seed, DECODER_SEED))
        self.decoder = self.network.new_decoder()

    @property
    def pretraining(self) -> bool:
        """Whether this epoch is of the first stage."""
        return self.current_epoch < self.pretraining_epochs

    def configure_optimizers(self) -> Optimizer:
        """One optimiser; the second stage leaves the decoder without gradients, and begins with no moments."""
        return self.new_optimizer([*self.network.parameters(), *self.decoder.parameters()])

    def on_train_epoch_start(self) -> None:
        """As ever; set the learning rate, and at the start of the second stage the centre."""
        super().on_train_epoch_start()
        self.trainer.callback_metrics.clear()  # which may be of the other stage
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.rate(self.current_epoch)
        if self.current_epoch == self.pretraining_epochs:
            self.network.centre.copy_(centre_of(self._mean_latent()))

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        rate, drop = self.stages[epoch >= self.pretraining_epochs]
        since = epoch - (self.pretraining_epochs if epoch >= self.pretraining_epochs else 0)
        return rate * DROP if drop and since >= drop else rate

    @torch.no_grad()
    def _mean_latent(self) -> Tensor:
        """The mean latent ``(L,)`` of all training normals, in evaluation mode."""
        self.network.eval()
        total = torch.zeros(self.network.latent, device=self.device)
        for begin in range(0, len(self.normals), BATCH):
            images = self.normals.batch(np.arange(begin, min(begin + BATCH, len(self.normals))))
            # Augmented, since random crops make images as large as the network's.
            total += self.network.encode(self.augmented(Prepared(images, None)).images)[0].sum(0)
        self.network.train()
        return total / len(self.normals)

    def terms(self, batch: Prepared, noise: Tensor | None) -> Terms:
        """See ``TrainingModule.terms``; nothing is sampled."""
        latents, _ = self.network.encode(batch.images)
        if self.pretraining:
            return self.objective.pretraining(batch.images, self.decoder(latents))
        return self.objective(latents, self.network.centre)

    def objective_changed(self) -> bool:
        """Whether this epoch was the first of the second stage."""
        return self.current_epoch == self.pretraining_epochs


class DeepSVDDTraining(PlainTraining):
    """Training of an autoencoder, and of its encoder towards a centre.

    Args:
        pretraining_epochs: Epochs of the first stage, out of all; the others are of the second.
        pretraining_rate: Learning rate of the first stage.
        pretraining_drop: Epoch of the first stage that goes on with a tenth of the rate; 0 is none.
        drop: The same of the second stage.
        others: See ``PlainTraining``, but for ``schedule``, of which these take the place; ``fresh_optimizer_at``,
            which is the second stage; ``early_stopping``, as the loss is another in each stage; and ``average``, as
            what is averaged would be too.

    Raises:
        OptionError: If the epochs in all leave none to the second stage; when it runs.
    """

    module = DeepSVDDModule

    def __init__(
        self, pretraining_epochs: int, pretraining_rate: float, pretraining_drop: int, drop: int, **others: Any
    ) -> None:
        super().__init__(
            schedule="constant", fresh_optimizer_at=pretraining_epochs, early_stopping=0, average=0.0, **others
        )
        self.pretraining_epochs = pretraining_epochs
        self.module_settings |= {
            "pretraining_epochs": pretraining_epochs,
            "pretraining_rate": pretraining_rate,
            "pretraining_drop": pretraining_drop,
            "drop": drop,
        }

    def prepare(self, module: TrainingModule, train: Pictures, surroundings: Surroundings) -> None:
        """Make ready to take the centre."""
        assert isinstance(module, DeepSVDDModule)
        module.normals = PreparedPictures(train, module.intensity, surroundings.device)

    def _length(self, steps: int) -> tuple[int, int]:
        epochs, iterations = super()._length(steps)
        if self.pretraining_epochs >= epochs:
            raise OptionError(
                f"training.pretraining_epochs={self.pretraining_epochs} leaves no epoch to the second stage: there are "
                f"{epochs} in all; lower it, or raise training.epochs and training.max_iterations"
            )
        self.judged_after = self.pretraining_epochs * steps  # before, the loss is another
        return epochs, iterations
