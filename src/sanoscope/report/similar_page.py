"""The page of images that are like a given one, as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sanoscope.report.clusters_content import Patch
from sanoscope.report.html import page_environment
from sanoscope.report.summary import STANDING_NOTE, Tile, count

# Up to this width a picture is enlarged with its pixels kept visible.
_SMALL = 80


@dataclass(frozen=True)
class SimilarContent:
    """What the page shows.

    Attributes:
        title: Of the page.
        query: The image that was asked for.
        neighbours: What was found, with the distance of its latents, the nearest first.
        metric: ``euclidean`` or ``cosine``.
        facts: Method, data.
        notes: What a reader should know.
    """

    title: str
    query: Patch
    neighbours: Sequence[tuple[Patch, float]]
    metric: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


def render_similar(content: SimilarContent) -> str:
    """The page as text; the same content gives the same text."""
    present = {
        "images": ("From the nearest on", content.neighbours),
        "data": ("Method and data", content.facts),
    }
    return (
        page_environment()
        .get_template("similar.html")
        .render(
            content=content,
            sections={name: title for name, (title, there) in present.items() if there},
            verdict=_verdict(content),
            tiles=_tiles(content),
            notes=list(dict.fromkeys([STANDING_NOTE, *content.notes])),
            small_image=_SMALL,
        )
    )


def _verdict(content: SimilarContent) -> str:
    """How many have the query's own class, where that is known."""
    found = count(len(content.neighbours), "similar image")
    known = [patch.class_name for patch, _ in content.neighbours if patch.class_name is not None]
    if content.query.class_name is None or not known:
        return f"{found}, by the {content.metric} distance of latents."
    same = sum(name == content.query.class_name for name in known)
    return f"{found}; with the label of the image itself, {content.query.class_name}: {same} of {len(known)}."


def _tiles(content: SimilarContent) -> list[Tile]:
    distances = [distance for _, distance in content.neighbours]
    tiles = [Tile("Nearest", f"{distances[0]:.4g}", [f"{content.metric} distance"])]
    tiles.append(Tile("Furthest shown", f"{distances[-1]:.4g}", [f"number {len(distances)}"]))
    subjects = {patch.subject for patch, _ in content.neighbours if patch.subject is not None}
    if subjects:
        own = sum(patch.subject == content.query.subject for patch, _ in content.neighbours)
        detail = f"{own} of the image's own subject" if content.query.subject is not None else "its own is unknown"
        tiles.append(Tile("Subjects", f"{len(subjects)}", [detail]))
    return tiles
