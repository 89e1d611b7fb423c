"""What an inspection has found, and the command that follows from it."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from typing import Any

from sanoscope.errors import OptionError
from sanoscope.inspection.advice import Suggestion
from sanoscope.inspection.files import Format
from sanoscope.inspection.seen import Seen
from sanoscope.inspection.suspicions import Suspicion
from sanoscope.recipe import Recipe, parse_options
from sanoscope.recipes import get_recipe

# The recipe of the ready command: quick on any machine.
RECIPE = "conv-vae"


@dataclass(frozen=True)
class Inspection:
    """What an inspection has found.

    Attributes:
        source: Where the collection is.
        layout: As it was recognised.
        notes: What the layout and this inspection say of what was left out or drawn.
        cases: How many images, slices and tiles there are.
        read: How many of them were read, or tried.
        files: How many files there are.
        subjects: How many patients; None where unknown.
        labels: How many cases of each label.
        groups: How many cases of each group of the source.
        splits: How many cases of each label on each side.
        formats: The kinds of files.
        sizes: How many cases of each height and width, such as ``"256 × 256"``, the most common first.
        channels: How many cases of each number of channels.
        depths: How many cases of each type as stored, with the bits that are used of it.
        values: ``low``, ``high``, ``mean`` of all, and ``grey AUROC``, of the mean grey level against the labels.
        volumes: Spacings, shapes and orientations of volumes.
        headers: Of DICOM files: modality, bits, windows; nothing that tells the patient.
        slides: What each slide tells of itself.
        copies: Groups of names of cases with identical content.
        near_copies: Groups of names of images that are nearly the same.
        suspicions: What to look at.
        refused: Names of cases that cannot be read, with the reason of each.
        suggestions: A preparation that suits.
        fingerprint: Of the collection; see ``cases.fingerprint``.
        arguments: What a command needs to read the same cases, such as ``--normal``.
        data_options: Options of the data that were asked for, by dotted name.
        seen: What could be read, for pictures.
    """

    source: str
    layout: str
    notes: tuple[str, ...]
    cases: int
    read: int
    files: int
    subjects: int | None
    labels: dict[str, int]
    groups: dict[str, int]
    splits: dict[str, dict[str, int]]
    formats: list[Format]
    sizes: dict[str, int]
    channels: dict[str, int]
    depths: dict[str, int]
    values: dict[str, float | None]
    volumes: dict[str, Any]
    headers: dict[str, dict[str, int]]
    slides: list[dict[str, Any]]
    copies: list[list[str]]
    near_copies: list[list[str]]
    suspicions: list[Suspicion]
    refused: list[tuple[str, str]]
    suggestions: list[Suggestion]
    fingerprint: dict[str, Any]
    arguments: list[str]
    data_options: dict[str, Any]
    seen: Seen = field(repr=False, compare=False)

    @property
    def options(self) -> dict[str, str]:
        """The options that are suggested, with their values as ``--set`` takes them."""
        return {one.option: one.value for one in self.suggestions if one.value is not None}

    def options_for(self, recipe: Recipe) -> dict[str, Any]:
        """The suggested options that a recipe has and whose values it takes, for ``Recipe.with_options``."""
        taken: dict[str, Any] = {}
        for name, value in self.options.items():
            option = parse_options([f"{name}={value}"])
            try:
                recipe.with_options(option)
            except OptionError:
                continue
            taken |= option
        return taken

    @property
    def command(self) -> str:
        """A training with the suggested options, ready to be pasted into a shell."""
        options = {**self.data_options, **self.options_for(get_recipe(RECIPE))}
        assignments = [part for name, value in options.items() for part in ("--set", f"{name}={value}")]
        return shlex.join(["sanoscope", "fit", RECIPE, self.source, "--out", "model", *self.arguments, *assignments])

    def to_json(self) -> dict[str, Any]:
        """Everything that was found, fit for JSON."""
        plain = {name: value for name, value in vars(self).items() if name != "seen"}
        for name in ("formats", "suspicions", "suggestions"):
            plain[name] = [asdict(one) for one in plain[name]]
        plain["refused"] = [{"case": name, "reason": reason} for name, reason in self.refused]
        return plain | {"command": self.command}
