"""Silva-Rodríguez, Naranjo, Dolz: Looking at the whole picture: constrained unsupervised anomaly segmentation.

A VAE whose encoder is made to look at the whole of a healthy brain: the class activation map of its mean has to cover
a share of the image. What it looks at more than at the rest, in a new image, is taken for abnormal. The rows of the
paper's tables and the later journal version are presets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanoscope.recipe import Option, Part, Recipe
from sanoscope.recipes.brain import (
    ALSO,
    BACKBONE,
    BOTH,
    BY_PLACE,
    CODE,
    COMPARISON_STUDY,
    MEASURED,
    PAPER,
    PAPER_PREPARATION,
    PAPER_TRAINING,
    PREPARATION_OF_BRAINS,
    READING,
    RESIDUALS,
    STATED,
    STEPS,
    map_option,
    score_option,
)
from sanoscope.recipes.parts import BETA_OF_TRAINING, DATA, DECISION, POSTPROCESSING, sourced
from sanoscope.search_space import Choices, Dimension

# Every value of the paper and its released code, whatever the recipe's defaults are.
PAPER_VALUES: Mapping[str, Any] = {
    **PAPER_PREPARATION,
    **PAPER_TRAINING,
    "network.backbone": "resnet18",
    "network.latent": 32,
    "network.variant": "conference",
    "network.stem": "bare",
    "network.normalization": "batch",
    "network.max_pool": True,
    "network.block": 1,
    "network.unit": 2,
    "network.weighting": "gradient",
    "network.statistics": "batch",
    "objective.reconstruction": "bce",
    "objective.reduction": "mean",
    "objective.beta": 1.0,
    "objective.constraint": "barrier",
    "objective.slack": 0.2,
    "objective.sharpness": 20.0,
    "objective.two_sided": False,
    "objective.weight": 10.0,
    "objective.pretraining": 400,
    "objective.ramp": 0,
    "objective.attention_area": "image",
    "objective.attention_grid": "map",
    "scoring.map": "attention",
    "scoring.channels": "signed",
    "scoring.scaling": "image",
    "scoring.centring": "none",
    "scoring.sign": 1,
    "scoring.smoothing": 0.0,
    "decision.map_threshold": 0.5,
}

# What was measured to be enough for the light backbone, where a step takes a tenth of the time.
LIGHT_BACKBONE: Mapping[str, Any] = {
    "network.backbone": "light",
    "network.bias": True,
    "objective.pretraining": 60,
    "objective.ramp": 90,
    "training.max_iterations": 300,
    "training.batch_size": 32,
    "training.learning_rate": 1e-3,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": PAPER_VALUES,
    "light": LIGHT_BACKBONE,
    "comparison-study": COMPARISON_STUDY,
    "journal": {
        **PAPER_VALUES,
        "network.variant": "journal",
        "network.weighting": "channel-mean",
        "objective.reduction": "sum",
        "objective.slack": 0.01,
        "objective.sharpness": 10.0,
        "objective.weight": 1000.0,
        "objective.pretraining": 1650,  # 50 epochs of the 268 images, in batches of 8
        "objective.attention_grid": "image",
        "training.batch_size": 8,
        "training.learning_rate": 1e-5,
        "preparation.erosion": 10,
    },
}

NETWORK = Part(
    "sanoscope.networks.backbones:variational",
    {
        **BACKBONE,
        "variant": Option(
            "conference",
            "the journal's has no max-pool, a grid of latents and basic blocks in the decoder",
            BOTH,
            choices=("conference", "journal"),
        ),
        "stem": Option(
            "bare",
            "first convolution without batch norm and ReLU, or in full as in a ResNet",
            CODE,
            choices=("bare", "full"),
        ),
        "normalization": Option(
            "batch",
            "of the encoder: batch norm, or group norm, which couples no images",
            BOTH,
            choices=("batch", "group"),
        ),
        "block": Option(1, "block of the encoder that attention is taken from", BOTH, choices=(1, 2, 3, 4)),
        "unit": Option(1, "residual unit of that block that attention is taken after", MEASURED, choices=(1, 2)),
        "weighting": Option(
            "shared",
            "channels weighed by their gradients; by the mean of these over images, in scoring over training normals; "
            "by these as constants in training; or all alike, as the journal's code does",
            BOTH,
            choices=("gradient", "shared", "detached", "channel-mean"),
        ),
        "statistics": Option(
            "batch",
            "statistics of the batch norms that attention is computed through in training: the batch's, in which the "
            "gradients of images cancel each other, or running ones, as in scoring, at the cost of another pass",
            CODE,
            choices=("batch", "running"),
        ),
    },
)

OBJECTIVE = Part(
    "sanoscope.objectives.constrained_elbo:ConstrainedELBO",
    {
        "reconstruction": Option(
            "bce",
            "binary cross-entropy, squared error or 1 - SSIM",
            BOTH,
            choices=("bce", "l2", "ssim"),
        ),
        "reduction": Option(
            "mean",
            "mean over an image's pixels and latent dimensions, or sums as in the journal version",
            f"{CODE}; λ and t are tuned to it",
            choices=("mean", "sum"),
        ),
        "beta": Option(1.0, "weight of the KL term", CODE, minimum=0),
        "constraint": Option(
            "barrier",
            "extended log-barrier, a penalty of the image's or of each pixel's lack of attention, or none",
            BOTH,
            choices=("barrier", "l2-image", "l2-pixel", "l1", "none"),
        ),
        "slack": Option(0.2, "p, the share of the image that attention may leave out", BOTH, minimum=0),
        "sharpness": Option(20.0, "t of the barrier", BOTH, minimum=0),
        "two_sided": Option(
            False, "let penalties punish too much attention as well", "too much of it breaks no bound; code has |c|"
        ),
        "weight": Option(10.0, "λ, the weight of the constraint", BOTH, minimum=0),
        "pretraining": Option(30, "iterations without the constraint", MEASURED, minimum=0),
        "ramp": Option(40, "iterations after those in which the weight rises to λ", MEASURED, minimum=0),
        "attention_area": Option(
            "foreground",
            "average attention over the image, or its foreground",
            MEASURED,
            choices=("image", "foreground"),
        ),
        "attention_grid": Option(
            "map",
            "constrain attention on its own grid, or upsampled to the image as in the journal version",
            BOTH,
            choices=("map", "image"),
        ),
    },
)

TRAINING_WITH_ATTENTION = Part("sanoscope.training.constrained:ConstrainedTraining", STEPS.options)

_TRAINING = sourced(TRAINING_WITH_ATTENTION, MEASURED, max_iterations=130, batch_size=16, schedule="late-cosine")

SCORING = Part(
    "sanoscope.scoring.attention:AttentionScoring",
    {
        "map": map_option(
            "attention",
            "the map that decides: where the encoder looks, what the decoder misses, or that where images are brighter",
            BOTH,
            *RESIDUALS,
        ),
        "score": score_option(variational=True),
        "also": ALSO,
        "channels": Option(
            "positive",
            "weights of the channels as they are, or the positive ones alone",
            MEASURED,
            choices=("signed", "positive"),
        ),
        "sign": Option(1, "1 where anomalies have more attention, -1 where they have less", BOTH, choices=(1, -1)),
        **READING,
    },
    given=BETA_OF_TRAINING,
)
_SCORING = sourced(SCORING, MEASURED, **{name.removeprefix("scoring."): value for name, value in BY_PLACE.items()})

# The paper's ablations.
_SEARCH: Mapping[str, Dimension] = {
    "objective.slack": Choices((0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3)),
    "objective.sharpness": Choices((10.0, 15.0, 20.0, 25.0, 50.0)),
    "objective.weight": Choices((0.01, 0.1, 1.0, 10.0, 100.0)),
    "objective.reconstruction": Choices(("bce", "l2", "ssim")),
    "network.latent": Choices((32, 128)),
}

CONSTRAINED_ATTENTION_VAE = Recipe(
    "constrained-attention-vae",
    "VAE with size-constrained attention",
    PAPER,
    {
        "data": DATA,
        "preparation": PREPARATION_OF_BRAINS,
        "network": NETWORK,
        "objective": OBJECTIVE,
        "training": _TRAINING,
        "scoring": _SCORING,
        "postprocessing": POSTPROCESSING,
        "decision": sourced(DECISION, STATED, map_threshold=0.5),
    },
    (
        "The paper's 13.3 and 15.0 million parameters count the unused stem and classifier of the ResNet-18 it takes; "
        "at 224 pixels the encoder has 12,775,808 and the decoder 1,771,841.",
        "The paper's learning rate is 1e-4, that of the released main script 1e-5.",
        "Options of the network from variant to max_pool, and unit, are the ResNet's.",
        "With scoring.scaling=image the map of every image reaches 1, a healthy one's too.",
        "Defaults are what was measured to be better and steadier on brain slices; the paper's values are the preset "
        "paper.",
        "Runs differ by their seed: report several.",
    ),
    presets=PRESETS,
    search=_SEARCH,
)

RECIPES = (CONSTRAINED_ATTENTION_VAE,)
