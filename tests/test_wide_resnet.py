"""The wide ResNet: its published size, what it computes, and its first weights."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks.folding import folded
from sanoscope.networks.network import parameter_count
from sanoscope.networks.wide_resnet import WideBlock, WideResNet


def images(count: int = 4, channels: int = 3, size: int = 32) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def built(channels: int = 3, size: int = 32, depth: int = 10, widen: int = 1, classes: int = 72) -> WideResNet:
    """A network whose batch norms are those of a trained one."""
    torch.manual_seed(0)
    network = WideResNet(channels, size, depth, widen, classes)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert values is not None
                values.uniform_(0.5, 1.5)
    return network.eval()


def expected_count(channels: int, size: int, depth: int, widen: int, classes: int) -> int:
    """Weights of convolutions, two a channel of each batch norm, and those of the last layer."""
    blocks = (depth - 4) // 6
    count, before = 9 * channels * 16, 16
    for width in (16 * widen, 32 * widen, 64 * widen):
        count += 2 * before + 9 * before * width + 2 * width + 9 * width**2 + (before * width if before != width else 0)
        count += (blocks - 1) * (4 * width + 18 * width**2)
        before = width
    regions = (size // 4 // 8) ** 2
    return count + 2 * before + (before * regions + 1) * classes


@pytest.mark.parametrize(
    ("depth", "widen", "published"), [(16, 8, 11.0), (40, 4, 8.9), (28, 10, 36.5), (40, 1, 0.6), (40, 2, 2.2)]
)
def test_counts_are_the_published_ones(depth: int, widen: int, published: float) -> None:
    """Zagoruyko, Komodakis: tables 2 and 4, in millions, for the ten classes of CIFAR-10."""
    with torch.device("meta"):
        network = WideResNet(3, 32, depth, widen, classes=10)
    assert round(parameter_count(network) / 1e6, 1) == published


@pytest.mark.parametrize(
    ("channels", "size", "depth", "widen"), [(3, 32, 10, 4), (1, 64, 16, 8), (1, 32, 10, 1), (3, 128, 22, 2)]
)
def test_counts_are_those_of_the_sum_over_layers(channels: int, size: int, depth: int, widen: int) -> None:
    with torch.device("meta"):
        network = WideResNet(channels, size, depth, widen)
    assert parameter_count(network) == expected_count(channels, size, depth, widen, classes=72)


def test_a_block_is_what_the_paper_says() -> None:
    torch.manual_seed(1)
    block = WideBlock(4, 6, stride=2).eval()
    features = torch.randn(2, 4, 8, 8)
    bn1, (conv1, bn2, _, conv2) = block.activation[0], block.residual
    assert block.projection is not None
    active = bn1(features).relu()
    long = F.conv2d(bn2(F.conv2d(active, conv1.weight, stride=2, padding=1)).relu(), conv2.weight, padding=1)
    torch.testing.assert_close(block(features), long + F.conv2d(active, block.projection.weight, stride=2))
    torch.nn.init.zeros_(conv2.weight)
    unprojected = WideBlock(4, 4, stride=1).eval()
    torch.nn.init.zeros_(unprojected.residual[3].weight)
    torch.testing.assert_close(unprojected(features), features, rtol=0, atol=0)


@pytest.mark.parametrize(("size", "latent"), [(32, 64), (64, 256), (48, 64), (16, 64), (8, 64), (30, 64)])
def test_features_are_means_over_regions_of_the_last_map(size: int, latent: int) -> None:
    network = built(size=size)
    features, logvar = network.encode(images(size=size))
    assert logvar is None
    assert features.shape == (4, latent) == (4, network.latent)
    last = network.trunk(images(size=size))
    side = math.ceil(size / 4)
    regions = F.avg_pool2d(last, 8) if side % 8 == 0 else last.mean((2, 3), keepdim=True)
    torch.testing.assert_close(features, regions.flatten(1))
    torch.testing.assert_close(network(images(size=size)), features @ network.head.weight.T + network.head.bias)


def test_batch_norms_fold_into_the_convolutions_before_them() -> None:
    network = built(depth=16, widen=2)
    copy = folded(network)
    norms = [sum(isinstance(one, nn.BatchNorm2d) for one in each.modules()) for each in (network, copy)]
    assert norms == [13, 7]
    torch.testing.assert_close(copy(images()), network(images()), rtol=1e-4, atol=1e-4)


def test_the_logits_are_exact_under_reduced_precision() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        logits = built()(images())
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())


def test_batch_norms_and_first_weights_are_the_released_codes() -> None:
    torch.manual_seed(0)
    network = WideResNet(3, 32, 10, 4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.momentum, module.eps) == (0.1, 1e-5)
        if isinstance(module, nn.Conv2d):
            assert module.bias is None
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.1)
    assert network.head.weight.abs().max().item() == pytest.approx(1 / 16, rel=0.01)
    assert not network.head.bias.any()


@pytest.mark.parametrize("depth", [4, 11, 15, 18])
def test_other_depths_are_refused(depth: int) -> None:
    with pytest.raises(OptionError, match=rf"network\.depth={depth}.*10, 16"):
        WideResNet(3, 32, depth, 1)
