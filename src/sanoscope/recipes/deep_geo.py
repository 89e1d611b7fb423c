"""Golan, El-Yaniv: Deep anomaly detection using geometric transformations.

A classifier learns which of 72 transformations a normal image has undergone; an image whose transformations it tells
less surely is abnormal. Presets hold what Shvetsova et al. run it with in their tables: ``paper`` is the authors' own
choice, those of a collection's name are chosen by cross-validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanoscope.recipe import Option, Part, Recipe
from sanoscope.recipes.parts import (
    DATA,
    DECISION,
    OTHER_SCORES,
    PREPARATION,
    SCORING_PRECISION,
    TRAINING,
    sourced,
)
from sanoscope.recipes.public_collections import AP, CAMELYON16, EQUALISED, NIH, NIH_WHOLE, PA
from sanoscope.search_space import Choices, Dimension

PAPER = "Golan, El-Yaniv: Deep anomaly detection using geometric transformations"
BOTH = "paper and released code"
CODE = "released code"
FAST = "a minute for a thousand images on one core; the presets have the paper's value"

_PREPARATION = sourced(PREPARATION, BOTH, image_size=32).updated(
    intensity=Option(
        "symmetric",
        "[-1, 1] or [0, 1] by the range of the format, which keeps how bright an image is",
        CODE,
        choices=("symmetric", "unit"),
    ),
)

_NETWORK = Part(
    "sanoscope.networks.wide_resnet:WideResNet",
    {
        "depth": Option(10, "layers of the wide ResNet, 6n + 4; the paper takes 16 for 64 pixels", BOTH, minimum=10),
        "widen": Option(1, "factor of its widths; the paper takes 4 for 32 pixels, 8 for 64", FAST, minimum=1),
    },
)

_TRAINING = sourced(
    Part("sanoscope.training.transformations:TransformationTraining", TRAINING.options), BOTH, optimizer="adam"
)
_TRAINING = sourced(_TRAINING, "twice the code's L2 coefficient, as its gradient is", weight_decay=5e-4)
_TRAINING = sourced(_TRAINING, FAST, max_iterations=1200, batch_size=32, learning_rate=3e-3, schedule="cosine").updated(
    epochs=Option(
        216,
        "passes over the training normals, in each of which an image undergoes one of the transformations; 72 are all",
        "3 passes over all transformations of all images in the released code",
        minimum=1,
    ),
)

_SCORING = Part(
    "sanoscope.scoring.transformations:TransformationScoring",
    {
        "score": Option(
            "dirichlet",
            "the score that decides: how unlikely the classifier's probabilities are among those of normals, or how "
            "low that of the right transformation is",
            BOTH,
            choices=("dirichlet", "softmax"),
        ),
        "also": OTHER_SCORES,
        "precision": SCORING_PRECISION,
    },
)

_PAPER: Mapping[str, Any] = {
    "training.max_iterations": 0,
    "training.batch_size": 128,
    "training.learning_rate": 1e-3,
    "training.schedule": "constant",
}
_PAPER_32: Mapping[str, Any] = {"network.widen": 4, **_PAPER}
_PAPER_64: Mapping[str, Any] = {"preparation.image_size": 64, "network.depth": 16, "network.widen": 8, **_PAPER}


def _chosen(times: int, *preparations: Mapping[str, Any]) -> dict[str, Any]:
    """Settings at 64 pixels: how many times each transformation of each image is seen, and how images are prepared."""
    prepared = {name: value for options in preparations for name, value in options.items()}
    return {**_PAPER_64, "preparation.interpolation": "bilinear", "training.epochs": 72 * times, **prepared}


# Without the random crops and flips of other methods: none are in the released configuration.
_TISSUE = {name: CAMELYON16[name] for name in ("preparation.crop", "preparation.crop_size")}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": _PAPER_32,
    "paper-64": _PAPER_64,
    "camelyon16": _chosen(2, _TISSUE),
    "nih-subset": _chosen(1, NIH_WHOLE),
    "nih-pa": _chosen(1, NIH, PA, EQUALISED),
    "nih-ap": _chosen(2, NIH, AP),
    "cifar10": _PAPER_32,
    "svhn": _PAPER_32,
}

_SEARCH: Mapping[str, Dimension] = {
    "network.depth": Choices((10, 16)),
    "network.widen": Choices((1, 2)),
    "training.max_iterations": Choices((300, 600, 1200)),
    "preparation.equalisation": Choices(("none", "histogram")),
}

DEEP_GEO = Recipe(
    "deep-geo",
    "Geometric transformations",
    PAPER,
    {
        "data": DATA,
        "preparation": _PREPARATION,
        "network": _NETWORK,
        "objective": Part("sanoscope.objectives.cross_entropy:CrossEntropy"),
        "training": _TRAINING,
        "scoring": _SCORING,
        "decision": DECISION,
    },
    (
        "It needs images with an upright: of tissue, which looks alike however it is turned, it learns little.",
        "It says whether an image is abnormal, not where.",
    ),
    presets=PRESETS,
    search=_SEARCH,
)

RECIPES = (DEEP_GEO,)
