"""Silva-Rodríguez, Naranjo, Dolz: Looking at the whole picture (the map of where the encoder looks)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sanoscope.errors import ModelError
from sanoscope.networks.gradcam import channel_weights, class_activation_map, weighted_map
from sanoscope.networks.logit_autoencoder import LogitAutoencoder
from sanoscope.scoring.look import Look
from sanoscope.scoring.residual import ResidualScoring

# Under which the channels' weights are kept, where they are shared.
WEIGHTS = "channel weights"


class AttentionScoring(ResidualScoring):
    """``attention``, the class activation map of the encoder without sigmoid, beside the residual.

    Args:
        channels: ``signed`` weights of the channels as they are, or ``positive`` ones alone.
        form: One of ``networks.gradcam.FORMS``; all are one where the network weighs its channels alike.
        others: See ``ResidualScoring``.
    """

    maps = ("attention", *ResidualScoring.maps)
    differentiated = frozenset({"attention"})

    def __init__(self, channels: str = "signed", form: str = "sum", **others: Any) -> None:
        super().__init__(**others)
        self.positive_channels = channels == "positive"
        self.form = form
        self._shared = WEIGHTS if form == "sum" else f"{WEIGHTS} {form}"

    def normal_name(self, name: str) -> str:
        """See ``MapScoring.normal_name``."""
        return self._normal_attention(self.positive_channels) if name == "attention" else super().normal_name(name)

    def normals_of(self, name: str, look: Look) -> dict[str, Tensor]:
        """See ``MapScoring.normals_of``; of attention both choices of channels, so that one can be changed."""
        if name != "attention" or look.network.weighting == "channel-mean":
            return super().normals_of(name, look)
        return {self._normal_attention(positive): self._attention(look, positive) for positive in (False, True)}

    def _normal_attention(self, positive: bool) -> str:
        form = "" if self.form == "sum" else f"{self.form} "
        return super().normal_name(f"{'positive ' * positive}{form}attention")

    def learn(
        self, network: LogitAutoencoder, batches: Iterable[tuple[Tensor, Tensor | None]]
    ) -> dict[str, np.ndarray]:
        """Average the channels' weights where they are shared, and keep raw maps; see ``Scoring.learn``."""
        self.learned = {}
        if network.weighting == "shared":
            weights = [self._own_weights(Look(network, images, inside)) for images, inside in batches]
            self.learned[self._shared] = torch.cat(weights).mean(0).cpu().numpy()
        return super().learn(network, batches)

    def raw(self, name: str, look: Look) -> Tensor:
        """See ``MapScoring.raw``; shared weights are those of the training normals."""
        if name != "attention":
            return super().raw(name, look)
        return self._attention(look, self.positive_channels)

    def _attention(self, look: Look, positive: bool) -> Tensor:
        mean, _, activations = look.encoded
        weighting = look.network.weighting
        if weighting == "channel-mean":
            return class_activation_map(mean, activations, weighting)
        weights = self._shared_weights(activations) if weighting == "shared" else self._own_weights(look)
        return weighted_map(weights.clamp(min=0) if positive else weights, activations, self.form)

    def _own_weights(self, look: Look) -> Tensor:
        """The channels' weights of each image, ``(B, K)`` or ``(B, L, K)``."""
        return look.once("channel weights", lambda: channel_weights(look.encoded[0], look.encoded[2], self.form))

    def _shared_weights(self, activations: Tensor) -> Tensor:
        """Those of the training normals, ``(1, K)`` or ``(1, L, K)``."""
        if self._shared not in self.learned:
            raise ModelError(
                "network.weighting=shared needs the weights that fitting learned"
                f"{'' if self.form == 'sum' else f' with scoring.form={self.form}'}; fit again"
            )
        return torch.from_numpy(self.learned[self._shared])[None].to(activations.device)
