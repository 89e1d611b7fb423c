"""Forms of the class activation map: from latents' gradients to one map."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sanoscope.errors import ModelError
from sanoscope.networks.gradcam import FORMS, channel_weights, class_activation_map, weighted_map
from sanoscope.networks.light_autoencoder import LightAutoencoder
from sanoscope.networks.logit_autoencoder import LogitAutoencoder
from sanoscope.networks.residual_autoencoder import ResidualAutoencoder
from sanoscope.scoring.attention import AttentionScoring
from settings import UNREAD


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images(count: int) -> Tensor:
    return torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def light(**options: Any) -> LightAutoencoder:
    torch.manual_seed(0)
    return LightAutoencoder(1, 32, 5, **options).eval()


def residual() -> ResidualAutoencoder:
    torch.manual_seed(0)
    return ResidualAutoencoder(1, 32, 5).eval()


# Of latents that are linear in the activations, (L, K, h, w).
SLOPES = random(3, 6, 5, 7, seed=1)


def linear() -> Tensor:
    """Activations ``(B, K, h, w)`` of those latents."""
    return random(4, 6, 5, 7).requires_grad_()


def latents_of(activations: Tensor) -> Tensor:
    return torch.einsum("bkhw,lkhw->bl", activations, SLOPES)


def form_map(form: str, mean: Tensor, activations: Tensor) -> Tensor:
    return weighted_map(channel_weights(mean, activations, form), activations, form)


# ------------------------------------------------------------ functions


def test_disentangled_map_of_linear_latents() -> None:
    activations = linear()
    expected = torch.zeros(4, 5, 7)
    for of_latent in SLOPES.mean((2, 3)):  # α_j, alike in all images
        expected += (of_latent[:, None, None] * activations.detach()).sum(1).clamp(min=0) / 3
    found = form_map("disentangled", latents_of(activations), activations)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad


def test_original_map_of_linear_latents() -> None:
    activations, gradient = linear(), SLOPES.sum(0)
    unit = gradient / gradient.square().mean().sqrt()
    expected = (unit.mean((1, 2))[:, None, None] * activations.detach()).sum(1).abs()
    torch.testing.assert_close(form_map("original", latents_of(activations), activations), expected)


def test_original_map_does_not_depend_on_the_scale_of_latents() -> None:
    activations = linear()
    small, large = (form_map("original", factor * latents_of(activations), activations) for factor in (1e-3, -50.0))
    torch.testing.assert_close(small, large)
    assert not torch.allclose(small, form_map("sum", latents_of(activations), activations).abs())


def test_sum_is_the_map_of_training() -> None:
    vae = light()
    mean, _, activations = vae.encode_with_features(images(3))
    expected = class_activation_map(mean, activations).detach()
    mean, _, activations = vae.encode_with_features(images(3))
    torch.testing.assert_close(form_map("sum", mean, activations), expected, rtol=0, atol=0)


def test_disentangled_is_the_sum_where_there_is_one_latent_and_the_map_is_positive() -> None:
    activations, slopes = random(3, 4, 6, 6).abs().requires_grad_(), random(4, 6, 6, seed=1).abs()
    one, other = (
        form_map(form, (activations * slopes).sum((1, 2, 3))[:, None], activations) for form in ("sum", "disentangled")
    )
    torch.testing.assert_close(one, other)


def test_latents_that_cancel_each_other_in_the_sum_are_seen_apart() -> None:
    activations = random(2, 4, 5, 5).abs().requires_grad_()
    one = activations.sum((1, 2, 3))
    assert form_map("sum", torch.stack([one, -one], 1), activations).abs().max() < 1e-6
    one = activations.sum((1, 2, 3))
    apart = form_map("disentangled", torch.stack([one, -one], 1), activations)
    torch.testing.assert_close(apart, activations.detach().sum(1) / 2)


def test_a_flat_encoder_has_an_empty_map() -> None:
    activations = random(2, 4, 5, 5).requires_grad_()
    for form in FORMS:
        mean = (0 * activations).sum((2, 3))
        assert form_map(form, mean, activations).abs().max() == 0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("network", [light, residual])
def test_map_does_not_depend_on_the_batch(network: Any, form: str) -> None:
    vae: LogitAutoencoder = network()
    maps = []
    for batch in (images(3), *images(3).split(1)):
        mean, _, activations = vae.encode_with_features(batch)
        maps.append(form_map(form, mean, activations))
    together, *alone = maps
    assert together.abs().amax((1, 2)).min() > 0
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-4, atol=1e-4 * together.abs().max().item())


# ------------------------------------------------------------ scoring


def scoring(**options: Any) -> AttentionScoring:
    return AttentionScoring(**UNREAD | {"map": "attention", "beta": 1.0} | options)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_with_positive_and_shared_weights(form: str) -> None:
    batch = images(4)
    vae = light(weighting="shared")
    mean, _, activations = vae.encode_with_features(batch)
    own = channel_weights(mean, activations, form)
    vae.weighting = "gradient"
    for channels, weights in [("signed", own), ("positive", own.clamp(min=0))]:
        expected = weighted_map(weights, activations, form)
        found = scoring(form=form, channels=channels).raw(
            "attention", scoring()._look(vae, batch, None, ("attention",))
        )
        torch.testing.assert_close(found, expected)
    vae.weighting = "shared"
    way = scoring(form=form)
    learned = way.learn(vae, [(batch[:3], None), (batch[3:], None)])
    look = way._look(vae, batch, None, way.map_names)
    torch.testing.assert_close(way.raw("attention", look), weighted_map(own.mean(0, keepdim=True), activations, form))
    for other in FORMS:
        if other != form:
            adjusted = scoring(form=other)
            adjusted.learned = learned  # of a fitted model
            with pytest.raises(ModelError, match=r"shared needs the weights that fitting learned.*; fit again"):
                adjusted(vae, batch)


def test_channels_that_are_weighed_alike_have_one_form() -> None:
    vae, batch = light(weighting="channel-mean"), images(2)
    maps = [scoring(form=form)(vae, batch).maps["attention"] for form in FORMS]
    assert all(torch.equal(one, maps[0]) for one in maps)


@pytest.mark.parametrize("form", FORMS)
def test_scaled_by_its_maximum(form: str) -> None:
    vae, batch = light(), images(3)
    plain, scaled = (scoring(form=form, scaling=scaling)(vae, batch) for scaling in ("none", "maximum"))
    top = plain.maps["attention"].amax((1, 2), keepdim=True)
    assert top.min() > 0
    torch.testing.assert_close(scaled.maps["attention"], plain.maps["attention"] / top)
    torch.testing.assert_close(scaled.maps["residual"].amax((1, 2)), torch.ones(3))
    torch.testing.assert_close(scoring(form=form).deciding(vae, batch), plain.scores["map-mean"])


def test_normals_of_one_form_are_not_those_of_another() -> None:
    vae, batch = light(), images(3)
    first, *others = (scoring(form=form, scaling="training") for form in FORMS)
    learned = first.learn(vae, [(batch, None)])
    for other in others:
        other.learned = learned
        with pytest.raises(ModelError, match="fit again"):
            other(vae, batch)


def test_the_choice_of_channels_can_be_changed_after_learning() -> None:
    vae, batch = light(), images(3)
    learned = scoring(channels="signed").learn(vae, [(batch, None)])
    adjusted, anew = (scoring(channels="positive", scaling="position") for _ in range(2))
    adjusted.learned = learned
    anew.learn(vae, [(batch, None)])
    torch.testing.assert_close(adjusted(vae, batch).maps["attention"], anew(vae, batch).maps["attention"])
