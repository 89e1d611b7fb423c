"""Tuluptceva, Bakker, Fedulova, Konushin: Perceptual image anomaly detection.

An autoencoder that reconstructs by the relative perceptual L1, whose decoder also makes images of noise that a critic
takes for real ones, and whose encoder gives latents that another critic takes for noise. Presets hold what Shvetsova et
al. ran it with: ``paper`` and ``cifar10`` as published, the others as they chose by known anomalies.

The released configurations list more widths than some networks have resolutions. Their encoder takes the last of the
list, and their decoder the first of the mirrored one; here are the widths that are left. For the subset and the AP
views of the chest X-rays they equalise the histograms of test images but not of training images, which is not followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanoscope.recipe import Option, Part, Recipe
from sanoscope.recipes.deep_perceptual import (
    NETWORK,
    OBJECTIVE,
    PERCEPTUAL_PREPARATION,
    PERCEPTUAL_SCORING,
    STEPS,
)
from sanoscope.recipes.parts import DATA, DECISION, POSTPROCESSING, sourced
from sanoscope.recipes.public_collections import AP, CAMELYON16, NIH, PA
from sanoscope.search_space import Bundles, Choices, Dimension

PAPER = "Tuluptceva et al.: Perceptual image anomaly detection"
CODE = "released code"
BOTH = "paper and released code"
MEASURED = "minutes on two cores; the presets have the paper's values"

_SHARED = ("features", "layers", "weights", "pretrained")
_NETWORK = Part(
    "sanoscope.networks.two_critic_autoencoder:TwoCriticAutoencoder",
    {
        "latent": Option(64, "length of the latent, which has no places", MEASURED, minimum=1),
        "widths": Option(
            (16,), "channels at each resolution, the highest first; a single one is for all", MEASURED, minimum=1
        ),
        "critic_widths": Option((8,), "those of what judges images, likewise", MEASURED, minimum=1),
        "latent_critic_widths": Option((256, 256), "hidden layers of what judges latents", MEASURED, minimum=1),
        **{name: NETWORK.options[name] for name in _SHARED},
    },
)

_OBJECTIVE = OBJECTIVE.updated(
    l1=Option(0.0, "weight of the absolute pixel error, in the loss and in the score", CODE, minimum=0),
    adversarial=Option(
        1.0,
        "weight of what the critics say, against a reconstruction that is weighted to be its equal",
        BOTH,
        minimum=0,
    ),
)

_NOT_GROWING = {name: option for name, option in STEPS.options.items() if name != "phase_iterations"}
_TRAINING = sourced(
    Part("sanoscope.training.two_critics:TwoCriticTraining", _NOT_GROWING),
    CODE,
    batch_size=32,
    critic_rate=2.5,
    betas=(0.5, 0.99),
)
_TRAINING = sourced(
    _TRAINING, MEASURED, learning_rate=2e-3, schedule="cosine", max_iterations=400, critic_steps=1
).extended(
    balance_every=Option(20, "iterations between two records of gradients", MEASURED, minimum=1),
    balance_records=Option(200, "how many of the last records weigh the reconstruction", BOTH, minimum=1),
    balance_smoothing=Option(0.05, "share of a record in the smoothed gradients", BOTH, minimum=0),
)


# Latent, widths, those of the image critic, and hidden layers of the latent critic; of 64 pixels, and of 32.
Size = tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...]]
_PUBLISHED: Size = (256, (32, 64, 128, 256, 256), (32, 64, 128, 128, 128), (1024, 1024))
_CAMELYON16: Size = (128, (32, 64, 128, 128, 128), (32, 64, 128, 128, 128), (1024, 1024))
_PUBLISHED_32: Size = (256, (64, 128, 256, 256), (32, 64, 128, 128), (1024, 1024))
_WIDE_32: Size = (256, (64, 128, 256, 256), (64, 128, 256, 256), (1024, 1024))
_NARROW_32: Size = (128, (64, 128, 128, 128), (64, 128, 128, 128), (512, 512))


def _settings(
    image_size: int, size: Size, layers: tuple[str, ...], iterations: int, *others: Mapping[str, Any]
) -> dict[str, Any]:
    """What all presets say, and other options."""
    latent, widths, critic_widths, latent_critic_widths = size
    return {
        "preparation.image_size": image_size,
        "network.latent": latent,
        "network.widths": widths,
        "network.critic_widths": critic_widths,
        "network.latent_critic_widths": latent_critic_widths,
        "network.layers": layers,
        "training.learning_rate": 2e-4,
        "training.schedule": "constant",
        "training.max_iterations": iterations,
        "training.critic_steps": 2,
        "training.balance_every": 100,
        **{name: value for mapping in others for name, value in mapping.items()},
    }


_R32, _R42, _BOTH_LAYERS = ("r32",), ("r42",), ("r32", "r42")
_GREY: Mapping[str, Any] = {"preparation.channels": "grey"}
# Of each normal class: size, layers and iterations.
_CIFAR10: Mapping[str, tuple[Size, tuple[str, ...], int]] = {
    "airplane": (_WIDE_32, _R32, 10_000),
    "automobile": (_NARROW_32, _R32, 80_000),
    "bird": (_WIDE_32, _R32, 70_000),
    "cat": (_WIDE_32, _R42, 10_000),
    "deer": (_WIDE_32, _R32, 10_000),
    "dog": (_WIDE_32, _R32, 10_000),
    "frog": (_NARROW_32, _R42, 90_000),
    "horse": (_WIDE_32, _R42, 10_000),
    "ship": (_WIDE_32, _R42, 10_000),
    "truck": (_WIDE_32, _R42, 10_000),
}
_SVHN: tuple[tuple[Size, tuple[str, ...], int], ...] = (
    (_NARROW_32, _R42, 40_000),
    (_NARROW_32, _R42, 100_000),
    (_NARROW_32, _R42, 100_000),
    (_WIDE_32, _R42, 10_000),
    (_NARROW_32, _R42, 100_000),
    (_NARROW_32, _R32, 70_000),
    (_WIDE_32, _R32, 40_000),
    (_NARROW_32, _R42, 100_000),
    (_NARROW_32, _R42, 70_000),
    (_NARROW_32, _R32, 40_000),
)
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": _settings(64, _PUBLISHED, _R42, 100_000),
    "camelyon16": _settings(64, _CAMELYON16, _R42, 13_000, CAMELYON16),
    "nih-subset": _settings(64, _PUBLISHED, _R42, 40_000, NIH),
    "nih-pa": _settings(64, _PUBLISHED, _BOTH_LAYERS, 20_000, NIH, PA),
    "nih-ap": _settings(64, _PUBLISHED, _BOTH_LAYERS, 40_000, NIH, AP),
    "cifar10": _settings(32, _PUBLISHED_32, _R42, 100_000),
    **{f"cifar10-{name}": _settings(32, *row) for name, row in _CIFAR10.items()},
    "svhn": _settings(32, _PUBLISHED_32, _R42, 100_000),
    **{f"svhn-{digit}": _settings(32, *row, _GREY) for digit, row in enumerate(_SVHN)},
}


def _size(latent: int, width: int) -> dict[str, Any]:
    return {"network.latent": latent, "network.widths": (width,)}


_SEARCH: Mapping[str, Dimension] = {
    "size": Bundles((_size(16, 16), _size(64, 16), _size(64, 32), _size(256, 32))),
    "network.layers": Choices((("level3",), ("level4",), ("level3", "level4"))),
    "training.max_iterations": Choices((400, 800, 1600)),
    "objective.adversarial": Choices((0.1, 1.0)),
}

PIAD = Recipe(
    "piad",
    "Perceptual image anomaly detection",
    PAPER,
    {
        "data": DATA,
        "preparation": sourced(PERCEPTUAL_PREPARATION, MEASURED, image_size=32),
        "network": _NETWORK,
        "objective": _OBJECTIVE,
        "training": _TRAINING,
        "scoring": PERCEPTUAL_SCORING,
        "postprocessing": POSTPROCESSING,
        "decision": DECISION,
    },
    (
        "The critics take most of the time: deep-perceptual-autoencoder, which scores in the same way, trains faster.",
        "Weights of the feature network are loaded by name; without a network connection give network.weights a file.",
    ),
    presets=PRESETS,
    search=_SEARCH,
)

RECIPES = (PIAD,)
