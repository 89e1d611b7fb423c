"""The loop: how long it is, how the step size goes, what is averaged, and augmentation that can be resumed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.errors import ModelError, OptionError
from sanoscope.networks.autoencoder import VariationalAutoencoder
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipes import get_recipe
from sanoscope.training.module import TrainingModule
from sanoscope.training.plain import Surroundings
from sanoscope.training.run_record import begin_run

# Of ten images, in batches of four, three steps an epoch.
SMALL = {
    "preparation.image_size": 16,
    "network.widths": [4, 4],
    "network.latent": 3,
    "training.batch_size": 4,
    "training.epochs": 4,
    "training.precision": "float32",
}


@pytest.fixture(scope="module")
def prepared() -> tuple[Preparation, Pictures]:
    preparation: Preparation = get_recipe("conv-vae").with_options(SMALL).build("preparation")
    cases = histology_phantoms(subjects=1, images_per_subject=10, size=32, seed=1).cases()
    return preparation, preparation.fit(cases)


def noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    return images + 0.1 * torch.randn(images.shape, generator=generator)


def trained(
    prepared: tuple[Preparation, Pictures],
    folder: Path | None = None,
    resume: bool = False,
    augmentation: Any = None,
    **training: Any,
) -> tuple[VariationalAutoencoder, list[dict[str, float]]]:
    preparation, pictures = prepared
    options = {f"training.{name}": value for name, value in training.items()}
    recipe = get_recipe("conv-vae").with_options(SMALL | options)
    torch.manual_seed(0)
    network = recipe.build("network", in_channels=3, image_size=16)
    history = recipe.build("training").run(
        network,
        recipe.build("objective"),
        preparation.intensity,
        pictures,
        pictures,
        Surroundings(folder, 3, "cpu", resume, quiet=True, checkpoint_seconds=0),
        augmentation,
    )
    return network, history


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Step size, and weights and statistics, before each step."""
    taken: list[dict[str, Any]] = []
    step = TrainingModule.training_step

    def watched(module: TrainingModule, batch: Any, index: int) -> Tensor:
        state = {name: tensor.clone() for name, tensor in module.network.state_dict().items()}
        taken.append({"rate": module.trainer.optimizers[0].param_groups[0]["lr"], "state": state})
        return step(module, batch, index)

    monkeypatch.setattr(TrainingModule, "training_step", watched)
    return taken


def assert_same_weights(one: VariationalAutoencoder, other: VariationalAutoencoder) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.mark.parametrize(
    ("iterations", "drop_last", "count", "epochs"),
    [(0, False, 12, 4), (7, False, 7, 3), (6, False, 6, 2), (99, False, 12, 4), (0, True, 8, 4), (5, True, 5, 3)],
)
def test_length(prepared: Any, steps: list[Any], iterations: int, drop_last: bool, count: int, epochs: int) -> None:
    _, history = trained(prepared, max_iterations=iterations, drop_last=drop_last)
    assert len(steps) == count
    assert [row["epoch"] for row in history] == list(range(1, epochs + 1))
    assert all("validation/loss" in row for row in history)  # of the epoch that was cut short too


@pytest.mark.parametrize("iterations", [0, 7])
def test_step_size_follows_a_cosine(prepared: Any, steps: list[Any], iterations: int) -> None:
    trained(prepared, schedule="cosine", learning_rate=0.01, max_iterations=iterations)
    number = iterations or 12
    expected = [0.005 * (1 + math.cos(math.pi * taken / number)) for taken in range(number)]
    assert [taken["rate"] for taken in steps] == pytest.approx(expected)
    steps.clear()
    trained(prepared, learning_rate=0.01)
    assert {taken["rate"] for taken in steps} == {0.01}


def test_average_of_weights_and_statistics(prepared: Any, steps: list[Any]) -> None:
    last, plain = trained(prepared)
    states = [*(taken["state"] for taken in steps[1:]), dict(last.state_dict())]  # after each step
    average = states[0]
    for number, state in enumerate(states[1:], start=1):
        decay = min(0.3, (1 + number) / (10 + number))
        average = {
            name: decay * average[name] + (1 - decay) * tensor if tensor.is_floating_point() else tensor
            for name, tensor in state.items()
        }
    kept, history = trained(prepared, average=0.3)
    for name, tensor in kept.state_dict().items():
        torch.testing.assert_close(tensor, average[name])
    assert not torch.equal(kept.state_dict()["mean.weight"], last.state_dict()["mean.weight"])
    assert history[-1]["train/loss"] == plain[-1]["train/loss"]
    assert history[-1]["validation/loss"] != plain[-1]["validation/loss"]  # it is the average that is validated
    with pytest.raises(OptionError, match=r"training.average must be below 1, such as 0.99, not 1"):
        trained(prepared, average=1.0)


def test_augmentation_changes_training_images_only(prepared: Any) -> None:
    seen: list[Tensor] = []

    def watched(images: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(images)
        return noisy(images, generator)

    plain, before = trained(prepared, epochs=1)
    same, _ = trained(prepared, epochs=1, augmentation=lambda images, generator: images)
    changed, after = trained(prepared, epochs=1, augmentation=watched)
    assert_same_weights(plain, same)  # its generator is its own
    assert sum(map(len, seen)) == 10  # and the ten of the validation are left alone
    assert before[0]["train/reconstruction"] != after[0]["train/reconstruction"]
    assert not torch.equal(plain.state_dict()["mean.weight"], changed.state_dict()["mean.weight"])


@pytest.mark.parametrize(
    "settings", [{"schedule": "cosine"}, {"average": 0.8, "max_iterations": 11}, {"drop_last": True}]
)
@pytest.mark.parametrize("at", [2, 5, 8])
def test_resumed_anywhere_it_ends_the_same(
    prepared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], at: int
) -> None:
    whole, history = trained(prepared, augmentation=noisy, **settings)
    step, taken = TrainingModule.training_step, 0

    def interrupted(*arguments: Any) -> Tensor:
        nonlocal taken
        taken += 1
        if taken == at:
            raise InterruptedError
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", interrupted)
        with pytest.raises(InterruptedError):
            trained(prepared, tmp_path, augmentation=noisy, **settings)
    for _ in range(2):  # the second time little is left to be done but the end
        again, rows = trained(prepared, tmp_path, resume=True, augmentation=noisy, **settings)
        assert_same_weights(again, whole)
        assert [{**row, "seconds": 0} for row in rows] == [{**row, "seconds": 0} for row in history]


@pytest.mark.parametrize("option", [{"training.schedule": "cosine"}, {"objective.annealing": True}])
def test_a_training_that_depends_on_its_length_cannot_be_made_longer(tmp_path: Path, option: dict[str, Any]) -> None:
    def run(epochs: int) -> dict[str, Any]:
        recipe = get_recipe("conv-vae").with_options({"training.epochs": epochs} | option)
        others = dict.fromkeys(("seed", "training images", "validation images"), 0)
        return {"recipe": recipe.name, "options": recipe.values, **others}

    begin_run(tmp_path, run(4), resume=False)
    (tmp_path / "resume.ckpt").touch()
    begin_run(tmp_path, run(4), resume=True)
    with pytest.raises(ModelError, match=r"was started with training.epochs=4, not 5"):
        begin_run(tmp_path, run(5), resume=True)
