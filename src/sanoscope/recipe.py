"""The recipe: a named, complete declaration of a method, whose every option says where its value comes from."""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sanoscope.errors import OptionError, nearest
from sanoscope.search_space import Dimension

RANGE = re.compile(r"-?\d*:-?\d*")

PARTS = ("data", "preparation", "network", "objective", "training", "scoring", "postprocessing", "decision")
# Options that take effect on a fitted detector; all others are built into the weights.
ADJUSTABLE = (
    "scoring.",
    "postprocessing.",
    "decision.",
    "data.axis",
    "data.slices",
    "data.modality",
    "data.view",
    "data.identity",
    "data.tile_size",
    "data.magnification",
    "data.objective",
    "data.tissue",
    "data.least_tissue",
    "data.tiles",
    "data.least_abnormal",
)


@dataclass(frozen=True)
class Option:
    """One value of a method that can be set from outside.

    Attributes:
        default: The value when nothing is said; its type is the type that is asked for.
        help: What it does, in a few words.
        source: Where the default comes from: a paper, its released code, or our reason.
        choices: The only values allowed, where they can be listed.
        minimum: The least value allowed, for numbers.
        kind: The type to ask for where the default is None.
    """

    default: Any
    help: str
    source: str
    choices: tuple[Any, ...] = ()
    minimum: float | None = None
    kind: type | None = None

    def check(self, name: str, value: Any) -> Any:
        """``value`` in the option's type.

        Raises:
            OptionError: If it is of another type, not finite, not among the choices, or below the minimum.
        """
        if value is None and self.default is None:
            return None
        kind = self.kind or type(self.default)
        several, listed = kind is tuple, isinstance(value, list | tuple)
        element = type(self.default[0]) if several else kind
        values = tuple(_as_float(one) if element is float else one for one in (value if listed else (value,)))
        if several != listed or not values or any(type(one) is not element for one in values):
            expected = f"a list such as {list(self.default)}" if several else f"a value of type {kind.__name__}"
            raise OptionError(f"option '{name}' takes {expected}, not {value!r}")
        if element is float and not all(math.isfinite(one) for one in values):
            raise OptionError(f"option '{name}' must be finite, not {value!r}")
        value = values if several else values[0]
        if self.choices and value not in self.choices:
            known = [str(choice) for choice in self.choices]
            raise OptionError(f"option '{name}' does not take {value!r}; {nearest(str(value), known)}")
        if self.minimum is not None and any(one < self.minimum for one in values):
            raise OptionError(f"option '{name}' must be at least {self.minimum:g}, not {value!r}")
        return value


def _as_float(value: Any) -> Any:
    """Whole numbers will do where any number does; ``True`` will not."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


@dataclass(frozen=True)
class Part:
    """A piece of a method: what is built, by import path so that declaring it imports nothing, and its options.

    Attributes:
        target: ``package.module:attribute``, called with the options as keyword arguments.
        options: Every keyword that can be set, by name.
        given: Keywords whose values are options of other parts, such as ``objective.beta``; None where there is none.
    """

    target: str
    options: Mapping[str, Option] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)

    def updated(self, **defaults: Any) -> Part:
        """The same part with other defaults: a bare value keeps help and source, an ``Option`` replaces both."""
        options = dict(self.options)
        for name, value in defaults.items():
            options[name] = value if isinstance(value, Option) else replace(options[name], default=value)
        return replace(self, options=options)

    def extended(self, target: str | None = None, /, **options: Option) -> Part:
        """The same part with further options, or others in their place, and perhaps another target that takes them."""
        return replace(self, target=target or self.target, options={**self.options, **options})

    def build(self, settings: Mapping[str, Any], **context: Any) -> Any:
        """Import the target and call it with the settings and what only the caller knows."""
        module, attribute = self.target.split(":")
        return getattr(importlib.import_module(module), attribute)(**context, **settings)


@dataclass(frozen=True)
class Recipe:
    """A method, complete with every value it needs.

    Attributes:
        name: As on the command line, such as ``conv-vae``.
        title: One line for tables.
        paper: Authors and title of the source.
        parts: What is built for each of ``PARTS``.
        notes: What the user of its results should know: published faults, what differs from the paper.
        changes: Options that differ from their defaults, by dotted name.
        presets: Sets of options with a name, such as ``paper`` where the defaults are not the paper's.
        search: What a search for the best options goes over, by the option's dotted name or the name of a bundle of
            options; where it is empty, ``selection.space`` derives one from the options.
    """

    name: str
    title: str
    paper: str
    parts: Mapping[str, Part]
    notes: tuple[str, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    search: Mapping[str, Dimension] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Option]:
        """Every option by dotted name, in the order of the data's way."""
        return {
            f"{part}.{name}": option
            for part in PARTS
            if part in self.parts
            for name, option in self.parts[part].options.items()
        }

    @property
    def values(self) -> dict[str, Any]:
        """Every option's value in force, by dotted name."""
        return {name: self.changes.get(name, option.default) for name, option in self.options.items()}

    def __getitem__(self, name: str) -> Any:
        self._known(name)
        return self.values[name]

    def _known(self, name: str) -> Option:
        options = self.options
        if name not in options:
            raise OptionError(f"recipe '{self.name}' has no option '{name}'; {nearest(name, list(options))}")
        return options[name]

    def with_options(self, changes: Mapping[str, Any]) -> Recipe:
        """The same recipe with some options set, by dotted name; nested mappings are flattened.

        Raises:
            OptionError: For an unknown name (the nearest one is named) or a value it does not take.
        """
        checked = {name: self._known(name).check(name, value) for name, value in flatten(changes).items()}
        return replace(self, changes={**self.changes, **checked})

    def preset(self, name: str) -> Recipe:
        """The same recipe with the options of a preset set.

        Raises:
            OptionError: If it has no such preset; the nearest name is in the message.
        """
        return self.with_options(self.preset_options(name))

    def preset_options(self, name: str) -> Mapping[str, Any]:
        """The options of a preset, by dotted name; for the errors see ``preset``."""
        if not self.presets:
            raise OptionError(f"recipe '{self.name}' has no presets, only options; leave out '{name}'")
        if name not in self.presets:
            raise OptionError(f"recipe '{self.name}' has no preset '{name}'; {nearest(name, list(self.presets))}")
        return self.presets[name]

    def settings(self, part: str) -> dict[str, Any]:
        """The options of one part, by their short names."""
        return {name: self[f"{part}.{name}"] for name in self.parts[part].options}

    def build(self, part: str, **context: Any) -> Any:
        """The object that carries out one part of the method."""
        values = self.values
        given = {name: values.get(option) for name, option in self.parts[part].given.items()}
        return self.parts[part].build(self.settings(part) | given, **context)

    def to_json(self) -> dict[str, Any]:
        """What is stored with a model: the name and every value, defaults included."""
        return {"name": self.name, "title": self.title, "paper": self.paper, "options": self.values}


def flatten(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested option mappings as one mapping of dotted names."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def parse_options(assignments: list[str]) -> dict[str, Any]:
    """``["network.latent=128"]`` as a mapping; values are read as YAML, so lists and booleans work.

    Raises:
        OptionError: If an assignment has no ``=`` or its value cannot be read.
    """
    import yaml

    options = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise OptionError(f"--set takes NAME=VALUE, not '{assignment}'")
        try:
            # YAML reads 10:40 as a number to the base of 60, and people mean the range.
            value = text.strip() if RANGE.fullmatch(text.strip()) else yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise OptionError(f"--set {name}: '{text}' cannot be read as a value") from error
        options[name.strip()] = with_numbers(value)
    return options


def with_numbers(value: Any) -> Any:
    """YAML reads ``1e-5`` as text, for want of a dot; people mean the number."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    if isinstance(value, dict):
        return {name: with_numbers(element) for name, element in value.items()}
    return [with_numbers(element) for element in value] if isinstance(value, list) else value
