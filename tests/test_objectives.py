"""The evidence lower bound: closed forms, reductions, annealing and what is logged."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from sanoscope.objectives.elbo import NegativeELBO, gaussian_kl, squared_error


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, reconstructions, means and logvars of three images."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 2, 4, 5), (3, 2, 4, 5), (3, 6), (3, 6))
    images, reconstructions, mean, logvar = (torch.randn(shape, generator=generator) for shape in shapes)
    return images, reconstructions, mean, logvar


def test_grey_image_against_nothing() -> None:
    images = torch.full((2, 3, 64, 64), 0.5)
    assert squared_error(images, torch.zeros_like(images)).tolist() == [3072.0, 3072.0]  # 12,288 · 0.25
    assert squared_error(images, images).tolist() == [0.0, 0.0]


def test_squared_error_of_bfloat16_reconstructions_is_summed_in_float32() -> None:
    images = torch.full((1, 3, 64, 64), 0.5)
    error = squared_error(images, torch.zeros_like(images, dtype=torch.bfloat16))
    assert error.dtype == torch.float32
    assert error.item() == 3072.0


def test_kl_of_the_prior_is_zero() -> None:
    assert gaussian_kl(torch.zeros(4, 64), torch.zeros(4, 64)).tolist() == [0.0] * 4


def test_kl_closed_forms() -> None:
    assert gaussian_kl(torch.full((1, 10), 2.0), torch.zeros(1, 10)).item() == 20.0  # ½ μ² each
    narrow = gaussian_kl(torch.zeros(1, 1), torch.full((1, 1), math.log(0.25)))
    assert narrow.item() == pytest.approx(0.5 * (0.25 - 1 - math.log(0.25)))


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-8, 8)), min_size=1, max_size=8))
def test_kl_is_that_of_torch(posterior: list[tuple[float, float]]) -> None:
    mean, logvar = torch.tensor(posterior, dtype=torch.float64).T.unsqueeze(1)  # (1, L) each
    expected = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(gaussian_kl(mean, logvar), expected)
    assert gaussian_kl(mean, logvar).item() >= 0


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_loss_is_summed_over_the_batch(batch: tuple[Tensor, ...], beta: float) -> None:
    images, reconstructions, mean, logvar = batch
    terms = NegativeELBO(beta, annealing=False)(*batch)
    squared = ((images - reconstructions) ** 2).sum()
    kl = -0.5 * (1 + logvar - mean**2 - logvar.exp()).sum()
    torch.testing.assert_close(terms.loss, squared + beta * kl)
    torch.testing.assert_close(terms.logged["reconstruction"], squared / 3)
    torch.testing.assert_close(terms.logged["kl"], kl / 3)  # whatever β is


def test_loss_of_a_batch_twice_as_large_is_twice_as_large(batch: tuple[Tensor, ...]) -> None:
    objective = NegativeELBO(1.0, annealing=False)
    once, twice = objective(*batch), objective(*(torch.cat([part, part]) for part in batch))
    torch.testing.assert_close(twice.loss, 2 * once.loss)
    for name, value in once.logged.items():
        torch.testing.assert_close(twice.logged[name], value)


def test_annealing_raises_the_weight_linearly(batch: tuple[Tensor, ...]) -> None:
    beta = 2.0
    squared = squared_error(*batch[:2]).sum()
    kl = gaussian_kl(*batch[2:]).sum()
    annealed, constant = NegativeELBO(beta, annealing=True), NegativeELBO(beta, annealing=False)
    for progress, share in [(0.0, 0.01), (0.5, 0.505), (1.0, 1.0)]:
        torch.testing.assert_close(annealed(*batch, progress=progress).loss, squared + share * beta * kl)
        torch.testing.assert_close(constant(*batch, progress=progress).loss, squared + beta * kl)
    assert annealed(*batch).loss == constant(*batch).loss


def test_logvar_is_clamped_in_the_loss_but_not_in_what_is_reported() -> None:
    images = torch.zeros(1, 1, 2, 2)
    objective = NegativeELBO(1.0, annealing=False)
    for logvar, clamped in [(25.0, 20.0), (-40.0, -30.0), (3.0, 3.0)]:
        mean = torch.ones(1, 1)
        terms = objective(images, images, mean, torch.full((1, 1), logvar))
        torch.testing.assert_close(terms.loss, gaussian_kl(mean, torch.full((1, 1), clamped)).sum())
        torch.testing.assert_close(terms.logged["kl"], gaussian_kl(mean, torch.full((1, 1), logvar)).mean())


@pytest.mark.parametrize("value", [1000.0, -1000.0, math.log(2)])
def test_gradients_stay_finite(value: float) -> None:
    images = torch.rand(2, 1, 4, 4)
    reconstructions = torch.rand(2, 1, 4, 4, requires_grad=True)
    mean = torch.randn(2, 3, requires_grad=True)
    logvar = torch.full((2, 3), value, requires_grad=True)
    terms = NegativeELBO(1.0, annealing=False)(images, reconstructions, mean, logvar)
    terms.loss.backward()
    assert terms.loss.isfinite()
    for part in (reconstructions, mean, logvar):
        assert part.grad is not None
        assert part.grad.isfinite().all()
    torch.testing.assert_close(reconstructions.grad, 2 * (reconstructions - images).detach())
    torch.testing.assert_close(mean.grad, mean.detach())
    inside = abs(value) < 20
    torch.testing.assert_close(logvar.grad, torch.full((2, 3), 0.5 * (math.exp(value) - 1) if inside else 0.0))


def test_what_is_logged_holds_on_to_no_graph(batch: tuple[Tensor, ...]) -> None:
    images, reconstructions, mean, logvar = (part.clone().requires_grad_() for part in batch)
    terms = NegativeELBO(1.0, annealing=False)(images, reconstructions, mean, logvar)
    assert terms.loss.requires_grad
    assert not any(value.requires_grad for value in terms.logged.values())
