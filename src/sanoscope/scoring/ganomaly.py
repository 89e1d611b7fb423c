"""Akçay et al.: GANomaly (the score: how far apart the latents of an image and of its reconstruction are)."""

from __future__ import annotations

from torch import Tensor, nn

from sanoscope.networks.dcgan import Coded, EncoderDecoderEncoder
from sanoscope.objectives.ganomaly import latent_error
from sanoscope.scoring.pixel_error import PixelErrorScoring


class GANomalyScoring(PixelErrorScoring):
    """``latent-error``, the mean of ``(z − ẑ)²``, beside the scores by pixels; see ``PixelErrorScoring``."""

    own = ("latent-error",)

    def compared(self, network: EncoderDecoderEncoder, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """See ``PixelErrorScoring.compared``."""
        coded: Coded = network(images)
        return coded.reconstructions.float(), {"latent-error": latent_error(coded.latents, coded.again)}

    def used(self, network: EncoderDecoderEncoder) -> list[nn.Module]:
        """See ``Scoring.used``; the second encoder only where it decides, and never the discriminator."""
        autoencoder: list[nn.Module] = [network.encoder, network.decoder]
        return [*autoencoder, network.second_encoder] if self.names[0] in self.own else autoencoder
