"""A study from the mapping that a YAML file holds; everything that can be wrong is said before anything is trained."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sanoscope.errors import OptionError, nearest
from sanoscope.recipe import with_numbers
from sanoscope.studies.declaration import MEASURES, Collection, Method, Study
from sanoscope.studies.fields import Fields
from sanoscope.studies.metrics import METRICS
from sanoscope.studies.recipes import check_method
from sanoscope.yaml_file import read_yaml

# Makes a collection of what is declared of it, or None where it is not at hand.
Locate = Callable[[Fields], Collection | None]


def read_study(file: Path) -> Any:
    """The content of a YAML file.

    Raises:
        OptionError: If it cannot be read as such.
    """
    return with_numbers(read_yaml(file, "a study's YAML file"))


def parse_study(content: Any, where: str, locate: Locate) -> Study:
    """A study, checked as far as it can be without looking at images.

    Args:
        content: As ``read_study`` gives it.
        where: Names it in errors.
        locate: Finds the collections.

    Raises:
        OptionError: If an entry is unknown or cannot be, or no collection is at hand.
        DataError: If a collection is not where it is said to be.
    """
    fields = Fields(content, where)
    name = fields.required("name", "my-study")
    measure = fields.text("measure", "images") or "images"
    if measure not in MEASURES:
        raise OptionError(f"{where}: measure '{measure}' is unknown; {nearest(measure, list(MEASURES))}")
    metrics = fields.texts("metrics") or MEASURES[measure]
    for metric in metrics:
        if metric not in METRICS[measure]:
            raise OptionError(
                f"{where}: metric '{metric}' is unknown of {measure}; {nearest(metric, list(METRICS[measure]))}"
            )
    seeds = fields.wholes("seeds", (0,))
    common = {"split": fields.text("split"), "folds": fields.whole("folds", 0)}
    entries = [{**common, **entry} if isinstance(entry, Mapping) else entry for entry in fields.items("collections")]
    found = [locate(Fields(entry, f"{where}: collections[{number}]")) for number, entry in enumerate(entries)]
    collections = tuple(collection for collection in found if collection is not None)
    methods = tuple(
        method
        for number, entry in enumerate(fields.items("methods"))
        for method in _methods(Fields(entry, f"{where}: methods[{number}]"))
    )
    study = Study(
        name=name,
        title=fields.text("title", name) or name,
        measure=measure,
        metrics=tuple(metrics),
        reference=fields.text("reference") or "",
        collections=collections,
        methods=methods,
        paper=fields.text("paper"),
        seeds=seeds,
        balance=fields.flag("balance"),
        threshold=fields.text("threshold"),
        pivot=fields.flag("pivot"),
        published=_published(fields.mapping("published"), where, [one.name for one in collections]),
        small=fields.raw("small"),
        notes=fields.texts("notes"),
        claims=fields.texts("claims"),
        needs=fields.text("needs", "") or "",
    )
    fields.end()
    return checked(study, where)


def checked(study: Study, where: str) -> Study:
    """The study with its reference, if everything in it fits together.

    Raises:
        OptionError: If names are given twice, or a method's options cannot be.
    """
    for what, names in (("collections", [one.name for one in study.collections]), ("rows", list(study.rows))):
        if repeated := [name for name, number in Counter(names).items() if number > 1]:
            raise OptionError(f"{where}: two {what} are called '{repeated[0]}'; give one of them another name")
    for method in study.methods:
        for name in method.only:
            if study.collections and name not in [one.name for one in study.collections] and not study.paper:
                raise OptionError(f"{where}: method '{method.name}' is only for '{name}', which is no collection")
        check_method(method, study.measure, where)
    reference = study.reference or study.rows[0]
    if reference not in study.rows:
        raise OptionError(f"{where}: reference '{reference}' is no row; {nearest(reference, list(study.rows))}")
    return replace(study, reference=reference)


def _methods(fields: Fields) -> list[Method]:
    """A method, or one for each combination of its grid."""
    recipe = fields.required("recipe", "conv-vae")
    name = fields.text("name", recipe) or recipe
    grid = fields.mapping("grid")
    method = Method(
        name=name,
        recipe=recipe,
        preset=_preset(fields),
        options=_flat(fields.mapping("options")),
        short=_flat(fields.mapping("short")),
        readings={str(reading): _flat(options or {}) for reading, options in fields.mapping("readings").items()},
        plain=fields.flag("plain", True),
        also=fields.texts("also"),
        only=fields.texts("only"),
        ensemble=fields.share("ensemble"),
        search=fields.mapping("search"),
        known=fields.wholes("known"),
        draws=fields.whole("draws", 20, least=1),
    )
    fields.end()
    for option, values in grid.items():
        if not isinstance(values, list) or not values:
            raise OptionError(f"{fields.where}: grid '{option}' takes a list of values, not {values!r}")
    return [_at(method, dict(zip(grid, values, strict=True))) for values in itertools.product(*grid.values())]


def _preset(fields: Fields) -> str | dict[str, str] | None:
    """One preset, or one for each of some collections."""
    value = fields.raw("preset")
    if isinstance(value, Mapping):
        return {str(collection): str(preset) for collection, preset in value.items()}
    if value is not None and not isinstance(value, str):
        raise OptionError(f"{fields.where}: 'preset' takes a text, or a mapping of collections to texts, not {value!r}")
    return value


def _at(method: Method, point: Mapping[str, Any]) -> Method:
    """The method at one point of its grid."""
    if not point:
        return method
    listed = ", ".join(f"{option}={_brief(value)}" for option, value in point.items())
    return replace(method, name=f"{method.name}, {listed}", options={**method.options, **point})


def _brief(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flat(options: Any) -> dict[str, Any]:
    from sanoscope.recipe import flatten

    return flatten(options)


def _published(rows: Mapping[str, Any], where: str, collections: Sequence[str]) -> dict[str, dict[str, dict[str, str]]]:
    """The paper's numbers as text; where they are not told apart by collection, they are of each."""
    published = {}
    for row, numbers in rows.items():
        if not isinstance(numbers, Mapping):
            raise OptionError(f"{where}: published '{row}' takes a mapping of metrics to numbers, not {numbers!r}")
        by_collection = all(isinstance(value, Mapping) for value in numbers.values())
        of = numbers if by_collection else dict.fromkeys(collections, numbers)
        published[str(row)] = {
            str(collection): {str(metric): _number_text(value) for metric, value in metrics.items()}
            for collection, metrics in of.items()
        }
    return published


def _number_text(value: Any) -> str:
    """``0.86`` as ``0.860``, ``[0.934, 0.003]`` as ``0.934 ± 0.003``, and texts as they are."""
    if isinstance(value, list):
        return " ± ".join(_number_text(one) for one in value)
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{value:.3f}" if abs(value) <= 1 else f"{value:g}"
    return str(value)
