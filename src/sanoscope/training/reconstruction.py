"""Training of autoencoders without a posterior, with a step size that drops every few epochs."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import Parameter
from torch.optim.lr_scheduler import StepLR

from sanoscope.objectives.elbo import Terms
from sanoscope.training.module import Prepared, TrainingModule
from sanoscope.training.plain import PlainTraining

# What a drop leaves of the step size.
DROP = 0.1


class ReconstructionModule(TrainingModule):
    """Reconstructions of whole batches; nothing is sampled.

    Args:
        shared: See ``TrainingModule``, as ``others``.
        drop_every: See ``ReconstructionTraining``.
    """

    def __init__(self, *shared: Any, drop_every: int, **others: Any) -> None:
        super().__init__(*shared, **others)
        self.drop_every = drop_every

    def noise(self, images: Tensor) -> Tensor:
        """None of it, as nothing is sampled."""
        return images.new_empty(0)

    def terms(self, batch: Prepared, noise: Tensor | None) -> Terms:
        """See ``TrainingModule.terms``."""
        return self.objective(batch.images, self._forward(batch.images))

    def optimizer_and_schedule(self, parameters: list[Parameter]) -> Any:
        """See ``TrainingModule.optimizer_and_schedule``; with ``drop_every``, a tenth of the rate every so often."""
        if not self.drop_every:
            return super().optimizer_and_schedule(parameters)
        optimizer = self.new_optimizer(parameters)
        return {"optimizer": optimizer, "lr_scheduler": StepLR(optimizer, self.drop_every, DROP)}


class ReconstructionTraining(PlainTraining):
    """Training by the error of reconstructions.

    Args:
        drop_every: Epochs after which the step size falls to a tenth, again and again; 0 is never.
        keep: Weights of the ``last`` epoch, or of the ``best``, which has the lowest validation loss.
        others: See ``PlainTraining``, but for ``schedule``, of which ``drop_every`` takes the place.
    """

    module = ReconstructionModule

    def __init__(self, drop_every: int, keep: str, **others: Any) -> None:
        super().__init__(schedule="constant", **others)
        self.keeps_best = self.keeps_best or keep == "best"
        self.module_settings["drop_every"] = drop_every
