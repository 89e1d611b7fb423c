"""Every run of the deep perceptual autoencoder that docs/results.md reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import RESULTS


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
_CLASS = (_budget(32, 600), _grown(8, 60))
COLLECTIONS = {
    "pneumoniamnist": Collection("pneumoniamnist", None, _budget(32, 3000), _grown(8, 300)),
    "pneumoniamnist-64": Collection("pneumoniamnist", None, _budget(64, 3000), _grown(16, 300)),
    "chest_xray": Collection("chest_xray", None, _budget(32, 600), _grown(8, 60)),
    "cifar10-airplane": Collection("cifar10", "airplane", *_CLASS),
    "cifar10-automobile": Collection("cifar10", "automobile", *_CLASS),
    "cifar10-truck": Collection("cifar10", "truck", *_CLASS),
}
# The critic's game as published: two of its steps for each, all of this size, which does not fall. It takes four times
# as long, so that there are fewer steps; and as many without the game, to tell one from the other.
_STEPS = {"training.learning_rate": 2e-4, "training.schedule": "constant", "training.max_iterations": 600}
_GAME = {**_STEPS, "network.critic": "wasserstein"}
ABLATIONS: dict[str, dict[str, Any]] = {
    "l1": {"objective.l1": 1.0},
    "small-steps": _STEPS,
    "adversarial-0.1": {**_GAME, "objective.adversarial": 0.1},
    "adversarial-0.01": {**_GAME, "objective.adversarial": 0.01},
}


# What is searched: sizes with the steps that suit them, layers, and the depth of the network.
SPACE: dict[str, Any] = {
    "size": [
        {"network.latent": width, "network.widths": [width], "training.learning_rate": rate}
        for width, rate in ((8, 0.01), (16, 0.01), (16, 0.005), (16, 0.002), (32, 0.002))
    ],
    "network.latent_resolution": [1, 4],
    "network.layers": [["level3"], ["level4"], ["level3", "level4"]],
    "network.blocks": [1, 2],
}


@dataclass(frozen=True)
class Search:
    """A search on a collection.

    Attributes:
        trials: How many configurations.
        iterations: Of a training in a fold.
        known_kinds: Which kinds of anomalies are known, where they have names.
    """

    trials: int
    iterations: int
    known_kinds: tuple[str, ...] = ()


# Where airplanes are normal the paper's choice is by horses.
SEARCHES = {
    "pneumoniamnist": Search(24, 300),
    "chest_xray": Search(10, 150),
    "cifar10-airplane": Search(8, 150, ("deer", "frog", "horse")),
}


def search_file(name: str) -> Path:
    """What the search on a collection has found, as its page keeps it."""
    return RESULTS / f"perceptual-search-{name}.json"


def choice_file(name: str) -> Path:
    """What the search on a collection has chosen."""
    return RESULTS / f"perceptual-choice-{name}.json"


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
        if name in SEARCHES
        for row, options in ABLATIONS.items()
    ]
    # What bfloat16 changes, where a run is short.
    listed += [
        Run(name, "float32", {**COLLECTIONS[name].options, "training.precision": "float32"})
        for name in ("chest_xray", "cifar10-airplane")
    ]
    return listed + [run for name in SEARCHES for run in _selected(name)]


def _selected(name: str) -> list[Run]:
    """Runs of what the search on a collection has chosen, with the budget of the others."""
    file = choice_file(name)
    if not file.exists():
        return []
    collection = COLLECTIONS[name]
    chosen = json.loads(file.read_text())["chosen"]
    if chosen["weak"] == chosen["unsupervised"]:
        del chosen["unsupervised"]  # which would be the same runs
    options = {
        row: {name: _tupled(value) for name, value in choice["options"].items()} for row, choice in chosen.items()
    }
    return [
        Run(name, row, {**collection.options, **searched}, seed)
        for row, searched in options.items()
        for seed in collection.seeds[:2]
    ]


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
