"""Maps from residuals: closed forms, how they are read against normals, many passes, scores, and what is learned."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sanoscope.errors import ModelError, OptionError
from sanoscope.networks.light_autoencoder import LightAutoencoder
from sanoscope.networks.logit_autoencoder import LogitAutoencoder
from sanoscope.objectives.logit_elbo import LogitELBO
from sanoscope.scoring.attention import AttentionScoring
from sanoscope.scoring.map_reading import smoothed
from sanoscope.scoring.map_scoring import NORMALS
from sanoscope.scoring.noise import noise_of
from sanoscope.scoring.residual import ResidualScoring
from settings import UNREAD

VALUE = 0.3
SIZE = 16


class Constant(LogitAutoencoder):
    """Reconstructs every image as one value, which is its latent: the logit of ``VALUE``, and what noise makes of it.

    Args:
        logvar: Of the posterior; None has none.
        dropout: See ``LogitAutoencoder``.
    """

    def __init__(self, logvar: float | None = None, dropout: float = 0.0) -> None:
        super().__init__(1, "gradient", "batch", dropout)
        self.latent = 2
        self.spread = logvar
        self.decoded = 0
        self.with_gradient: list[bool] = []
        self.mean = nn.Identity()

    def features(self, images: Tensor, block: int | None = None) -> Tensor:
        return images

    def posterior(self, activations: Tensor, block: int | None = None) -> tuple[Tensor, Tensor | None]:
        self.with_gradient.append(torch.is_grad_enabled())
        self.channels = activations.shape[1]
        mean = math.log(VALUE / (1 - VALUE)) + 0 * activations.flatten(1)[:, :2]
        return mean, None if self.spread is None else torch.full_like(mean, self.spread)

    def decode_logits(self, latents: Tensor) -> Tensor:
        self.decoded += 1
        return latents[:, :1, None, None].expand(-1, self.channels, SIZE, SIZE)


def scoring(kind: type[ResidualScoring] = ResidualScoring, **options: Any) -> ResidualScoring:
    return kind(**UNREAD | {"map": "residual", "beta": None} | options)


def drawn(count: int = 4, channels: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def residual(network: LogitAutoencoder, images: Tensor, inside: Tensor | None = None, **options: Any) -> Tensor:
    """The deciding map, the residual where none is named."""
    return next(iter(scoring(**options)(network, images, inside).maps.values()))


@pytest.fixture
def inside() -> Tensor:
    within = torch.zeros(4, SIZE, SIZE, dtype=torch.bool)
    within[:, 2:13, 3:15] = True
    within[0, :, 3:9] = False
    return within


# ------------------------------------------------------------ residuals


@pytest.mark.parametrize("channels", [1, 3])
def test_residual_is_the_mean_difference_over_channels(channels: int, inside: Tensor) -> None:
    images = drawn(channels=channels)
    scored = scoring()(Constant(), images, inside)
    torch.testing.assert_close(scored.reconstructions, torch.full_like(images, VALUE))
    torch.testing.assert_close(scored.maps["residual"], (images - VALUE).abs().mean(1) * inside)
    positive = residual(Constant(), images, inside, map="positive-residual")
    torch.testing.assert_close(positive, (images - VALUE).mean(1).clamp(min=0) * inside)
    assert (positive == 0).sum() > (~inside).sum()  # what is darker


def test_positive_residual_is_cut_off_when_it_has_been_read(inside: Tensor) -> None:
    images = drawn()
    signed = (images - VALUE)[:, 0]
    found = residual(Constant(), images, inside, map="positive-residual", smoothing=1.0)
    torch.testing.assert_close(found, smoothed(signed, inside, 1.0).clamp(min=0) * inside)
    before = smoothed(signed.clamp(min=0), inside, 1.0) * inside
    assert (before - found).max() > 0.01  # a dark neighbour makes up for a bright one
    centred = residual(Constant(), images, inside, map="positive-residual", centring="median")
    for one, values, within in zip(centred, signed, inside, strict=True):
        torch.testing.assert_close(one[within], (values[within] - values[within].median()).clamp(min=0))


# ------------------------------------------------------------ readings


def test_scaling_by_the_maximum_or_the_extremes_of_each_image(inside: Tensor) -> None:
    images = drawn()
    raw = (images - VALUE).abs()[:, 0]
    by_maximum, between = (residual(Constant(), images, inside, scaling=scaling) for scaling in ("maximum", "image"))
    for row, within in enumerate(inside):
        values = raw[row][within]
        torch.testing.assert_close(by_maximum[row][within], values / values.max())
        torch.testing.assert_close(between[row][within], (values - values.min()) / (values.max() - values.min()))
        assert by_maximum[row].max() == between[row].max() == 1
        assert (by_maximum[row][~within] == 0).all()
    # Whatever is outside; and without an inside it is the whole image.
    brighter = torch.where(inside[:, None], images, 1.0)
    torch.testing.assert_close(residual(Constant(), brighter, inside, scaling="maximum"), by_maximum)
    everywhere = residual(Constant(), images, scaling="maximum")
    torch.testing.assert_close(everywhere, raw / raw.amax((1, 2), keepdim=True))


def test_a_perfect_reconstruction_stays_nothing_where_each_image_is_scaled() -> None:
    network = Constant()
    images = torch.full((1, 1, SIZE, SIZE), torch.tensor(VALUE).logit().sigmoid().item())
    for scaling in ("none", "maximum", "image"):
        found = residual(network, images, scaling=scaling)
        assert found.isfinite().all()
        assert found.max() < 1e-3


def test_positive_residual_of_a_darker_image_is_nothing_by_its_maximum() -> None:
    darker = 0.2 * drawn()
    assert (residual(Constant(), darker, map="positive-residual", scaling="maximum") == 0).all()


def learned(normals: Tensor, inside: Tensor | None = None, **options: Any) -> ResidualScoring:
    way = scoring(**options)
    way.learn(Constant(), [(normals[:7], None if inside is None else inside[:7]), (normals[7:], inside and inside[7:])])
    return way


@pytest.mark.parametrize("sign", [1, -1])
def test_scaling_by_percentiles_of_training_normals(sign: int) -> None:
    normals, images = drawn(30, seed=1), drawn()
    way = learned(normals, scaling="training", sign=sign)
    low, high = np.percentile(sign * (normals - VALUE).abs(), (1.0, 99.9))
    raw = sign * (images - VALUE).abs()[:, 0]
    expected = ((raw - low) / (high - low)).clamp(min=0)
    torch.testing.assert_close(way(Constant(), images).maps["residual"], expected, atol=2e-3, rtol=1e-3)


def test_percentiles_are_of_what_is_inside_the_normals() -> None:
    normals, images = 0.5 * drawn(14, seed=1), drawn()
    inside = torch.zeros(14, SIZE, SIZE, dtype=torch.bool)
    inside[:, :5] = True
    outside = torch.where(inside[:, None], normals, 1.0)
    ways = []
    for given in (normals, outside):
        way = scoring(scaling="training")
        way.learn(Constant(), [(given, inside)])
        ways.append(way(Constant(), images).maps["residual"])
    assert torch.equal(*ways)
    everything = learned(outside, scaling="training")(Constant(), images).maps["residual"]
    assert not torch.allclose(everything, ways[0], atol=0.05)


def test_scaling_by_position_where_places_are_alike_is_that_by_percentiles() -> None:
    values = torch.linspace(0.35, 0.95, 25)[:, None, None, None]
    normals, images = values.expand(25, 1, SIZE, SIZE), drawn()
    ways = (learned(normals, scaling=scaling) for scaling in ("training", "position"))
    by_percentiles, by_position = (way(Constant(), images).maps["residual"] for way in ways)
    torch.testing.assert_close(by_percentiles, by_position, atol=5e-3, rtol=0)


def test_scaling_by_position_counts_deviations_of_each_place() -> None:
    """Where normals differ by more, an anomaly of the same size is less; a third of the typical deviation is added."""
    means, deviations = torch.full((SIZE,), 0.2), torch.full((SIZE,), 0.05)  # of residuals, by column
    means[:4], deviations[:4] = 0.4, 0.15
    spread = torch.linspace(-1, 1, 41)
    spread = spread / spread.std(correction=0)
    normals = VALUE + (means + deviations * spread[:, None]).expand(1, SIZE, -1, -1).permute(2, 0, 1, 3)
    way = learned(normals, scaling="position")
    images = VALUE + torch.stack([means, means + 0.1]).expand(1, SIZE, -1, -1).permute(2, 0, 1, 3)
    usual, higher = way(Constant(), images).maps["residual"]
    torch.testing.assert_close(usual[:, 1], usual[:, 12], atol=5e-3, rtol=0)
    steps = (higher - usual)[8]
    assert (steps[12] / steps[1]).item() == pytest.approx((0.15 + 0.3 * 0.05) / (1.3 * 0.05), rel=0.02)


# ------------------------------------------------------------ many passes


def test_passes_by_a_posterior_without_variance_are_that_of_the_mean() -> None:
    images = drawn(channels=2)
    many, one = (residual(Constant(logvar=-30.0), images, samples=samples, beta=1.0) for samples in (9, 0))
    torch.testing.assert_close(many, one)
    without = residual(Constant(), images, samples=3)  # nothing is drawn, nothing dropped
    torch.testing.assert_close(without, residual(Constant(), images))


def test_passes_average_what_each_one_misses() -> None:
    images = drawn()
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    values = torch.from_numpy(math.log(VALUE / (1 - VALUE)) + nodes * math.exp(0.5 * 0.4)).sigmoid()
    errors = (images[:, 0, ..., None] - values).abs()
    expected = errors @ torch.from_numpy(weights / weights.sum())
    found = residual(Constant(logvar=0.4), images, samples=4000, beta=1.0)
    torch.testing.assert_close(found, expected.float(), atol=0.015, rtol=0)
    assert (found - residual(Constant(), images)).abs().max() > 0.05  # the mean's own residual is another
    signed = residual(Constant(logvar=0.4), images, samples=300, beta=1.0, map="positive-residual")
    assert (signed <= found + 0.05).all()


def test_passes_by_dropout_of_the_latent() -> None:
    images, share = drawn(), 0.25
    kept = torch.tensor(math.log(VALUE / (1 - VALUE)) / (1 - share)).sigmoid()
    expected = (1 - share) * (images - kept).abs() + share * (images - 0.5).abs()
    network = Constant(dropout=share)
    torch.testing.assert_close(residual(network, images, samples=4000), expected[:, 0], atol=0.01, rtol=0)
    torch.testing.assert_close(residual(network, images), (images - VALUE).abs()[:, 0])  # no passes, no dropout


@pytest.mark.parametrize("options", [{"variational": True}, {"variational": False, "dropout": 0.2}])
def test_passes_follow_from_image_and_seed_alone(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network, images = LightAutoencoder(1, SIZE, 4, bias=True, **options).eval(), drawn()
    nn.init.normal_(network.decoder[1].weight)  # so that latents are seen in the image
    settings = {"samples": 5, "beta": 1.0 if options["variational"] else None}
    state = torch.get_rng_state()
    found = residual(network, images, **settings)
    assert torch.equal(residual(network, images, **settings), found)
    assert torch.equal(torch.get_rng_state(), state)
    order = torch.tensor([2, 0, 3])
    torch.testing.assert_close(residual(network, images[order], **settings), found[order])
    torch.testing.assert_close(residual(network, images[1:2], **settings), found[1:2])
    other = residual(network, images, **settings, samples_seed=1)
    assert not torch.isclose(other, found, atol=1e-5).flatten(1).all(1).any()
    more = residual(network, images, **settings | {"samples": 6})
    assert not torch.equal(more, found)


def test_noise_is_another_for_each_image_and_seed() -> None:
    images = drawn(40, seed=3)
    images = torch.cat([images, images[:1]])
    noise = torch.stack([noise_of(images, 200, seed) for seed in (0, 1)])
    assert noise.shape == (2, 41, 200)
    assert torch.equal(noise[:, 0], noise[:, -1])  # equal images have equal noise
    correlations = torch.corrcoef(noise[:, :-1].flatten(0, 1)) - torch.eye(80)
    assert correlations.abs().max() < 0.4  # five deviations and more of chance ones
    assert noise.mean().item() == pytest.approx(0, abs=0.04)
    assert noise.std().item() == pytest.approx(1, abs=0.03)


# ------------------------------------------------------------ scores


@pytest.mark.parametrize("beta", [None, 0.5])
def test_scores_are_the_objectives_of_each_image(beta: float | None) -> None:
    torch.manual_seed(0)
    network, images = LightAutoencoder(2, SIZE, 5, bias=True, variational=beta is not None).eval(), drawn(channels=2)
    scored = scoring(beta=beta, score="mse")(network, images)
    names = {"map-mean", "map-max", "mse", *(("bce",) if beta is None else ("elbo", "kl"))}
    assert set(scored.scores) == names
    assert next(iter(scored.scores)) == "mse"
    with torch.no_grad():
        mean, logvar = network.encode(images)
        logits = network.decode_logits(mean)
    for row in range(len(images)):
        parts = images[row : row + 1], logits[row : row + 1], mean[row : row + 1]
        posterior = None if logvar is None else logvar[row : row + 1]
        expected = {
            "bce" if beta is None else "elbo": LogitELBO("bce", "mean", beta)(*parts, posterior).loss,
            "mse": LogitELBO("l2", "mean")(*parts, None).loss,
            "map-mean": LogitELBO("l1", "mean")(*parts, None).loss,
            "map-max": (images[row] - logits[row].sigmoid()).abs().mean(0).max(),
        }
        if posterior is not None:
            expected["kl"] = LogitELBO("bce", "sum", beta)(*parts, posterior).logged["kl"]
        assert {name: values[row].item() for name, values in scored.scores.items()} == pytest.approx(
            {name: value.item() for name, value in expected.items()}, rel=1e-4
        )
    torch.testing.assert_close(scoring(beta=beta).latents(network, images), mean)


def test_scores_of_a_map_are_of_what_is_inside(inside: Tensor) -> None:
    images = drawn()
    scores = scoring()(Constant(), images, inside).scores
    raw = (images - VALUE).abs()[:, 0]
    for row, within in enumerate(inside):
        assert scores["map-mean"][row].item() == pytest.approx(raw[row][within].mean().item(), rel=1e-5)
        assert scores["map-max"][row].item() == pytest.approx(raw[row][within].max().item(), rel=1e-6)


def test_unknown_scores_and_maps_are_named_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"unknown scoring.score 'elbo'; one of map-mean, map-max, bce, mse"):
        scoring(score="elbo")
    with pytest.raises(OptionError, match=r"unknown scoring.score 'bce'; one of map-mean, map-max, elbo, kl, mse"):
        scoring(score="bce", beta=1.0)
    with pytest.raises(OptionError, match=r"unknown scoring.map 'attention'; one of residual"):
        scoring(map="attention")


@pytest.mark.parametrize("samples", [0, 3])
@pytest.mark.parametrize("variational", [True, False])
def test_the_deciding_score_alone_is_the_one_beside_the_others(variational: bool, samples: int, inside: Tensor) -> None:
    torch.manual_seed(0)
    network = LightAutoencoder(1, SIZE, 4, bias=True, variational=variational, dropout=0.2).eval()
    images, beta = drawn(), 2.0 if variational else None
    for score in ResidualScoring.known_scores(beta):
        every, alone = (scoring(score=score, also=also, beta=beta, samples=samples) for also in ("all", "none"))
        scored, single = every(network, images, inside), alone(network, images, inside)
        torch.testing.assert_close(every.deciding(network, images, inside), scored.scores[score])
        assert (list(single.scores), list(single.maps)) == ([score], ["residual"])
        torch.testing.assert_close(single.scores[score], scored.scores[score])


# What is decoded: the reconstruction that is shown, and each pass; for the score alone no more than it is made of.
@pytest.mark.parametrize(
    ("score", "samples", "shown", "alone"),
    [("map-mean", 0, 1, 1), ("map-mean", 5, 6, 5), ("kl", 5, 6, 0), ("mse", 5, 6, 1), ("elbo", 0, 1, 1)],
)
def test_nothing_is_computed_that_is_not_asked_for(score: str, samples: int, shown: int, alone: int) -> None:
    way = scoring(AttentionScoring, score=score, samples=samples, also="none", beta=1.0)
    network = Constant(logvar=0.0)
    way(network, drawn())
    assert network.decoded == shown
    assert len(network.with_gradient) == 1
    way.deciding(network, drawn())
    assert network.decoded == shown + alone
    assert network.with_gradient == [False, False]  # as no attention is asked for
    scoring(AttentionScoring, also="all", beta=1.0)(network, drawn())
    assert network.with_gradient == [False, False, True]  # one pass for everything


# ------------------------------------------------------------ what is learned


def numbered(count: int) -> Tensor:
    """Images of one value each, from ``VALUE`` up, ``(count, 1, S, S)``."""
    return (VALUE + 0.6 * torch.arange(count) / count)[:, None, None, None].expand(-1, 1, SIZE, SIZE)


def batches(images: Tensor, size: int, inside: Tensor | None = None) -> list[tuple[Tensor, Tensor | None]]:
    starts = range(0, len(images), size)
    return [(images[at : at + size], None if inside is None else inside[at : at + size]) for at in starts]


@pytest.mark.parametrize(("count", "size"), [(5, 2), (256, 100), (257, 64), (1000, 7), (700, 700)])
def test_it_keeps_at_most_so_many_normals_evenly(count: int, size: int) -> None:
    inside = torch.arange(count)[:, None, None] % 2 == torch.zeros(count, SIZE, SIZE)
    found = scoring().learn(Constant(), batches(numbered(count), size, inside))
    maps, within = found["normal residual"], found["normal inside"]
    assert maps.shape == within.shape == (min(count, NORMALS), SIZE, SIZE)
    assert (maps.dtype, within.dtype) == (np.float16, bool)
    rows = np.rint(maps[:, 0, 0].astype(float) * count / 0.6).astype(int)
    if count <= NORMALS:
        assert rows.tolist() == list(range(count))
    exact = torch.linspace(0, count - 1, NORMALS).numpy() if count > NORMALS else np.arange(count)
    assert np.abs(rows - exact).max() <= 2  # half precision
    if count == 5:
        assert within[:, 0, 0].tolist() == [True, False, True, False, True]
    assert scoring().learn(Constant(), batches(numbered(9), 4))["normal inside"].all()


def test_batches_can_be_any_that_can_be_gone_through_again() -> None:
    class Prepared:
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
            yield from batches(numbered(30), 8)

    found, expected = (scoring().learn(Constant(), given) for given in (Prepared(), batches(numbered(30), 30)))
    np.testing.assert_array_equal(found["normal residual"], expected["normal residual"])


def test_the_reading_can_be_changed_after_learning(inside: Tensor) -> None:
    normals, images = drawn(12, seed=1), drawn()
    known = scoring().learn(Constant(), [(normals, None)])
    smooth, inverse = {"scaling": "position", "smoothing": 1.0}, {"scaling": "training", "sign": -1}
    for options in ({"scaling": "training"}, smooth, inverse, {"scaling": "training", "centring": "median"}):
        adjusted, anew = scoring(**options), scoring(**options)
        adjusted.learned = dict(known)
        anew.learn(Constant(), [(normals, None)])
        found, expected = (way(Constant(), images, inside).maps["residual"] for way in (adjusted, anew))
        assert torch.equal(found, expected)


def test_normals_of_one_pass_are_no_scale_for_many() -> None:
    known = scoring().learn(Constant(), [(drawn(12, seed=1), None)])
    way = scoring(scaling="training", samples=3)
    way.learned = dict(known)
    with pytest.raises(ModelError, match="fit again"):
        way(Constant(), drawn())
    way.learn(Constant(), [(drawn(12, seed=1), None)])
    assert way(Constant(), drawn()).maps["residual"].max() < 1.1


@pytest.mark.parametrize("scaling", ["training", "position"])
def test_an_error_names_the_mend_where_nothing_was_learned(scaling: str) -> None:
    message = rf"scoring.scaling={scaling} needs what fitting learned of .* normals; fit again, or set it to none"
    with pytest.raises(ModelError, match=message):
        scoring(scaling=scaling)(Constant(), drawn())
    with pytest.raises(ModelError, match=message):
        scoring(scaling=scaling).deciding(Constant(), drawn())
    assert scoring(scaling=scaling, score="mse").deciding(Constant(), drawn()).shape == (4,)  # which needs no map
