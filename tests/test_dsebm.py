"""Deep structured energy-based model: closed forms of energy and reconstruction, training, and a fitted detector."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adversarial_runs import interrupt, same, timeless
from sanoscope import Cases, Detector
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.errors import OptionError
from sanoscope.networks.energy import EnergyNetwork
from sanoscope.networks.network import parameter_count
from sanoscope.objectives.denoising import DenoisingObjective
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipes.deep_energy import DSEBM
from sanoscope.scoring.energy import SCORES, EnergyScoring
from sanoscope.training.energy import EnergyModule, EnergyTraining
from sanoscope.training.plain import Surroundings

SMALL = {
    "preparation.image_size": 16,
    "network.latent": 12,
    "network.widths": (6, 8),
    "training.epochs": 2,
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
    preparation: Preparation = DSEBM.with_options(SMALL).build("preparation")
    return preparation, preparation.fit(cases().where(lambda case: case.label == 0)[:12])


def fresh(activation: str = "softplus", moved: bool = False) -> EnergyNetwork:
    """A network in evaluation mode, perhaps away from where it starts."""
    torch.manual_seed(0)
    network = EnergyNetwork(3, 16, 12, (6, 8), activation)
    if moved:
        torch.nn.init.normal_(network.prior)
        network.train().encode(torch.randn(8, 3, 16, 16))  # gives the batch norms their statistics
    return network.eval()


def trained(
    folder: Path | None = None, resume: bool = False, seed: int = 3, **options: Any
) -> tuple[EnergyNetwork, list[dict[str, float]]]:
    settings = DSEBM.with_options(SMALL).settings("training") | {"batch_size": 4, "epochs": 3} | options
    preparation, pictures = normals()
    net, surroundings = fresh(), Surroundings(folder, seed, "cpu", resume, quiet=True, checkpoint_seconds=0)
    training = EnergyTraining(**settings)
    history = training.run(net, DenoisingObjective(0.5), preparation.intensity, pictures, pictures, surroundings)
    return net, history


@pytest.mark.parametrize("channels", [1, 3])
def test_size_of_the_network(channels: int) -> None:
    widths = (channels, 64, 128, 256)
    convolutions = sum(9 * before * after + 3 * after for before, after in pairwise(widths))
    expected = convolutions + (256 * 4 * 4 + 1) * 256 + channels * 32 * 32
    assert parameter_count(EnergyNetwork(channels, 32, 256, widths[1:])) == expected


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OptionError, match="multiple of 8, not 20"):
        EnergyNetwork(1, 20, 4, (2, 2, 2))


def test_without_its_network_the_energy_is_a_paraboloid_about_the_prior() -> None:
    network = fresh("relu", moved=True)
    for layer in network.encoder:
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.zeros_(layer.weight)
    images = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(network.energy(images), 0.5 * ((images - network.prior) ** 2).sum((1, 2, 3)))
    torch.testing.assert_close(network.reconstruct(images), network.prior.expand(4, -1, -1, -1))
    assert network.energy(network.prior[None]).item() == 0


@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_a_reconstruction_is_a_step_down_the_energy(activation: str) -> None:
    network = fresh(activation, moved=True)
    images = torch.randn(4, 3, 16, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(network.energy(images).sum(), images)
    torch.testing.assert_close(network.reconstruct(images), images.detach() - slope, atol=1e-5, rtol=1e-4)
    assert (slope - (images - network.prior)).abs().max() > 1e-3


def test_the_slope_by_finite_differences() -> None:
    network = fresh("softplus", moved=True).double()
    network.prior.data = network.prior.double()
    images = torch.randn(1, 3, 16, 16, dtype=torch.double)
    network.encode = lambda pixels: (network.encoder(pixels), None)  # type: ignore[method-assign]  # not in float32
    slope = images - network.reconstruct(images)
    for place in ((0, 0, 0), (1, 7, 9), (2, 15, 4)):
        step = torch.zeros_like(images)
        step[0][place] = 1e-4
        difference = (network.energy(images + step) - network.energy(images - step)) / 2e-4
        assert difference.item() == pytest.approx(slope[0][place].item(), rel=1e-5)


def test_an_image_of_a_batch_is_reconstructed_as_by_itself() -> None:
    network, images = fresh(moved=True), torch.randn(5, 3, 16, 16)
    with torch.no_grad():
        together = network.reconstruct(images)
        alone = torch.cat([network.reconstruct(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert not together.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())


def test_training_reaches_every_weight_through_the_slope() -> None:
    network, images = fresh("softplus", moved=True), torch.randn(4, 3, 16, 16)
    terms = DenoisingObjective(0.5)(images, network.train().reconstruct(images, differentiable=True))
    terms.loss.backward()
    missing = {name for name, one in network.named_parameters() if one.grad is None or not one.grad.any()}
    assert not missing
    assert terms.loss.item() == pytest.approx(terms.logged["loss"].item())


def test_the_objective_is_a_mean() -> None:
    images = torch.ones(2, 3, 4, 4)
    assert DenoisingObjective(0.5)(images, 0.5 * images).loss.item() == 0.25


def test_training_learns_to_denoise() -> None:
    _, history = trained(epochs=20, learning_rate=5e-3)
    losses = [row["train/loss"] for row in history]
    assert losses[-1] < 0.5 * losses[0]
    assert set(history[0]) == {"epoch", "seconds", "iterations", "train/loss", "validation/loss"}


@pytest.mark.parametrize("at", [STEPS - 1, STEPS, 2 * STEPS + 1])
def test_resumed_it_ends_the_same(at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, history = trained()
    with monkeypatch.context() as patch:
        interrupt(patch, EnergyModule, at)
        with pytest.raises(InterruptedError):
            trained(tmp_path)
    net, again = trained(tmp_path, resume=True)
    assert same(net, whole)
    assert timeless(again) == timeless(history)


@pytest.mark.parametrize("name", SCORES)
def test_the_deciding_score_alone_is_the_same(name: str) -> None:
    network, images, inside = fresh(moved=True), torch.randn(3, 3, 16, 16), torch.rand(3, 16, 16) > 0.5
    scoring = EnergyScoring(name, "all", "float32")
    scored = scoring(network, images, inside)
    assert scoring.names[0] == name
    assert set(scoring.names) == set(SCORES)
    assert EnergyScoring(name, "none", "float32").names == (name,)
    torch.testing.assert_close(scoring.deciding(network, images, inside), scored.scores[name], rtol=0, atol=0)


def test_closed_forms_of_scores_and_map() -> None:
    network, images = fresh(moved=True), torch.randn(3, 3, 16, 16)
    inside = torch.rand(3, 16, 16) > 0.5
    scored = EnergyScoring("energy", "all", "float32")(network, images, inside)
    errors = (images - scored.reconstructions).square()
    heatmap = errors.mean(1) * inside
    torch.testing.assert_close(scored.maps["squared-error"], heatmap)
    torch.testing.assert_close(scored.scores["reconstruction"], errors.sum((1, 2, 3)).sqrt())
    torch.testing.assert_close(scored.scores["map-max"], heatmap.amax((1, 2)))
    torch.testing.assert_close(scored.scores["map-mean"], heatmap.sum((1, 2)) / inside.sum((1, 2)))
    torch.testing.assert_close(scored.scores["energy"], network.energy(images))
    assert not any(score.requires_grad for score in scored.scores.values())


def test_a_detector_scores_images_one_by_one_or_together() -> None:
    detector = Detector(DSEBM, SMALL, device="cpu").fit(cases().where(lambda case: case.label == 0)[:16], quiet=True)
    others = cases()[-6:]
    findings = detector.score(others)
    alone = [detector.score(others[[i]]) for i in range(6)]
    for name, values in findings.scores.items():
        assert np.isfinite(values).all()
        np.testing.assert_allclose(values, [one.scores[name][0] for one in alone], rtol=2e-4, atol=1e-5)
    np.testing.assert_array_equal(detector.score(others).score, findings.score)
    images, reconstructions = detector.reconstruct(others)
    errors = np.sqrt(((images - reconstructions) ** 2).sum((1, 2, 3)))
    np.testing.assert_allclose(findings.scores["reconstruction"], errors, rtol=1e-4)
    assert all(heatmap.shape == (40, 40) and (heatmap >= 0).all() for heatmap in detector.score_map(others))
    assert detector.transform(others).shape == (6, 12)
