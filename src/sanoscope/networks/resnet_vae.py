"""The "CVAE-U-Net" of Sikdar et al.: a ResNet-34 encoder VAE; there are no skip connections despite the name."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks.autoencoder import VariationalAutoencoder, divisible
from sanoscope.networks.pretrained import load_pretrained
from sanoscope.networks.resnet import WIDTHS, ResNetTrunk


class ResNetVAE(VariationalAutoencoder):
    """ResNet trunk, heads with one hidden layer of 128, and five transposed convolutions without batch norm.

    Args:
        in_channels: Channels of the image; 3 where pretrained weights are used.
        image_size: Height and width, a multiple of 32.
        latent: Latent dimensions.
        backbone: ``resnet34`` as in the paper, or ``resnet18``.
        pretrained: Start from ImageNet weights.
        weights: Local file of the weights; None loads them by name.
        frozen: Keep the trunk's parameters as they are.
        frozen_bn: Keep a frozen trunk's batch-norm statistics too; the published code lets them drift.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        latent: int,
        backbone: str,
        pretrained: bool,
        weights: str | None,
        frozen: bool,
        frozen_bn: bool,
    ) -> None:
        super().__init__()
        self.latent = latent
        self.frozen_bn = frozen and frozen_bn
        self.published = (backbone, weights) if pretrained else None
        side = divisible(image_size, 32, "this network")
        flat = WIDTHS[-1] * side * side
        self.trunk = ResNetTrunk(backbone, in_channels)
        if frozen:
            self.trunk.requires_grad_(False)
        self.mean = nn.Sequential(nn.Linear(flat, 128), nn.ReLU(), nn.Linear(128, latent))
        self.logvar = nn.Sequential(nn.Linear(flat, 128), nn.ReLU(), nn.Linear(128, latent))
        ups: list[nn.Module] = []
        for before, after in ((512, 256), (256, 128), (128, 64), (64, 32)):
            ups += [nn.ConvTranspose2d(before, after, 3, 2, 1, 1), nn.ReLU(inplace=True)]
        self.decoder = nn.Sequential(
            nn.Linear(latent, flat),
            nn.Unflatten(1, (WIDTHS[-1], side, side)),
            *ups,
            nn.ConvTranspose2d(32, in_channels, 3, 2, 1, 1),
            nn.Tanh(),
        )

    def initialise(self) -> None:
        """Fetch the published weights; see ``load_pretrained`` for its errors.

        Raises:
            OptionError: If the images do not have the three channels that the published weights see.
        """
        if self.published:
            channels = self.trunk.conv1.in_channels
            if channels != 3 and self.published[1] is None:
                raise OptionError(
                    f"the published weights see 3 channels, the images have {channels}; set "
                    "preparation.channels=rgb or network.pretrained=false"
                )
            load_pretrained(self.trunk, *self.published, option="network")

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode; a trunk with frozen statistics stays in evaluation mode."""
        super().train(mode)
        if self.frozen_bn:
            self.trunk.eval()
        return self

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See ``VariationalAutoencoder.encode``."""
        features = self.trunk(images).flatten(1)  # (B, 512·h·w)
        return self.mean(features), self.logvar(features)

    def decode(self, latents: Tensor) -> Tensor:
        """See ``VariationalAutoencoder.decode``."""
        images: Tensor = self.decoder(latents)
        return images
