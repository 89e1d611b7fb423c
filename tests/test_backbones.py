"""The backbones of the brain methods: published counts, shapes, latents, gradients, folding; and the critic."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks import backbones
from sanoscope.networks.critics import MATCHED_SIDE, Critic, build_critic
from sanoscope.networks.folding import folded
from sanoscope.networks.light_autoencoder import WIDTHS, LightAutoencoder
from sanoscope.networks.logit_autoencoder import LogitAutoencoder
from sanoscope.networks.network import parameter_count
from sanoscope.networks.residual_autoencoder import ResidualAutoencoder
from sanoscope.networks.resnet import ResNetTrunk

BACKBONES = ("light", "resnet18")
# As published, at 1×224×224 with 32 latent dimensions.
ENCODER, DECODER, DISCRIMINATOR = 12_775_808, 1_771_841, 2_796_257
HEAD = 512 * 7 * 7 * 32 + 32


def network(backbone: str, size: int = 32, channels: int = 1, **options: Any) -> LogitAutoencoder:
    torch.manual_seed(0)
    return backbones.build(channels, size, backbone, latent=6, **options)


def images(count: int = 3, size: int = 32, channels: int = 1) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def settled(module: nn.Module, size: int, channels: int) -> nn.Module:
    """With statistics of batch norm that are not those of the start, and weights and biases that are not 1 and 0."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    with torch.no_grad():
        module.train()
        for _ in range(3):
            if isinstance(module, LogitAutoencoder):
                module.decode(module.encode(images(4, size, channels))[0])
            else:
                module(images(4, size, channels))
    return module.eval()


# ------------------------------------------------------------ published counts


def encoder_count(network: LogitAutoencoder) -> int:
    return parameter_count(network) - parameter_count(network.decoder)


@pytest.mark.parametrize(("latent", "count"), [(32, 999_936), (64, 1_393_152), (256, 3_752_448)])
def test_the_light_backbone_has_the_layers_of_the_published_one(latent: int, count: int) -> None:
    with torch.device("meta"):
        assert parameter_count(LightAutoencoder(1, 64, latent)) == count
        assert parameter_count(LightAutoencoder(1, 64, latent, variational=False)) == count - 256 * 4 * 4 * latent
        biased = LightAutoencoder(1, 64, latent, bias=True)
    assert parameter_count(biased) - count == (16 + 32 + 64 + 256 + 2 * latent) + (256 + 64 + 32 + 16 + 1)


def test_what_the_light_backbone_says_of_its_counts() -> None:
    with torch.device("meta"):
        counts = [
            parameter_count(LightAutoencoder(1, 64, 32, bias=bias, variational=variational))
            for bias in (False, True)
            for variational in (True, False)
        ]
    assert counts == [999_936, 868_864, 999_936 + 801, 868_864 + 769]


def test_the_deterministic_residual_backbone_lacks_one_head() -> None:
    with torch.device("meta"):
        autoencoder = ResidualAutoencoder(1, 224, 32, variational=False)
    assert autoencoder.logvar is None
    assert HEAD == 802_848
    assert encoder_count(autoencoder) == 11_972_960 == ENCODER - HEAD
    assert parameter_count(autoencoder.decoder) == DECODER


def test_totals_of_the_paper_count_the_unused_parts_of_the_torchvision_network() -> None:
    """Supplement, table 8: the ResNet-18 it takes has a stem for colour images with batch norm, and a classifier."""
    classifier = 512 * 1000 + 1000
    unused_stem, own_stem = 3 * 64 * 7 * 7 + 2 * 64, 1 * 64 * 7 * 7
    with torch.device("meta"):
        trunk = parameter_count(ResNetTrunk("resnet18", 3))
        vae = ResidualAutoencoder(1, 224, 32)
        gan = backbones.build(1, 224, "resnet18", "discriminator", latent=32)
    assert trunk + classifier == 11_689_512
    inference = trunk + classifier + own_stem + 2 * HEAD
    assert inference == encoder_count(vae) + unused_stem + classifier == 13_298_344
    training = inference + DECODER
    assert training == parameter_count(vae) + unused_stem + classifier == 15_070_185
    assert training + DISCRIMINATOR == parameter_count(gan) + unused_stem + classifier == 17_866_442


@pytest.mark.parametrize("size", [64, 128, 224])
def test_the_discriminator_has_its_published_count_at_any_size(size: int) -> None:
    with torch.device("meta"):
        batch_norm, none = Critic(1, size, "batch"), Critic(1, size, "none")
    assert parameter_count(batch_norm) == DISCRIMINATOR
    assert DISCRIMINATOR - parameter_count(none) == 2 * (16 + 32 + 64 + 128 + 256 + 512)


# ------------------------------------------------------------ blocks and latents


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (64, 3), (96, 2)])
@pytest.mark.parametrize("variational", [True, False])
def test_shapes_of_the_light_backbone(size: int, channels: int, variational: bool) -> None:
    with torch.device("meta"):
        light = LightAutoencoder(channels, size, 7, variational=variational)
        batch = torch.empty(2, channels, size, size)
        for block, width in enumerate(WIDTHS, start=1):
            mean, logvar, activations = light.encode_with_features(batch, block)
            assert activations.shape == (2, width, size >> block, size >> block)
            assert mean.shape == (2, light.latent) == (2, 7)
            assert (logvar is None) != variational
            assert logvar is None or logvar.shape == mean.shape
        assert light.decode_logits(mean).shape == batch.shape


@pytest.mark.parametrize("variant", ["conference", "journal"])
def test_shapes_of_the_deterministic_residual_backbone(variant: str) -> None:
    with torch.device("meta"):
        residual = ResidualAutoencoder(3, 64, 5, variant=variant, variational=False)
        batch = torch.empty(2, 3, 64, 64)
        for block in range(1, 5):
            mean, logvar, activations = residual.encode_with_features(batch, block)
            side = 64 >> (block + (variant == "conference"))
            assert activations.shape == (2, 32 << block, side, side)
            assert mean.shape == (2, residual.latent) == (2, 5 if variant == "conference" else 5 * 4 * 4)
            assert logvar is None
        assert residual.decode_logits(mean).shape == batch.shape


@pytest.mark.parametrize("variational", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_posterior_of_any_block_is_that_of_the_image(backbone: str, variational: bool) -> None:
    # Whether the block is asked for, or the one that attention is taken from.
    whole = network(backbone, variational=variational).eval()
    with torch.inference_mode():
        expected = whole.encode(images())
        assert (expected[1] is not None) == variational
        for block in range(1, 5):
            looked_into = network(backbone, variational=variational, block=block).eval()
            activations = looked_into.features(images())
            assert torch.equal(activations, whole.features(images(), block))
            for found in (
                whole.posterior(activations, block),
                looked_into.posterior(activations),
                looked_into.encode(images()),
            ):
                torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("backbone", "factor", "size"), [("light", 16, 40), ("light", 16, 8), ("resnet18", 32, 48), ("resnet18", 32, 16)]
)
def test_other_sizes_say_which_would_do(backbone: str, factor: int, size: int) -> None:
    with pytest.raises(OptionError, match=rf"image_size must be a multiple of {factor}, not {size}"):
        network(backbone, size)


def test_options_of_the_other_backbone_are_left_out_but_for_the_journal_variant() -> None:
    with pytest.raises(OptionError, match=r"network.variant=journal is of the ResNet; set network.backbone=resnet18"):
        network("light", variant="journal")
    of_resnet = {"variant": "conference", "stem": "full", "normalization": "group", "max_pool": False, "unit": 1}
    for backbone, options in (("light", of_resnet), ("resnet18", {"bias": True})):
        one, other = network(backbone, **options).state_dict(), network(backbone).state_dict()
        assert one.keys() == other.keys()
        assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("variational", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_gradients_reach_the_first_convolution(backbone: str, variational: bool) -> None:
    vae = network(backbone, variational=variational, dropout=0.2).train()
    mean, logvar = vae.encode(images())
    latents = vae.sample(mean, logvar, torch.randn(3, 6, generator=torch.Generator().manual_seed(0)))
    nn.functional.binary_cross_entropy_with_logits(vae.decode_logits(latents), images()).backward()
    for name, parameter in vae.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    first = next(part for part in vae.modules() if isinstance(part, nn.Conv2d))
    assert first.weight.shape[1] == 1
    assert first.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("backbone", BACKBONES)
def test_variational_and_deterministic_backbones_by_name(backbone: str) -> None:
    options = {"in_channels": 1, "image_size": 32, "backbone": backbone, "latent": 6}
    with torch.device("meta"):
        for kind, has_posterior in ((backbones.variational, True), (backbones.deterministic, False)):
            assert (kind(**options).logvar is not None) == has_posterior
            assert kind(**options).critic is None
            assert isinstance(kind(critic="wasserstein", **options).critic, Critic)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_weights_fit_with_and_without_dropout(backbone: str) -> None:
    def keys(**options: Any) -> set[str]:
        return set(network(backbone, **options).state_dict())

    with torch.device("meta"):
        for variational in (True, False):
            plain = keys(variational=variational)
            assert plain == keys(variational=variational, dropout=0.2)
            assert any(name.startswith("logvar") for name in plain) == variational
        added = keys(critic="discriminator") - keys()
        assert keys() < keys(critic="discriminator")
    assert all(name.startswith("critic.") for name in added)


# ------------------------------------------------------------ dropout of latents


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.9])
def test_dropout_keeps_its_share_and_scales_what_it_keeps(share: float) -> None:
    autoencoder = network("light", variational=False, dropout=share)
    mean = 1 + torch.rand(400, 50, generator=torch.Generator().manual_seed(3))
    sampled = autoencoder.sample(mean, None, torch.randn(mean.shape, generator=torch.Generator().manual_seed(4)))
    kept = sampled != 0
    assert kept.float().mean().item() == pytest.approx(1 - share, abs=0.012)  # four deviations of 20,000
    torch.testing.assert_close(sampled[kept], mean[kept] / (1 - share))
    assert sampled.mean().item() == pytest.approx(mean.mean().item(), rel=0.05 / (1 - share) ** 0.5)


@settings(deadline=None, max_examples=30)
@given(st.floats(0.01, 0.99), st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=6))
def test_dropout_follows_from_the_noise_alone(share: float, drawn: list[float]) -> None:
    autoencoder = LightAutoencoder(1, 16, len(drawn), variational=False, dropout=share)
    noise, mean = torch.tensor([drawn]), torch.full((1, len(drawn)), 3.0)
    sampled = autoencoder.sample(mean, None, noise)
    quantile = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(share))
    if ((noise - quantile).abs() > 1e-4).all():
        torch.testing.assert_close(sampled, 3.0 * (noise > quantile) / (1 - share))
    assert torch.equal(sampled, autoencoder.eval().sample(mean, None, noise))


def test_without_noise_or_dropout_a_sample_is_the_latent() -> None:
    mean, noise = torch.randn(4, 6), torch.randn(4, 6)
    assert torch.equal(network("light", variational=False, dropout=0.2).sample(mean, None, None), mean)
    assert torch.equal(network("light", variational=False).sample(mean, None, noise), mean)
    logvar = torch.randn(4, 6)  # of a posterior nothing is dropped
    sampled = network("light", dropout=0.9).sample(mean, logvar, noise)
    torch.testing.assert_close(sampled, mean + noise * (0.5 * logvar).exp())


# ------------------------------------------------------------ critic


@pytest.mark.parametrize(
    ("size", "channels", "side"), [(224, 256, 7), (128, 128, 7), (64, 64, 7), (32, 32, 7), (16, 16, 7), (8, 16, 4)]
)
def test_matched_features_have_seven_places_a_side_where_the_image_does(size: int, channels: int, side: int) -> None:
    with torch.device("meta"):
        critic = Critic(1, size, "batch")
        assert critic.features(torch.empty(2, 1, size, size)).shape == (2, channels, side, side)
        assert critic(torch.empty(2, 1, size, size)).shape == (2,)
    assert side <= MATCHED_SIDE


def test_critic_by_its_layers() -> None:
    torch.manual_seed(0)
    critic = Critic(2, 64, "batch").eval()
    batch = images(3, 64, 2)
    with torch.no_grad():
        features, kept = batch, {}
        for block in critic.blocks:
            convolution, norm, _ = block
            assert (convolution.kernel_size, convolution.stride, convolution.padding) == ((4, 4), (2, 2), (1, 1))
            assert convolution.bias is None
            features = nn.functional.leaky_relu(norm(convolution(features)), 0.2)
            kept[features.shape[1]] = features
        assert list(kept) == [16, 32, 64, 128, 256, 512]
        expected = features.mean((2, 3)) @ critic.judge.weight[0] + critic.judge.bias
        torch.testing.assert_close(critic(batch), expected)
        pooled = nn.functional.adaptive_avg_pool2d(kept[64], 7)  # 8×8, of which the next has 4×4
        torch.testing.assert_close(critic.features(batch), pooled)


def test_a_wasserstein_critic_couples_no_images() -> None:
    torch.manual_seed(0)
    batch = images(4)
    for kind, alone in (("wasserstein", True), ("discriminator", False)):
        critic = build_critic(kind, 1, 32)
        assert critic is not None
        together, single = critic.train()(batch)[:2], critic(batch[:2])
        assert torch.allclose(together, single, atol=1e-6) == alone
    assert build_critic("none", 1, 32) is None


# ------------------------------------------------------------ folding


@pytest.mark.parametrize(
    ("backbone", "size", "channels", "options"),
    [
        ("light", 64, 3, {"bias": True}),
        ("light", 32, 1, {"variational": False}),
        ("resnet18", 64, 3, {"stem": "full"}),
        ("resnet18", 32, 1, {"variational": False, "max_pool": False}),
        ("resnet18", 32, 3, {"normalization": "group"}),
        ("resnet18", 64, 1, {"variant": "journal"}),
    ],
)
def test_folded_networks_give_the_same(backbone: str, size: int, channels: int, options: dict[str, Any]) -> None:
    vae = settled(network(backbone, size, channels, critic="discriminator", **options), size, channels)
    assert isinstance(vae, LogitAutoencoder)
    settled(vae.critic, size, channels)
    lean, batch = folded(vae), images(2, size, channels)
    assert count_norms(lean.critic) == 0 < count_norms(vae.critic)
    with torch.inference_mode():
        for block in range(1, 5):
            torch.testing.assert_close(lean.features(batch, block), vae.features(batch, block), rtol=1e-3, atol=1e-4)
        mean = vae.encode(batch)[0]
        for one, other in (
            (lean.encode(batch)[0], mean),
            (lean.decode_logits(mean), vae.decode_logits(mean)),
            (lean.critic(batch), vae.critic(batch)),
            (lean.critic.features(batch), vae.critic.features(batch)),
        ):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        if vae.logvar is not None:
            torch.testing.assert_close(lean.encode(batch)[1], vae.encode(batch)[1], rtol=1e-3, atol=1e-4)


def count_norms(module: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in module.modules())
