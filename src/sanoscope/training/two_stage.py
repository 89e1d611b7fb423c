"""Schlegl et al.: f-AnoGAN: first a generator against a critic, then an encoder for the two as they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from sanoscope.errors import OptionError
from sanoscope.objectives.elbo import Terms
from sanoscope.training.adversarial import AdversarialModule, AdversarialTraining
from sanoscope.training.game import frozen
from sanoscope.training.generator import GeneratorSteps
from sanoscope.training.module import Prepared

# The optimisers are the generator's, the critic's, and this.
ENCODER = 2
# What RMSprop keeps of its squares in a step: TensorFlow's default, which the method was published with.
SQUARES_DECAY = 0.9


class TwoStageModule(GeneratorSteps, AdversarialModule):
    """The decoder as a generator from noise against the critic; then the encoder alone, with both frozen.

    Args:
        shared: See ``AdversarialModule``, as ``others``.
        generator_iterations: See ``TwoStageTraining``, as ``encoder_rate``.
        encoder_rate: See there.
    """

    def __init__(self, *shared: Any, generator_iterations: int, encoder_rate: float, **others: Any) -> None:
        super().__init__(*shared, **others)
        self.generator_iterations = generator_iterations
        self.encoder_rate = encoder_rate

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LambdaLR]]:
        """Those of generator, critic and encoder, and their schedules, if any, each over its own stage."""
        generator = [*self.network.decoder.parameters()]
        taken = {*generator, *self.critic.parameters()}
        encoder = [one for one in self.network.parameters() if one not in taken]
        optimizers = [
            self.new_optimizer(generator, betas=self.betas),
            self.critic_optimizer(self.critic),
            torch.optim.RMSprop(encoder, self.encoder_rate, SQUARES_DECAY, weight_decay=self.weight_decay),
        ]
        first = self.generator_iterations
        iterations = [first, first * self.critic_steps, self.iterations - first]
        return optimizers, self.schedulers(optimizers, iterations)

    def on_train_epoch_start(self) -> None:
        """As ever, and forget the metrics of the epoch before, which may have been of the other stage."""
        super().on_train_epoch_start()
        self.trainer.callback_metrics.clear()

    def training_step(self, batch: Prepared, batch_index: int) -> None:
        """Steps of the critic and one of the generator; or one of the encoder."""
        images = self.augmented(batch).images
        first = self.trainer.global_step < self.generator_iterations
        terms = self.generator_step(images) if first else self._encoder_step(images)
        self.record(terms, len(images), batch_index)

    def generated(self, images: Tensor) -> Tensor:
        """See ``GeneratorSteps.generated``."""
        return self.network.decode_logits(self.noise(images)).float().sigmoid()

    def _encoder_step(self, images: Tensor) -> Terms:
        fixed = self.network.decoder, self.critic
        for module in fixed:
            module.eval()
        self.trainer.optimizers[ENCODER].zero_grad()
        with frozen(*fixed):
            terms, logits = self.reconstructed(images, images, None)
            features = self.critic.features
            terms = self.objective.with_features(terms, features(images), features(logits.float().sigmoid()))
            self.counted_step(ENCODER, terms.loss)
        return terms


class TwoStageTraining(AdversarialTraining):
    """Training of a generator and a critic, and of an encoder for them.

    Args:
        generator_iterations: Steps of the first stage, out of all iterations; the others are of the second.
        encoder_rate: Learning rate of the second stage, whose optimiser is RMSprop.
        others: See ``AdversarialTraining``, but for ``detach``, as nothing needs it here; ``early_stopping``, as
            validation says little in the first stage; and ``average``, as weights are trained one after another.

    Raises:
        OptionError: If the iterations in all leave none to the second stage; when it runs.
    """

    module = TwoStageModule

    def __init__(self, generator_iterations: int, encoder_rate: float, **others: Any) -> None:
        super().__init__(detach=True, early_stopping=0, average=0.0, **others)
        self.generator_iterations = self.judged_after = generator_iterations
        self.module_settings |= {"generator_iterations": generator_iterations, "encoder_rate": encoder_rate}

    def _length(self, steps: int) -> tuple[int, int]:
        epochs, iterations = super()._length(steps)
        if self.generator_iterations >= iterations:
            raise OptionError(
                f"training.generator_iterations={self.generator_iterations} leaves no iteration to the encoder: there "
                f"are {iterations} in all; lower it, or raise training.epochs and training.max_iterations"
            )
        return epochs, iterations
