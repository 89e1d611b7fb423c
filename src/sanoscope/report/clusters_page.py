"""The page of clusters as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sanoscope.clustering.projection import Projection
from sanoscope.report.clusters_content import ClustersContent
from sanoscope.report.clusters_figures import UNKNOWN, Look, look_of, number_figure, projection_figure
from sanoscope.report.html import Drawing, page_environment
from sanoscope.report.summary import STANDING_NOTE, Tile, count
from sanoscope.report.svg import COLOURS, inline_svg

# More subjects than this cannot be told apart by colour.
_MOST_SUBJECTS = 12
# Subjects that are named with a cluster.
_NAMED_SUBJECTS = 6
# Up to this width a picture is enlarged with its pixels kept visible.
_SMALL = 80
_BY_CLASS = {name: Look(COLOURS[name]) for name in ("normal", "abnormal")}


@dataclass(frozen=True)
class Colouring:
    """What points are coloured by.

    Attributes:
        title: What it is.
        looks: Of each image's point.
        legend: Names with their looks.
    """

    title: str
    looks: Sequence[Look]
    legend: Sequence[tuple[str, Look]]


def render_clusters(content: ClustersContent) -> str:
    """The page as text; the same content gives the same text."""
    colourings = list(_colourings(content))
    maps = [(colouring, list(_maps(content.projections, colouring))) for colouring in colourings]
    present = {
        "clusters": ("Clusters", content.clusters),
        "maps": ("Where the images lie", content.projections),
        "number": ("How many clusters", content.choice),
        "match": ("How well they match the labels", content.tables),
        "recipe": ("Method", content.recipe),
        "data": ("Data and settings", content.facts),
        "unreadable": ("Unreadable files", content.unreadable),
    }
    environment = page_environment()
    environment.filters["look"] = look_of
    return environment.get_template("clusters.html").render(
        content=content,
        sections={name: title for name, (title, there) in present.items() if there},
        verdict=verdict(content),
        tiles=tiles(content),
        notes=list(dict.fromkeys([STANDING_NOTE, *content.notes])),
        maps=maps,
        number=_number_drawing(content),
        class_looks={**_class_looks(content), "unlabelled": UNKNOWN},
        named_subjects=_NAMED_SUBJECTS,
        small_image=_SMALL,
    )


def verdict(content: ClustersContent) -> str:
    """What was found, in one sentence."""
    subjects = len({subject for subject in content.subjects if subject is not None})
    of = f" of {count(subjects, 'subject')}" if subjects else ""
    sentence = f"{count(len(content.assigned), 'image')}{of} in {count(len(content.clusters), 'cluster')}"
    if (match := _own(content, "adjusted_rand")) is None:
        return f"{sentence}."
    return f"{sentence}; their agreement with the labels is {match:.2f} (adjusted Rand index: 1 is the same, 0 chance)."


def tiles(content: ClustersContent) -> list[Tile]:
    """The numbers to see first."""
    sizes = ", ".join(f"{card.size:,}" for card in content.clusters)
    shown = [
        Tile("Images", f"{len(content.assigned):,}", [f"{len(content.unreadable):,} could not be read"]),
        Tile("Clusters", f"{len(content.clusters)}", [f"of {sizes} images"]),
    ]
    if content.silhouette is not None:
        shown.append(Tile("Silhouette", f"{content.silhouette:.3f}", ["-1 to 1; near 0: no gaps between clusters"]))
    names = {
        "adjusted_rand": ("Adjusted Rand index", ["with the labels: 1 is the same, 0 chance"]),
        "accuracy": ("Accuracy", ["oracle: clusters named by these very labels"]),
    }
    for key, (label, details) in names.items():
        if (value := _own(content, key)) is not None:
            shown.append(Tile(label, f"{value:.3f}", details))
    return shown


def _own(content: ClustersContent, metric: str) -> float | None:
    """A metric of these clusters, where there are labels."""
    rows = [row for table in content.tables[:1] for row in table.rows if row.method]
    value = rows[0].values.get(metric) if rows else None
    return None if value is None else value.mean


def _class_looks(content: ClustersContent) -> dict[str, Look]:
    """Blue is normal and orange abnormal everywhere; other names have the looks of their order."""
    names = {name for name in content.classes if name is not None}
    order = sorted(names, key=lambda name: (name != "normal", name))
    plain = names <= set(_BY_CLASS)
    return {name: _BY_CLASS[name] if plain else look_of(number) for number, name in enumerate(order)}


def _colourings(content: ClustersContent) -> Iterator[Colouring]:
    legend = [(f"cluster {card.number}", look_of(card.number)) for card in content.clusters]
    yield Colouring("By cluster", [look_of(int(number)) for number in content.assigned], legend)
    if classes := _class_looks(content):
        yield _by_name("By label", content.classes, classes)
    subjects = sorted({name for name in content.subjects if name is not None})
    if 1 < len(subjects) <= _MOST_SUBJECTS:
        yield _by_name("By subject", content.subjects, {name: look_of(i) for i, name in enumerate(subjects)})


def _by_name(title: str, names: Sequence[str | None], looks: dict[str, Look]) -> Colouring:
    unknown = [("unknown", UNKNOWN)] if None in names else []
    return Colouring(title, [UNKNOWN if name is None else looks[name] for name in names], [*looks.items(), *unknown])


def _maps(projections: Sequence[Projection], colouring: Colouring) -> Iterator[Drawing]:
    for projection in projections:
        drawn = projection_figure(projection, [colouring.looks[int(row)] for row in projection.rows])
        text = f"Images as points by {projection.name}, coloured {colouring.title.lower()}."
        name = f"{projection.name}-{colouring.title}".lower().replace(" ", "-")
        yield Drawing(inline_svg(drawn, name, text), projection.name, _of(projection))


def _of(projection: Projection) -> str:
    points = count(len(projection.rows), "image")
    if projection.perplexity is None:
        return f"{points}; what differs most between latents, in their own units."
    return f"{points}; neighbours stay neighbours (perplexity {projection.perplexity:.3g}), distances mean little."


def _number_drawing(content: ClustersContent) -> Drawing | None:
    if content.choice is None:
        return None
    text = "Silhouette and stability of each number of clusters."
    caption = (
        "Within the ring: the suggestion. Vertical line: the number in use. Stability: the mean agreement of "
        "clusterings of random parts of the images, with its standard deviation; above the dashed line it counts as "
        "stable. Both are of at most 2,000 images, and of principal components where latents are wide, so that the "
        "silhouette may differ a little from that above."
    )
    drawn = number_figure(content.choice, len(content.clusters))
    return Drawing(inline_svg(drawn, "number", text), "Silhouette and stability", caption)
