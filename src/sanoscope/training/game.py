"""What a training against a critic consists of, whatever else its autoencoder is trained for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sanoscope.errors import OptionError
from sanoscope.objectives.adversarial import Game, gradient_penalty
from sanoscope.objectives.elbo import Terms
from sanoscope.training.module import TrainingModule
from sanoscope.training.plain import PlainTraining

# The optimisers, by their place.
AUTOENCODER, CRITIC = 0, 1


class GameObjective(Protocol):
    """What a game asks of an objective.

    Attributes:
        game: What the two sides minimise.
        penalty: Weight of the critic's gradient penalty, in a game that has one.
        drift: Weight of the critic's squared values, which keeps them near 0; 0 leaves it out.
    """

    game: Game
    penalty: float
    drift: float

    def __call__(self, *given: Any) -> Terms:
        """The terms without the game's."""


class GameModule(TrainingModule):
    """Steps of a critic beside those of the autoencoder; only the latter's count as iterations.

    Args:
        shared: See ``TrainingModule``, as ``others``.
        critic_steps: Of the critic, for each step of the autoencoder and on the same batch.
        critic_rate: Learning rate of the critic, as a multiple of the autoencoder's.
        betas: Decays of both optimisers' moments.

    Raises:
        OptionError: If the network has no critic.
    """

    objective: GameObjective
    finite: ClassVar[frozenset[str]] = frozenset({"train/loss", "train/critic"})
    one_process: ClassVar[str | None] = "each of its steps is several, of networks that play against each other"

    def __init__(
        self, *shared: Any, critic_steps: int, critic_rate: float, betas: tuple[float, ...], **others: Any
    ) -> None:
        super().__init__(*shared, **others)
        if self.network.critic is None:
            raise OptionError("adversarial training needs a critic; set network.critic to another value than none")
        self.critic_steps = critic_steps
        self.critic_rate = critic_rate
        self.betas = betas
        self.automatic_optimization = False

    @property
    def critic(self) -> nn.Module:
        """What judges images."""
        return cast(nn.Module, self.network.critic)

    @property
    def critics(self) -> dict[str, nn.Module]:
        """All that judge, by what the names of their losses begin with, in the order of their optimisers."""
        return {"": self.critic}

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """One optimiser for all but the critics and one for each of these; and their schedules, if any."""
        critics = self.critics.values()
        judging = {one for critic in critics for one in critic.parameters()}
        others = [one for one in self.network.parameters() if one.requires_grad and one not in judging]
        optimizers = [self.new_optimizer(others, betas=self.betas), *map(self.critic_optimizer, critics)]
        steps = [self.iterations, *[self.iterations * self.critic_steps] * len(critics)]
        return optimizers, self.schedulers(optimizers, steps)

    def critic_optimizer(self, critic: nn.Module) -> Optimizer:
        """The optimiser of a critic, at its own rate."""
        rate = self.critic_rate * self.learning_rate
        return self.new_optimizer([*critic.parameters()], betas=self.betas, lr=rate)

    def schedulers(self, optimizers: list[Optimizer], iterations: list[int]) -> list[LambdaLR]:
        """For each optimiser the schedule of its steps; none where they are all alike."""
        if self.schedule == "constant":
            return []
        return [self.new_scheduler(*each) for each in zip(optimizers, iterations, strict=True)]

    def critic_step(self, reals: Tensor, fakes: Tensor, which: str = "") -> Tensor:
        """A step of a critic's optimiser, which does not count.

        Args:
            reals: What it is to call real, such as images ``(B, C, H, W)``.
            fakes: Of the same shape.
            which: Of ``critics``.

        Returns:
            What the critic lost in the game, before the step.
        """
        critic = self.critics[which]
        real, fake = critic(reals), critic(fakes)
        loss = self.objective.game.critic(real, fake)
        logged = {"critic": loss.detach()}
        if self.objective.game.penalised:
            penalty = gradient_penalty(_gradient_between(critic, reals, fakes.detach()))
            loss = loss + self.objective.penalty * penalty
            logged["penalty"] = penalty.detach()
        if self.objective.drift:
            drift = real.float().square().mean() + fake.float().square().mean()
            loss = loss + self.objective.drift * drift
            logged["drift"] = drift.detach()
        place = CRITIC + [*self.critics].index(which)
        self.trainer.optimizers[place].zero_grad()
        self.manual_backward(loss, retain_graph=fakes.requires_grad)
        self.trainer.optimizers[place].step()
        self._step_schedule(place)
        self._add({which + name: value for name, value in logged.items()}, len(reals))
        return logged["critic"]

    def counted_step(self, which: int, loss: Tensor) -> None:
        """A step by Lightning's optimiser, which counts as an iteration; gradients add to those that are there."""
        self.manual_backward(loss)
        self.counted(which)

    def counted(self, which: int) -> None:
        """A step by the gradients that are there, which counts as an iteration."""
        cast(list[LightningOptimizer], self.optimizers())[which].step()
        self._step_schedule(which)

    def _step_schedule(self, which: int) -> None:
        if self.trainer.lr_scheduler_configs:
            cast(LambdaLR, self.trainer.lr_scheduler_configs[which].scheduler).step()


class GameTraining(PlainTraining):
    """Training against the critic of a network.

    Args:
        critic_steps: See ``GameModule``.
        critic_rate: See there.
        betas: See there.
        others: See ``PlainTraining``.

    Raises:
        OptionError: If a moment would never be forgotten, or there are not two of them.
    """

    def __init__(self, critic_steps: int, critic_rate: float, betas: tuple[float, ...], **others: Any) -> None:
        super().__init__(**others)
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise OptionError(f"training.betas takes two decays from 0 to below 1, such as [0.5, 0.9], not {betas}")
        self.module_settings |= {"critic_steps": critic_steps, "critic_rate": critic_rate, "betas": tuple(betas)}


def _gradient_between(critic: nn.Module, reals: Tensor, fakes: Tensor) -> Tensor:
    """A critic's gradient, shaped as these, at places at random between real and fake ones; differentiable."""
    share = torch.rand(len(reals), *[1] * (reals.ndim - 1), device=reals.device)
    between = fakes.lerp(reals, share).requires_grad_()
    with torch.autocast(reals.device.type, enabled=False):
        judgements = critic(between)
        (gradient,) = torch.autograd.grad(judgements.sum(), between, create_graph=True)
    return gradient


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
