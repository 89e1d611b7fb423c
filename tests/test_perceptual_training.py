"""Training by the perceptual error: its phases, interruptions, kept features, statistics, and the game."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from adversarial_runs import interrupt, same, timeless
from sanoscope.cases.phantoms import brain_phantoms
from sanoscope.errors import DataError, OptionError
from sanoscope.networks.feature_networks import FeatureNetwork, learn_statistics
from sanoscope.networks.growing import Stage
from sanoscope.networks.perceptual_autoencoder import PerceptualAutoencoder
from sanoscope.objectives.adversarial import gradient_penalty
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipe import Recipe
from sanoscope.recipes import get_recipe
from sanoscope.training.kept_features import KeptFeatures, PreparedPictures
from sanoscope.training.perceptual import AdversarialPerceptualModule, PerceptualModule
from sanoscope.training.plain import Surroundings

# Of ten images, in batches of four, three steps an epoch.
TRAINED, STEPS, EPOCHS = 10, 3, 4
SMALL: dict[str, Any] = {
    "preparation.image_size": 16,
    "network.widths": (4,),
    "network.latent": 3,
    "network.features": "vgg11_bn",
    "network.layers": ("r21",),
    "network.pretrained": False,
    "training.batch_size": 4,
    "training.epochs": EPOCHS,
    "training.max_iterations": 0,
    "training.learning_rate": 1e-3,
    "training.schedule": "constant",
    "training.precision": "float32",
}
# From 8 to 16 pixels: stable, in transition, and whole from the sixth iteration on.
GROWING: dict[str, Any] = {
    "network.growing_from": 8,
    "network.growing_layers": ("r11",),
    "training.phase_iterations": STEPS,
}
CRITIC: dict[str, Any] = {"network.critic": "wasserstein"}


@cache
def healthy() -> tuple[Preparation, Pictures, Pictures]:
    """The preparation, ten pictures to train on and four for validation."""
    preparation: Preparation = declared().build("preparation")
    normals = brain_phantoms(subjects=6, slices_per_subject=6, size=64, seed=1).cases().where(lambda it: it.label == 0)
    return preparation, preparation.fit(normals[:TRAINED]), preparation.decode(normals[-4:])


def declared(*options: dict[str, Any]) -> Recipe:
    recipe = get_recipe("deep-perceptual-autoencoder").with_options(SMALL)
    for each in options:
        recipe = recipe.with_options(each)
    return recipe


def built(*options: dict[str, Any]) -> PerceptualAutoencoder:
    torch.manual_seed(0)
    network: PerceptualAutoencoder = declared(*options).build("network", in_channels=1, image_size=16)
    network.initialise()
    return network


def fit(
    *options: dict[str, Any], folder: Path | None = None, resume: bool = False, augmentation: Any = None
) -> tuple[PerceptualAutoencoder, list[dict[str, float]]]:
    """A trained network and its history."""
    recipe, network = declared(*options), built(*options)
    preparation, pictures, held_out = healthy()
    surroundings = Surroundings(folder, 3, "cpu", resume, quiet=True, checkpoint_seconds=0)
    history = recipe.build("training").run(
        network, recipe.build("objective"), preparation.intensity, pictures, held_out, surroundings, augmentation
    )
    return network, history


def inputs(pictures: Pictures) -> Tensor:
    """All images as networks get them."""
    preparation, *_ = healthy()
    return preparation.tensors(pictures.batch(np.arange(len(pictures))))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What there is at the begin of each step."""
    taken: list[dict[str, Any]] = []
    step = PerceptualModule.training_step

    def watched(module: PerceptualModule, batch: Any, index: int) -> Tensor | None:
        optimizer = module.trainer.optimizers[0]
        names = {id(parameter): name for name, parameter in module.growing.named_parameters()}
        moments = {names[id(one)]: int(state["step"]) for one, state in optimizer.state.items()}
        rate = optimizer.param_groups[0]["lr"]
        taken.append({"stage": module.stage, "moments": moments, "rate": rate, "module": module})
        return step(module, batch, index)

    monkeypatch.setattr(PerceptualModule, "training_step", watched)
    return taken


def module_at(iteration: int, *options: dict[str, Any]) -> PerceptualModule:
    """A module as it is at some iteration of a training of a million steps a phase, whose biases are not 0."""
    recipe = declared(GROWING, {"training.phase_iterations": 1_000_000}, *options)
    network = built(GROWING, *options)
    generator = torch.Generator().manual_seed(1)
    settings = recipe.build("training").module_settings
    torch.manual_seed(0)
    module = PerceptualModule(
        network, recipe.build("objective"), None, None, epochs=1, iterations=3_000_000, seed=0, **settings
    )
    with torch.no_grad():
        for parameter in module.growing.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    reached = SimpleNamespace(global_step=iteration)
    module.trainer = reached  # type: ignore[assignment]
    module.held = reached  # type: ignore[assignment]  # else it would be gone, as the module's trainer is a weak one
    return module


# ------------------------------------------------------------ phases


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_the_loss_goes_on_where_a_phase_ends(weight: float) -> None:
    """Without steps in between it is the same before and after."""
    _, pictures, _ = healthy()
    images = inputs(pictures)
    batch = SimpleNamespace(images=images, rows=None)

    def loss(iteration: int) -> float:
        module = module_at(iteration, {"objective.l1": weight})
        return module.reconstructed(batch, training=True)[0].loss.item()  # type: ignore[arg-type]

    stable, begun, middle, nearly, whole = (loss(i) for i in (999_999, 1_000_000, 1_500_000, 1_999_999, 2_000_000))
    assert begun == stable
    assert nearly == pytest.approx(whole, rel=1e-4)
    assert min(abs(middle - stable), abs(middle - whole)) > 1e-3 * abs(stable - whole) > 0


def test_the_loss_of_a_transition_written_out() -> None:
    _, pictures, _ = healthy()
    images, share = inputs(pictures), 0.25
    module = module_at(1_250_000)
    terms, found = module.reconstructed(SimpleNamespace(images=images, rows=None), training=True)  # type: ignore[arg-type]
    half = nn.functional.avg_pool2d
    seen = (1 - share) * half(images, 2).repeat_interleave(2, 2).repeat_interleave(2, 3) + share * images

    def error(layer: str, ones: Tensor, others: Tensor) -> Tensor:
        one, other = (module.network.perceptual(each, [layer])[layer] for each in (ones, others))
        return (one - other).abs().mean((1, 2, 3)) / one.abs().mean((1, 2, 3))

    expected = share * error("r21", seen, found) + (1 - share) * error("r11", half(seen, 2), half(found, 2))
    torch.testing.assert_close(terms.loss, expected.mean())


def test_a_training_passes_all_phases_each_with_a_fresh_optimiser(steps: list[dict[str, Any]]) -> None:
    network, history = fit(GROWING)
    assert [step["stage"] for step in steps] == [
        *[Stage(1)] * STEPS,
        *[Stage(0, i / STEPS) for i in range(STEPS)],
        *[Stage(0)] * (EPOCHS - 2) * STEPS,
    ]
    # Moments that a step finds: as old as the phase, but for a phase's first step, which forgets those it finds.
    ages = [0, *[i % STEPS or STEPS for i in range(1, 2 * STEPS + 1)], *range(1, (EPOCHS - 2) * STEPS)]
    assert [{*step["moments"].values()} for step in steps] == [{age} if age else set() for age in ages]
    stable, changing, whole = ({*step["moments"]} for step in (steps[1], steps[STEPS + 1], steps[-1]))
    assert whole == {f"network.{name}" for name, one in network.named_parameters() if one.requires_grad}
    assert changing == stable | whole
    assert any(name.startswith("entries") for name in stable)
    assert len(history) == EPOCHS
    assert all(math.isfinite(value) for row in history for value in row.values())


def test_the_network_that_is_kept_has_no_growing_parts() -> None:
    grown, plain = (fit(options)[0] for options in (GROWING, {}))
    own = [
        {name: value.shape for name, value in one.state_dict().items() if not name.startswith("perceptual.")}
        for one in (grown, plain)
    ]
    assert own[0] == own[1]
    assert not grown.training
    _, pictures, _ = healthy()
    assert torch.equal(grown(inputs(pictures)), grown.decode(grown.encode(inputs(pictures))[0]))


@pytest.mark.parametrize("schedule", ["cosine", "late-cosine"])
def test_steps_become_smaller_only_once_grown(steps: list[dict[str, Any]], schedule: str) -> None:
    fit(GROWING, {"training.schedule": schedule, "training.learning_rate": 0.01})
    grown, number = 2 * STEPS, EPOCHS * STEPS
    start = grown if schedule == "cosine" else (grown + number) / 2
    expected = [0.005 * (1 + math.cos(math.pi * max(i - start, 0) / (number - start))) for i in range(number)]
    assert [step["rate"] for step in steps] == pytest.approx(expected)


@pytest.mark.parametrize("iterations", [(0, 6, 12), (5, 2, 5)])
def test_too_long_phases_are_refused(iterations: tuple[int, int, int]) -> None:
    most, phase, steps = iterations
    options = {"training.max_iterations": most, "training.phase_iterations": phase + (most > 0)}
    message = (
        rf"training.phase_iterations={phase + (most > 0)} takes {2 * (phase + (most > 0))} iterations until the "
        rf"network has grown, and there are {steps} in all; lower it, or raise training.epochs"
    )
    with pytest.raises(OptionError, match=message):
        fit(GROWING, options)


def test_weights_of_another_number_than_layers_are_refused() -> None:
    with pytest.raises(OptionError, match=r"objective.layer_weights=\[1.0, 2.0\] do not fit network.layers=\['r21'\]"):
        fit({"objective.layer_weights": (1.0, 2.0)})


def test_early_stopping_begins_when_grown(tmp_path: Path) -> None:
    """Steps of no size leave the loss as it is from one epoch to the next in the same phase."""
    still = {"training.learning_rate": 0.0, "training.early_stopping": 1, "training.epochs": 9}
    slow = {"training.phase_iterations": 2 * STEPS}
    _, history = fit(GROWING, still, slow, folder=tmp_path)
    losses = [row["validation/loss"] for row in history]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)  # stable, and the transition's begin
    # Grown after four epochs, the fifth is the first that counts, and the sixth is no better.
    assert len(history) == 6
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["global_step"] == 5 * STEPS
    assert len(fit(still, folder=tmp_path / "plain")[1]) == 2


def test_the_best_weights_are_those_once_grown(tmp_path: Path) -> None:
    options = {"training.early_stopping": 2, "training.epochs": 6, "training.learning_rate": 0.02}
    network, history = fit(GROWING, options, folder=tmp_path)
    grown = {row["epoch"]: row["validation/loss"] for row in history if row["epoch"] > 2}
    best = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert best["global_step"] == STEPS * min(grown, key=grown.__getitem__)
    kept = {name.removeprefix("network."): value for name, value in best["state_dict"].items()}
    assert all(torch.equal(value, kept[name]) for name, value in network.state_dict().items())


def test_an_average_of_weights() -> None:
    plain, history = fit(GROWING)
    averaged, other = fit(GROWING, {"training.average": 0.5})
    assert [row["train/loss"] for row in other] == [row["train/loss"] for row in history]
    assert not same(averaged.encoder, plain.encoder)


def test_all_that_is_random_follows_from_the_seed() -> None:
    nets = []
    for state in (1, 2):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        recipe, network = declared(GROWING), built(GROWING)
        torch.set_rng_state(before)
        preparation, pictures, held_out = healthy()
        surroundings = Surroundings(None, 3, "cpu", quiet=True)
        recipe.build("training").run(
            network, recipe.build("objective"), preparation.intensity, pictures, held_out, surroundings
        )
        assert torch.equal(torch.get_rng_state(), before)
        nets.append(network)
    assert same(*nets)


# ------------------------------------------------------------ interruptions

# Checkpoints are written every three steps. Phases of 4 and 8: within a stable and a changing one; of 3: between two.
VARIANTS: list[tuple[str, list[dict[str, Any]], int]] = [
    ("within a stable phase", [GROWING, {"training.phase_iterations": 4}], 4),
    ("within a transition", [GROWING, {"training.phase_iterations": 4}], 7),
    ("before a transition", [GROWING], 4),
    ("when it is whole", [GROWING], 6),
    ("after the last phase began", [GROWING, {"training.schedule": "cosine"}], 10),
    ("without growing", [{"training.average": 0.8, "training.max_iterations": 11}], 7),
    ("with flips", [GROWING, {"preparation.augmentation": "flips"}], 7),
    ("against a critic", [CRITIC], 7),
]


@pytest.mark.parametrize(("options", "at"), [row[1:] for row in VARIANTS], ids=[row[0] for row in VARIANTS])
def test_resumed_it_ends_the_same(
    options: list[dict[str, Any]], at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    augmentation = declared(*options).build("preparation").augmentation
    kind = AdversarialPerceptualModule if CRITIC in options else PerceptualModule
    whole, history = fit(*options, augmentation=augmentation)
    with monkeypatch.context() as patch:
        interrupt(patch, kind, at)
        with pytest.raises(InterruptedError):
            fit(*options, folder=tmp_path, augmentation=augmentation)
    checkpoint = torch.load(tmp_path / "resume.ckpt", weights_only=True)
    assert checkpoint["global_step"] == at // STEPS * STEPS
    for _ in range(2):  # the second time little is left to be done but the end
        again, rows = fit(*options, folder=tmp_path, resume=True, augmentation=augmentation)
        assert same(again, whole)
        assert timeless(rows) == timeless(history)


# ------------------------------------------------------------ kept features


def values(history: list[dict[str, float]], name: str) -> list[float]:
    return [row[name] for row in history]


@pytest.mark.parametrize("options", [{}, GROWING, {"network.layers": ("r11", "r21")}, CRITIC])
def test_kept_features_change_nothing(options: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    kept, history = fit(options)
    taken, without = fit(options, {"training.kept_gigabytes": 0})
    if options is not CRITIC:
        assert [step["module"].kept._features is not None for step in (steps[0], steps[-1])] == [True, False]
    # Convolutions of all images at once round a little differently from those of a few.
    for name, value in kept.state_dict().items():
        torch.testing.assert_close(taken.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)
    for name in ("train/loss", "validation/loss"):
        assert values(history, name) == pytest.approx(values(without, name), rel=1e-5)


class Counted:
    """Features of images that are all their own, and how many images they were asked of."""

    def __init__(self) -> None:
        self.images = 0

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        self.images += len(images)
        return {"a": images[:, :, ::4, ::4].repeat(1, 3, 1, 1), "b": images.flatten(1)[:, :5, None, None]}


BYTES = TRAINED * (3 * 4 * 4 + 5) * 4


def prepared() -> PreparedPictures:
    preparation, pictures, _ = healthy()
    return PreparedPictures(pictures, preparation.intensity, "cpu")


def test_features_are_kept_where_they_fit() -> None:
    kept, compute = KeptFeatures(prepared(), BYTES, torch.float32), Counted()
    for rows in (torch.tensor([7, 0, 2]), torch.tensor([9])):
        found = kept.of(compute, rows)
        assert found is not None
        for name, value in Counted()(inputs(healthy()[1])[rows]).items():
            assert torch.equal(found[name], value)
    assert compute.images == TRAINED


def test_features_are_not_kept_where_they_do_not_fit() -> None:
    kept, compute = KeptFeatures(prepared(), BYTES - 1, torch.float32), Counted()
    assert [kept.of(compute, torch.tensor([i])) for i in range(3)] == [None] * 3
    assert compute.images == TRAINED  # they were looked at once
    assert KeptFeatures(prepared(), BYTES // 2, torch.bfloat16).of(compute, torch.tensor([1])) is not None
    assert KeptFeatures(prepared(), BYTES, torch.float32).of(compute, None) is None


def test_too_little_memory_keeps_nothing(steps: list[dict[str, Any]]) -> None:
    network, _ = fit({"training.kept_gigabytes": 1e-6})
    assert steps[-1]["module"].kept.most_bytes == 1073
    assert not steps[-1]["module"].kept._features
    assert same(network, fit({"training.kept_gigabytes": 0})[0])


def test_with_augmentation_nothing_is_kept(steps: list[dict[str, Any]]) -> None:
    plain, _ = fit({"training.kept_gigabytes": 0})
    flipped, _ = fit(augmentation=lambda images, generator: images.flip(3))
    assert steps[-1]["module"].kept is None
    assert not same(plain, flipped)


def test_in_bfloat16_it_goes_about_the_same() -> None:
    both = [fit({"training.precision": precision})[1] for precision in ("float32", "bfloat16")]
    for name in ("train/loss", "validation/loss"):
        assert values(both[1], name) == pytest.approx(values(both[0], name), rel=0.1)


# ------------------------------------------------------------ statistics


def statistics(network: FeatureNetwork) -> dict[str, Tensor]:
    return {name: value for name, value in network.named_buffers() if name.startswith(("mean_", "deviation_"))}


def test_statistics_of_training_normals() -> None:
    _, pictures, _ = healthy()
    network, _ = fit(GROWING)
    fresh = built(GROWING).perceptual
    assert not fresh.statistics_known
    raw = fresh.raw(inputs(pictures))
    assert network.perceptual.statistics_known
    for layer in ("r11", "r21"):
        mean = raw[layer].double().mean((0, 2, 3)).float()
        torch.testing.assert_close(network.perceptual.get_buffer(f"mean_{layer}").flatten(), mean)
    normalised = network.perceptual(inputs(pictures))["r21"]
    assert normalised.mean().abs() < 1e-4


def test_statistics_of_a_folder_of_images(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (3, 224, 224, 3), np.uint8) // np.arange(1, 4, dtype=np.uint8)
    for number, image in enumerate(pixels):
        (tmp_path / "any" / str(number)).mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "any" / str(number) / "image.png")
    network, _ = fit({"training.statistics": str(tmp_path)})
    expected = built().perceptual
    learn_statistics(expected, [torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1])
    for name, value in statistics(network.perceptual).items():
        torch.testing.assert_close(value, expected.get_buffer(name), rtol=1e-4, atol=1e-5)
    assert not torch.equal(expected.mean_r21, fit()[0].perceptual.mean_r21)


@pytest.mark.parametrize("content", ["nothing", "no image", "broken"])
def test_a_folder_without_images(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "images"
    if content != "nothing":
        folder.mkdir()
        (folder / ("note.txt" if content == "no image" else "image.png")).write_text("no image")
    with pytest.raises((DataError, OptionError), match=r"training.statistics.*images"):
        fit({"training.statistics": str(folder)})


@pytest.mark.real_data
def test_statistics_that_batch_norms_tell_stay(real_weights: Callable[[str], Path]) -> None:
    file = real_weights("vgg11_bn_imagenet_features0_13_torchvision.pth")
    options = {"network.pretrained": True, "network.weights": str(file), "training.epochs": 1}
    before = statistics(built(options).perceptual)
    assert before["deviation_r21"].min() > 0
    assert before["deviation_r21"].std() > 0
    network, _ = fit(options)
    for name, value in statistics(network.perceptual).items():
        assert torch.equal(value, before[name])


# ------------------------------------------------------------ against a critic


def test_both_sides_learn_and_only_steps_of_the_autoencoder_count(tmp_path: Path) -> None:
    before = built(CRITIC)
    network, history = fit(CRITIC, {"training.critic_rate": 2.0, "training.epochs": 2}, folder=tmp_path)
    assert before.critic is not None
    assert network.critic is not None
    for side in ("encoder", "decoder", "critic"):
        pairs = zip(getattr(before, side).parameters(), getattr(network, side).parameters(), strict=True)
        assert not any(torch.equal(*pair) for pair in pairs), side
    assert same(before.perceptual.trunk, network.perceptual.trunk)
    assert {"train/perceptual", "train/adversarial", "train/critic", "train/penalty", "train/drift"} <= {*history[0]}
    assert all(math.isfinite(value) for row in history for value in row.values())
    for row in history:
        assert row["train/loss"] == pytest.approx(row["train/perceptual"] + 0.1 * row["train/adversarial"], rel=1e-5)
        assert row["validation/loss"] == row["validation/perceptual"]
    checkpoint = torch.load(tmp_path / "resume.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2 * STEPS
    taken = [{int(state["step"]) for state in one["state"].values()} for one in checkpoint["optimizer_states"]]
    assert taken == [{2 * STEPS}, {4 * STEPS}]
    assert [one["param_groups"][0]["lr"] for one in checkpoint["optimizer_states"]] == [1e-3, 2e-3]


class Linear(nn.Module):
    """A critic whose gradient and values are known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 16, 16), 3 / 16))

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.weight).flatten(1).sum(1)


def test_the_critic_s_loss_in_closed_form() -> None:
    """One step of the critic on all images, at a rate of 0."""
    options = {"training.batch_size": TRAINED, "training.epochs": 1, "training.critic_rate": 0.0}
    recipe, network = declared(CRITIC, options), built(CRITIC, options)
    network.critic = Linear()
    preparation, pictures, held_out = healthy()
    images = inputs(pictures)
    with torch.no_grad():
        real, fake = (network.critic(each).double() for each in (images, network(images)))
    (row,) = recipe.build("training").run(
        network,
        recipe.build("objective"),
        preparation.intensity,
        pictures,
        held_out,
        Surroundings(None, 3, "cpu", quiet=True),
    )
    gradient = torch.full((1, 1, 16, 16), 3 / 16)
    # Means of the two steps, which are alike.
    assert row["train/penalty"] == pytest.approx(gradient_penalty(gradient).item(), rel=1e-4)
    assert row["train/critic"] == pytest.approx((fake.mean() - real.mean()).item(), rel=1e-3)
    assert row["train/drift"] == pytest.approx((real.square().mean() + fake.square().mean()).item(), rel=1e-3)
    assert row["train/adversarial"] == pytest.approx(-fake.mean().item(), rel=1e-3)


def test_drift_holds_the_critic_s_values_near_zero() -> None:
    """Of the last bias only the drift has a gradient, so without it that bias stays."""
    before = built(CRITIC).critic
    biases = []
    for drift in (0.0, 1.0):
        network, history = fit(CRITIC, {"objective.drift": drift, "training.epochs": 2})
        assert ("train/drift" in history[0]) == (drift > 0)
        assert network.critic is not None
        biases.append(network.critic.encoder.exit[1].bias)
    assert before is not None
    assert torch.equal(biases[0], before.encoder.exit[1].bias)
    assert not torch.equal(biases[1], biases[0])


def test_growing_against_a_critic_is_refused() -> None:
    message = r"network.critic does not go with a network that grows; set network.growing_from=0, or the critic to none"
    with pytest.raises(OptionError, match=message):
        fit(GROWING, CRITIC)


@pytest.mark.parametrize("betas", [(0.9,), (0.9, 1.0)])
def test_decays_of_moments(betas: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match=r"training.betas takes two decays from 0 to below 1, such as \[0.5, 0.9\]"):
        fit(CRITIC, {"training.betas": betas})


# ------------------------------------------------------------ how it goes


@pytest.mark.parametrize("options", [{}, {**GROWING, "training.phase_iterations": 15}])
def test_it_learns_ten_images(options: dict[str, Any]) -> None:
    longer = {"network.latent": 16, "network.widths": (16,), "training.batch_size": TRAINED, "training.epochs": 120}
    _, history = fit(options, longer, {"training.learning_rate": 5e-3})
    losses = values(history, "train/perceptual")
    assert losses[-1] < 0.1 * losses[0]
    assert losses[-1] < 0.3  # of the features' own size
