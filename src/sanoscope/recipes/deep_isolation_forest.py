"""Ouardini et al.: Towards practical unsupervised anomaly detection on retinal images.

An isolation forest on the features that a frozen network has of whole images. Presets named after a collection hold
what Shvetsova et al. chose for it by cross-validation, in their comparison with deep perceptual autoencoders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sanoscope.recipe import Option, Part, Recipe
from sanoscope.recipes.frozen_features import EMBEDDING, PREPARATION_OF_FEATURES
from sanoscope.recipes.parts import DATA, DECISION, SCORING_PRECISION
from sanoscope.recipes.public_collections import AP, EQUALISED, NIH, NIH_WHOLE, PA
from sanoscope.search_space import Choices, Dimension

PAPER = "Ouardini et al.: Towards practical unsupervised anomaly detection on retinal images"
FOREST = "scikit-learn's default, which the paper takes"

_FEATURES, _LAYERS = EMBEDDING.options["features"], EMBEDDING.options["layers"]
_EVERY_LEVEL = ("level1", "level2", "level3", "level4")
_NETWORK = EMBEDDING.extended(
    "sanoscope.networks.isolation_forest:IsolationForest",
    features=replace(_FEATURES, source="seconds on two cores; the preset has the paper's network"),
    layers=replace(
        _LAYERS,
        default=_EVERY_LEVEL,
        source="all depths, as in the paper; on our validation sets the last alone is as good on average",
    ),
)

_TRAINING = Part(
    "sanoscope.training.isolation_forest:IsolationForestTraining",
    {
        "trees": Option(100, "trees of the forest", FOREST, minimum=1),
        "samples": Option(256, "training normals that each tree parts, drawn at random", FOREST, minimum=2),
        "images": Option(
            10_000,
            "most training normals whose features are computed, drawn at random; they are all in memory at once",
            "0.2 GB for the paper's 5,680 features; the trees look at 25,600 drawn images at most",
            minimum=2,
        ),
    },
)

_SCORING = Part(
    "sanoscope.scoring.isolation_forest:IsolationScoring",
    {
        "score": Option("isolation", "the score that decides: how soon an image is alone", PAPER, ("isolation",)),
        "precision": SCORING_PRECISION,
    },
)


def _inception(*layers: str, **more: Any) -> dict[str, Any]:
    return {"network.features": "inception_resnet_v2", "network.layers": layers, "preparation.image_size": 299, **more}


_ALL = (
    *("conv2d_1a", "conv2d_2a", "conv2d_2b", "maxpool_3a", "conv2d_3b", "conv2d_4a", "maxpool_5a"),
    *("mixed_5b", "mixed_6a", "mixed_7a", "conv2d_7b"),
)
_AT_40X: Mapping[str, Any] = {"preparation.crop": "centre", "preparation.crop_size": 256}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": _inception(*_ALL),
    "camelyon16": _inception("conv2d_7b", **_AT_40X),
    "nih-subset": _inception("mixed_7a", **NIH),
    "nih-pa": _inception("conv2d_1a", **NIH_WHOLE, **PA, **EQUALISED),
    "nih-ap": _inception("mixed_7a", **NIH, **AP, **EQUALISED),
    "cifar10": _inception("mixed_7a"),
    "svhn": _inception("mixed_7a"),
}

_SEARCH: Mapping[str, Dimension] = {
    "network.layers": Choices((*((level,) for level in _EVERY_LEVEL), _EVERY_LEVEL)),
    "preparation.equalisation": Choices(("none", "histogram")),
}

DEEP_ISOLATION_FOREST = Recipe(
    "deep-if",
    "Isolation forest on deep features",
    PAPER,
    {
        "data": DATA,
        "preparation": PREPARATION_OF_FEATURES,
        "network": _NETWORK,
        "training": _TRAINING,
        "scoring": _SCORING,
        "decision": DECISION,
    },
    (
        "It does not say where an image is abnormal; its scores have no maps.",
        "The presets take Inception-ResNet-v2. Its names, counts and what it computes are tested, but not yet the "
        "published weights, so that there are no results of the presets; the defaults take a smaller network.",
        "Weights of the feature network are loaded by name; without a network connection give network.weights a file.",
    ),
    presets=PRESETS,
    search=_SEARCH,
)

RECIPES = (DEEP_ISOLATION_FOREST,)
