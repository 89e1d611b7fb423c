"""Training of autoencoders that decode to logits, variational or not."""

from __future__ import annotations

from torch import Tensor

from sanoscope.networks.logit_autoencoder import LogitAutoencoder
from sanoscope.objectives.elbo import Terms
from sanoscope.objectives.logit_elbo import LogitELBO
from sanoscope.training.module import Prepared, TrainingModule
from sanoscope.training.plain import PlainTraining


class LogitModule(TrainingModule):
    """Steps of reconstruction, and KL where there is a posterior."""

    network: LogitAutoencoder
    objective: LogitELBO

    def terms(self, batch: Prepared, noise: Tensor | None) -> Terms:
        """See ``TrainingModule.terms``."""
        return self.reconstructed(batch.images, batch.images, noise)[0]

    def reconstructed(self, seen: Tensor, images: Tensor, noise: Tensor | None) -> tuple[Terms, Tensor]:
        """The terms, and the logits ``(B, C, H, W)``.

        Args:
            seen: What the encoder gets, ``(B, C, H, W)``.
            images: What is to be reconstructed, of the same shape.
            noise: See ``TrainingModule.terms``.
        """
        mean, logvar = self.network.encode(seen)
        logits = self.network.decode_logits(self.network.sample(mean, logvar, noise))
        return self.objective(images, logits, mean, logvar), logits


class LogitTraining(PlainTraining):
    """Plain training of an autoencoder that decodes to logits; see ``PlainTraining``."""

    module = LogitModule
