"""Training of an autoencoder against critics of its images and of its latents (Tuluptceva et al.)."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks.two_critic_autoencoder import TwoCriticAutoencoder
from sanoscope.objectives.elbo import Terms
from sanoscope.training.game import AUTOENCODER
from sanoscope.training.gradient_balance import GradientBalance
from sanoscope.training.module import Prepared, TrainingModule
from sanoscope.training.perceptual import AdversarialPerceptualModule, PerceptualTraining

LATENT = "latent-"


class Side(NamedTuple):
    """Encoder or decoder.

    Attributes:
        name: Of it.
        parameters: All of its.
        balance: Of the reconstruction against the side's critic.
    """

    name: str
    parameters: list[nn.Parameter]
    balance: GradientBalance


class TwoCriticModule(AdversarialPerceptualModule):
    """For each batch steps of both critics, then one of encoder and decoder.

    The encoder minimises its own weight times the reconstruction error, and what the latent critic says of latents;
    the decoder its own weight times that error, and what the image critic says of images of standard normal noise.
    ``train/loss`` is the reconstruction error.

    Args:
        shared: See ``AdversarialPerceptualModule``, as ``others``.
        balance_every: See ``TwoCriticTraining``, as ``balance_records`` and ``balance_smoothing``.
        balance_records: See there.
        balance_smoothing: See there.
    """

    network: TwoCriticAutoencoder
    finite: ClassVar[frozenset[str]] = frozenset({"train/loss", "train/critic", f"train/{LATENT}critic"})

    def __init__(
        self, *shared: Any, balance_every: int, balance_records: int, balance_smoothing: float, **others: Any
    ) -> None:
        super().__init__(*shared, **others)
        self.balance_every = balance_every
        self.sides = tuple(
            Side(name, [*module.parameters()], GradientBalance(balance_records, balance_smoothing))
            for name, module in (("encoder", self.network.encoder), ("decoder", self.network.decoder))
        )

    @property
    def critics(self) -> dict[str, nn.Module]:
        """See ``GameModule.critics``."""
        return {"": self.critic, LATENT: self.network.latent_critic}

    def noise(self, images: Tensor) -> Tensor:
        """See ``TrainingModule.noise``; what latents are to be like."""
        return TrainingModule.noise(self, images)

    def training_step(self, batch: Prepared, batch_index: int) -> None:
        """Steps of the critics, then one of encoder and decoder."""
        batch = self.augmented(batch)
        for _ in range(self.critic_steps):
            noise = self.noise(batch.images)
            with torch.no_grad():
                made, latents = self.network.decode(noise), self.network.encode(batch.images)[0]
            self.critic_step(batch.images, made.float())
            self.critic_step(noise, latents.float(), LATENT)
        terms, adversarial = self._losses(batch)
        self._set_gradients(terms.loss, adversarial)
        self.counted(AUTOENCODER)
        weights = {f"{side.name}-weight": terms.loss.new_tensor(side.balance.weight) for side in self.sides}
        self.record(Terms(terms.loss, terms.logged | weights), len(batch.images), batch_index)

    def _losses(self, batch: Prepared) -> tuple[Terms, Tensor]:
        """The terms of the reconstruction, and what both critics say."""
        latents = self.network.encode(batch.images)[0]
        terms = self.compared(batch.images, self.network.decode(latents), batch.rows)
        game = self.objective.game
        image = game.generator(self.critic(self.network.decode(self.noise(batch.images))))
        latent = game.generator(self.network.latent_critic(latents))
        logged = {"adversarial": image.detach(), f"{LATENT}adversarial": latent.detach()}
        return Terms(terms.loss, terms.logged | logged), image + latent

    def _set_gradients(self, reconstruction: Tensor, adversarial: Tensor) -> None:
        """Let each side have the gradients of its own loss."""
        parameters = [parameter for side in self.sides for parameter in side.parameters]
        wanted = dict(zip(parameters, torch.autograd.grad(reconstruction, parameters, retain_graph=True), strict=True))
        # Neither critic's judgement depends on the other side, so that one pass serves both.
        judged = dict(zip(parameters, torch.autograd.grad(adversarial, parameters), strict=True))
        for side in self.sides:
            if (self.trainer.global_step + 1) % self.balance_every == 0:
                layers = [parameter for parameter in side.parameters if parameter.ndim > 1]
                side.balance.record([wanted[one] for one in layers], [judged[one] for one in layers])
            for one in side.parameters:
                one.grad = side.balance.weight * wanted[one] + self.objective.adversarial * judged[one]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the balances too."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["balances"] = [side.balance.state() for side in self.sides]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take them up again."""
        super().on_load_checkpoint(checkpoint)
        for side, state in zip(self.sides, checkpoint["balances"], strict=True):
            side.balance.restore(state)


class TwoCriticTraining(PerceptualTraining):
    """Training against critics of images and latents, with a reconstruction error that is weighted by itself.

    Args:
        balance_every: Iterations between two records of gradients, by which the reconstruction is weighted.
        balance_records: How many of the last records count.
        balance_smoothing: Share of a record in the smoothed gradients, above 0 and up to 1.
        others: See ``PerceptualTraining``.

    Raises:
        OptionError: If the smoothing is none.
    """

    adversarial_module = TwoCriticModule

    def __init__(self, balance_every: int, balance_records: int, balance_smoothing: float, **others: Any) -> None:
        super().__init__(**others)
        if not 0 < balance_smoothing <= 1:
            raise OptionError(
                f"training.balance_smoothing takes a share above 0 and up to 1, such as 0.05, not {balance_smoothing:g}"
            )
        self.game_settings |= {
            "balance_every": balance_every,
            "balance_records": balance_records,
            "balance_smoothing": balance_smoothing,
        }
