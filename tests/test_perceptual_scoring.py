"""Scores and maps of the deep perceptual autoencoder: those of its training, on the image's own grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sanoscope import Case, Cases, Detector
from sanoscope.cases.phantoms import brain_phantoms
from sanoscope.errors import OptionError
from sanoscope.networks.perceptual_autoencoder import PerceptualAutoencoder
from sanoscope.networks.vgg import vgg
from sanoscope.scoring.perceptual import PerceptualScoring

SIZE = 16
SMALL: dict[str, Any] = {
    "preparation.image_size": SIZE,
    "network.widths": (4,),
    "network.latent": 3,
    "network.features": "vgg11_bn",
    "network.layers": ("r11", "r21"),
    "objective.layer_weights": (1.0, 3.0),
    "objective.l1": 0.7,
    "training.batch_size": 8,
    "training.epochs": 3,
    "training.max_iterations": 0,
    "training.learning_rate": 1e-3,
    "training.precision": "float32",
}
GROWING: dict[str, Any] = {
    "network.growing_from": 8,
    "network.growing_layers": ("r11",),
    "training.phase_iterations": 1,
}
ONE_LAYER: dict[str, Any] = {"network.layers": ("r21",), "objective.layer_weights": (1.0,), "objective.l1": 0.0}


@pytest.fixture(scope="module")
def cases() -> Cases:
    return brain_phantoms(subjects=4, slices_per_subject=6, size=64, seed=1).cases()


@pytest.fixture(scope="module")
def fitted(cases: Cases) -> Detector:
    return detector(cases, {"network.pretrained": False})


def detector(cases: Cases, *options: dict[str, Any]) -> Detector:
    changed = {name: value for each in (SMALL, *options) for name, value in each.items()}
    made = Detector("deep-perceptual-autoencoder", changed, device="cpu")
    normals = cases.where(lambda case: case.label == 0)
    return made.fit(normals[:-4], normals[-4:], quiet=True)


def network(layers: tuple[str, ...] = ("r21",), channels: int = 1) -> PerceptualAutoencoder:
    torch.manual_seed(0)
    built = PerceptualAutoencoder(channels, SIZE, 3, 1, (4,), 2, "vgg11_bn", layers, pretrained=False)
    return built.eval()


def images(channels: int = 1, count: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def scoring(**options: Any) -> PerceptualScoring:
    settings = {"score": "perceptual", "map": "perceptual", "also": "all", "precision": "float32"}
    return PerceptualScoring(**(settings | {"layer_weights": (1.0,), "l1": 0.0} | options))


# ------------------------------------------------------------ scores


def test_the_score_is_the_training_s_loss(cases: Cases, fitted: Detector) -> None:
    """Validation takes the mean over its images of the loss as trained: all layers by their weights, and the L1."""
    normals = cases.where(lambda case: case.label == 0)[-4:]
    scores = fitted.score(normals).scores
    last = fitted.history_[-1]
    assert scores["perceptual"].mean() == pytest.approx(last["validation/loss"], rel=1e-5)
    assert scores["l1"].mean() == pytest.approx(last["validation/l1"], rel=1e-5)
    assert (scores["perceptual"] - 0.7 * scores["l1"]).mean() == pytest.approx(last["validation/perceptual"], rel=1e-5)
    assert last["validation/l1"] > 0.01


def test_scores_written_out() -> None:
    net, seen = network(("r11", "r21")), images()
    with torch.no_grad():
        found = net(seen)
        ones, others = net.perceptual(seen), net.perceptual(found)
    parts = [(ones[k] - others[k]).abs().mean((1, 2, 3)) / ones[k].abs().mean((1, 2, 3)) for k in ("r11", "r21")]
    l1 = (seen - found).abs().mean((1, 2, 3))
    scored = scoring(layer_weights=(1.0, 3.0), l1=0.5)(net, seen)
    torch.testing.assert_close(scored.scores["perceptual"], parts[0] / 4 + parts[1] * 3 / 4 + l1 / 2)
    torch.testing.assert_close(scored.scores["l1"], l1)
    torch.testing.assert_close(scored.scores["mse"], (seen - found).square().mean((1, 2, 3)))
    assert torch.equal(scored.reconstructions, found)


def test_a_perfect_reconstruction_scores_nothing() -> None:
    class Perfect(PerceptualAutoencoder):
        def forward(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
            return images

    perfect = Perfect(1, SIZE, 3, 1, (4,), 2, "vgg11_bn", ("r21",), pretrained=False)
    scored = scoring(l1=1.0)(perfect, images())
    assert not any(value.any() for value in (*scored.scores.values(), *scored.maps.values()))


@pytest.mark.parametrize("score", ["perceptual", "l1", "mse", "map-mean", "map-max"])
@pytest.mark.parametrize("kind", ["perceptual", "absolute-error"])
def test_names_and_the_deciding_ones(score: str, kind: str) -> None:
    net, seen = network(), images()
    everything, alone = scoring(score=score, map=kind)(net, seen), scoring(score=score, map=kind, also="none")
    assert {*everything.scores} == {"perceptual", "l1", "mse", "map-mean", "map-max"}
    assert {*everything.maps} == {"perceptual", "absolute-error"}
    assert (next(iter(everything.scores)), next(iter(everything.maps))) == (score, kind)
    assert (alone.names, alone.map_names) == ((score,), (kind,))
    torch.testing.assert_close(alone.deciding(net, seen), everything.scores[score])
    heatmap = everything.maps[kind].flatten(1)
    torch.testing.assert_close(everything.scores["map-mean"], heatmap.mean(1))
    torch.testing.assert_close(everything.scores["map-max"], heatmap.max(1).values)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(OptionError, match=r"scoring.score"):
        scoring(score="perceptal")
    with pytest.raises(OptionError, match=r"scoring.map"):
        scoring(map="features")


def test_it_learns_nothing_and_uses_all_but_a_critic() -> None:
    torch.manual_seed(0)
    net = PerceptualAutoencoder(1, SIZE, 3, 1, (4,), 2, "vgg11_bn", ("r21",), pretrained=False, critic="wasserstein")
    assert scoring().learn(net, []) == {}
    used = {id(one) for module in scoring().used(net) for one in module.parameters()}
    assert net.critic is not None
    assert {id(one) for one in net.parameters()} - used == {id(one) for one in net.critic.parameters()}
    torch.testing.assert_close(scoring().latents(net, images()), net.encode(images())[0])


# ------------------------------------------------------------ maps


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layer", ["r11", "r21"])
def test_the_mean_of_a_layer_s_map_is_its_error(layer: str, channels: int) -> None:
    scored = scoring(l1=0.0)(network((layer,), channels), images(channels))
    heatmap = scored.maps["perceptual"]
    assert heatmap.shape == (3, SIZE, SIZE)
    assert heatmap.min() >= 0
    torch.testing.assert_close(heatmap.mean((1, 2)), scored.scores["perceptual"])


def test_a_map_of_several_layers_is_averaged_by_their_weights() -> None:
    net, seen = network(("r11", "r21")), images()
    both = scoring(layer_weights=(1.0, 3.0))(net, seen).maps["perceptual"]
    alone = [scoring(layer_weights=weights)(net, seen).maps["perceptual"] for weights in ((1.0, 0.0), (0.0, 1.0))]
    torch.testing.assert_close(both, alone[0] / 4 + alone[1] * 3 / 4)


def test_a_map_is_bilinear_and_in_its_place() -> None:
    net, seen = network(("r21",)), images()
    with torch.no_grad():
        one, other = net.perceptual(seen)["r21"], net.perceptual(net(seen))["r21"]
    places = (one - other).abs().mean(1) / one.abs().mean((1, 2, 3))[:, None, None]  # (3, 8, 8)
    heatmap = scoring()(net, seen).maps["perceptual"]
    torch.testing.assert_close(heatmap[:, 0, 0], places[:, 0, 0])
    expected = (9 * places[:, 2, 3] + 3 * places[:, 2, 4] + 3 * places[:, 3, 3] + places[:, 3, 4]) / 16
    torch.testing.assert_close(heatmap[:, 5, 7], expected)


def test_outside_of_the_foreground_maps_are_zero() -> None:
    inside = torch.zeros(3, SIZE, SIZE, dtype=torch.bool)
    inside[:, 4:12, 4:12] = True
    scored = scoring(score="map-mean")(network(), images(), inside)
    for heatmap in scored.maps.values():
        assert not heatmap[~inside].any()
        assert heatmap[inside].min() >= 0
    whole = scoring()(network(), images())
    torch.testing.assert_close(scored.scores["perceptual"], whole.scores["perceptual"])
    torch.testing.assert_close(scored.scores["map-mean"], whole.maps["perceptual"][inside].view(3, -1).mean(1))


# ------------------------------------------------------------ the detector


def test_maps_lie_on_the_image_s_grid(fitted: Detector) -> None:
    others = Cases([Case(str(size), pixels=np.full((*size, 1), 90, np.uint8)) for size in ((40, 40), (33, 57))])
    assert [heatmap.shape for heatmap in fitted.score_map(others)] == [(40, 40), (33, 57)]


def test_the_deciding_score_and_map_may_be_chosen_later(cases: Cases, fitted: Detector, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    before = fitted.score(cases)
    for name in ("map-mean", "perceptual"):
        adjusted = Detector.load(tmp_path / "model", device="cpu")
        adjusted.adjust({"scoring.map": "absolute-error", "scoring.score": name})
        after = adjusted.score(cases)
        assert after.score_name == name
        pixels = after.scores["l1"] if name == "map-mean" else before.score
        np.testing.assert_allclose(after.score, pixels, rtol=1e-5)
        assert not np.allclose(after.maps.values, before.maps.values)
    with pytest.raises(OptionError, match=r"option 'objective.l1' is built into the trained model"):
        fitted.adjust({"objective.l1": 0.1})


def vgg_file(file: Path) -> str:
    torch.manual_seed(1)
    modules = [module for _, module in vgg("vgg11_bn")][:8]
    torch.save(nn.ModuleDict({"features": nn.Sequential(*modules)}).state_dict(), file)
    return str(file)


@pytest.mark.parametrize("options", [{}, GROWING, {"network.critic": "wasserstein"}])
def test_saved_and_loaded_it_needs_no_file_of_weights(cases: Cases, tmp_path: Path, options: dict[str, Any]) -> None:
    """Nor the training normals, which the statistics are of as the file's norms tell none."""
    weights = vgg_file(tmp_path / "weights.pth")
    made = detector(cases, {"network.weights": weights}, options)
    made.save(tmp_path / "model")
    before = made.score(cases)
    Path(weights).unlink()
    loaded = Detector.load(tmp_path / "model", device="cpu")
    after = loaded.score(cases)
    assert isinstance(loaded.network_, PerceptualAutoencoder)
    assert loaded.network_.perceptual.statistics_known
    for name, values in before.scores.items():
        np.testing.assert_array_equal(after.scores[name], values)
    np.testing.assert_array_equal(after.maps.values, before.maps.values)
    assert torch.equal(loaded.network_.perceptual.mean_r21, made.network_.perceptual.mean_r21)
    assert loaded.network_.perceptual.mean_r21.any()


def test_grown_it_scores_by_the_full_resolution_s_layers_alone(cases: Cases) -> None:
    made = detector(cases, {"network.pretrained": False}, GROWING, ONE_LAYER)
    assert isinstance(made.network_, PerceptualAutoencoder)
    with torch.no_grad():
        seen = images()
        found = scoring()(made.network_, seen).scores["perceptual"]
        one, other = (made.network_.perceptual(each, ["r21"])["r21"] for each in (seen, made.network_(seen)))
    torch.testing.assert_close(found, (one - other).abs().mean((1, 2, 3)) / one.abs().mean((1, 2, 3)))
    assert made.network_.layers == (("r21",), ("r11",))
