"""Where the collections of a study are: at the paths that a user gives, or below one folder for a paper's table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sanoscope.cases.layouts import LAYOUTS
from sanoscope.errors import DataError, OptionError, nearest
from sanoscope.recipe import flatten
from sanoscope.studies.declaration import Collection
from sanoscope.studies.fields import Fields

# Layouts that folders within a collection may look like too.
PLAIN = ("folder", "class-folders")
STANDS_IN = "stands in for the paper's collection"


class AtPaths:
    """Collections at paths of their own.

    Args:
        base: Folder that relative paths start from.
    """

    def __init__(self, base: Path) -> None:
        self.base = base

    def __call__(self, fields: Fields) -> Collection:
        """The collection of an entry with ``data``.

        Raises:
            OptionError: If the entry cannot be understood.
            DataError: If nothing is there.
        """
        data = fields.raw("data")
        if isinstance(data, Mapping):
            if set(data) != {"train", "test"}:
                raise OptionError(f"{fields.where}: 'data' takes a path, or the paths of both train and test")
            places = [data["train"], data["test"]]
        else:
            places = [data]
        if not all(isinstance(place, str) and place for place in places):
            raise OptionError(f"{fields.where}: 'data' takes a path, not {data!r}")
        paths = tuple(self.base / Path(place).expanduser() for place in places)
        for path in paths:
            if not path.exists():
                raise DataError(f"{fields.where}: {path} does not exist; give the place of the collection")
        collection = _collection(
            fields, paths, fields.text("name", paths[-1].name) or "", fields.text("layout"), {}, None
        )
        fields.end()
        return collection


class BelowFolder:
    """Collections of a paper's table, its own where they are found and otherwise what stands in for them.

    Args:
        root: A collection, or a folder of collections.

    Attributes:
        missing: Names of those that were not found.
    """

    def __init__(self, root: Path) -> None:
        if not root.exists():
            raise DataError(f"{root}: does not exist; give a collection, or a folder of collections")
        self.root = root
        self.missing: list[str] = []
        self._layouts = {root: _layout_of(root)}
        if self._layouts[root] != "manifest" and root.is_dir():  # which says of itself that it is one collection
            self._layouts |= {path: _layout_of(path) for path in sorted(root.iterdir()) if path.is_dir()}
        # Some layouts are recognised by what lies folders further down, which may be one collection among others.
        within = {layout for path, layout in self._layouts.items() if path != root} - {None, *PLAIN}
        if within - {self._layouts[root]}:
            self._layouts[root] = None
        self._stood_in = False

    def __call__(self, fields: Fields) -> Collection | None:
        """The collection of an entry with ``own`` and ``stand_in``; None where neither is at hand.

        Raises:
            OptionError: If the entry cannot be understood.
        """
        name = fields.required("name", "Camelyon16")
        own = Fields(fields.mapping("own"), f"{fields.where}: own")
        other = Fields(fields.mapping("stand_in"), f"{fields.where}: stand_in")
        layouts, own_options = own.raw("layouts", []), _options(own)
        folder, note = other.text("folder"), other.text("note", "") or ""
        other_options = _options(other)
        place: tuple[Path, ...] | None = self._own(layouts, fields.where)
        if place is not None:
            found = _collection(fields, place, name, None, own_options, None, own)
        elif (stand_in := self._stand_in(folder)) is not None:
            asked = folder is not None and stand_in.name == folder
            told = f"{stand_in.name} {STANDS_IN}" + (f": {note}" if note and asked else "")
            found = _collection(fields, (stand_in,), name, None, other_options if asked else {}, told, other)
        else:
            self.missing.append(name)
            return None
        fields.end()
        return found

    def _own(self, layouts: Any, where: str) -> tuple[Path, ...] | None:
        """Where the paper's own collection is: of the layouts, or pairs of layouts, the first that is found."""
        for wanted in layouts if isinstance(layouts, list) else [layouts]:
            pair = wanted if isinstance(wanted, list) else [wanted]
            for layout in pair:
                if layout not in LAYOUTS:
                    raise OptionError(f"{where}: layout '{layout}' is unknown; {nearest(str(layout), list(LAYOUTS))}")
            places = [self._with_layout(layout) for layout in pair]
            if all(places):
                return tuple(place for place in places if place is not None)
        return None

    def _with_layout(self, layout: str) -> Path | None:
        return next((path for path, recognised in self._layouts.items() if recognised == layout), None)

    def _stand_in(self, folder: str | None) -> Path | None:
        """The folder that stands in; a single collection of one's own stands in for the first that asks."""
        if folder is not None:
            for path in (self.root / folder, self.root):
                if path.name == folder and path.exists():
                    return path
        if self._layouts[self.root] in (None, "folder") or self._stood_in:
            return None
        self._stood_in = True
        return self.root


def _layout_of(path: Path) -> str | None:
    return next((name for name, layout in LAYOUTS.items() if layout.recognises(path)), None)


def _options(fields: Fields) -> dict[str, Any]:
    return flatten(fields.mapping("options"))


def _collection(
    fields: Fields,
    paths: tuple[Path, ...],
    name: str,
    layout: str | None,
    options: Mapping[str, Any],
    stand_in: str | None,
    particular: Fields | None = None,
) -> Collection:
    """A collection of what an entry says, and what is particular to the one that was found."""
    normal, split, folds = fields.text("normal"), fields.text("split"), fields.whole("folds", 0)
    kinds, train_options = fields.texts("known_kinds"), fields.mapping("train_options")
    common = flatten(fields.mapping("options"))
    if particular is not None:
        normal, split = particular.text("normal", normal), particular.text("split", split)
        folds = particular.whole("folds", folds)
        kinds = particular.texts("known_kinds") or kinds
        train_options = particular.mapping("train_options") or train_options
        particular.end()
    if folds == 1:
        raise OptionError(f"{fields.where}: folds=1 tests on nothing; give 2 or more, or 0 for the data's own sides")
    return Collection(
        name=name,
        data=paths,
        layout=layout,
        normal=normal,
        split=split,
        folds=folds,
        options={**common, **options},
        stand_in=stand_in,
        known_kinds=kinds,
        train_options=flatten(train_options),
    )


def names_of_layouts(entries: Iterable[Any]) -> list[str]:
    """Which collections the entries of a declaration call the paper's own, for people."""
    layouts = [layout for entry in entries for layout in entry.get("own", {}).get("layouts", [])]
    return list(dict.fromkeys(" and ".join(one) if isinstance(one, list) else one for one in layouts))
