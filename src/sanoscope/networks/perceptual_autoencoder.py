"""Shvetsova et al.: Anomaly detection in medical imaging with deep perceptual autoencoders."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks.autoencoder import Autoencoder
from sanoscope.networks.feature_layers import LEVELS, by_level, check_layers, layer_shape
from sanoscope.networks.feature_networks import FeatureNetwork
from sanoscope.networks.resolution_autoencoder import Decoder, Encoder, levels_of, widths_of

AUTO = ("auto",)


class PerceptualAutoencoder(Autoencoder):
    """An autoencoder of images in [−1, 1], with the frozen network that compares them.

    With one grey channel, 64 pixels, 16 channels everywhere and 16 latents of one place, the encoder has 50,672 and
    the decoder 41,377 parameters.

    Args:
        in_channels: Channels of the image, 1 or 3.
        image_size: Height and width.
        latent: Channels of the latent.
        latent_resolution: Side of the latent; 1 has no places.
        widths: Channels at each resolution, the highest first; a single one is for all.
        blocks: Residual blocks at each resolution, 1 or 2.
        features: Name of the frozen network.
        layers: Its layers to compare; ``level1`` to ``level4`` are of like depth in every network, those that suit
            images of 8, 16, 32 and 64 pixels.
        growing_from: Side of the images that training starts at and grows from; 0 does not grow.
        growing_layers: The layer to compare at each resolution but the last, the lowest first; ``auto`` takes the
            level that suits its side.
        weights: File of the frozen network's weights; None gets the published ones by name.
        pretrained: False keeps the frozen network's weights random.
        critic: ``none``, or ``wasserstein`` for one like the encoder.

    Attributes:
        encoder: Down to the latents.
        decoder: Back to images.
        layers: Compared at the full resolution, and, from the first on, at each lower one that training grows from.
        perceptual: The frozen network with the statistics of its features; kept with the weights.
        critic: What judges images in adversarial training; None where nothing does.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        latent: int,
        latent_resolution: int,
        widths: Sequence[int],
        blocks: int,
        features: str,
        layers: Sequence[str],
        growing_from: int = 0,
        growing_layers: Sequence[str] = AUTO,
        weights: str | None = None,
        pretrained: bool = True,
        critic: str = "none",
    ) -> None:
        super().__init__()
        levels = levels_of(image_size, latent_resolution)
        self.image_size = image_size
        self.in_channels = in_channels
        self.widths = widths_of(widths, levels, image_size)
        self.blocks = blocks
        self.side = latent_resolution
        self.latent = latent * latent_resolution**2
        bottom = image_size // 2 ** (levels - 1)
        places = bottom if latent_resolution == 1 else None
        self.encoder = Encoder(in_channels, self.widths, latent, places, blocks)
        self.decoder = Decoder(in_channels, self.widths, latent, places, blocks)
        self.pretrained = pretrained
        full = tuple(by_level(features, layer) for layer in layers)
        lower = _lower_layers(features, image_size, levels, growing_from, tuple(growing_layers))
        self.layers = (full, *((layer,) for layer in lower))
        _require_fit(features, self.layers, image_size)
        known = dict.fromkeys(layer for at_level in self.layers for layer in at_level)
        self.perceptual = FeatureNetwork(features, tuple(known), in_channels, weights)
        self.critic = None if critic == "none" else EncoderCritic(in_channels, self.widths, bottom, blocks)

    def initialise(self) -> None:
        """Load the frozen network's weights."""
        if self.pretrained:
            self.perceptual.initialise()

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        """Latents ``(B, L)`` of images ``(B, C, H, W)``; there is no posterior."""
        return self.encoder(images).flatten(1), None

    def decode(self, latents: Tensor) -> Tensor:
        """Images ``(B, C, H, W)`` of latents ``(B, L)``; nothing bounds them."""
        images: Tensor = self.decoder(latents.view(len(latents), -1, self.side, self.side))
        return images

    def forward(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """Reconstructions ``(B, C, H, W)``; nothing is sampled."""
        return self.decode(self.encode(images)[0])


def _level_of(side: int) -> str:
    """The level that suits images of a side."""
    return LEVELS[min(max((side // 8).bit_length() - 1, 0), len(LEVELS) - 1)]


def _lower_layers(
    features: str, image_size: int, levels: int, growing_from: int, layers: tuple[str, ...]
) -> tuple[str, ...]:
    """The layer to compare at each resolution below the full one that training grows from, the highest first.

    Raises:
        OptionError: If the network has no such resolution, or there is another number of layers.
    """
    if not growing_from:
        return ()
    sides = [image_size >> level for level in range(levels)]
    if growing_from not in sides[1:]:
        raise OptionError(
            f"network.growing_from={growing_from} is none of the network's lower resolutions "
            f"({', '.join(map(str, sides[1:]))}); take one of these, or 0"
        )
    lower = sides[1 : sides.index(growing_from) + 1]
    if layers == AUTO:
        return tuple(by_level(features, _level_of(side)) for side in lower)
    if len(layers) != len(lower):
        raise OptionError(
            f"network.growing_layers={list(layers)} are {len(layers)} where training grows from {len(lower)} lower "
            f"resolutions ({', '.join(map(str, lower[::-1]))}); give one for each"
        )
    named = tuple(by_level(features, layer) for layer in layers[::-1])
    check_layers(features, named, "network.growing_layers")
    return named


def _require_fit(features: str, layers: Sequence[Sequence[str]], image_size: int) -> None:
    """Refuse layers that are too deep for the images of their resolution, or are named twice.

    Raises:
        OptionError: If there are such layers.
    """
    full, *lower = layers
    if len(set(full)) < len(full):
        raise OptionError(f"network.layers={list(full)} name a layer twice; name each once, and weigh it by its weight")
    for layer in full:
        layer_shape(features, layer, image_size)
    for level, (layer,) in enumerate(lower, start=1):
        try:
            layer_shape(features, layer, image_size >> level)
        except OptionError as error:
            raise OptionError(
                f"network.growing_layers: images of {image_size >> level} pixels are too small for layer {layer} of "
                f"{features}; give a shallower one, or raise network.growing_from"
            ) from error


class EncoderCritic(nn.Module):
    """An encoder to one number; see ``Encoder`` for the arguments."""

    def __init__(self, in_channels: int, widths: Sequence[int], bottom: int, blocks: int) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels, widths, 1, bottom, blocks)

    def forward(self, images: Tensor) -> Tensor:
        """How real each image is, ``(B, C, H, W)`` to ``(B,)``."""
        value: Tensor = self.encoder(images).flatten()
        return value
