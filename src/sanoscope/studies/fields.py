"""Values out of a mapping that a person wrote, with errors that name the place and the mend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sanoscope.errors import OptionError, nearest


class Fields:
    """The entries of a mapping, each taken once and in its type; what is left at the end is unknown.

    Args:
        content: The mapping.
        where: Names it in errors, such as ``"study.yaml: methods[2]"``.

    Raises:
        OptionError: If it is no mapping.
    """

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, Mapping):
            raise OptionError(f"{where}: must be a mapping of names to values, not {content!r}")
        self.where = where
        self._left = dict(content)
        self._known: list[str] = []

    def has(self, name: str) -> bool:
        """Whether there is such an entry."""
        return self._left.get(name) is not None

    def raw(self, name: str, default: Any = None) -> Any:
        """An entry as it is."""
        self._known.append(name)
        value = self._left.pop(name, None)
        return default if value is None else value

    def text(self, name: str, default: str | None = None) -> str | None:
        """A text; a number will do for one."""
        value = self.raw(name, default)
        if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
            return None if value is None else str(value)
        raise self._wrong(name, value, "a text")

    def required(self, name: str, example: str) -> str:
        """A text that must be there."""
        value = self.text(name)
        if not value:
            raise OptionError(f"{self.where}: has no '{name}'; give one, such as {name}: {example}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self.raw(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def whole(self, name: str, default: int, least: int = 0) -> int:
        """A whole number."""
        value = self.raw(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self._wrong(name, value, f"a whole number of at least {least}")
        return value

    def share(self, name: str, default: float = 0.0) -> float:
        """A number from 0 to 1."""
        value = self.raw(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise self._wrong(name, value, "a number from 0 to 1")
        return float(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; a single one will do."""
        return tuple(str(value) for value in self._listed(name, "a list of texts", str | int | float))

    def wholes(self, name: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        """A list of whole numbers; a single one will do."""
        values = self._listed(name, "a list of whole numbers", int) or default
        if any(value < 0 for value in values) or len(set(values)) < len(values):
            raise self._wrong(name, list(values), "a list of different whole numbers from 0 up")
        return tuple(values)

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A mapping, empty where there is none."""
        value = self.raw(name, {})
        if not isinstance(value, Mapping):
            raise self._wrong(name, value, "a mapping of names to values")
        return value

    def items(self, name: str) -> list[Any]:
        """A list of anything, with an entry at least."""
        value = self.raw(name, [])
        if not isinstance(value, list) or not value:
            raise OptionError(f"{self.where}: needs '{name}', a list with one entry or more")
        return value

    def end(self) -> None:
        """Refuse what was not asked for.

        Raises:
            OptionError: Names the first such entry.
        """
        for name in self._left:
            raise OptionError(f"{self.where}: has no '{name}'; {nearest(str(name), self._known)}")

    def _listed(self, name: str, expected: str, kind: Any) -> list[Any]:
        value = self.raw(name, [])
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, bool) or not isinstance(one, kind) for one in values):
            raise self._wrong(name, value, expected)
        return values

    def _wrong(self, name: str, value: Any, expected: str) -> OptionError:
        return OptionError(f"{self.where}: '{name}' takes {expected}, not {value!r}")
