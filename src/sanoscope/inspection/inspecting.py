"""A collection looked at as a whole: what is there, what is suspicious, what would be refused, what suits it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope.cases.case import LABELS, SPLITS, Case, Cases
from sanoscope.cases.duplicates import find_duplicates
from sanoscope.cases.fingerprint import fingerprint
from sanoscope.cases.load import Data, read_cases
from sanoscope.cases.slicing import Slicing
from sanoscope.errors import OptionError
from sanoscope.inspection.advice import suggestions
from sanoscope.inspection.alike import MOST_COMPARED, compared, nearly_same
from sanoscope.inspection.files import formats_of, headers_of, slides_of, volumes_of
from sanoscope.inspection.inspection import Inspection
from sanoscope.inspection.labels import bits_of, grey_auroc, nothing_to_train_on, suspicious_labels, suspicious_sides
from sanoscope.inspection.looks import Look, look_at
from sanoscope.inspection.seen import Seen
from sanoscope.inspection.suspicions import Suspicion, misnamed, suspicious_images

# Of each slide: enough to know its colours and its tissue.
TILES_OF_A_SLIDE = 64


def inspect(
    data: Data,
    *,
    normal: str | None = None,
    layout: str | None = None,
    slicing: Slicing | None = None,
    sample: int | None = None,
    workers: int | None = None,
) -> Inspection:
    """Look at a collection before any training.

    Args:
        data: As ``cases.read_cases`` takes it.
        normal: The group that is normal, where groups have names of their own.
        layout: How the data is laid out, where not as it is recognised.
        slicing: Which slices of volumes and tiles of slides are cases.
        sample: Read so many cases only, drawn with a fixed seed; all where None.
        workers: How many files are read at once; the number of cores where None.

    Raises:
        DataError: The collection cannot be used.
        OptionError: An argument that does not exist or does not fit the data.
    """
    if sample is not None and sample < 1:
        raise OptionError(f"sample must be at least 1, not {sample}")
    slicing = slicing or Slicing()
    cases = read_cases(data, normal=normal, layout=layout, slicing=slicing)
    chosen, notes = _drawn(cases, sample)
    looks = look_at(chosen, workers)
    kept = [index for index, look in enumerate(looks) if isinstance(look, Look)]
    seen = Seen(chosen[kept], [look for look in looks if isinstance(look, Look)])
    refused = [(case, look) for case, look in zip(chosen, looks, strict=True) if isinstance(look, str)]
    candidates = compared(seen)
    if len(candidates) == MOST_COMPARED:
        notes.append(f"near copies are looked for among {MOST_COMPARED:,} images, drawn with a fixed seed")
    copies = find_duplicates(cases)
    near_copies = _further(nearly_same(seen, candidates), seen, copies)
    volumes = volumes_of(cases)
    formats = formats_of(cases)
    subjects = {case.subject for case in cases if case.subject is not None}
    if not subjects and len(cases) > 1:
        notes.append("subjects are unknown: a split may put images of one patient on two sides")
    if {*cases.labels} == {None}:
        notes.append("no image has a label: fit takes all of them for normal")
    return Inspection(
        source=cases.source,
        layout=cases.layout,
        notes=(*cases.notes, *notes),
        cases=len(cases),
        read=len(chosen),
        files=sum(one.files for one in formats),
        subjects=len(subjects) or None,
        labels={LABELS[label]: n for label, n in Counter(cases.labels).items()},
        groups=dict(Counter(case.group for case in cases if case.group is not None).most_common()),
        splits=_sides(cases),
        formats=formats,
        sizes=_counted(" × ".join(map(str, look.size)) for look in seen.looks),
        channels=_counted(str(look.channels) for look in seen.looks),
        depths=_depths(seen),
        values=_values(seen),
        volumes=volumes,
        headers=headers_of(cases),
        slides=slides_of(cases),
        copies=[[case.name for case in group] for group in copies],
        near_copies=[[case.name for case in group] for group in near_copies],
        suspicions=[
            *suspicious_sides(cases),
            *_copies("copies", "identical images", copies),
            *_copies("near copies", "images that are nearly the same", near_copies),
            *_misnamed(refused),
            *suspicious_images(seen),
            *suspicious_labels(seen),
        ],
        refused=[(case.name, reason) for case, reason in refused],
        suggestions=suggestions(
            seen, len(chosen) == len(cases), _agreed(volumes) if slicing.axis == Slicing().axis else None
        ),
        fingerprint=fingerprint(cases),
        arguments=_arguments(cases, normal, layout),
        data_options=_data_options(slicing),
        seen=seen,
    )


def _drawn(cases: Cases, sample: int | None) -> tuple[Cases, list[str]]:
    """The cases to read, of each slide and of all some drawn with a fixed seed, and what to say of that."""
    notes = []
    generator = np.random.default_rng(0)
    of_slides: dict[Path | None, list[int]] = {}
    for index, case in enumerate(cases):
        if case.tile is not None:
            of_slides.setdefault(case.path, []).append(index)
    left_out: set[int] = set()
    for tiles in of_slides.values():
        kept = generator.permutation(tiles)[:TILES_OF_A_SLIDE].tolist()
        left_out |= {*tiles} - {*kept}
    indices = [index for index in range(len(cases)) if index not in left_out]
    if left_out:
        notes.append(f"of each slide, at most {TILES_OF_A_SLIDE} tiles drawn with a fixed seed were read")
    if sample is not None and sample < len(indices):
        notes.append(f"{sample:,} of {len(cases):,} cases, drawn with a fixed seed, were read")
        indices = sorted(generator.choice(indices, sample, replace=False).tolist())
    return cases[indices], notes


def _arguments(cases: Cases, normal: str | None, layout: str | None) -> list[str]:
    """What a command needs to read the same cases, and to have some to train on."""
    split = "subject" if nothing_to_train_on(cases) else None
    needed = {"--normal": normal, "--layout": layout, "--split": split}
    return [part for name, value in needed.items() if value is not None for part in (name, value)]


def _data_options(slicing: Slicing) -> dict[str, Any]:
    """The options of the data that are not the usual ones, by dotted name."""

    def flat(one: Slicing) -> dict[str, Any]:
        options = asdict(one)
        tiling = options.pop("tiling")
        return {**options, "tile_size": tiling.pop("size"), **tiling}

    usual = flat(Slicing())
    return {f"data.{name}": value for name, value in flat(slicing).items() if value != usual[name]}


def _sides(cases: Cases) -> dict[str, dict[str, int]]:
    if not cases.is_split:
        return {}
    sides = {side: Counter(LABELS[c.label] for c in cases if c.split == side) for side in (*SPLITS, None)}
    return {side or "none": dict(labels) for side, labels in sides.items() if labels}


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _depths(seen: Seen) -> dict[str, int]:
    """Types as stored, with the bits that all images of each use together."""
    of_type: dict[str, list[Look]] = {}
    for look in seen.looks:
        of_type.setdefault(look.dtype, []).append(look)
    bits = {dtype: bits_of(looks) for dtype, looks in of_type.items()}
    return {f"{dtype}, {bits[dtype]} bit{'s' * (bits[dtype] > 1)} used": len(of_type[dtype]) for dtype in of_type}


def _values(seen: Seen) -> dict[str, float | None]:
    if not len(seen):
        return {}
    return {
        "low": float(seen.values("low").min()),
        "high": float(seen.values("high").max()),
        "mean": float(seen.values("mean").mean()),
        "grey AUROC": grey_auroc(seen),
    }


def _further(groups: Sequence[Sequence[int]], seen: Seen, copies: Sequence[Sequence[Case]]) -> list[list[Case]]:
    """The cases of those groups of nearly the same images that are not identical ones."""
    group_of = {case.name: number for number, group in enumerate(copies) for case in group}
    alike = [[seen.cases[index] for index in group] for group in groups]
    return [group for group in alike if len({group_of.get(case.name, case.name) for case in group}) > 1]


def _copies(kind: str, what: str, groups: Sequence[Sequence[Case]]) -> list[Suspicion]:
    if not groups:
        return []
    across = [group for group in groups if len({case.split for case in group if case.split is not None}) > 1]
    disagreeing = [group for group in groups if len({case.label for case in group if case.label is not None}) > 1]
    shown = (disagreeing or across or groups)[0]
    parts = [f"groups of {what}: {len(groups)}"]
    parts += [f"{len(across)} of them on two sides of the split"] if across else []
    parts += [f"{len(disagreeing)} with different labels"] if disagreeing else []
    named = " = ".join(f"{case.name}{f' ({case.split})' if case.split else ''}" for case in shown[:4])
    return [Suspicion(kind, f"{', '.join(parts)} (such as {named})", tuple(c.name for group in groups for c in group))]


def _misnamed(refused: Sequence[tuple[Case, str]]) -> list[Suspicion]:
    found = misnamed([(case.path, reason) for case, reason in refused])
    if not found:
        return []
    message = f"files whose name claims another type than their content: {len(found)}; rename them"
    return [Suspicion("file type", message, found)]


def _agreed(volumes: dict[str, Any]) -> str | None:
    """The axis along which most volumes have their thickest slices, unless it is the one that they are cut along."""
    thickest = volumes.get("thickest slices along") or {"none": 1}
    axis, number = next(iter(thickest.items()))
    return axis if axis not in ("none", Slicing().axis) and number > volumes["volumes"] / 2 else None
