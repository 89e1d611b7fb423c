"""How badly a classifier guesses."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from sanoscope.objectives.elbo import Terms


class CrossEntropy:
    """Mean over the batch of minus the log-probability of the right class."""

    def __call__(self, logits: Tensor, classes: Tensor) -> Terms:
        """The loss of a batch, with the share of images whose class is the likeliest.

        Args:
            logits: ``(B, K)``.
            classes: ``(B,)``, from 0.
        """
        loss = F.cross_entropy(logits, classes)
        accuracy = (logits.argmax(1) == classes).float().mean()
        return Terms(loss, {"loss": loss.detach(), "accuracy": accuracy})
