"""One look of a network at a batch of images: what maps and scores are made of, each computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from sanoscope.networks.logit_autoencoder import LogitAutoencoder

Result = TypeVar("Result")


class Look:
    """Latents, activations and reconstruction of a batch, computed when they are first asked for.

    Args:
        network: In evaluation mode.
        images: ``(B, C, H, W)`` in [0, 1].
        inside: Where is looked for something, ``(B, H, W)`` bool; None everywhere.
        differentiable: Whether gradients through the encoder will be asked for.
    """

    def __init__(
        self, network: LogitAutoencoder, images: Tensor, inside: Tensor | None, differentiable: bool = False
    ) -> None:
        self.network = network
        self.images = images
        self.inside = inside
        self._differentiable = differentiable
        self._known: dict[str, Any] = {}

    @cached_property
    def encoded(self) -> tuple[Tensor, Tensor | None, Tensor]:
        """Mean, logvar and activations; from the activations on with gradients, which nothing before them needs."""
        with torch.no_grad():
            activations = self.network.features(self.images)
        with torch.enable_grad():
            activations = activations.detach().requires_grad_()
            return *self.network.posterior(activations), activations

    @cached_property
    def posterior(self) -> tuple[Tensor, Tensor | None]:
        """Mean and logvar ``(B, L)``, the latter None in a deterministic autoencoder."""
        if self._differentiable:
            mean, logvar, _ = self.encoded
            return mean.detach(), None if logvar is None else logvar.detach()
        with torch.no_grad():
            return self.network.encode(self.images)

    @cached_property
    def logits(self) -> Tensor:
        """Of the reconstruction by the mean, ``(B, C, H, W)`` float32."""
        with torch.no_grad():
            return self.network.decode_logits(self.posterior[0]).float()

    @cached_property
    def reconstruction(self) -> Tensor:
        """The network's healthy version, ``(B, C, H, W)`` in [0, 1]."""
        return self.logits.sigmoid()

    def once(self, name: str, compute: Callable[[], Result]) -> Result:
        """What several maps are made of, computed when it is first asked for."""
        if name not in self._known:
            self._known[name] = compute()
        result: Result = self._known[name]
        return result
