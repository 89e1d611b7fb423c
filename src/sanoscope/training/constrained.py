"""Training with a constraint on the attention (Silva-Rodríguez, Naranjo, Dolz)."""

from __future__ import annotations

import torch
from torch import Tensor

from sanoscope.networks.gradcam import class_activation_map
from sanoscope.networks.logit_autoencoder import LogitAutoencoder
from sanoscope.objectives.constrained_elbo import ConstrainedELBO
from sanoscope.objectives.elbo import Terms
from sanoscope.training.module import Prepared, TrainingModule
from sanoscope.training.plain import PlainTraining


class ConstrainedModule(TrainingModule):
    """Steps whose loss looks at the class activation map of the encoder, after some iterations without it."""

    network: LogitAutoencoder
    objective: ConstrainedELBO

    def terms(self, batch: Prepared, noise: Tensor | None) -> Terms:
        """See ``TrainingModule.terms``; validation has the whole weight of the constraint from the start."""
        weight = self.objective.weight if noise is None else self.objective.weight_at(self.trainer.global_step)
        with torch.set_grad_enabled(self.training or weight > 0):
            mean, logvar, activations = self.network.encode_with_features(batch.images)
            attention = None
            if weight:
                attention = self._attention(batch.images, mean, activations)
        logits = self.network.decode_logits(self.network.sample(mean, logvar, noise))
        return self.objective(batch.images, logits, mean, logvar, attention, batch.foreground, weight)

    def _attention(self, images: Tensor, mean: Tensor, activations: Tensor) -> Tensor:
        """The class activation map ``(B, h, w)``; by running statistics of another pass through the encoder."""
        if self.training and self.network.statistics == "running":
            self.network.eval()
            mean, _, activations = self.network.encode_with_features(images)
            self.network.train()
        return class_activation_map(mean, activations, self.network.weighting, create_graph=self.training)

    def objective_changed(self) -> bool:
        """Whether the constraint's weight was another in the epoch's first and last iteration, or just before it."""
        last = self.trainer.global_step - 1
        before = max(last - int(self.trainer.num_training_batches), 0)
        return self.objective.weight_at(before) != self.objective.weight_at(last)


class ConstrainedTraining(PlainTraining):
    """Plain training whose steps look at the attention, of a network that has one; see ``PlainTraining``."""

    module = ConstrainedModule
