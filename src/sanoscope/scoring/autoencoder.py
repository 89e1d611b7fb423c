"""Scores and the map of an autoencoder without a posterior: the pixels that its reconstruction misses."""

from __future__ import annotations

from torch import Tensor

from sanoscope.networks.plain_autoencoder import PlainAutoencoder
from sanoscope.scoring.pixel_error import PixelErrorScoring


class AutoencoderScoring(PixelErrorScoring):
    """The scores by pixels, and none of its own; see ``PixelErrorScoring``."""

    own = ()

    def compared(self, network: PlainAutoencoder, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See ``PixelErrorScoring.compared``."""
        reconstructions: Tensor = network(images)
        return reconstructions.float(), {}
