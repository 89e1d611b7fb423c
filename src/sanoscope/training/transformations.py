"""Training to tell which transformation an image has undergone (Golan, El-Yaniv)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sanoscope.networks.transformations import COUNT, transformed
from sanoscope.objectives.elbo import Terms
from sanoscope.preparation.pictures import Pictures
from sanoscope.training.batches import derived_seed
from sanoscope.training.module import Prepared, TrainingModule
from sanoscope.training.plain import PlainTraining, Surroundings

# What the order of transformations is told apart by from other random numbers of a run.
ORDER_SEED = 3


def numbers_of(count: int, seed: int, epoch: int) -> Tensor:
    """The transformation ``(N,)`` of each of so many images in an epoch, which depends on nothing else.

    In 72 epochs, from a multiple of 72 on, each image undergoes every transformation once, in an order of its own.
    """
    block, place = divmod(epoch, COUNT)
    random = np.random.default_rng(derived_seed(seed, block, ORDER_SEED))
    orders = random.permuted(np.broadcast_to(np.arange(COUNT), (count, COUNT)), axis=1)
    return torch.from_numpy(orders[:, place].copy())


class TransformationModule(TrainingModule):
    """Each image of a batch is transformed, and the network says how.

    Attributes:
        images: Number of training images; known once the training is prepared.
    """

    images = 0

    def on_train_epoch_start(self) -> None:
        """See ``TrainingModule.on_train_epoch_start``; and which transformation each image undergoes."""
        super().on_train_epoch_start()
        self._numbers = numbers_of(self.images, self.seed, self.current_epoch).to(self.device)

    def noise(self, images: Tensor) -> Tensor:
        """None of it, as nothing is sampled."""
        return images.new_empty(0)

    def terms(self, batch: Prepared, noise: Tensor | None) -> Terms:
        """See ``TrainingModule.terms``; in validation each image has one transformation for good, all in turn."""
        assert batch.rows is not None
        numbers = batch.rows % COUNT if noise is None else self._numbers[batch.rows]
        return self.objective(self._forward(transformed(batch.images, numbers)), numbers)


class TransformationTraining(PlainTraining):
    """Training by transformations; an epoch is one of the 72 of each image. For the arguments see ``PlainTraining``."""

    module = TransformationModule

    def prepare(self, module: TrainingModule, train: Pictures, surroundings: Surroundings) -> None:
        """Tell the module how many images there are."""
        assert isinstance(module, TransformationModule)
        module.images = len(train)
