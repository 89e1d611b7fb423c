"""The size of the attention: barrier and penalties in closed form, SSIM by hand, and the objective made of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from sanoscope.errors import OptionError
from sanoscope.objectives.constrained_elbo import ConstrainedELBO
from sanoscope.objectives.logit_elbo import reconstruction_error
from sanoscope.objectives.size_constraint import area_weights, extended_log_barrier, mean_over, size_penalty
from sanoscope.objectives.ssim import structural_similarity


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------ barrier and penalties


@pytest.mark.parametrize(
    ("covered", "value"),
    [(0.3, 10.3496), (0.5, 6.3496), (0.7, 2.3496), (0.8, 0.3496), (0.8025, 0.2996), (0.9, 0.1151), (1.0, 0.0805)],
)
def test_barrier_of_the_papers_setting(covered: float, value: float) -> None:
    attention = torch.full((2, 7, 7), covered, dtype=torch.float64)
    penalties = size_penalty(attention, "barrier", slack=0.2, sharpness=20.0)
    assert penalties.tolist() == pytest.approx([value, value], abs=5e-5)


@given(st.floats(0.5, 50))
def test_barrier_and_its_slope_are_continuous(sharpness: float) -> None:
    edge = -1 / sharpness**2
    near = torch.tensor([edge * (1 + 1e-9), edge * (1 - 1e-9)], dtype=torch.float64, requires_grad=True)
    values = extended_log_barrier(near, sharpness)
    (slopes,) = torch.autograd.grad(values.sum(), near)
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-6, abs=1e-6)
    assert slopes.tolist() == pytest.approx([sharpness, sharpness], rel=1e-6)


@settings(deadline=None)
@given(st.floats(-0.999, 1), st.floats(1, 50))
def test_barrier_rises_and_has_a_finite_slope(violation: float, sharpness: float) -> None:
    point = torch.tensor(violation, dtype=torch.float64, requires_grad=True)
    value = extended_log_barrier(point, sharpness)
    value.backward()
    assert point.grad is not None
    assert 0 < point.grad.item() <= sharpness * (1 + 1e-9)
    assert torch.isfinite(value)


def test_penalties_by_hand() -> None:
    attention = torch.tensor([[[0.2, 0.6], [0.9, 0.7]], [[0.9, 0.9], [1.0, 1.0]]])  # means 0.6 and 0.95
    for two_sided, image, pixel, l1 in [
        (False, [0.04, 0.0], [(0.36 + 0.04 + 0.01) / 4, 0.0], [0.2, 0.0]),
        (True, [0.04, 0.0225], [(0.36 + 0.04 + 0.01 + 0.01) / 4, (0.01 + 0.01 + 0.04 + 0.04) / 4], [0.2, 0.15]),
    ]:
        for constraint, expected in [("l2-image", image), ("l2-pixel", pixel), ("l1", l1)]:
            penalties = size_penalty(attention, constraint, 0.2, 20.0, two_sided)
            assert penalties.tolist() == pytest.approx(expected, abs=1e-6), (constraint, two_sided)


def test_l1_of_the_pixels_is_that_of_the_image_without_slack() -> None:
    attention = noise(3, 5, 6).requires_grad_()
    image = size_penalty(attention, "l1", slack=0.0, sharpness=20.0)
    pixels = (1 - attention).clamp(min=0).mean((1, 2))
    torch.testing.assert_close(image, pixels)
    gradients = [torch.autograd.grad(penalty.sum(), attention)[0] for penalty in (image, pixels)]
    torch.testing.assert_close(*gradients)


def test_pixel_level_differs_from_image_level_in_l2_only() -> None:
    attention = torch.tensor([[[0.0, 1.0]]])
    assert size_penalty(attention, "l2-image", 0.0, 20.0).item() == pytest.approx(0.25)
    assert size_penalty(attention, "l2-pixel", 0.0, 20.0).item() == pytest.approx(0.5)


def test_foreground_weighs_positions_by_the_share_of_it() -> None:
    inside = torch.zeros(2, 4, 4, dtype=torch.bool)
    inside[0, :2, :] = True
    inside[0, 2, 0] = True
    attention = torch.tensor([[[1.0, 0.5], [0.0, 0.3]]]).expand(2, 2, 2)
    weights = area_weights(inside, attention)
    assert weights[0].tolist() == [[1.0, 1.0], [0.25, 0.0]]
    assert weights[1].tolist() == [[1.0, 1.0], [1.0, 1.0]]  # nothing inside: the whole image
    assert mean_over(attention, weights).tolist() == pytest.approx([1.5 / 2.25, 0.45])


# ------------------------------------------------------------ structural similarity


def similarity_by_hand(one: np.ndarray, other: np.ndarray, window: int) -> float:
    """SSIM of (H, W) twice, window by window."""
    distance = np.arange(window) - (window - 1) / 2
    line = np.exp(-0.5 * (distance / 1.5) ** 2)
    weights = np.outer(line, line) / np.outer(line, line).sum()
    values = []
    for row in range(one.shape[0] - window + 1):
        for column in range(one.shape[1] - window + 1):
            x, y = (image[row : row + window, column : column + window] for image in (one, other))
            mx, my = (weights * x).sum(), (weights * y).sum()
            vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
            cov = (weights * (x - mx) * (y - my)).sum()
            luminance = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
            values.append(luminance * (2 * cov + 9e-4) / (vx + vy + 9e-4))
    return float(np.mean(values))


@pytest.mark.parametrize("window", [5, 4])
def test_ssim_is_that_by_hand(window: int) -> None:
    one, other = noise(2, 2, 8, 9), noise(2, 2, 8, 9, seed=1)
    found = structural_similarity(one, other, window)
    for index in range(2):
        channels = [
            similarity_by_hand(a, b, window) for a, b in zip(one[index].numpy(), other[index].numpy(), strict=True)
        ]
        assert found[index].item() == pytest.approx(np.mean(channels), abs=1e-5)


def test_ssim_of_equal_images_is_one_and_has_gradients() -> None:
    images = noise(2, 1, 9, 9)
    assert structural_similarity(images, images).tolist() == pytest.approx([1.0, 1.0])
    others = (images + 0.1 * noise(2, 1, 9, 9, seed=3)).double().requires_grad_()
    (gradient,) = torch.autograd.grad(structural_similarity(images, others).sum(), others)
    assert gradient.abs().sum() > 0


# ------------------------------------------------------------ the objective


def objective(**options: Any) -> ConstrainedELBO:
    paper = {
        "reconstruction": "bce",
        "reduction": "mean",
        "beta": 1.0,
        "constraint": "barrier",
        "slack": 0.2,
        "sharpness": 20.0,
        "two_sided": False,
        "weight": 10.0,
        "pretraining": 400,
        "ramp": 0,
        "attention_area": "image",
        "attention_grid": "map",
    }
    return ConstrainedELBO(**(paper | options))


@pytest.fixture
def batch() -> dict[str, Tensor]:
    return {
        "images": noise(3, 2, 8, 8),
        "logits": 4 * noise(3, 2, 8, 8, seed=1) - 2,
        "mean": noise(3, 5, seed=2),
        "logvar": noise(3, 5, seed=3) - 0.5,
    }


def test_reconstruction_errors(batch: dict[str, Tensor]) -> None:
    images, logits = batch["images"], batch["logits"]
    sigmoid = 1 / (1 + (-logits).exp())
    bce = -(images * sigmoid.log() + (1 - images) * (1 - sigmoid).log()).mean((1, 2, 3))
    torch.testing.assert_close(reconstruction_error(images, logits, "bce"), bce)
    torch.testing.assert_close(reconstruction_error(images, logits, "l2"), (images - sigmoid).square().mean((1, 2, 3)))
    ssim = structural_similarity(images, sigmoid, 5)
    torch.testing.assert_close(reconstruction_error(images, logits, "ssim"), 1 - ssim)
    half = reconstruction_error(images, logits.bfloat16(), "bce")
    assert half.dtype == torch.float32


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_is_a_mean_over_the_batch(batch: dict[str, Tensor], reduction: str) -> None:
    attention = 4 * noise(3, 2, 2, seed=4) - 2
    terms = objective(reduction=reduction, beta=3.0)(**batch, attention=attention)
    pixels, dimensions = (2 * 8 * 8, 5) if reduction == "sum" else (1, 1)
    reconstruction = F.binary_cross_entropy_with_logits(batch["logits"], batch["images"]) * pixels
    posterior = Normal(batch["mean"], (0.5 * batch["logvar"]).exp())
    kl = kl_divergence(posterior, Normal(0.0, 1.0)).mean() * dimensions
    size = extended_log_barrier(1 - attention.sigmoid().mean((1, 2)) - 0.2, 20.0).mean()
    torch.testing.assert_close(terms.loss, reconstruction + 3 * kl + 10 * size)
    expected = {
        "loss": terms.loss,
        "reconstruction": reconstruction,
        "kl": kl,
        "constraint": size,
        "attention": attention.sigmoid().mean(),
    }
    assert terms.logged.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms.logged[name], value)
    twice = objective(reduction=reduction, beta=3.0)(
        **{name: torch.cat([part, part]) for name, part in batch.items()}, attention=torch.cat([attention] * 2)
    )
    torch.testing.assert_close(twice.loss, terms.loss)


def test_without_attention_there_is_no_constraint(batch: dict[str, Tensor]) -> None:
    terms = objective()(**batch)
    assert terms.logged.keys() == {"loss", "reconstruction", "kl"}
    zero = objective()(**batch, attention=torch.zeros(3, 2, 2), weight=0.0)
    torch.testing.assert_close(zero.loss, terms.loss)
    assert zero.logged["constraint"].item() == pytest.approx(6.3496, abs=5e-5)


def test_foreground_and_grid_of_the_attention(batch: dict[str, Tensor]) -> None:
    attention = torch.tensor([[[3.0, 3.0], [-3.0, -3.0]]]).expand(3, 2, 2)
    inside = torch.zeros(3, 8, 8, dtype=torch.bool)
    inside[:, :4] = True
    covered = {
        name: objective(**options)(**batch, attention=attention, inside=inside).logged["attention"].item()
        for name, options in {
            "image": {},
            "foreground": {"attention_area": "foreground"},
            "upsampled": {"attention_area": "foreground", "attention_grid": "image"},
        }.items()
    }
    assert covered["image"] == pytest.approx(0.5)
    assert covered["foreground"] == pytest.approx(1 / (1 + math.exp(-3)))
    rows = torch.tensor([3 - 6 * row / 7 for row in range(4)]).sigmoid().mean()  # corners are aligned
    assert covered["upsampled"] == pytest.approx(rows.item(), abs=1e-6)
    whole = objective(attention_area="foreground")(**batch, attention=attention)
    assert whole.logged["attention"].item() == pytest.approx(0.5)  # no foreground is given: all of the image


def test_weight_follows_its_schedule() -> None:
    paper, ramp = objective(), objective(pretraining=10, ramp=4)
    assert [paper.weight_at(iteration) for iteration in (0, 399, 400, 5000)] == [0, 0, 10, 10]
    assert [ramp.weight_at(iteration) for iteration in range(9, 16)] == [0, 2.5, 5, 7.5, 10, 10, 10]
    assert objective(constraint="none").weight_at(1000) == 0
    assert objective(pretraining=0).weight_at(0) == 10


def test_settings_that_leave_nothing_to_constrain_are_refused() -> None:
    with pytest.raises(OptionError, match=r"objective.slack must be below 1, the whole image, not 1"):
        objective(slack=1.0)
    with pytest.raises(OptionError, match=r"objective.sharpness must be above 0, not 0"):
        objective(sharpness=0.0)
