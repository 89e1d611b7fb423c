"""The deep perceptual autoencoder: its blocks, sizes and published counts, how it grows, and its relative error."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from sanoscope.errors import OptionError
from sanoscope.networks.growing import GrowingAutoencoder, Stage, at_stage, shrunk
from sanoscope.networks.network import parameter_count
from sanoscope.networks.perceptual_autoencoder import PerceptualAutoencoder
from sanoscope.networks.resolution_autoencoder import Residual, doubled
from sanoscope.objectives.elbo import absolute_error
from sanoscope.objectives.perceptual import (
    PerceptualObjective,
    perceptual_error,
    relative_error,
    relative_error_map,
    weights_of,
)
from sanoscope.recipes import get_recipe
from sanoscope.training.growth import Growth

RECIPE = get_recipe("deep-perceptual-autoencoder")
PRESETS = sorted(RECIPE.presets)

# Parameters of encoder and decoder, as the authors' configurations have them.
PUBLISHED = {
    "camelyon16": (2_776, 2_183),
    "camelyon16-plain": (2_776, 2_183),
    "nih-subset": (50_672, 41_377),
    "nih-subset-plain": (50_672, 41_377),
    "nih-subset-unsupervised": (813_056, 665_281),
    "nih-pa": (50_672, 41_377),
    "nih-pa-plain": (50_672, 41_377),
    "nih-pa-unsupervised": (813_056, 665_281),
    "nih-ap": (566_720, 446_593),
    "nih-ap-plain": (804_800, 657_025),
    "nih-ap-unsupervised": (813_056, 665_281),
}
# Iterations after the network has grown.
LAST_PHASE = {"camelyon16": 8_666, "nih-subset": 3_500, "nih-pa": 10_000, "nih-ap": 7_000}

SMALL: dict[str, Any] = {
    "latent": 3,
    "latent_resolution": 1,
    "widths": (4,),
    "blocks": 2,
    "features": "vgg11_bn",
    "layers": ("r21",),
    "pretrained": False,
}
GROWING: dict[str, Any] = {"widths": (3, 4, 5, 6), "growing_from": 8, "growing_layers": ("r11", "r11")}


def network(size: int = 32, channels: int = 1, **options: Any) -> PerceptualAutoencoder:
    torch.manual_seed(0)
    return PerceptualAutoencoder(channels, size, **(SMALL | options))


def disturbed(module: nn.Module) -> None:
    """Let no bias be 0, so that each makes a difference."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def growing(**options: Any) -> GrowingAutoencoder:
    """From 8 to 32 pixels."""
    grown = GrowingAutoencoder(network(**(GROWING | options)))
    for module in (grown.network.encoder, grown.network.decoder, grown.entries, grown.exits):
        disturbed(module)
    return grown


def images(size: int = 32, channels: int = 1, count: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# ------------------------------------------------------------ blocks


@pytest.mark.parametrize(("before", "after"), [(3, 3), (3, 5), (5, 3)])
@pytest.mark.parametrize("resample", ["none", "down", "up"])
def test_a_residual_block_written_out(before: int, after: int, resample: str) -> None:
    torch.manual_seed(0)
    block = Residual(before, after, resample)
    weights = dict(block.named_parameters())
    assert ("project.weight" in weights) == (before != after)

    def changed(features: Tensor) -> Tensor:
        if resample == "down":
            quarters = [features[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
            return torch.stack(quarters).mean(0)
        return features.repeat_interleave(2, 2).repeat_interleave(2, 3) if resample == "up" else features

    def leaky(features: Tensor) -> Tensor:
        return torch.where(features > 0, features, 0.2 * features)

    x = torch.randn(2, before, 6, 6)
    inner = F.conv2d(changed(leaky(x)), weights["first.weight"], weights["first.bias"], padding=1)
    residual = F.conv2d(leaky(inner), weights["second.weight"], weights["second.bias"], padding=1)
    skip = changed(x)
    if before != after:
        skip = torch.einsum("ab,nbhw->nahw", weights["project.weight"][:, :, 0, 0], skip)
        skip = skip + weights["project.bias"][:, None, None]
    torch.testing.assert_close(block(x), residual + skip)


@pytest.mark.parametrize("critic", ["none", "wasserstein"])
def test_convolutions_begin_with_kaimings_deviation_by_outputs(critic: str) -> None:
    net = network(widths=(48, 64, 64, 96), latent=32, critic=critic)
    grown = GrowingAutoencoder(network(widths=(48, 64, 64, 96), growing_from=8))
    judged = [net.critic] if critic != "none" else [net.encoder, net.decoder, grown.entries, grown.exits]
    convolutions = [one for module in judged for one in module.modules() if isinstance(one, nn.Conv2d)]
    large = 0
    for one in convolutions:
        assert one.bias is not None
        assert not one.bias.any()
        outputs = one.out_channels * one.kernel_size[0] * one.kernel_size[1]
        expected = math.sqrt(2 / (1 + 0.2**2) / outputs)
        if one.weight.numel() > 5_000:
            assert one.weight.std().item() == pytest.approx(expected, rel=0.05)
            large += 1
    assert large > 10


# ------------------------------------------------------------ sizes and counts


def convolution(before: int, after: int, side: int) -> int:
    return before * after * side**2 + after


def residual(before: int, after: int) -> int:
    project = convolution(before, after, 1) if before != after else 0
    return convolution(before, after, 3) + convolution(after, after, 3) + project


def counts(channels: int, widths: tuple[int, ...], latent: int, side: int) -> tuple[int, int]:
    """Of encoder and decoder with two blocks at each resolution, the last of 4 pixels where ``side`` is 1."""
    down = sum(residual(a, b) + residual(b, b) for a, b in pairwise(widths))
    up = sum(residual(b, a) + residual(a, a) for a, b in pairwise(widths))
    first, last = widths[0], widths[-1]
    to_latent, from_latent = (
        convolution(a, b, 4) if side == 1 else residual(a, b) for a, b in ((last, latent), (latent, last))
    )
    return (
        convolution(channels, first, 3) + 2 * residual(first, first) + down + to_latent,
        from_latent + up + convolution(first, channels, 3),
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_built(name: str, channels: int) -> None:
    recipe = RECIPE.preset(name)
    for part in ("data", "preparation", "objective", "training", "scoring", "postprocessing", "decision"):
        recipe.build(part)
    with torch.device("meta"):
        net = recipe.build("network", in_channels=channels, image_size=recipe["preparation.image_size"])
    latent, side = recipe["network.latent"], recipe["network.latent_resolution"]
    assert (net.latent, len(net.widths)) == (
        latent * side**2,
        int(math.log2(recipe["preparation.image_size"] / (4 if side == 1 else side))) + 1,
    )
    found = parameter_count(net.encoder), parameter_count(net.decoder)
    assert found == counts(channels, net.widths, latent, side)
    if channels == (3 if "camelyon" in name else 1):
        assert found == PUBLISHED.get(name, found)
    growth = Growth(len(net.layers) - 1, recipe["training.phase_iterations"])
    assert recipe["training.max_iterations"] - growth.grown_at == LAST_PHASE.get(
        name, recipe["training.max_iterations"]
    )


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_trained_as_published(name: str) -> None:
    recipe = RECIPE.preset(name)
    small = name.startswith("nih-ap") or (name.startswith("nih") and name.endswith("unsupervised"))
    expected = {
        "batch_size": 56 if small else 128,
        "optimizer": "adam",
        "schedule": "constant",
        "weight_decay": 0.0,
        "phase_iterations": 20_000,
        "early_stopping": 0,
    }
    assert {key: recipe[f"training.{key}"] for key in expected} == expected
    assert recipe["network.features"] == "vgg19"
    assert recipe["preparation.channels"] == ("grey" if name.startswith(("nih", "svhn")) else "native")


def test_published_counts_and_phases_are_of_presets() -> None:
    assert {*PUBLISHED, *LAST_PHASE} <= {*PRESETS}
    assert [name for name in PRESETS if RECIPE.preset(name)["network.growing_from"]] == sorted(LAST_PHASE)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("camelyon16", ("r42", "r32", "r32")),
        ("nih-subset", ("r42", "r32", "r22", "r12")),
        ("nih-pa", ("r32", "r32", "r22", "r12")),
        ("nih-ap", ("r32", "r32", "r22", "r12")),
    ],
)
def test_layers_as_presets_grow(name: str, layers: tuple[str, ...]) -> None:
    with torch.device("meta"):
        net = RECIPE.preset(name).build("network", in_channels=1, image_size=64)
    assert net.layers == tuple((layer,) for layer in layers)


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize(
    ("size", "side", "levels", "bottom"),
    [(64, 1, 5, 4), (32, 1, 4, 4), (96, 1, 6, 3), (48, 1, 5, 3), (28, 1, 3, 7), (32, 4, 4, 4), (32, 8, 3, 8)],
)
def test_sizes(size: int, side: int, levels: int, bottom: int, blocks: int) -> None:
    net = network(size, latent_resolution=side, blocks=blocks, critic="wasserstein")
    seen = images(size)
    assert len(net.widths) == levels
    assert net.latent == 3 * side**2
    assert net.encode(seen)[0].shape == (2, net.latent)
    assert net(seen).shape == seen.shape
    assert net.critic is not None
    assert net.critic(seen).shape == (2,)
    assert net.critic.encoder.exit[1].kernel_size == (bottom, bottom)
    torch.testing.assert_close(net.decode(net.encode(seen)[0]), net(seen))


def test_fewer_blocks_are_those_of_the_lighter_variant() -> None:
    lighter = network(16, blocks=1)
    encoder, decoder = counts(1, (4, 4, 4), 3, 1)
    assert parameter_count(lighter.encoder) == encoder - 3 * residual(4, 4)
    assert parameter_count(lighter.decoder) == decoder - 2 * residual(4, 4)


def test_nothing_bounds_the_output() -> None:
    net = network(16)
    with torch.no_grad():
        net.decoder.exit[1].bias.fill_(7.0)
    assert net(images(16)).mean() > 3


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (100, {}, r"preparation.image_size=100 cannot be halved down to 4, .*; take a size such as 128$"),
        (
            48,
            {"latent_resolution": 8},
            r"image_size=48 cannot be halved down to 8, for network.latent_resolution=8; take a size such as 64$",
        ),
        (16, {"latent_resolution": 32}, r"image_size=16 cannot be halved down to 32, .* such as 64$"),
        (32, {"widths": (4, 8)}, r"network.widths=\[4, 8\] are 2 where there are 4 resolutions \(32, 16, 8, 4\); give"),
        (32, {"growing_from": 12}, r"network.growing_from=12 is none of .* \(16, 8, 4\); take one of these, or 0$"),
        (32, {"growing_from": 32}, r"network.growing_from=32 is none of .* \(16, 8, 4\); take one of these, or 0$"),
        (
            32,
            {"growing_from": 8, "growing_layers": ("r11",)},
            r"network.growing_layers=\['r11'\] are 1 where training grows from 2 lower resolutions \(8, 16\); give one",
        ),
        (
            32,
            {"growing_from": 8, "growing_layers": ("r12", "r11")},
            r"^network.growing_layers=r12 is no layer of vgg11_bn; did you mean",
        ),
        (
            32,
            {"growing_from": 4, "growing_layers": ("r42", "r11", "r11")},
            r"^network.growing_layers: images of 4 pixels are too small for layer r42 of vgg11_bn; give a shallower",
        ),
        (32, {"layers": ("r21", "r99")}, r"^network.layers=r99 is no layer of vgg11_bn; "),
        (32, {"layers": ("r31", "level3")}, r"^network.layers=\['r31', 'r31'\] name a layer twice; name each once"),
        (
            16,
            {"features": "squeezenet1_1", "layers": ("fire9",)},
            r"preparation.image_size=16 is too small for layer fire9 of squeezenet1_1; set a larger one or a shallower",
        ),
    ],
)
def test_mistakes_name_the_option_and_the_mend(size: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        network(size, **options)


def test_images_of_other_channels_are_refused() -> None:
    with pytest.raises(OptionError, match=r"not 4 channels; set preparation.channels=grey"):
        network(channels=4)


def test_automatic_layers_suit_the_side() -> None:
    net = network(64, layers=("level4",), growing_from=4)
    assert net.layers == (("r32",), ("r31",), ("r21",), ("r11",), ("r11",))
    assert net.perceptual.layers == ("r32", "r31", "r21", "r11")
    net = network(32, layers=("level2", "r11"), growing_from=16, growing_layers=("level1",))
    assert net.layers == (("r21", "r11"), ("r11",))


# ------------------------------------------------------------ growing


@pytest.mark.parametrize("level", [0, 1])
def test_a_transition_begins_as_the_stable_network_below(level: int) -> None:
    net, seen = growing(), images()
    below = net(at_stage(seen, Stage(level + 1)), Stage(level + 1))
    begun = net(at_stage(seen, Stage(level, 0.0)), Stage(level, 0.0))
    assert torch.equal(begun, doubled(below))
    assert below.std() > 0.01


@pytest.mark.parametrize("level", [0, 1])
def test_a_transition_ends_as_the_stable_network_at_its_resolution(level: int) -> None:
    net, seen = growing(), images()
    ended = net(at_stage(seen, Stage(level)), Stage(level))
    nearly, middle = (net(at_stage(seen, stage), stage) for stage in (Stage(level, 1 - 1e-6), Stage(level, 0.5)))
    torch.testing.assert_close(nearly, ended, rtol=1e-4, atol=1e-4)
    begun = net(at_stage(seen, Stage(level, 0.0)), Stage(level, 0.0))
    assert min((middle - begun).abs().max(), (middle - ended).abs().max()) > 0.01


def test_whole_it_is_the_network() -> None:
    net, seen = growing(), images()
    assert torch.equal(net(seen, Stage(0)), net.network(seen))


def test_a_transition_written_out() -> None:
    net, share = growing(), 0.3
    encoder, decoder = net.network.encoder, net.network.decoder
    seen = images(16)
    from_below = net.entries[1](F.avg_pool2d(seen, 2))
    features = (1 - share) * from_below + share * encoder.down[1](net.entries[0](seen))
    latents = encoder.exit(encoder.down[2](features))
    features = decoder.up[2](decoder.entry(latents))
    up = net.exits[1](features).repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = (1 - share) * up + share * net.exits[0](decoder.up[1](features))
    torch.testing.assert_close(net(seen, Stage(1, share)), expected)


def used(net: GrowingAutoencoder, stage: Stage) -> set[str]:
    net.zero_grad()
    net(at_stage(images(), stage), stage).square().sum().backward()
    return {name for name, parameter in net.named_parameters() if parameter.grad is not None}


def test_blocks_are_shared_by_all_stages_and_the_network_keeps_none_of_the_others() -> None:
    net = growing()
    assert len({id(one) for one in net.parameters()}) == len([*net.network.parameters()]) + len(
        [*net.entries.parameters(), *net.exits.parameters()]
    )
    own = {f"network.{name}" for name, one in net.network.named_parameters() if one.requires_grad}
    lowest, rising, middle, last, whole = (
        used(net, stage) for stage in (Stage(2), Stage(1, 0.5), Stage(1), Stage(0, 0.5), Stage(0))
    )
    assert whole == own
    shared = lowest & own
    assert {name.split(".")[2] for name in shared} == {"down", "exit", "entry", "up"}
    assert shared < middle & own < whole
    assert lowest - own == {name for name, _ in net.named_parameters() if name.startswith(("entries.1", "exits.1"))}
    assert middle - own == {name for name, _ in net.named_parameters() if name.startswith(("entries.0", "exits.0"))}
    assert rising == lowest | middle
    assert last == middle | whole
    assert not any("entries" in name or "exits" in name for name in net.network.state_dict())


def test_images_of_a_stage() -> None:
    seen = images(16)

    def middle_of_blocks(side: int) -> Tensor:
        blocks = seen.unfold(2, side, side).unfold(3, side, side)
        inner = slice(side // 2 - 1, side // 2 + 1)
        return blocks[..., inner, inner].mean((-1, -2))

    assert torch.equal(at_stage(seen, Stage(0)), seen)
    torch.testing.assert_close(at_stage(seen, Stage(1)), F.avg_pool2d(seen, 2))
    for level in (2, 3):
        torch.testing.assert_close(at_stage(seen, Stage(level)), middle_of_blocks(2**level))
        torch.testing.assert_close(shrunk(seen, level), middle_of_blocks(2**level))
    expected = 0.75 * doubled(middle_of_blocks(4)) + 0.25 * F.avg_pool2d(seen, 2)
    torch.testing.assert_close(at_stage(seen, Stage(1, 0.25)), expected)


def phases(levels: int) -> Iterator[tuple[int, bool]]:
    """Level, and whether it is a transition, of each phase but the last."""
    yield levels, False
    for level in range(levels - 1, -1, -1):
        yield level, True
        if level:
            yield level, False


@given(st.integers(0, 4), st.integers(1, 7))
def test_stages_over_a_training(levels: int, iterations: int) -> None:
    growth = Growth(levels, iterations)
    expected = [
        Stage(level, step / iterations if transition else 1.0)
        for level, transition in (phases(levels) if levels else ())
        for step in range(iterations)
    ]
    assert growth.grown_at == len(expected) == 2 * levels * iterations
    assert [growth.stage(i) for i in range(len(expected))] == expected
    assert {growth.stage(len(expected) + i) for i in range(50)} == {Stage(0)}
    begun = [i for i in range(len(expected) + 3 * iterations) if growth.begins(i)]
    assert begun == [iterations * (phase + 1) for phase in range(2 * levels)]


# ------------------------------------------------------------ the relative error


def features(seed: int, shape: tuple[int, ...] = (3, 5, 4, 4)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(st.floats(0.01, 100), st.integers(0, 99))
def test_the_error_is_relative(scale: float, seed: int) -> None:
    one, other = features(seed), features(seed + 100)
    error = relative_error(one, other)
    assert error.shape == (3,)
    torch.testing.assert_close(error, (one - other).abs().sum((1, 2, 3)) / one.abs().sum((1, 2, 3)))
    torch.testing.assert_close(relative_error(scale * one, scale * other), error)
    assert not relative_error(one, one).any()
    torch.testing.assert_close(relative_error(one, torch.zeros_like(one)), torch.ones(3))
    torch.testing.assert_close(relative_error_map(one, other).mean((1, 2)), error)


def test_the_map_is_of_each_place() -> None:
    one = features(0, (1, 5, 4, 4))
    other = one.clone()
    other[0, 2, 1, 3] += 3.0
    found = relative_error_map(one, other)[0]
    assert found.nonzero().tolist() == [[1, 3]]
    assert found[1, 3].item() == pytest.approx(3 / 5 / one.abs().mean().item())


def test_no_gradient_flows_through_the_denominator() -> None:
    one, other = features(0).requires_grad_(), features(1).requires_grad_()
    relative_error(one, other).sum().backward()
    assert one.grad is not None
    assert other.grad is not None
    expected = (one - other).detach().sign() / one.detach().abs().sum((1, 2, 3), keepdim=True)
    torch.testing.assert_close(one.grad, expected)
    torch.testing.assert_close(other.grad, -expected)


def test_features_that_are_all_zero_give_a_finite_error() -> None:
    nothing = torch.zeros(2, 3, 4, 4)
    assert not relative_error(nothing, nothing).any()
    assert relative_error(nothing, features(0, (2, 3, 4, 4))).isfinite().all()


def test_half_precision_is_compared_as_single() -> None:
    one, other = features(0).bfloat16(), features(1).bfloat16()
    assert torch.equal(relative_error(one, other), relative_error(one.float(), other.float()))
    assert relative_error_map(one, other).dtype == torch.float32


def test_weights_of_layers() -> None:
    assert weights_of(("r32", "r42"), (1.0,)) == {"r32": 0.5, "r42": 0.5}
    assert weights_of(("r32", "r42"), (1.0, 3.0)) == {"r32": 0.25, "r42": 0.75}
    assert weights_of(("r32",), (7.0,)) == {"r32": 1.0}


@pytest.mark.parametrize(("layers", "weights"), [(("a", "b"), (1.0, 2.0, 3.0)), (("a",), (1.0, 1.0)), (("a",), (0.0,))])
def test_weights_that_do_not_fit(layers: tuple[str, ...], weights: tuple[float, ...]) -> None:
    with pytest.raises(
        OptionError, match=r"objective.layer_weights=.* do not fit network.layers=.*; give one for each"
    ):
        weights_of(layers, weights)


def test_several_layers_are_weighed() -> None:
    ones, others = ({"a": features(i), "b": features(i + 1, (3, 2, 2, 2))} for i in (0, 10))
    error = perceptual_error(ones, others, {"a": 0.25, "b": 0.75})
    a, b = (relative_error(ones[layer], others[layer]) for layer in "ab")
    torch.testing.assert_close(error, 0.25 * a + 0.75 * b)


def test_terms_of_a_batch() -> None:
    error, seen, found = torch.tensor([1.0, 3.0]), images(8), images(8, seed=1)
    l1 = (seen - found).abs().mean()
    torch.testing.assert_close(absolute_error(seen, found).mean(), l1)
    plain = PerceptualObjective((1.0,), l1=0.0, adversarial=0.5, penalty=10.0, drift=0.001)(error, seen, found)
    assert plain.loss == 2
    assert {name: value.item() for name, value in plain.logged.items()} == {"perceptual": 2, "loss": 2}
    objective = PerceptualObjective((1.0,), l1=0.3, adversarial=0.5, penalty=10.0, drift=0.001)
    terms = objective.with_adversarial(objective(error, seen, found), torch.tensor([4.0, 8.0]))
    torch.testing.assert_close(terms.loss, 2 + 0.3 * l1 - 0.5 * 6)
    assert terms.logged["loss"] == terms.loss
    assert terms.logged["perceptual"] == 2
    torch.testing.assert_close(terms.logged["l1"], l1)
    assert terms.logged["adversarial"] == -6
