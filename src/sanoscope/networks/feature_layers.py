"""The frozen networks that features come from, by name, and their layers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial

import torch
from torch import nn

from sanoscope.errors import OptionError, nearest
from sanoscope.networks.inception_resnet import inception_resnet
from sanoscope.networks.resnet import ResNetTrunk
from sanoscope.networks.squeezenet import squeezenet
from sanoscope.networks.vgg import vgg

# A module's name in a network, the layer that ends with it, and the module.
Children = Iterator[tuple[str, str | None, nn.Module]]


def _numbered(modules: Callable[[], Iterator[tuple[str | None, nn.Module]]]) -> Children:
    for index, (layer, module) in enumerate(modules()):
        yield str(index), layer, module


def _resnet(network: str) -> Children:
    for name, module in ResNetTrunk(network).named_children():
        layer = name if name.startswith("layer") else None
        yield name, "conv1" if name == "relu" else layer, module


def _inception_resnet_v2() -> Children:
    for name, module in inception_resnet():
        # The layers that Ouardini et al. take: not those after residual blocks, where timm's feature maps end.
        yield name, None if name.startswith(("repeat", "block")) else name, module


# The part of the published network that features come from, empty for all of it; and its modules in order.
NETWORKS: dict[str, tuple[str, Callable[[], Children]]] = {
    "vgg19": ("features", partial(_numbered, partial(vgg, "vgg19"))),
    "vgg16": ("features", partial(_numbered, partial(vgg, "vgg16"))),
    "vgg11_bn": ("features", partial(_numbered, partial(vgg, "vgg11_bn"))),
    "resnet18": ("", partial(_resnet, "resnet18")),
    "resnet34": ("", partial(_resnet, "resnet34")),
    "wide_resnet50_2": ("", partial(_resnet, "wide_resnet50_2")),
    "squeezenet1_1": ("features", partial(_numbered, squeezenet)),
    "inception_resnet_v2": ("", _inception_resnet_v2),
}


def _ends(name: str) -> dict[str, str]:
    with torch.device("meta"):
        return {layer: child for child, layer, _ in NETWORKS[name][1]() if layer}


# The module that each layer ends with.
ENDS = {name: _ends(name) for name in NETWORKS}

# The layers of each network, from shallow to deep; all are taken after their ReLU, or a pooling.
LAYERS = {name: tuple(ends) for name, ends in ENDS.items()}

# Of each network the layers for images of 8, 16, 32 and 64 pixels, as training grows.
GROWING_LAYERS = {
    "vgg19": ("r12", "r22", "r32", "r42"),
    "vgg16": ("r12", "r22", "r32", "r42"),
    "vgg11_bn": ("r11", "r21", "r31", "r32"),
    **dict.fromkeys(("resnet18", "resnet34", "wide_resnet50_2"), ("conv1", "layer1", "layer2", "layer3")),
    "squeezenet1_1": ("conv1", "fire2", "fire3", "fire5"),
    "inception_resnet_v2": ("conv2d_1a", "conv2d_2b", "conv2d_4a", "mixed_5b"),
}


# Layers of like depth in every network, which these are.
LEVELS = ("level1", "level2", "level3", "level4")


def layer_shape(name: str, layer: str, image_size: int) -> tuple[int, int, int]:
    """Channels, height and width of a layer's features of square images.

    Raises:
        OptionError: If there is no such network or layer, or the images are too small for it.
    """
    check_layers(name, [layer])
    shapes = _shapes(name, image_size)
    if layer not in shapes:
        raise OptionError(
            f"preparation.image_size={image_size} is too small for layer {layer} of {name}; set a larger one or a "
            "shallower network.layers"
        )
    return shapes[layer]


@cache
def _shapes(name: str, image_size: int) -> dict[str, tuple[int, int, int]]:
    """Shapes of all layers that square images are not too small for."""
    shapes: dict[str, tuple[int, int, int]] = {}
    with torch.device("meta"):
        features = torch.empty(1, 3, image_size, image_size)
        for _, layer, module in NETWORKS[name][1]():
            try:
                features = module.eval()(features)
            except RuntimeError:  # nothing would be left of them
                break
            if layer:
                channels, height, width = features.shape[1:]
                shapes[layer] = channels, height, width
    return shapes


def by_level(name: str, layer: str) -> str:
    """A layer of a network by its own name, whether it is given by that or as one of ``LEVELS``."""
    return GROWING_LAYERS[name][LEVELS.index(layer)] if layer in LEVELS and name in GROWING_LAYERS else layer


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


def trunk_of(name: str, layers: Sequence[str]) -> nn.Sequential:
    """The network up to the deepest of the layers, in evaluation mode, with random weights."""
    deepest = max(layers, key=LAYERS[name].index)
    children: OrderedDict[str, nn.Module] = OrderedDict()
    for child, layer, module in NETWORKS[name][1]():
        children[child] = module
        if layer == deepest:
            break
    return nn.Sequential(children).eval()
