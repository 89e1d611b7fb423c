"""Context autoencoders: the squares that hide part of an image, and training on what is left of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sanoscope.cases.case import Case, Cases
from sanoscope.networks.light_autoencoder import LightAutoencoder
from sanoscope.objectives.logit_elbo import LogitELBO
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipes import get_recipe
from sanoscope.training.batches import derived_seed
from sanoscope.training.context import OCCLUSION_SEED, ContextModule, ContextTraining
from sanoscope.training.logit import LogitTraining
from sanoscope.training.module import Prepared, TrainingModule
from sanoscope.training.occlusion import OCCLUSIONS, comparison, original, released
from sanoscope.training.plain import Surroundings
from settings import TRAINING

KINDS = tuple(OCCLUSIONS)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def brains(count: int, size: int = 16, seed: int = 0) -> Tensor:
    """Bright discs with noise on a black background, ``(N, 1, S, S)``."""
    across = torch.linspace(-1, 1, size)
    disc = (across[:, None].square() + across.square() < 0.7).float()
    return disc * (0.3 + 0.4 * torch.rand(count, 1, size, size, generator=generator(seed)))


def extent(hidden: Tensor) -> tuple[int, int, int, int]:
    """First row and column, and one past the last ones, of what is hidden in an image ``(S, S)``."""
    rows, columns = hidden.nonzero(as_tuple=True)
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def box(count: int, size: int, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    foreground = torch.zeros(count, size, size, dtype=torch.bool)
    foreground[:, slice(*rows), slice(*columns)] = True
    return foreground


# ------------------------------------------------------------ squares


@pytest.mark.parametrize("kind", KINDS)
def test_squares_are_the_generators_and_leave_the_images_alone(kind: str) -> None:
    given = brains(8, 32)
    kept, state = given.clone(), torch.get_rng_state()
    first, second, third = (OCCLUSIONS[kind](given, given[:, 0] > 0, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert (first.shape, first.dtype) == (given.shape, given.dtype)
    assert torch.equal(given, kept)
    assert torch.equal(torch.get_rng_state(), state)
    same = OCCLUSIONS[kind](given[:1].expand(8, -1, -1, -1), None, generator())
    assert len({tuple(image.flatten().tolist()) for image in same}) > 4  # each image has its own


@pytest.mark.parametrize("kind", KINDS)
def test_all_channels_are_hidden_at_the_same_place(kind: str) -> None:
    given = 1 + torch.rand(20, 3, 20, 20, generator=generator(5))
    changed = (OCCLUSIONS[kind](given, None, generator()) != given).unbind(1)
    assert changed[0].any()
    assert all(torch.equal(changed[0], other) for other in changed[1:])


def test_released_square_is_hidden_as_often_as_its_width_and_centre_say() -> None:
    count, size = 20_000, 20  # half-widths 0, 1 and 2
    hidden = released(torch.ones(count, 1, size, size), None, generator())[:, 0] == 0
    areas = hidden.flatten(1).sum(1)
    assert set(areas.tolist()) == {0, 1, 2, 4, 6, 8, 9, 12, 16}  # cut off at edges and in corners too
    # A place that no edge is near is hidden from 2w rows and columns, the first one from those up to w.
    within = hidden[:, 2:-2, 2:-2].float().mean().item()
    assert within == pytest.approx((2**2 + 4**2) / 3 / size**2, rel=0.02)
    assert hidden[:, 0, 0].float().mean().item() == pytest.approx((2**2 + 3**2) / 3 / size**2, abs=0.003)
    for image in hidden[:200][areas[:200] > 0]:
        top, left, bottom, right = extent(image)
        assert image[top:bottom, left:right].all()


def test_released_half_width_grows_with_the_image_up_to_the_published_22() -> None:
    for size, most in ((224, 22), (64, 6), (32, 3)):
        hidden = released(torch.ones(300, 1, size, size), None, generator())[:, 0] == 0
        heights = [bottom - top for top, _, bottom, _ in map(extent, hidden[hidden.flatten(1).any(1)])]
        assert max(heights) == 2 * most


def test_released_square_hides_foreground_only() -> None:
    given = torch.ones(200, 1, 40, 40)
    foreground = torch.rand(200, 40, 40, generator=generator(3)) < 0.5
    everywhere, inside = (released(given, where, generator())[:, 0] == 0 for where in (None, foreground))
    assert torch.equal(inside, everywhere & foreground)
    assert 0 < inside.sum() < everywhere.sum()


def test_comparison_squares_lie_in_the_bounding_box() -> None:
    count, size, side = 600, 128, 20
    foreground = box(count, size, (30, 81), (11, 55))
    foreground[:, 40:60, 20:40] = False  # a hole does not change the box
    hidden = comparison(torch.ones(count, 1, size, size), foreground, generator())[:, 0] == 0
    areas = hidden.flatten(1).sum(1)
    assert areas.min() == side**2
    assert 2 * side**2 < areas.max() <= 3 * side**2
    for axis, (first, end) in ((2, (30, 81)), (1, (11, 55))):  # all of it, and nothing beyond
        assert hidden.any(axis).any(0).nonzero()[:, 0].tolist() == list(range(first, end))
    one = areas == side**2
    assert one.float().mean().item() == pytest.approx(1 / 3, abs=0.08)  # of a number from one to three
    for image in hidden[one][:50]:
        top, left, bottom, right = extent(image)
        assert (bottom - top, right - left) == (side, side)
    two = areas == 2 * side**2
    assert 0.02 < two.float().mean() < 1 / 3


@pytest.mark.parametrize(("size", "side"), [(128, 20), (64, 10), (32, 5), (224, 35)])
def test_comparison_squares_grow_with_the_image_and_have_to_fit(size: int, side: int) -> None:
    given = torch.ones(30, 1, size, size)
    exact = box(30, size, (3, 3 + side), (7, 7 + side))
    assert torch.equal(comparison(given, exact, generator())[:, 0] == 0, exact)
    for rows, columns in (((3, 3 + side), (7, 6 + side)), ((3, 2 + side), (7, 7 + side)), ((0, 0), (0, 0))):
        small = box(30, size, rows, columns)
        assert torch.equal(comparison(given, small, generator()), given)
    everywhere = comparison(given, None, generator())
    assert torch.equal(everywhere, comparison(given, torch.ones(30, size, size, dtype=torch.bool), generator()))
    assert (everywhere == 0).flatten(1).any(1).all()


def test_original_squares_have_intensities_and_sizes_of_all_kinds() -> None:
    count, size = 4000, 16
    given = torch.zeros(count, 1, size, size)
    given[0, 0, 0, :2] = torch.tensor([-2.0, 3.0])
    result = original(given, None, generator())[1:, 0]
    untouched = (result == 0).flatten(1).all(1).float().mean().item()
    assert untouched == pytest.approx(1 / 4 + 3 / 4 / 9, abs=0.03)  # no squares, or squares of side 0
    values = result[result != 0]
    assert -2 <= values.min() < -1.9 < 2.9 < values.max() <= 3
    numbers, sides = set(), set()
    for image in result:
        intensities = image[image != 0].unique().tolist()
        numbers.add(len(intensities))
        if len(intensities) == 1:  # one square, or others all hidden beneath it
            top, left, bottom, right = extent(image != 0)
            assert bottom - top == right - left
            assert (image[top:bottom, left:right] != 0).all()
            sides.add(bottom - top)
    assert numbers == {0, 1, 2, 3}
    assert sides == set(range(1, size // 2 + 1))
    seen = (result != 0).any(0)
    assert seen.all()  # up to the edges


# ------------------------------------------------------------ steps


def module(kind: str, network: LightAutoencoder, beta: float | None) -> ContextModule:
    built = ContextModule(
        network,
        LogitELBO("bce", "mean", beta),
        None,
        None,
        optimizer="adam",
        learning_rate=1e-3,
        schedule="constant",
        weight_decay=0.0,
        fresh_optimizer_at=0,
        epochs=1,
        iterations=1,
        seed=5,
        occlusion=kind,
    )
    built.on_train_epoch_start()
    return built


def light(variational: bool, dropout: float = 0.0) -> LightAutoencoder:
    torch.manual_seed(1)
    network = LightAutoencoder(1, 16, 4, bias=True, variational=variational, dropout=dropout)
    torch.nn.init.normal_(network.decoder[1].weight)  # so that latents, and their noise, are seen in the image
    return network


@pytest.fixture
def batch() -> Prepared:
    images = brains(12)
    return Prepared(images, images[:, 0] > 0)


def occluded(kind: str, batch: Prepared) -> Tensor:
    """As in the first step of the first epoch of a training with seed 5."""
    seeded = generator(derived_seed(5, 0, OCCLUSION_SEED))
    result = OCCLUSIONS[kind](batch.images, batch.foreground, seeded)
    assert not torch.equal(result, batch.images)
    return result


@pytest.mark.parametrize("kind", ["released", "comparison"])
@pytest.mark.parametrize("variational", [True, False])
def test_the_whole_image_is_reconstructed_from_the_occluded_one(batch: Prepared, kind: str, variational: bool) -> None:
    network, noise = light(variational, dropout=0.2), torch.randn(12, 4, generator=generator(2))
    built = module(kind, network, 2.0 if variational else None)
    terms = built.terms(built.augmented(batch), noise)
    mean, logvar = network.encode(occluded(kind, batch))
    logits = network.decode_logits(network.sample(mean, logvar, noise))
    expected = LogitELBO("bce", "mean", 2.0)(batch.images, logits, mean, logvar)
    assert torch.equal(terms.loss, expected.loss)
    assert terms.logged == expected.logged
    assert ("kl" in terms.logged) == variational
    assert terms.loss.requires_grad


@pytest.mark.parametrize("variational", [True, False])
def test_original_loss_is_half_of_the_clean_and_half_of_the_occluded_image(batch: Prepared, variational: bool) -> None:
    network, beta = light(variational), 2.0 if variational else None
    built = module("original", network, beta)
    noise = built.noise(batch.images)
    terms = built.terms(built.augmented(batch), noise)
    torch.manual_seed(derived_seed(5, 0))  # of the epoch
    assert torch.equal(noise, torch.stack((torch.randn(12, 4), torch.randn(12, 4)), 1))
    objective = LogitELBO("bce", "mean", beta)
    mean, logvar = network.encode(batch.images)
    clean = objective(batch.images, network.decode_logits(network.sample(mean, logvar, noise[:, 0])), mean, logvar)
    latents = network.sample(*network.encode(occluded("original", batch)), noise[:, 1])
    context = torch.nn.functional.binary_cross_entropy_with_logits(network.decode_logits(latents), batch.images)
    torch.testing.assert_close(terms.logged["context"], context.detach())
    torch.testing.assert_close(terms.loss, 0.5 * clean.loss + 0.5 * context)
    assert terms.logged["loss"] == terms.loss
    # The other terms are the clean image's.
    assert {name: terms.logged[name] for name in clean.logged if name != "loss"} == {
        name: value for name, value in clean.logged.items() if name != "loss"
    }


@pytest.mark.parametrize("kind", KINDS)
def test_validation_is_of_the_image_as_it_is(batch: Prepared, kind: str) -> None:
    network = light(variational=True)
    terms = module(kind, network, 2.0).terms(batch, None)
    mean, logvar = network.encode(batch.images)
    expected = LogitELBO("bce", "mean", 2.0)(batch.images, network.decode_logits(mean), mean, logvar)
    assert torch.equal(terms.loss, expected.loss)
    assert terms.logged == expected.logged


# ------------------------------------------------------------ training


SETTINGS = TRAINING | {"epochs": 3, "early_stopping": 0, "average": 0.0}


@pytest.fixture(scope="module")
def prepared() -> tuple[Preparation, Pictures]:
    options = {"preparation.image_size": 16}
    recipe = get_recipe("constrained-attention-vae").preset("paper").with_options(options)
    preparation: Preparation = recipe.build("preparation")
    pixels = (255 * brains(10)[:, 0]).to(torch.uint8).numpy()
    cases = Cases(Case(f"slice {number}", pixels=image) for number, image in enumerate(pixels))
    return preparation, preparation.fit(cases)


def trained(
    prepared: tuple[Preparation, Pictures],
    kind: str | None,
    variational: bool = True,
    folder: Path | None = None,
    resume: bool = False,
    **settings: Any,
) -> tuple[LightAutoencoder, list[dict[str, float]]]:
    """A network trained on ten pictures and validated on the same; without occlusion where there is no kind."""
    preparation, pictures = prepared
    chosen = SETTINGS | settings
    training = ContextTraining(occlusion=kind, **chosen) if kind else LogitTraining(**chosen)
    network = light(variational, dropout=0.2)
    history = training.run(
        network,
        LogitELBO("bce", "mean", 1.0 if variational else None),
        preparation.intensity,
        pictures,
        pictures,
        Surroundings(folder, 3, "cpu", resume, quiet=True, checkpoint_seconds=0),
    )
    return network, history


def weights(network: LightAutoencoder) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in network.state_dict().values()])


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{**row, "seconds": 0} for row in history]


def test_every_step_has_other_squares_and_the_validation_none(prepared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def watched(images: Tensor, foreground: Tensor | None, generator: torch.Generator) -> Tensor:
        assert foreground is not None
        seen.append(comparison(images, None, generator))
        return seen[-1]

    monkeypatch.setitem(OCCLUSIONS, "comparison", watched)  # type: ignore[arg-type]
    trained(prepared, "comparison")
    assert [len(images) for images in seen] == [4, 4, 2] * 3
    hidden = [tuple((images == 0).flatten().tolist()) for images in seen]
    assert len(set(hidden)) == len(hidden)


@pytest.mark.parametrize("kind", KINDS)
def test_history_has_the_terms(prepared: Any, kind: str) -> None:
    preparation, pictures = prepared
    network, history = trained(prepared, kind)
    images = preparation.tensors(pictures.batch(range(10)))
    with torch.no_grad():
        mean, logvar = network.encode(images)
        expected = LogitELBO("bce", "mean", 1.0)(images, network.decode_logits(mean), mean, logvar)
    for name, value in expected.logged.items():
        assert history[-1][f"validation/{name}"] == pytest.approx(value.item(), rel=1e-4)
    assert ("train/context" in history[-1]) == (kind == "original")
    assert "validation/context" not in history[-1]
    last = history[-1]
    total = last["train/reconstruction"] + last["train/kl"]
    if kind == "original":
        total = 0.5 * (total + last["train/context"])
    assert last["train/loss"] == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize(("kind", "variational"), [("released", True), ("comparison", False), ("original", True)])
def test_resumed_training_gives_the_same_weights(
    prepared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, variational: bool
) -> None:
    whole, history = trained(prepared, kind, variational)
    step, taken = TrainingModule.training_step, 0

    def interrupted(*arguments: Any) -> Tensor:
        nonlocal taken
        taken += 1
        if taken == 5:  # within the second epoch of three steps
            raise InterruptedError
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", interrupted)
        with pytest.raises(InterruptedError):
            trained(prepared, kind, variational, tmp_path)
    resumed, again = trained(prepared, kind, variational, tmp_path, resume=True)
    assert torch.equal(weights(resumed), weights(whole))
    assert without_seconds(again) == without_seconds(history)
    assert not torch.equal(weights(whole), weights(trained(prepared, None, variational)[0]))
