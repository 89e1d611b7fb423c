"""Zhai et al.: Deep structured energy based models for anomaly detection (DSEBM), as Golan and El-Yaniv do images."""

from __future__ import annotations

from sanoscope.recipe import Option, Part, Recipe
from sanoscope.recipes.parts import (
    DATA,
    DECISION,
    OTHER_SCORES,
    POSTPROCESSING,
    PREPARATION,
    SCORING_PRECISION,
    TRAINING,
    sourced,
)
from sanoscope.search_space import Choices, Span

PAPER = "Zhai et al.: Deep structured energy based models for anomaly detection"
CODE = "code released with Golan and El-Yaniv: Deep anomaly detection using geometric transformations"
MEASURED = "a minute for a thousand images on one core, measured on small X-rays; the preset has the paper's values"

_PREPARATION = sourced(PREPARATION, CODE, image_size=32, intensity="symmetric")

_NETWORK = Part(
    "sanoscope.networks.energy:EnergyNetwork",
    {
        "latent": Option(256, "numbers that are summed to the learned part of the energy", CODE, minimum=1),
        "widths": Option((64, 128, 256), "channels after each halving of the image", CODE, minimum=1),
        "activation": Option(
            "softplus",
            "of every layer; with relu the energy's slope, and so what is reconstructed, jumps where a unit wakes",
            f"the paper, and scores that do not hang on rounding; relu in {CODE}",
            choices=("relu", "softplus"),
        ),
    },
)

_OBJECTIVE = Part(
    "sanoscope.objectives.denoising:DenoisingObjective",
    {"noise": Option(0.5, "standard deviation of the noise in training, of images in [-1, 1]", CODE, minimum=0)},
)

_NOT_COMPILED = {name: option for name, option in TRAINING.options.items() if name != "compile"}
_TRAINING = sourced(
    Part("sanoscope.training.energy:EnergyTraining", _NOT_COMPILED),
    CODE,
    optimizer="adam",
    learning_rate=1e-3,
    weight_decay=0.0,
)
_TRAINING = sourced(_TRAINING, MEASURED, epochs=15, batch_size=32)

_SCORING = Part(
    "sanoscope.scoring.energy:EnergyScoring",
    {
        "score": Option(
            "energy",
            "the score that decides: the energy, the length of its gradient, or mean or maximum of the map",
            "the paper's first criterion; its second is the gradient's length",
            choices=("energy", "reconstruction", "map-mean", "map-max"),
        ),
        "also": OTHER_SCORES,
        "precision": SCORING_PRECISION,
    },
)

DSEBM = Recipe(
    "dsebm",
    "Deep structured energy-based model",
    PAPER,
    {
        "data": DATA,
        "preparation": _PREPARATION,
        "network": _NETWORK,
        "objective": _OBJECTIVE,
        "training": _TRAINING,
        "scoring": _SCORING,
        "postprocessing": POSTPROCESSING,
        "decision": DECISION,
    },
    (
        "Training looks at the slope of the energy alone, so that its height may mislead; the gradient's length is "
        "scoring.score=reconstruction.",
    ),
    presets={"paper": {"network.activation": "relu", "training.epochs": 200, "training.batch_size": 128}},
    search={
        "training.learning_rate": Span(1e-4, 3e-3, log=True),
        "objective.noise": Span(0.1, 1.0),
        "network.widths": Choices(((32, 64, 128), (64, 128, 256))),
    },
)

RECIPES = (DSEBM,)
