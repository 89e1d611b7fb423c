"""Training of an autoencoder against a critic: Baur et al. (AnoVAEGAN), Schlegl et al. (f-AnoGAN), and their like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sanoscope.errors import OptionError
from sanoscope.networks.critics import Critic
from sanoscope.objectives.adversarial import AdversarialELBO, gradient_penalty
from sanoscope.objectives.elbo import Terms
from sanoscope.training.logit import LogitModule
from sanoscope.training.module import Prepared, TrainingModule
from sanoscope.training.plain import PlainTraining

# The optimisers, by their place.
AUTOENCODER, CRITIC = 0, 1


class AdversarialModule(LogitModule):
    """For each batch steps of the critic, then one of the autoencoder; only the latter counts as an iteration.

    Args:
        shared: See ``LogitModule``, as ``others``.
        critic_steps: See ``AdversarialTraining``, as all that follow.
        critic_rate: See there.
        betas: See there.
        detach: See there.

    Raises:
        OptionError: If the network has no critic.
    """

    objective: AdversarialELBO
    finite: ClassVar[frozenset[str]] = frozenset({"train/loss", "train/critic"})

    def __init__(
        self,
        *shared: Any,
        critic_steps: int,
        critic_rate: float,
        betas: tuple[float, ...],
        detach: bool,
        **others: Any,
    ) -> None:
        super().__init__(*shared, **others)
        if self.network.critic is None:
            raise OptionError("adversarial training needs a critic; set network.critic to another value than none")
        self.critic_steps = critic_steps
        self.critic_rate = critic_rate
        self.betas = betas
        self.detach = detach
        self.automatic_optimization = False

    @property
    def critic(self) -> Critic:
        """What judges images."""
        return cast(Critic, self.network.critic)

    def judged_loss(self, means: dict[str, Tensor]) -> float | None:
        """Reconstruction and KL; the game's losses may rise and fall, and change sign, as its sides get better."""
        if "train/reconstruction" not in means:
            return None
        kl = means.get("train/kl", torch.zeros(()))
        return float(means["train/reconstruction"] + (self.objective.beta or 0.0) * kl)

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """One optimiser for all but the critic and one for the critic; and their schedules, if any."""
        critic = set(self.critic.parameters())
        others = [one for one in self.network.parameters() if one.requires_grad and one not in critic]
        optimizers = [self.new_optimizer(others, betas=self.betas), self.critic_optimizer()]
        return optimizers, self.schedulers(optimizers, [self.iterations, self.iterations * self.critic_steps])

    def critic_optimizer(self) -> Optimizer:
        """The critic's optimiser, at its own rate."""
        rate = self.critic_rate * self.learning_rate
        return self.new_optimizer([*self.critic.parameters()], betas=self.betas, lr=rate)

    def schedulers(self, optimizers: list[Optimizer], iterations: list[int]) -> list[LambdaLR]:
        """For each optimiser the schedule of its steps; none where they are all alike."""
        if self.schedule == "constant":
            return []
        return [self.new_scheduler(*each) for each in zip(optimizers, iterations, strict=True)]

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

    def against_critic(self, terms: Terms, images: Tensor, reconstructions: Tensor) -> Terms:
        """The terms with those that take the critic, of images and reconstructions ``(B, C, H, W)``."""
        if self.objective.adversarial:
            terms = self.objective.with_adversarial(terms, self.critic(reconstructions))
        if self.objective.features:
            features = self.critic.features
            terms = self.objective.with_features(terms, features(images), features(reconstructions))
        return terms

    def critic_step(self, images: Tensor, fakes: Tensor) -> None:
        """A step of the critic's optimiser, which does not count, on real and fake images ``(B, C, H, W)``."""
        game = self.objective.game
        loss = game.critic(self.critic(images), self.critic(fakes))
        logged = {"critic": loss.detach()}
        if game.penalised:
            penalty = gradient_penalty(self._gradient_between(images, fakes.detach()))
            loss = loss + self.objective.penalty * penalty
            logged["penalty"] = penalty.detach()
        self.trainer.optimizers[CRITIC].zero_grad()
        self.manual_backward(loss, retain_graph=fakes.requires_grad)
        self.trainer.optimizers[CRITIC].step()
        self._step_schedule(CRITIC)
        self._add(logged, len(images))

    def _gradient_between(self, images: Tensor, fakes: Tensor) -> Tensor:
        """The critic's gradient ``(B, C, H, W)`` at images at random between real and fake ones, differentiable."""
        share = torch.rand(len(images), 1, 1, 1, device=images.device)
        between = fakes.lerp(images, share).requires_grad_()
        with torch.autocast(images.device.type, enabled=False):
            judgements = self.critic(between)
            (gradient,) = torch.autograd.grad(judgements.sum(), between, create_graph=True)
        return gradient

    def counted_step(self, which: int, loss: Tensor) -> None:
        """A step by Lightning's optimiser, which counts as an iteration; gradients add to those that are there."""
        self.manual_backward(loss)
        cast(list[LightningOptimizer], self.optimizers())[which].step()
        self._step_schedule(which)

    def _step_schedule(self, which: int) -> None:
        if self.trainer.lr_scheduler_configs:
            cast(LambdaLR, self.trainer.lr_scheduler_configs[which].scheduler).step()


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Take no gradients of the modules' parameters, only through them."""
    trained = [one for module in modules for one in module.parameters() if one.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


class AdversarialTraining(PlainTraining):
    """Training of an autoencoder that decodes to logits, against the critic of its network.

    Args:
        critic_steps: Of the critic, before each step of the autoencoder and on the same batch.
        critic_rate: Learning rate of the critic, as a multiple of the autoencoder's.
        betas: Decays of both optimisers' moments.
        detach: Keep the critic's loss from the autoencoder. Without it, as once released, its gradients flow through
            the reconstructions, in the last of its steps on a batch, and are added to those of the autoencoder's own
            loss, against what that loss wants.
        others: See ``PlainTraining``.

    Raises:
        OptionError: If a moment would never be forgotten, or there are not two of them.
    """

    module: type[TrainingModule] = AdversarialModule

    def __init__(
        self, critic_steps: int, critic_rate: float, betas: tuple[float, ...], detach: bool, **others: Any
    ) -> None:
        super().__init__(**others)
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise OptionError(f"training.betas takes two decays from 0 to below 1, such as [0.5, 0.9], not {betas}")
        self.module_settings |= {
            "critic_steps": critic_steps,
            "critic_rate": critic_rate,
            "betas": tuple(betas),
            "detach": detach,
        }
