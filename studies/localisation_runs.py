"""Every run on brain slices that docs/results.md reports: the β-VAE, constrained attention, and its eleven rivals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sanoscope import get_recipe

COLLECTION = "lgg"


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    Attributes:
        row: Name of the row in the table.
        recipe: Its recipe.
        preset: Of the recipe, or None.
        options: What else differs from the recipe's defaults, the budget among it.
        seed: Of the training.
        scored: Further options that the trained model is scored with, by name of the result.
    """

    row: str
    recipe: str
    preset: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    scored: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{COLLECTION}-{self.row}-seed{self.seed}"


# 1,500 steps with ten times the paper's step size stand for its 500 epochs, about 8,000 steps on these slices.
_BETA_BUDGET = {"training.max_iterations": 1500, "training.learning_rate": 1e-3, "training.precision": "float32"}
PROJECTED = {"projection": {"scoring.map": "proj-rec-error", "scoring.also": "none"}}
LATENTS, BETAS = (32, 64, 256), (0.1, 0.5, 1.0, 2.0, 10.0)
GRID = [(latent, 1.0) for latent in LATENTS] + [(64, beta) for beta in BETAS if beta != 1.0]
# Those that the paper's text is about.
REPEATED = ((64, 1.0), (64, 10.0))


def _beta_run(latent: int, beta: float, seed: int) -> Run:
    options = {**_BETA_BUDGET, "network.latent": latent, "objective.beta": beta}
    projected = PROJECTED if latent == 64 and seed == 0 else {}
    return Run(f"beta-vae-latent{latent}-beta{beta:g}", "beta-vae", None, options, seed, projected)


# What is compared with the given default, one seed each.
CHANGES: dict[str, dict[str, Any]] = {
    "matched": {
        "preparation.intensity": "maximum",
        "preparation.statistics": "volume",
        "preparation.matching": "histogram",
    },
    "own-weights": {"network.weighting": "gradient"},
    "whole-image": {"objective.attention_area": "image"},
    "coarse": {"network.max_pool": True, "network.unit": 2},
    "sudden": {"objective.ramp": 0, "training.schedule": "constant"},
}
# Scalp and skull are left out, of the input as of the map.
PEELED = {"preparation.foreground": "brain"}
# The paper's values but for the size of images and the number of steps; the background of these slices is not 0.
PAPER_BUDGET = {
    "preparation.image_size": 96,
    "preparation.erosion": 3,
    "preparation.foreground": "body",
    "training.max_iterations": 240,
    "objective.pretraining": 80,
}
# The constrained model's default but for the constraint and the map, which is the smoothed residual.
PLAIN = {
    "network.backbone": "resnet18",
    "objective.reduction": "mean",
    "training.max_iterations": 130,
    "training.batch_size": 16,
    "training.learning_rate": 1e-4,
    "training.schedule": "late-cosine",
    "scoring.smoothing": 2.4,
}
PLAIN_BUDGET = {name: value for name, value in PAPER_BUDGET.items() if name != "objective.pretraining"}
# The same weights, read in other ways: from the least to the greatest value in each image as the paper does; and with
# neither the comparison by place nor the choice of channels.
READINGS = {
    "image by image": {"scoring.scaling": "image", "scoring.centring": "none", "scoring.smoothing": 0.0},
    "by all normals": {"scoring.scaling": "training", "scoring.channels": "signed"},
}


def _constrained_run(
    row: str, options: dict[str, Any], seed: int, preset: str | None = None, scored: dict[str, Any] | None = None
) -> Run:
    return Run(row, "constrained-attention-vae", preset, options, seed, scored or {})


RUNS = [_constrained_run("constrained", {}, seed, None, READINGS) for seed in range(5)]
RUNS += [_constrained_run("constrained-peeled", PEELED, seed) for seed in range(5)]
RUNS += [Run("constrained-plain", "vae", None, PLAIN, seed) for seed in range(3)]
RUNS += [_constrained_run(f"constrained-{name}", options, 0) for name, options in CHANGES.items()]
RUNS += [_constrained_run("constrained-paper", PAPER_BUDGET, 0, "paper")]
RUNS += [Run("constrained-paper-plain", "vae", "paper", PLAIN_BUDGET)]
RUNS += [_constrained_run("constrained-paper", PAPER_BUDGET, seed, "paper") for seed in (1, 2)]
RUNS += [_beta_run(latent, beta, 0) for latent, beta in GRID]
RUNS += [_beta_run(latent, beta, seed) for latent, beta in REPEATED for seed in (1, 2)]

# The table of twelve methods on the light backbone. The same weights are read in three ways: as published, as the
# constrained model's default, and post-processed as in the comparison study.
SEEDS = (0, 1, 2)
RIVALS = (
    *("autoencoder", "vae", "context-autoencoder", "context-vae", "bayesian-autoencoder", "bayesian-vae"),
    *("anovaegan", "f-anogan", "restoration-vae", "gradcam-vae", "cavga"),
)
READ = ("by-place", "comparison-study")
# On the ResNet a step takes ten times as long. There f-AnoGAN's squared error may saturate at once with 1e-3.
FULL_BACKBONE = {"network.backbone": "resnet18", "training.max_iterations": 300}
FULL = {"vae": FULL_BACKBONE, "f-anogan": FULL_BACKBONE | {"training.learning_rate": 1e-4}}


# CAVGA's attention the right way round.
TURNED = {**get_recipe("cavga").presets["by-place"], "scoring.sign": 1}


def _rival_run(backbone: str, recipe: str, seed: int, options: dict[str, Any]) -> Run:
    presets = get_recipe(recipe).presets
    scored = {name: dict(presets[name]) for name in READ if name in presets}
    if recipe == "restoration-vae":  # every reading would restore every image anew
        scored = {}
    if recipe == "cavga":
        scored["turned, by-place"] = TURNED
    return Run(f"{backbone}-{recipe}", recipe, None, options, seed, scored)


# Half of its steps do as well on the validation patients, and each takes two milliseconds an image.
SHORTENED: dict[str, dict[str, Any]] = {
    "restoration-vae": {"scoring.restoration_steps": 250},
    "f-anogan-original": {"training.generator_iterations": 300, "training.max_iterations": 1000},
}
RUNS += [_rival_run("light", recipe, seed, SHORTENED.get(recipe, {})) for seed in SEEDS for recipe in RIVALS]
CLEANED = dict(get_recipe("constrained-attention-vae").presets["comparison-study"])
RUNS += [
    _constrained_run("light-constrained", {}, seed, "light", READINGS | {"comparison-study": CLEANED}) for seed in SEEDS
]
RUNS += [_rival_run("light", "f-anogan-original", 0, SHORTENED["f-anogan-original"])]
RUNS += [_rival_run("full", recipe, seed, options) for seed in SEEDS for recipe, options in FULL.items()]

# Features of a frozen ResNet-18, as its published weights are; slices become three equal channels.
FROZEN = {"preparation.channels": "grey", "preparation.foreground": "body"}
FROZEN_METHODS = ("padim", "patchcore")
RUNS += [Run(recipe, recipe, None, FROZEN, seed) for seed in SEEDS for recipe in FROZEN_METHODS]
RUNS += [Run(f"{recipe}-256", recipe, None, FROZEN | {"preparation.image_size": 256}) for recipe in FROZEN_METHODS]
