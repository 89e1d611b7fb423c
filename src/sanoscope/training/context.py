"""Training of context autoencoders: the whole image from one of which part is hidden (Zimmerer et al.)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sanoscope.objectives.elbo import Terms
from sanoscope.training.batches import derived_seed
from sanoscope.training.logit import LogitModule
from sanoscope.training.module import Prepared
from sanoscope.training.occlusion import OCCLUSIONS
from sanoscope.training.plain import PlainTraining

# What the randomness of the squares is told apart by from an epoch's noise and augmentation, in its seed.
OCCLUSION_SEED = 2


class ContextModule(LogitModule):
    """Steps that reconstruct the whole image from one with squares in it; validation hides nothing.

    With the ``original`` squares the loss is half that of the image itself, as without any, and half its reconstruction
    from the squares' image, without a KL term.

    Args:
        parts: Network, objective, intensity and augmentation; see ``TrainingModule``.
        occlusion: One of ``OCCLUSIONS``.
        settings: See ``TrainingModule``.
    """

    def __init__(self, *parts: Any, occlusion: str, **settings: Any) -> None:
        super().__init__(*parts, **settings)
        self.occlusion = occlusion

    def on_train_epoch_start(self) -> None:
        """Seed this epoch's squares too."""
        super().on_train_epoch_start()
        self._occluding = torch.Generator(self.device)
        self._occluding.manual_seed(derived_seed(self.seed, self.current_epoch, OCCLUSION_SEED))

    def augmented(self, batch: Prepared) -> Prepared:
        """See ``TrainingModule.augmented``; and what the network sees of the images."""
        batch = super().augmented(batch)
        return batch._replace(seen=OCCLUSIONS[self.occlusion](batch.images, batch.foreground, self._occluding))

    def noise(self, images: Tensor) -> Tensor:
        """See ``TrainingModule.noise``; with the ``original`` squares one for each half of the loss, ``(B, 2, L)``."""
        noise = super().noise(images)
        return torch.stack((noise, super().noise(images)), 1) if self.occlusion == "original" else noise

    def terms(self, batch: Prepared, noise: Tensor | None) -> Terms:
        """See ``TrainingModule.terms``."""
        if noise is None:  # validation, which is of the image as it is
            return super().terms(batch, None)
        assert batch.seen is not None
        if self.occlusion != "original":
            return self.reconstructed(batch.seen, batch.images, noise)[0]
        clean = super().terms(batch, noise[:, 0])
        mean, logvar = self.network.encode(batch.seen)
        logits = self.network.decode_logits(self.network.sample(mean, logvar, noise[:, 1]))
        context = self.objective(batch.images, logits, mean, None).loss
        loss = 0.5 * (clean.loss + context)
        return Terms(loss, clean.logged | {"loss": loss.detach(), "context": context.detach()})


class ContextTraining(PlainTraining):
    """Plain training on images of which part is hidden.

    Args:
        occlusion: What hides it: ``released``, ``comparison`` or ``original``; see the functions of these names.
        settings: See ``PlainTraining``.

    Raises:
        OptionError: See ``PlainTraining``.
    """

    module = ContextModule

    def __init__(self, occlusion: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.module_settings["occlusion"] = occlusion
