"""Frozen feature networks: published layers and counts, loading, folding, and the statistics that normalise."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import integrate, stats
from torch import Tensor, nn
from torch.nn import functional as F

from sanoscope.errors import DataError, ModelError, OptionError
from sanoscope.networks import pretrained
from sanoscope.networks.feature_layers import GROWING_LAYERS, LAYERS, layer_shape
from sanoscope.networks.feature_networks import FeatureNetwork, learn_statistics, rectified_moments
from sanoscope.networks.network import parameter_count
from sanoscope.networks.resnet import ResNetTrunk
from sanoscope.networks.squeezenet import squeezenet
from sanoscope.networks.vgg import vgg

# torchvision's and timm's, without classifiers; of batch norms (two numbers a channel) only the shifts are left, as
# biases.
PUBLISHED_COUNTS = {
    "vgg19": 20_024_384,
    "vgg16": 14_714_688,
    "vgg11_bn": 9_220_480,
    "resnet18": 11_689_512 - 513_000 - 4_800,
    "resnet34": 21_797_672 - 513_000 - 8_512,
    "wide_resnet50_2": 68_883_240 - 2_049_000 - 34_112,
    "squeezenet1_1": 1_235_496 - 513_000,
    "inception_resnet_v2": 55_843_464 - 1_537_000 - 30_272,
}
# The module of the published network that a layer ends with.
PUBLISHED_NAMES = {
    ("vgg19", "r12"): "3",
    ("vgg19", "r22"): "8",
    ("vgg19", "r32"): "13",
    ("vgg19", "r42"): "22",
    ("vgg19", "r54"): "35",
    ("vgg16", "r32"): "13",
    ("vgg16", "r42"): "20",
    ("vgg11_bn", "r11"): "2",
    ("vgg11_bn", "r32"): "13",
    ("resnet18", "conv1"): "relu",
    ("resnet18", "layer3"): "layer3",
    ("wide_resnet50_2", "layer2"): "layer2",
    ("squeezenet1_1", "conv1"): "1",
    ("squeezenet1_1", "fire2"): "3",
    ("squeezenet1_1", "fire5"): "7",
    ("squeezenet1_1", "fire9"): "12",
    ("inception_resnet_v2", "mixed_7a"): "mixed_7a",
}
# Channels and side of layers at 64×64.
SHAPES = {
    "vgg19": {"r11": (64, 64), "r12": (64, 64), "r22": (128, 32), "r34": (256, 16), "r42": (512, 8), "r54": (512, 4)},
    "vgg16": {"r12": (64, 64), "r21": (128, 32), "r33": (256, 16), "r43": (512, 8), "r51": (512, 4)},
    "vgg11_bn": {"r11": (64, 64), "r21": (128, 32), "r31": (256, 16), "r32": (256, 16), "r42": (512, 8)},
    "resnet18": {"conv1": (64, 32), "layer1": (64, 16), "layer2": (128, 8), "layer3": (256, 4), "layer4": (512, 2)},
    "resnet34": {"conv1": (64, 32), "layer2": (128, 8), "layer3": (256, 4)},
    "wide_resnet50_2": {"conv1": (64, 32), "layer1": (256, 16), "layer2": (512, 8), "layer4": (2048, 2)},
    "squeezenet1_1": {"conv1": (64, 31), "fire3": (128, 15), "fire5": (256, 7), "fire7": (384, 3), "fire9": (512, 3)},
    "inception_resnet_v2": {"conv2d_1a": (32, 31), "conv2d_4a": (192, 12), "mixed_5b": (320, 5), "mixed_6a": (1088, 2)},
}


def images(channels: int = 3, count: int = 3, size: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def as_imagenet(images: Tensor) -> Tensor:
    """The input of torchvision's networks for RGB images in [-1, 1]."""
    red, green, blue = (images / 2 + 0.5).unbind(1)
    return torch.stack([(red - 0.485) / 0.229, (green - 0.456) / 0.224, (blue - 0.406) / 0.225], dim=1)


def published(name: str, modules: int | None = None) -> nn.Module:
    """Random weights and batch-norm statistics by torchvision's names, of all or the first modules."""
    if "resnet" in name:
        children = list(ResNetTrunk(name).named_children())
        network: nn.Module = nn.Sequential(OrderedDict(children[:modules]))
    else:
        built = squeezenet() if name == "squeezenet1_1" else vgg(name)
        network = nn.ModuleDict({"features": nn.Sequential(*[module for _, module in built][:modules])})
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values in (norm.weight, norm.running_var):
                nn.init.uniform_(values, 0.5, 2)
            for values in (norm.bias, norm.running_mean):
                nn.init.normal_(values, std=0.3)
    return network.eval()


def saved(network: nn.Module, file: Path, **more: Tensor) -> str:
    torch.save(dict(network.state_dict()) | more, file)
    return str(file)


def loaded(name: str, layers: list[str], file: str, channels: int = 3) -> FeatureNetwork:
    network = FeatureNetwork(name, layers, channels, file)
    network.initialise()
    return network


@pytest.fixture
def squeezenet_file(tmp_path: Path) -> str:
    return saved(published("squeezenet1_1"), tmp_path / "squeezenet.pth", **{"classifier.1.weight": torch.zeros(3)})


# ------------------------------------------------------------ layers


@pytest.mark.parametrize("name", LAYERS)
def test_parameter_counts_are_the_published_ones(name: str) -> None:
    with torch.device("meta"):
        network = FeatureNetwork(name, LAYERS[name][-1:], 3)
    assert parameter_count(network) == PUBLISHED_COUNTS[name]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize(("name", "layer"), PUBLISHED_NAMES)
def test_a_network_ends_with_its_deepest_layer(name: str, layer: str) -> None:
    with torch.device("meta"):
        trunk = FeatureNetwork(name, [layer, LAYERS[name][0]], 3).trunk
    assert list(trunk._modules)[-1] == PUBLISHED_NAMES[name, layer]


def test_layers_are_in_order() -> None:
    assert {name: len(layers) for name, layers in LAYERS.items()} == {
        "vgg19": 16,
        "vgg16": 13,
        "vgg11_bn": 8,
        "resnet18": 5,
        "resnet34": 5,
        "wide_resnet50_2": 5,
        "squeezenet1_1": 9,
        "inception_resnet_v2": 11,
    }
    assert LAYERS["vgg11_bn"] == ("r11", "r21", "r31", "r32", "r41", "r42", "r51", "r52")
    assert LAYERS["squeezenet1_1"] == ("conv1", *(f"fire{number}" for number in range(2, 10)))


@pytest.mark.parametrize("name", LAYERS)
def test_channels_and_sides(name: str) -> None:
    for layer, (channels, side) in SHAPES[name].items():
        assert layer_shape(name, layer, 64) == (channels, side, side)


@pytest.mark.parametrize("name", LAYERS)
def test_growing_layers_deepen_and_see_more_than_a_pixel(name: str) -> None:
    layers = GROWING_LAYERS[name]
    assert list(layers) == sorted(layers, key=LAYERS[name].index)
    assert all(layer_shape(name, layer, size)[1] >= 3 for layer, size in zip(layers, (8, 16, 32, 64), strict=True))


def test_features_come_as_asked_for_and_as_their_shape_says(squeezenet_file: str) -> None:
    network = loaded("squeezenet1_1", ["fire5", "conv1", "fire2"], squeezenet_file)
    features = network(images(size=40))
    assert list(features) == ["fire5", "conv1", "fire2"]
    for layer, values in features.items():
        assert values.shape == (3, *layer_shape("squeezenet1_1", layer, 40))
        assert network.raw(images(size=40))[layer].min() == 0  # after the ReLU


# ------------------------------------------------------------ what is computed


def test_input_is_imagenets(squeezenet_file: str) -> None:
    weights = torch.load(squeezenet_file, weights_only=True)
    grey = images(1)
    inputs = as_imagenet(torch.cat([grey] * 3, dim=1))
    expected = F.conv2d(inputs, weights["features.0.weight"], weights["features.0.bias"], stride=2).relu()
    network = loaded("squeezenet1_1", ["conv1"], squeezenet_file, channels=1)
    torch.testing.assert_close(network.raw(grey)["conv1"], expected)
    torch.testing.assert_close(network.raw(grey.expand(-1, 3, -1, -1))["conv1"], expected)


@pytest.mark.parametrize(
    ("name", "layers", "ends"),
    [
        ("vgg11_bn", ["r11", "r31", "r32"], ["features.2", "features.10", "features.13"]),
        ("resnet18", ["conv1", "layer1", "layer2"], ["relu", "layer1", "layer2"]),
        ("wide_resnet50_2", ["conv1", "layer1", "layer2"], ["relu", "layer1", "layer2"]),
    ],
)
def test_folded_network_is_the_published_function(
    name: str, layers: list[str], ends: list[str], tmp_path: Path
) -> None:
    original = published(name, modules=14 if name == "vgg11_bn" else 6)
    network = loaded(name, layers, saved(original, tmp_path / "weights.pth"))
    found: list[Tensor] = []
    for end in ends:
        original.get_submodule(end).register_forward_hook(lambda *hooked: found.append(hooked[-1].clone()))
    trunk = original.features if name == "vgg11_bn" else original
    with torch.inference_mode():
        trunk(as_imagenet(images()))
        features = network.raw(images())
    for expected, values in zip(found, features.values(), strict=True):
        deviation = float(expected.std())
        assert deviation > 0.1
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-4 * max(deviation, 1))


def test_frozen_and_the_same_in_training_mode(tmp_path: Path) -> None:
    network = loaded("resnet18", ["layer1"], saved(published("resnet18", modules=5), tmp_path / "weights.pth"))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    inputs = images().requires_grad_()
    expected = network.eval()(images())["layer1"]
    features = network.train()(inputs)["layer1"]
    assert torch.equal(features, expected)
    features.sum().backward()
    assert inputs.grad is not None
    assert inputs.grad.abs().min() > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_state_holds_all_that_was_loaded_and_learned(squeezenet_file: str) -> None:
    network = loaded("squeezenet1_1", ["conv1", "fire3"], squeezenet_file)
    learn_statistics(network, [images()])
    copy = FeatureNetwork("squeezenet1_1", ["conv1", "fire3"], 3)
    assert not copy.statistics_known
    copy.load_state_dict(network.state_dict())
    assert copy.statistics_known
    for layer, features in network(images(seed=1)).items():
        assert torch.equal(copy(images(seed=1))[layer], features)


# ------------------------------------------------------------ loading


def test_half_precision_is_loaded_as_single(tmp_path: Path) -> None:
    file = saved(published("squeezenet1_1").half(), tmp_path / "half.pth")
    network = loaded("squeezenet1_1", ["fire9"], file)
    assert {value.dtype for value in network.parameters()} == {torch.float32}
    assert torch.equal(network.trunk[0].weight.half(), torch.load(file)["features.0.weight"])


def test_file_may_end_with_the_deepest_layer_but_not_before(tmp_path: Path) -> None:
    file = saved(published("vgg11_bn", modules=6), tmp_path / "short.pth")
    loaded("vgg11_bn", ["r11", "r21"], file)
    message = (
        r"short.pth: ends before features.8, which layer r31 of vgg11_bn needs; "
        r"choose a shallower network.layers or another file$"
    )
    with pytest.raises(ModelError, match=message):
        loaded("vgg11_bn", ["r32", "r31", "r21"], file)


def test_file_that_ends_within_a_layer(tmp_path: Path) -> None:
    weights = published("resnet18", modules=6).state_dict()
    weights = {key: value for key, value in weights.items() if not key.startswith("layer2.1")}
    torch.save(weights, tmp_path / "short.pth")
    with pytest.raises(ModelError, match=r"ends before layer2.1.conv1, which layer layer3 of resnet18 needs"):
        loaded("resnet18", ["layer1", "layer3"], str(tmp_path / "short.pth"))


@pytest.mark.parametrize(("name", "layer", "reason"), [("vgg16", "r21", "Missing"), ("resnet18", "conv1", "Missing")])
def test_file_of_another_network(name: str, layer: str, reason: str, squeezenet_file: str) -> None:
    with pytest.raises(ModelError, match=rf"squeezenet.pth: does not hold the weights of {name} .*{reason}") as caught:
        loaded(name, [layer], squeezenet_file)
    assert "set network.weights to a file that does" in str(caught.value)


def test_weights_of_another_shape(tmp_path: Path) -> None:
    wrong = {"features.0.weight": torch.zeros(64, 1, 3, 3)}
    file = saved(published("squeezenet1_1", modules=4), tmp_path / "grey.pth", **wrong)
    with pytest.raises(ModelError, match=r"does not hold the weights of .*size mismatch for features.0.weight"):
        loaded("squeezenet1_1", ["conv1"], file)


def test_weights_by_name_or_how_to_give_them(
    squeezenet_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    digest = hashlib.sha256(Path(squeezenet_file).read_bytes()).hexdigest()[:8]
    source = Path(squeezenet_file).rename(tmp_path / f"squeezenet1_1-{digest}.pth")
    monkeypatch.setitem(pretrained.URLS, "squeezenet1_1", source.as_uri())
    network = FeatureNetwork("squeezenet1_1", ["fire5"], 3)
    network.initialise()
    assert torch.equal(network.trunk[0].weight, torch.load(source)["features.0.weight"])
    monkeypatch.setitem(pretrained.URLS, "vgg19", (tmp_path / "none.pth").as_uri())
    with pytest.raises(
        ModelError, match=r"vgg19 cannot be downloaded .*set network.weights to a local copy of the file$"
    ):
        FeatureNetwork("vgg19", ["r11"], 3).initialise()


def test_every_network_has_its_published_file() -> None:
    assert set(LAYERS) <= set(pretrained.URLS)


# ------------------------------------------------------------ statistics


def test_statistics_are_of_all_images_and_positions(squeezenet_file: str) -> None:
    network = loaded("squeezenet1_1", ["conv1", "fire3"], squeezenet_file)
    assert not network.statistics_known
    seen = images(count=7)
    torch.testing.assert_close(network(seen), network.raw(seen))
    learn_statistics(network, seen.split(3))  # the last batch holds one image
    assert network.statistics_known
    for layer, features in network.raw(seen).items():
        values = features.double().numpy().transpose(1, 0, 2, 3).reshape(features.shape[1], -1)
        fires = values.std(1) > 1e-6
        assert fires.mean() > 0.3
        deviation = network.get_buffer(f"deviation_{layer}").flatten()
        mean = network.get_buffer(f"mean_{layer}").flatten()
        np.testing.assert_allclose(mean, values.mean(1), rtol=1e-5, atol=1e-9)  # of channels that fire once, too
        np.testing.assert_allclose(deviation, np.maximum(values.std(1), 0.02 * values.std(1).mean()), rtol=1e-5)
        normalised = network(seen)[layer]
        assert normalised.mean((0, 2, 3)).abs().max() < 1e-4
        often = values.std(1) > 0.02 * values.std(1).mean()
        assert (normalised.std((0, 2, 3), correction=0) - 1)[often].abs().max() < 1e-4


def test_statistics_far_from_zero_are_stable(squeezenet_file: str) -> None:
    network = loaded("squeezenet1_1", ["conv1"], squeezenet_file)
    network.trunk[0].bias.fill_(1000.0)
    seen = images(count=6)
    learn_statistics(network, seen.split(2))
    expected = network.raw(seen)["conv1"].double().std((0, 2, 3), correction=0)
    assert expected.max() < 10
    torch.testing.assert_close(network.deviation_conv1.flatten(), expected.float(), rtol=1e-6, atol=0)


def test_a_channel_that_never_fires_does_not_count(squeezenet_file: str) -> None:
    network = loaded("squeezenet1_1", ["conv1"], squeezenet_file)
    network.trunk[0].weight[:2] = 0.0
    network.trunk[0].bias[:2] = torch.tensor([-1.0, 0.3])
    learn_statistics(network, [images()])
    deviations = network.raw(images())["conv1"].std((0, 2, 3), correction=0)
    torch.testing.assert_close(network.deviation_conv1[:2].flatten(), (0.02 * deviations.mean()).expand(2))
    assert network(images(seed=1))["conv1"][:, :2].abs().max() < 1e-6


def test_no_images_no_statistics(squeezenet_file: str) -> None:
    with pytest.raises(DataError, match="no images"):
        learn_statistics(loaded("squeezenet1_1", ["conv1"], squeezenet_file), [])


@settings(max_examples=40, deadline=None)
@given(st.floats(-6, 6), st.floats(0.05, 3))
def test_rectified_moments_are_the_integrals(mean: float, deviation: float) -> None:
    gaussian = stats.norm(mean, deviation)
    limits = (max(0, mean - 12 * deviation), max(0, mean + 12 * deviation))
    first, second = (integrate.quad(lambda x, k=k: x**k * gaussian.pdf(x), *limits)[0] for k in (1, 2))
    got = [value.item() for value in rectified_moments(torch.tensor(mean), torch.tensor(deviation))]
    np.testing.assert_allclose(got, [first, max(second - first**2, 0) ** 0.5], rtol=1e-4, atol=1e-5)


def test_rectified_moments_at_the_limits() -> None:
    means, deviations = torch.tensor([1e4, -1e4, 0.25, -0.25, 0.0, 0.0]), torch.tensor([0.5, 0.5, 0.0, 0.0, 0.0, 1.0])
    got = torch.stack(rectified_moments(means, deviations))
    expected = [[1e4, 0, 0.25, 0, 0, (2 * np.pi) ** -0.5], [0.5, 0, 0, 0, 0, (0.5 - 0.5 / np.pi) ** 0.5]]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-12)


def test_norms_before_the_activation_tell_the_statistics(tmp_path: Path) -> None:
    """Where inputs of a norm are Gaussian with its running moments, its ReLU has the closed-form ones."""
    original = published("vgg11_bn", modules=3)
    norm = original.features[1]
    norm.weight.data[0] = -1.5  # the sign of the scale does not matter
    norm.running_var[1] = 1e-18  # a dead channel
    network = loaded("vgg11_bn", ["r11"], saved(original, tmp_path / "weights.pth"))
    assert network.statistics_known
    noise = torch.randn(50, 64, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        fired = original.features[1:](noise * norm.running_var.sqrt()[:, None, None] + norm.running_mean[:, None, None])
    mean, deviation = network.mean_r11.flatten(), network.deviation_r11.flatten()
    torch.testing.assert_close(fired.mean((0, 2, 3)), mean, rtol=0.02, atol=0.02)
    torch.testing.assert_close(fired[:, 2:].std((0, 2, 3)), deviation[2:], rtol=0.02, atol=0.02)
    torch.testing.assert_close(deviation[1], 0.02 * fired.std((0, 2, 3)).mean(), rtol=0.05, atol=0)


def test_norms_tell_nothing_of_other_layers_or_when_they_were_folded_before(tmp_path: Path) -> None:
    original = published("resnet18", modules=5)
    file = saved(original, tmp_path / "weights.pth")
    assert loaded("resnet18", ["conv1"], file).statistics_known
    assert not loaded("resnet18", ["conv1", "layer1"], file).statistics_known
    original.bn1 = nn.BatchNorm2d(64)
    assert not loaded("resnet18", ["conv1"], saved(original, tmp_path / "folded.pth")).statistics_known


# ------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("name", "layers", "channels", "message"),
    [
        ("vgg91", ["r12"], 1, r"network.features=vgg91 is unknown; did you mean 'vgg19'\?"),
        ("vgg19", ["r12", "r43x"], 1, r"network.layers=r43x is no layer of vgg19; did you mean 'r43'\?"),
        ("vgg11_bn", ["r12"], 1, r"network.layers=r12 is no layer of vgg11_bn; did you mean"),
        ("resnet18", [], 1, r"network.layers names no layer of resnet18; known: conv1, layer1"),
        ("vgg19", ["r12"], 4, r"need grey or RGB images, not 4 channels; set preparation.channels=grey"),
    ],
)
def test_mistakes_name_the_option(name: str, layers: list[str], channels: int, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        FeatureNetwork(name, layers, channels)


def test_images_too_small_for_a_layer() -> None:
    with pytest.raises(OptionError, match=r"preparation.image_size=8 is too small for layer fire9 of squeezenet1_1"):
        layer_shape("squeezenet1_1", "fire9", 8)


# ------------------------------------------------------------ published weights


def real_images(real_data: Path, count: int, size: int) -> Tensor:
    files = sorted((real_data / "cifar10" / "train").glob("*/*.jpg"))
    read = [np.asarray(Image.open(file).convert("RGB").resize((size, size))) for file in files[:: len(files) // count]]
    return torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2) / 127.5 - 1


@pytest.mark.real_data
def test_closed_form_is_near_the_statistics_of_real_images(
    real_data: Path, real_weights: Callable[[str], Path]
) -> None:
    file = str(real_weights("vgg11_bn_imagenet_features0_13_torchvision.pth"))
    network = loaded("vgg11_bn", ["r31", "r32"], file)
    closed = {key: value.mean() for key, value in network.named_buffers() if key.endswith(("r31", "r32"))}
    learn_statistics(network, real_images(real_data, 40, 64).split(20))
    assert len(closed) == 4
    for key, value in closed.items():
        assert 0.5 < value / network.get_buffer(key).mean() < 2, key


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "layer", "file"),
    [
        ("squeezenet1_1", "fire9", "squeezenet1_1_torchvision_rgbnorm_half.pth"),
        ("resnet18", "layer3", "resnet18_imagenet_conv1_to_layer3_bnfolded_torchvision.pth"),
    ],
)
def test_published_files_load_and_tell_images_apart(
    name: str, layer: str, file: str, real_data: Path, real_weights: Callable[[str], Path]
) -> None:
    network = loaded(name, [layer], str(real_weights(file)))
    assert not network.statistics_known
    seen = real_images(real_data, 20, 64)
    learn_statistics(network, [seen])
    features = network(seen)[layer]
    assert features.isfinite().all()
    assert features.std(0).mean() > 0.2
