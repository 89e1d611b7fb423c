"""What an inspection has found in words, for the console and the page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sanoscope.inspection.files import Format
from sanoscope.inspection.inspection import Inspection

MOST_LISTED = 4


def facts_of(inspection: Inspection) -> dict[str, str]:
    """What is there, one line a subject; lines without content are left out."""
    known = {
        "layout": inspection.layout,
        "files": "; ".join(map(_format, inspection.formats)),
        "cases": _cases(inspection),
        "labels": counts_of(inspection.labels),
        "groups": counts_of(inspection.groups, 8),
        "sides": "; ".join(f"{side}: {counts_of(labels)}" for side, labels in inspection.splits.items()),
        "sizes": _sizes(inspection),
        "channels": counts_of(inspection.channels),
        "stored as": counts_of(inspection.depths),
        "values": _values(inspection),
        "volumes": _volumes(inspection),
        "DICOM": "; ".join(f"{name} {counts_of(values)}" for name, values in inspection.headers.items()),
        "slides": _slides(inspection),
    }
    return {name: text for name, text in known.items() if text}


def counts_of(counts: Mapping[str, int], most: int = MOST_LISTED) -> str:
    """``"3,714 normal, 2,279 abnormal"``; where there is but one, its name alone."""
    if len(counts) == 1:
        return f"{next(iter(counts))}"
    listed = [f"{name} ({number:,})" for name, number in list(counts.items())[:most]]
    return ", ".join(listed) + (f", and {len(counts) - most} others" if len(counts) > most else "")


def megabytes(number: int) -> str:
    """``"35.1 MB"``."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def _format(one: Format) -> str:
    if one.kind == "array" and not one.files:
        return f"{one.cases:,} images in memory"
    kind = "" if one.kind == "series" else f" {one.kind}" + ("s" if one.files != 1 else "")
    of_series = " files of series" if one.kind == "series" else ""
    return f"{one.files:,} {one.suffix or 'without suffix'}{kind}{of_series}, {megabytes(one.bytes)}"


def _cases(inspection: Inspection) -> str:
    subjects = "subjects unknown" if inspection.subjects is None else f"subjects: {inspection.subjects:,}"
    drawn = "" if inspection.read == inspection.cases else f", of which {inspection.read:,} were read"
    return f"{inspection.cases:,}{drawn}; {subjects}"


def _sizes(inspection: Inspection) -> str:
    """Height × width: the most common, the least and the largest."""
    sizes = inspection.sizes
    if len(sizes) < 2:
        return counts_of(sizes)
    found = inspection.seen.values("size")
    areas = np.prod(found, axis=1)
    ends = [" × ".join(map(str, found[place])) for place in (np.argmin(areas), np.argmax(areas))]
    return f"{counts_of(sizes)}; from {ends[0]} to {ends[1]} (height × width)"


def _values(inspection: Inspection) -> str:
    values = inspection.values
    if not values:
        return ""
    line = f"{values['low']:.6g} to {values['high']:.6g}, mean {values['mean']:.4g}"
    auroc = values["grey AUROC"]
    if auroc is None:
        return line
    return f"{line}; abnormal images {'brighter' if auroc > 0.5 else 'darker'}, AUROC {max(auroc, 1 - auroc):.2f}"


def _volumes(inspection: Inspection) -> str:
    volumes = inspection.volumes
    if not volumes:
        return ""
    shapes, orientations = counts_of(volumes["shapes"]), counts_of(volumes["orientations"])
    return f"{volumes['volumes']:,} of {shapes} voxels; spacing {counts_of(volumes['spacings'])} mm; {orientations}"


def _slides(inspection: Inspection) -> str:
    told = []
    for slide in inspection.slides[:MOST_LISTED]:
        scale = slide["micrometres a pixel"]
        size = " × ".join(f"{side:,}" for side in slide["size"])
        power = f"{slide['objective']:g}× " if slide["objective"] else ""
        told.append(f"{slide['slide']}: {power}{size}" + (f", {scale[0]:g} µm a pixel" if scale else ""))
    more = len(inspection.slides) - MOST_LISTED
    return "; ".join(told) + (f"; and {more} others" if more > 0 else "")
