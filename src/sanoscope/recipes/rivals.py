"""How the rivals of the constrained model in Silva-Rodríguez, Naranjo, Dolz are put together.

Every one of them can have the paper's ResNet-18 or the light backbone of Zhou, Deng, Wu, which is the default, as it
trains in a minute on two cores. Preparation, reading and post-processing are the constrained model's, so that rows
differ by the method alone. Faults of the released code are corrected: reconstructions are detached where the
discriminator is trained, features are compared for every image of a batch, and latents are means in scoring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sanoscope.recipe import Option, Part, Recipe
from sanoscope.recipes.brain import (
    ALSO,
    BACKBONE,
    BOTH,
    BY_PLACE,
    CODE,
    COMPARISON_STUDY,
    PAPER_PREPARATION,
    PAPER_TRAINING,
    PREPARATION_OF_BRAINS,
    READING,
    RESIDUALS,
    STEPS,
    map_option,
    score_option,
)
from sanoscope.recipes.parts import BETA_OF_TRAINING, DATA, DECISION, POSTPROCESSING, sourced

FAST = "trains in a minute on two cores"
LIGHT = "measured on brain slices with the light backbone, see the results; the paper's value is in the preset"
ORIGINAL = "the method's own paper"

# What the paper's table has for all of them; its images are compared as they are, inside the eroded brain.
PAPER_VALUES: Mapping[str, Any] = {
    **PAPER_PREPARATION,
    **PAPER_TRAINING,
    "network.backbone": "resnet18",
    "network.latent": 32,
    "network.max_pool": True,
    "scoring.scaling": "none",
    "scoring.centring": "none",
    "scoring.smoothing": 0.0,
}
LIGHT_BACKBONE = BACKBONE | {
    "backbone": replace(BACKBONE["backbone"], default="light", source=FAST),
    "bias": replace(BACKBONE["bias"], default=True, source=LIGHT),
}
DETERMINISTIC = Part("sanoscope.networks.backbones:deterministic", LIGHT_BACKBONE)
VARIATIONAL = Part("sanoscope.networks.backbones:variational", LIGHT_BACKBONE)

RECONSTRUCTION = Option(
    "bce", "binary cross-entropy, squared or absolute error, or 1 - SSIM", BOTH, choices=("bce", "l2", "l1", "ssim")
)
SUM = Option("sum", "sum or mean over the pixels of an image", CODE, choices=("sum", "mean"))
SUM_WITH_KL = Option(
    "sum",
    "sums over pixels and latent dimensions, or means, by which the KL outweighs the rest and the posterior collapses",
    LIGHT,
    choices=("sum", "mean"),
)
BETA = Option(1.0, "weight of the KL term", BOTH, minimum=0)
PLAIN = Part("sanoscope.objectives.logit_elbo:LogitELBO", {"reconstruction": RECONSTRUCTION, "reduction": SUM})
ELBO = Part(
    "sanoscope.objectives.logit_elbo:LogitELBO",
    {"reconstruction": RECONSTRUCTION, "reduction": SUM_WITH_KL, "beta": BETA},
)

LIGHT_STEPS = sourced(STEPS, LIGHT, max_iterations=1000, batch_size=32, learning_rate=1e-3)


def residual_scoring(variational: bool, **options: Option) -> Part:
    """Scoring by residuals."""
    return Part(
        "sanoscope.scoring.residual:ResidualScoring",
        {
            "map": map_option(
                "residual",
                "the map that decides: what the decoder misses, or that where the image is brighter",
                BOTH,
                *RESIDUALS[1:],
            ),
            "score": score_option(variational),
            "also": ALSO,
            **options,
            **READING,
        },
        given=BETA_OF_TRAINING,
    )


def rival(
    name: str,
    title: str,
    origin: str,
    network: Part,
    objective: Part,
    training: Part,
    scoring: Part,
    paper: Mapping[str, Any] | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    notes: tuple[str, ...] = (),
) -> Recipe:
    """A rival: where it is from, the parts that make it, and what the paper's table has otherwise."""
    parts = {
        "data": DATA,
        "preparation": PREPARATION_OF_BRAINS,
        "network": network,
        "objective": objective,
        "training": training,
        "scoring": scoring,
        "postprocessing": POSTPROCESSING,
        "decision": DECISION,
    }
    # Maps of attention have no brighter side.
    decides = scoring.options["map"].default
    bright = {} if decides == "attention" else {"scoring.map": f"positive-{decides}"}
    options = {f"training.{name}" for name in training.options}
    values = {name: value for name, value in PAPER_VALUES.items() if name in options or "training." not in name}
    known = {
        "paper": {**values, **(paper or {})},
        "comparison-study": {**COMPARISON_STUDY, **bright},
        "by-place": {**BY_PLACE, **bright},
        **(presets or {}),
    }
    return Recipe(name, title, origin, parts, (*notes, _ON_BACKBONES), presets=known)


_ON_BACKBONES = (
    "Defaults are for the light backbone; the preset paper has the ResNet-18 and every value of the paper's table, "
    "comparison-study post-processes as Baur et al. do, and by-place reads maps as the constrained model's default."
)
# The paper's own VAE takes means, as its constrained model; its autoencoder sums.
MEANS: Mapping[str, Any] = {"objective.reduction": "mean"}
