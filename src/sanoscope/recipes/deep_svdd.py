"""Ruff et al.: Deep one-class classification (Deep SVDD): an encoder that draws normal images to one point."""

from __future__ import annotations

from sanoscope.recipe import Option, Part, Recipe
from sanoscope.recipes.parts import DATA, DECISION, PREPARATION, SCORING_PRECISION, TRAINING, sourced
from sanoscope.search_space import Choices, Span

PAPER = "Ruff et al.: Deep one-class classification"
CODE = "released code"
BOTH = "paper and released code"
MEASURED = "a minute for a thousand images on one core, measured on small X-rays; the preset has the paper's values"

_PREPARATION = sourced(PREPARATION, BOTH, image_size=32, intensity="contrast", statistics="image")

_NETWORK = Part(
    "sanoscope.networks.lenet:LeNet",
    {"latent": Option(128, "latent dimensions, a multiple of 16", BOTH, minimum=16)},
)

_LEFT_OUT = ("schedule", "fresh_optimizer_at", "early_stopping", "average", "compile")
_TRAINING = Part(
    "sanoscope.training.deep_svdd:DeepSVDDTraining",
    {name: option for name, option in TRAINING.options.items() if name not in _LEFT_OUT},
).extended(
    pretraining_epochs=Option(
        12, "epochs, out of all, that train an autoencoder first; 0 starts from random weights", MEASURED, minimum=0
    ),
    pretraining_rate=Option(1e-3, "step size while the autoencoder is trained", MEASURED, minimum=0),
    pretraining_drop=Option(
        9, "epoch of that stage from which its step size is a tenth; 0 is never", "as the paper, after 5/7", minimum=0
    ),
    drop=Option(4, "the same of the stage after it", "as the paper, after a third", minimum=0),
)
_TRAINING = sourced(_TRAINING, BOTH, optimizer="adam", weight_decay=5e-7)
_TRAINING = sourced(_TRAINING, MEASURED, epochs=24, batch_size=16, learning_rate=1e-4)

_SCORING = Part(
    "sanoscope.scoring.hypersphere:HypersphereScoring",
    {
        "score": Option("distance", "the score that decides", "the only one", choices=("distance",)),
        "precision": SCORING_PRECISION,
    },
)

DEEP_SVDD = Recipe(
    "deep-svdd",
    "Deep SVDD, one-class",
    PAPER,
    {
        "data": DATA,
        "preparation": _PREPARATION,
        "network": _NETWORK,
        "objective": Part("sanoscope.objectives.hypersphere:HypersphereObjective"),
        "training": _TRAINING,
        "scoring": _SCORING,
        "decision": DECISION,
    },
    (
        "It does not say where in an image the abnormal is: there are no maps.",
        "All images could come to lie in one point, and then nothing is told apart. The network has no biases, and no "
        "coordinate of the centre is near 0, as either would make that easy; a long training still comes nearer to it.",
    ),
    presets={
        "paper": {
            "training.pretraining_epochs": 350,
            "training.pretraining_rate": 1e-4,
            "training.pretraining_drop": 250,
            "training.epochs": 500,
            "training.learning_rate": 1e-4,
            "training.drop": 50,
            "training.batch_size": 200,
        }
    },
    search={
        "network.latent": Choices((32, 64, 128)),
        "training.learning_rate": Span(1e-5, 1e-3, log=True),
        "training.pretraining_rate": Span(1e-4, 3e-3, log=True),
    },
)

RECIPES = (DEEP_SVDD,)
