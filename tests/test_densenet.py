"""DenseNet: its published sizes, its names of parameters, and what it computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks.densenet import DenseLayer, DenseNet
from sanoscope.networks.folding import folded
from sanoscope.networks.network import parameter_count

VERSION_121: dict[str, Any] = {"growth": 32, "blocks": (6, 12, 24, 16), "stem": 64, "bottleneck": 4}
SMALL: dict[str, Any] = {"growth": 4, "blocks": (2, 1, 2, 1), "stem": 6, "bottleneck": 2}


def images(count: int = 4, size: int = 50) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def built(size: int = 50, classes: int = 3) -> DenseNet:
    """A small network whose batch norms are those of a trained one."""
    torch.manual_seed(0)
    network = DenseNet(3, size, **SMALL, classes=classes)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert values is not None
                values.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize(
    ("settings", "classes", "published"),
    [
        ({}, 1000, 7_978_856),
        ({}, 2, 6_955_906),
        ({"blocks": (6, 12, 32, 32)}, 1000, 14_149_480),
        ({"blocks": (6, 12, 48, 32)}, 1000, 20_013_928),
        ({"blocks": (6, 12, 36, 24), "growth": 48, "stem": 96}, 1000, 28_681_000),
    ],
)
def test_counts_are_the_published_ones(settings: dict[str, Any], classes: int, published: int) -> None:
    with torch.device("meta"):
        network = DenseNet(3, 224, **(VERSION_121 | settings), classes=classes)
    assert parameter_count(network) == published


def test_parameters_are_named_as_torchvisions() -> None:
    with torch.device("meta"):
        shapes = {
            name: tuple(values.shape) for name, values in DenseNet(3, 50, **VERSION_121, classes=2).state_dict().items()
        }
    assert len(shapes) == 727
    expected = {
        "features.conv0.weight": (64, 3, 7, 7),
        "features.norm0.running_mean": (64,),
        "features.denseblock1.denselayer1.norm1.weight": (64,),
        "features.denseblock1.denselayer1.conv1.weight": (128, 64, 1, 1),
        "features.denseblock3.denselayer24.norm2.bias": (128,),
        "features.denseblock4.denselayer16.conv2.weight": (32, 128, 3, 3),
        "features.transition3.norm.running_var": (1024,),
        "features.transition3.conv.weight": (512, 1024, 1, 1),
        "features.norm5.weight": (1024,),
        "classifier.weight": (2, 1024),
    }
    assert expected.items() <= shapes.items()


def test_a_layer_appends_what_it_finds() -> None:
    torch.manual_seed(0)
    layer = DenseLayer(5, growth=3, middle=8).eval()
    features = torch.randn(2, 5, 6, 6)
    middle = F.conv2d(layer.norm1(features).relu(), layer.conv1.weight)
    found = F.conv2d(layer.norm2(middle).relu(), layer.conv2.weight, padding=1)
    torch.testing.assert_close(layer(features), torch.cat((features, found), dim=1))
    torch.testing.assert_close(layer(features)[:, :5], features, rtol=0, atol=0)


def test_sides_of_the_published_network_at_50_pixels() -> None:
    network = DenseNet(3, 50, **VERSION_121, classes=2).eval()
    features, sides = images(1), {}
    with torch.no_grad():
        for name, module in network.features.named_children():
            features = module(features)
            sides[name] = (features.shape[1], features.shape[-1])
    stages = ("conv0", "denseblock1", "transition1", "denseblock2", "transition2", "denseblock3", "denseblock4")
    assert [sides[name] for name in stages] == [(64, 25), (256, 13), (128, 6), (512, 6), (256, 3), (1024, 3), (1024, 1)]


def test_classes_are_told_by_means_of_the_last_features() -> None:
    network, batch = built(), images()
    latents, logvar = network.encode(batch)
    assert logvar is None
    assert latents.shape == (4, network.latent) == (4, network.classifier.in_features)
    torch.testing.assert_close(latents, network.features(batch).relu().mean((2, 3)))
    logits = latents @ network.classifier.weight.T + network.classifier.bias
    torch.testing.assert_close(network.classify(batch), logits)
    torch.testing.assert_close(network(batch), logits)


def test_batch_norms_fold_into_the_convolutions_before_them() -> None:
    network = built()
    copy = folded(network)
    norms = [sum(isinstance(one, nn.BatchNorm2d) for one in each.modules()) for each in (network, copy)]
    assert norms == [17, 10]
    torch.testing.assert_close(copy(images()), network(images()), rtol=1e-4, atol=1e-4)


def test_the_logits_are_exact_under_reduced_precision() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        logits = built()(images())
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())


def test_the_smallest_image_that_is_not_refused_can_be_classified() -> None:
    assert built(29)(images(2, 29)).isfinite().all()
    with pytest.raises(OptionError, match=r"image_size=28 .* 4 dense blocks .* 29"):
        built(28)
    assert DenseNet(3, 1, 4, (2,), 6, 2, 2).eval()(images(2, 1)).shape == (2, 2)
