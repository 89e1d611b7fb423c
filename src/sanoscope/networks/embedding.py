"""What a frozen network sees in images, and what has been learned of what it sees in normal ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from sanoscope.networks.feature_layers import by_level, layer_shape
from sanoscope.networks.feature_networks import FeatureNetwork
from sanoscope.networks.memory import Memory
from sanoscope.networks.network import Network


class Embedding(Network):
    """Images as features of a frozen network: of the whole image, or of every place in it.

    Args:
        in_channels: Channels of the image, in [-1, 1]: 1, which are replicated, or 3.
        image_size: Height and width.
        features: The frozen network, a key of ``feature_layers.LAYERS``.
        layers: Of it, by their own names or ``level1`` to ``level4``; see ``by_level``.
        weights: Local file of its weights; None loads them by name.
        pretrained: False keeps the weights random.
        remembered: Names of what is learned; see ``Memory``.

    Attributes:
        layers: By their own names.
        memory: What is learned of training normals.

    Raises:
        OptionError: If there is no such network or layer, or images are too small for one.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int,
        features: str,
        layers: Sequence[str],
        weights: str | None,
        pretrained: bool,
        remembered: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.layers = tuple(by_level(features, layer) for layer in layers)
        shapes = [layer_shape(features, layer, image_size) for layer in self.layers]
        self.latent = sum(channels for channels, _, _ in shapes)
        self.pretrained = pretrained
        self.trunk = FeatureNetwork(features, self.layers, in_channels, weights)
        self.memory = Memory(*remembered)

    def initialise(self) -> None:
        """Load the frozen network's weights."""
        if self.pretrained:
            self.trunk.initialise()

    def encode(self, images: Tensor) -> tuple[Tensor, None]:
        """Features ``(B, L)`` of whole images ``(B, C, H, W)``: means over all places, one layer after another."""
        features = self.trunk.raw(images, self.layers)
        return torch.cat([features[layer].float().mean((2, 3)) for layer in self.layers], dim=1), None

    def places(self, images: Tensor, neighbourhood: int = 1) -> Tensor:
        """Features ``(B, L, h, w)`` of every place, on the grid of the largest layer.

        Args:
            images: ``(B, C, H, W)``.
            neighbourhood: Side of the square around each place that features are averaged over, in each layer; odd.
        """
        features = self.trunk.raw(images, self.layers)
        maps = [features[layer].float() for layer in self.layers]
        side = max(one.shape[-1] for one in maps)
        if neighbourhood > 1:
            maps = [F.avg_pool2d(one, neighbourhood, 1, neighbourhood // 2) for one in maps]
        with torch.autocast(images.device.type, enabled=False):  # which would enlarge in bfloat16
            enlarged = [
                one if one.shape[-1] == side else F.interpolate(one, (side, side), mode="bilinear", align_corners=False)
                for one in maps
            ]
        return torch.cat(enlarged, dim=1)


# Of what methods remember: features of whole images; of each place a mean and a whitening matrix, for some channels;
# and features of places, wherever they are.
with_neighbours = partial(Embedding, remembered=("features",))
with_gaussians = partial(Embedding, remembered=("channels", "means", "whitening"))
with_patches = partial(Embedding, remembered=("patches",))
