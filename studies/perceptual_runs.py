"""Every run of the deep perceptual autoencoder that docs/results.md reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Files of the feature networks, in torchvision's naming, that the studies' machine has.
WEIGHTS = {
    "vgg11_bn": "vgg11_bn_imagenet_features0_13_torchvision.pth",
    "squeezenet1_1": "squeezenet1_1_torchvision_rgbnorm_half.pth",
}


@dataclass(frozen=True)
class Collection:
    """Images that methods are compared on.

    Attributes:
        folder: Of the data.
        normal: The normal group, where groups have names of their own.
        options: What all rows have in common on it, the budget among it.
        growing: What growing takes beside.
        seeds: Of the main rows.
    """

    folder: str
    normal: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    growing: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    Attributes:
        collection: A key of ``COLLECTIONS``.
        row: Name of the row in the table.
        options: What differs from the recipe's defaults.
        seed: Of the training.
    """

    collection: str
    row: str
    options: Mapping[str, Any]
    seed: int = 0

    @property
    def name(self) -> str:
        """Of its files."""
        return f"perceptual-{self.collection}-{self.row}-seed{self.seed}"


def _budget(size: int, iterations: int) -> dict[str, Any]:
    return {
        "network.features": "vgg11_bn",
        "preparation.image_size": size,
        "training.max_iterations": iterations,
    }


def _grown(start: int, phase: int) -> dict[str, Any]:
    return {"network.growing_from": start, "training.phase_iterations": phase}


# Growing has as many steps in all as training at the full resolution alone.
_CLASS = (_budget(32, 1000), _grown(8, 100))
COLLECTIONS = {
    # The step is what was best on the validation side.
    "pneumoniamnist": Collection(
        "pneumoniamnist", None, {**_budget(32, 3000), "training.learning_rate": 1e-2}, _grown(8, 300)
    ),
    "chest_xray": Collection("chest_xray", None, _budget(64, 600), _grown(16, 75)),
    "cifar10-airplane": Collection("cifar10", "airplane", *_CLASS),
    "cifar10-automobile": Collection("cifar10", "automobile", *_CLASS),
    "cifar10-truck": Collection("cifar10", "truck", *_CLASS),
}
# The critic's game as published: two of its steps for each, all of this size, which does not fall.
_STEPS = {"training.learning_rate": 2e-4, "training.schedule": "constant"}
_GAME = {**_STEPS, "network.critic": "wasserstein"}
ABLATIONS: dict[str, dict[str, Any]] = {
    "l1": {"objective.l1": 1.0},
    # The same steps without the game, to tell one from the other.
    "small-steps": _STEPS,
    "adversarial-0.1": {**_GAME, "objective.adversarial": 0.1},
    "adversarial-0.01": {**_GAME, "objective.adversarial": 0.01},
}


def runs() -> list[Run]:
    """All of them, the main rows first."""
    listed = [
        Run(name, row, {**collection.options, **options}, seed)
        for name, collection in COLLECTIONS.items()
        for row, options in (("plain", {}), ("growing", dict(collection.growing)))
        for seed in collection.seeds
    ]
    listed += [
        Run(name, row, {**collection.options, **options})
        for name, collection in COLLECTIONS.items()
        for row, options in ABLATIONS.items()
    ]
    return listed
