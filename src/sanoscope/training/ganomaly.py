"""Training of an encoder, a decoder and an encoder against a discriminator: Akçay et al. (GANomaly)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sanoscope.networks.dcgan import EncoderDecoderEncoder, initialise
from sanoscope.objectives.elbo import Terms
from sanoscope.objectives.ganomaly import GANomalyObjective
from sanoscope.training.adversarial import JudgedModule
from sanoscope.training.game import AUTOENCODER, GameTraining, frozen
from sanoscope.training.module import Prepared


class GANomalyModule(JudgedModule):
    """For each batch a step of all but the discriminator, then steps of the discriminator.

    Args:
        shared: See ``GameModule``, as ``others``.
        restart_below: See ``GANomalyTraining``.
    """

    network: EncoderDecoderEncoder
    objective: GANomalyObjective

    def __init__(self, *shared: Any, restart_below: float, **others: Any) -> None:
        super().__init__(*shared, **others)
        self.restart_below = restart_below

    def terms(self, batch: Prepared, noise: Tensor | None) -> Terms:
        """See ``TrainingModule.terms``; without the critic's."""
        return self._reconstructed(batch.images)[0]

    def training_step(self, batch: Prepared, batch_index: int) -> None:
        """The autoencoder's step, those of the discriminator on the same reconstructions, and its new beginning."""
        images = self.augmented(batch).images
        self.trainer.optimizers[AUTOENCODER].zero_grad()
        terms, reconstructions = self._reconstructed(images)
        with frozen(self.critic):
            terms = self.against_critic(terms, images, reconstructions)
            self.counted_step(AUTOENCODER, terms.loss)
        for _ in range(self.critic_steps):
            lost = self.critic_step(images, reconstructions.detach())
        if lost < self.restart_below:
            initialise(self.critic)
        self.record(terms, len(images), batch_index)

    def judged_loss(self, means: dict[str, Tensor]) -> float | None:
        """The error of pixels; the other terms may rise and fall as both sides get better."""
        return float(means["train/reconstruction"])

    def _reconstructed(self, images: Tensor) -> tuple[Terms, Tensor]:
        """The terms without the critic's, and the reconstructions ``(B, C, H, W)`` float32."""
        coded = self.network(images)
        return self.objective(images, *coded), coded.reconstructions.float()


class GANomalyTraining(GameTraining):
    """Training of GANomaly, and of what is made like it.

    Args:
        restart_below: A discriminator that lost less than this begins anew, from fresh weights; 0 is never.
        others: See ``GameTraining``.
    """

    module = GANomalyModule

    def __init__(self, restart_below: float, **others: Any) -> None:
        super().__init__(**others)
        self.module_settings |= {"restart_below": restart_below}
