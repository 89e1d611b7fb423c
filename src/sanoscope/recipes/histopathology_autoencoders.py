"""Liu, Zhang: Deep convolutional autoencoder network for breast histopathology image clustering.

Five autoencoders whose latents are clustered: a fully connected one, two of convolutions, one with AlexNet for its
encoder and a residual one. Latent sizes are the paper's; its released code has others for three of them, and a schedule
that the paper does not tell of, in which the step size falls to a tenth every seven epochs. That is the default, on
smaller batches and fewer epochs, as after 25 of the published 70 hardly anything changes; ``paper`` and ``released``
are presets.
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

PAPER = "Liu, Zhang: Deep convolutional autoencoder network for breast histopathology image clustering"
TEXT = "paper"
CODE = "released code"
BOTH = "paper and released code"
FAST = "collections of some thousand images would hardly be trained by the published batches of 1,000"

_OBJECTIVE = Part(
    "sanoscope.objectives.squared_error:SquaredError",
    {"reduction": Option("sum", "sum or mean of the squared errors of a batch", CODE, choices=("sum", "mean"))},
)
_LEFT_OUT = ("schedule",)
_SCORING = Part(
    "sanoscope.scoring.autoencoder:AutoencoderScoring",
    {
        "score": Option(
            "mse", "the score that decides", "what it is trained for", choices=("mse", "l1", "map-mean", "map-max")
        ),
        "also": OTHER_SCORES,
        "precision": SCORING_PRECISION,
    },
)
_WIDTH = Option(1.0, "share of the published channels; narrower networks train faster", "as published", minimum=0)


def _preparation(image_size: int) -> Part:
    part = sourced(PREPARATION, BOTH, image_size=image_size, interpolation="bilinear", intensity="unit")
    return part if image_size != 256 else sourced(part, CODE, image_size=256)


def _training(**defaults: Any) -> Part:
    """The published training; the schedule of the released code."""
    shared = {name: one for name, one in TRAINING.options.items() if name not in _LEFT_OUT}
    part = sourced(Part("sanoscope.training.reconstruction:ReconstructionTraining", shared), BOTH, optimizer="adam")
    part = sourced(part, CODE, weight_decay=5e-4, learning_rate=1e-3)
    part = sourced(part, "at the published drops, later epochs have steps below 1e-6", epochs=25)
    part = sourced(part, FAST, batch_size=100)
    part = part.extended(
        drop_every=Option(7, "epochs after which the step size falls to a tenth; 0 is never", CODE, minimum=0),
        keep=Option(
            "best",
            "weights of the last epoch, or of that with the lowest validation loss",
            BOTH,
            choices=("best", "last"),
        ),
    )
    return sourced(part, FAST, **defaults)


def _latent(latent: int) -> Option:
    return Option(latent, "latent dimensions", TEXT, minimum=1)


def _presets(paper: Mapping[str, Any], released: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """As the paper's text has it, and as the released code does where that differs."""
    published = {"training.epochs": 70, "training.batch_size": 1000}
    return {
        "paper": published | {"training.drop_every": 0, "training.weight_decay": 0.0} | dict(paper),
        "released": published | dict(released),
    }


def _recipe(
    name: str,
    title: str,
    network: Part,
    image_size: int,
    training: Part,
    presets: Mapping[str, Mapping[str, Any]],
    notes: tuple[str, ...] = (),
) -> Recipe:
    parts = {
        "data": DATA,
        "preparation": _preparation(image_size),
        "network": network,
        "objective": _OBJECTIVE,
        "training": training,
        "scoring": _SCORING,
        "postprocessing": POSTPROCESSING,
        "decision": DECISION,
    }
    search: dict[str, Dimension] = {
        "network.latent": Choices((32, 64, 128, 256)),
        "training.learning_rate": Span(1e-4, 3e-3, log=True),
        "training.weight_decay": Choices((0.0, 5e-5, 5e-4)),
    }
    return Recipe(name, title, PAPER, parts, notes, presets=presets, search=search)


FC_AUTOENCODER = _recipe(
    "fc-autoencoder",
    "Fully connected autoencoder",
    Part(
        "sanoscope.networks.fully_connected_autoencoder:FullyConnectedAutoencoder",
        {
            "latent": _latent(64),
            "widths": Option((2000, 1000, 500), "hidden sizes of the encoder", BOTH, minimum=1),
        },
    ),
    50,
    _training(),
    _presets({}, {}),
)


def _convolutional(name: str, title: str, max_pool: bool, latent: int, released: Mapping[str, Any]) -> Recipe:
    network = Part(
        "sanoscope.networks.convolutional_autoencoder:ConvolutionalAutoencoder",
        {
            "latent": _latent(latent),
            "max_pool": Option(max_pool, "halve by max-pooling, not by strides", BOTH),
            "width": _WIDTH,
        },
    )
    return _recipe(name, title, network, 50, _training(), _presets({}, released))


CNN_AUTOENCODER = _convolutional("cnn-autoencoder", "Convolutional autoencoder", True, 256, {})
CNN_AUTOENCODER_NO_MAXPOOL = _convolutional(
    "cnn-autoencoder-no-maxpool",
    "Convolutional autoencoder without max-pooling",
    False,
    192,
    {"network.latent": 256},
)

ALEXNET_AUTOENCODER = _recipe(
    "alexnet-autoencoder",
    "Autoencoder with AlexNet for its encoder",
    Part(
        "sanoscope.networks.alexnet_autoencoder:AlexNetAutoencoder",
        {
            "latent": _latent(512),
            "pretrained": Option(True, "start the encoder from ImageNet weights", BOTH),
            "weights": Option(
                None, "local file of the weights; none loads them by name", "no file is at hand", kind=str
            ),
            "width": _WIDTH,
        },
    ),
    250,
    _training(batch_size=50, learning_rate=3e-4),
    _presets(
        {"training.epochs": 40, "training.batch_size": 300, "training.early_stopping": 5},
        {"training.epochs": 40, "training.batch_size": 300, "training.early_stopping": 5, "network.latent": 256},
    ),
    ("The step size is within the range that the paper searched, 1e-4 to 1e-3; it does not tell what was found.",),
)

RESNET_AUTOENCODER = _recipe(
    "resnet-autoencoder",
    "Residual autoencoder with wide kernels",
    Part(
        "sanoscope.networks.residual_blocks_autoencoder:ResidualBlocksAutoencoder",
        {
            "latent": _latent(256),
            "decoder_norm": Option(
                "dropout",
                "after the decoder's convolutions: dropout as in the paper, or batch norm as in the released code",
                TEXT,
                choices=("dropout", "batch"),
            ),
            "width": _WIDTH,
        },
    ),
    256,
    sourced(_training(batch_size=50), CODE, learning_rate=1e-4, epochs=4),
    _presets(
        {"training.batch_size": 160, "training.learning_rate": 3e-4},
        {
            "training.epochs": 4,
            "training.batch_size": 150,
            "network.latent": 64,
            "network.decoder_norm": "batch",
        },
    ),
    ("Images have 256 pixels as in the released code: at the paper's 250 the last pooling would get a single place.",),
)

RECIPES = (
    FC_AUTOENCODER,
    CNN_AUTOENCODER,
    CNN_AUTOENCODER_NO_MAXPOOL,
    ALEXNET_AUTOENCODER,
    RESNET_AUTOENCODER,
)
