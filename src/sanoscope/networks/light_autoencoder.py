"""The light backbone: the layers of Zhou, Deng, Wu's network with the outside of the brain methods' backbone."""

from __future__ import annotations

from torch import Tensor, nn

from sanoscope.networks.autoencoder import divisible
from sanoscope.networks.beta_vae import doublings, halvings
from sanoscope.networks.logit_autoencoder import LogitAutoencoder

# Channels after each halving of the encoder; the decoder mirrors them.
WIDTHS = (16, 32, 64, 256)


class LightAutoencoder(LogitAutoencoder):
    """Four strided convolutions, each a block that can be looked into, one valid one to the latent, and back.

    At 1×64×64 and latent 32 it has 999,936 parameters as a VAE, as the network it is taken from, and 868,864 without
    a posterior's variance; with biases 801 and 769 more.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width; a multiple of 16.
        latent: Latent dimensions.
        bias: Of all convolutions; the network it is taken from has none.
        block: See ``LogitAutoencoder``, as all that follow.
        weighting: See there.
        statistics: See there; there is no batch norm, so that both are the same.
        variational: Encode to a posterior, not to the latent itself.
        dropout: See there.
    """

    encoder: nn.Sequential

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        latent: int,
        bias: bool = False,
        block: int = 1,
        weighting: str = "gradient",
        statistics: str = "batch",
        variational: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(block, weighting, statistics, dropout)
        self.latent = latent
        side = divisible(image_size, 2 ** len(WIDTHS), "this network")
        self.encoder = nn.Sequential(*halvings(in_channels, WIDTHS, bias))
        self.mean, self.logvar = self.heads(
            lambda: nn.Sequential(nn.Conv2d(WIDTHS[-1], latent, side, bias=bias), nn.Flatten()), variational
        )
        self.decoder = nn.Sequential(
            nn.Unflatten(1, (latent, 1, 1)),
            nn.ConvTranspose2d(latent, WIDTHS[-1], side, bias=bias),
            *doublings(WIDTHS, in_channels, bias),
        )

    def features(self, images: Tensor, block: int | None = None) -> Tensor:
        """See ``LogitAutoencoder.features``."""
        features: Tensor = self.encoder[: 2 * (block or self.block)](images)
        return features

    def posterior(self, activations: Tensor, block: int | None = None) -> tuple[Tensor, Tensor | None]:
        """See ``LogitAutoencoder.posterior``."""
        return self.through_heads(self.encoder[2 * (block or self.block) :](activations))
