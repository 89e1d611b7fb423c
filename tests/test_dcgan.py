"""The convolutions of DCGAN: shapes, ranges, sizes that will do, first weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sanoscope.errors import OptionError
from sanoscope.networks.dcgan import (
    Discriminator,
    EncoderDecoderEncoder,
    GenerativeAdversarialNetwork,
    generator,
    initialise,
    widths_of,
)
from sanoscope.networks.folding import folded
from sanoscope.networks.network import parameter_count


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 16), (3, 32), (1, 64)])
def test_shapes(channels: int, size: int) -> None:
    net = EncoderDecoderEncoder(channels, size, latent=5, width=4)
    images = torch.randn(2, channels, size, size)
    coded = net(images)
    assert coded.reconstructions.shape == images.shape
    assert coded.reconstructions.abs().max() <= 1
    assert coded.latents.shape == coded.again.shape == (2, 5)
    assert net.encode(images)[1] is None
    assert net.critic(images).shape == (2,)
    assert net.critic.features(images).shape == (2, widths_of(size, 4)[-1], 4, 4)


def test_channels_double_with_each_halving() -> None:
    assert widths_of(8, 3) == [3]
    assert widths_of(64, 64) == [64, 128, 256, 512]


@pytest.mark.parametrize("size", [4, 24, 48, 63])
def test_sizes_that_do_not_halve_to_four_are_refused(size: int) -> None:
    with pytest.raises(OptionError, match=rf"preparation\.image_size must be 8, 16, 32, 64 .* not {size}"):
        Discriminator(1, size, 4)


def test_parameters_are_those_of_the_published_networks() -> None:
    # Counted by hand: convolutions of 16 places, two numbers for each channel of a batch norm.
    down = 16 * (3 * 64 + 64 * 128 + 128 * 256) + 2 * (128 + 256)
    up = 16 * (3 * 64 + 64 * 128 + 128 * 256) + 2 * (64 + 128 + 256)
    head = 16 * 256
    assert parameter_count(generator(100, 3, 32, 64)) == up + 100 * head
    assert parameter_count(Discriminator(3, 32, 64)) == down + head
    assert parameter_count(GenerativeAdversarialNetwork(3, 32, 100, 64)) == up + down + 101 * head
    assert parameter_count(EncoderDecoderEncoder(3, 32, 100, 64)) == up + 3 * down + 301 * head


def test_the_encoders_are_not_shared() -> None:
    net = EncoderDecoderEncoder(1, 16, 5, 4).eval()
    images = torch.rand(2, 1, 16, 16)
    assert not torch.allclose(net.encoder(images), net.second_encoder(images))


def test_first_weights() -> None:
    torch.manual_seed(0)
    net = Discriminator(3, 32, 64)
    initialise(net)
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    convolutions = [part for part in net.modules() if isinstance(part, nn.Conv2d)]
    assert (len(norms), len(convolutions)) == (2, 4)
    for part in norms:
        assert part.weight.mean().item() == pytest.approx(1, abs=0.01)
        assert part.weight.std().item() == pytest.approx(0.02, rel=0.2)
        assert not part.bias.any()
    for convolution in convolutions:
        assert convolution.bias is None
        assert convolution.weight.mean().item() == pytest.approx(0, abs=2e-3)
        assert convolution.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_folded_they_are_the_same_function() -> None:
    net = EncoderDecoderEncoder(1, 32, 5, 4)
    net(torch.randn(16, 1, 32, 32))  # which moves the statistics
    images = torch.randn(3, 1, 32, 32)
    for before, after in zip(net.eval()(images), folded(net)(images), strict=True):
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded(net).modules())


def test_a_generator_has_no_encoder() -> None:
    net = GenerativeAdversarialNetwork(1, 8, 3, 2)
    assert net.decode(torch.randn(4, 3)).shape == (4, 1, 8, 8)
    with pytest.raises(NotImplementedError, match="no encoder"):
        net.encode(torch.zeros(1, 1, 8, 8))
