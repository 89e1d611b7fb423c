"""What every autoencoder shares; variational ones have a diagonal Gaussian posterior and its reparameterised sample."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

from torch import Tensor

from sanoscope.networks.network import Network

# exp stays finite in float32, and the clamp is far outside of what a trained encoder gives.
LOGVAR_RANGE = (-30.0, 20.0)


class Autoencoder(Network):
    """An encoder to a latent, or to a Gaussian posterior of it, and a decoder back."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` of latents ``(B, L)``."""


class VAEOutput(NamedTuple):
    """What a forward pass gives.

    Attributes:
        reconstruction: ``(B, C, H, W)``.
        mean: Posterior mean, ``(B, L)``.
        logvar: Logarithm of the posterior variance, ``(B, L)``, not clamped.
    """

    reconstruction: Tensor
    mean: Tensor
    logvar: Tensor


class VariationalAutoencoder(Autoencoder):
    """An encoder to a Gaussian posterior and a decoder back (Kingma and Welling, 2014)."""

    @abstractmethod
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logvar ``(B, L)`` of the posterior of images ``(B, C, H, W)``."""

    def forward(self, images: Tensor, noise: Tensor | None = None) -> VAEOutput:
        """Encode, sample and decode.

        Args:
            images: ``(B, C, H, W)``.
            noise: Standard normal ``(B, L)`` for a sampled latent; None takes the posterior mean.
        """
        mean, logvar = self.encode(images)
        # Head and sample stay in float32 when the rest runs in bfloat16.
        mean, logvar = mean.float(), logvar.float()
        return VAEOutput(self.decode(reparameterised(mean, logvar, noise)), mean, logvar)


def reparameterised(mean: Tensor, logvar: Tensor, noise: Tensor | None) -> Tensor:
    """Latents ``(B, L)`` of a posterior by standard normal noise ``(B, L)``; its mean where there is none."""
    return mean if noise is None else mean + noise * (0.5 * logvar.clamp(*LOGVAR_RANGE)).exp()


def divisible(image_size: int, factor: int, network: str) -> int:
    """``image_size // factor``, or an error that says which sizes would do.

    Raises:
        OptionError: If the size is no multiple of the factor.
    """
    from sanoscope.errors import OptionError

    if image_size < factor or image_size % factor:
        raise OptionError(
            f"{network} halves the image {factor.bit_length() - 1} times, so preparation.image_size must be "
            f"a multiple of {factor}, not {image_size}"
        )
    return image_size // factor
