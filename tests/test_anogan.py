"""AnoGAN: a generator against its discriminator, and the search for the latents of an image."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from adversarial_runs import STEPS, healthy, interrupt, run, same, timeless
from sanoscope import Detector
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.errors import OptionError, TrainingError
from sanoscope.networks.dcgan import GenerativeAdversarialNetwork
from sanoscope.objectives.adversarial import AdversarialGame
from sanoscope.scoring.latent_search import LatentSearchScoring
from sanoscope.scoring.noise import noise_of
from sanoscope.training.generator import GeneratorModule, GeneratorTraining
from settings import TRAINING


def network(seed: int = 0, latent: int = 6, size: int = 16) -> GenerativeAdversarialNetwork:
    torch.manual_seed(seed)
    return GenerativeAdversarialNetwork(1, size, latent, width=4)


def training(**options: Any) -> GeneratorTraining:
    settings = {"critic_steps": 2, "critic_rate": 1.0, "betas": (0.5, 0.999), "average": 0.0}
    return GeneratorTraining(**(TRAINING | settings | options))


def scoring(score: str = "residual-and-features", also: str = "all", **options: Any) -> LatentSearchScoring:
    settings = {"features": 0.1, "search_steps": 30, "search_rate": 0.1, "search_seed": 0}
    return LatentSearchScoring(score=score, also=also, precision="float32", **(settings | options))


# ------------------------------------------------------------ training


def test_both_sides_take_their_steps_and_are_logged(tmp_path: Path) -> None:
    net = network()
    history = run(training(epochs=2), net, AdversarialGame(), tmp_path)
    assert [row.keys() - {"epoch", "seconds", "iterations"} for row in history] == [
        {"train/loss", "train/generator", "train/critic"}
    ] * 2
    assert history[0]["train/loss"] == history[0]["train/generator"]
    assert not same(net.decoder, network().decoder)
    assert not same(net.critic, network().critic)
    checkpoint = torch.load(tmp_path / "resume.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2 * STEPS
    steps = [next(iter(one["state"].values()))["step"].item() for one in checkpoint["optimizer_states"]]
    assert steps == [2 * STEPS, 4 * STEPS]


def test_the_first_losses_are_those_of_the_networks() -> None:
    net = network()
    preparation, pictures, _ = healthy()
    images = preparation.tensors(pictures.batch(np.arange(10)))
    (row,) = run(training(epochs=1, batch_size=10, critic_steps=1, critic_rate=0.0), network(), AdversarialGame())
    # Whatever the noise, a discriminator with these first weights is undecided.
    expected = 0.5 * (F.softplus(-net.critic(images)) + math.log(2)).mean()
    assert row["train/critic"] == pytest.approx(expected.item(), abs=0.1)
    assert row["train/generator"] == pytest.approx(math.log(2), abs=0.1)


def test_a_generator_learns_what_images_look_like() -> None:
    steps = training(epochs=60, batch_size=10, learning_rate=2e-3, critic_steps=1)
    preparation, pictures, _ = healthy()
    mean = preparation.tensors(pictures.batch(np.arange(10))).mean(0)
    distances = []
    for net in (network(), trained := network()):
        if net is trained:
            run(steps, net, AdversarialGame())
        made = net.decode(torch.randn(64, 6, generator=torch.Generator().manual_seed(0)))
        distances.append((made.mean(0) - mean).abs().mean().item())
    assert distances[1] < 0.5 * distances[0]


def test_resumed_it_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = training(epochs=3, schedule="cosine")
    whole, part = network(), network()
    history = run(steps, whole, AdversarialGame())
    with monkeypatch.context() as patch:
        interrupt(patch, GeneratorModule, STEPS + 1)
        with pytest.raises(InterruptedError):
            run(steps, part, AdversarialGame(), tmp_path)
    part = network()
    again = run(steps, part, AdversarialGame(), tmp_path, resume=True)
    assert same(part, whole)
    assert timeless(again) == timeless(history)


def test_losses_may_rise_but_must_be_finite() -> None:
    module = GeneratorModule(
        network(), AdversarialGame(), None, None, epochs=1, iterations=1, seed=0, **training().module_settings
    )
    assert module.judged_loss({"train/loss": torch.tensor(1e9)}) is None
    broken = network()
    with torch.no_grad():
        broken.critic.judge.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss became nan in epoch 1"):
        run(training(), broken, AdversarialGame())


# ------------------------------------------------------------ search


@pytest.fixture(scope="module")
def generator() -> GenerativeAdversarialNetwork:
    """A generator whose images differ by their latents, which first weights hardly do."""
    net = network(seed=1, latent=3, size=8)
    with torch.no_grad():
        for weight in net.parameters():
            weight *= 6 if weight.ndim == 4 else 1
    return net.eval()


@pytest.fixture(scope="module")
def images(generator: GenerativeAdversarialNetwork) -> Tensor:
    """Two that the generator can make, and one that it cannot."""
    with torch.no_grad():
        made = generator.decode(torch.randn(2, 3, generator=torch.Generator().manual_seed(5)))
    other = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(6)) * 2 - 1
    return torch.cat([made, other])


def test_an_image_that_can_be_made_is_found(generator: GenerativeAdversarialNetwork, images: Tensor) -> None:
    start = scoring(search_steps=1, search_rate=0.0).search(generator, images)
    found = scoring(search_steps=200).search(generator, images)
    torch.testing.assert_close(start.latents, noise_of(images, 3, 0))
    assert (found.loss[:2] < 0.1 * start.loss[:2]).all()
    assert found.loss[2] > 10 * found.loss[:2].max()


def test_the_loss_is_the_sums_by_their_shares(generator: GenerativeAdversarialNetwork, images: Tensor) -> None:
    found = scoring(features=0.3).search(generator, images)
    with torch.no_grad():
        made = generator.decode(found.latents)
        torch.testing.assert_close(found.images, made)
        seen, other = generator.critic.features(images), generator.critic.features(made)
    torch.testing.assert_close(found.residual, (images - made).abs().sum((1, 2, 3)))
    torch.testing.assert_close(found.features, (seen - other).abs().sum((1, 2, 3)))
    torch.testing.assert_close(found.loss, 0.7 * found.residual + 0.3 * found.features)


def test_a_search_is_its_image_s_own(generator: GenerativeAdversarialNetwork, images: Tensor) -> None:
    together = scoring().search(generator, images)
    for row in range(3):
        alone = scoring().search(generator, images[[row]])
        torch.testing.assert_close(alone.latents[0], together.latents[row], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(alone.loss[0], together.loss[row], rtol=2e-4, atol=1e-5)
    again, other = (scoring(search_seed=seed).search(generator, images) for seed in (0, 1))
    assert torch.equal(again.latents, together.latents)
    assert not torch.allclose(other.latents, together.latents)


def test_a_search_leaves_everything_as_it_was(generator: GenerativeAdversarialNetwork, images: Tensor) -> None:
    before, random = images.clone(), torch.random.get_rng_state()
    scored = scoring()(generator, images)
    assert torch.equal(images, before)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in generator.parameters())
    assert not any(score.requires_grad for score in scored.scores.values())


def test_scores_and_map(generator: GenerativeAdversarialNetwork, images: Tensor) -> None:
    found = scoring().search(generator, images)
    scored = scoring()(generator, images)
    error = (images - found.images).abs()
    expected = {
        "residual-and-features": found.loss,
        "features": found.features,
        "l1": found.residual / images[0].numel(),
        "mse": error.square().mean((1, 2, 3)),
        "map-mean": error.mean((1, 2, 3)),
        "map-max": error.amax((1, 2, 3)),
    }
    assert [*scored.scores] == [*expected]
    for name, value in expected.items():
        torch.testing.assert_close(scored.scores[name], value)
    torch.testing.assert_close(scoring("l1", "none").deciding(generator, images), expected["l1"])
    torch.testing.assert_close(scored.maps["absolute-error"], error[:, 0])
    torch.testing.assert_close(scoring().latents(generator, images), found.latents)


def test_what_is_used_and_what_is_refused(generator: GenerativeAdversarialNetwork) -> None:
    assert scoring().used(generator) == [generator.decoder, generator.critic.blocks]
    assert scoring(features=0.0).used(generator) == [generator.decoder]
    with pytest.raises(OptionError, match=r"scoring\.features is a share, from 0 to 1 such as 0\.1, not 1\.5"):
        scoring(features=1.5)


# ------------------------------------------------------------ the recipe


def test_fitted_saved_and_loaded(tmp_path: Path) -> None:
    cases = histology_phantoms(subjects=2, images_per_subject=8, size=32, seed=1).cases()
    options = {
        "preparation.image_size": 16,
        "network.width": 4,
        "training.epochs": 2,
        "training.batch_size": 8,
        "scoring.search_steps": 3,
    }
    fitted = Detector("anogan", options, device="cpu").fit(cases.normals, quiet=True)
    findings = fitted.score(cases)
    assert findings.score_name == "residual-and-features"
    assert fitted.transform(cases).shape == (len(cases), 100)
    fitted.save(tmp_path / "model")
    np.testing.assert_array_equal(Detector.load(tmp_path / "model", device="cpu").score(cases).score, findings.score)
