"""Deep SVDD: its network and centre by closed forms, its two stages, and what a fitted detector keeps."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional as F

from adversarial_runs import interrupt, same, timeless
from sanoscope import RECIPES, Cases, Detector
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.errors import OptionError
from sanoscope.networks.folding import folded
from sanoscope.networks.lenet import LeNet
from sanoscope.networks.network import parameter_count
from sanoscope.objectives.hypersphere import HypersphereObjective, centre_of, squared_distance
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipes.deep_svdd import DEEP_SVDD
from sanoscope.training.deep_svdd import DeepSVDDModule, DeepSVDDTraining
from sanoscope.training.plain import Surroundings

SMALL = {
    "preparation.image_size": 16,
    "network.latent": 16,
    "training.epochs": 3,
    "training.pretraining_epochs": 1,
    "training.batch_size": 8,
    "training.precision": "float32",
}
# Of twelve images in batches of four.
STEPS = 3


@cache
def cases() -> Cases:
    return histology_phantoms(subjects=3, images_per_subject=12, size=40, seed=1).cases()


@cache
def normals() -> tuple[Preparation, Pictures]:
    preparation: Preparation = DEEP_SVDD.with_options(SMALL).build("preparation")
    return preparation, preparation.fit(cases().where(lambda case: case.label == 0)[:12])


def fresh() -> LeNet:
    torch.manual_seed(0)
    return LeNet(3, 16, 16)


def trained(
    folder: Path | None = None, resume: bool = False, seed: int = 3, **options: Any
) -> tuple[LeNet, list[dict[str, float]]]:
    settings = DEEP_SVDD.with_options(SMALL).settings("training") | {"batch_size": 4, "epochs": 4} | options
    preparation, pictures = normals()
    net, surroundings = fresh(), Surroundings(folder, seed, "cpu", resume, quiet=True, checkpoint_seconds=0)
    training = DeepSVDDTraining(**settings)
    history = training.run(net, HypersphereObjective(), preparation.intensity, pictures, pictures, surroundings)
    return net, history


@pytest.mark.parametrize("channels", [1, 3])
def test_size_of_the_network(channels: int) -> None:
    network = LeNet(channels, 32, 128)
    weights = channels * 25 * 32 + 32 * 25 * 64 + 64 * 25 * 128 + 128 * 4 * 4 * 128
    assert parameter_count(network) == weights
    mirrored = 128 // 16 * 25 * 128 + 128 * 25 * 64 + 64 * 25 * 32 + 32 * 25 * channels
    assert parameter_count(network.new_decoder()) == mirrored
    assert not any("bias" in name for name, _ in network.named_parameters())


def test_what_the_encoder_computes() -> None:
    network, images = fresh(), torch.rand(5, 3, 16, 16)
    network.train()
    features = images
    for number in range(3):
        features = F.conv2d(features, network.encoder[4 * number].weight, padding=2)
        mean, variance = features.mean((0, 2, 3), keepdim=True), features.var((0, 2, 3), correction=0, keepdim=True)
        features = F.max_pool2d(F.leaky_relu((features - mean) / (variance + 1e-4).sqrt(), 0.01), 2)
    expected = features.flatten(1) @ network.encoder[-1].weight.T
    torch.testing.assert_close(network.encode(images)[0], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [8, 16, 32, 40, 64])
def test_the_decoder_gives_images_back_in_their_size(size: int) -> None:
    images = LeNet(2, size, 32).new_decoder()(torch.randn(3, 32))
    assert images.shape == (3, 2, size, size)
    assert ((images > 0) & (images < 1)).all()


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OptionError, match="multiple of 16, such as 128, not 100"):
        LeNet(3, 32, 100)
    with pytest.raises(OptionError, match="multiple of 8, not 36"):
        LeNet(3, 36, 32)


def test_folding_leaves_the_latents() -> None:
    network, images = fresh(), torch.rand(6, 3, 16, 16)
    network.train()
    network.encode(images)  # gives the batch norms their statistics
    network.eval()
    torch.testing.assert_close(folded(network).encode(images)[0], network.encode(images)[0], atol=1e-5, rtol=1e-4)


@given(arrays(np.float32, 7, elements=st.floats(-1, 1, width=32)))
def test_no_coordinate_of_the_centre_is_near_zero(mean: np.ndarray) -> None:
    centre = centre_of(torch.from_numpy(mean)).numpy()
    assert (np.abs(centre) >= np.float32(0.1)).all()
    assert (np.sign(centre) == np.where(mean < 0, -1, 1)).all()
    far = np.abs(mean) >= np.float32(0.1)
    np.testing.assert_array_equal(centre[far], mean[far])


def test_closed_forms_of_the_objective() -> None:
    latents, centre = torch.tensor([[1.0, 2.0], [4.0, -2.0]]), torch.tensor([1.0, 1.0])
    assert squared_distance(latents, centre).tolist() == [1, 18]
    terms = HypersphereObjective()(latents, centre)
    assert (terms.loss.item(), terms.logged["distance"].item()) == (9.5, 9.5)
    images = torch.ones(2, 3, 4, 4)
    pretraining = HypersphereObjective().pretraining(images, 0.5 * images)
    assert pretraining.loss.item() == pretraining.logged["reconstruction"].item() == 3 * 16 / 4


def test_what_is_logged_of_the_stages() -> None:
    _, history = trained(pretraining_epochs=2)
    always = {"epoch", "seconds", "iterations", "train/loss", "validation/loss"}
    stages = [{"train/reconstruction", "validation/reconstruction"}, {"train/distance", "validation/distance"}]
    assert [set(row) - always for row in history] == [stages[0], stages[0], stages[1], stages[1]]


def test_the_centre_is_the_mean_latent_of_the_first_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    preparation, pictures = normals()
    images = preparation.tensors(pictures.batch(np.arange(12)))
    means = []

    def watched(module: DeepSVDDModule, *arguments: Any) -> Any:
        if module.current_epoch == 1 and not means:  # before the first step of the second stage
            means.append(folded(module.network).encode(images)[0].mean(0).detach())
        return step(module, *arguments)

    step = DeepSVDDModule.training_step
    monkeypatch.setattr(DeepSVDDModule, "training_step", watched)
    net, _ = trained(epochs=2)
    torch.testing.assert_close(net.centre, centre_of(means[0]), atol=1e-5, rtol=1e-4)


def test_the_second_stage_draws_latents_to_the_centre() -> None:
    _, history = trained(epochs=12, pretraining_epochs=5, learning_rate=1e-3)
    distances = [row["train/distance"] for row in history[5:]]
    assert distances[-1] < 0.3 * distances[0]
    reconstructions = [row["train/reconstruction"] for row in history[:5]]
    assert reconstructions[-1] < 0.9 * reconstructions[0]


def test_learning_rates_of_the_stages() -> None:
    module = DeepSVDDModule(
        fresh(), HypersphereObjective(), None, None, "adam", 1e-4, "constant", 0.0, 5, 9, 1, 0,
        pretraining_epochs=5, pretraining_rate=1e-2, pretraining_drop=3, drop=2,
    )  # fmt: skip
    rates = [module.rate(epoch) for epoch in range(9)]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


@pytest.mark.parametrize("at", [STEPS - 1, STEPS, 2 * STEPS, 2 * STEPS + 1, 3 * STEPS])
def test_resumed_in_either_stage_it_ends_the_same(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = {"pretraining_epochs": 2, "pretraining_drop": 1, "drop": 1}
    whole, history = trained(**stages)
    with monkeypatch.context() as patch:
        interrupt(patch, DeepSVDDModule, at)
        with pytest.raises(InterruptedError):
            trained(tmp_path, **stages)
    net, again = trained(tmp_path, resume=True, **stages)
    assert same(net, whole)
    assert timeless(again) == timeless(history)


def test_all_that_is_random_follows_from_the_seed() -> None:
    one, again, other = (trained(seed=seed)[0] for seed in (3, 3, 4))
    assert same(one, again)
    assert not torch.equal(one.centre, other.centre)


def test_without_pretraining_and_without_a_second_stage() -> None:
    _, history = trained(epochs=1, pretraining_epochs=0)
    assert "train/distance" in history[0]
    with pytest.raises(OptionError, match="pretraining_epochs=4 leaves no epoch to the second stage: there are 4"):
        trained(pretraining_epochs=4)


def test_a_detector_is_saved_loaded_and_scores_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, DEEP_SVDD.name, DEEP_SVDD)
    others = cases()[-6:]
    images = cases().where(lambda case: case.label == 0)[:16]
    detector = Detector(DEEP_SVDD, SMALL, device="cpu").fit(images, quiet=True)
    scores = detector.decision_function(others)
    alone = [detector.decision_function(others[[i]])[0] for i in range(6)]
    np.testing.assert_allclose(scores, alone, rtol=2e-4, atol=1e-5)
    distances = ((detector.transform(others) - detector.network_.centre.numpy()) ** 2).sum(1)
    np.testing.assert_allclose(scores, distances, rtol=1e-4)
    assert not any("decoder" in name for name in detector.network_.state_dict())
    detector.save(tmp_path / "model")
    loaded = Detector.load(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(loaded.score(others).scores["distance"], scores)
    learned = detector.preparation_.intensity.to_json()
    assert loaded.preparation_.intensity.to_json() == learned
    assert learned["offset"] < 0 < learned["offset"] + learned["scale"]
