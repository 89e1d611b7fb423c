"""The LeNet of Ruff et al.: Deep one-class classification, with the point that its latents are drawn to."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sanoscope.errors import OptionError
from sanoscope.networks.autoencoder import divisible
from sanoscope.networks.network import Network

# Channels before each halving; the decoder mirrors them.
WIDTHS = (32, 64, 128)
KERNEL = 5
# Of batch norms, which have neither scale nor shift: a shift could move all latents to one point.
EPSILON = 1e-4
# Side of what the decoder takes latents for.
FIRST_SIDE = 4


class LeNet(Network):
    """Three 5×5 convolutions, each halved by max-pooling, and a linear layer; nothing in it has a bias.

    At 3×32×32 and latent 128 it has 520,544 parameters. With biases the best encoder would be a constant.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width; a multiple of 8.
        latent: Latent dimensions; a multiple of 16, as the decoder takes them for 4×4 places.

    Attributes:
        centre: Where latents of normal images are drawn to, ``(L,)``; saved with the weights.

    Raises:
        OptionError: If the sizes are no such multiples.
    """

    centre: Tensor

    def __init__(self, in_channels: int, image_size: int, latent: int) -> None:
        super().__init__()
        if latent % FIRST_SIDE**2:
            raise OptionError(f"network.latent must be a multiple of {FIRST_SIDE**2}, such as 128, not {latent}")
        side = divisible(image_size, 2 ** len(WIDTHS), "this network")
        self.in_channels, self.image_size, self.latent = in_channels, image_size, latent
        layers: list[nn.Module] = []
        for before, after in zip((in_channels, *WIDTHS), WIDTHS, strict=False):
            convolution = nn.Conv2d(before, after, KERNEL, padding=KERNEL // 2, bias=False)
            layers += [_scaled(convolution), _norm(after), nn.LeakyReLU(), nn.MaxPool2d(2)]
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTHS[-1] * side**2, latent, bias=False))
        self.register_buffer("centre", torch.zeros(latent))

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        """Latents ``(B, L)`` of images ``(B, C, H, W)``."""
        return self.encoder(images).float(), None

    def new_decoder(self) -> LeNetDecoder:
        """A decoder to train the encoder with first; it is no part of the network, which does without it later."""
        return LeNetDecoder(self.in_channels, self.image_size, self.latent)


class LeNetDecoder(nn.Module):
    """The encoder's mirror image: transposed convolutions on 4×4 places, and on those after each enlargement.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width; a multiple of 8.
        latent: Latent dimensions; a multiple of 16.
    """

    def __init__(self, in_channels: int, image_size: int, latent: int) -> None:
        super().__init__()
        self.latent_norm = nn.BatchNorm1d(latent, eps=EPSILON, affine=False)
        widths = (latent // FIRST_SIDE**2, *reversed(WIDTHS))
        self.convolutions = nn.ModuleList(
            _scaled(nn.ConvTranspose2d(before, after, KERNEL, padding=KERNEL // 2, bias=False))
            for before, after in zip(widths, (*widths[1:], in_channels), strict=True)
        )
        self.norms = nn.ModuleList(_norm(width) for width in widths[1:])
        # The first enlargement is twofold at 32 pixels; of larger images it takes all that is left.
        self.sides = [image_size // 2**halvings for halvings in reversed(range(len(WIDTHS)))]

    def forward(self, latents: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` in [0, 1] of latents ``(B, L)``."""
        features = F.leaky_relu(self.latent_norm(latents).unflatten(1, (-1, FIRST_SIDE, FIRST_SIDE)))
        *enlarged, last = self.convolutions
        for convolution, norm, side in zip(enlarged, self.norms, self.sides, strict=True):
            features = F.interpolate(F.leaky_relu(norm(convolution(features))), (side, side))
        images: Tensor = last(features).float().sigmoid()
        return images


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=EPSILON, affine=False)


def _scaled(convolution: nn.Module) -> nn.Module:
    """The convolution with the published initial weights."""
    nn.init.xavier_uniform_(convolution.weight, nn.init.calculate_gain("leaky_relu"))  # type: ignore[arg-type]
    return convolution
