"""Zhai et al.: Deep structured energy based models for anomaly detection: a network whose output is an energy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sanoscope.networks.autoencoder import divisible
from sanoscope.networks.network import Network

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "softplus": nn.Softplus}


class EnergyNetwork(Network):
    """The energy ``E(x) = ½ ‖x − b‖² − Σ h(x)`` of an image, low for those like the training normals.

    ``h`` is 3×3 convolutions that halve the image, each with batch norm, and a linear layer, all activated. The
    gradient makes a reconstruction, ``x − ∂E/∂x``, which is ``b + ∂Σh/∂x``.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width; a multiple of 2 to the number of widths.
        latent: Numbers ``h`` has.
        widths: Channels after each halving.
        activation: ``softplus``; or ``relu``, whose gradient jumps, so that rounding can be seen in reconstructions.

    Attributes:
        prior: ``b``, ``(C, H, W)``.

    Raises:
        OptionError: If the size is no such multiple.
    """

    def __init__(
        self, in_channels: int, image_size: int, latent: int, widths: Sequence[int], activation: str = "softplus"
    ) -> None:
        super().__init__()
        self.latent = latent
        activated = ACTIVATIONS[activation]
        side = divisible(image_size, 2 ** len(widths), "this network")
        layers: list[nn.Module] = []
        for before, after in zip((in_channels, *widths), widths, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), activated()]
        head = nn.Linear(widths[-1] * side**2, latent)
        self.encoder = nn.Sequential(*layers, nn.Flatten(), head, activated())
        for layer in self.encoder:
            if isinstance(layer, nn.Conv2d | nn.Linear):  # as in Keras, with which the image version was published
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.prior = nn.Parameter(torch.zeros(in_channels, image_size, image_size))

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        """``h``, ``(B, L)``, not negative, of images ``(B, C, H, W)``."""
        return self.encoder(images).float(), None

    def energy(self, images: Tensor) -> Tensor:
        """The energy ``(B,)`` of images ``(B, C, H, W)``."""
        return 0.5 * (images - self.prior).square().flatten(1).sum(1) - self.encode(images)[0].sum(1)

    def reconstruct(self, images: Tensor, differentiable: bool = False) -> Tensor:
        """``x − ∂E/∂x``, ``(B, C, H, W)``; works where gradients are switched off, but not in inference mode.

        Args:
            images: ``(B, C, H, W)``.
            differentiable: Whether gradients of the reconstruction can be taken.
        """
        with torch.enable_grad():
            pixels = images.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.encode(pixels)[0].sum(), pixels, create_graph=differentiable)
        return self.prior + slope
