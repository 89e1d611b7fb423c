"""An autoencoder between two critics: sizes, the balance of gradients, both sides' losses, and how training goes."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from adversarial_runs import interrupt, same, timeless
from sanoscope import Detector
from sanoscope.cases.phantoms import brain_phantoms, histology_phantoms
from sanoscope.errors import OptionError
from sanoscope.networks.network import parameter_count
from sanoscope.networks.two_critic_autoencoder import LatentCritic, TwoCriticAutoencoder
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipe import Recipe
from sanoscope.recipes.piad import PIAD
from sanoscope.training.gradient_balance import GradientBalance
from sanoscope.training.plain import Surroundings
from sanoscope.training.two_critics import TwoCriticModule

PRESETS = sorted(PIAD.presets)
# Of ten images, in batches of four, three steps an epoch.
TRAINED, STEPS, EPOCHS = 10, 3, 3
SMALL: dict[str, Any] = {
    "preparation.image_size": 16,
    "network.latent": 3,
    "network.widths": (4,),
    "network.critic_widths": (3,),
    "network.latent_critic_widths": (5, 5),
    "network.features": "vgg11_bn",
    "network.layers": ("r21",),
    "network.pretrained": False,
    "training.batch_size": 4,
    "training.epochs": EPOCHS,
    "training.max_iterations": 0,
    "training.schedule": "constant",
    "training.precision": "float32",
    "training.learning_rate": 1e-3,
    "training.critic_steps": 2,
    "training.balance_every": 2,
}


@cache
def healthy() -> tuple[Preparation, Pictures, Pictures]:
    """The preparation, ten pictures to train on and four for validation."""
    preparation: Preparation = declared().build("preparation")
    normals = brain_phantoms(subjects=6, slices_per_subject=6, size=64, seed=1).cases().where(lambda it: it.label == 0)
    return preparation, preparation.fit(normals[:TRAINED]), preparation.decode(normals[-4:])


def declared(*options: dict[str, Any]) -> Recipe:
    recipe = PIAD.with_options(SMALL)
    for each in options:
        recipe = recipe.with_options(each)
    return recipe


def built(*options: dict[str, Any]) -> TwoCriticAutoencoder:
    torch.manual_seed(0)
    network: TwoCriticAutoencoder = declared(*options).build("network", in_channels=1, image_size=16)
    return network


def fit(
    *options: dict[str, Any], folder: Path | None = None, resume: bool = False
) -> tuple[TwoCriticAutoencoder, list[dict[str, float]]]:
    """A trained network and its history."""
    recipe, network = declared(*options), built(*options)
    preparation, pictures, held_out = healthy()
    surroundings = Surroundings(folder, 3, "cpu", resume, quiet=True, checkpoint_seconds=0)
    history = recipe.build("training").run(
        network, recipe.build("objective"), preparation.intensity, pictures, held_out, surroundings
    )
    return network, history


def inputs() -> Tensor:
    """All images as networks get them."""
    preparation, pictures, _ = healthy()
    return preparation.tensors(pictures.batch(np.arange(len(pictures))))


# ------------------------------------------------------------ sizes


def convolution(before: int, after: int, side: int) -> int:
    return before * after * side**2 + after


def residual(before: int, after: int) -> int:
    project = convolution(before, after, 1) if before != after else 0
    return convolution(before, after, 3) + convolution(after, after, 3) + project


def encoder_count(channels: int, widths: tuple[int, ...], latent: int) -> int:
    into = convolution(channels, widths[0], 3) + residual(widths[0], widths[0])
    return into + sum(residual(a, b) for a, b in pairwise(widths)) + convolution(widths[-1], latent, 4)


def decoder_count(channels: int, widths: tuple[int, ...], latent: int) -> int:
    up = sum(residual(b, a) for a, b in pairwise(widths))
    return convolution(latent, widths[-1], 4) + up + convolution(widths[0], channels, 3)


def counts(network: TwoCriticAutoencoder) -> tuple[int, ...]:
    parts = network.encoder, network.decoder, network.critic, network.latent_critic
    return tuple(parameter_count(part) for part in parts if part is not None)


def built_on_meta(recipe: Recipe, channels: int) -> TwoCriticAutoencoder:
    with torch.device("meta"):
        network: TwoCriticAutoencoder = recipe.build(
            "network", in_channels=channels, image_size=recipe["preparation.image_size"]
        )
    return network


def test_parameter_counts_of_the_published_network() -> None:
    network = built_on_meta(PIAD.preset("paper"), 1)
    assert counts(network) == (3_453_376, 2_853_569, 898_497, 256 * 1024 + 1024**2 + 3 * 1024 + 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_built(name: str, channels: int) -> None:
    recipe = PIAD.preset(name)
    for part in ("data", "preparation", "objective", "training", "scoring", "postprocessing", "decision"):
        recipe.build(part)
    network = built_on_meta(recipe, channels)
    latent, widths, judging = (recipe[f"network.{name}"] for name in ("latent", "widths", "critic_widths"))
    hidden = (latent, *recipe["network.latent_critic_widths"], 1)
    assert len(widths) == int(math.log2(recipe["preparation.image_size"] / 4)) + 1
    assert network.latent == latent
    assert counts(network) == (
        encoder_count(channels, widths, latent),
        decoder_count(channels, widths, latent),
        encoder_count(channels, judging, 1),
        sum(convolution(a, b, 1) for a, b in pairwise(hidden)),
    )


def test_the_search_space_holds_options_that_can_be_built() -> None:
    for name, dimension in PIAD.search.items():
        for options in dimension.settings(name):
            built_on_meta(PIAD.with_options(options), 1)


@pytest.mark.parametrize("size", [16, 28, 64])
def test_sizes(size: int) -> None:
    network = declared().build("network", in_channels=3, image_size=size)
    images = torch.rand(2, 3, size, size) * 2 - 1
    latents, logvar = network.encode(images)
    assert latents.shape == (2, 3)
    assert logvar is None
    assert network(images).shape == images.shape
    assert network.critic(images).shape == network.latent_critic(latents).shape == (2,)


def test_the_latent_critic_written_out() -> None:
    torch.manual_seed(0)
    critic, latents = LatentCritic(3, (4, 5)), torch.randn(6, 3)
    found = latents
    for layer in (0, 2):
        found = found @ critic.layers[layer].weight.T + critic.layers[layer].bias
        found = torch.where(found > 0, found, 0.2 * found)
    found = found @ critic.layers[4].weight[0] + critic.layers[4].bias
    torch.testing.assert_close(critic(latents), found)


def test_widths_of_another_number_than_resolutions() -> None:
    message = r"network.critic_widths=\[4, 4\] are 2 where there are 3 resolutions \(16, 8, 4\); give one for each"
    with pytest.raises(OptionError, match=message):
        built({"network.critic_widths": (4, 4)})


# ------------------------------------------------------------ the balance


def recorded(balance: GradientBalance, weighted: list[float], other: list[float]) -> float:
    """The weight after gradients of these norms, one of each layer."""
    balance.record(*([torch.tensor([[0.6 * one], [0.8 * one]]) for one in norms] for norms in (weighted, other)))
    return balance.weight


def test_the_weight_is_the_median_of_the_layers_ratios() -> None:
    balance = GradientBalance(200, 0.05)
    assert balance.weight == 1
    assert recorded(balance, [2.0, 4.0, 8.0], [6.0, 6.0, 6.0]) == pytest.approx(1.5)


def test_ratios_are_of_smoothed_norms_and_begin_at_the_oldest_record() -> None:
    balance = GradientBalance(2, 0.05)
    recorded(balance, [2.0], [6.0])
    smoothed = (0.95 * 6 + 0.05 * 1) / (0.95 * 2 + 0.05 * 4)
    assert recorded(balance, [4.0], [1.0]) == pytest.approx((3 + smoothed) / 2)
    # The first record is forgotten, and the smoothing begins at the second.
    smoothed = (0.95 * 1 + 0.05 * 5) / (0.95 * 4 + 0.05 * 10)
    assert recorded(balance, [10.0], [5.0]) == pytest.approx((0.25 + smoothed) / 2)


@settings(deadline=None)
@given(
    ratio=st.floats(1e-3, 1e3),
    norms=st.lists(st.lists(st.floats(0.1, 10), min_size=3, max_size=3), min_size=1, max_size=6),
    smoothing=st.floats(0.01, 1),
)
def test_one_ratio_throughout_is_the_weight(ratio: float, norms: list[list[float]], smoothing: float) -> None:
    balance = GradientBalance(4, smoothing)
    for one in norms:
        recorded(balance, one, [ratio * norm for norm in one])
    assert balance.weight == pytest.approx(ratio, rel=1e-5)


def test_layers_that_the_weighted_loss_does_not_reach_say_nothing() -> None:
    balance = GradientBalance(200, 0.05)
    assert recorded(balance, [0.0, 0.0], [1.0, 0.0]) == 1
    assert recorded(GradientBalance(200, 0.05), [0.0, 2.0, 0.0], [1.0, 3.0, 0.0]) == pytest.approx(1.5)


def test_a_balance_goes_on_from_its_state() -> None:
    balances = [GradientBalance(3, 0.5) for _ in range(2)]
    for one in (1.0, 2.0, 5.0, 3.0):
        recorded(balances[0], [one, 2.0], [4.0, one])
    balances[1].restore(balances[0].state())
    assert balances[1].weight == balances[0].weight != 1
    assert recorded(balances[1], [7.0, 1.0], [2.0, 2.0]) == recorded(balances[0], [7.0, 1.0], [2.0, 2.0])


# ------------------------------------------------------------ what both sides minimise


def module_of(network: TwoCriticAutoencoder, *options: dict[str, Any]) -> TwoCriticModule:
    """A module before its first step."""
    recipe = declared(*options)
    others = {"epochs": 1, "iterations": 100, "seed": 0}
    module = recipe.build("training").new_module(network, recipe.build("objective"), None, None, **others)
    module.held = SimpleNamespace(global_step=0)  # else it would be gone, as the module's trainer is a weak one
    module.trainer = module.held
    return module  # type: ignore[no-any-return]


@pytest.mark.parametrize("adversarial", [1.0, 0.25])
def test_each_side_has_the_gradients_of_its_own_loss(adversarial: float) -> None:
    network, images = built(), inputs()
    module = module_of(network, {"objective.adversarial": adversarial})
    weights = {"encoder": 3.0, "decoder": 7.0}
    for side in module.sides:
        side.balance.weight = weights[side.name]
    torch.manual_seed(5)
    terms, judged = module._losses(SimpleNamespace(images=images, rows=None))  # type: ignore[arg-type]
    module._set_gradients(terms.loss, judged)

    torch.manual_seed(5)
    noise = torch.randn(len(images), 3)
    assert network.critic is not None
    seen, found = (network.perceptual(each)["r21"] for each in (images, network(images)))
    error = ((seen - found).abs().mean((1, 2, 3)) / seen.abs().mean((1, 2, 3))).mean()
    torch.testing.assert_close(terms.loss, error)
    said = {
        "encoder": -network.latent_critic(network.encode(images)[0]).mean(),
        "decoder": -network.critic(network.decode(noise)).mean(),
    }
    for name, weight in weights.items():
        parameters = [*getattr(network, name).parameters()]
        expected = torch.autograd.grad(weight * error + adversarial * said[name], parameters, retain_graph=True)
        torch.testing.assert_close([one.grad for one in parameters], [*expected], rtol=1e-4, atol=1e-5)
    assert all(one.grad is None for critic in module.critics.values() for one in critic.parameters())


def test_gradients_are_recorded_when_they_are_due() -> None:
    network = built()
    module = module_of(network, {"training.balance_every": 3})
    taken = []
    for iteration in range(7):
        module.held.global_step = iteration
        terms, judged = module._losses(SimpleNamespace(images=inputs(), rows=None))  # type: ignore[arg-type]
        module._set_gradients(terms.loss, judged)
        taken.append([len(side.balance.state()["weighted"]) for side in module.sides])
    assert taken == [[number] * 2 for number in (0, 0, 1, 1, 1, 2, 2)]
    assert len(module.sides[0].balance.state()["weighted"][0]) == sum(
        one.ndim > 1 for one in network.encoder.parameters()
    )


# ------------------------------------------------------------ how it goes


def test_all_sides_learn_and_only_steps_of_the_autoencoder_count(tmp_path: Path) -> None:
    before = built()
    network, history = fit({"training.learning_rate": 1e-3}, folder=tmp_path)
    for side in ("encoder", "decoder", "critic", "latent_critic"):
        for (name, one), other in zip(
            getattr(before, side).named_parameters(), getattr(network, side).parameters(), strict=True
        ):
            assert not torch.equal(one, other), f"{side}.{name}"
    assert same(before.perceptual.trunk, network.perceptual.trunk)
    names = ["adversarial", "critic", "penalty", "drift"]
    expected = {"perceptual", "loss", "encoder-weight", "decoder-weight", *names, *(f"latent-{one}" for one in names)}
    assert {name for name in history[0] if name.startswith("train/")} == {f"train/{name}" for name in expected}
    assert all(math.isfinite(value) for row in history for value in row.values())
    for row in history:
        assert row["train/loss"] == row["train/perceptual"]
        assert row["validation/loss"] == row["validation/perceptual"]
    checkpoint = torch.load(tmp_path / "resume.ckpt", weights_only=True)
    assert checkpoint["global_step"] == EPOCHS * STEPS
    taken = [{int(state["step"]) for state in one["state"].values()} for one in checkpoint["optimizer_states"]]
    assert taken == [{EPOCHS * STEPS}, {2 * EPOCHS * STEPS}, {2 * EPOCHS * STEPS}]
    rates = [one["param_groups"][0]["lr"] for one in checkpoint["optimizer_states"]]
    assert rates == pytest.approx([1e-3, 2.5e-3, 2.5e-3])


@pytest.mark.parametrize(
    "options", [{}, {"training.schedule": "cosine", "training.critic_steps": 1, "training.average": 0.5}]
)
def test_resumed_it_ends_the_same(options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, history = fit(options)
    with monkeypatch.context() as patch:
        interrupt(patch, TwoCriticModule, 2 * STEPS + 1)
        with pytest.raises(InterruptedError):
            fit(options, folder=tmp_path)
    checkpoint = torch.load(tmp_path / "resume.ckpt", weights_only=True)
    assert [len(one["weighted"]) for one in checkpoint["balances"]] == [STEPS, STEPS]
    assert all(one["weight"] != 1 for one in checkpoint["balances"])
    again, rows = fit(options, folder=tmp_path, resume=True)
    assert same(again, whole)
    assert timeless(rows) == timeless(history)


@pytest.mark.parametrize("smoothing", [0.0, 1.5])
def test_smoothing_is_a_share(smoothing: float) -> None:
    with pytest.raises(
        OptionError, match=r"training.balance_smoothing takes a share above 0 and up to 1, such as 0.05"
    ):
        declared({"training.balance_smoothing": smoothing}).build("training")


def test_it_learns_ten_images() -> None:
    wider = {"latent": 16, "widths": (16,), "critic_widths": (8,), "latent_critic_widths": (64, 64)}
    longer: dict[str, Any] = {"training.batch_size": TRAINED, "training.epochs": 40, "training.critic_steps": 1}
    longer |= {"training.learning_rate": 2e-3, "objective.adversarial": 0.1}
    _, history = fit(longer, {f"network.{name}": value for name, value in wider.items()})
    losses = [row["train/perceptual"] for row in history]
    assert losses[-1] < 0.25 * losses[0]


def test_a_detector_scores_by_what_it_was_trained_for() -> None:
    cases = histology_phantoms(subjects=2, images_per_subject=8, size=32, seed=1).cases()
    normals = cases.where(lambda case: case.label == 0)
    detector, again, other = (
        Detector(PIAD, SMALL | {"training.epochs": 1}, seed=seed, device="cpu").fit(normals, quiet=True)
        for seed in (0, 0, 1)
    )
    findings = detector.score(cases)
    assert {"perceptual", "l1", "mse", "map-mean", "map-max"} <= {*findings.scores}
    assert findings.maps.values.min() >= 0
    np.testing.assert_array_equal(again.decision_function(cases), findings.score)
    assert not np.array_equal(other.decision_function(cases), findings.score)
    alone = [detector.decision_function(cases[[i]])[0] for i in range(len(cases))]
    np.testing.assert_allclose(alone, findings.score, rtol=2e-4)
