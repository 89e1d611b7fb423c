"""The restoration: total variation, energies, steps, and what it makes of an image that is not normal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sanoscope.errors import ModelError, OptionError
from sanoscope.networks.light_autoencoder import LightAutoencoder
from sanoscope.objectives.logit_elbo import LogitELBO
from sanoscope.objectives.total_variation import total_variation
from sanoscope.scoring.restoration import NORMALS, Restoration, RestorationScoring
from settings import UNREAD

# ------------------------------------------------------------ total variation


def test_total_variation_of_squares_ramps_and_constants() -> None:
    images = torch.full((3, 2, 8, 10), 0.3)
    images[1, 0, 2:5, 3:7] += 0.5  # 3×4 pixels: their perimeter by their height
    images[2] = torch.arange(10.0)  # in both channels, 9 steps of 1 in each of 8 rows
    torch.testing.assert_close(total_variation(images), torch.tensor([0.0, 14 * 0.5, 2 * 8 * 9]))


def test_rounded_total_variation_is_huber_of_differences() -> None:
    images = torch.tensor([0.0, 0.1, 0.6]).view(1, 1, 1, 3)
    torch.testing.assert_close(total_variation(images, 0.2), torch.tensor([0.01 / 0.4 + 0.5 - 0.1]))
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 1, 6, 6, generator=generator)
    torch.testing.assert_close(total_variation(images, 1e-7), total_variation(images))


@pytest.mark.parametrize("rounding", [0.0, 0.1])
def test_slope_of_total_variation(rounding: float) -> None:
    images = torch.zeros(2, 1, 5, 5)
    images[1, 0, 2, 2] = 1  # four neighbours below it
    images.requires_grad_()
    (gradient,) = torch.autograd.grad(total_variation(images, rounding).sum(), images)
    cross = torch.zeros(5, 5)
    cross[2, 1:4] = cross[1:4, 2] = -1
    cross[2, 2] = 4
    torch.testing.assert_close(gradient[:, 0], torch.stack([torch.zeros(5, 5), cross]))


@given(st.integers(0, 2**31), st.floats(-3, 3), st.floats(-3, 3))
def test_total_variation_scales_and_does_not_see_offsets(seed: int, factor: float, offset: float) -> None:
    images = torch.rand(2, 1, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(total_variation(factor * images + offset), abs(factor) * total_variation(images))


# ------------------------------------------------------------ restoration


# Rows and columns of what is not normal.
SQUARE = (slice(None), slice(9, 17), slice(14, 22))


def brains(count: int, seed: int) -> Tensor:
    """Discs of various brightness on black, ``(N, 1, 32, 32)``."""
    random = torch.rand(count, 1, 1, 1, generator=torch.Generator().manual_seed(seed))
    across = torch.linspace(-1, 1, 32)
    edge = 10 * (0.75 - (across[:, None].square() + across.square()).sqrt())
    return edge.sigmoid() * (0.3 + 0.2 * random)


@pytest.fixture(scope="module")
def vae() -> LightAutoencoder:
    """Trained on such discs until it knows them; by the mean, which takes fewer steps than by samples."""
    torch.manual_seed(0)
    vae, images = LightAutoencoder(1, 32, 4), brains(64, 0)
    objective = LogitELBO("bce", "sum", 0.1)
    optimizer = torch.optim.Adam(vae.parameters(), 2e-3)
    for rows in torch.randint(64, (200, 8)).unbind():
        mean, logvar = vae.encode(images[rows])
        optimizer.zero_grad()
        objective(images[rows], vae.decode_logits(mean), mean, logvar).loss.backward()
        optimizer.step()
    vae.zero_grad()
    return vae.eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Three normal discs, and the same with a bright square."""
    normal = brains(3, 1)
    abnormal = normal.clone()
    abnormal[:, :, *SQUARE[1:]] = 0.95
    return torch.cat([normal, abnormal])


@pytest.fixture(scope="module")
def inside(images: Tensor) -> Tensor:
    return images[:3, 0].repeat(2, 1, 1) > 0.1


def restoration(form: str = "original", **options: Any) -> Restoration:
    """Few steps, of which the first are as large as can be."""
    settings = {"weight": 2.2, "rounded": True, "steps": 60, "rates": (2e-2, 1e-2), "first": 20, "clip": 50.0}
    return Restoration(form, **settings | options)


@pytest.mark.parametrize("weight", [0.0, 0.3, 2.2])
def test_energy_falls(vae: LightAutoencoder, images: Tensor, weight: float) -> None:
    with torch.no_grad():
        before, few, many = (
            way.energy(vae, way(vae, images), images)
            for way in (restoration(weight=weight, steps=steps, first=0) for steps in (0, 5, 60))
        )
    assert (few < before).all()
    assert (many[3:] < few[3:]).all()


def test_energies_by_their_formulas(vae: LightAutoencoder, images: Tensor) -> None:
    moved = images.flip(3) * 0.9
    with torch.no_grad():
        mean, logvar = vae.encode(moved)
        reconstruction = vae.decode(mean)
        kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(1)
        error = (moved - reconstruction).square().sum((1, 2, 3))
        cross_entropy = nn.functional.binary_cross_entropy(reconstruction, images, reduction="none").mean((1, 2, 3))
        original, released = (
            restoration(form, rounded=False).energy(vae, moved, images) for form in ("original", "released")
        )
    torch.testing.assert_close(original, error + kl + 2.2 * total_variation(images - moved))
    changed = total_variation(images - reconstruction) / 32**2
    torch.testing.assert_close(released, kl / 4 + cross_entropy + 2.2 * changed)


@pytest.mark.parametrize("form", ["original", "released"])
def test_steps_are_those_of_clipped_gradient_descent(vae: LightAutoencoder, images: Tensor, form: str) -> None:
    limit = 0.1 if form == "original" else 1e-5
    way = restoration(form, steps=5, rates=(3e-2, 1e-2), first=2, clip=limit)
    expected = images.clone().requires_grad_()
    optimizer = torch.optim.SGD([expected], lr=3e-2)
    for step in range(5):
        optimizer.param_groups[0]["lr"] = 3e-2 if step < 2 else 1e-2
        (gradient,) = torch.autograd.grad(way.energy(vae, expected, images).sum(), expected)
        assert gradient.abs().max() > limit
        expected.grad = gradient.clamp(-limit, limit)
        optimizer.step()
    torch.testing.assert_close(way(vae, images), expected.detach())


def test_it_moves_only_inside(vae: LightAutoencoder, images: Tensor, inside: Tensor) -> None:
    moved = (restoration()(vae, images, inside) != images)[:, 0]
    assert not moved[~inside].any()
    assert moved[inside].double().mean() > 0.9
    assert not restoration()(vae, images, torch.zeros_like(inside)).sub(images).any()


def test_a_normal_image_changes_less_than_one_with_a_bright_square(
    vae: LightAutoencoder, images: Tensor, inside: Tensor
) -> None:
    change = (images - restoration(steps=100)(vae, images, inside))[:, 0]
    normal, abnormal = change[:3], change[3:]
    assert (abnormal.abs().sum((1, 2)) > 1.2 * normal.abs().sum((1, 2))).all()
    assert (abnormal[SQUARE].mean((1, 2)) > 0.15).all()  # it becomes darker
    assert (normal[SQUARE].abs().mean((1, 2)) < 0.1).all()


def test_the_released_form_hardly_moves_the_image(vae: LightAutoencoder, images: Tensor) -> None:
    released = restoration("released", weight=5.0, steps=300, rates=(1e-3, 1e-3))(vae, images[2:4])
    change, expected = ((images[2:4] - moved).abs().mean() for moved in (released, restoration()(vae, images[2:4])))
    assert 0 < change < 0.2 * expected


def test_a_sharp_corner_is_overshot_and_a_rounded_one_is_not(vae: LightAutoencoder, images: Tensor) -> None:
    ways = {rounded: restoration(rounded=rounded, rates=(1e-2, 1e-2)) for rounded in (False, True)}
    further = {rounded: replace(way, steps=way.steps + 1) for rounded, way in ways.items()}
    ends, steps = {}, {}
    for rounded, way in ways.items():
        ends[rounded] = way(vae, images[3:])
        steps[rounded] = (further[rounded](vae, images[3:]) - ends[rounded]).abs().mean()
    assert steps[True] < 0.1 * steps[False]
    with torch.no_grad():
        overshot, settled = (ways[False].energy(vae, ends[rounded], images[3:]) for rounded in (False, True))
    assert (settled < overshot).all()


def test_each_image_for_itself_in_threads(vae: LightAutoencoder, images: Tensor, inside: Tensor) -> None:
    kept = images.clone()
    way = restoration(steps=40)
    with torch.no_grad(), ThreadPoolExecutor(2) as pool:
        together = way(vae, images, inside)
        alone = list(pool.map(lambda row: way(vae, images[[row]], inside[[row]]), range(1, 4)))
    torch.testing.assert_close(torch.cat(alone), together[1:4], rtol=0, atol=1e-4)
    assert not together.requires_grad
    assert torch.equal(images, kept)
    assert all(parameter.grad is None for parameter in vae.parameters())


def test_a_deterministic_autoencoder_has_no_kl(images: Tensor) -> None:
    torch.manual_seed(0)
    network = LightAutoencoder(1, 32, 4, variational=False).eval()
    with torch.no_grad():
        energy = restoration().energy(network, images, images)
        error = (images - network.decode(network.encode(images)[0])).square().sum((1, 2, 3))
    torch.testing.assert_close(energy, error)


# ------------------------------------------------------------ scoring


def scoring(**options: Any) -> RestorationScoring:
    settings = UNREAD | {
        "map": "restoration",
        "beta": 1.0,
        "restoration_steps": 20,
        "restoration_rates": [2e-2, 1e-2],
        "restoration_first": 10,
    }
    return RestorationScoring(**settings | options)


@pytest.mark.parametrize("name", ["restoration", "positive-restoration"])
def test_maps_are_the_change_and_the_residual(vae: LightAutoencoder, images: Tensor, inside: Tensor, name: str) -> None:
    scored = scoring(map=name)(vae, images, inside)
    assert set(scored.maps) == {"restoration", "positive-restoration", "residual", "positive-residual"}
    change = (images - restoration(steps=20, first=10)(vae, images, inside))[:, 0]
    expected = change.abs() if name == "restoration" else change.clamp(min=0)
    torch.testing.assert_close(scored.maps[name], expected)
    means = expected.sum((1, 2)) / inside.sum((1, 2))
    torch.testing.assert_close(scored.scores["map-mean"], means)
    torch.testing.assert_close(scoring(map=name).deciding(vae, images, inside), means)


def test_raw_maps_of_few_normals_are_kept(vae: LightAutoencoder, images: Tensor) -> None:
    way = scoring(scaling="training", restoration_steps=1, also="none")
    learned = way.learn(vae, [(brains(50, 3), None), (brains(50, 4), None)])
    assert learned[way.normal_name("restoration")].shape == (NORMALS, 32, 32)
    assert way(vae, images, None).maps["restoration"].isfinite().all()
    adjusted = scoring(scaling="training", restoration_steps=2, also="none")
    adjusted.learned = learned
    with pytest.raises(ModelError, match="fit again"):
        adjusted(vae, images, None)


def test_step_sizes_are_two() -> None:
    with pytest.raises(OptionError, match=r"restoration_rates takes 2 numbers, .*; not \[0.005\]"):
        scoring(restoration_rates=[5e-3])
