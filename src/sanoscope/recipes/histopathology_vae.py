"""Sikdar, Tran, Xu, Yee: Anomaly detection in breast histopathology images with convolutional VAEs.

Five rows of its table: a fully connected VAE, a convolutional one, the same with self-attention, and a ResNet-34
encoder ("CVAE-U-Net") with a frozen or a trained trunk. Where paper and released code disagree, the code's value is
the default: with the paper's Adam at 1e-5 the published errors cannot be reached in the published epochs.
"""

from __future__ import annotations

from sanoscope.recipe import Option, Part, Recipe
from sanoscope.recipes.parts import (
    DATA,
    DECISION,
    POSTPROCESSING,
    PREPARATION,
    RECONSTRUCTION_SCORING,
    TRAINING,
    sourced,
)

PAPER = "Sikdar, Tran, Xu, Yee: Anomaly detection in breast histopathology images with convolutional VAEs"

CODE = "released code"
BOTH = "paper and released code"

_OBJECTIVE = Part(
    "sanoscope.objectives.elbo:NegativeELBO",
    {
        "beta": Option(1.0, "weight of the KL term", BOTH, minimum=0),
        "annealing": Option(False, "raise the KL weight linearly from 0.01 to 1", f"{CODE}, where it is disabled"),
    },
)

_PREPARATION = PREPARATION.updated(
    image_size=Option(64, PREPARATION.options["image_size"].help, BOTH, minimum=8),
    interpolation=Option(
        "bicubic", PREPARATION.options["interpolation"].help, "paper", choices=("bicubic", "bilinear", "area")
    ),
)

_SCORING = RECONSTRUCTION_SCORING.updated(
    score=Option("wasserstein", "the score that decides", BOTH, choices=("wasserstein", "mse", "elbo", "kl")),
)


def _recipe(name: str, title: str, network: Part, training: Part, notes: tuple[str, ...] = ()) -> Recipe:
    parts = {
        "data": DATA,
        "preparation": _PREPARATION,
        "network": network,
        "objective": _OBJECTIVE,
        "training": training,
        "scoring": _SCORING,
        "postprocessing": POSTPROCESSING,
        "decision": DECISION,
    }
    return Recipe(name, title, PAPER, parts, notes)


_NOTEBOOK_TRAINING = sourced(
    TRAINING, CODE, epochs=50, batch_size=100, optimizer="adamw", learning_rate=1e-3, weight_decay=1e-4
)
_WIDTHS = Option((32, 64, 128, 256), "channels after each halving", BOTH, minimum=1)

FC_VAE = _recipe(
    "fc-vae",
    "Fully connected VAE",
    Part(
        "sanoscope.networks.fully_connected_vae:FullyConnectedVAE",
        {
            "latent": Option(64, "latent dimensions", CODE, minimum=1),
            "widths": Option((1024, 512), "hidden sizes", CODE, minimum=1),
            "dropout": Option(0.3, "dropout probability", CODE, minimum=0),
            "output": Option(
                "sigmoid",
                "sigmoid as published, which cannot give values below mid-grey; tanh corrects it",
                CODE,
                choices=("sigmoid", "tanh"),
            ),
        },
    ),
    sourced(TRAINING, CODE, epochs=50, batch_size=50, optimizer="adamw", learning_rate=1e-3, weight_decay=1e-4),
    ("The published output activation cannot reconstruct anything darker than mid-grey; network.output=tanh does.",),
)

CONV_VAE = _recipe(
    "conv-vae",
    "Convolutional VAE",
    Part(
        "sanoscope.networks.convolutional_vae:ConvolutionalVAE",
        {"latent": Option(64, "latent dimensions", CODE, minimum=1), "widths": _WIDTHS},
    ),
    _NOTEBOOK_TRAINING,
)

ATTENTION_CONV_VAE = _recipe(
    "attention-conv-vae",
    "Convolutional VAE with self-attention",
    Part(
        "sanoscope.networks.convolutional_vae:ConvolutionalVAE",
        {
            "latent": Option(128, "latent dimensions", CODE, minimum=1),
            "widths": _WIDTHS,
            "attention": Option(True, "self-attention after every stage", BOTH),
        },
    ),
    _NOTEBOOK_TRAINING,
)

RESNET34_VAE = _recipe(
    "resnet34-vae",
    "ResNet-34 encoder VAE (the paper's CVAE-U-Net)",
    Part(
        "sanoscope.networks.resnet_vae:ResNetVAE",
        {
            "latent": Option(96, "latent dimensions", CODE, minimum=1),
            "backbone": Option("resnet34", "encoder", BOTH, choices=("resnet18", "resnet34")),
            "pretrained": Option(True, "start from ImageNet weights", BOTH),
            "weights": Option(
                None, "local file of the weights; none loads them by name", "no file is at hand", kind=str
            ),
            "frozen": Option(False, "keep the encoder as it is; the paper has both", "the paper's better row"),
            "frozen_bn": Option(False, "keep a frozen encoder's batch-norm statistics too", CODE),
        },
    ),
    sourced(
        TRAINING,
        CODE,
        epochs=85,
        batch_size=128,
        optimizer="adamw",
        learning_rate=5e-4,
        weight_decay=1e-5,
        fresh_optimizer_at=75,
    ),
    ("Only the deepest feature map is used and there are no skip connections: it is no U-Net.",),
)

RECIPES = (FC_VAE, CONV_VAE, ATTENTION_CONV_VAE, RESNET34_VAE)
