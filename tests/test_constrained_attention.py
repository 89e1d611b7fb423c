"""The size-constrained attention VAE: layers, class activation maps, training with gradients of gradients, maps."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from command_line import SMALL as SMALL_RUN
from command_line import finished, sanoscope
from sanoscope.cases.case import Case, Cases
from sanoscope.errors import ModelError, OptionError
from sanoscope.networks.folding import folded
from sanoscope.networks.gradcam import channel_weights, class_activation_map
from sanoscope.networks.network import parameter_count
from sanoscope.networks.residual_autoencoder import ResidualAutoencoder
from sanoscope.networks.resnet import BasicBlock
from sanoscope.recipes import get_recipe
from sanoscope.scoring.attention import WEIGHTS, AttentionScoring
from sanoscope.scoring.look import Look
from sanoscope.scoring.map_reading import MapReading, NormalMaps
from sanoscope.training.module import TrainingModule
from sanoscope.training.plain import Surroundings

RECIPE = "constrained-attention-vae"


def brains(count: int, size: int = 32, seed: int = 0) -> Tensor:
    """Bright discs with noise on a black background, ``(N, 1, S, S)``."""
    generator = torch.Generator().manual_seed(seed)
    across = torch.linspace(-1, 1, size)
    disc = (across[:, None].square() + across.square() < 0.7).float()
    return disc * (0.3 + 0.4 * torch.rand(count, 1, size, size, generator=generator))


def network(size: int = 32, latent: int = 6, **options: Any) -> ResidualAutoencoder:
    torch.manual_seed(0)
    return ResidualAutoencoder(1, size, latent, **options)


def narrow(**options: Any) -> ResidualAutoencoder:
    """One for 32 pixels with few parameters, for trainings and their checkpoints."""
    vae, latent = network(**options), options["latent"]
    vae.encoder.conv1 = nn.Conv2d(1, 4, 7, 2, 3, bias=False)
    for number, (before, after) in enumerate([(4, 4), (4, 4), (4, 8), (8, 8)], start=1):
        vae.encoder.set_submodule(f"layer{number}", nn.Sequential(BasicBlock(before, after, 1 if number == 1 else 2)))
    vae.mean, vae.logvar = (nn.Sequential(nn.Flatten(), nn.Linear(8, latent)) for _ in range(2))
    grown = (nn.Upsample(scale_factor=4), nn.Conv2d(4, 1, 3, padding=1))
    vae.decoder = nn.Sequential(nn.Linear(latent, 256), nn.Unflatten(1, (4, 8, 8)), *grown)
    return vae


# ------------------------------------------------------------ network


def test_published_parameter_counts() -> None:
    with torch.device("meta"):
        vae = ResidualAutoencoder(1, 224, 32)
    encoder = sum(parameter_count(part) for part in (vae.encoder, vae.mean, vae.logvar))
    assert (encoder, parameter_count(vae.decoder)) == (12_775_808, 1_771_841)


@pytest.mark.parametrize(
    ("options", "sides", "latent"),
    [
        ({}, [56, 28, 14, 7], 32),
        ({"max_pool": False}, [112, 56, 28, 14], 32),
        ({"variant": "journal"}, [112, 56, 28, 14], 32 * 14 * 14),
        ({"stem": "full", "block": 3, "normalization": "group"}, [56, 28, 14, 7], 32),
    ],
)
def test_maps_of_the_blocks(options: dict[str, Any], sides: list[int], latent: int) -> None:
    with torch.device("meta"):
        vae = ResidualAutoencoder(1, 224, 32, **options)
        images = torch.empty(2, 1, 224, 224)
        for block, (side, channels) in enumerate(zip(sides, (64, 128, 256, 512), strict=True), start=1):
            mean, logvar, activations = vae.encode_with_features(images, block)
            assert activations.shape == (2, channels, side, side)
            assert mean.shape == logvar.shape == (2, latent)
        assert vae.encode_with_features(images)[2].shape[1] == 64 * 2 ** (vae.block - 1)
        assert vae.latent == latent
        assert vae.decode_logits(mean).shape == images.shape


@pytest.mark.parametrize("options", [{}, {"max_pool": False}, {"variant": "journal"}, {"normalization": "group"}])
def test_forward_is_its_parts(options: dict[str, Any]) -> None:
    vae = network(64, **options).eval()
    images = brains(2, 64)
    with torch.inference_mode():
        mean, logvar = vae.encode(images)
        for block in range(1, 5):
            parts = vae.encode_with_features(images, block)
            torch.testing.assert_close(parts[0], mean)
            torch.testing.assert_close(parts[1], logvar)
        torch.testing.assert_close(vae(images), vae.decode_logits(mean).sigmoid())
        noise = torch.randn(2, vae.latent)
        expected = mean + noise * (0.5 * logvar).exp()
        torch.testing.assert_close(vae.sample(mean, logvar, noise), expected)
        torch.testing.assert_close(vae(images, noise), vae.decode(expected))
    assert vae.sample(mean, logvar, None) is mean


def test_bare_stem_has_neither_batch_norm_nor_relu() -> None:
    bare, full = network().encoder, network(stem="full").encoder
    assert parameter_count(full) - parameter_count(bare) == 128
    assert isinstance(bare.maxpool, nn.MaxPool2d)
    images = brains(2)
    assert torch.equal(bare.relu(bare.bn1(bare.conv1(images))), bare.conv1(images))
    assert full.relu(full.bn1(full.conv1(images))).min() == 0


@pytest.mark.parametrize(("options", "factor"), [({}, 32), ({"variant": "journal"}, 16)])
def test_other_sizes_say_which_would_do(options: dict[str, Any], factor: int) -> None:
    with pytest.raises(OptionError, match=rf"image_size must be a multiple of {factor}, not 40"):
        network(40, **options)


# ------------------------------------------------------------ class activation map


def test_map_of_a_linear_mean_in_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    activations = torch.randn(3, 4, 5, 6, generator=generator, requires_grad=True)
    weights = torch.randn(4, 5, 6, 2, generator=generator)
    mean = torch.einsum("bkhw,khwl->bl", activations, weights)
    alpha = weights.sum(-1).mean((1, 2))  # (K,)
    expected = torch.einsum("k,bkhw->bhw", alpha, activations)
    torch.testing.assert_close(class_activation_map(mean, activations), expected)
    uniform = class_activation_map(mean, activations, "channel-mean")
    torch.testing.assert_close(uniform, activations.mean(1))


@pytest.mark.parametrize("block", [1, 2, 3, 4])
def test_map_does_not_depend_on_the_batch(block: int) -> None:
    vae = network(64).eval()
    images = brains(3, 64)
    together, alone = (
        torch.cat([class_activation_map(mean, features) for mean, _, features in encoded])
        for encoded in (
            [vae.encode_with_features(images, block)],
            [vae.encode_with_features(image[None], block) for image in images],
        )
    )
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("block", [1, 3])
def test_gradient_of_the_map_reaches_the_first_convolution(block: int) -> None:
    gradients = {}
    for weighting in ("gradient", "detached", "channel-mean"):
        vae = network(weighting=weighting).train()
        mean, _, activations = vae.encode_with_features(brains(4), block)
        cam = class_activation_map(mean, activations, weighting, create_graph=True)
        cam.sigmoid().mean().backward(retain_graph=True)
        mean.sum().backward()  # the graph is still there for the rest of the loss
        gradients[weighting] = vae.encoder.conv1.weight.grad
        assert gradients[weighting] is not None
        assert gradients[weighting].abs().sum() > 0
    assert not torch.allclose(gradients["gradient"], gradients["detached"])


def test_shared_weights_are_the_mean_of_the_images_own() -> None:
    vae = network(64).eval()
    mean, _, activations = vae.encode_with_features(brains(3, 64))
    own = channel_weights(mean, activations)
    mean, _, activations = vae.encode_with_features(brains(3, 64))
    cam = class_activation_map(mean, activations, "shared")
    torch.testing.assert_close(
        cam, torch.einsum("k,bkhw->bhw", own.mean(0), activations.detach()), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("block", [1, 2, 4])
def test_the_first_unit_of_a_block_is_on_the_way(block: int) -> None:
    whole, half = (network(64, unit=unit).eval() for unit in (2, 1))
    images = brains(2, 64)
    activations = half.features(images, block)
    unit = half.encoder.get_submodule(f"layer{block}.1")
    torch.testing.assert_close(unit(activations), whole.features(images, block))
    assert not torch.allclose(activations, whole.features(images, block))
    for found, expected in zip(half.posterior(activations, block), whole.encode(images), strict=True):
        torch.testing.assert_close(found, expected)


def test_second_order_gradient_is_that_of_finite_differences() -> None:
    vae = network().double().eval()
    for name, module in list(vae.encoder.named_modules()):
        if isinstance(module, nn.ReLU):  # whose slopes jump
            vae.encoder.set_submodule(name, nn.Softplus())
    images = brains(2).double()
    weight = vae.encoder.conv1.weight

    def covered() -> Tensor:
        mean, _, activations = vae.encode_with_features(images)
        return class_activation_map(mean, activations, create_graph=True).double().sigmoid().mean()

    (gradient,) = torch.autograd.grad(covered(), weight)
    step = 0.1 * gradient / gradient.norm()
    values = []
    for change in (step, -2 * step):
        with torch.no_grad():
            weight += change
        values.append(covered().item())
    above, below = values
    assert above - below == pytest.approx(2 * (gradient * step).sum().item(), rel=0.02)


def test_arithmetic_of_the_map_is_float32_under_autocast() -> None:
    vae = network().train()
    with torch.autocast("cpu", torch.bfloat16):
        mean, _, activations = vae.encode_with_features(brains(4))
        cam = class_activation_map(mean, activations, create_graph=True)
        assert activations.dtype == torch.bfloat16
        assert mean.dtype == cam.dtype == torch.float32
    cam.sigmoid().mean().backward()
    assert vae.encoder.conv1.weight.grad is not None
    assert vae.encoder.conv1.weight.grad.isfinite().all()


# ------------------------------------------------------------ training

# Of ten images, in batches of four, two steps an epoch.
SMALL = {
    "preparation.image_size": 32,
    "network.latent": 4,
    "training.batch_size": 4,
    "training.epochs": 4,
    "training.precision": "float32",
    "training.learning_rate": 1e-3,
    "objective.pretraining": 3,
}


@pytest.fixture(scope="module")
def cases() -> Cases:
    pixels = (255 * brains(14)[:, 0]).to(torch.uint8).numpy()
    return Cases(Case(f"slice {number}", pixels=image) for number, image in enumerate(pixels))


def trained(
    cases: Cases, folder: Path | None = None, resume: bool = False, **options: Any
) -> tuple[ResidualAutoencoder, list[dict[str, float]]]:
    """A network trained on ten cases, validated on four; and the history."""
    recipe = (
        get_recipe(RECIPE)
        .preset("paper")
        .with_options(SMALL | {name.replace("__", "."): value for name, value in options.items()})
    )
    preparation = recipe.build("preparation")
    pictures = preparation.fit(cases[:10])
    options = recipe.settings("network")
    vae = narrow(**{name: value for name, value in options.items() if name not in ("backbone", "bias")})
    surroundings = Surroundings(folder, 7, "cpu", resume, quiet=True, checkpoint_seconds=0)
    history = recipe.build("training").run(
        vae, recipe.build("objective"), preparation.intensity, pictures, preparation.decode(cases[10:]), surroundings
    )
    return vae, history


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_constraint_takes_part_after_pretraining(cases: Cases) -> None:
    vae, history = trained(cases, training__epochs=3)
    assert "train/constraint" not in history[0]  # two of three iterations
    both = {f"{side}/{term}" for side in ("train", "validation") for term in ("attention", "constraint")}
    assert all(both <= set(row) for row in history[1:])
    # Validation has the whole constraint throughout, training from its fourth iteration on.
    for row, side in [(history[0], "validation"), (history[1], "validation"), (history[2], "train")]:
        total = row[f"{side}/reconstruction"] + row[f"{side}/kl"] + 10 * row[f"{side}/constraint"]
        assert row[f"{side}/loss"] == pytest.approx(total, rel=1e-4)
    first = history[0]
    assert first["train/loss"] == pytest.approx(first["train/reconstruction"] + first["train/kl"], rel=1e-4)
    assert not vae.training


def test_constraint_widens_attention(cases: Cases) -> None:
    settings = {"network__statistics": "running", "training__learning_rate": 5e-3}
    _, history = trained(cases, training__epochs=24, **settings)
    for side in ("train", "validation"):
        assert history[1][f"{side}/attention"] < 0.6
        assert history[-1][f"{side}/attention"] > 0.75


def test_batch_statistics_cancel_channel_weights_and_running_ones_do_not() -> None:
    vae, images = network(64).train(), brains(8, 64)
    for _ in range(20):
        vae.encode(images)
    left = []
    for training in (True, False):
        mean, _, activations = vae.train(training).encode_with_features(images)
        weights = torch.autograd.grad(mean.sum(), activations)[0].mean((2, 3))  # (B, K)
        left.append((weights.sum(0).abs().sum() / weights.abs().sum()).item())
    assert left[0] < 0.2 < 0.5 < left[1]


def test_without_a_constraint_it_is_a_plain_vae(cases: Cases) -> None:
    _, history = trained(cases, training__epochs=2, objective__constraint="none", objective__pretraining=0)
    assert {name for row in history for name in row} == {
        "epoch",
        "iterations",
        "seconds",
        *(f"{side}/{term}" for side in ("train", "validation") for term in ("loss", "reconstruction", "kl")),
    }


@pytest.mark.parametrize(
    "options",
    [
        {"objective.ramp": 3, "network.statistics": "running"},
        {"training.average": 0.9, "training.max_iterations": 7, "training.drop_last": False},
    ],
)
def test_resumed_training_gives_the_same_weights(
    cases: Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    settings = {name.replace(".", "__"): value for name, value in options.items()}
    whole, history = trained(cases, tmp_path / "whole", **settings)
    step, taken = TrainingModule.training_step, 0

    def interrupted(*arguments: Any) -> Tensor:
        nonlocal taken
        taken += 1
        if taken == 4:  # within the second epoch of two or three steps, past the third iteration
            raise InterruptedError
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", interrupted)
        with pytest.raises(InterruptedError):
            trained(cases, tmp_path / "part", **settings)
    resumed, again = trained(cases, tmp_path / "part", resume=True, **settings)
    assert_same_weights(resumed, whole)
    for one, other in zip(history, again, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    # Once more, when everything is done: only the end is left to be carried out.
    finished, _ = trained(cases, tmp_path / "whole", resume=True, **settings)
    assert_same_weights(finished, whole)


@pytest.mark.parametrize("reconstruction", ["bce", "ssim"])
def test_training_in_bfloat16(cases: Cases, reconstruction: str) -> None:
    settings = {"training__precision": "bfloat16", "objective__pretraining": 0, "training__epochs": 1}
    _, history = trained(cases, objective__reconstruction=reconstruction, **settings)
    assert np.isfinite([*history[0].values()]).all()


# ------------------------------------------------------------ scoring


def scoring(**options: Any) -> AttentionScoring:
    changes = {f"scoring.{name}": value for name, value in options.items()}
    built = get_recipe(RECIPE).preset("paper").with_options(changes | {"objective.beta": 2.0}).build("scoring")
    assert isinstance(built, AttentionScoring)
    return built


@pytest.fixture(scope="module")
def vae() -> ResidualAutoencoder:
    built = network(64)
    with torch.no_grad():  # statistics of batch norm that are not those of the start
        for _ in range(3):
            built(brains(8, 64))
    return folded(built)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return brains(4, 64, seed=2)


@pytest.fixture(scope="module")
def inside(images: Tensor) -> Tensor:
    return images[:, 0] > 0


def upsampled(vae: ResidualAutoencoder, images: Tensor) -> Tensor:
    mean, _, activations = vae.encode_with_features(images)
    cam = class_activation_map(mean, activations).detach()
    return nn.functional.interpolate(cam[:, None], (64, 64), mode="bilinear", align_corners=True)[:, 0]


@pytest.mark.parametrize("sign", [1, -1])
def test_map_is_scaled_between_least_and_greatest_inside(
    vae: ResidualAutoencoder, images: Tensor, inside: Tensor, sign: int
) -> None:
    maps = scoring(sign=sign)(vae, images, inside).maps["attention"]
    cams = sign * upsampled(vae, images)
    for scaled, cam, within in zip(maps, cams, inside, strict=True):
        low, high = cam[within].min(), cam[within].max()
        torch.testing.assert_close(scaled[within], (cam[within] - low) / (high - low), rtol=1e-3, atol=1e-4)
        assert scaled[~within].abs().max() == 0
        assert (scaled.min(), scaled.max()) == (0, 1)


def test_scores_and_maps_by_their_formulas(vae: ResidualAutoencoder, images: Tensor, inside: Tensor) -> None:
    scored = scoring()(vae, images, inside)
    with torch.no_grad():
        mean, logvar = vae.encode(images)
        reconstruction = vae(images)
    kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar)
    residual = (images - reconstruction).abs()[:, 0] * inside
    bce = nn.functional.binary_cross_entropy(reconstruction, images, reduction="none").mean((1, 2, 3))
    torch.testing.assert_close(scored.reconstructions, reconstruction)
    unread = scoring(scaling="none")(vae, images, inside)
    torch.testing.assert_close(unread.maps["residual"], residual)
    torch.testing.assert_close(scored.scores["kl"], kl.sum(1))
    torch.testing.assert_close(scored.scores["elbo"], bce + 2.0 * kl.mean(1))
    torch.testing.assert_close(scored.scores["mse"], (images - reconstruction).square().mean((1, 2, 3)))
    torch.testing.assert_close(scored.scores["map-max"], torch.ones(4))
    attention = scored.maps["attention"]
    torch.testing.assert_close(scored.scores["map-mean"], attention.sum((1, 2)) / inside.sum((1, 2)))
    torch.testing.assert_close(scoring().latents(vae, images), mean)


@pytest.mark.parametrize("chosen", ["attention", "residual"])
@pytest.mark.parametrize("score", ["map-mean", "map-max", "elbo", "kl", "mse"])
def test_what_decides_comes_first_and_can_be_had_alone(
    vae: ResidualAutoencoder, images: Tensor, inside: Tensor, score: str, chosen: str
) -> None:
    every, alone = (scoring(score=score, map=chosen, also=also) for also in ("all", "none"))
    scored, single = every(vae, images, inside), alone(vae, images, inside)
    assert next(iter(scored.scores)) == every.names[0] == score
    assert next(iter(scored.maps)) == every.map_names[0] == chosen
    assert (list(single.scores), list(single.maps)) == ([score], [chosen])
    assert set(scored.maps) == {"attention", "residual", "positive-residual"}
    torch.testing.assert_close(single.maps[chosen], scored.maps[chosen])
    torch.testing.assert_close(every.deciding(vae, images, inside), scored.scores[score])


def test_scaling_by_training_normals(vae: ResidualAutoencoder, images: Tensor, inside: Tensor) -> None:
    cams = upsampled(vae, images)
    for sign in (1, -1):
        way = scoring(scaling="training", sign=sign, also="none")
        with pytest.raises(ModelError, match=r"scaling=training needs what fitting learned .*; fit again"):
            way(vae, images, inside)
        learned = way.learn(vae, [(images[:2], inside[:2]), (images[2:], inside[2:])])
        low, high = np.percentile(sign * cams[inside].numpy(), (1.0, 99.9))
        expected = ((sign * cams - low) / (high - low)).clamp(min=0) * inside
        torch.testing.assert_close(way(vae, images, inside).maps["attention"], expected, rtol=1e-3, atol=1e-3)
        other = scoring(scaling="training", sign=-sign, also="none")
        other.learned = learned  # adjusted on a fitted model
        assert other(vae, images, inside).maps["attention"].max() < 2


def test_shared_weights_are_learned_of_training_normals(images: Tensor, inside: Tensor) -> None:
    vae = network(64, weighting="shared").eval()
    way = scoring(also="none", scaling="training")
    with pytest.raises(ModelError, match="fit again"):
        way(vae, images, inside)
    way.learn(vae, [(images[:2], inside[:2]), (images[2:], inside[2:])])
    mean, _, activations = vae.encode_with_features(images)
    expected = channel_weights(mean, activations).mean(0)
    torch.testing.assert_close(torch.from_numpy(way.learned[WEIGHTS]), expected, rtol=1e-4, atol=1e-7)
    # They are those of the training, whatever is scored, so that an image alone has the same map.
    together, alone = way(vae, images, inside), way(vae, images[:1], inside[:1])
    torch.testing.assert_close(together.maps["attention"][:1], alone.maps["attention"], rtol=1e-4, atol=1e-5)


def test_scaling_by_position_compares_a_place_with_what_normals_have_there() -> None:
    normal = torch.linspace(0, 5, 32).expand(40, 32, 32) + torch.randn(
        40, 32, 32, generator=torch.Generator().manual_seed(0)
    )
    inside = torch.ones(40, 32, 32, dtype=torch.bool)
    read = MapReading("position", False, 1, 0.0, NormalMaps(normal, inside))
    # A gradient that all normals have is nothing; a spot on it is as strong at its low as at its high end.
    image = torch.linspace(0, 5, 32).expand(2, 32, 32).clone()
    image[0, 16, 4] += 6
    image[1, 16, 27] += 6
    low, high = read(image, None)
    assert low[:, 8:24].std() < 0.2
    torch.testing.assert_close(low[16, 4], high[16, 27], rtol=0.15, atol=0)
    assert low[16, 4] > low[:, 28:].max() + 0.4
    plain = MapReading("training", False, 1, 0.0, NormalMaps(normal, inside))(image, None)
    assert plain[1, 16, 27] > plain[0, 16, 4] + 0.3


def test_positive_channels_leave_out_what_speaks_against(images: Tensor, inside: Tensor) -> None:
    for weighting in ("gradient", "shared"):
        vae = network(64, weighting=weighting).eval()
        way = scoring(channels="positive", also="none")
        way.learn(vae, [(images, inside)])
        mean, _, activations = vae.encode_with_features(images)
        weights = channel_weights(mean, activations)
        weights = (weights.mean(0, keepdim=True) if weighting == "shared" else weights).clamp(min=0)
        activations = vae.features(images).detach()
        found = way.raw("attention", Look(vae, images, inside))
        torch.testing.assert_close(
            found, torch.einsum("bk,bkhw->bhw", weights.expand(4, -1), activations), rtol=1e-4, atol=1e-5
        )


def test_smoothing_stays_inside(vae: ResidualAutoencoder, images: Tensor, inside: Tensor) -> None:
    way = scoring(map="residual", scaling="none", smoothing=1.5, also="none")
    smoothed = way(vae, images, inside).maps["residual"]
    with torch.no_grad():
        residual = (images - vae(images)).abs()[:, 0]
    assert smoothed[~inside].abs().max() == 0
    row, column = 30, 9  # near the edge of the disc
    down, across = torch.meshgrid(torch.arange(64) - row, torch.arange(64) - column, indexing="ij")
    weights = (-(down**2 + across**2) / (2 * 1.5**2)).exp() * inside[0] * (down.abs() <= 6) * (across.abs() <= 6)
    expected = (weights * residual[0]).sum() / weights.sum()
    torch.testing.assert_close(smoothed[0, row, column], expected)
    assert not inside[0, row - 12 : row + 12, column - 6 : column + 6].all()


@pytest.mark.parametrize("scaling", ["image", "training", "position"])
def test_images_of_which_little_is_inside(vae: ResidualAutoencoder, images: Tensor, scaling: str) -> None:
    inside = torch.zeros(4, 64, 64, dtype=torch.bool)
    inside[1, 10, 10] = True
    inside[2, 10, 10:12] = True
    way = scoring(scaling=scaling, smoothing=1.0)
    way.learn(vae, [(images[:1], inside[:1])])
    scored = way(vae, images, inside)
    for maps in scored.maps.values():
        assert maps.isfinite().all()
        assert maps.min() == 0
        assert maps[0].max() == 0
    assert all(score.isfinite().all() for score in scored.scores.values())
    everywhere = way(vae, images, None).maps["attention"]
    assert everywhere.min() >= 0
    blank = way(vae, torch.zeros(1, 1, 64, 64), None)
    assert blank.maps["attention"].isfinite().all()


def test_scoring_in_threads_and_whatever_else_is_in_the_batch(
    vae: ResidualAutoencoder, images: Tensor, inside: Tensor
) -> None:
    way = scoring(smoothing=1.0)
    together = way(vae, images, inside)
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    with ThreadPoolExecutor(3) as pool:
        alone = list(pool.map(lambda row: way(vae, images[[row]], inside[[row]]), range(4)))
    for name, maps in together.maps.items():
        assert not maps.requires_grad
        torch.testing.assert_close(torch.cat([one.maps[name] for one in alone]), maps, rtol=1e-3, atol=1e-4)
    for name, scores in together.scores.items():
        torch.testing.assert_close(torch.cat([one.scores[name] for one in alone]), scores, rtol=1e-3, atol=1e-4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in vae.state_dict().items())
    assert all(parameter.grad is None for parameter in vae.parameters())
    with torch.autocast("cpu", torch.bfloat16):
        half = way(vae, images, inside)
    assert {maps.dtype for maps in half.maps.values()} == {torch.float32}


# ------------------------------------------------------------ recipe


def test_preset_of_the_paper_has_its_values() -> None:
    paper = get_recipe(RECIPE).preset("paper")
    stated = {
        "preparation.image_size": 224,
        "network.latent": 32,
        "network.block": 1,
        "objective.reconstruction": "bce",
        "objective.slack": 0.2,
        "objective.sharpness": 20.0,
        "objective.weight": 10.0,
        "objective.pretraining": 400,
        "training.epochs": 300,
        "training.batch_size": 32,
        "training.learning_rate": 1e-4,
    }
    assert {name: paper[name] for name in stated} == stated


@pytest.mark.parametrize("preset", get_recipe(RECIPE).presets)
def test_every_preset_can_be_built_and_says_all_that_the_paper_does(preset: str) -> None:
    recipe = get_recipe(RECIPE)
    chosen = recipe.preset(preset)
    with torch.device("meta"):
        chosen.build("network", in_channels=1, image_size=chosen["preparation.image_size"])
    for part in ("preparation", "objective", "training"):
        chosen.build(part)
    if preset not in ("light", "comparison-study"):  # which are no rows of the paper's
        assert set(recipe.presets[preset]) == set(recipe.presets["paper"])


def test_preset_on_the_command_line(cases: Cases, tmp_path: Path) -> None:
    data = tmp_path / "slices"
    data.mkdir()
    for number, case in enumerate(cases):
        Image.fromarray(case.pixels).save(data / f"{number}.png")
    small = (*SMALL_RUN, "--set", "training.batch_size=4", "--epochs", 1, "--set", "objective.beta=2")
    finished("fit", RECIPE, data, "--out", tmp_path / "model", "--preset", "journal", *small)
    options = json.loads((tmp_path / "model" / "detector.json").read_text())["recipe"]["options"]
    assert (options["network.variant"], options["objective.weight"]) == ("journal", 1000.0)
    assert (options["objective.beta"], options["training.batch_size"]) == (2.0, 4)  # what is set goes before
    unknown = sanoscope("fit", RECIPE, data, "--out", tmp_path / "other", "--preset", "papr")
    assert unknown.error == f"recipe '{RECIPE}' has no preset 'papr'; did you mean 'paper'?"
