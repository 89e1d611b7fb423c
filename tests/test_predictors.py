"""Pixel predictors, their smoothing, and the scores and maps made of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve
from torch import Tensor

from sanoscope.errors import ModelError, OptionError
from sanoscope.networks.beta_vae import BetaVAE
from sanoscope.objectives.elbo import gaussian_kl
from sanoscope.objectives.gaussian_elbo import GaussianNegativeELBO, half_squared_error
from sanoscope.recipes.beta_vae import _SCORING
from sanoscope.scoring.pixel_scoring import MAPS, PROJECTED, SCORES, PixelScoring
from sanoscope.scoring.predictors import ENSEMBLE, PREDICTORS, predictor_maps, signed_gradients
from sanoscope.scoring.smoothing import gaussian_weights, smooth

WEIGHTS = (0.1, 0.1, 100.0)


@pytest.fixture(scope="module")
def network() -> BetaVAE:
    """A small network in double precision, its weights large enough for every term to count."""
    torch.manual_seed(0)
    network = BetaVAE(2, 16, latent=5, widths=(4, 6)).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    return network


@pytest.fixture
def images() -> Tensor:
    return torch.randn(5, 2, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def inside() -> Tensor:
    inside = torch.zeros(5, 16, 16, dtype=torch.bool)
    inside[:4, 3:9, 4:15] = True  # nothing is inside of the last
    return inside


def scoring(**options: Any) -> PixelScoring:
    defaults = {name: option.default for name, option in _SCORING.options.items()}
    return PixelScoring(**(defaults | {"projection_stop": "none", "projection_steps": 5, "beta": 2.0} | options))


def losses(network: BetaVAE, images: Tensor, beta: float) -> dict[str, Tensor]:
    mean, logvar = network.encode(images)
    rec = half_squared_error(images, network.decode(mean)).sum()
    kl = gaussian_kl(mean, logvar).sum()
    return {"rec": rec, "kl": kl, "elbo": rec + beta * kl}


@pytest.mark.parametrize("beta", [0.1, 1.0, 10.0])
def test_elbo_grad_is_the_sum_of_the_others(network: BetaVAE, images: Tensor, beta: float) -> None:
    _, every = signed_gradients(network, images, {"rec", "kl", "elbo"}, beta)
    torch.testing.assert_close(every["elbo"], every["rec"] + beta * every["kl"])
    for loss in every:  # one pass for itself gives the same
        _, alone = signed_gradients(network, images, {loss}, beta)
        assert list(alone) == [loss]
        torch.testing.assert_close(alone[loss], every[loss])
    assert every["kl"].abs().mean() > 0.01 * every["rec"].abs().mean()


def test_gradients_are_those_of_finite_differences(network: BetaVAE, images: Tensor) -> None:
    _, gradients = signed_gradients(network, images, {"rec", "kl", "elbo"}, beta=3.0)
    generator = torch.Generator().manual_seed(2)
    for _ in range(5):
        direction = torch.randn(images.shape, dtype=torch.float64, generator=generator)
        step = 1e-6
        with torch.no_grad():
            above, below = (losses(network, images + sign * step * direction, 3.0) for sign in (1, -1))
        for loss, gradient in gradients.items():
            slope = (above[loss] - below[loss]) / (2 * step)
            torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wanted", [(), ("rec",), ("kl",), ("elbo",), ("rec", "kl"), ("kl", "elbo"), ("rec", "elbo")])
def test_the_forward_pass_is_the_networks_and_holds_on_to_no_graph(
    network: BetaVAE, images: Tensor, wanted: tuple[str, ...]
) -> None:
    output, gradients = signed_gradients(network, images, wanted, beta=1.0)
    with torch.no_grad():
        expected = network.decode(network.encode(images)[0])
    torch.testing.assert_close(output.reconstruction, expected)
    assert set(wanted) <= set(gradients)
    assert not any(part.requires_grad for part in (*output, *gradients.values(), images))
    assert all(parameter.grad is None for parameter in network.parameters())


def test_passes_are_as_few_as_can_be(images: Tensor) -> None:
    """Counted at the first layers of the encoder and of the decoder."""
    counted = BetaVAE(2, 16, latent=5, widths=(4, 6)).double().eval()
    passes = {"encoder": 0, "decoder": 0}

    def count(side: str) -> None:
        passes[side] += 1

    def watch(side: str, output: Tensor) -> None:
        if output.requires_grad:
            output.register_hook(lambda _gradient: count(side))

    counted.encoder[0].register_forward_hook(lambda _module, _inputs, output: watch("encoder", output))
    counted.decoder[1].register_forward_hook(lambda _module, _inputs, output: watch("decoder", output))
    expected = {
        ("rec-grad",): (1, 1),
        ("elbo-grad",): (1, 1),
        ("kl-grad",): (1, 0),
        ("kl-grad", "combi"): (1, 0),
        ("rec-error",): (0, 0),
        tuple(PREDICTORS): (2, 1),
    }
    for names, (encoder, decoder) in expected.items():
        passes.update(encoder=0, decoder=0)
        signed_gradients(counted, images, {loss for name in names for loss in PREDICTORS[name]}, beta=1.0)
        assert passes == {"encoder": encoder, "decoder": decoder}, names


def test_closed_forms_of_the_maps(images: Tensor) -> None:
    reconstructions = images - torch.tensor([1.0, 3.0])[:, None, None]
    gradients = {loss: torch.full_like(images, size) for loss, size in (("rec", -2.0), ("kl", 3.0), ("elbo", 0.5))}
    maps = predictor_maps(tuple(PREDICTORS), images, reconstructions, gradients, WEIGHTS, smoothing=False)
    expected = {
        "rec-error": 0.5 + 4.5,
        "rec-grad": 4.0,
        "kl-grad": 6.0,
        "elbo-grad": 1.0,
        "combi": 6.0 * 5.0,
        "ensemble": 0.1 * 5 + 0.1 * 6 + 100 * 4,
    }
    assert list(maps) == list(PREDICTORS)
    for name, value in expected.items():
        torch.testing.assert_close(maps[name], torch.full((5, 16, 16), value, dtype=torch.float64))


def test_the_ensemble_ranks_as_its_weights_do_and_is_never_negative(network: BetaVAE, images: Tensor) -> None:
    plain = scoring()(network, images).maps
    balance = (plain["rec-error"].mean() / plain["rec-grad"].mean()).item()
    weights = (-1.0, -0.1, balance)
    maps = scoring(ensemble_weights=weights)(network, images).maps
    odds = sum(weight * maps[name] for weight, name in zip(weights, ENSEMBLE, strict=True))
    assert isinstance(odds, Tensor)
    assert odds.min() < 0 < odds.max()
    torch.testing.assert_close(maps["ensemble"], -(1 - odds.sigmoid()).log())
    assert maps["ensemble"].min() > 0
    assert maps["ensemble"].flatten().argsort().equal(odds.flatten().argsort())


def test_smoothing_touches_the_gradients_alone(network: BetaVAE, images: Tensor) -> None:
    plain, smoothed = (scoring(smoothing=kind)(network, images).maps for kind in ("none", "gaussian"))
    torch.testing.assert_close(smoothed["rec-error"], plain["rec-error"], rtol=0, atol=0)
    for name in ("rec-grad", "elbo-grad", "kl-grad"):
        torch.testing.assert_close(smoothed[name], smooth(plain[name]))
    torch.testing.assert_close(smoothed["combi"], smooth(plain["kl-grad"]) * plain["rec-error"])


def test_smoothing_weights() -> None:
    weights = gaussian_weights(torch.zeros(1, dtype=torch.float64))
    assert weights[:4].tolist() == pytest.approx([0.1063, 0.1403, 0.1658, 0.1752], abs=5e-5)
    assert weights.sum().item() == pytest.approx(1)
    assert weights.tolist() == weights.flip(0).tolist()


def test_smoothing_is_a_convolution_with_zeros_around() -> None:
    maps = torch.rand(2, 9, 13, dtype=torch.float64)
    weights = gaussian_weights(maps).numpy()
    expected = [convolve(one, np.outer(weights, weights), mode="constant") for one in maps.numpy()]
    torch.testing.assert_close(smooth(maps), torch.from_numpy(np.stack(expected)))
    point = torch.zeros(1, 9, 13)
    point[0, 4, 6] = 1
    assert smooth(point).sum().item() == pytest.approx(1)


@pytest.mark.parametrize("deciding", MAPS)
def test_a_map_does_not_depend_on_the_batch(network: BetaVAE, images: Tensor, inside: Tensor, deciding: str) -> None:
    score = scoring(map=deciding, inside="foreground")
    together = score(network, images, inside)
    for index in range(len(images)):
        alone = score(network, images[[index]], inside[[index]])
        for name, maps in alone.maps.items():
            torch.testing.assert_close(maps, together.maps[name][[index]], rtol=1e-9, atol=1e-12)
        for name, scores in alone.scores.items():
            torch.testing.assert_close(scores, together.scores[name][[index]], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("also", ["all", "none"])
@pytest.mark.parametrize("deciding", MAPS)
def test_names_shapes_and_signs(network: BetaVAE, images: Tensor, inside: Tensor, deciding: str, also: str) -> None:
    score = scoring(map=deciding, score="kl", also=also, inside="foreground")
    scored = score(network, images, inside)
    assert tuple(scored.maps) == score.map_names
    assert tuple(scored.scores) == score.names
    assert score.map_names[0] == deciding
    assert set(score.map_names) == ({deciding} if also == "none" else {deciding, *PREDICTORS})
    assert set(score.names) == ({"kl"} if also == "none" else set(SCORES))
    for maps in scored.maps.values():
        assert maps.shape == (5, 16, 16)
        assert maps.isfinite().all()
        assert (maps >= 0).all()
        assert maps[inside].min() > 0 or deciding == PROJECTED
        assert (maps[~inside] == 0).all()
    assert scored.reconstructions.shape == images.shape


def test_the_background_counts_unless_told_otherwise(network: BetaVAE, images: Tensor, inside: Tensor) -> None:
    whole = scoring()(network, images, inside).maps["rec-grad"]
    torch.testing.assert_close(whole, scoring()(network, images, None).maps["rec-grad"], rtol=0, atol=0)
    assert (whole[~inside] > 0).all()


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("where", ["all", "foreground"])
def test_the_deciding_score_alone(network: BetaVAE, images: Tensor, inside: Tensor, score: str, where: str) -> None:
    built = scoring(score=score, inside=where)
    torch.testing.assert_close(
        built.deciding(network, images, inside), built(network, images, inside).scores[score], rtol=1e-9, atol=1e-12
    )


def test_scores_are_what_they_say(network: BetaVAE, images: Tensor, inside: Tensor) -> None:
    scored = scoring(map="rec-error")(network, images, inside)
    mean, logvar = network.encode(images)
    each = [
        GaussianNegativeELBO(2.0)(*parts).loss
        for parts in zip(*(part.split(1) for part in (images, network.decode(mean), mean, logvar)), strict=True)
    ]
    torch.testing.assert_close(scored.scores["elbo"], torch.stack(each))
    torch.testing.assert_close(scored.scores["kl"], gaussian_kl(mean, logvar))
    torch.testing.assert_close(scored.scores["mse"], (images - scored.reconstructions).square().mean((1, 2, 3)))
    torch.testing.assert_close(scored.scores["mse"], scored.scores["map-mean"])  # two channels, half the square
    torch.testing.assert_close(scored.scores["map-max"], scored.maps["rec-error"].amax((1, 2)))
    masked = scoring(map="rec-error", inside="foreground")(network, images, inside)
    means = [scored.maps["rec-error"][row][inside[row]].mean() for row in range(4)]
    torch.testing.assert_close(masked.scores["map-mean"], torch.stack([*means, torch.zeros_like(means[0])]))


def test_what_is_learned_of_normals_stops_the_projection(network: BetaVAE, images: Tensor) -> None:
    score = scoring(map=PROJECTED, also="none", projection_stop="training-mean")
    with pytest.raises(ModelError, match=r"scoring\.projection_stop"):
        score(network, images)
    batches = [(images[:2], None), (images[2:], None)]
    learned = score.learn(network, batches)
    output, _ = signed_gradients(network, images, (), beta=1.0)
    errors = half_squared_error(images, output.reconstruction).flatten(1).sum(1)
    assert learned is score.learned
    (learned_error,) = learned.values()
    assert learned_error.tolist() == pytest.approx([errors.mean().item()])
    easy = errors <= errors.mean()
    assert 0 < easy.sum() < len(images)
    assert ((score(network, images).maps[PROJECTED].amax((1, 2)) == 0) == easy).all()
    again = scoring(map=PROJECTED, also="none", projection_stop="training-mean")
    again.learned = learned
    torch.testing.assert_close(again.deciding(network, images), score.deciding(network, images))


def test_the_projected_image_or_its_reconstruction(network: BetaVAE, images: Tensor) -> None:
    moved, rebuilt = (
        scoring(map=PROJECTED, also="none", projection_score=kind) for kind in ("projected", "reconstructed")
    )
    projected = moved.projection(network, images)
    torch.testing.assert_close(moved(network, images).maps[PROJECTED], (images - projected).square().sum(1))
    output, _ = signed_gradients(network, projected, (), beta=1.0)
    expected = (images - output.reconstruction).square().sum(1)
    torch.testing.assert_close(rebuilt(network, images).maps[PROJECTED], expected)


def test_several_threads_under_no_grad_give_the_same(network: BetaVAE, images: Tensor) -> None:
    score = scoring()
    expected = score(network, images).maps
    with torch.no_grad(), ThreadPoolExecutor(2) as pool:
        for scored in [score(network, images), *pool.map(lambda batch: score(network, batch), [images] * 4)]:
            for name, maps in scored.maps.items():
                torch.testing.assert_close(maps, expected[name], rtol=0, atol=0)


def test_bfloat16_gives_nearly_the_same_float32_maps(images: Tensor) -> None:
    torch.manual_seed(0)
    single = BetaVAE(2, 16, latent=5, widths=(4, 6)).eval()
    exact = scoring()(single, images.float()).maps
    with torch.autocast("cpu", torch.bfloat16):
        rough = scoring()(single, images.float()).maps
    for name, maps in rough.items():
        assert maps.dtype == torch.float32
        torch.testing.assert_close(maps, exact[name], rtol=0.2, atol=0.05 * exact[name].max().item())


def test_latents_are_the_posterior_means(network: BetaVAE, images: Tensor) -> None:
    torch.testing.assert_close(scoring().latents(network, images), network.encode(images)[0].float())


def test_bad_options_are_refused() -> None:
    with pytest.raises(OptionError, match=r"scoring\.ensemble_weights takes 3 numbers"):
        scoring(ensemble_weights=(1.0, 2.0))
    with pytest.raises(OptionError, match=r"scoring\.map 'rec'"):
        scoring(map="rec")
    with pytest.raises(OptionError, match=r"scoring\.score 'mean'"):
        scoring(score="mean")
