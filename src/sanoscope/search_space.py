"""The search space: which options of a recipe are searched, and over what values; plain, and written as YAML.

```yaml
training.learning_rate: {low: 0.0001, high: 0.01, log: true}    # a span
network.layers: [[r31], [r32]]                                  # choices
size:                                                           # bundles: options that vary together
- {network.latent: 16, network.widths: [16, 16]}
- {network.latent: 32, network.widths: [32, 32]}
```
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sanoscope.errors import OptionError


@dataclass(frozen=True)
class Choices:
    """One option that takes any of some values.

    Attributes:
        values: Of any kind that the option takes.
    """

    values: tuple[Any, ...]

    def option_names(self, name: str) -> tuple[str, ...]:
        """The options that a dimension of this name sets."""
        return (name,)

    def settings(self, name: str) -> tuple[dict[str, Any], ...]:
        """What can be set, each by dotted name; of a span its ends."""
        return tuple({name: value} for value in self.values)

    @property
    def size(self) -> float:
        """How many values there are."""
        return len(self.values)

    def to_plain(self) -> Any:
        """Fit for YAML."""
        return [_plain(value) for value in self.values]


@dataclass(frozen=True)
class Span:
    """One option that takes any number from ``low`` to ``high``, both included.

    Attributes:
        low: The least.
        high: The greatest.
        log: Whether factors count, not differences.
        integer: Whether only whole numbers are taken.
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def option_names(self, name: str) -> tuple[str, ...]:
        """See ``Choices``."""
        return (name,)

    def settings(self, name: str) -> tuple[dict[str, Any], ...]:
        """See ``Choices``."""
        return {name: self.low}, {name: self.high}

    @property
    def size(self) -> float:
        """See ``Choices``."""
        return self.high - self.low + 1 if self.integer else math.inf

    def to_plain(self) -> Any:
        """See ``Choices``."""
        flags = {"log": self.log, "integer": self.integer}
        return {"low": self.low, "high": self.high, **{flag: True for flag, is_set in flags.items() if is_set}}


@dataclass(frozen=True)
class Bundles:
    """Several options that vary together, such as a latent size with the widths that suit it.

    Attributes:
        bundles: What is set together, by dotted name; the same options in each.
    """

    bundles: tuple[Mapping[str, Any], ...]

    def option_names(self, name: str) -> tuple[str, ...]:
        """See ``Choices``; the dimension's own name is no option."""
        return tuple(self.bundles[0])

    def settings(self, name: str) -> tuple[dict[str, Any], ...]:
        """See ``Choices``."""
        return tuple(dict(bundle) for bundle in self.bundles)

    @property
    def size(self) -> float:
        """See ``Choices``."""
        return len(self.bundles)

    def to_plain(self) -> Any:
        """See ``Choices``."""
        return [{name: _plain(value) for name, value in bundle.items()} for bundle in self.bundles]


Dimension = Choices | Span | Bundles
Space = Mapping[str, Dimension]
SPAN_KEYS = {"low", "high", "log", "integer"}


def parse_space(content: Any) -> dict[str, Dimension]:
    """A search space out of what its YAML holds.

    Raises:
        OptionError: If it is no mapping, or an entry is none of the three kinds of dimension; the entry is named.
    """
    if not isinstance(content, Mapping) or not content:
        raise OptionError("a search space is a mapping of option names to values, such as 'network.latent: [32, 64]'")
    return {str(name): _dimension(str(name), entry) for name, entry in content.items()}


def to_plain(space: Space) -> dict[str, Any]:
    """The space as ``parse_space`` reads it, fit for YAML and JSON."""
    return {name: dimension.to_plain() for name, dimension in space.items()}


def _dimension(name: str, entry: Any) -> Dimension:
    if isinstance(entry, Mapping):
        return _span(name, entry)
    if not isinstance(entry, list) or not entry:
        raise OptionError(f"search space: '{name}' takes a list of values or {{low: …, high: …}}, not {entry!r}")
    if not any(isinstance(one, Mapping) for one in entry):
        return Choices(tuple(_tupled(value) for value in entry))
    if not all(isinstance(one, Mapping) and one and one.keys() == entry[0].keys() for one in entry):
        raise OptionError(f"search space: every bundle of '{name}' must set the same options")
    return Bundles(tuple({option: _tupled(value) for option, value in one.items()} for one in entry))


def _span(name: str, entry: Mapping[str, Any]) -> Span:
    low, high = entry.get("low"), entry.get("high")
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    flags = all(isinstance(entry.get(flag, False), bool) for flag in ("log", "integer"))
    if not numbers or not flags or entry.keys() - SPAN_KEYS:
        raise OptionError(
            f"search space: '{name}' takes {{low: NUMBER, high: NUMBER}} and, if wanted, log: true and integer: true, "
            f"not {dict(entry)!r}"
        )
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    span = Span(low, high, entry.get("log", False), entry.get("integer", False))
    if not low < high or (span.log and low <= 0):
        raise OptionError(
            f"search space: '{name}' goes from {low} to {high}; low must be below high, and above 0 with log"
        )
    return span


def _tupled(value: Any) -> Any:
    """Lists as the tuples that options hold."""
    return tuple(value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
