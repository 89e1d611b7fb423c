"""Training of an energy by denoising: Zhai et al.: Deep structured energy based models for anomaly detection."""

from __future__ import annotations

import torch
from torch import Tensor

from sanoscope.networks.energy import EnergyNetwork
from sanoscope.objectives.denoising import DenoisingObjective
from sanoscope.objectives.elbo import Terms
from sanoscope.training.module import Prepared, TrainingModule
from sanoscope.training.plain import PlainTraining


class EnergyModule(TrainingModule):
    """Steps that go through the gradient of the energy at noisy images."""

    network: EnergyNetwork
    objective: DenoisingObjective

    def noise(self, images: Tensor) -> Tensor:
        """Standard normal noise for images, ``(B, C, H, W)``."""
        return torch.randn_like(images)

    def terms(self, batch: Prepared, noise: Tensor | None) -> Terms:
        """See ``TrainingModule.terms``; without noise, in validation, images are reconstructed as they are."""
        noisy = batch.images if noise is None else batch.images + self.objective.noise * noise
        return self.objective(batch.images, self.network.reconstruct(noisy, differentiable=self.training))


class EnergyTraining(PlainTraining):
    """Plain training of an energy; see ``PlainTraining``."""

    module = EnergyModule
