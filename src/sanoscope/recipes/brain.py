"""What the methods for brain slices share: preparation, backbones, training and the reading of maps.

Silva-Rodríguez, Naranjo, Dolz compare their model with eleven others on one backbone, prepared and trained alike; so
it is here. Defaults train on two cores and are measured on slices with skulls; the paper's values are presets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanoscope.recipe import Option, Part
from sanoscope.recipes.parts import PREPARATION, TRAINING, sourced

PAPER = "Silva-Rodríguez, Naranjo, Dolz: Looking at the whole picture: constrained unsupervised anomaly segmentation"

STATED = "paper"
CODE = "released code"
BOTH = "paper and released code"
MEASURED = "measured on brain slices, see the results; the paper's value is in the preset"

# What the paper and its released code have in common for all its rows, whatever the defaults are.
PAPER_PREPARATION: Mapping[str, Any] = {
    "preparation.image_size": 224,
    "preparation.interpolation": "area",
    "preparation.channels": "grey",
    "preparation.foreground": "nonzero",
    "preparation.crop": "none",
    "preparation.crop_share": 1.0,
    "preparation.intensity": "maximum",
    "preparation.statistics": "volume",
    "preparation.matching": "histogram",
    "preparation.erosion": 6,
    "preparation.augmentation": "none",
}
PAPER_TRAINING: Mapping[str, Any] = {
    "training.epochs": 300,
    "training.max_iterations": 0,
    "training.batch_size": 32,
    "training.drop_last": True,
    "training.optimizer": "adam",
    "training.learning_rate": 1e-4,
    "training.schedule": "constant",
    "training.weight_decay": 0.0,
    "training.average": 0.0,
}

PREPARATION_OF_BRAINS = sourced(
    sourced(PREPARATION, BOTH, interpolation="area", channels="grey"),
    MEASURED,
    image_size=64,
    foreground="body",
    crop="centre",
    crop_share=0.8125,
    intensity="robust",
    statistics="image",
    erosion=2,
)

BACKBONE: dict[str, Option] = {
    "backbone": Option(
        "resnet18",
        "the paper's ResNet-18 encoder with a residual decoder, or the light convolutions of the β-VAE",
        BOTH,
        choices=("resnet18", "light"),
    ),
    "latent": Option(32, "latent dimensions; the paper tries 128 too", BOTH, minimum=1),
    "max_pool": Option(
        False, "max-pooling after the ResNet's stem; without it activations are twice as fine", MEASURED
    ),
    "bias": Option(False, "biases in the light backbone's convolutions", "the β-VAE's paper has none"),
}

# These networks are not compiled: gradients of gradients cannot be, and the light one has nothing to gain.
STEPS = Part(
    "sanoscope.training.logit:LogitTraining",
    {
        name: option
        for name, option in sourced(
            TRAINING, BOTH, epochs=300, optimizer="adam", learning_rate=1e-4, drop_last=True
        ).options.items()
        if name != "compile"
    },
)
STEPS = sourced(STEPS, CODE, weight_decay=0.0)

READING: dict[str, Option] = {
    "scaling": Option(
        "none",
        "maps as they are; divided by each image's greatest value; from 0 to 1 by each image's least and greatest "
        "value, by percentiles of training normals, or by these after comparing each place with what these have there",
        BOTH,
        choices=("none", "maximum", "image", "training", "position"),
    ),
    "centring": Option(
        "none",
        "subtract from the map of each image its median inside, or nothing",
        BOTH,
        choices=("median", "none"),
    ),
    "smoothing": Option(0.0, "Gaussian over the map, its σ in pixels; 0 is off", BOTH, minimum=0),
    "precision": Option(
        "float32",
        "arithmetic of scoring; auto takes bfloat16 where the processor has units for it",
        "gradients and residuals are small differences",
        choices=("auto", "float32", "bfloat16"),
    ),
}
# How the maps of the constrained model are read by default, and those of any other may be.
BY_PLACE: Mapping[str, Any] = {"scoring.scaling": "position", "scoring.centring": "median", "scoring.smoothing": 2.4}

# What the large comparison study does to maps. Its prior is the 0.9 quantile of the volume with its background,
# about the 0.65 quantile of a head that fills 30 % of it.
COMPARISON_STUDY: Mapping[str, Any] = {
    "postprocessing.prior": 0.65,
    "postprocessing.median": "3d",
    "postprocessing.median_size": 5,
    "postprocessing.least_area": 8,
}

# Maps of what a decoder misses.
RESIDUALS = ("residual", "positive-residual")
ALSO = Option("all", "other scores and maps computed beside them", "they cost little", choices=("all", "none"))


def map_option(default: str, help: str, source: str, *others: str) -> Option:
    """The option of which map decides."""
    return Option(default, help, source, choices=(default, *others))


def score_option(variational: bool) -> Option:
    """The option of which score decides."""
    names = ("map-mean", "map-max", *(("elbo", "kl") if variational else ("bce",)), "mse")
    return Option(
        "map-mean",
        "the score that decides: mean or maximum of the deciding map, the training's loss, or the mean squared error",
        "the paper scores no images; the maximum of a map that is scaled by image is always 1",
        choices=names,
    )
