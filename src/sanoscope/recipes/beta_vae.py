"""Zhou, Deng, Wu: Unsupervised anomaly localization using VAE and beta-VAE.

One network, trained with one of several KL weights, and the pixel predictors that its loss and gradients give. The
authors released no code; what the paper leaves out is taken from the code of the work whose setting it copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanoscope.recipe import Option, Part, Recipe
from sanoscope.recipes.brain import COMPARISON_STUDY
from sanoscope.recipes.parts import BETA_OF_TRAINING, DATA, DECISION, POSTPROCESSING, PREPARATION, TRAINING, sourced
from sanoscope.search_space import Choices, Dimension

PAPER = "Zhou, Deng, Wu: Unsupervised anomaly localization using VAE and beta-VAE"

STATED = "paper"
BUILT_ON = "code that the paper builds on"
BEST = "the paper's best single predictor"
UNSTATED = "not stated in the paper"

_PREPARATION = sourced(
    sourced(PREPARATION, STATED, image_size=64, intensity="z-score"),
    BUILT_ON,
    channels="grey",
    interpolation="bilinear",
    statistics="volume",
    clip=1.5,
    augmentation="mri-slices",
)

# The paper's volumes are skull-stripped, where this finds what is not zero.
_PREPARATION = sourced(
    _PREPARATION, "the paper's volumes are skull-stripped; what is not is peeled", foreground="brain"
)

_NETWORK = Part(
    "sanoscope.networks.beta_vae:BetaVAE",
    {
        "latent": Option(64, "latent dimensions; the paper has 32, 64 and 256", "paper, its grid over β", minimum=1),
        "widths": Option((16, 32, 64, 256), "channels after each halving", STATED, minimum=1),
    },
)

_OBJECTIVE = Part(
    "sanoscope.objectives.gaussian_elbo:GaussianNegativeELBO",
    {"beta": Option(1.0, "weight of the KL term; the paper has 0.1, 0.5, 1, 2 and 10", STATED, minimum=0)},
)

_TRAINING = sourced(
    sourced(TRAINING, STATED, epochs=500, optimizer="adam", learning_rate=1e-4),
    BUILT_ON,
    batch_size=64,
    weight_decay=0.0,
)

_SCORING = Part(
    "sanoscope.scoring.pixel_scoring:PixelScoring",
    {
        "map": Option(
            "rec-grad",
            "the map that decides",
            BEST,
            choices=("rec-grad", "elbo-grad", "kl-grad", "rec-error", "combi", "ensemble", "proj-rec-error"),
        ),
        "score": Option(
            "map-max",
            "the score that decides: maximum or mean of the deciding map, the training's loss, its KL, or the "
            "mean squared error",
            "the paper scores no images; a small lesion is lost in a mean",
            choices=("map-max", "map-mean", "elbo", "kl", "mse"),
        ),
        "also": Option(
            "all",
            "other scores and maps computed beside them, all but the projection",
            "two backward passes give all",
            choices=("all", "none"),
        ),
        "smoothing": Option(
            "gaussian",
            "smooth absolute gradients by 7×7 pixels, σ 3",
            f"{BUILT_ON}; the paper does not mention it",
            choices=("gaussian", "none"),
        ),
        "inside": Option(
            "all",
            "where maps are kept: all over the image, or in the foreground alone and 0 elsewhere",
            BUILT_ON,
            choices=("all", "foreground"),
        ),
        "ensemble_weights": Option((0.1, 0.1, 100.0), "of rec-error, kl-grad and rec-grad in the ensemble", STATED),
        "projection_weight": Option(
            0.05, "λ: how far off a pixel must be to be moved, in prepared intensities", UNSTATED, minimum=0
        ),
        "projection_steps": Option(100, "most steps of the projection", UNSTATED, minimum=1),
        "projection_rate": Option(0.03, "step size of the projection's Adam", STATED, minimum=0),
        "projection_mask": Option(
            False,
            "weigh the projection's gradient by the squared error, as its authors do",
            "paper, which leaves it out",
        ),
        "projection_score": Option(
            "projected",
            "difference of the image to the projected one, or to what that is reconstructed as",
            "keeps fine detail, which is the projection's purpose",
            choices=("projected", "reconstructed"),
        ),
        "projection_stop": Option(
            "none",
            "stop an image that is reconstructed as well as training normals on average, whose map is all 0 if it is "
            "so from the start; or never stop",
            "the paper names no stop; on brain slices the projection's authors' stop made half of the maps empty",
            choices=("training-mean", "none"),
        ),
        "precision": Option(
            "float32",
            "arithmetic of scoring; auto takes bfloat16 where the processor has units for it",
            "gradients are small differences",
            choices=("auto", "float32", "bfloat16"),
        ),
    },
    given=BETA_OF_TRAINING,
)

# What the defaults have otherwise. The stop rule is that of the projection's authors.
PAPER_VALUES: Mapping[str, Any] = {
    "data.modality": "t2",
    "preparation.foreground": "nonzero",
    "scoring.projection_stop": "training-mean",
}

# The paper's table.
_SEARCH: Mapping[str, Dimension] = {
    "objective.beta": Choices((0.1, 0.5, 1.0, 2.0, 10.0)),
    "network.latent": Choices((32, 64, 256)),
}

BETA_VAE = Recipe(
    "beta-vae",
    "β-VAE with pixel predictors from its loss and gradients",
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
        "The paper counts all pixels, background included, which is easy; figures inside the foreground are lower.",
        "Images with a skull are peeled by preparation.peel, roughly: give a foreground file where there is a better "
        "one. With skull and background in mean and deviation, lesions would be clipped.",
        "scoring.map=ensemble takes the weights as printed, which were fitted to labelled tumours. If the paper's "
        "gradients were of means over batches of 64, the last two are 64 times too large here.",
        "The preset paper takes what is not zero for the brain and T2 for the modality, and stops projections.",
    ),
    presets={"paper": PAPER_VALUES, "comparison-study": COMPARISON_STUDY},
    search=_SEARCH,
)

RECIPES = (BETA_VAE,)
