"""Frozen networks, published for ImageNet, whose features say how alike two images look."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from sanoscope.errors import DataError, ModelError, OptionError, nearest
from sanoscope.networks.folding import folded
from sanoscope.networks.pretrained import URLS, fill, module_after, published_weights
from sanoscope.networks.resnet import ResNetTrunk
from sanoscope.networks.squeezenet import squeezenet
from sanoscope.networks.vgg import vgg

# Of the RGB images in [0, 1] that torchvision's networks were trained on.
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# A channel that hardly ever fires would outweigh all others once it does, and one that never does, rounding errors:
# none is divided by less than this share of the layer's mean deviation.
LEAST_DEVIATION = 0.02
# Of a layer in which nothing fires.
SMALLEST = 1e-6

# A module's name in a network, the layer that ends with it, and the module.
Children = Iterator[tuple[str, str | None, nn.Module]]


def _numbered(modules: Callable[[], Iterator[tuple[str | None, nn.Module]]]) -> Children:
    for index, (layer, module) in enumerate(modules()):
        yield str(index), layer, module


def _resnet18() -> Children:
    for name, module in ResNetTrunk("resnet18").named_children():
        layer = name if name.startswith("layer") else None
        yield name, "conv1" if name == "relu" else layer, module


# The part of torchvision's network that features come from, empty for all of it; and its modules in order.
NETWORKS: dict[str, tuple[str, Callable[[], Children]]] = {
    "vgg19": ("features", partial(_numbered, partial(vgg, "vgg19"))),
    "vgg16": ("features", partial(_numbered, partial(vgg, "vgg16"))),
    "vgg11_bn": ("features", partial(_numbered, partial(vgg, "vgg11_bn"))),
    "resnet18": ("", _resnet18),
    "squeezenet1_1": ("features", partial(_numbered, squeezenet)),
}


def _ends(name: str) -> dict[str, str]:
    with torch.device("meta"):
        return {layer: child for child, layer, _ in NETWORKS[name][1]() if layer}


# The module that each layer ends with.
ENDS = {name: _ends(name) for name in NETWORKS}

# The layers of each network, from shallow to deep; all are taken after their ReLU.
LAYERS = {name: tuple(ends) for name, ends in ENDS.items()}

# Of each network the layers for images of 8, 16, 32 and 64 pixels, as training grows.
GROWING_LAYERS = {
    "vgg19": ("r12", "r22", "r32", "r42"),
    "vgg16": ("r12", "r22", "r32", "r42"),
    "vgg11_bn": ("r11", "r21", "r31", "r32"),
    "resnet18": ("conv1", "layer1", "layer2", "layer3"),
    "squeezenet1_1": ("conv1", "fire2", "fire3", "fire5"),
}


def default_layer(name: str) -> str:
    """The layer of a network that images of 64 pixels are compared in."""
    return GROWING_LAYERS[name][-1]


@cache
def layer_shape(name: str, layer: str, image_size: int) -> tuple[int, int, int]:
    """Channels, height and width of a layer's features of square images.

    Raises:
        OptionError: If there is no such network or layer, or the images are too small for it.
    """
    check_layers(name, [layer])
    with torch.device("meta"):
        trunk = _trunk(name, [layer])
        try:
            features = trunk(torch.empty(2, 3, image_size, image_size))
        except RuntimeError as error:
            raise OptionError(
                f"preparation.image_size={image_size} is too small for layer {layer} of {name}; set a larger one or a "
                "shallower network.layers"
            ) from error
    channels, height, width = features.shape[1:]
    return channels, height, width


class FeatureNetwork(nn.Module):
    """A frozen, published network up to the deepest layer in use: images in, normalised features out.

    Its batch norms are folded into the convolutions, so that it computes the same in training mode. Until
    ``initialise`` its weights are random; what it has then loaded is all in its state.

    Args:
        name: A key of ``LAYERS``.
        layers: Of ``LAYERS[name]``, those whose features are wanted.
        in_channels: Channels of the images: 1, which are replicated, or 3.
        weights: Local file of the weights in torchvision's naming, which may end after the deepest layer; None loads
            them by name.

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
        self.trunk = folded(_trunk(name, layers)).requires_grad_(False)
        self.register_buffer("image_mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("image_deviation", torch.tensor(IMAGENET_DEVIATION)[:, None, None], persistent=False)
        for layer in layers:
            channels = layer_shape(name, layer, 64)[0]
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
        published = _trunk(self.name, self.layers)
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


def check_layers(name: str, layers: Sequence[str], option: str = "network.layers") -> None:
    """Refuse layers that a network does not have.

    Args:
        name: Of the network.
        layers: Of it.
        option: That named them.

    Raises:
        OptionError: If there is no such network or layer, or none is named.
    """
    if name not in LAYERS:
        raise OptionError(f"network.features={name} is unknown; {nearest(name, list(LAYERS))}")
    known = list(LAYERS[name])
    if not layers:
        raise OptionError(f"{option} names no layer of {name}; known: {', '.join(known)}")
    for layer in layers:
        if layer not in known:
            raise OptionError(f"{option}={layer} is no layer of {name}; {nearest(layer, known)}")


def _trunk(name: str, layers: Sequence[str]) -> nn.Sequential:
    """The network up to the deepest of the layers, in evaluation mode, with random weights."""
    deepest = max(layers, key=LAYERS[name].index)
    children: OrderedDict[str, nn.Module] = OrderedDict()
    for child, layer, module in NETWORKS[name][1]():
        children[child] = module
        if layer == deepest:
            break
    return nn.Sequential(children).eval()
