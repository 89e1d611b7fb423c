"""Every run of the image-level methods that docs/results.md reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SEEDS = (0, 1, 2)
# Folder of the data, and the normal group where groups have names of their own.
COLLECTIONS: dict[str, tuple[str, str | None]] = {
    "pneumoniamnist": ("pneumoniamnist", None),
    "chest_xray": ("chest_xray", None),
    "brain_mri": ("brain_mri", None),
    "cifar10-airplane": ("cifar10", "airplane"),
    "cifar10-automobile": ("cifar10", "automobile"),
    "cifar10-truck": ("cifar10", "truck"),
}


@dataclass(frozen=True)
class Method:
    """A row of the tables.

    Attributes:
        title: As the tables call it.
        recipe: Its recipe.
        options: What differs from the recipe's defaults, the budget among it.
        seeds: Of its trainings; one where nothing is random.
    """

    title: str
    recipe: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = SEEDS


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    Attributes:
        collection: A key of ``COLLECTIONS``.
        row: A key of ``METHODS``.
        seed: Of the training.
    """

    collection: str
    row: str
    seed: int

    @property
    def method(self) -> Method:
        """What is trained."""
        return METHODS[self.row]

    @property
    def name(self) -> str:
        """Of its files."""
        return f"image-{self.collection}-{self.row}-seed{self.seed}"


_PERCEPTUAL = {
    "network.features": "vgg11_bn",
    "preparation.image_size": 32,
    "training.max_iterations": 600,
}
_GROWING = {"network.growing_from": 8, "training.phase_iterations": 60}
METHODS = {
    "deep-geo": Method("deep-geo", "deep-geo", {"scoring.precision": "auto"}),
    "piad": Method("piad", "piad", {"network.features": "vgg11_bn"}),
    "deep-if": Method("deep-if", "deep-if"),
    "daol": Method("daol", "daol"),
    "ganomaly": Method("ganomaly", "ganomaly"),
    "deep-svdd": Method("deep-svdd", "deep-svdd"),
    "dsebm": Method("dsebm", "dsebm"),
    "anogan": Method("anogan", "anogan"),
    "deep-knn": Method("deep-knn", "deep-knn", seeds=(0,)),
    "padim": Method("padim", "padim"),
    "patchcore": Method("patchcore", "patchcore"),
    "perceptual": Method("deep-perceptual-autoencoder", "deep-perceptual-autoencoder", _PERCEPTUAL),
    "perceptual-growing": Method(
        "deep-perceptual-autoencoder, growing", "deep-perceptual-autoencoder", {**_PERCEPTUAL, **_GROWING}
    ),
}
# Rows of studies/perceptual.py that are the same on the collections where they have as many steps.
ALSO_IN = {"perceptual": "plain", "perceptual-growing": "growing"}
MADE_THERE = ("chest_xray", *(name for name in COLLECTIONS if name.startswith("cifar10")))


def runs() -> list[Run]:
    """All that are made here, seed by seed, so that an unfinished study has all methods."""
    return [
        Run(collection, row, seed)
        for seed in SEEDS
        for row, method in METHODS.items()
        for collection in COLLECTIONS
        if seed in method.seeds and not (row in ALSO_IN and collection in MADE_THERE)
    ]
