"""Deep anomaly detection by geometric transformations: the transformations, the training, and the scores."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from scipy.special import digamma
from torch import Tensor, nn

from sanoscope import Detector
from sanoscope.cases import Cases
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.networks.transformations import COUNT, sources, transformed
from sanoscope.networks.wide_resnet import WideResNet
from sanoscope.objectives.cross_entropy import CrossEntropy
from sanoscope.recipes.deep_geo import DEEP_GEO
from sanoscope.scoring.dirichlet import inverse_digamma, likeliest
from sanoscope.scoring.transformations import TransformationScoring
from sanoscope.training.transformations import TransformationModule, numbers_of

SMALL: dict[str, Any] = {
    "preparation.image_size": 16,
    "training.epochs": 3,
    "training.max_iterations": 0,
    "training.batch_size": 8,
    "training.schedule": "constant",
    "training.precision": "float32",
}
# In the order of the released code: mirrored, moved along rows and along columns, turned.
KNOWN = list(product((False, True), (0, -1, 1), (0, -1, 1), range(4)))


def images(count: int = 2, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def all_of(image: Tensor) -> Tensor:
    """The transformations ``(72, C, S, S)`` of an image ``(C, S, S)``."""
    return transformed(image.expand(COUNT, -1, -1, -1), torch.arange(COUNT))


# ---------------------------------------------------------------- transformations


@pytest.mark.parametrize(("size", "step"), [(32, 8), (64, 16), (9, 2)])
def test_transformations_are_the_released_codes(size: int, step: int) -> None:
    image = images(1, 2, size)[0]
    for number, (mirrored, down, across, turns) in enumerate(KNOWN):
        expected = image.numpy()[:, :, ::-1] if mirrored else image.numpy()
        # The library that the code calls reads at the place that it is moved by.
        expected = ndimage.shift(expected, (0, -down * step, -across * step), order=0, mode="reflect")
        expected = np.rot90(expected, turns, axes=(1, 2))
        found = transformed(image[None], torch.tensor([number]))[0]
        np.testing.assert_array_equal(found, expected, err_msg=str(KNOWN[number]))


def test_the_first_is_none_and_all_are_distinct() -> None:
    found = all_of(images()[0])
    torch.testing.assert_close(found[0], images()[0], rtol=0, atol=0)
    assert len({each.numpy().tobytes() for each in found}) == COUNT == len(KNOWN) == 72
    assert sources(8).shape == (COUNT, 64)


def test_turns_and_mirrors_are_a_group() -> None:
    """Four turns, or two mirrors, are none; and a mirrored turn is a turn back of the mirrored image."""
    batch = images(1)
    unmoved = {(mirrored, turns): KNOWN.index((mirrored, 0, 0, turns)) for mirrored, turns in product((0, 1), range(4))}

    def applied(*moves: tuple[int, int]) -> Tensor:
        result = batch
        for move in moves:
            result = transformed(result, torch.tensor([unmoved[move]]))
        return result

    for (first, second), (third, fourth) in product(unmoved, repeat=2):
        turns = (-second if third else second) + fourth
        composed = applied((first, second), (third, fourth))
        torch.testing.assert_close(composed, applied(((first + third) % 2, turns % 4)), rtol=0, atol=0)


def test_each_image_of_a_batch_has_its_own() -> None:
    batch, numbers = images(5), torch.tensor([3, 71, 0, 40, 3])
    together = transformed(batch, numbers)
    assert together.is_contiguous(memory_format=torch.channels_last)
    for image, number, found in zip(batch, numbers, together, strict=True):
        torch.testing.assert_close(found, all_of(image)[number], rtol=0, atol=0)


# ---------------------------------------------------------------- training


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 30), seed=st.integers(0, 2**31), block=st.integers(0, 3))
def test_in_72_epochs_every_image_has_each_transformation_once(count: int, seed: int, block: int) -> None:
    epochs = range(block * COUNT, (block + 1) * COUNT)
    numbers = torch.stack([numbers_of(count, seed, epoch) for epoch in epochs])
    torch.testing.assert_close(numbers.sort(0).values, torch.arange(COUNT)[:, None].expand(-1, count))


def test_orders_differ_by_image_seed_and_block() -> None:
    first = numbers_of(1000, 0, 0)
    torch.testing.assert_close(first, numbers_of(1000, 0, 0), rtol=0, atol=0)
    assert stats.chisquare(np.bincount(first, minlength=COUNT)).pvalue > 1e-3
    for other in (numbers_of(1000, 0, 1), numbers_of(1000, 1, 0), numbers_of(1000, 0, COUNT)):
        assert (first == other).float().mean() < 0.05


def test_cross_entropy_and_accuracy() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, 2.0]], requires_grad=True)
    terms = CrossEntropy()(logits, torch.tensor([1, 1]))
    expected = (np.log(2) + np.log1p(np.exp(-2))) / 2
    assert terms.loss.item() == pytest.approx(expected)
    assert {name: value.item() for name, value in terms.logged.items()} == pytest.approx(
        {"loss": expected, "accuracy": 0.5}
    )
    terms.loss.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[0], torch.tensor([0.25, -0.25]))


@cache
def phantoms() -> tuple[Cases, Cases]:
    """Normals to fit to, and some of both kinds."""
    cases = histology_phantoms(subjects=3, images_per_subject=8, size=32, seed=1).cases()
    normals = cases.where(lambda case: case.label == 0)
    return normals[:12], cases.where(lambda case: case.label == 1)[:2]


def fitted(options: Mapping[str, Any] | None = None, **settings: Any) -> Detector:
    return Detector(DEEP_GEO, SMALL | dict(options or {}), device="cpu").fit(phantoms()[0], quiet=True, **settings)


def test_a_resumed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = fitted()
    kept = {"folder": tmp_path, "checkpoint_seconds": 0.0}
    fitted({"training.epochs": 2}, **kept)
    resumed = fitted(resume=True, **kept)
    for key, weights in whole.network_.state_dict().items():
        torch.testing.assert_close(resumed.network_.state_dict()[key], weights, rtol=0, atol=0)
    names = {"epoch", "train/loss", "train/accuracy", "validation/loss", "validation/accuracy"}
    for before, after in zip(whole.history_, resumed.history_, strict=True):
        assert {name: before[name] for name in names} == {name: after[name] for name in names}
    np.testing.assert_array_equal(resumed.decision_function(phantoms()[1]), whole.decision_function(phantoms()[1]))


def test_each_epoch_shows_every_image_as_it_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[tuple[int, bool], dict[int, int]] = {}
    terms = TransformationModule.terms

    def watched(module: TransformationModule, batch: Any, noise: Tensor | None) -> Any:
        asked: list[Tensor] = []
        monkeypatch.setattr(
            "sanoscope.training.transformations.transformed",
            lambda images, numbers: asked.append(numbers) or transformed(images, numbers),
        )
        result = terms(module, batch, noise)
        rows = dict(zip(batch.rows.tolist(), asked[0].tolist(), strict=True))
        seen.setdefault((module.current_epoch, noise is not None), {}).update(rows)
        return result

    monkeypatch.setattr(TransformationModule, "terms", watched)
    fitted()
    for epoch in range(SMALL["training.epochs"]):
        trained, validated = seen[epoch, True], seen[epoch, False]
        numbers = numbers_of(len(trained), 0, epoch).tolist()
        assert trained == dict(enumerate(numbers))
        assert validated == {row: row for row in range(len(validated))}


# ---------------------------------------------------------------- scoring


@given(st.floats(1e-3, 1e4))
def test_the_inverse_of_digamma(value: float) -> None:
    assert inverse_digamma(torch.tensor(digamma(value), dtype=torch.float64)).item() == pytest.approx(value, rel=1e-9)


def test_the_likeliest_dirichlet_is_the_one_that_samples_are_of() -> None:
    rng = np.random.default_rng(0)
    true = np.array([[0.3, 5.0, 1.0, 0.05], [2.0, 2.0, 2.0, 2.0]])
    samples = np.stack([rng.dirichlet(each, 20_000) for each in true], axis=1).clip(1e-300)
    log_means = np.log(samples).mean(0)
    found = likeliest(torch.from_numpy(samples.mean(0)), torch.from_numpy(log_means)).numpy()
    np.testing.assert_allclose(found, true, rtol=0.03)
    # There the likelihood's slope is 0.
    np.testing.assert_allclose(digamma(found) - digamma(found.sum(1, keepdims=True)), log_means, atol=1e-8)
    for number, parameters in enumerate(found):
        each = samples[:500, number] / samples[:500, number].sum(1, keepdims=True)
        density = [stats.dirichlet(parameters * factor).logpdf(each.T).mean() for factor in (0.5, 1, 2)]
        assert density[1] == max(density)


def test_equal_shares_have_a_finite_distribution() -> None:
    shares = torch.tensor([[0.7, 0.2, 0.1]], dtype=torch.float64)
    found = likeliest(shares, shares.log())
    assert found.isfinite().all()
    torch.testing.assert_close(found / found.sum(), shares, rtol=1e-3, atol=0)


class Told(nn.Module):
    """Gives each image, by its first pixel's whole number, logits that are known."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits[images[:, 0, 0, 0].long()]


def test_scores_are_those_of_the_paper() -> None:
    logits = torch.randn(3, COUNT, generator=torch.Generator().manual_seed(0)) * 3
    # Whatever is done to an image of one value, it stays as it is.
    batch = torch.arange(3.0)[:, None, None, None].expand(3, 1, 8, 8)
    scoring = TransformationScoring("dirichlet", "all", "float32")
    network: Any = Told(logits)
    learned = scoring.learn(network, [(batch[:2], None), (batch[2:], None)])["concentrations"]
    shares = logits.double().softmax(1)
    known = likeliest(shares.mean(0)[None], shares.log().mean(0)[None])
    np.testing.assert_allclose(learned, known.expand(COUNT, -1), rtol=1e-6)
    scored = scoring(network, batch)
    normality = ((torch.from_numpy(learned[0]) - 1) * (shares + 1e-6).log()).sum(1)
    torch.testing.assert_close(scored.scores["dirichlet"], -normality)
    torch.testing.assert_close(scored.scores["softmax"], torch.full((3,), -1 / COUNT, dtype=torch.float64))
    assert scored.maps == {}
    assert scored.reconstructions is None


def test_the_sure_are_more_normal() -> None:
    """A network that always says no. 0 is right, and the surer the better, for the images that nothing is done to."""
    sharp, flat = torch.zeros(COUNT), torch.zeros(COUNT)
    sharp[0], flat[0] = 9, 6
    noise = torch.randn(50, COUNT, generator=torch.Generator().manual_seed(0))
    network: Any = Told(torch.cat((sharp + noise, flat[None])))
    batch = torch.arange(51.0)[:, None, None, None].expand(51, 1, 8, 8)
    scoring = TransformationScoring("softmax", "all", "float32")
    scoring.learn(network, [(batch[:50], None)])
    scores = scoring(network, batch).scores["dirichlet"]
    assert scores[50] > scores[:50].max()
    torch.testing.assert_close(scoring.deciding(network, batch), scoring(network, batch).scores["softmax"])
    assert TransformationScoring("softmax", "none", "float32").names == ("softmax",)


def test_a_fitted_detector_scores_alone_as_together() -> None:
    detector, others = fitted(), phantoms()[1]
    network = detector.network_
    assert isinstance(network, WideResNet)
    assert detector.transform(others).shape == (2, network.latent)
    findings = detector.score(others, maps=False)
    assert {"dirichlet", "softmax"} <= findings.scores.keys()
    for name in ("dirichlet", "softmax"):
        alone = [detector.score(others[[row]], maps=False).scores[name][0] for row in range(2)]
        np.testing.assert_allclose(findings.scores[name], alone, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("name", DEEP_GEO.presets)
def test_presets_are_whole_rounds_of_the_paper(name: str) -> None:
    recipe = DEEP_GEO.preset(name)
    assert recipe["training.max_iterations"] == 0
    assert recipe["training.epochs"] % COUNT == 0
    small = (recipe["preparation.image_size"], recipe["network.depth"], recipe["network.widen"])
    assert small in ((32, 10, 4), (64, 16, 8))


def test_every_value_searched_for_is_one_that_can_be_set() -> None:
    for name, dimension in DEEP_GEO.search.items():
        for change in dimension.settings(name):
            DEEP_GEO.with_options(change)
