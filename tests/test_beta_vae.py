"""The β-VAE of the pixel predictors: its layers, its objective and its recipe."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sanoscope.errors import OptionError
from sanoscope.networks.beta_vae import BetaVAE
from sanoscope.networks.folding import folded
from sanoscope.networks.network import parameter_count
from sanoscope.objectives.elbo import gaussian_kl
from sanoscope.objectives.gaussian_elbo import GaussianNegativeELBO, gaussian_nll, half_squared_error
from sanoscope.recipes import get_recipe
from sanoscope.scoring.pixel_scoring import MAPS, SCORES, PixelScoring

WIDTHS = (16, 32, 64, 256)


def batch(count: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, reconstructions, means and logvars."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((count, 2, 4, 5), (count, 2, 4, 5), (count, 6), (count, 6))
    images, reconstructions, mean, logvar = (torch.randn(shape, generator=generator) for shape in shapes)
    return images, reconstructions, mean, logvar


@pytest.mark.parametrize(("latent", "count"), [(32, 999_936), (64, 1_393_152), (256, 3_752_448)])
def test_parameter_counts_of_the_paper(latent: int, count: int) -> None:
    recipe = get_recipe("beta-vae").with_options({"network.latent": latent})
    with torch.device("meta"):
        assert parameter_count(recipe.build("network", in_channels=1, image_size=64)) == count


def test_layers_and_shapes_of_the_paper() -> None:
    network = BetaVAE(1, 64, 32, WIDTHS)
    sides, shapes = (network.encoder, network.decoder), []
    for side in sides:
        for layer in side:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                assert layer.kernel_size == (4, 4)
                assert layer.bias is None
                layer.register_forward_hook(lambda _layer, _inputs, output: shapes.append(tuple(output.shape[1:])))
            elif isinstance(layer, nn.LeakyReLU):
                assert layer.negative_slope == 0.01
    network(torch.rand(2, 1, 64, 64))
    encoder = [(16, 32, 32), (32, 16, 16), (64, 8, 8), (256, 4, 4), (64, 1, 1)]
    decoder = [(256, 4, 4), (64, 8, 8), (32, 16, 16), (16, 32, 32), (1, 64, 64)]
    assert shapes == [*encoder, *decoder]
    kinds = [[type(layer).__name__ for layer in side] for side in sides]
    assert kinds[0] == [*["Conv2d", "LeakyReLU"] * 4, "Conv2d", "Flatten"]
    assert kinds[1] == ["Unflatten", *["ConvTranspose2d", "LeakyReLU"] * 4, "ConvTranspose2d"]


@pytest.mark.parametrize(("channels", "size", "widths"), [(3, 32, WIDTHS), (1, 48, WIDTHS), (2, 16, (4, 6))])
def test_channels_and_sizes_are_free(channels: int, size: int, widths: tuple[int, ...]) -> None:
    network = folded(BetaVAE(channels, size, 7, widths)).to(memory_format=torch.channels_last)
    output = network(torch.rand(2, channels, size, size))
    assert output.reconstruction.shape == (2, channels, size, size)
    assert output.mean.shape == output.logvar.shape == (2, 7)


def test_other_sizes_say_which_would_do() -> None:
    with pytest.raises(OptionError, match=r"image_size must be a multiple of 16, not 40"):
        BetaVAE(1, 40, 8, WIDTHS)


def test_the_head_is_mean_and_log_of_the_deviation() -> None:
    network = BetaVAE(1, 16, 3, (4,))
    images = torch.rand(2, 1, 16, 16)
    head = network.encoder(images)
    mean, logvar = network.encode(images)
    torch.testing.assert_close(mean, head[:, :3])
    torch.testing.assert_close(logvar, 2 * head[:, 3:])
    sampled = network(images, torch.ones(2, 3)).reconstruction
    torch.testing.assert_close(sampled, network.decode(mean + head[:, 3:].exp()))


def test_nothing_comes_of_nothing() -> None:
    """Without biases an image of zeros is the mode of the model."""
    output = BetaVAE(1, 16, 3, (4,))(torch.zeros(1, 1, 16, 16))
    assert all((part == 0).all() for part in output)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-4, 4)), min_size=1, max_size=8))
def test_kl_of_the_deviations_logarithm(posterior: list[tuple[float, float]]) -> None:
    mean, logstd = torch.tensor(posterior, dtype=torch.float64).T.unsqueeze(1)  # (1, L) each
    expected = (0.5 * ((2 * logstd).exp() + mean.square()) - 0.5 - logstd).sum(1)
    torch.testing.assert_close(gaussian_kl(mean, 2 * logstd), expected)


def test_likelihood_is_that_of_torch() -> None:
    images, reconstructions, *_ = batch()
    expected = -torch.distributions.Normal(reconstructions, 1.0).log_prob(images)
    torch.testing.assert_close(gaussian_nll(images, reconstructions), expected.sum((1, 2, 3)))
    grey = torch.zeros(1, 1, 64, 64)
    assert gaussian_nll(grey, grey).item() == pytest.approx(3764, abs=0.1)


def test_bfloat16_reconstructions_are_compared_in_the_images_precision() -> None:
    images = torch.full((1, 1, 2, 2), 0.5)
    error = half_squared_error(images, torch.zeros_like(images, dtype=torch.bfloat16))
    assert error.dtype == torch.float32
    assert error.tolist() == [[[[0.125] * 2] * 2]]


@pytest.mark.parametrize("beta", [0.0, 1.0, 10.0])
def test_loss_is_the_mean_over_the_batch(beta: float) -> None:
    images, reconstructions, mean, logvar = batch()
    objective = GaussianNegativeELBO(beta)
    terms = objective(images, reconstructions, mean, logvar)
    rec, kl = gaussian_nll(images, reconstructions), gaussian_kl(mean, logvar)
    torch.testing.assert_close(terms.loss, (rec + beta * kl).mean())
    expected = {"loss": terms.loss, "reconstruction": rec.mean(), "kl": kl.mean()}
    assert terms.logged.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms.logged[name], value)
    twice = objective(*(torch.cat([part, part]) for part in batch()), progress=0.5)
    torch.testing.assert_close(twice.loss, terms.loss)


def test_logvar_is_clamped_in_the_loss_but_not_in_what_is_reported() -> None:
    images, mean = torch.zeros(1, 1, 2, 2), torch.ones(1, 1)
    for logvar, clamped in [(25.0, 20.0), (-40.0, -30.0), (3.0, 3.0)]:
        terms = GaussianNegativeELBO(1.0)(images, images, mean, torch.full((1, 1), logvar))
        expected = 4 * 0.5 * math.log(2 * math.pi) + gaussian_kl(mean, torch.full((1, 1), clamped)).item()
        assert terms.loss.item() == pytest.approx(expected)
        torch.testing.assert_close(terms.logged["kl"], gaussian_kl(mean, torch.full((1, 1), logvar)).mean())


def test_what_is_logged_holds_on_to_no_graph() -> None:
    terms = GaussianNegativeELBO(1.0)(*(part.requires_grad_() for part in batch()))
    assert terms.loss.requires_grad
    assert not any(value.requires_grad for value in terms.logged.values())


def test_a_short_training_lowers_the_loss() -> None:
    torch.manual_seed(0)
    network, objective = BetaVAE(1, 16, 4, (8, 16)), GaussianNegativeELBO(1.0)
    row = torch.linspace(-1, 1, 16)
    images = torch.stack([(row + shift).tanh().expand(1, 16, 16) for shift in torch.linspace(-1, 1, 12)])
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for _ in range(80):
        terms = objective(images, *network(images, torch.randn(12, 4)))
        optimizer.zero_grad()
        terms.loss.backward()
        optimizer.step()
        losses.append(terms.logged)
    floor = gaussian_nll(images, images).mean()
    assert losses[-1]["reconstruction"] - floor < 0.3 * (losses[0]["reconstruction"] - floor)
    assert losses[-1]["kl"] > 0.5


def test_recipe_has_the_papers_values() -> None:
    expected = {
        "data.modality": "t2",
        "preparation.image_size": 64,
        "preparation.channels": "grey",
        "preparation.interpolation": "bilinear",
        "preparation.foreground": "nonzero",
        "preparation.intensity": "z-score",
        "preparation.statistics": "volume",
        "preparation.clip": 1.5,
        "preparation.augmentation": "mri-slices",
        "network.latent": 64,
        "network.widths": WIDTHS,
        "objective.beta": 1.0,
        "training.optimizer": "adam",
        "training.learning_rate": 1e-4,
        "training.batch_size": 64,
        "training.epochs": 500,
        "training.max_iterations": 0,
        "scoring.map": "rec-grad",
        "scoring.smoothing": "gaussian",
        "scoring.projection_rate": 0.03,
        "scoring.ensemble_weights": (0.1, 0.1, 100.0),
    }
    recipe = get_recipe("beta-vae").preset("paper")
    assert {name: recipe[name] for name in expected} == expected
    options = recipe.options
    assert set(options["scoring.map"].choices) == set(MAPS)
    assert set(options["scoring.score"].choices) == set(SCORES)
    for name, option in options.items():
        assert option.check(name, option.default) == option.default
        assert option.source


def test_recipe_builds_its_parts() -> None:
    recipe = get_recipe("beta-vae").with_options({"objective.beta": 10, "network.latent": 5, "scoring.map": "combi"})
    scoring = recipe.build("scoring")
    assert isinstance(scoring, PixelScoring)
    assert scoring.beta == recipe.build("objective").beta == 10
    assert scoring.map_names[0] == "combi"
    network = recipe.build("network", in_channels=3, image_size=32)
    scored = scoring(network.eval(), torch.rand(2, 3, 32, 32), None)
    assert scored.maps["combi"].shape == (2, 32, 32)
