"""You, Tezcan, Chen, Konukoglu: Unsupervised lesion detection via image restoration with a normative prior.

The image is moved to where the VAE takes it for normal, by plain gradient descent; a price on the total variation of
the change keeps its detail. What had to change is abnormal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sanoscope.errors import OptionError
from sanoscope.networks.logit_autoencoder import LogitAutoencoder
from sanoscope.objectives.elbo import LOGVAR_RANGE, gaussian_kl, squared_error
from sanoscope.objectives.logit_elbo import reconstruction_error
from sanoscope.objectives.total_variation import total_variation
from sanoscope.scoring.image_descent import descended
from sanoscope.scoring.look import Look
from sanoscope.scoring.map_scoring import some
from sanoscope.scoring.residual import POSITIVE, ResidualScoring, differences

# Of so many normals raw maps are kept, fewer than of other maps, as each takes hundreds of passes.
NORMALS = 64
# Descent settles where its step size times the curvature stays below 2, and the curvature of a total variation rounded
# by ε is at most 8 / ε, eight being the greatest eigenvalue of a grid's Laplacian. Some is left for the other terms.
SETTLING = 8 / 1.6


@dataclass(frozen=True)
class Restoration:
    """Minimise an energy over the image, from the image as it is.

    With ``x₀`` the image, ``x`` where it is and ``x̂`` what that is reconstructed as by the posterior mean, it is
    ``Σ (x̂ − x)² + KL + ρ TV(x₀ − x)``, ``original``; or that of the code released with Silva-Rodríguez et al.,
    ``KL / L + (BCE(x̂, x₀) + ρ TV(x₀ − x̂)) / CHW``, ``released``. Values may leave [0, 1]: neither energy asks for that
    range, and a clamp would hold pixels back beside the price.

    Attributes:
        form: Of the energy, ``original`` or ``released``.
        weight: ρ.
        rounded: Round the corner of the original form's total variation, as far as it takes for the last steps to
            settle. Without, they overshoot it for ever, and where they end depends on the last digit of the arithmetic.
        steps: Their number.
        rates: Step size of the first steps, and of the rest.
        first: How many those first are.
        clip: Most of the gradient at a pixel, in absolute value.
    """

    form: str
    weight: float
    rounded: bool
    steps: int
    rates: tuple[float, float]
    first: int
    clip: float

    def __call__(self, network: LogitAutoencoder, images: Tensor, inside: Tensor | None = None) -> Tensor:
        """Images ``(B, C, H, W)`` made normal.

        Args:
            network: In evaluation mode.
            images: In [0, 1].
            inside: Where pixels may move, ``(B, H, W)`` bool; None everywhere.
        """

        def slope(pixels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            pixels.requires_grad_()
            with torch.enable_grad():
                energy = self.energy(network, pixels, images[rows])
                (gradient,) = torch.autograd.grad(energy.sum(), pixels)
            return energy.detach(), gradient

        def change(step: int, gradient: Tensor, rows: Tensor) -> Tensor:
            taken = self.rates[step > self.first] * gradient.clamp(-self.clip, self.clip)
            return taken if inside is None else taken * inside[rows, None]

        return descended(images, self.steps, slope, change)

    def energy(self, network: LogitAutoencoder, images: Tensor, start: Tensor) -> Tensor:
        """The energy ``(B,)`` of images that are at ``(B, C, H, W)`` and started at ``(B, C, H, W)``."""
        mean, logvar = network.encode(images)
        logits = network.decode_logits(mean).float()
        kl = 0.0 if logvar is None else gaussian_kl(mean, logvar.clamp(*LOGVAR_RANGE))
        if self.form == "released":
            variation = total_variation(start - logits.sigmoid()) / start[0].numel()
            return kl / mean.shape[1] + reconstruction_error(start, logits, "bce") + self.weight * variation
        rounding = SETTLING * self.rates[1] * self.weight if self.rounded else 0.0
        return squared_error(images, logits.sigmoid()) + kl + self.weight * total_variation(start - images, rounding)


class RestorationScoring(ResidualScoring):
    """``restoration`` and ``positive-restoration``, what ``Restoration`` changes, beside the residuals.

    Args:
        restoration_form: See ``Restoration``, as all that begin so.
        restoration_weight: ρ.
        restoration_rounded: Round the corner of the total variation.
        restoration_steps: Their number.
        restoration_rates: Step size of the first steps, and of the rest.
        restoration_first: How many those first are.
        restoration_clip: Most of the gradient at a pixel.
        others: See ``ResidualScoring``, also for what positive means.

    Raises:
        OptionError: If there are not two step sizes.
    """

    maps = ("restoration", f"{POSITIVE}restoration", *ResidualScoring.maps)

    def __init__(
        self,
        restoration_form: str = "original",
        restoration_weight: float = 2.2,
        restoration_rounded: bool = True,
        restoration_steps: int = 500,
        restoration_rates: Sequence[float] = (5e-3, 2e-3),
        restoration_first: int = 100,
        restoration_clip: float = 50.0,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        if len(restoration_rates) != 2:
            raise OptionError(
                "scoring.restoration_rates takes 2 numbers, for the first steps and for the rest; "
                f"not {list(restoration_rates)}"
            )
        first, rest = restoration_rates
        self.restoration = Restoration(
            restoration_form,
            restoration_weight,
            restoration_rounded,
            restoration_steps,
            (first, rest),
            restoration_first,
            restoration_clip,
        )

    def normal_name(self, name: str) -> str:
        """See ``MapScoring.normal_name``; every value of the restoration makes another map."""
        if not name.endswith("restoration"):
            return super().normal_name(name)
        return super().normal_name(f"{name} by {self.restoration}")

    def learn(
        self, network: LogitAutoencoder, batches: Iterable[tuple[Tensor, Tensor | None]]
    ) -> dict[str, np.ndarray]:
        """Keep the raw maps of a few training normals; see ``Scoring.learn``."""
        return super().learn(network, list(some(batches, NORMALS)))

    def raw(self, name: str, look: Look) -> Tensor:
        """See ``MapScoring.raw``."""
        if not name.endswith("restoration"):
            return super().raw(name, look)
        absolute, signed = look.once("restoration", lambda: self._changes(look))
        return signed if name.startswith(POSITIVE) else absolute

    def _changes(self, look: Look) -> tuple[Tensor, Tensor]:
        """Absolute and signed changes ``(B, H, W)``."""
        return differences(look.images, self.restoration(look.network, look.images, look.inside))
