"""The page of an inspection as one HTML file that needs nothing else, and its JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sanoscope.errors import OptionError
from sanoscope.inspection.facts import facts_of, megabytes
from sanoscope.inspection.figures import grey_figure, sizes_figure, subjects_figure
from sanoscope.inspection.inspection import Inspection
from sanoscope.inspection.pictures import evenly, of_names, pictures_of
from sanoscope.report.html import Drawing, page_environment, write_page
from sanoscope.report.summary import STANDING_NOTE, Tile, count
from sanoscope.report.svg import inline_svg

RESULT_FILE, PAGE_FILE = "inspect.json", "inspect.html"
# Rows of a table on the page; the others are in the JSON.
MOST_ROWS = 100
MOST_GROUPS = 12
# Up to this width a picture is enlarged with its pixels kept visible.
_SMALL = 80


@dataclass(frozen=True)
class _Content:
    """What the frame of every page asks for."""

    title: str


def write_inspection(inspection: Inspection, folder: Path) -> Path:
    """Write ``inspect.json`` and ``inspect.html``.

    Returns:
        The path of the page.

    Raises:
        OptionError: If a file cannot be written.
    """
    text = json.dumps(inspection.to_json(), indent=1, ensure_ascii=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RESULT_FILE).write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise OptionError(f"{folder}: cannot be written ({error.strerror}); give a writable folder") from error
    return write_page(render(inspection), folder / PAGE_FILE)


def render(inspection: Inspection) -> str:
    """The page as text."""
    seen = inspection.seen
    drawn = evenly(seen)
    suspicious = [(one, of_names(seen, one.cases)) for one in inspection.suspicions]
    groups = [of_names(seen, group) for group in (*inspection.copies, *inspection.near_copies)[:MOST_GROUPS]]
    wanted = [*drawn, *(i for _, indices in suspicious for i in indices), *(i for group in groups for i in group)]
    pictures = pictures_of(seen, wanted)
    drawings = list(_drawings(inspection))
    present = {
        "suspicious": ("Suspicious", inspection.suspicions),
        "refused": ("Refused", inspection.refused),
        "there": ("What is there", True),
        "suggested": ("Suggested preparation", inspection.suggestions),
        "pictures": ("Images", drawn),
        "figures": ("Sizes and intensities", drawings),
        "copies": ("Copies", any(groups)),
    }
    return (
        page_environment()
        .get_template("inspection.html")
        .render(
            content=_Content(Path(inspection.source).name or inspection.source),
            inspection=inspection,
            sections={name: title for name, (title, there) in present.items() if there},
            verdict=_verdict(inspection),
            tiles=list(_tiles(inspection)),
            notes=[STANDING_NOTE, *inspection.notes],
            facts={"source": inspection.source, **facts_of(inspection), "sha256": inspection.fingerprint["sha256"]},
            suspicious=[(one, [pictures[i] for i in indices if i in pictures]) for one, indices in suspicious],
            drawn=[pictures[i] for i in drawn if i in pictures],
            groups=[[pictures[i] for i in group if i in pictures] for group in groups],
            drawings=drawings,
            most_rows=MOST_ROWS,
            small_image=_SMALL,
        )
    )


def _verdict(inspection: Inspection) -> str:
    refused, suspicions = len(inspection.refused), len(inspection.suspicions)
    readable = "All" if not refused else f"{inspection.read - refused:,} of {inspection.read:,}"
    looked = "nothing is suspicious" if not suspicions else f"{count(suspicions, 'thing')} to look at before training"
    return f"{readable} images can be read; {looked}."


def _tiles(inspection: Inspection) -> Iterator[Tile]:
    labels = [f"{number:,} {label}" for label, number in inspection.labels.items()]
    yield Tile("Images", f"{inspection.cases:,}", labels)
    subjects = "–" if inspection.subjects is None else f"{inspection.subjects:,}"
    yield Tile("Subjects", subjects, ["unknown"] if inspection.subjects is None else [])
    kinds = [f"{one.files:,} {one.suffix or one.kind}" for one in inspection.formats]
    yield Tile("Files", f"{inspection.files:,}", [*kinds[:3], megabytes(sum(one.bytes for one in inspection.formats))])
    if inspection.sizes:
        others = len(inspection.sizes) - 1
        yield Tile(
            "Size",
            next(iter(inspection.sizes)).replace(" ", ""),
            [count(others, "other size")] if others else ["all of them"],
        )
    yield Tile("Suspicious", f"{len(inspection.suspicions):,}", ["see below"] if inspection.suspicions else [])
    yield Tile("Refused", f"{len(inspection.refused):,}", [f"of {count(inspection.read, 'image')} read"])


def _drawings(inspection: Inspection) -> Iterator[Drawing]:
    seen = inspection.seen
    if not len(seen):
        return
    svg = inline_svg(grey_figure(seen), "grey", "Histogram of mean grey levels by label")
    auroc = inspection.values["grey AUROC"]
    caption = "" if auroc is None else f"AUROC of the mean grey level alone: {auroc:.2f}; 0.5 tells nothing."
    yield Drawing(svg, "Mean grey level", caption)
    if len(inspection.sizes) > 1:
        svg = inline_svg(sizes_figure(seen), "sizes", "Width against height of the images")
        yield Drawing(svg, "Sizes", "The more images of a size, the larger its dot.")
    if (inspection.subjects or 0) > 1:
        svg = inline_svg(subjects_figure(seen), "subjects", "Mean grey levels of each subject")
        yield Drawing(svg, "Mean grey level by subject", "Dot: median of a subject. Line: its middle 90 %.")
