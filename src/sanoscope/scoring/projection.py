"""Dehaene, Frigo, Combrexelle, Eline: Iterative energy-based projection on a normal data manifold.

The image itself is optimised until the model takes it for normal, at a price for every change; what had to change is
abnormal. The steps are those of Adam, as in Zhou et al.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sanoscope.networks.autoencoder import VariationalAutoencoder
from sanoscope.objectives.gaussian_elbo import half_squared_error
from sanoscope.scoring.image_descent import descended

# Adam's own values (Kingma and Ba, 2015), which the paper does not change.
MOMENTUM, SQUARED_MOMENTUM, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Projection:
    """Minimise ``L_rec(x_t) + λ ‖x_t − x_0‖₁`` over the image, from the image as it is.

    Attributes:
        weight: λ, in units of the prepared intensities: a pixel is held back where it is off by less.
        steps: The most steps of an image.
        rate: Adam's step size.
        mask: Multiply the gradient by ``(x_t − x̂_t)²``, so that well-reconstructed pixels stay put.
        stop: An image stops for good as soon as its ``Σ ½ (x_t − x̂_t)²`` is no greater than this.
    """

    weight: float
    steps: int
    rate: float
    mask: bool
    stop: float = -math.inf

    def __call__(self, network: VariationalAutoencoder, images: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` made normal; each takes its own steps, whatever else is in the batch."""

        def slope(pixels: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            return self._slope(network, pixels, images[rows])

        return descended(images, self.steps, slope, _Adam(images, self.rate), self.stop)

    def _slope(self, network: VariationalAutoencoder, images: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each image, ``(B,)``, and the energy's gradient."""
        pixels = images.requires_grad_()
        with torch.enable_grad():
            error = half_squared_error(pixels, network.decode(network.encode(pixels)[0]))
            losses = error.flatten(1).sum(1)
            (gradient,) = torch.autograd.grad(losses.sum(), pixels)
        moved = images.detach() - start
        # At x_0 itself the price has many slopes; the least sum keeps a pixel there until moving pays.
        resting = gradient.sign() * (gradient.abs() - self.weight).clamp(min=0)
        gradient = torch.where(moved == 0, resting, gradient + self.weight * moved.sign())
        return losses.detach(), gradient * 2 * error.detach() if self.mask else gradient


class _Adam:
    """Adam's steps, with moments of each image of a batch; see ``descended``."""

    def __init__(self, images: Tensor, rate: float) -> None:
        self.rate = rate
        self.first, self.second = torch.zeros_like(images), torch.zeros_like(images)

    def __call__(self, step: int, gradient: Tensor, rows: Tensor) -> Tensor:
        first, second = self.first, self.second
        first[rows] = first[rows].lerp(gradient, 1 - MOMENTUM)
        second[rows] = second[rows].lerp(gradient.square(), 1 - SQUARED_MOMENTUM)
        size = (second[rows] / (1 - SQUARED_MOMENTUM**step)).sqrt() + EPSILON
        return self.rate * first[rows] / (1 - MOMENTUM**step) / size
