"""Training of an autoencoder against a critic: Baur et al. (AnoVAEGAN), Schlegl et al. (f-AnoGAN), and their like."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from sanoscope.networks.critics import Critic
from sanoscope.networks.dcgan import Discriminator
from sanoscope.objectives.adversarial import AdversarialELBO, AgainstCritic
from sanoscope.objectives.elbo import Terms
from sanoscope.training.game import AUTOENCODER, GameModule, GameTraining, frozen
from sanoscope.training.logit import LogitModule
from sanoscope.training.module import Prepared, TrainingModule


class JudgedModule(GameModule):
    """Steps of an autoencoder whose reconstructions a critic judges, or sees features in."""

    objective: AgainstCritic

    @property
    def critic(self) -> Critic | Discriminator:
        """What judges images."""
        return cast(Critic | Discriminator, self.network.critic)

    def against_critic(self, terms: Terms, images: Tensor, reconstructions: Tensor) -> Terms:
        """The terms with those that take the critic, of images and reconstructions ``(B, C, H, W)``."""
        if self.objective.adversarial:
            terms = self.objective.with_adversarial(terms, self.critic(reconstructions))
        if self.objective.features:
            features = self.critic.features
            terms = self.objective.with_features(terms, features(images), features(reconstructions))
        return terms


class AdversarialModule(JudgedModule, LogitModule):
    """For each batch steps of the critic, then one of the autoencoder.

    Args:
        shared: See ``GameModule``, as ``others``.
        detach: See ``AdversarialTraining``.
    """

    objective: AdversarialELBO

    def __init__(self, *shared: Any, detach: bool, **others: Any) -> None:
        super().__init__(*shared, **others)
        self.detach = detach

    def judged_loss(self, means: dict[str, Tensor]) -> float | None:
        """Reconstruction and KL; the game's losses may rise and fall, and change sign, as its sides get better."""
        if "train/reconstruction" not in means:
            return None
        kl = means.get("train/kl", torch.zeros(()))
        return float(means["train/reconstruction"] + (self.objective.beta or 0.0) * kl)

    def training_step(self, batch: Prepared, batch_index: int) -> None:
        """Steps of the critic against reconstructions by new noise each, then one of the autoencoder."""
        images = self.augmented(batch).images
        self.trainer.optimizers[AUTOENCODER].zero_grad()
        for _ in range(self.critic_steps - 1):
            with torch.no_grad():
                logits = self.reconstructed(images, images, self.noise(images))[1]
            self.critic_step(images, logits.float().sigmoid())
        terms, logits = self.reconstructed(images, images, self.noise(images))
        reconstructions = logits.float().sigmoid()
        self.critic_step(images, reconstructions.detach() if self.detach else reconstructions)
        with frozen(self.critic):
            terms = self.against_critic(terms, images, reconstructions)
            self.counted_step(AUTOENCODER, terms.loss)
        self.record(terms, len(images), batch_index)


class AdversarialTraining(GameTraining):
    """Training of an autoencoder that decodes to logits, against the critic of its network.

    Args:
        detach: Keep the critic's loss from the autoencoder. Without it, as once released, its gradients flow through
            the reconstructions, in the last of its steps on a batch, and are added to those of the autoencoder's own
            loss, against what that loss wants.
        others: See ``GameTraining``.
    """

    module: type[TrainingModule] = AdversarialModule

    def __init__(self, detach: bool, **others: Any) -> None:
        super().__init__(**others)
        self.module_settings |= {"detach": detach}
