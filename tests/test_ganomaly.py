"""GANomaly and DAOL: losses in closed form, who moves when, interruptions, and the scores."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from adversarial_runs import STEPS, healthy, interrupt, run, same, timeless
from sanoscope import Detector
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.errors import OptionError
from sanoscope.networks.dcgan import EncoderDecoderEncoder
from sanoscope.objectives.elbo import absolute_error
from sanoscope.objectives.ganomaly import GANomalyObjective, latent_error
from sanoscope.scoring.ganomaly import GANomalyScoring
from sanoscope.training.ganomaly import GANomalyModule, GANomalyTraining
from settings import TRAINING

GANOMALY = {"adversarial": 0.0, "features": 1.0}
DAOL = {"adversarial": 1.0, "features": 0.0}


def network(seed: int = 0) -> EncoderDecoderEncoder:
    torch.manual_seed(seed)
    return EncoderDecoderEncoder(1, 16, latent=6, width=4)


def objective(**options: float) -> GANomalyObjective:
    return GANomalyObjective(**({"reconstruction": 50.0, "latent": 1.0} | GANOMALY | options))


def training(**options: Any) -> GANomalyTraining:
    settings = {"critic_steps": 1, "critic_rate": 1.0, "betas": (0.5, 0.999), "restart_below": 0.0}
    return GANomalyTraining(**(TRAINING | settings | {"early_stopping": 0, "average": 0.0} | options))


# ------------------------------------------------------------ losses


def test_errors_are_each_image_s_own_means() -> None:
    images, others = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 2.0)
    others[1] = -1
    assert absolute_error(images, others).tolist() == [2, 1]
    assert latent_error(torch.zeros(2, 5), torch.tensor([[3.0], [1.0]]).expand(2, 5)).tolist() == [9, 1]


def test_the_loss_is_the_terms_by_their_weights() -> None:
    images, latents = torch.zeros(2, 1, 4, 4), torch.zeros(2, 5)
    weighted = objective(reconstruction=50.0, latent=3.0, features=7.0, adversarial=11.0)
    terms = weighted(images, images + 0.5, latents, latents + 2)
    assert terms.loss.item() == 50 * 0.5 + 3 * 4
    assert {name: value.item() for name, value in terms.logged.items()} == {
        "loss": 37,
        "reconstruction": 0.5,
        "latent": 4,
    }
    terms = weighted.with_features(terms, torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 2.0))
    assert terms.loss.item() == 37 + 7 * 4
    terms = weighted.with_adversarial(terms, torch.zeros(2))
    assert terms.loss.item() == pytest.approx(65 + 11 * math.log(2))


def test_the_first_loss_is_that_of_the_networks() -> None:
    """One step on all images, against what the networks say before it."""
    net = network()
    preparation, pictures, _ = healthy()
    images = preparation.tensors(pictures.batch(np.arange(10)))
    coded = net(images)
    expected = {
        "train/reconstruction": F.l1_loss(coded.reconstructions, images),
        "train/latent": F.mse_loss(coded.again, coded.latents),
        "train/features": F.mse_loss(net.critic.features(coded.reconstructions), net.critic.features(images)),
        "train/adversarial": F.softplus(-net.critic(coded.reconstructions)).mean(),
        "train/critic": (F.softplus(-net.critic(images)) + F.softplus(net.critic(coded.reconstructions))).mean() / 2,
    }
    steps = training(epochs=1, batch_size=10)
    (row,) = run(steps, network(), objective(features=2.0, adversarial=3.0))
    weights = {"train/reconstruction": 50, "train/latent": 1, "train/features": 2, "train/adversarial": 3}
    for name, value in expected.items():
        assert row[name] == pytest.approx(value.item(), rel=1e-4), name
    assert row["train/loss"] == pytest.approx(sum(w * expected[name].item() for name, w in weights.items()), rel=1e-4)


# ------------------------------------------------------------ who moves


def weights(net: EncoderDecoderEncoder, part: str) -> list[torch.Tensor]:
    return [parameter for name, parameter in net.named_parameters() if name.startswith(part)]


def moved(net: EncoderDecoderEncoder) -> set[str]:
    parts, before = ("encoder", "decoder", "second_encoder", "critic"), network()
    return {part for part in parts if not all(map(torch.equal, weights(net, part), weights(before, part)))}


@pytest.mark.parametrize("weighted", [GANOMALY, DAOL])
def test_each_side_s_steps_move_it_alone(weighted: dict[str, float]) -> None:
    whole, still, judging = network(), network(), network()
    run(training(epochs=1), whole, objective(**weighted))
    run(training(epochs=1, critic_rate=0.0), still, objective(**weighted))
    run(training(epochs=1, learning_rate=1e-12, critic_rate=1e9), judging, objective(**weighted))
    assert moved(whole) == {"encoder", "decoder", "second_encoder", "critic"}
    assert moved(still) == {"encoder", "decoder", "second_encoder"}
    assert moved(judging) >= {"critic"}
    change = [
        (one - other).abs().max() for one, other in zip(judging.parameters(), network().parameters(), strict=True)
    ]
    own = len(weights(judging, "critic"))
    assert max(change[:-own]) < 1e-9 < 1e-4 < max(change[-own:])


def test_a_discriminator_that_has_won_begins_anew() -> None:
    never, always = network(), network()
    still = {"epochs": 1, "critic_rate": 0.0}
    run(training(restart_below=0.0, **still), never, objective())
    run(training(restart_below=1e9, **still), always, objective())
    for before, after, kept in zip(*(weights(one, "critic") for one in (network(), always, never)), strict=True):
        assert torch.equal(kept, before)
        if before.ndim == 4:
            assert not torch.equal(after, before)
            assert after.std().item() == pytest.approx(0.02, rel=0.35)


# ------------------------------------------------------------ seeds and interruptions


@pytest.mark.parametrize("restart_below", [0.0, 1e9])
def test_resumed_it_ends_the_same(restart_below: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = training(restart_below=restart_below, epochs=3)
    whole, part = network(), network()
    history = run(steps, whole, objective())
    with monkeypatch.context() as patch:
        interrupt(patch, GANomalyModule, STEPS + 1)
        with pytest.raises(InterruptedError):
            run(steps, part, objective(), tmp_path)
    part = network()
    again = run(steps, part, objective(), tmp_path, resume=True)
    assert same(part, whole)
    assert timeless(again) == timeless(history)


def test_it_learns_to_reconstruct() -> None:
    net = network()
    history = run(training(epochs=25, batch_size=10, learning_rate=3e-3), net, objective())
    assert all(math.isfinite(value) for row in history for value in row.values())
    assert history[-1]["train/reconstruction"] < 0.4 * history[0]["train/reconstruction"]
    assert history[-1]["validation/loss"] == pytest.approx(
        50 * history[-1]["validation/reconstruction"] + history[-1]["validation/latent"], rel=1e-5
    )
    assert not net.training


def test_in_bfloat16() -> None:
    history = run(training(precision="bfloat16", epochs=1), network(), objective(adversarial=1.0))
    assert all(math.isfinite(value) for row in history for value in row.values())


# ------------------------------------------------------------ scoring


def scoring(score: str = "latent-error", also: str = "all") -> GANomalyScoring:
    return GANomalyScoring(score=score, also=also, precision="float32")


def test_scores_and_map() -> None:
    net = network().eval()
    images = torch.rand(3, 1, 16, 16) * 2 - 1
    with torch.no_grad():
        coded = net(images)
    error = (images - coded.reconstructions).abs()
    scored = scoring()(net, images)
    expected = {
        "latent-error": (coded.latents - coded.again).square().mean(1),
        "l1": error.mean((1, 2, 3)),
        "mse": error.square().mean((1, 2, 3)),
        "map-mean": error.mean((1, 2, 3)),
        "map-max": error.amax((1, 2, 3)),
    }
    assert scored.scores.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(scored.scores[name], value)
        torch.testing.assert_close(scoring(name, "none").deciding(net, images), value)
    torch.testing.assert_close(scored.maps["absolute-error"], error[:, 0])
    torch.testing.assert_close(scored.reconstructions, coded.reconstructions)
    torch.testing.assert_close(scoring().latents(net, images), coded.latents)


def test_outside_nothing_counts_in_the_map() -> None:
    images, inside = torch.rand(2, 1, 16, 16), torch.zeros(2, 16, 16, dtype=torch.bool)
    inside[:, 4:8, 4:8] = True
    scored = scoring("map-mean")(network().eval(), images, inside)
    heatmaps = scored.maps["absolute-error"]
    assert not heatmaps[~inside].any()
    torch.testing.assert_close(scored.scores["map-mean"], heatmaps[:, 4:8, 4:8].mean((1, 2)))


def test_what_is_used_of_a_network() -> None:
    net = network()
    assert scoring().used(net) == [net.encoder, net.decoder, net.second_encoder]
    assert scoring("l1").used(net) == [net.encoder, net.decoder]
    assert scoring("l1", "none").names == ("l1",)
    with pytest.raises(OptionError, match=r"unknown scoring\.score 'residual'; one of latent-error, l1"):
        scoring("residual")


# ------------------------------------------------------------ the recipes


@pytest.mark.parametrize(("recipe", "decides"), [("ganomaly", "latent-error"), ("daol", "l1")])
def test_fitted_saved_and_loaded(recipe: str, decides: str, tmp_path: Path) -> None:
    cases = histology_phantoms(subjects=2, images_per_subject=8, size=32, seed=1).cases()
    options = {"preparation.image_size": 16, "network.width": 4, "training.epochs": 2, "training.batch_size": 8}
    fitted = Detector(recipe, options, device="cpu").fit(cases.normals, quiet=True)
    findings = fitted.score(cases)
    assert findings.score_name == decides
    fitted.save(tmp_path / "model")
    np.testing.assert_array_equal(Detector.load(tmp_path / "model", device="cpu").score(cases).score, findings.score)
