"""The autoencoders that latents are clustered of: their layers, sizes and counts, and how they are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sanoscope import RECIPES, Detector
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.errors import ModelError, OptionError, TrainingError
from sanoscope.networks.alexnet_autoencoder import AlexNet
from sanoscope.networks.folding import folded
from sanoscope.networks.network import parameter_count
from sanoscope.networks.plain_autoencoder import PlainAutoencoder
from sanoscope.networks.residual_blocks_autoencoder import ResidualDoubling, ResidualHalving
from sanoscope.objectives.squared_error import SquaredError
from sanoscope.recipes.histopathology_autoencoders import RECIPES as AUTOENCODERS

NAMES = [recipe.name for recipe in AUTOENCODERS]
SIZES = {name: RECIPES[name]["preparation.image_size"] for name in NAMES}
NARROW: dict[str, dict[str, Any]] = {
    "fc-autoencoder": {"widths": (12, 8)},
    "cnn-autoencoder": {"width": 0.05},
    "cnn-autoencoder-no-maxpool": {"width": 0.05},
    "alexnet-autoencoder": {"width": 0.03, "pretrained": False},
    "resnet-autoencoder": {"width": 0.05},
}


def network(name: str, channels: int = 3, size: int | None = None, **options: Any) -> PlainAutoencoder:
    recipe = RECIPES[name].with_options({f"network.{key}": value for key, value in options.items()})
    built = recipe.build("network", in_channels=channels, image_size=size or SIZES[name])
    assert isinstance(built, PlainAutoencoder)
    return built


def sides(module: nn.Module, given: Tensor, *kinds: type[nn.Module]) -> list[int]:
    """The heights of what modules of some kinds give, in order; those within residual blocks left out."""
    found: list[int] = []

    def note(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        found.append(output.shape[-1])

    hooks = [child.register_forward_hook(note) for child in module.children() if isinstance(child, kinds)]
    with torch.inference_mode():
        module(given)
    for hook in hooks:
        hook.remove()
    return found


# ------------------------------------------------------------ as published


@pytest.mark.parametrize(
    ("name", "encoder", "decoder"),
    [
        ("fc-autoencoder", 17_542_692, 17_550_000),
        ("cnn-autoencoder", 4_365_824, 6_203_523),
        ("cnn-autoencoder-no-maxpool", 6_989_760, 5_941_379),
    ],
)
def test_published_parameter_counts(name: str, encoder: int, decoder: int) -> None:
    with torch.device("meta"):
        built = network(name)
    assert (parameter_count(built.encoder), parameter_count(built.decoder)) == (encoder, decoder)
    assert parameter_count(built) == encoder + decoder


def test_fully_connected_count_in_all() -> None:
    with torch.device("meta"):
        assert parameter_count(network("fc-autoencoder")) == 35_092_692


def test_alexnet_is_torchvisions_with_another_last_layer() -> None:
    with torch.device("meta"):
        assert parameter_count(AlexNet(3, 1000)) == 61_100_840
        assert parameter_count(AlexNet(3, 512)) == 61_100_840 - (4096 * 1000 + 1000) + (4096 * 512 + 512)
        names = set(AlexNet(3, 1000).state_dict())
    features = {f"features.{i}.{kind}" for i in (0, 3, 6, 8, 10) for kind in ("weight", "bias")}
    assert names == features | {f"classifier.{i}.{kind}" for i in (1, 4, 6) for kind in ("weight", "bias")}


@pytest.mark.parametrize(
    ("name", "down", "up"),
    [
        ("cnn-autoencoder", [48, 24, 22, 11, 10, 5, 4, 2, 1], [2, 3, 6, 12, 25, 50]),
        ("cnn-autoencoder-no-maxpool", [49, 24, 11, 4, 1], [2, 3, 6, 12, 25, 50]),
        ("resnet-autoencoder", [128, 64, 32, 16, 8, 4, 2, 1], [8, 16, 32, 64, 128, 256]),
    ],
)
def test_sides_of_the_layers(name: str, down: list[int], up: list[int]) -> None:
    built = network(name, **NARROW[name]).eval()
    images = torch.rand(1, 3, SIZES[name], SIZES[name])
    assert sides(built.encoder, images, nn.Conv2d, nn.MaxPool2d, ResidualHalving) == down
    latents, _ = built.encode(images)
    assert sides(built.decoder, latents, nn.ConvTranspose2d, ResidualDoubling) == up


def test_sides_of_the_layers_of_alexnet() -> None:
    built = network("alexnet-autoencoder", width=0.03, pretrained=False).eval()
    images = torch.rand(1, 3, 250, 250)
    assert sides(built.encoder.features, images, nn.Conv2d, nn.MaxPool2d) == [61, 30, 30, 14, 14, 14, 14, 6]  # type: ignore[arg-type]
    latents, _ = built.encode(images)
    assert sides(built.decoder, latents, nn.ConvTranspose2d) == [8, 16, 30, 62, 126, 250]


@pytest.mark.parametrize(("name", "latent"), list(zip(NAMES, (64, 256, 192, 512, 256), strict=True)))
def test_latents_are_the_papers(name: str, latent: int) -> None:
    assert RECIPES[name]["network.latent"] == latent
    with torch.device("meta"):
        built = network(name, **({"pretrained": False} if "alexnet" in name else {}))
        assert built.latent == latent


def test_where_latents_are_taken() -> None:
    with torch.device("meta"):
        fully, pooled, strided = (network(name) for name in NAMES[:3])
        residual = network("resnet-autoencoder")
    assert [type(layer) for layer in fully.encoder][-3:] == [nn.Linear, nn.BatchNorm1d, nn.ReLU]  # type: ignore[arg-type]
    for built in (pooled, strided):
        assert [type(layer) for layer in built.encoder][-3:] == [nn.Conv2d, nn.BatchNorm2d, nn.Flatten]  # type: ignore[arg-type]
        assert [type(layer) for layer in built.decoder][:2] == [nn.Unflatten, nn.ReLU]  # type: ignore[arg-type]
    assert isinstance(residual.encoder[-1], nn.Linear)  # type: ignore[index]


def test_residual_blocks_have_the_published_channels() -> None:
    with torch.device("meta"):
        down, up = ResidualHalving(64, 256, 5), ResidualDoubling(512, 256, 7)
    layers = [layer for layer in down.residual if isinstance(layer, nn.Conv2d)]
    assert [(one.in_channels, one.out_channels, one.kernel_size[0]) for one in layers] == [
        (64, 160, 5),
        (160, 256, 5),
        (256, 256, 4),
    ]
    doubled = [layer for layer in up.residual if isinstance(layer, nn.ConvTranspose2d)]
    assert [(one.in_channels, one.out_channels) for one in doubled] == [(512, 384), (384, 256), (256, 256)]
    assert isinstance(up.shortcut, nn.ConvTranspose2d)


def test_a_residual_block_is_the_sum_of_its_ways() -> None:
    block = ResidualHalving(2, 4, 5).eval()
    features = torch.randn(3, 2, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(block(features), block.residual(features) + block.shortcut(features))
        assert block(features).shape == (3, 4, 4, 4)


def test_norm_or_dropout_in_the_residual_decoder() -> None:
    kinds = {}
    for norm in ("dropout", "batch"):
        with torch.device("meta"):
            decoder = network("resnet-autoencoder", decoder_norm=norm, width=0.1).decoder
        kinds[norm] = [type(layer) for layer in decoder]  # type: ignore[arg-type]
    assert kinds["dropout"].count(nn.Dropout) == 2 + 5
    assert kinds["batch"].count(nn.Dropout) == 2
    assert kinds["batch"].count(nn.BatchNorm2d) == 5


# ------------------------------------------------------------ as any network


@pytest.mark.parametrize("name", NAMES)
def test_images_come_back_in_their_shape_and_range(name: str) -> None:
    built = network(name, channels=2, latent=5, **NARROW[name]).eval()
    images = torch.rand(3, 2, SIZES[name], SIZES[name])
    with torch.no_grad():
        latents, logvar = built.encode(images)
        again, decoded = built(images), built.decode(latents)
        with torch.autocast("cpu", torch.bfloat16):
            reduced = built(images)
    assert latents.shape == (3, 5)
    assert logvar is None
    assert again.shape == images.shape
    assert 0 <= again.min() <= again.max() <= 1
    torch.testing.assert_close(decoded, again)
    assert reduced.dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_folded_it_is_the_same_function(name: str) -> None:
    built = network(name, latent=4, **NARROW[name])
    for layer in built.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            for values in (layer.weight, layer.running_var):
                nn.init.uniform_(values, 0.5, 2)
            for values in (layer.bias, layer.running_mean):
                nn.init.normal_(values, std=0.3)
    images = torch.rand(2, 3, SIZES[name], SIZES[name])
    with torch.inference_mode():
        torch.testing.assert_close(folded(built)(images), built.eval()(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES[1:])
def test_the_only_size_is_named(name: str) -> None:
    with pytest.raises(OptionError, match=rf"takes preparation\.image_size={SIZES[name]} only, not 64"):
        network(name, size=64, **NARROW[name])


def test_published_weights_fill_all_but_the_last_layer(tmp_path: Path) -> None:
    file = tmp_path / "alexnet.pth"
    published = AlexNet(3, 1000, 0.03).state_dict()
    torch.save(published, file)
    built = network("alexnet-autoencoder", width=0.03, weights=str(file), latent=7)
    last = built.encoder.classifier[6].weight.clone()  # type: ignore[index, union-attr]
    built.initialise()
    loaded = built.encoder.state_dict()
    for key, value in published.items():
        if not key.startswith("classifier.6."):
            torch.testing.assert_close(loaded[key], value, rtol=0, atol=0)
    torch.testing.assert_close(loaded["classifier.6.weight"], last, rtol=0, atol=0)
    torch.save({"features.0.weight": torch.zeros(3)}, file)
    with pytest.raises(ModelError, match="does not hold the weights of alexnet"):
        built.initialise()


# ------------------------------------------------------------ trained


def test_the_sum_of_squares_and_its_mean() -> None:
    images, reconstructions = torch.zeros(2, 3, 4, 4), torch.full((2, 3, 4, 4), 0.5)
    by_sum, by_mean = (SquaredError(reduction)(images, reconstructions) for reduction in ("sum", "mean"))
    assert float(by_sum.loss) == 2 * 48 * 0.25
    assert float(by_sum.logged["loss"]) == 48 * 0.25  # of an image
    assert float(by_mean.loss) == float(by_mean.logged["loss"]) == 0.25


def fitted(**options: Any) -> Detector:
    cases = histology_phantoms(subjects=4, images_per_subject=12, size=32, seed=2).cases()
    small = {
        "preparation.image_size": 16,
        "network.widths": (24, 12),
        "network.latent": 4,
        "training.batch_size": 8,
        "training.precision": "float32",
    }
    given = {name.replace("__", "."): value for name, value in options.items()}
    return Detector("fc-autoencoder", small | given, device="cpu").fit(cases, quiet=True)


def test_the_step_size_falls_to_a_tenth_every_few_epochs() -> None:
    # With no drop the weights move on; once the step size is a millionth, they stand still.
    still = fitted(training__epochs=8, training__drop_every=1, training__keep="last")
    moving = fitted(training__epochs=8, training__drop_every=0, training__keep="last")
    changes = []
    for one in (still, moving):
        before, after = (row["train/loss"] for row in one.history_[-2:])
        changes.append(abs(after - before))
    assert changes[0] < 0.2 * changes[1]


def test_the_best_weights_are_kept() -> None:
    cases = histology_phantoms(subjects=4, images_per_subject=12, size=32, seed=2).cases()
    # Steps so large that the last epoch is not the best one.
    wild = {"training__epochs": 4, "training__learning_rate": 0.02, "training__drop_every": 0}
    best, last = (fitted(training__keep=keep, **wild) for keep in ("best", "last"))
    losses = [row["validation/loss"] for row in best.history_]
    assert losses == [row["validation/loss"] for row in last.history_]
    assert min(losses) < losses[-1]
    scores = [float(np.mean(one.decision_function(cases))) for one in (best, last)]
    assert scores[0] < scores[1]


def test_the_best_weights_need_images_to_tell() -> None:
    detector = fitted(training__epochs=1)
    training = detector.recipe.build("training")
    with pytest.raises(TrainingError, match="no validation images to tell which weights are the best"):
        training.run(detector.network_, None, None, [0, 1], None, None)


def test_it_learns_images_by_heart() -> None:
    cases = histology_phantoms(subjects=4, images_per_subject=6, size=32, seed=2).cases()
    detector = fitted(training__epochs=150, training__drop_every=0, training__learning_rate=3e-3, network__latent=16)
    first, best = detector.history_[0]["train/loss"], min(row["train/loss"] for row in detector.history_)
    assert best < 0.25 * first
    images, again = detector.reconstruct(cases[:4])
    assert images.shape == again.shape


@pytest.mark.parametrize("name", NAMES)
def test_presets_are_the_papers_and_the_codes(name: str) -> None:
    paper, released = (RECIPES[name].preset(preset) for preset in ("paper", "released"))
    assert (paper["training.drop_every"], paper["training.weight_decay"]) == (0, 0.0)
    assert (released["training.drop_every"], released["training.weight_decay"]) == (7, 5e-4)
    assert released["network.latent"] == {"alexnet-autoencoder": 256, "cnn-autoencoder-no-maxpool": 256}.get(
        name, 64 if name in ("fc-autoencoder", "resnet-autoencoder") else 256
    )
