"""Maps from what a decoder misses: the residual of one reconstruction, or of many stochastic ones."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from sanoscope.scoring.look import Look
from sanoscope.scoring.map_scoring import MapScoring
from sanoscope.scoring.noise import noise_of

# How the names of maps begin that are of brighter pixels only.
POSITIVE = "positive-"


class ResidualScoring(MapScoring):
    """``residual``, the mean over channels of ``|x − x̂|``, and ``positive-residual``, that of ``x − x̂``.

    The latter, for anomalies that are bright, is negative where the image is darker until it has been read, so that
    smoothing and comparison with normals see both sides.

    Args:
        samples: Stochastic passes whose residuals are averaged: of the posterior, or by dropout of the latents
            (Pawlowski et al.); 0 is one pass by the mean.
        samples_seed: Of the passes' noise, which follows from the image.
        shared: See ``MapScoring``.
    """

    maps: ClassVar[tuple[str, ...]] = ("residual", "positive-residual")

    def __init__(self, samples: int = 0, samples_seed: int = 0, **shared: Any) -> None:
        super().__init__(**shared)
        self.samples = samples
        self.samples_seed = samples_seed

    def normal_name(self, name: str) -> str:
        """See ``MapScoring.normal_name``; one pass of normals says nothing of the mean of many."""
        return super().normal_name(f"sampled {name}" if self.samples else name)

    def raw(self, name: str, look: Look) -> Tensor:
        """See ``MapScoring.raw``."""
        absolute, signed = look.once("residuals", lambda: self._residuals(look))
        return signed if name.startswith(POSITIVE) else absolute

    def _residuals(self, look: Look) -> tuple[Tensor, Tensor]:
        """Absolute and signed residuals ``(B, H, W)``."""
        return self._mean_differences(look) if self.samples else differences(look.images, look.reconstruction)

    @torch.no_grad()
    def _mean_differences(self, look: Look) -> tuple[Tensor, Tensor]:
        """The mean residuals of many passes, which share what the encoder says."""
        mean, logvar = look.posterior
        noise = noise_of(look.images, self.samples * mean.shape[1], self.samples_seed)
        totals = torch.zeros(2, *look.images[:, 0].shape, device=look.images.device)
        for one in noise.view(len(mean), self.samples, -1).unbind(1):
            latents = look.network.sample(mean, logvar, one)
            reconstructions = look.network.decode_logits(latents).float().sigmoid()
            totals += torch.stack(differences(look.images, reconstructions))
        absolute, signed = totals / self.samples
        return absolute, signed


def differences(images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """``|x − y|`` and ``x − y``, means over channels: ``(B, C, H, W)`` twice to ``(B, H, W)`` each."""
    difference = images - others
    return difference.abs().mean(1), difference.mean(1)
