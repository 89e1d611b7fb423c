"""Rivals whose map is no residual: restoration, Grad-CAM of a VAE, and CAVGA."""

from __future__ import annotations

from dataclasses import replace

from sanoscope.recipe import Option, Recipe
from sanoscope.recipes import constrained_attention as constrained
from sanoscope.recipes.brain import (
    BOTH,
    BY_PLACE,
    COMPARISON_STUDY,
    PREPARATION_OF_BRAINS,
    READING,
    RESIDUALS,
    STATED,
    map_option,
)
from sanoscope.recipes.parts import DATA, DECISION, POSTPROCESSING, sourced
from sanoscope.recipes.rivals import (
    ELBO,
    LIGHT,
    LIGHT_BACKBONE,
    LIGHT_STEPS,
    MEANS,
    ORIGINAL,
    VARIATIONAL,
    residual_scoring,
    rival,
)

RESTORATION = "Chen, You, Tezcan, Konukoglu: Unsupervised lesion detection via image restoration with a normative prior"
LIU = "Liu et al.: Towards visually explaining variational autoencoders"
VENKATARAMANAN = "Venkataramanan et al.: Attention guided anomaly localization in images (CAVGA)"

RESTORATION_VAE = rival(
    "restoration-vae",
    "Variational autoencoder with image restoration",
    RESTORATION,
    VARIATIONAL,
    ELBO,
    LIGHT_STEPS,
    residual_scoring(variational=True).extended(
        "sanoscope.scoring.restoration:RestorationScoring",
        map=map_option(
            "restoration",
            "the map that decides: what restoration changes, or what the decoder misses; all of it or where the image "
            "is brighter",
            BOTH,
            "positive-restoration",
            *RESIDUALS,
        ),
        restoration_form=Option(
            "original",
            "energy that is descended: of the method's own paper, or of the released code, whose mean losses hardly "
            "move an image in its 300 steps of 1e-3",
            ORIGINAL,
            choices=("original", "released"),
        ),
        restoration_rounded=Option(
            True,
            "round the corner of that price so that the steps settle; the released form has no use for it",
            "the authors do not; without it where an image ends depends on the last digit of the arithmetic",
        ),
        restoration_steps=Option(500, "steps over the image", ORIGINAL, minimum=1),
        restoration_rates=Option((5e-3, 2e-3), "step size of the first steps and of the rest", ORIGINAL, minimum=0),
        restoration_first=Option(100, "how many the first steps are", ORIGINAL, minimum=0),
        restoration_weight=Option(
            2.2,
            "ρ, the price on the total variation of the change; of the residual in the released form",
            "the authors' code, for their VAE",
            minimum=0,
        ),
        restoration_clip=Option(50.0, "most of the gradient at a pixel", ORIGINAL, minimum=0),
    ),
    {
        **MEANS,
        "scoring.restoration_form": "released",
        "scoring.restoration_rounded": False,
        "scoring.restoration_steps": 300,
        "scoring.restoration_rates": (1e-3, 1e-3),
        "scoring.restoration_weight": 5.0,
    },
    notes=(
        "Every image is descended to its restoration, in scoring as for the thresholds: 500 steps of the light "
        "backbone at 64 pixels take about a second an image and core.",
    ),
)

_BLOCK = {"block": constrained.NETWORK.options["block"], "unit": constrained.NETWORK.options["unit"]}
GRADCAM_VAE = rival(
    "gradcam-vae",
    "Variational autoencoder with disentangled Grad-CAM",
    LIU,
    VARIATIONAL.extended(**_BLOCK),
    ELBO,
    LIGHT_STEPS,
    residual_scoring(variational=True).extended(
        "sanoscope.scoring.attention:AttentionScoring",
        map=map_option(
            "attention", "the map that decides: where the encoder looks, or what the decoder misses", BOTH, *RESIDUALS
        ),
        form=Option(
            "disentangled",
            "the mean of one positive map for each latent dimension; or the absolute value of one map of their sum",
            STATED,
            choices=("disentangled", "original"),
        ),
        scaling=replace(READING["scaling"], default="maximum", source=STATED),
    ),
    {**MEANS, "scoring.scaling": "maximum", "network.unit": 2},
)

CAVGA = Recipe(
    "cavga",
    "CAVGA: attention expanded without a bound",
    VENKATARAMANAN,
    {
        "data": DATA,
        "preparation": PREPARATION_OF_BRAINS,
        "network": constrained.NETWORK.updated(**LIGHT_BACKBONE, weighting="gradient"),
        "objective": sourced(
            sourced(constrained.OBJECTIVE, STATED, constraint="l1", slack=0.0), LIGHT, pretraining=60, ramp=90
        ),
        "training": sourced(
            constrained.TRAINING_WITH_ATTENTION,
            LIGHT,
            max_iterations=300,
            batch_size=32,
            learning_rate=1e-3,
            schedule="late-cosine",
        ),
        "scoring": sourced(constrained.SCORING, STATED, sign=-1, scaling="image", channels="signed"),
        "postprocessing": POSTPROCESSING,
        "decision": sourced(DECISION, STATED, map_threshold=0.5),
    },
    (
        "Its map is one less the attention: what the encoder does not look at is abnormal.",
        "On images with a dark background attention rises with intensity, lesions have more of it than healthy tissue, "
        "and the reversed map misses them; scoring.sign=1 turns it round.",
        "The original's adversarial term is left out, as in the table of Silva-Rodríguez et al.",
    ),
    presets={
        "paper": {
            **constrained.PAPER_VALUES,
            "objective.constraint": "l1",
            "objective.slack": 0.0,
            "scoring.sign": -1,
        },
        "comparison-study": COMPARISON_STUDY,
        "by-place": BY_PLACE,
    },
)

RECIPES = (RESTORATION_VAE, GRADCAM_VAE, CAVGA)
