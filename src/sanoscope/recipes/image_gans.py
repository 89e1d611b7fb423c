"""Methods that learn normal images by a game against a discriminator: GANomaly, DAOL and AnoGAN.

All have the convolutions of DCGAN (Radford, Metz, Chintala) and its first weights; their steps are its Adam's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from sanoscope.search_space import Choices, Dimension, Span

AKCAY = "Akçay, Atapour-Abarghouei, Breckon: GANomaly: semi-supervised anomaly detection via adversarial training"
TANG = (
    "Tang, Tang, Han, Xiao, Summers: Deep adversarial one-class learning for normal and abnormal chest radiograph "
    "classification"
)
SCHLEGL = (
    "Schlegl et al.: Unsupervised anomaly detection with generative adversarial networks to guide marker discovery"
)
ORIGINAL = "the method's own paper"
BOTH = "paper and released code"
RELEASED = "GANomaly's released code"
DCGAN = "DCGAN's paper"
MEASURED = "about a minute on one core; the preset has the paper's"
SEARCHED = "the least loss in so many steps, measured on small X-rays"
_SIZES = "Images have 32 or 64 pixels a side, or another power of two from 8 on."
_STEPS = (
    "Scoring takes the batch norms' means over the training: after fewer than some hundred steps these lag behind, and "
    "reconstructions are wrong."
)

_PREPARATION = sourced(PREPARATION, "trains in a minute; GANomaly has 32 for small images", image_size=32).updated(
    intensity=Option("symmetric", "[-1, 1]", "the generator ends in Tanh", choices=("symmetric",))
)


def _network(target: str, source: str) -> Part:
    return Part(
        f"sanoscope.networks.dcgan:{target}",
        {
            "latent": Option(100, "latent dimensions", source, minimum=1),
            "width": Option(
                32, "channels at half of the resolution; twice as many after each further halving", MEASURED, minimum=1
            ),
        },
    )


def _training(target: str, source: str, left_out: tuple[str, ...] = (), **more: Option) -> Part:
    """DCGAN's Adam against a discriminator, without the options that a method cannot have."""
    options = {name: one for name, one in TRAINING.options.items() if name not in ("compile", *left_out)}
    settings = {"optimizer": "adam", "learning_rate": 2e-4, "weight_decay": 0.0, "batch_size": 64}
    part = sourced(Part(target, options), source, **settings)
    part = sourced(sourced(part, MEASURED, max_iterations=600), "iterations say how long", epochs=100_000)
    return part.extended(
        critic_steps=Option(1, "steps of the discriminator for each of the others", source, minimum=1),
        critic_rate=Option(1.0, "learning rate of the discriminator, as a multiple of the others'", source, minimum=0),
        betas=Option((0.5, 0.999), "decays of the optimisers' moments", source, minimum=0),
        **more,
    )


def _scoring(target: str, score: str, source: str, own: tuple[str, ...], **more: Option) -> Part:
    return Part(
        target,
        {
            "score": Option(
                score,
                "the score that decides: the method's own, pixel errors, or mean or maximum of the map",
                source,
                choices=(*own, "l1", "mse", "map-mean", "map-max"),
            ),
            "also": OTHER_SCORES,
            "precision": SCORING_PRECISION,
            **more,
        },
    )


def _recipe(
    name: str,
    title: str,
    paper: str,
    parts: Mapping[str, Part],
    notes: tuple[str, ...],
    presets: Mapping[str, Mapping[str, Any]],
    search: Mapping[str, Dimension],
) -> Recipe:
    common = {"data": DATA, "preparation": _PREPARATION, "postprocessing": POSTPROCESSING, "decision": DECISION}
    return Recipe(name, title, paper, {**common, **parts}, notes, presets=presets, search=search)


def _coded(
    adversarial: float, features: float, score: str, source: str, source_of_weights: str, source_of_score: str
) -> dict[str, Part]:
    """An encoder, a decoder and an encoder against a discriminator."""
    return {
        "network": _network("EncoderDecoderEncoder", source),
        "objective": Part(
            "sanoscope.objectives.ganomaly:GANomalyObjective",
            {
                "reconstruction": Option(50.0, "weight of the absolute error of pixels", source, minimum=0),
                "latent": Option(
                    1.0, "weight of the squared error between latents of images and reconstructions", source, minimum=0
                ),
                "adversarial": Option(
                    adversarial,
                    "weight of the cross-entropy of what the discriminator says",
                    source_of_weights,
                    minimum=0,
                ),
                "features": Option(
                    features,
                    "weight of the squared error of the discriminator's features",
                    source_of_weights,
                    minimum=0,
                ),
            },
        ),
        "training": _training(
            "sanoscope.training.ganomaly:GANomalyTraining",
            source,
            restart_below=Option(
                1e-5,
                "a discriminator that lost less than this begins anew, from fresh weights; 0 is never",
                RELEASED,
                minimum=0,
            ),
        ),
        "scoring": _scoring("sanoscope.scoring.ganomaly:GANomalyScoring", score, source_of_score, ("latent-error",)),
    }


_PAPER: Mapping[str, Any] = {"network.width": 64, "training.epochs": 15, "training.max_iterations": 0}
_CODED_SEARCH: Mapping[str, Dimension] = {
    "training.learning_rate": Span(5e-5, 2e-3, log=True),
    "network.latent": Choices((16, 50, 100, 200)),
    "objective.reconstruction": Choices((10.0, 50.0, 100.0)),
    "scoring.score": Choices(("latent-error", "l1")),
}

GANOMALY = _recipe(
    "ganomaly",
    "GANomaly",
    AKCAY,
    _coded(
        adversarial=0.0, features=1.0, score="latent-error", source=BOTH, source_of_weights=BOTH, source_of_score=BOTH
    ),
    (
        _SIZES,
        _STEPS,
        "Scores are not scaled by the least and greatest of those that are scored together, as the paper's are.",
    ),
    {"paper": _PAPER},
    _CODED_SEARCH,
)

DAOL = _recipe(
    "daol",
    "Deep adversarial one-class learning",
    TANG,
    _coded(
        adversarial=1.0,
        features=0.0,
        score="l1",
        source="not published; as GANomaly",
        source_of_weights="the paper says it in words, without a number",
        source_of_score="the paper takes the error of the reconstruction",
    ),
    (
        "No code was published, and neither layers nor weights in full. This is the nearest that can be had: the "
        "networks and weights of GANomaly, with the adversarial loss itself in place of the discriminator's features, "
        "and the error of pixels for the score.",
        _SIZES,
        _STEPS,
    ),
    {"paper": {**_PAPER, "preparation.image_size": 64}},
    _CODED_SEARCH,
)

ANOGAN = _recipe(
    "anogan",
    "AnoGAN",
    SCHLEGL,
    {
        "network": _network("GenerativeAdversarialNetwork", DCGAN),
        "objective": Part("sanoscope.objectives.adversarial:AdversarialGame"),
        "training": sourced(
            _training("sanoscope.training.generator:GeneratorTraining", DCGAN, left_out=("early_stopping",)),
            "half of DCGAN's, for small collections",
            batch_size=64,
        ),
        "scoring": _scoring(
            "sanoscope.scoring.latent_search:LatentSearchScoring",
            "residual-and-features",
            ORIGINAL,
            ("residual-and-features", "features"),
            features=Option(
                0.1, "λ, the share of the discriminator's features in the search's loss", ORIGINAL, minimum=0
            ),
            search_steps=Option(
                50, "steps of the search for each image", f"{SEARCHED}; the preset has the paper's 500", minimum=1
            ),
            search_rate=Option(0.4, "size of the steps at the start", SEARCHED, minimum=0),
            search_seed=Option(0, "seed of the noise that the search starts from", "any would do", minimum=0),
        ),
    },
    (
        "Scoring is a search for each image and takes some 30 ms on a core; it costs in proportion to "
        "scoring.search_steps.",
        _SIZES,
        _STEPS,
    ),
    {
        "paper": {
            "preparation.image_size": 64,
            "network.width": 64,
            "training.epochs": 20,
            "training.max_iterations": 0,
            "scoring.search_steps": 500,
        }
    },
    {
        "training.learning_rate": Span(1e-4, 1e-3, log=True),
        "network.latent": Choices((20, 50, 100)),
        "scoring.features": Choices((0.0, 0.1, 0.5)),
        "scoring.score": Choices(("residual-and-features", "l1", "features")),
    },
)

RECIPES = (GANOMALY, DAOL, ANOGAN)
