"""Training of a generator of images from noise against a critic: Goodfellow et al.; Radford et al. (DCGAN)."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from sanoscope.networks.dcgan import GenerativeAdversarialNetwork
from sanoscope.objectives.elbo import Terms
from sanoscope.training.game import GameModule, GameTraining, frozen
from sanoscope.training.module import Prepared

# The optimiser, by its place; the critic's comes next.
GENERATOR = 0


class GeneratorSteps(GameModule):
    """Steps of a critic against images from noise, and of what makes them."""

    def generator_step(self, images: Tensor) -> Terms:
        """Steps of the critic on images ``(B, C, H, W)`` and on as many generated ones, then one of the generator."""
        for _ in range(self.critic_steps):
            with torch.no_grad():
                fakes = self.generated(images)
            self.critic_step(images, fakes)
        self.trainer.optimizers[GENERATOR].zero_grad()
        with frozen(self.critic):
            loss = self.objective.game.generator(self.critic(self.generated(images)))
            self.counted_step(GENERATOR, loss)
        return Terms(loss, {"loss": loss.detach(), "generator": loss.detach()})

    @abstractmethod
    def generated(self, images: Tensor) -> Tensor:
        """As many images from new noise, ``(B, C, H, W)`` float32."""


class GeneratorModule(GeneratorSteps):
    """Training of a generator alone; for each batch steps of the critic, then one of the generator."""

    network: GenerativeAdversarialNetwork

    def training_step(self, batch: Prepared, batch_index: int) -> None:
        """Steps of both sides on a batch."""
        images = self.augmented(batch).images
        self.record(self.generator_step(images), len(images), batch_index)

    def generated(self, images: Tensor) -> Tensor:
        """See ``GeneratorSteps.generated``."""
        return self.network.decode(self.noise(images)).float()

    def validation_step(self, batch: Prepared, batch_index: int) -> None:
        """Nothing: what one side loses says how good the other is, and not how good the images are."""

    def judged_loss(self, means: dict[str, Tensor]) -> float | None:
        """Nothing: losses of a game rise and fall as its sides get better."""
        return None


class GeneratorTraining(GameTraining):
    """Training of a generator and its critic.

    Args:
        others: See ``GameTraining``, but for ``early_stopping``, as no validation says when.
    """

    module = GeneratorModule

    def __init__(self, **others: Any) -> None:
        super().__init__(early_stopping=0, **others)
