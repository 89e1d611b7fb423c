"""Training to tell classes that are known of the training images."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sanoscope.objectives.elbo import Terms
from sanoscope.preparation.pictures import Pictures
from sanoscope.training.module import Prepared, TrainingModule
from sanoscope.training.plain import PlainTraining, Surroundings


class SupervisedModule(TrainingModule):
    """The network says the class of each image.

    Attributes:
        classes: Of the training images, ``(N,)``; known once the training is prepared.
        validation_classes: Of those that are validated on, ``(M,)``.
    """

    classes: Tensor
    validation_classes: Tensor

    def noise(self, images: Tensor) -> Tensor:
        """None of it, as nothing is sampled."""
        return images.new_empty(0)

    def terms(self, batch: Prepared, noise: Tensor | None) -> Terms:
        """See ``TrainingModule.terms``."""
        classes = self.validation_classes if noise is None else self.classes
        return self.objective(self._forward(batch.images), classes[batch.rows])


class SupervisedTraining(PlainTraining):
    """Training by classes.

    Args:
        classes: Of each training picture, ``(N,)`` whole numbers from 0.
        validation_classes: Of each picture that is validated on, ``(M,)``.
        settings: The arguments of ``PlainTraining``.
    """

    module = SupervisedModule

    def __init__(self, classes: np.ndarray, validation_classes: np.ndarray, **settings: Any) -> None:
        super().__init__(**settings)
        self.classes = classes
        self.validation_classes = validation_classes

    def prepare(self, module: TrainingModule, train: Pictures, surroundings: Surroundings) -> None:
        """Tell the module the classes, which go where it goes but are no part of what it has learned."""
        for name in ("classes", "validation_classes"):
            module.register_buffer(name, torch.from_numpy(getattr(self, name)), persistent=False)
