"""Training of the deep perceptual autoencoder: plain, growing, or against a critic (Shvetsova et al.)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sanoscope.errors import OptionError
from sanoscope.networks.growing import GrowingAutoencoder, Stage, at_stage, shrunk
from sanoscope.networks.network import Network
from sanoscope.networks.perceptual_autoencoder import PerceptualAutoencoder
from sanoscope.objectives.elbo import Terms
from sanoscope.objectives.perceptual import PerceptualObjective, perceptual_error, weights_of
from sanoscope.preparation.pictures import Pictures
from sanoscope.training.batches import derived_seed
from sanoscope.training.devices import mixed_precision
from sanoscope.training.feature_statistics import set_statistics
from sanoscope.training.game import AUTOENCODER, GameModule, frozen
from sanoscope.training.growth import Growth
from sanoscope.training.kept_features import KeptFeatures, PreparedPictures
from sanoscope.training.module import Prepared, TrainingModule
from sanoscope.training.plain import PlainTraining, Surroundings

# What the first weights of further ways in and out are told apart by from other random numbers of a run.
GROWING_SEED = 2


class PerceptualModule(TrainingModule):
    """Steps by the perceptual error of reconstructions, at the resolution that the network has grown to.

    Args:
        shared: See ``TrainingModule``, as ``others``.
        phase_iterations: See ``PerceptualTraining``.
    """

    network: PerceptualAutoencoder
    objective: PerceptualObjective

    def __init__(self, *shared: Any, phase_iterations: int, **others: Any) -> None:
        super().__init__(*shared, **others)
        layers = self.network.layers
        self.growing = GrowingAutoencoder(self.network)
        self.uses_all = len(layers) == 1  # else the layers of other resolutions wait
        self.growth = Growth(len(layers) - 1, phase_iterations)
        self.weights = [
            weights_of(layers[0], self.objective.layer_weights),
            *(weights_of(one, (1,)) for one in layers[1:]),
        ]
        self.kept: KeptFeatures | None = None
        if self.growth.grown_at >= self.iterations:
            raise OptionError(
                f"training.phase_iterations={phase_iterations} takes {self.growth.grown_at} iterations until the "
                f"network has grown, and there are {self.iterations} in all; lower it, or raise training.epochs and "
                "training.max_iterations"
            )

    @property
    def stage(self) -> Stage:
        """How far the network has grown."""
        return self.growth.stage(self.trainer.global_step)

    def configure_optimizers(self) -> Any:
        """See ``TrainingModule.configure_optimizers``; also over what growing leaves behind."""
        trained = [parameter for parameter in self.growing.parameters() if parameter.requires_grad]
        return self.optimizer_and_schedule(trained)

    def new_scheduler(self, optimizer: Optimizer, iterations: int, first: int = 0) -> LambdaLR:
        """See ``TrainingModule.new_scheduler``; steps become smaller only once the network has grown."""
        return super().new_scheduler(optimizer, iterations, max(first, self.growth.grown_at))

    def noise(self, images: Tensor) -> Tensor:
        """None of it, as nothing is sampled."""
        return images.new_empty(0)

    def training_step(self, batch: Prepared, batch_index: int) -> Tensor | None:
        """See ``TrainingModule.training_step``; each phase starts with the optimiser's moments forgotten."""
        if self.growth.begins(self.trainer.global_step):
            for optimizer in self.trainer.optimizers:
                optimizer.state.clear()
        return super().training_step(batch, batch_index)

    def terms(self, batch: Prepared, noise: Tensor | None) -> Terms:
        """See ``TrainingModule.terms``."""
        return self.reconstructed(batch, training=noise is not None)[0]

    def reconstructed(self, batch: Prepared, training: bool) -> tuple[Terms, Tensor]:
        """The terms, and the reconstructions at the stage's resolution."""
        stage = self.stage
        images = at_stage(batch.images, stage)
        reconstructions: Tensor = self.growing(images, stage)
        return self.compared(images, reconstructions, batch.rows if training else None), reconstructions

    def compared(self, images: Tensor, reconstructions: Tensor, rows: Tensor | None) -> Terms:
        """The terms of reconstructions, at the stage's resolution.

        Args:
            images: ``(B, C, H, W)``.
            reconstructions: Of the same shape.
            rows: Which training images these are, ``(B,)``, whose features may be kept; None if they are none.
        """
        stage = self.stage
        known = self.kept.of(self.features, rows) if self.kept and stage == Stage(0) else None
        error = self._perceptual_error(images, reconstructions, stage, known)
        return self.objective(error, images, reconstructions)

    def features(self, images: Tensor, level: int = 0) -> dict[str, Tensor]:
        """What is compared of images ``(B, C, H, W)`` at a level's resolution, by layer."""
        features: dict[str, Tensor] = self.network.perceptual(images, tuple(self.weights[level]))
        return features

    def _perceptual_error(
        self, images: Tensor, reconstructions: Tensor, stage: Stage, known: Mapping[str, Tensor] | None
    ) -> Tensor:
        """Of each image, ``(B,)``; in a transition partly at the resolution below."""
        level, share = stage
        if known is None:
            with torch.no_grad():
                known = self.features(images, level)
        error = perceptual_error(known, self.features(reconstructions, level), self.weights[level])
        if share == 1:
            return error
        with torch.no_grad():
            below = self.features(shrunk(images, 1), level + 1)
        other = perceptual_error(below, self.features(shrunk(reconstructions, 1), level + 1), self.weights[level + 1])
        return other.lerp(error, share)


class AdversarialPerceptualModule(GameModule, PerceptualModule):
    """For each batch steps of the critic against the reconstructions, then one of the autoencoder."""

    objective: PerceptualObjective

    def judged_loss(self, means: dict[str, Tensor]) -> float | None:
        """See ``TrainingModule.judged_loss``; the game's losses may rise and fall as its sides get better."""
        return float(means["train/perceptual"])

    def training_step(self, batch: Prepared, batch_index: int) -> None:
        """Steps of the critic, then one of the autoencoder."""
        batch = self.augmented(batch)
        for _ in range(self.critic_steps):
            with torch.no_grad():
                reconstructions = self.network(batch.images).float()
            self.critic_step(batch.images, reconstructions)
        self.trainer.optimizers[AUTOENCODER].zero_grad()
        with frozen(self.critic):
            terms, reconstructions = self.reconstructed(batch, training=True)
            terms = self.objective.with_adversarial(terms, self.critic(reconstructions))
            self.counted_step(AUTOENCODER, terms.loss)
        self.record(terms, len(batch.images), batch_index)


class PerceptualTraining(PlainTraining):
    """Training of a perceptual autoencoder; how it grows is the network's, and whether against a critic.

    Args:
        statistics: Folder of natural images that the features' means and deviations are taken of; None takes those of
            the feature network's batch norms where it has them, and otherwise those of the training normals.
        kept_gigabytes: Features of the training images are computed once and kept where they take no more memory; 0
            computes them in every step.
        critic_steps: Of the critic, for each step of the autoencoder and on the same batch.
        critic_rate: Learning rate of the critic, as a multiple of the autoencoder's.
        betas: Decays of both optimisers' moments against a critic.
        phase_iterations: Steps of each phase while the network grows; the last phase has all others.
        others: See ``PlainTraining``.
    """

    module = PerceptualModule
    adversarial_module: type[AdversarialPerceptualModule] = AdversarialPerceptualModule

    def __init__(
        self,
        statistics: str | None,
        kept_gigabytes: float,
        critic_steps: int,
        critic_rate: float,
        betas: tuple[float, ...],
        phase_iterations: int = 1,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise OptionError(f"training.betas takes two decays from 0 to below 1, such as [0.5, 0.9], not {betas}")
        if statistics is not None and not Path(statistics).exists():
            raise OptionError(f"training.statistics={statistics}: no such folder; give one of natural images, or none")
        self.statistics = statistics
        self.kept_bytes = int(kept_gigabytes * 2**30)
        self.module_settings |= {"phase_iterations": phase_iterations}
        self.game_settings: dict[str, Any] = {
            "critic_steps": critic_steps,
            "critic_rate": critic_rate,
            "betas": tuple(betas),
        }

    def module_for(self, network: Network) -> type[TrainingModule]:
        """See ``PlainTraining.module_for``; with a critic, steps against it."""
        assert isinstance(network, PerceptualAutoencoder)
        return self.module if network.critic is None else self.adversarial_module

    def new_module(self, network: Network, *others: Any, **settings: Any) -> TrainingModule:
        """See ``PlainTraining.new_module``."""
        assert isinstance(network, PerceptualAutoencoder)
        torch.manual_seed(derived_seed(settings["seed"], 0, GROWING_SEED))
        if network.critic is None:
            return super().new_module(network, *others, **settings)
        if len(network.layers) > 1:
            raise OptionError(
                "network.critic does not go with a network that grows; set network.growing_from=0, or the critic to "
                "none"
            )
        return super().new_module(network, *others, **settings, **self.game_settings)

    def prepare(self, module: TrainingModule, train: Pictures, surroundings: Surroundings) -> None:
        """Learn the features' statistics where they are not known, and make ready to keep the features."""
        assert isinstance(module, PerceptualModule)
        self.judged_after = module.growth.grown_at
        perceptual = module.network.perceptual.to(surroundings.device)
        images = PreparedPictures(train, module.intensity, surroundings.device)
        set_statistics(perceptual, self.statistics, images)
        if module.augmentation is None:
            half = mixed_precision(self.precision, surroundings.device)
            module.kept = KeptFeatures(images, self.kept_bytes, torch.bfloat16 if half else torch.float32)
