"""The squared error of reconstructions, as autoencoders without a posterior are trained by."""

from __future__ import annotations

from torch import Tensor

from sanoscope.objectives.elbo import Terms, squared_error


class SquaredError:
    """``Σ (x − x̂)²`` over a batch, its channels and pixels, or the mean of it.

    Args:
        reduction: ``sum`` or ``mean``. Adam takes the same steps by either, but for how much an L2 penalty on the
            weights counts beside it.
    """

    def __init__(self, reduction: str) -> None:
        self.reduction = reduction

    def __call__(self, images: Tensor, reconstructions: Tensor) -> Terms:
        """The loss of a batch, for images and reconstructions ``(B, C, H, W)``."""
        errors = squared_error(images, reconstructions)  # (B,)
        mean = errors.mean()
        loss = errors.sum()
        if self.reduction == "mean":
            mean = mean / images[0].numel()
            loss = loss / images.numel()
        # Of the loss, what an image has on average is reported, whatever the size of its batch.
        return Terms(loss, {"loss": mean.detach()}, summed=self.reduction == "sum")
