"""Which DICOM files are slices of one volume, by what their headers tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sanoscope.cases.dicom_checks import frame_count, frame_shape
from sanoscope.cases.dicom_geometry import SAME_PLACE, Plane, distances, plane_of, spacing_of
from sanoscope.cases.dicom_header import DAMAGED, discreet, headers_of, numbers
from sanoscope.cases.layouts.groups import listed

# What tells images at the same place apart, the outermost first.
KINDS = ("EchoNumbers", "TemporalPositionIdentifier", "AcquisitionNumber")
KEYWORDS = (
    *KINDS,
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "PatientID",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "SliceThickness",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


@dataclass(frozen=True, eq=False)
class Image:
    """What the header of a file tells.

    Attributes:
        name: Of the file.
        uid: SeriesInstanceUID.
        instance: SOPInstanceUID.
        patient: PatientID, never to be printed or written.
        shape: Rows, columns and samples.
        itemsize: Bytes of a sample.
        frames: How many.
        planes: How each frame lies; empty where the header does not tell of all.
        spacing: Millimetres between rows, columns and slices, 0 where it does not tell.
        number: InstanceNumber.
        kinds: By ``KINDS``.
    """

    name: str
    uid: str
    instance: str
    patient: str = field(repr=False)
    shape: tuple[int, int, int]
    itemsize: int
    frames: int
    planes: tuple[Plane, ...]
    spacing: tuple[float, float, float]
    number: float
    kinds: tuple[float, ...]


def image_of(file: Path) -> Image:
    """What the header of a file tells.

    Raises:
        ImageError: It cannot be parsed, or tells of no image.
        OSError: The file cannot be read.
    """
    dataset = headers_of(file, KEYWORDS)
    with discreet(DAMAGED):
        frames = frame_count(dataset)
        # A file of several frames tells of each, or of none; its number alone may be anything.
        told = frames == 1 or len(dataset.get("PerFrameFunctionalGroupsSequence") or ()) == frames
        planes = [plane_of(dataset, frame) for frame in range(frames if told else 0)]
        known = tuple(plane for plane in planes if plane is not None)
        number, *kinds = ((numbers(dataset, keyword) or (0.0,))[0] for keyword in ("InstanceNumber", *KINDS))
        return Image(
            file.name,
            str(dataset.get("SeriesInstanceUID") or ""),
            str(dataset.get("SOPInstanceUID") or ""),
            str(dataset.get("PatientID") or "").strip(),
            frame_shape(dataset),
            max(1, int(dataset.BitsAllocated) // 8),
            frames,
            known if len(known) == frames else (),
            spacing_of(dataset, 0),
            number,
            tuple(kinds),
        )


def together(images: Sequence[Image]) -> Iterator[tuple[list[Image], list[str]]]:
    """The images of each volume in the order of slices, and what is irregular in it.

    A file of several frames is a volume by itself. Files of one frame are put together by series and patient, then
    by size, direction and spacing, and where several lie at the same place by echo, phase or acquisition. Those
    without a place are left out.
    """
    series: defaultdict[tuple[str, str], list[Image]] = defaultdict(list)
    for image in images:
        if image.frames > 1:
            yield [image], []
        else:
            series[image.uid, image.patient].append(image)
    for members in series.values():
        for parallel in _parallel([image for image in members if image.planes]):
            distinct, notes = _without_copies(parallel)
            notes += _missing(distinct, members)
            volumes = _volumes(distinct, 0)
            if len(volumes) > 1 and len(volumes) < len(distinct):
                notes.append(f"{len(volumes)} images at the same places, read as as many volumes")
            yield from ((volume, notes) for volume in volumes)


def unlike(planes: Sequence[Plane]) -> str:
    """Why the frames of a file are no volume, if so."""
    without = "they are read as they are stored, without places"
    if not all(planes[0].is_parallel(plane) for plane in planes):
        return f"its frames are not parallel; {without}"
    if len(planes) > 1 and np.diff(np.sort(distances(planes))).min() < SAME_PLACE:
        return f"several of its frames lie at the same place; {without}"
    return ""


def _parallel(images: Sequence[Image]) -> list[list[Image]]:
    """Images of the same shape, direction and spacing together."""
    groups: list[list[Image]] = []
    for image in images:
        for group in groups:
            first = group[0]
            if image.shape == first.shape and image.planes[0].is_parallel(first.planes[0]):
                group.append(image)
                break
        else:
            groups.append([image])
    return groups


def _places(images: Sequence[Image]) -> np.ndarray:
    """The number of the place of each image along the normal; those at the same place share one."""
    along = distances([image.planes[0] for image in images])
    order = np.argsort(along, kind="stable")
    places = np.empty(len(images), int)
    places[order] = np.cumsum(np.diff(along[order], prepend=along[order[0]]) > SAME_PLACE)
    return places


def _without_copies(images: list[Image]) -> tuple[list[Image], list[str]]:
    """The images of a volume with each instance once."""
    if _places(images).max() == 0:
        return images, []
    instances = {image.instance or image.name: image for image in reversed(images)}
    kept = [image for image in images if instances[image.instance or image.name] is image]
    copies = len(images) - len(kept)
    return kept, [f"copies left out: {copies}"] if copies else []


def _missing(images: Sequence[Image], series: Sequence[Image]) -> list[str]:
    """The numbers between the first and the last that no image of the series has."""
    own = {int(image.number) for image in images}
    if max(own) - min(own) > 2 * len(images):  # counted in steps, or not at all
        return []
    missing = sorted(set(range(min(own), max(own))) - own - {int(image.number) for image in series})
    return [f"instance numbers missing: {len(missing)} ({listed(map(str, missing), 5)})"] if missing else []


def _volumes(images: list[Image], kind: int) -> list[list[Image]]:
    """Images with one at each place, in their order, divided by ``KINDS`` from a certain one on, then by number."""
    places = _places(images)
    most = int(np.bincount(places).max())
    if most == 1:
        return [[images[i] for i in np.argsort(places)]]
    if kind == len(KINDS):
        ranks: defaultdict[int, list[Image]] = defaultdict(list)
        at_place: defaultdict[int, int] = defaultdict(int)
        for i in sorted(range(len(images)), key=lambda i: (images[i].number, images[i].name)):
            ranks[at_place[places[i]]].append(images[i])
            at_place[places[i]] += 1
        return [volume for _, same in sorted(ranks.items()) for volume in _volumes(same, kind)]
    parts: defaultdict[float, list[Image]] = defaultdict(list)
    for image in images:
        parts[image.kinds[kind]].append(image)
    if len(parts) > most:  # such as an acquisition a slice, which tells nothing of what is at the same place
        return _volumes(images, kind + 1)
    return [volume for _, part in sorted(parts.items()) for volume in _volumes(part, kind + 1)]
