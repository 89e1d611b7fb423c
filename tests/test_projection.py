"""The projection: energy, price, stopping, and each image for itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from sanoscope.networks.beta_vae import BetaVAE
from sanoscope.objectives.gaussian_elbo import half_squared_error
from sanoscope.scoring.projection import Projection


@pytest.fixture(scope="module")
def network() -> BetaVAE:
    """A small network in double precision, its weights large enough to reconstruct something."""
    torch.manual_seed(0)
    network = BetaVAE(2, 16, latent=5, widths=(4, 6)).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    return network


@pytest.fixture
def images() -> Tensor:
    images = torch.randn(5, 2, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return images * torch.tensor([0.2, 0.5, 1.0, 1.5, 0.0])[:, None, None, None]  # not equally hard


def projection(
    weight: float = 0.05, steps: int = 20, rate: float = 0.03, mask: bool = False, stop: float = -torch.inf
) -> Projection:
    return Projection(weight, steps, rate, mask, stop)


def error(network: BetaVAE, images: Tensor) -> Tensor:
    with torch.no_grad():
        return half_squared_error(images, network.decode(network.encode(images)[0])).flatten(1).sum(1)


def energy(network: BetaVAE, images: Tensor, start: Tensor, weight: float) -> Tensor:
    return error(network, images) + weight * (images - start).abs().flatten(1).sum(1)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("weight", [0.0, 0.05, 0.3])
def test_energy_falls(network: BetaVAE, images: Tensor, weight: float, mask: bool) -> None:
    before = energy(network, images, images, weight)
    few, many = (
        energy(network, projection(weight, steps, mask=mask)(network, images), images, weight) for steps in (5, 40)
    )
    assert (few[:4] < before[:4]).all()
    assert (many[:4] < few[:4]).all()
    assert many[4] == before[4] == 0  # an image of zeros is reconstructed exactly


def test_a_price_too_high_leaves_the_image_as_it_is(network: BetaVAE, images: Tensor) -> None:
    torch.testing.assert_close(projection(1e4)(network, images), images, rtol=0, atol=0)


def test_a_higher_price_moves_fewer_pixels(network: BetaVAE, images: Tensor) -> None:
    moved = [(projection(weight)(network, images) != images).double().mean().item() for weight in (0.01, 0.3, 1.0, 3.0)]
    assert moved == sorted(moved, reverse=True)
    assert moved[0] > 0.7
    assert 0 < moved[2] < 0.5


def test_without_price_and_mask_the_steps_are_those_of_adam(network: BetaVAE, images: Tensor) -> None:
    expected = images.clone().requires_grad_()
    optimizer = torch.optim.Adam([expected], lr=0.03)
    for _ in range(7):
        loss = half_squared_error(expected, network.decode(network.encode(expected)[0])).sum()
        (expected.grad,) = torch.autograd.grad(loss, expected)
        optimizer.step()
    torch.testing.assert_close(projection(0.0, steps=7)(network, images), expected.detach())


def test_an_image_below_the_stop_is_frozen(network: BetaVAE, images: Tensor) -> None:
    before = error(network, images)
    stop = before.median().item()
    stopped, on = (projection(0.0, 60, stop=limit)(network, images) for limit in (stop, -torch.inf))
    easy = before <= stop
    torch.testing.assert_close(stopped[easy], images[easy], rtol=0, atol=0)
    after = error(network, stopped)
    assert (after[~easy] <= stop).all()
    assert (after[~easy] > 0.8 * stop).all()  # not much further than they had to go
    assert (error(network, on)[~easy] < after[~easy]).all()


def test_each_image_takes_its_own_steps(network: BetaVAE, images: Tensor) -> None:
    project = projection(stop=error(network, images).median().item())
    together = project(network, images)
    for index in range(len(images)):
        torch.testing.assert_close(project(network, images[[index]]), together[[index]], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(project(network, images.flip(0)), together.flip(0), rtol=1e-9, atol=1e-12)


def test_the_mask_leaves_well_reconstructed_pixels() -> None:
    class Upper(BetaVAE):
        """Reconstructs the upper half as it is and the lower half as nothing."""

        def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return images.flatten(1), images.flatten(1)

        def decode(self, latents: Tensor) -> Tensor:
            images = latents.reshape(-1, 1, 4, 4).clone()
            images[:, :, 2:] *= 0.5
            return images

    images = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)) + 0.5
    projected = projection(0.0, steps=3, mask=True)(Upper(1, 4, 1, (1,)), images)
    torch.testing.assert_close(projected[:, :, :2], images[:, :, :2])
    assert (projected[:, :, 2:] < images[:, :, 2:]).all()


def test_it_leaves_image_and_network_alone_and_works_in_threads(network: BetaVAE, images: Tensor) -> None:
    kept = images.clone()
    expected = projection()(network, images)
    with torch.no_grad(), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda batch: projection()(network, batch), [images] * 4))
    for projected in found:
        torch.testing.assert_close(projected, expected, rtol=0, atol=0)
        assert not projected.requires_grad
    torch.testing.assert_close(images, kept, rtol=0, atol=0)
    assert not images.requires_grad
    assert all(parameter.grad is None for parameter in network.parameters())
