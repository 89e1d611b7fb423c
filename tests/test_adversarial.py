"""Training against a critic: losses in closed form, who moves when, interruptions; and the scores by the critic."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from adversarial_runs import CRITICS, STEPS, healthy, interrupt, network, objective, run, same, timeless
from sanoscope.errors import OptionError, TrainingError
from sanoscope.networks.folding import folded
from sanoscope.networks.light_autoencoder import LightAutoencoder
from sanoscope.objectives.adversarial import (
    discriminator_loss,
    feature_error,
    generator_loss,
    gradient_penalty,
    wasserstein_critic_loss,
    wasserstein_generator_loss,
)
from sanoscope.objectives.logit_elbo import LogitELBO
from sanoscope.scoring.feature_matching import FeatureMatchingScoring
from sanoscope.training.adversarial import AdversarialModule, AdversarialTraining
from sanoscope.training.logit import LogitTraining
from settings import TRAINING

GAMES = sorted(CRITICS)


def training(**options: Any) -> AdversarialTraining:
    settings = {"critic_steps": 1, "critic_rate": 1.0, "betas": (0.9, 0.999), "detach": True}
    return AdversarialTraining(**(TRAINING | settings | {"early_stopping": 0, "average": 0.0} | options))


# ------------------------------------------------------------ losses


def test_at_logit_zero_both_sides_lose_log_two() -> None:
    undecided = torch.zeros(5)
    assert discriminator_loss(undecided, undecided).item() == pytest.approx(math.log(2))
    assert generator_loss(undecided).item() == pytest.approx(math.log(2))


@given(st.lists(st.tuples(st.floats(-500, 500), st.floats(-500, 500)), min_size=1, max_size=9))
def test_losses_of_the_discriminator_are_cross_entropies(logits: list[tuple[float, float]]) -> None:
    real, fake = torch.tensor(logits).unbind(1)

    def bce(judgements: Tensor, label: float) -> Tensor:
        return F.binary_cross_entropy_with_logits(judgements, torch.full_like(judgements, label))

    torch.testing.assert_close(discriminator_loss(real, fake), (bce(real, 1) + bce(fake, 0)) / 2)
    torch.testing.assert_close(generator_loss(fake), bce(fake, 1))


def test_losses_of_the_wasserstein_game() -> None:
    real, fake = torch.tensor([3.0, 5.0]), torch.tensor([-1.0, 2.0])
    assert wasserstein_critic_loss(real, fake).item() == -3.5
    assert wasserstein_generator_loss(fake).item() == -0.5
    assert wasserstein_critic_loss(real.bfloat16(), fake.bfloat16()).dtype == torch.float32


def test_penalty_of_a_linear_critic() -> None:
    gradient = torch.zeros(2, 1, 2, 2)
    gradient[0, 0] = torch.tensor([[2.0, 0.0], [0.0, 0.0]])  # of norm 2
    gradient[1, 0] = torch.tensor([[0.0, 3.0], [4.0, 0.0]])  # of norm 5
    assert gradient_penalty(gradient).item() == (1 + 16) / 2
    nothing = torch.zeros(2, 1, 2, 2, requires_grad=True)
    gradient_penalty(nothing).backward()
    assert nothing.grad is not None
    assert torch.isfinite(nothing.grad).all()


def test_error_of_features_is_each_image_s_own() -> None:
    real, fake = torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2)
    fake[1] = 3
    assert feature_error(real, fake).tolist() == [1, 9]


def test_terms_are_added_by_their_weights() -> None:
    images, logits, mean = torch.rand(2, 1, 4, 4), torch.randn(2, 1, 4, 4), torch.randn(2, 3)
    own = objective("dcgan", adversarial=3.0, features=5.0)
    plain = LogitELBO("bce", "sum", 1.0)(images, logits, mean, mean)
    terms = own.with_adversarial(own(images, logits, mean, mean), torch.zeros(2))
    terms = own.with_features(terms, torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 2.0))
    torch.testing.assert_close(terms.loss, plain.loss + 3 * math.log(2) + 5 * 4)
    assert terms.logged["loss"] == terms.loss
    assert terms.logged["adversarial"].item() == pytest.approx(math.log(2))
    assert terms.logged["features"] == 4
    assert terms.logged["reconstruction"] == plain.logged["reconstruction"]


# ------------------------------------------------------------ who moves


@pytest.mark.parametrize("game", GAMES)
def test_every_parameter_has_one_optimiser(game: str) -> None:
    net, settings = network(game), training().module_settings
    module = AdversarialModule(net, objective(game), None, None, epochs=1, iterations=1, seed=0, **settings)
    (own, critic), schedulers = module.configure_optimizers()
    parameters = [{*group["params"]} for one in (own, critic) for group in one.param_groups]
    assert parameters[1] == {*net.critic.parameters()}
    assert parameters[0].isdisjoint(parameters[1])
    assert parameters[0] | parameters[1] == {*net.parameters()}
    assert schedulers == []


def test_without_weights_the_autoencoder_is_trained_as_without_a_critic() -> None:
    net, plain = network("dcgan"), network("none")
    history = run(training(), net, objective("dcgan", adversarial=0.0))
    without = run(LogitTraining(**TRAINING, early_stopping=0, average=0.0), plain, LogitELBO("bce", "sum", 1.0))
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in plain.state_dict().items())
    assert not same(net.critic, network("dcgan").critic)
    for row, other in zip(timeless(history), timeless(without), strict=True):
        assert row.keys() - other.keys() == {"train/critic"}
        assert other.items() <= row.items()


@pytest.mark.parametrize("game", GAMES)
def test_a_critic_learns_to_tell_fixed_reconstructions_apart(game: str) -> None:
    still = training(learning_rate=1e-9, critic_rate=3e6, critic_steps=5, batch_size=10, epochs=6)
    history = run(still, network(game), objective(game))
    first, last = history[0]["train/critic"], history[-1]["train/critic"]
    if game == "dcgan":
        assert last < 0.3 < 0.5 < first
    else:
        assert last < first - 0.5
        assert history[-1]["train/penalty"] < 0.5 * history[0]["train/penalty"]


class Linear(nn.Module):
    """A critic whose gradient is the same everywhere."""

    def __init__(self, norm: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 16, 16), norm / 16))

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.weight).flatten(1).sum(1)


def test_penalty_in_training_is_that_of_the_critic_s_gradient() -> None:
    net = network("none")
    net.critic = Linear(3.0)
    history = run(training(critic_rate=0.0, epochs=1), net, objective("wgan-gp"))
    assert history[0]["train/penalty"] == pytest.approx(4.0, rel=1e-5)


def test_not_detached_the_gradient_of_the_critic_s_loss_is_added(tmp_path: Path) -> None:
    # One step on all images, of an autoencoder without noise. Without decay the optimiser's moment is the gradient.
    def gradients(**options: Any) -> list[Tensor]:
        settings = {"epochs": 1, "batch_size": 10, "betas": (0.0, 0.9)}
        net = network("wgan-gp", variational=False)
        run(training(**settings, **options), net, objective("wgan-gp", reduction="mean", beta=None), tmp_path)
        checkpoint = torch.load(tmp_path / "resume.ckpt", weights_only=True)
        return [state["exp_avg"] for state in checkpoint["optimizer_states"][0]["state"].values()]

    net = network("wgan-gp", variational=False)
    preparation, pictures, _ = healthy()
    images = preparation.tensors(pictures.batch(np.arange(10)))
    fakes = net.decode(net.encode(images)[0])
    wasserstein_critic_loss(net.critic(images), net.critic(fakes)).backward()
    added = [parameter.grad for name, parameter in net.named_parameters() if not name.startswith("critic.")]
    for detached, not_detached, expected in zip(gradients(), gradients(detach=False), added, strict=True):
        assert expected is not None
        rounding = 1e-5 * float(detached.norm() + expected.norm())
        torch.testing.assert_close(not_detached, detached + expected, rtol=1e-3, atol=rounding)
        assert expected.norm() > 100 * rounding


@pytest.mark.parametrize("game", GAMES)
def test_only_steps_of_the_autoencoder_count(game: str, tmp_path: Path) -> None:
    settings = {"schedule": "cosine", "epochs": 2, "critic_steps": 2, "critic_rate": 5.0}
    run(training(**settings), network(game), objective(game), tmp_path)
    checkpoint = torch.load(tmp_path / "resume.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2 * STEPS
    steps = [next(iter(one["state"].values()))["step"].item() for one in checkpoint["optimizer_states"]]
    assert steps == [2 * STEPS, 4 * STEPS]
    assert [one["initial_lr"] for state in checkpoint["optimizer_states"] for one in state["param_groups"]] == [
        1e-3,
        5e-3,
    ]
    assert [one["last_epoch"] for one in checkpoint["lr_schedulers"]] == steps
    assert [one["_last_lr"] for one in checkpoint["lr_schedulers"]] == [[0.0], [0.0]]  # both cosines are at their end


@pytest.mark.parametrize(("iterations", "epochs"), [(4, 2), (99, 3)])
def test_it_ends_after_so_many_iterations(iterations: int, epochs: int) -> None:
    history = run(training(max_iterations=iterations, epochs=3, critic_steps=2), network("dcgan"), objective("dcgan"))
    assert [row["epoch"] for row in history] == list(range(1, epochs + 1))


# ------------------------------------------------------------ seeds and interruptions

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("dcgan", {"schedule": "late-cosine", "fresh_optimizer_at": 2}),
    ("dcgan", {"average": 0.8, "max_iterations": 10, "detach": False}),
    ("wgan-gp", {"critic_steps": 2, "betas": (0.5, 0.9)}),
]


@pytest.mark.parametrize(("game", "options"), VARIANTS)
def test_resumed_it_ends_the_same(
    game: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, part = network(game), network(game)
    history = run(training(**options), whole, objective(game, features=1.0))
    with monkeypatch.context() as patch:
        interrupt(patch, AdversarialModule, STEPS + 1)
        with pytest.raises(InterruptedError):
            run(training(**options), part, objective(game, features=1.0), tmp_path)
    for _ in range(2):  # the second time little is left to be done but the end
        part = network(game)
        again = run(training(**options), part, objective(game, features=1.0), tmp_path, resume=True)
        assert same(part, whole)
        assert timeless(again) == timeless(history)


def test_all_that_is_random_follows_from_the_seed() -> None:
    nets = [network("wgan-gp") for _ in range(3)]
    for net, seed in zip(nets, (3, 3, 4), strict=True):
        torch.manual_seed(len(nets) + seed)  # which does not matter
        run(training(epochs=1, critic_steps=2), net, objective("wgan-gp"), seed=seed)
    assert same(nets[0], nets[1])
    assert not same(nets[0].critic, nets[2].critic)


# ------------------------------------------------------------ how it goes


@pytest.mark.parametrize("game", GAMES)
def test_in_bfloat16(game: str) -> None:
    both = [
        run(training(precision=precision, epochs=1), network(game), objective(game, features=1.0))[0]
        for precision in ("float32", "bfloat16")
    ]
    assert both[0].keys() == both[1].keys()
    for name in both[0].keys() - {"seconds"}:
        assert both[1][name] == pytest.approx(both[0][name], rel=0.2, abs=0.05), name


def test_the_penalty_is_taken_in_float32() -> None:
    penalties = []
    for precision in ("float32", "bfloat16"):
        net = network("wgan-gp")
        with torch.no_grad():  # a gradient of some size, which is the same all around
            for parameter in net.critic.parameters():
                parameter *= 3
        history = run(training(precision=precision, epochs=1, learning_rate=0.0), net, objective("wgan-gp"))
        penalties.append(history[0]["train/penalty"])
    assert penalties[0] > 0.1
    assert penalties[1] == pytest.approx(penalties[0], rel=1e-4)


def test_it_trains_stably_on_phantoms() -> None:
    net = network("dcgan")
    steps = training(epochs=12, learning_rate=2e-3, critic_rate=0.5, betas=(0.5, 0.999))
    history = run(steps, net, objective("dcgan", features=1.0))
    first, last = history[0], history[-1]
    assert all(math.isfinite(value) for row in history for value in row.values())
    assert last["validation/reconstruction"] < 0.6 * first["validation/reconstruction"]
    assert all(0.3 < row["train/critic"] < 1.2 for row in history)
    assert not net.training
    assert "validation/adversarial" not in last
    weighted = ("reconstruction", "kl", "adversarial", "features")
    assert last["train/loss"] == pytest.approx(sum(last[f"train/{name}"] for name in weighted), rel=1e-5)


def test_what_is_judged_to_have_run_away() -> None:
    module = AdversarialModule(
        network("wgan-gp"),
        objective("wgan-gp", beta=2.0),
        None,
        None,
        epochs=1,
        iterations=1,
        seed=0,
        **training().module_settings,
    )
    means = {"train/loss": -1e9, "train/adversarial": -1e9, "train/reconstruction": 3.0, "train/kl": 4.0}
    assert module.judged_loss({name: torch.tensor(value) for name, value in means.items()}) == 11
    assert module.judged_loss({"train/loss": torch.tensor(1.0)}) is None


def test_a_critic_that_is_not_finite_ends_the_training() -> None:
    net = network("dcgan")
    with torch.no_grad():
        net.critic.judge.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss became nan in epoch 1"):
        run(training(), net, objective("dcgan", adversarial=0.0))


def test_what_it_refuses() -> None:
    with pytest.raises(OptionError, match=r"needs a critic; set network\.critic to another value than none"):
        run(training(), network("none"), objective("dcgan"))
    for betas in ((0.9,), (0.5, 1.0)):
        with pytest.raises(OptionError, match=r"training\.betas takes two decays from 0 to below 1"):
            training(betas=betas)


# ------------------------------------------------------------ scoring


@pytest.fixture(scope="module")
def trained() -> LightAutoencoder:
    net = network("dcgan", variational=False)
    run(training(), net, objective("dcgan", beta=None, features=1.0))
    return net


def scoring(score: str = "residual-and-features", also: str = "all", **options: Any) -> FeatureMatchingScoring:
    reading = {"scaling": "none", "centring": "none", "smoothing": 0.0}
    others = reading | {"map": "residual", "precision": "float32", "beta": None}
    return FeatureMatchingScoring(score=score, also=also, **(others | options))


def test_scores_by_the_critic(trained: LightAutoencoder) -> None:
    preparation, _, held_out = healthy()
    images = preparation.tensors(held_out.batch(np.arange(4)))
    scores = scoring(features=3.0)(trained, images).scores
    assert list(scores) == ["residual-and-features", "map-mean", "map-max", "bce", "mse", "features"]
    with torch.no_grad():
        reconstructions = trained.decode(trained.encode(images)[0])
        difference = trained.critic.features(images) - trained.critic.features(reconstructions)
    torch.testing.assert_close(scores["features"], difference.square().mean((1, 2, 3)))
    torch.testing.assert_close(scores["residual-and-features"], scores["mse"] + 3 * scores["features"])
    alone = torch.cat([scoring(features=3.0).deciding(folded(trained), image[None], None) for image in images])
    torch.testing.assert_close(alone, scores["residual-and-features"], rtol=1e-4, atol=1e-6)


def test_scores_by_the_critic_need_one() -> None:
    images = torch.rand(2, 1, 16, 16)
    with pytest.raises(OptionError, match=r"need a critic, which the network does not have"):
        scoring()(network("none", variational=False), images)
    assert list(scoring("mse", "none")(network("none", variational=False), images).scores) == ["mse"]
