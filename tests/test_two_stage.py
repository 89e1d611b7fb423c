"""f-AnoGAN as published: a generator against a critic, then an encoder for the two as they are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from adversarial_runs import CRITICS, STEPS, healthy, interrupt, network, run, same, timeless
from sanoscope.errors import OptionError
from sanoscope.networks.light_autoencoder import LightAutoencoder
from sanoscope.objectives.adversarial import AdversarialELBO
from sanoscope.training.two_stage import TwoStageModule, TwoStageTraining
from settings import TRAINING

GAMES = sorted(CRITICS)
# The first stage ends within the second epoch.
FIRST = STEPS + 1


def training(**options: Any) -> TwoStageTraining:
    settings = {"generator_iterations": FIRST, "encoder_rate": 1e-3, "critic_steps": 2, "critic_rate": 1.0}
    return TwoStageTraining(**(TRAINING | settings | {"epochs": 3, "betas": (0.0, 0.9)} | options))


def objective(game: str = "wgan-gp", features: float = 1.0) -> AdversarialELBO:
    return AdversarialELBO("l2", "mean", game, adversarial=0.0, features=features, penalty=10.0)


def fresh(game: str = "wgan-gp") -> LightAutoencoder:
    return network(game, variational=False)


def parts(net: LightAutoencoder) -> dict[str, nn.Module]:
    return {"encoder": nn.ModuleList([net.encoder, net.mean]), "decoder": net.decoder, "critic": net.critic}


def moved(net: LightAutoencoder, since: LightAutoencoder) -> set[str]:
    """The parts of which any weight or statistic has changed."""
    before = parts(since)
    return {name for name, part in parts(net).items() if not same(part, before[name])}


@pytest.mark.parametrize("game", GAMES)
def test_a_stage_moves_its_own_parts_alone(game: str) -> None:
    first, short, long = (fresh(game) for _ in range(3))
    run(training(encoder_rate=0.0, max_iterations=FIRST + 1), first, objective(game))
    run(training(max_iterations=FIRST + 1), short, objective(game))
    run(training(), long, objective(game))
    assert moved(first, fresh(game)) == {"decoder", "critic"}
    assert moved(short, first) == {"encoder"}
    assert moved(long, short) == {"encoder"}
    assert all(parameter.requires_grad for parameter in long.parameters())


def test_what_is_logged_of_the_stages() -> None:
    history = run(training(), fresh(), objective(features=2.0))
    generating = {"train/generator", "train/critic", "train/penalty"}
    encoding = {"train/reconstruction", "train/features"}
    always = {"epoch", "iterations", "seconds", "train/loss", "validation/loss", "validation/reconstruction"}
    assert [set(row) - always for row in history] == [generating, generating | encoding, encoding]
    assert all(always <= set(row) and all(map(math.isfinite, row.values())) for row in history)
    assert history[0]["train/loss"] == history[0]["train/generator"]
    last = history[2]
    assert last["train/loss"] == pytest.approx(last["train/reconstruction"] + 2 * last["train/features"])


def test_the_encoder_learns_through_a_generator_that_stays() -> None:
    net, (preparation, pictures, _) = fresh(), healthy()
    generator = nn.Linear(net.latent, 256, bias=False)
    with torch.no_grad():  # the sum of the latents turns a grey image to the mean one
        mean = preparation.tensors(pictures.batch(np.arange(10))).mean(0)
        generator.weight[:] = mean.clamp(0.01, 0.99).logit().reshape(-1, 1)
    net.decoder = nn.Sequential(generator, nn.Unflatten(1, (1, 16, 16)))
    steps = training(generator_iterations=1, learning_rate=0.0, encoder_rate=3e-3, epochs=10)
    history = run(steps, net, objective())
    assert history[-1]["validation/reconstruction"] < 0.7 * history[0]["validation/reconstruction"]


@pytest.mark.parametrize("at", [STEPS - 1, STEPS, FIRST + 1, 2 * STEPS + 1])
def test_resumed_in_either_stage_it_ends_the_same(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fresh()
    history = run(training(schedule="cosine"), whole, objective())
    with monkeypatch.context() as patch:
        interrupt(patch, TwoStageModule, at)
        with pytest.raises(InterruptedError):
            run(training(schedule="cosine"), fresh(), objective(), tmp_path)
    for _ in range(2):  # the second time little is left to be done but the end
        net = fresh()
        again = run(training(schedule="cosine"), net, objective(), tmp_path, resume=True)
        assert same(net, whole)
        assert timeless(again) == timeless(history)


def test_each_optimiser_has_its_own_stage(tmp_path: Path) -> None:
    run(training(schedule="cosine"), fresh(), objective(), tmp_path)
    checkpoint = torch.load(tmp_path / "resume.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 3 * STEPS
    expected = [FIRST, 2 * FIRST, 3 * STEPS - FIRST]
    assert [next(iter(one["state"].values()))["step"].item() for one in checkpoint["optimizer_states"]] == expected
    assert [one["last_epoch"] for one in checkpoint["lr_schedulers"]] == expected
    assert [one["_last_lr"] for one in checkpoint["lr_schedulers"]] == [[0.0], [0.0], [0.0]]
    encoder = checkpoint["optimizer_states"][2]["param_groups"][0]
    assert (encoder["initial_lr"], encoder["alpha"]) == (1e-3, 0.9)


def test_all_that_is_random_follows_from_the_seed() -> None:
    nets = [fresh() for _ in range(3)]
    for net, seed in zip(nets, (3, 3, 4), strict=True):
        run(training(), net, objective(), seed=seed)
    assert same(nets[0], nets[1])
    assert moved(nets[0], nets[2]) == {"encoder", "decoder", "critic"}


def test_in_bfloat16() -> None:
    history = run(training(precision="bfloat16"), fresh(), objective())
    assert all(math.isfinite(value) for row in history for value in row.values())


@pytest.mark.parametrize(("iterations", "total"), [(3 * STEPS, 0), (5, 5)])
def test_the_encoder_needs_iterations(iterations: int, total: int) -> None:
    steps = training(generator_iterations=iterations, max_iterations=total)
    with pytest.raises(OptionError, match=rf"generator_iterations={iterations} leaves no iteration to the encoder"):
        run(steps, fresh(), objective())
