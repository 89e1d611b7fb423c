"""Several methods on the same images: the image, the truth, and the map of each method over the image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.masks import true_mask
from sanoscope.cases.pixels import read_case
from sanoscope.errors import DataError, ImageError
from sanoscope.findings import Findings
from sanoscope.gallery import choose
from sanoscope.preparation.resizing import resize
from sanoscope.report import images
from sanoscope.report.content import ComparedImage, MethodMap, SideBySide

# Of the longer side: a page of ten images under a dozen methods can still be sent by mail.
PICTURE_SIZE = 160
# Below the abnormal images, to see what a method finds where nothing is.
NORMAL_IMAGES = 2
# The share of a pixel from which the truth is in it: hardly any, so that the smallest lesion is outlined.
_TOUCHED = 1e-6


def compare_maps(findings: Mapping[str, Findings], names: Sequence[str] | None = None) -> SideBySide:
    """The deciding maps of several methods over some of the images that all of them have scored.

    Shown are one abnormal image of each of some subjects, or, where no masks are known, the most abnormal images;
    and two normal ones. The first findings choose them. Images are the same where path and slice are, or, without
    a path, the name.

    Args:
        findings: With maps, by the name of the method.
        names: Of the methods, where keys that tell the findings apart in messages are no good names.

    Raises:
        DataError: If one has no maps, no image is in all of them, or none of the chosen images can be read.
    """
    for key, one in findings.items():
        if one.maps is None:
            raise DataError(f"{key}: has no maps to show; score images that have masks, with maps")
    places = {key: _places(one.cases) for key, one in findings.items()}
    shared = _in_all(places)
    first, *_ = findings
    notes = []
    if left_out := len(places[first]) - len(shared):
        notes.append(f"Left out, as not every method has scored them: {left_out:,} image{'s' * (left_out > 1)}.")
    rows = []
    for case in _chosen(findings[first], [places[first][identity] for identity in shared]):
        try:
            rows.append(_row(case, [(one, places[key][_identity(case)]) for key, one in findings.items()]))
        except ImageError as error:
            notes.append(f"Left out: {error}.")
    if not rows:
        raise DataError(f"{first}: none of the images to show can be read ({notes[-1]})")
    methods = {
        name: [f"map {one.maps.name}", f"score {one.score_name}"]
        for name, one in zip(names or findings, findings.values(), strict=True)
        if one.maps is not None
    }
    return SideBySide(methods, rows, notes)


def compare_folders(findings: Findings, folder: Path, others: Sequence[Path]) -> SideBySide:
    """The findings of a folder beside those of other folders, named by recipe and, where needed, by map or folder.

    Raises:
        DataError: If a folder is given twice or is none of findings; and as ``compare_maps``.
    """
    compared = {str(folder): findings}
    for other in others:
        if other.resolve() in [Path(known).resolve() for known in compared]:
            raise DataError(f"{other}: is given twice; name each folder of findings once")
        compared[str(other)] = _with_deciding_map(Findings.load(other))
    return compare_maps(compared, _method_names(compared))


def _with_deciding_map(findings: Findings) -> Findings:
    """Without further maps, as those of a dozen methods would not fit into memory."""
    return replace(findings, maps=findings.maps and replace(findings.maps, others={}))


def _method_names(findings: Mapping[str, Findings]) -> list[str]:
    """Recipes; those that stand there twice with their maps; what is still the same with its folder."""
    recipes = [str(one.recipe.get("name", "model")) for one in findings.values()]
    maps = [one.maps.name if one.maps else "" for one in findings.values()]
    folders = [Path(folder).resolve() for folder in findings]
    above = os.path.commonpath([folder.parent for folder in folders])
    ends = [folder.relative_to(above).as_posix() for folder in folders]
    names = recipes
    for additions in (maps, ends):
        counts = Counter(names)
        names = [
            f"{name}, {addition}" if counts[name] > 1 else name for name, addition in zip(names, additions, strict=True)
        ]
    return names


def _identity(case: Case) -> Hashable:
    return case.name if case.path is None else (case.path.absolute(), case.slice, case.tile)


def _places(cases: Cases) -> dict[Hashable, int]:
    """Where each image is."""
    return {_identity(case): index for index, case in enumerate(cases)}


def _in_all(places: Mapping[str, Mapping[Hashable, int]]) -> list[Hashable]:
    """The images that every one of the findings has, in the order of the first."""
    first, *others = places
    shared = list(places[first])
    for position, other in enumerate(others):
        shared = [identity for identity in shared if identity in places[other]]
        if not shared:
            before = ", ".join([first, *others[:position]])
            raise DataError(f"{other}: has no image that is also in {before}; score the same images with each model")
    return shared


def _chosen(findings: Findings, shared: Sequence[int]) -> list[Case]:
    """The cases to show of those at the indices ``shared``: first the abnormal ones, then the normal ones."""
    cases = findings.cases[shared]
    groups = choose(cases, findings.labels[shared], findings.score[shared], findings.abnormal[shared])
    chosen = next(group for group in groups.values() if group)  # the labelled ones, or the most abnormal ones
    normal = [index for index, case in enumerate(cases) if case.label == 0 and index not in chosen]
    return [cases[index] for index in [*chosen, *_spread(cases, normal)]]


def _spread(cases: Cases, indices: Sequence[int]) -> list[int]:
    """``NORMAL_IMAGES`` of some cases, of different subjects where there are several, from the middle of each."""
    of_subjects: dict[object, list[int]] = {}
    for index in indices:
        of_subjects.setdefault(cases[index].subject or index, []).append(index)
    groups: Sequence[Sequence[int] | np.ndarray] = list(of_subjects.values())
    if len(groups) == 1:
        groups = [part for part in np.array_split(groups[0], NORMAL_IMAGES) if part.size]
    kept = np.unique(np.linspace(0, len(groups) - 1, min(NORMAL_IMAGES, len(groups))).round().astype(int))
    return [int(groups[i][len(groups[i]) // 2]) for i in kept]


def _row(case: Case, judged: Sequence[tuple[Findings, int]]) -> ComparedImage:
    """A case under the maps of the findings, in each of which it is at the index given."""
    pixels = read_case(case)
    image, truth = images.display_file(pixels), _truth(case, pixels)

    def outlined(picture: np.ndarray) -> np.ndarray:
        return picture if truth is None else images.outlined(picture, truth)

    maps = []
    for findings, index in judged:
        assert findings.maps is not None, "asked for before"
        if findings.maps.source_size(index) != pixels.shape[:2]:
            raise ImageError(f"{case}: has another size than when it was scored")
        overlay = images.overlay(image, findings.maps.on_source_grid(index), findings.maps.range_of())
        score, abnormal = float(findings.score[index]), bool(findings.abnormal[index])
        maps.append(MethodMap(outlined(_fitted(overlay)), score, abnormal))
    plain = _fitted(image)
    return ComparedImage(case.name, case.subject, case.label, plain, None if truth is None else outlined(plain), maps)


def _truth(case: Case, pixels: np.ndarray) -> np.ndarray | None:
    """What is truly abnormal, at the size of the pictures; None where that is unknown or nothing."""
    height, width = pixels.shape[:2]
    try:
        truth = true_mask(case, (height, width))
    except ImageError:  # a mask that cannot be used is the evaluation's to report
        return None
    if truth is None or not truth.any():
        return None
    covered = _fitted(truth[..., None].astype(np.float32))[..., 0]
    return np.asarray(covered > _TOUCHED)


def _fitted(pixels: np.ndarray) -> np.ndarray:
    """``(H, W, C)`` at the size of the pictures: large ones shrunk, small ones with each pixel drawn several times.

    Outlines are drawn at this size, so that they are thin on all of them.
    """
    height, width = pixels.shape[:2]
    longer = max(height, width)
    if longer <= PICTURE_SIZE:
        return pixels.repeat(PICTURE_SIZE // longer, axis=0).repeat(PICTURE_SIZE // longer, axis=1)
    size = max(round(height * PICTURE_SIZE / longer), 1), max(round(width * PICTURE_SIZE / longer), 1)
    return resize(pixels, size, "area")
