"""Frozen networks, published for ImageNet, whose features say how alike two images look."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from sanoscope.errors import DataError, ModelError, OptionError
from sanoscope.networks.feature_layers import ENDS, NETWORKS, check_layers, layer_shape, trunk_of
from sanoscope.networks.folding import folded
from sanoscope.networks.pretrained import URLS, fill, module_after, published_weights

# Mean and deviation by which RGB images in [0, 1] were normalised where a network was trained: ImageNet's own, but for
# those named.
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISATIONS = {"inception_resnet_v2": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))}
# Side of images that no layer of any network is too deep for.
AMPLE = 128

# A channel that hardly ever fires would outweigh all others once it does, and one that never does, rounding errors:
# none is divided by less than this share of the layer's mean deviation.
LEAST_DEVIATION = 0.02
# Of a layer in which nothing fires.
SMALLEST = 1e-6


class FeatureNetwork(nn.Module):
    """A frozen, published network up to the deepest layer in use: images in, normalised features out.

    Its batch norms are folded into the convolutions, so that it computes the same in training mode. Until
    ``initialise`` its weights are random; what it has then loaded is all in its state.

    Args:
        name: A key of ``LAYERS``.
        layers: Of ``LAYERS[name]``, those whose features are wanted.
        in_channels: Channels of the images: 1, which are replicated, or 3.
        weights: Local file of the weights by their published names, which may end after the deepest layer; None
            loads them by name.

    Raises:
        OptionError: If there is no such network or layer, or images have other channels.
    """

    image_mean: Tensor
    image_deviation: Tensor
    known: Tensor

    def __init__(self, name: str, layers: Sequence[str], in_channels: int, weights: str | None = None) -> None:
        super().__init__()
        check_layers(name, layers)
        if in_channels not in (1, 3):
            raise OptionError(
                f"perceptual features need grey or RGB images, not {in_channels} channels; "
                "set preparation.channels=grey"
            )
        self.name, self.layers, self.weights = name, tuple(layers), weights
        self.ends = {ENDS[name][layer]: layer for layer in layers}
        self.trunk = folded(trunk_of(name, layers)).requires_grad_(False)
        mean, deviation = NORMALISATIONS.get(name, IMAGENET)
        self.register_buffer("image_mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("image_deviation", torch.tensor(deviation)[:, None, None], persistent=False)
        for layer in layers:
            channels = layer_shape(name, layer, AMPLE)[0]
            self.register_buffer(f"mean_{layer}", torch.zeros(channels, 1, 1))
            self.register_buffer(f"deviation_{layer}", torch.ones(channels, 1, 1))
        self.register_buffer("known", torch.tensor(False))

    def initialise(self) -> None:
        """Load the published weights, and with them the statistics where batch norms tell them.

        They do where one comes directly before the layer's ReLU: over ImageNet a channel is then about Gaussian, with
        the norm's shift for its mean and the norm's scale for its deviation.

        Raises:
            ModelError: If the weights cannot be had, are none of this network, or end before the deepest layer.
        """
        published = trunk_of(self.name, self.layers)
        self._load(published)
        self.trunk.load_state_dict(folded(published).state_dict())
        statistics = dict(self._told_by_norms(published))
        if len(statistics) == len(self.layers):
            self.set_statistics(statistics)

    def forward(self, images: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Normalised features ``(B, K, h, w)`` of images ``(B, 1 or 3, H, W)`` in [-1, 1], in the order of ``layers``.

        A channel has mean 0 and deviation 1 over the images that the statistics are of; without any, see ``raw``.

        Args:
            images: Of any size that the layers are not too deep for.
            layers: Some of the network's; None is all.
        """
        return {
            layer: (features - self.get_buffer(f"mean_{layer}")) / self.get_buffer(f"deviation_{layer}")
            for layer, features in self.raw(images, layers).items()
        }

    def raw(self, images: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Features as ``forward`` gives them, before they are normalised."""
        # Grey images become three equal channels before each is normalised in its own way.
        features = (images * 0.5 + 0.5 - self.image_mean) / self.image_deviation  # (B, 3, H, W)
        wanted = self.layers if layers is None else layers
        found: dict[str, Tensor] = {}
        for child, module in self.trunk.named_children():
            features = module(features)
            if self.ends.get(child) in wanted:
                found[self.ends[child]] = features
            if len(found) == len(wanted):  # nothing deeper is asked for
                break
        return {layer: found[layer] for layer in wanted}

    @property
    def statistics_known(self) -> bool:
        """Whether the mean and deviation of every channel have been set."""
        return bool(self.known)

    def set_statistics(self, statistics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Normalise by these means and deviations, ``(K,)`` each, of the channels of every layer."""
        for layer in self.layers:
            mean, deviation = statistics[layer]
            self.get_buffer(f"mean_{layer}").copy_(mean[:, None, None])
            deviation = deviation.clamp(min=max(LEAST_DEVIATION * float(deviation.mean()), SMALLEST))
            self.get_buffer(f"deviation_{layer}").copy_(deviation[:, None, None])
        self.known.fill_(True)

    def _load(self, trunk: nn.Sequential) -> None:
        section = NETWORKS[self.name][0]
        named = nn.ModuleDict({section: trunk}) if section else trunk
        published = published_weights(self.name, self.weights, option="network")
        if missing := module_after(published, named):
            children = [child for child, _ in trunk.named_children()]
            first = children.index(missing.removeprefix(f"{section}.").split(".")[0])
            layer = next(self.ends[child] for child in children[first:] if child in self.ends)
            raise ModelError(
                f"{self.weights or URLS[self.name]}: ends before {missing}, which layer {layer} of {self.name} needs; "
                "choose a shallower network.layers or another file"
            )
        weights = {key: published[key] for key in named.state_dict() if key in published}
        fill(named, weights, self.name, self.weights, option="network")

    def _told_by_norms(self, trunk: nn.Sequential) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
        for (_, norm), (child, module) in pairwise(trunk.named_children()):
            if child in self.ends and isinstance(norm, nn.BatchNorm2d) and isinstance(module, nn.ReLU):
                state = norm.state_dict()
                # They are zero where a norm was folded away before the file was written, and its scale with it.
                if state["running_mean"].any():
                    # Of a dead channel, eps leaves less than the scale.
                    kept = (state["running_var"] / (state["running_var"] + norm.eps)).sqrt()
                    yield self.ends[child], rectified_moments(state["bias"], state["weight"].abs() * kept)


def learn_statistics(network: FeatureNetwork, batches: Iterable[Tensor]) -> None:
    """Set a network's statistics to those of its features of these images, over all images and positions.

    Args:
        network: With its published weights.
        batches: Images ``(B, 1 or 3, H, W)`` in [-1, 1] on the network's device.

    Raises:
        DataError: If there are no images.
    """
    totals: dict[str, tuple[int, Tensor, Tensor]] = {}  # count, mean, sum of squared differences from the mean
    with torch.no_grad():
        for images in batches:
            for layer, features in network.raw(images).items():
                values = features.double().transpose(0, 1).flatten(1)  # (K, B · h · w)
                variance, mean = torch.var_mean(values, dim=1, correction=0)
                batch = (values.shape[1], mean, variance * values.shape[1])
                totals[layer] = _merged(totals[layer], batch) if layer in totals else batch
    if not totals:
        raise DataError("there are no images to compute the statistics of features from")
    network.set_statistics(
        {layer: (mean, (squares / count).sqrt()) for layer, (count, mean, squares) in totals.items()}
    )


def _merged(one: tuple[int, Tensor, Tensor], other: tuple[int, Tensor, Tensor]) -> tuple[int, Tensor, Tensor]:
    """Totals of two parts of the data; Chan, Golub, LeVeque: Updating formulae for computing sample variances."""
    count, difference = one[0] + other[0], other[1] - one[1]
    mean = one[1] + difference * (other[0] / count)
    return count, mean, one[2] + other[2] + difference**2 * (one[0] * other[0] / count)


def rectified_moments(mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of ``max(0, x)`` for Gaussian ``x`` of this mean and deviation, float64."""
    mean, deviation = mean.double(), deviation.double()
    # Beyond 30 deviations the other side is empty; and the limits keep a deviation of 0 from giving 0/0.
    z = (mean / deviation.clamp(min=1e-30)).clamp(-30, 30)
    density, above = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi), torch.special.ndtr(z)
    variance = (z**2 + 1) * above + z * density - (z * above + density) ** 2
    return mean * above + deviation * density, deviation * variance.clamp(min=0).sqrt()
