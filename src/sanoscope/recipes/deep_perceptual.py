"""Shvetsova, Bakker, Fedulova, Schulz, Dylov: Anomaly detection in medical imaging with deep perceptual autoencoders.

An autoencoder that is trained, and scores, by how much of an image's features in a frozen network its reconstruction
lacks. Presets hold the authors' cross-validated choices for each collection: growing as in the main rows of the
paper's tables, ``-plain`` without growing, ``-unsupervised`` as chosen by normals alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanoscope.recipe import Option, Part, Recipe
from sanoscope.recipes.parts import DATA, DECISION, POSTPROCESSING, PREPARATION, SCORING_PRECISION, TRAINING, sourced
from sanoscope.recipes.public_collections import AP, CAMELYON16, EQUALISED, NIH, PA
from sanoscope.search_space import Bundles, Choices, Dimension

PAPER = "Shvetsova et al.: Anomaly detection in medical imaging with deep perceptual autoencoders"
CODE = "released code"
BOTH = "paper and released code"
MEASURED = "minutes on two cores, measured on chest X-rays; the presets have the paper's values"

PERCEPTUAL_PREPARATION = sourced(PREPARATION, BOTH, image_size=64, interpolation="bilinear").updated(
    intensity=Option("symmetric", "[-1, 1], from which features take their input", BOTH, choices=("symmetric",)),
)

NETWORK = Part(
    "sanoscope.networks.perceptual_autoencoder:PerceptualAutoencoder",
    {
        "latent": Option(16, "channels of the latent", CODE, minimum=1),
        "latent_resolution": Option(1, "side of the latent; 1 has no places", CODE, minimum=1),
        "widths": Option(
            (16,), "channels at each resolution, the highest first; a single one is for all", CODE, minimum=1
        ),
        "blocks": Option(2, "residual blocks at each resolution; 1 is the lighter variant", CODE, choices=(1, 2)),
        "features": Option(
            "vgg19",
            "frozen network whose features are compared",
            BOTH,
            choices=("vgg19", "vgg16", "vgg11_bn", "resnet18", "squeezenet1_1"),
        ),
        "layers": Option(
            ("level4",),
            "its layers: level1 to level4 are of like depth in every network (relu1_2, 2_2, 3_2 and 4_2 of VGG-19); "
            "or their own names, such as r42",
            BOTH,
        ),
        "weights": Option(
            None, "local file of its weights; none loads them by name", "the published ones are known by name", kind=str
        ),
        "pretrained": Option(True, "false keeps the weights random", BOTH),
        "growing_from": Option(
            0,
            "side of the images that training starts at and grows from, such as 8; 0 does not grow",
            "growing takes many times as long",
            minimum=0,
        ),
        "growing_layers": Option(
            ("auto",),
            "layer at each resolution below the full one, the lowest first; auto takes the level of its side",
            BOTH,
        ),
        "critic": Option(
            "none",
            "what judges images in adversarial training, beside the perceptual loss",
            "the paper's ablation is worse with it",
            choices=("none", "wasserstein"),
        ),
    },
)

OBJECTIVE = Part(
    "sanoscope.objectives.perceptual:PerceptualObjective",
    {
        "layer_weights": Option((1.0,), "of the layers; a single one is for all", BOTH, minimum=0),
        "l1": Option(
            0.0,
            "weight of the absolute pixel error, in the loss and in the score",
            "the paper's ablation is worse with 1",
            minimum=0,
        ),
        "adversarial": Option(
            0.1, "weight of what the critic says, where there is one", "the paper's ablation; also 0.01", minimum=0
        ),
        "penalty": Option(10.0, "weight of the critic's gradient penalty", CODE, minimum=0),
        "drift": Option(0.001, "weight of the critic's squared values", CODE, minimum=0),
    },
)

_NOT_COMPILED = {name: option for name, option in TRAINING.options.items() if name != "compile"}
STEPS = sourced(
    Part("sanoscope.training.perceptual:PerceptualTraining", _NOT_COMPILED),
    CODE,
    optimizer="adam",
    weight_decay=0.0,
)
STEPS = sourced(STEPS, MEASURED, batch_size=32, learning_rate=5e-3, schedule="cosine", max_iterations=3000)
STEPS = sourced(STEPS, "iterations say how long", epochs=100_000).extended(
    phase_iterations=Option(
        20_000, "steps of each phase while the network grows; the last phase has all others", CODE, minimum=1
    ),
    statistics=Option(
        None,
        "folder of natural images that the features' means and deviations are taken of; none takes those of the "
        "feature network's batch norms, or else those of the training normals",
        "the authors' are of ImageNet",
        kind=str,
    ),
    kept_gigabytes=Option(
        2.0,
        "most memory for the features of training images, which are then computed once; 0 computes them every step",
        "a third of the time; without augmentation they never change",
        minimum=0,
    ),
    critic_steps=Option(2, "steps of the critic for each of the autoencoder", CODE, minimum=1),
    critic_rate=Option(1.0, "learning rate of the critic, as a multiple of the autoencoder's", CODE, minimum=0),
    betas=Option((0.9, 0.999), "decays of both optimisers' moments against a critic", CODE, minimum=0),
)

PERCEPTUAL_SCORING = Part(
    "sanoscope.scoring.perceptual:PerceptualScoring",
    {
        "score": Option(
            "perceptual",
            "the score that decides: the training's loss, pixel errors, or mean or maximum of the deciding map",
            BOTH,
            choices=("perceptual", "l1", "mse", "map-mean", "map-max"),
        ),
        "map": Option(
            "perceptual",
            "the map that decides: where features differ, or pixels",
            "the paper shows it for one layer; several are averaged by their weights",
            choices=("perceptual", "absolute-error"),
        ),
        "also": Option(
            "all", "other scores and maps computed beside them", "they cost little", choices=("all", "none")
        ),
        "precision": SCORING_PRECISION,
    },
    given={"layer_weights": "objective.layer_weights", "l1": "objective.l1"},
)


def _settings(
    latent: int,
    widths: tuple[int, ...],
    layers: tuple[str, ...],
    rate: float,
    iterations: int,
    *others: Mapping[str, Any],
) -> dict[str, Any]:
    """What all presets say, and other options."""
    return {
        "network.latent": latent,
        "network.widths": widths,
        "network.layers": layers,
        "training.learning_rate": rate,
        "training.max_iterations": iterations,
        "training.batch_size": 128,
        "training.schedule": "constant",
        **{name: value for mapping in others for name, value in mapping.items()},
    }


_FROM_8: Mapping[str, Any] = {"network.growing_from": 8, "network.growing_layers": ("r12", "r22", "r32")}
_FROM_16: Mapping[str, Any] = {"network.growing_from": 16, "network.growing_layers": ("r32", "r32")}
_UNSUPERVISED: Mapping[str, Any] = {"network.latent_resolution": 4, "training.batch_size": 56}
_R32, _R42 = ("r32",), ("r42",)

# Iterations of growing ones are those of all phases.
_MEDICAL: Mapping[str, Mapping[str, Any]] = {
    "camelyon16": _settings(4, (4,), _R42, 1e-3, 88_666, CAMELYON16, _FROM_16, {"network.latent_resolution": 8}),
    "camelyon16-plain": _settings(4, (4,), _R42, 1e-3, 34_666, CAMELYON16, {"network.latent_resolution": 8}),
    "camelyon16-unsupervised": _settings(64, (64,), _R42, 1e-4, 77_000, CAMELYON16, {"network.latent_resolution": 16}),
    "nih-subset": _settings(16, (16,), _R42, 1e-3, 123_500, NIH, _FROM_8),
    "nih-subset-plain": _settings(16, (16,), _R42, 2e-3, 16_000, NIH),
    "nih-subset-unsupervised": _settings(64, (64,), _R42, 5e-4, 24_333, NIH, _UNSUPERVISED),
    "nih-pa": _settings(16, (16,), _R32, 1e-3, 130_000, NIH, PA, _FROM_8),
    "nih-pa-plain": _settings(16, (16,), _R32, 2e-3, 33_000, NIH, PA),
    "nih-pa-unsupervised": _settings(64, (64,), _R32, 5e-4, 64_333, NIH, PA, _UNSUPERVISED),
    "nih-ap": _settings(
        64, (32, 32, 64, 64, 64), _R32, 5e-4, 127_000, NIH, AP, EQUALISED, _FROM_8, {"training.batch_size": 56}
    ),
    "nih-ap-plain": _settings(64, (64,), _R32, 5e-4, 27_000, NIH, AP, EQUALISED, {"training.batch_size": 56}),
    "nih-ap-unsupervised": _settings(64, (64,), _R32, 5e-4, 57_666, NIH, AP, _UNSUPERVISED),
}

_WIDE, _MIDDLE = (32, 64, 128, 256), (32, 64, 64, 64)
_BOTH_LAYERS = ("r32", "r42")
# Of each normal class: latent, widths, layers, learning rate and iterations.
_CIFAR10: Mapping[str, Any] = {
    "airplane": (32, (32,), _R32, 2e-3, 5666),
    "automobile": (8, (8,), _R42, 1e-2, 7333),
    "bird": (16, (16,), _R42, 5e-3, 5000),
    "cat": (256, _WIDE, _R32, 2e-4, 4666),
    "deer": (16, (16,), _R32, 5e-3, 6666),
    "dog": (8, (8,), _R42, 1e-2, 4666),
    "frog": (64, _MIDDLE, _R32, 1e-3, 3666),
    "horse": (8, (8,), _R42, 1e-2, 7666),
    "ship": (8, (8,), _R42, 1e-2, 8000),
    "truck": (8, (8,), _R42, 1e-2, 5000),
}
_SVHN = (
    (256, _WIDE, _R42, 2e-4, 25_333),
    (16, (16,), _BOTH_LAYERS, 5e-3, 16_666),
    (16, (16,), _BOTH_LAYERS, 5e-3, 15_333),
    (32, (32,), _R42, 2e-3, 9666),
    (16, (16,), _BOTH_LAYERS, 5e-3, 10_333),
    (32, (32,), _BOTH_LAYERS, 2e-3, 8333),
    (32, (32,), _BOTH_LAYERS, 2e-3, 7333),
    (16, (16,), _BOTH_LAYERS, 5e-3, 12_000),
    (16, (16,), _R42, 5e-3, 6666),
    (64, _MIDDLE, _R42, 1e-3, 18_000),
)
_OBJECTS: Mapping[str, Mapping[str, Any]] = {
    **{f"cifar10-{name}": _settings(*row, {"preparation.image_size": 32}) for name, row in _CIFAR10.items()},
    **{
        f"svhn-{digit}": _settings(*row, {"preparation.image_size": 32, "preparation.channels": "grey"})
        for digit, row in enumerate(_SVHN)
    },
}
PRESETS = {**_MEDICAL, **_OBJECTS}


def _size(width: int, rate: float, widths: tuple[int, ...] | None = None) -> dict[str, Any]:
    return {"network.latent": width, "network.widths": widths or (width,), "training.learning_rate": rate}


# The ranges are not published; these hold all the final choices. Steps are the smaller, the wider the network.
_SEARCH: Mapping[str, Dimension] = {
    "size": Bundles(
        (_size(8, 1e-2), _size(16, 5e-3), _size(16, 2e-3), _size(32, 2e-3), _size(64, 1e-3), _size(64, 5e-4))
    ),
    "network.latent_resolution": Choices((1, 4, 8)),
    "network.layers": Choices((("level3",), ("level4",), ("level3", "level4"))),
    "network.blocks": Choices((1, 2)),
}

DEEP_PERCEPTUAL_AUTOENCODER = Recipe(
    "deep-perceptual-autoencoder",
    "Deep perceptual autoencoder",
    PAPER,
    {
        "data": DATA,
        "preparation": PERCEPTUAL_PREPARATION,
        "network": NETWORK,
        "objective": OBJECTIVE,
        "training": STEPS,
        "scoring": PERCEPTUAL_SCORING,
        "postprocessing": POSTPROCESSING,
        "decision": DECISION,
    },
    (
        "Choose the settings for a collection of your own with 'sanoscope select', by a few known anomalies.",
        "Weights of the feature network are loaded by name; without a network connection give network.weights a file.",
    ),
    presets=PRESETS,
    search=_SEARCH,
)

RECIPES = (DEEP_PERCEPTUAL_AUTOENCODER,)
