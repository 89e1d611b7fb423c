"""What every network shares, whether it reconstructs images, tells them apart, or only sees features in them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Network(nn.Module, ABC):
    """From images to latents, by which images can be compared.

    Attributes:
        latent: Number of latent dimensions ``L``.
    """

    latent: int

    @abstractmethod
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Latents, or means, ``(B, L)`` of images ``(B, C, H, W)``; and the posterior's logvar, where there is one."""

    def initialise(self) -> None:
        """Done once before training, not when a saved network is loaded: fetch published weights, if any."""


def parameter_count(module: nn.Module) -> int:
    """Number of trainable and frozen parameters."""
    return sum(parameter.numel() for parameter in module.parameters())
