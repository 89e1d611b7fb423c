"""Score matching by denoising (Vincent): an image is to be found again from what noise has made of it."""

from __future__ import annotations

from torch import Tensor

from sanoscope.objectives.elbo import Terms


class DenoisingObjective:
    """The mean squared error of pixels.

    Args:
        noise: Standard deviation of the noise that is added to images in training.
    """

    def __init__(self, noise: float) -> None:
        self.noise = noise

    def __call__(self, images: Tensor, reconstructions: Tensor) -> Terms:
        """The loss of a batch, for images ``(B, C, H, W)`` without noise and reconstructions of noisy ones."""
        loss = (images - reconstructions).square().mean()
        return Terms(loss, {"loss": loss.detach()})
