"""The negative ELBO with a constraint on the size of the attention (Silva-Rodríguez, Naranjo, Dolz)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sanoscope.errors import OptionError
from sanoscope.objectives.elbo import Terms
from sanoscope.objectives.logit_elbo import LogitELBO
from sanoscope.objectives.size_constraint import area_weights, mean_over, size_penalty


class ConstrainedELBO(LogitELBO):
    """``L_R + β L_KL + λ L_S``, each a mean over the batch.

    ``L_R`` is the mean over pixels and ``L_KL`` over latent dimensions, or both are sums; λ and t are tuned to which.

    Args:
        reconstruction: See ``LogitELBO``, as the next two.
        reduction: See there.
        beta: See there.
        constraint: See ``size_penalty``; ``none`` leaves a plain VAE.
        slack: ``p``, the share of the image that attention may leave out.
        sharpness: ``t`` of the barrier.
        two_sided: See ``size_penalty``.
        weight: λ.
        pretraining: Iterations without the constraint.
        ramp: Iterations after those over which its weight rises linearly to λ.
        attention_area: The ``image`` over which attention is averaged, or its ``foreground``.
        attention_grid: Constrain the attention on its own ``map``, or upsampled to the ``image`` beforehand.

    Raises:
        OptionError: If p leaves nothing to constrain, or t is not positive.
    """

    def __init__(
        self,
        reconstruction: str,
        reduction: str,
        beta: float,
        constraint: str,
        slack: float,
        sharpness: float,
        two_sided: bool,
        weight: float,
        pretraining: int,
        ramp: int,
        attention_area: str,
        attention_grid: str,
    ) -> None:
        if slack >= 1:
            raise OptionError(f"objective.slack must be below 1, the whole image, not {slack:g}")
        if sharpness <= 0:
            raise OptionError(f"objective.sharpness must be above 0, not {sharpness:g}")
        super().__init__(reconstruction, reduction, beta)
        self.constraint = constraint
        self.slack = slack
        self.sharpness = sharpness
        self.two_sided = two_sided
        self.weight = 0.0 if constraint == "none" else weight
        self.pretraining = pretraining
        self.ramp = ramp
        self.attention_area = attention_area
        self.attention_grid = attention_grid

    def weight_at(self, iteration: int) -> float:
        """The constraint's weight in an iteration, counted from 0."""
        risen = iteration - self.pretraining
        if risen < 0:
            return 0.0
        return self.weight * (min((risen + 1) / self.ramp, 1.0) if self.ramp else 1.0)

    def __call__(
        self,
        images: Tensor,
        logits: Tensor,
        mean: Tensor,
        logvar: Tensor | None,
        attention: Tensor | None = None,
        inside: Tensor | None = None,
        weight: float | None = None,
    ) -> Terms:
        """The loss of a batch.

        Args:
            images: ``(B, C, H, W)`` in [0, 1].
            logits: Of the reconstructions, ``(B, C, H, W)``.
            mean: ``(B, L)``.
            logvar: ``(B, L)``.
            attention: Before the sigmoid, ``(B, h, w)``; None leaves out the constraint.
            inside: The foreground ``(B, H, W)`` bool; None where everything is.
            weight: Of the constraint; λ where None.
        """
        terms = super().__call__(images, logits, mean, logvar)
        if attention is None:
            return terms
        covered, penalty = self._size(attention, inside, images.shape[2:])
        loss = terms.loss + (self.weight if weight is None else weight) * penalty
        measured = {"loss": loss.detach(), "attention": covered.detach(), "constraint": penalty.detach()}
        return Terms(loss, terms.logged | measured)

    def _size(self, attention: Tensor, inside: Tensor | None, size: torch.Size) -> tuple[Tensor, Tensor]:
        """How much of the area attention covers, and the penalty: means over the batch."""
        if self.attention_grid == "image":
            attention = F.interpolate(attention[:, None], size, mode="bilinear", align_corners=True)[:, 0]
        attention = attention.sigmoid()  # (B, h, w)
        weights = None
        if self.attention_area == "foreground" and inside is not None:
            weights = area_weights(inside, attention)
        penalty = size_penalty(attention, self.constraint, self.slack, self.sharpness, self.two_sided, weights)
        return mean_over(attention, weights).mean(), penalty.mean()
