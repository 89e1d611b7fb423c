"""DICOM files of a collection: series become volumes, volumes slices, and patients pseudonyms."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.dicom import begins_like_dicom
from sanoscope.cases.dicom_series import Found, Series, found_at, found_in
from sanoscope.cases.identity import pseudonym
from sanoscope.cases.layouts.groups import listed
from sanoscope.cases.readers import is_read
from sanoscope.cases.slicing import Slicing
from sanoscope.cases.suffixes import DICOM, suffix_of
from sanoscope.cases.volumes import slices_of
from sanoscope.console import track
from sanoscope.errors import DataError

AGREEING = ("label", "group", "split", "subject")  # within a series


def with_series(cases: Cases, slicing: Slicing) -> Cases:
    """The cases with the DICOM files of each series replaced by the chosen slices of their volume.

    A file of several frames is a volume too. Images that are alone in their series or without a place in the patient
    stay images, as do those with masks of their own and the files that a manifest names; a folder that a manifest
    names is the one volume in it. Left out are files that hold no image, and single images of series that have a
    volume, such as scouts. A file that cannot be read stays, so that reading it says why. Subjects that are not known
    become pseudonyms of the PatientID, or the PatientID itself, as ``slicing.identity`` says.

    Raises:
        DataError: The images of a series differ in what they are labelled, or a folder that a manifest names has not
            one volume.
    """
    found = _found(cases)
    if not found:
        return cases
    members = _members(cases, found)
    names = _names(cases, members)
    first_of = {indices[0]: file for file, indices in members.items()}
    merged = {i for indices in members.values() for i in indices}
    # Of a manifest's files, each is meant.
    with_volume = {_series_key(cases[i], found[i]) for i in merged} if cases.layout != "manifest" else set()
    notes = _Notes()
    result: list[Case] = []
    for i, case in enumerate(cases):
        if i not in found:
            result.append(case)
            continue
        case = replace(case, subject=case.subject or _subject(found[i], slicing))
        series = found[i].volume
        if series is not None and i in first_of:
            file = first_of[i]
            volume = replace(case, name=names[file], path=file)
            _check_alike(volume, [cases[i] for i in members[file]])
            slices = slices_of(volume, slicing if series.placed else replace(slicing, axis="axial"))
            notes.add(volume, series, slices)
            result += slices
        elif i in merged:
            continue
        elif not found[i].is_image:
            notes.left_out["files that hold no image"].append(case.name)
        elif _series_key(case, found[i]) in with_volume and not (found[i].problem or _is_marked(case)):
            notes.left_out["single images of series that have a volume, such as scouts"].append(case.name)
        else:
            result.append(case)
    if not result:  # nothing but files that hold no image: reading them says what they are
        return cases
    return cases.with_cases(result, notes)


def _found(cases: Cases) -> dict[int, Found]:
    """What the DICOM files among the cases are, by the index of the case."""
    paths = {i: case.path for i, case in enumerate(cases) if case.path is not None and not case.slice and not case.tile}
    chosen = {i: path for i, path in paths.items() if _may_be_dicom(path)}
    found = {}
    for i, path in track(chosen.items(), "reading DICOM headers", len(chosen)):
        try:
            found[i] = _only_volume(path) if path.is_dir() else found_at(path)
        except OSError:  # reading it says why
            continue
    return found


def _may_be_dicom(path: Path) -> bool:
    return suffix_of(path) in DICOM or (not is_read(path) and (path.is_dir() or begins_like_dicom(path)))


def _only_volume(folder: Path) -> Found:
    volumes = {found.volume: found for found in found_in(folder).values() if found.volume}
    if len(volumes) != 1:
        raise DataError(f"{folder}: has {len(volumes)} DICOM volumes; name a folder with one, or files one by one")
    return next(iter(volumes.values()))


def _members(cases: Cases, found: dict[int, Found]) -> dict[Path, list[int]]:
    """The indices of the cases that are put together, by the first file of their volume."""
    members: defaultdict[Path, list[int]] = defaultdict(list)
    single: defaultdict[Path, list[int]] = defaultdict(list)
    marked: set[Path] = set()
    for i, one in found.items():
        path = cases[i].path
        if one.volume is None or path is None:
            continue
        first = one.volume.files[0]
        # A folder that a manifest names is all of its volume, as is a file of several frames.
        whole = one.volume.frames or path.is_dir()
        (members if whole else single)[first].append(i)
        if not whole and _is_marked(cases[i]):
            marked.add(first)
    if cases.layout != "manifest":  # of which a file is what it says
        members |= {first: indices for first, indices in single.items() if first not in marked}
    return members


def _is_marked(case: Case) -> bool:
    """Whether an image has a mask or a foreground of its own."""
    return case.mask is not None or case.foreground is not None


def _series_key(case: Case, found: Found) -> tuple[Path | None, str, str]:
    return (case.path and case.path.parent, found.uid or case.name, found.patient)


def _names(cases: Cases, members: dict[Path, list[int]]) -> dict[Path, str]:
    """The names of volumes: of their folder where it has no other, else of their first case."""
    folders = Counter(file.parent for file in members)
    names = {}
    for file, indices in members.items():
        own = cases[indices[0]].name
        folder = own.rpartition("/")[0] or Path(cases.source).name
        alone = len(indices) > 1 and folders[file.parent] == 1 and folder
        names[file] = folder if alone else own
    return names


def _subject(found: Found, slicing: Slicing) -> str | None:
    return (found.patient or None) if slicing.identity == "patient-id" else pseudonym(found.patient)


def _check_alike(volume: Case, images: list[Case]) -> None:
    for what in AGREEING:
        by_value = {getattr(image, what): image for image in images}
        if len(by_value) > 1:
            first, second, *_ = by_value.values()
            raise DataError(
                f"{volume.path}: the images of its series differ in {what}, such as {first.path} and {second.path}; "
                "keep a series together"
            )


@dataclass
class _Notes:
    """What became of DICOM files."""

    volumes: dict[str, Series] = field(default_factory=dict)
    slices: int = 0
    doubtful: list[str] = field(default_factory=list)
    left_out: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, volume: Case, series: Series, slices: list[Case]) -> None:
        self.volumes[volume.name] = series
        self.slices += len(slices)
        if volume.label == 1 and volume.mask is None:
            self.doubtful.append(volume.name)

    def __iter__(self) -> Iterator[str]:
        if self.volumes:
            files = sum(len(series.files) for series in self.volumes.values())
            yield f"DICOM volumes: {len(self.volumes)} of {files} files, of which {self.slices} slices"
        if self.doubtful:
            clause = "DICOM volumes labelled abnormal without a mask, each slice labelled like them"
            yield f"{clause}: {len(self.doubtful)} ({listed(self.doubtful, 3)})"
        if odd := [f"{name}: {note}" for name, series in self.volumes.items() for note in series.notes]:
            yield f"irregular DICOM volumes: {'; '.join(odd[:5])}" + (f"; and {len(odd) - 5} more" if odd[5:] else "")
        yield from (f"DICOM {what}, left out: {len(some)} ({listed(some, 3)})" for what, some in self.left_out.items())
