"""What a study declares: methods, collections, folds and seeds, and what is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What is measured, and by which metrics; those that are shown first where nothing is said.
MEASURES: Mapping[str, tuple[str, ...]] = {
    "images": ("auroc", "average_precision", "accuracy", "f1"),
    "pixels": ("auroc", "average_precision", "oracle_dice"),
    "clusters": ("accuracy", "f1"),
    "selection": ("auroc",),
}


@dataclass(frozen=True)
class Collection:
    """One collection of images.

    Attributes:
        name: For tables.
        data: Where it is; two places where one is learned from and another tested on.
        layout: As for ``load_cases``; None recognises it.
        normal: As for ``load_cases``.
        split: Likewise; None keeps the sides that the data have.
        folds: Of a cross-validation; 0 has none.
        options: Set for all methods that have them.
        stand_in: How it differs from the collection that a paper's table is of; None where it does not.
        known_kinds: Groups that a selection's known anomalies are of; none lets the seed choose one.
        train_options: Of the place that is learned from alone, where there are two: which slices are cases.
    """

    name: str
    data: tuple[Path, ...]
    layout: str | None = None
    normal: str | None = None
    split: str | None = None
    folds: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    stand_in: str | None = None
    known_kinds: tuple[str, ...] = ()
    train_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """One method, trained once for each collection, fold and seed.

    Attributes:
        name: For tables.
        recipe: Name of the recipe; of clusters also ``pixels``, ``mean-colour`` or ``densenet121``.
        preset: Of the recipe, or None; by collection where these have presets of their own.
        options: What is set beside it.
        short: Set on top of all others where a budget leaves less than half of the training.
        readings: Options that the trained model is read with, by name; each is a row of its own.
        plain: Whether the model as it is trained is a row too.
        also: Further scores or maps that it computes; each is a row.
        only: Names of the collections that it is for; empty is all.
        ensemble: Share of the test subjects that an ensemble of its maps is fitted on; 0 has none.
        search: What a selection chooses from: values by option.
        known: Numbers of known anomalies that a selection chooses by.
        draws: How often so many known anomalies are drawn.
    """

    name: str
    recipe: str
    preset: str | Mapping[str, str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    short: Mapping[str, Any] = field(default_factory=dict)
    readings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    plain: bool = True
    also: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ensemble: float = 0.0
    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    known: tuple[int, ...] = ()
    draws: int = 20

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of its rows, in the order of the table."""
        parts = [*self.readings, *self.also]
        if self.ensemble:
            parts.append(ENSEMBLE)
        if self.known:
            parts += [*(f"{number} known" for number in self.known), *BESIDE_KNOWN]
        own = [self.row(None)] if self.plain and not self.known else []
        return tuple(own + [self.row(part) for part in parts])

    def preset_on(self, collection: str) -> str | None:
        """The preset for a collection; None for none."""
        return self.preset if self.preset is None or isinstance(self.preset, str) else self.preset.get(collection)

    def row(self, reading: str | None) -> str:
        """What the row of a reading is called; None is the model as it was trained."""
        return self.name if reading is None else f"{self.name}, {reading}"


ENSEMBLE = "fitted ensemble"
# What a selection shows beside the choices of so many known anomalies: what is chosen without any, by chance, or by
# looking at the test; and the model that all known anomalies choose, trained anew on all normals.
BY_LOSS, BY_CHANCE, BEST = "by validation loss", "by chance", "the best (oracle)"
CHOSEN = "all known, trained anew"
BESIDE_KNOWN = (BY_LOSS, BY_CHANCE, BEST, CHOSEN)


@dataclass(frozen=True)
class Study:
    """Methods × collections × folds × seeds, and how they are compared.

    Attributes:
        name: For files.
        title: For people.
        paper: The paper that has the table, and which; None of a study of one's own.
        measure: One of ``MEASURES``.
        metrics: Those that are shown, the main one first.
        reference: Name of the row that all others are compared with.
        collections: One or more.
        methods: One or more.
        seeds: Of everything random but the split.
        balance: Drop the surplus of the larger class from the test side.
        threshold: Of decisions on pixels; None is the fitted one.
        pivot: Show methods in lines and readings in columns.
        published: The paper's numbers as text, by row, collection and metric.
        small: The budget called small.
        notes: What a reader should know.
        claims: What the paper says of its table.
        needs: What the whole protocol needs, in words.
    """

    name: str
    title: str
    measure: str
    metrics: tuple[str, ...]
    reference: str
    collections: tuple[Collection, ...]
    methods: tuple[Method, ...]
    paper: str | None = None
    seeds: tuple[int, ...] = (0,)
    balance: bool = False
    threshold: str | None = None
    pivot: bool = False
    published: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
    small: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    needs: str = ""

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of all methods' rows."""
        return tuple(row for method in self.methods for row in method.rows)

    def methods_on(self, collection: Collection) -> tuple[Method, ...]:
        """Those that are for a collection."""
        return tuple(method for method in self.methods if not method.only or collection.name in method.only)
