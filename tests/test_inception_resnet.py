"""Inception-ResNet-v2: published names and counts, what it computes, and its published file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sanoscope.errors import ModelError
from sanoscope.networks.embedding import Embedding
from sanoscope.networks.feature_layers import LAYERS, layer_shape, trunk_of
from sanoscope.networks.feature_networks import FeatureNetwork
from sanoscope.networks.inception_resnet import Block, inception_resnet
from sanoscope.networks.network import parameter_count

NAME = "inception_resnet_v2"
# Ouardini et al. take them all.
ELEVEN = LAYERS[NAME]
# timm's 55.84 million, without a classifier of 1000 classes.
PUBLISHED_COUNT = 55_843_464 - (1536 * 1000 + 1000)
# Keras counts as many means and variances, which are not trained, and as many scales less in its own version.
NORM_CHANNELS = 60_544 // 2
# Channels and side of layers at 299×299; Szegedy et al., figures 3, 10 and 14.
SHAPES = {
    "conv2d_1a": (32, 149),
    "conv2d_2a": (32, 147),
    "conv2d_2b": (64, 147),
    "maxpool_3a": (64, 73),
    "conv2d_3b": (80, 73),
    "conv2d_4a": (192, 71),
    "maxpool_5a": (192, 35),
    "mixed_5b": (320, 35),
    "mixed_6a": (1088, 17),
    "mixed_7a": (2080, 8),
    "conv2d_7b": (1536, 8),
}
# Some of timm's names, with their shapes.
PUBLISHED_NAMES = {
    "conv2d_1a.conv.weight": (32, 3, 3, 3),
    "conv2d_1a.bn.running_var": (32,),
    "conv2d_4a.conv.weight": (192, 80, 3, 3),
    "mixed_5b.branch0.conv.weight": (96, 192, 1, 1),
    "mixed_5b.branch1.1.conv.weight": (64, 48, 5, 5),
    "mixed_5b.branch3.1.bn.bias": (64,),
    "repeat.9.branch2.2.conv.weight": (64, 48, 3, 3),
    "repeat.9.conv2d.weight": (320, 128, 1, 1),
    "mixed_6a.branch1.2.conv.weight": (384, 256, 3, 3),
    "repeat_1.19.branch1.1.conv.weight": (160, 128, 1, 7),
    "repeat_1.19.branch1.2.conv.weight": (192, 160, 7, 1),
    "mixed_7a.branch0.1.conv.weight": (384, 256, 3, 3),
    "mixed_7a.branch2.2.bn.running_mean": (320,),
    "repeat_2.8.conv2d.bias": (2080,),
    "block8.branch1.2.conv.weight": (256, 224, 3, 1),
    "conv2d_7b.conv.weight": (1536, 2080, 1, 1),
}


def published(layers: tuple[str, ...]) -> nn.Sequential:
    """Random weights and batch-norm statistics up to the deepest of the layers, in evaluation mode."""
    torch.manual_seed(0)
    network = trunk_of(NAME, layers)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values in (norm.weight, norm.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
            for values in (norm.bias, norm.running_mean):
                nn.init.normal_(values, std=0.2)
    return network


def whole_file(begin: nn.Module, file: Path, **classifier: Tensor) -> str:
    """Weights of the whole network that begin with these; others are ones, and take no space."""
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in trunk_of(NAME, ELEVEN).state_dict().items()}
    weights = {key: torch.ones(()).expand(shape) for key, shape in shapes.items()} | dict(begin.state_dict())
    # The older of the published files do not count batches.
    weights = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
    torch.save(weights | classifier, file)
    return str(file)


def images(channels: int = 3, size: int = 47) -> Tensor:
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_counts_and_names_are_the_published_ones() -> None:
    with torch.device("meta"):
        network = trunk_of(NAME, ELEVEN)
        folded = FeatureNetwork(NAME, ELEVEN[-1:], 3)
    assert parameter_count(network) == PUBLISHED_COUNT
    assert parameter_count(folded) == PUBLISHED_COUNT - NORM_CHANNELS
    state = network.state_dict()
    assert {key: tuple(state[key].shape) for key in PUBLISHED_NAMES} == PUBLISHED_NAMES
    assert [len(network.get_submodule(name)) for name in ("repeat", "repeat_1", "repeat_2")] == [10, 20, 9]


def test_layers_are_those_of_the_paper_and_have_their_shapes() -> None:
    assert {layer: layer_shape(NAME, layer, 299)[:2] for layer in ELEVEN} == SHAPES
    with torch.device("meta"):
        assert Embedding(1, 299, NAME, ELEVEN, None, False).latent == 5680


def test_residual_blocks_add_their_share() -> None:
    with torch.device("meta"):
        blocks = [module for _, part in inception_resnet() for module in part.modules() if isinstance(module, Block)]
    shares = [(block.share, block.rectified) for block in blocks]
    assert shares == [(0.17, True)] * 10 + [(0.1, True)] * 20 + [(0.2, True)] * 9 + [(1.0, False)]
    for rectified in (True, False):
        block = Block(2, 6, 0.5, nn.Identity(), nn.Identity(), nn.Identity(), rectified=rectified)
        nn.init.constant_(block.conv2d.weight, 1.0)  # each channel gets the sum of 3 · (1 - 5)
        nn.init.constant_(block.conv2d.bias, 2.0)
        features = torch.tensor([1.0, -5.0])[None, :, None, None]
        expected = torch.tensor([1.0, -5.0]) + 0.5 * (3 * (1.0 - 5.0) + 2.0)
        torch.testing.assert_close(block(features).flatten(), expected.relu() if rectified else expected)


def test_folded_network_is_the_published_function_in_training_mode_too(tmp_path: Path) -> None:
    layers = ("conv2d_2b", "maxpool_5a", "mixed_6a")
    original = published(layers)
    torch.save(original.state_dict(), tmp_path / "weights.pth")
    network = FeatureNetwork(NAME, layers, 3, str(tmp_path / "weights.pth"))
    network.initialise()
    features, found = images(), {}
    with torch.inference_mode():
        for name, module in original.named_children():
            features = found[name] = module(features)
        for layer, values in network.train().raw(images()).items():
            assert found[layer].std() > 0.05
            torch.testing.assert_close(values, found[layer], rtol=1e-4, atol=1e-5)


def test_input_is_not_imagenets(tmp_path: Path) -> None:
    original = published(("conv2d_1a",))
    torch.save(original.state_dict(), tmp_path / "weights.pth")
    network = FeatureNetwork(NAME, ["conv2d_1a"], 1, str(tmp_path / "weights.pth"))
    network.initialise()
    grey = images(1)
    with torch.inference_mode():
        expected = original(torch.cat([grey] * 3, dim=1))
    torch.testing.assert_close(network.raw(grey)["conv2d_1a"], expected)


@pytest.mark.parametrize("classifier", ["classif", "last_linear"])
def test_published_files_are_loaded_without_their_classifier(classifier: str, tmp_path: Path) -> None:
    original = published(("maxpool_3a",))
    more = {f"{classifier}.weight": torch.zeros(1001, 1536), f"{classifier}.bias": torch.zeros(1001)}
    file = whole_file(original, tmp_path / "weights.pth", **more)
    layers = ("maxpool_3a", ELEVEN[-1]) if classifier == "classif" else ("maxpool_3a",)
    network = FeatureNetwork(NAME, layers, 3, file)
    network.initialise()
    with torch.inference_mode():
        torch.testing.assert_close(network.raw(images(), layers[:1])["maxpool_3a"], original(images()))
    if classifier == "classif":
        assert (network.trunk.conv2d_7b.conv.weight - (1 + 1e-3) ** -0.5).abs().max() < 1e-6


def test_file_that_ends_before_a_layer(tmp_path: Path) -> None:
    torch.save(published(("mixed_5b",)).state_dict(), tmp_path / "short.pth")
    with pytest.raises(ModelError, match=r"ends before repeat.0.branch0.conv, which layer mixed_6a of inception_res"):
        FeatureNetwork(NAME, ["mixed_6a"], 3, str(tmp_path / "short.pth")).initialise()
