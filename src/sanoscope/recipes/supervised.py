"""Liu, Zhang: Deep convolutional autoencoder network for breast histopathology image clustering; what it compares with.

A DenseNet that learns from labels, as an upper reference for clusters that are found without any. It is no detector, so
it is not among the named methods; ``subtypes.classifier.Classifier`` carries it out. The text speaks of five dense
blocks, the released settings of version 121, which has four: taken here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanoscope.recipe import Option, Part, Recipe
from sanoscope.recipes.histopathology_autoencoders import PAPER
from sanoscope.recipes.parts import DATA, PREPARATION, TRAINING, sourced

TEXT = "paper"
BOTH = "paper and released code"
VERSION = "version 121, as in the released code"

_DATA = Part(
    "sanoscope.cases.slicing:Slicing",
    {name: DATA.options[name] for name in ("axis", "slices", "modality", "view")},
)

_PREPARATION = sourced(PREPARATION, BOTH, image_size=50, interpolation="bilinear")

_NETWORK = Part(
    "sanoscope.networks.densenet:DenseNet",
    {
        "growth": Option(32, "channels that each layer adds", VERSION, minimum=1),
        "blocks": Option((6, 12, 24, 16), "layers of each dense block", VERSION, minimum=1),
        "stem": Option(64, "channels of the first convolution", VERSION, minimum=1),
        "bottleneck": Option(4, "channels within a layer, in multiples of growth", VERSION, minimum=1),
    },
)

_TRAINING = sourced(
    Part("sanoscope.training.supervised:SupervisedTraining", TRAINING.options),
    TEXT,
    batch_size=1000,
    optimizer="adam",
    learning_rate=1e-4,
).updated(epochs=Option(30, "passes over the training images", TEXT, minimum=1))

# For 3,600 images of 50×50 two minutes of a core, where the published training takes twelve and four times the memory.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {
        "training.epochs": 4,
        "training.batch_size": 64,
        "training.learning_rate": 1e-3,
        "training.schedule": "cosine",
    },
}

SUPERVISED = Recipe(
    "densenet121",
    "DenseNet-121 that learns from labels",
    PAPER,
    {
        "data": _DATA,
        "preparation": sourced(_PREPARATION, TEXT, intensity="z-score"),
        "network": _NETWORK,
        "objective": Part("sanoscope.objectives.cross_entropy:CrossEntropy"),
        "training": sourced(_TRAINING, "the paper names none", weight_decay=0.0),
    },
    ("It learns from labels, which no detector sees: it shows what the images could give at best.",),
    presets=PRESETS,
)
