"""Radford, Metz, Chintala: Unsupervised representation learning with deep convolutional GANs (DCGAN).

Strided 4×4 convolutions without biases down to 4×4 places and back up, with nothing else between images and vectors.
As Akçay et al. have them, who put two encoders of the discriminator's kind around a generator (GANomaly).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks.autoencoder import Autoencoder
from sanoscope.networks.network import Network

# Slope of the leaky ReLUs.
SLOPE = 0.2
# Deviation of first weights, about 0 of convolutions and about 1 of batch norms.
DEVIATION = 0.02
# Side of the activations between the last stride and the vector.
INNERMOST = 4


class GenerativeAdversarialNetwork(Network):
    """A generator of images from noise, and a discriminator; there is no encoder.

    At 3×32×32 with latent 100 and width 32 it has 538,432 parameters.

    Args:
        in_channels: Channels of the image.
        image_size: Height and width, 4 times a power of two, from 8 on.
        latent: Dimensions of the noise.
        width: Channels at half of the resolution; they double with each further halving.

    Attributes:
        critic: What judges images in training, and whose features are compared in scoring.
    """

    def __init__(self, in_channels: int, image_size: int, latent: int, width: int) -> None:
        super().__init__()
        self.latent = latent
        self.decoder = generator(latent, in_channels, image_size, width)
        self.critic = Discriminator(in_channels, image_size, width)
        initialise(self)

    def decode(self, latents: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` in [-1, 1] of latents ``(B, L)``."""
        images: Tensor = self.decoder(latents)
        return images

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Not to be had: what latents an image has is searched for, see ``sanoscope.scoring.latent_search``."""
        raise NotImplementedError("a generator alone has no encoder; its latents are searched for")


class Coded(NamedTuple):
    """What an encoder, a decoder and an encoder make of images.

    Attributes:
        reconstructions: ``(B, C, H, W)``.
        latents: Of the images, ``(B, L)``.
        again: Of the reconstructions, ``(B, L)``.
    """

    reconstructions: Tensor
    latents: Tensor
    again: Tensor


class EncoderDecoderEncoder(Autoencoder):
    """GANomaly: an autoencoder, an encoder of its own for what it reconstructs, and a discriminator.

    At 3×32×32 with latent 100 and width 64 it has 3,869,824 parameters.

    Args:
        in_channels: See ``GenerativeAdversarialNetwork``, as all others.
        image_size: See there.
        latent: Dimensions of both encoders' latents.
        width: See there.

    Attributes:
        critic: What judges images in training.
    """

    def __init__(self, in_channels: int, image_size: int, latent: int, width: int) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = nn.Sequential(*halvings(in_channels, image_size, width), _head(image_size, width, latent))
        self.decoder = generator(latent, in_channels, image_size, width)
        self.second_encoder = nn.Sequential(*halvings(in_channels, image_size, width), _head(image_size, width, latent))
        self.critic = Discriminator(in_channels, image_size, width)
        initialise(self)

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        """See ``Network.encode``."""
        return self.encoder(images).flatten(1), None

    def decode(self, latents: Tensor) -> Tensor:
        """See ``Autoencoder.decode``; in [-1, 1]."""
        images: Tensor = self.decoder(latents)
        return images

    def forward(self, images: Tensor) -> Coded:
        """Encode ``(B, C, H, W)``, decode, and encode again."""
        latents = self.encode(images)[0]
        reconstructions = self.decode(latents)
        return Coded(reconstructions, latents, self.second_encoder(reconstructions).flatten(1))


class Discriminator(nn.Module):
    """How real images are; no sigmoid.

    Args:
        in_channels: See ``GenerativeAdversarialNetwork``, as all others.
        image_size: See there.
        width: See there.
    """

    def __init__(self, in_channels: int, image_size: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*halvings(in_channels, image_size, width))
        self.judge = _head(image_size, width, 1)

    def forward(self, images: Tensor) -> Tensor:
        """The logit of each image, ``(B, C, H, W)`` to ``(B,)``."""
        logits: Tensor = self.judge(self.blocks(images)).flatten()
        return logits

    def features(self, images: Tensor) -> Tensor:
        """The last activations before the logit, ``(B, K, 4, 4)``."""
        features: Tensor = self.blocks(images)
        return features


def widths_of(image_size: int, width: int) -> list[int]:
    """Channels after each halving down to 4×4 places.

    Raises:
        OptionError: If halving does not lead there.
    """
    number = (image_size // INNERMOST).bit_length() - 1
    if number < 1 or image_size != INNERMOST << number:
        raise OptionError(
            f"this network halves the image down to 4×4, so preparation.image_size must be 8, 16, 32, 64 or another "
            f"power of two, not {image_size}"
        )
    return [width << step for step in range(number)]


def halvings(in_channels: int, image_size: int, width: int) -> list[nn.Module]:
    """Images ``(B, C, H, W)`` to ``(B, K, 4, 4)``; all convolutions but the first have a batch norm."""
    first, *others = widths_of(image_size, width)
    layers: list[nn.Module] = [_halving(in_channels, first), nn.LeakyReLU(SLOPE, inplace=True)]
    for channels in others:
        layers += [_halving(channels // 2, channels), nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE, inplace=True)]
    return layers


def generator(latent: int, out_channels: int, image_size: int, width: int) -> nn.Sequential:
    """Latents ``(B, L)`` to images ``(B, C, H, W)`` in [-1, 1], the discriminator's mirror image."""
    *others, innermost = widths_of(image_size, width)
    layers: list[nn.Module] = [
        nn.Unflatten(1, (latent, 1, 1)),
        nn.ConvTranspose2d(latent, innermost, INNERMOST, bias=False),
        nn.BatchNorm2d(innermost),
        nn.ReLU(inplace=True),
    ]
    for channels in reversed(others):
        layers += [_doubling(2 * channels, channels), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, _doubling(width, out_channels), nn.Tanh())


def initialise(module: nn.Module) -> None:
    """First weights: normal, about 0 in convolutions and about 1 in batch norms, whose shifts are 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, DEVIATION)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, DEVIATION)
            nn.init.zeros_(part.bias)


def _halving(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)


def _doubling(before: int, after: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)


def _head(image_size: int, width: int, out_channels: int) -> nn.Conv2d:
    """From 4×4 places to one."""
    return nn.Conv2d(widths_of(image_size, width)[-1], out_channels, INNERMOST, bias=False)
