"""More like this: of a collection, the images that a model takes for most like a given one."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.clustering.neighbours import nearest
from sanoscope.errors import DataError, ImageError
from sanoscope.report.html import write_page
from sanoscope.report.similar_page import SimilarContent, render_similar
from sanoscope.subtypes.encoders import Encoder
from sanoscope.subtypes.pictures import patch_of

if TYPE_CHECKING:
    import pandas as pd

TABLE_FILE, PAGE_FILE = "similar.csv", "similar.html"


@dataclass(frozen=True)
class Similar:
    """An image with those that are most like it.

    Attributes:
        query: The image.
        cases: The images that were found, the most similar first.
        distances: Of their latents to those of the query, ``(M,)``.
        metric: ``euclidean`` or ``cosine``.
        searched: Among how many images.
        copies: How many exact copies of the query were left out.
        unreadable: File and reason of each image that could not be read.
    """

    query: Cases
    cases: Cases
    distances: np.ndarray
    metric: str
    searched: int
    copies: int
    unreadable: list[tuple[str, str]]

    @property
    def table(self) -> pd.DataFrame:
        """One row per image that was found."""
        import pandas as pd

        columns: dict[str, Any] = {
            "rank": range(1, len(self.cases) + 1),
            "name": [case.name for case in self.cases],
            "path": ["" if case.path is None else str(case.path) for case in self.cases],
            "subject": self.cases.subjects,
            "label": pd.array(self.cases.labels, dtype="Int64"),
            "group": [case.group for case in self.cases],
            "distance": self.distances,
        }
        return pd.DataFrame(columns)


def find_similar(
    encoder: Encoder,
    query: Cases,
    cases: Cases,
    count: int = 10,
    metric: str = "euclidean",
    other_subjects: bool = False,
) -> Similar:
    """The images whose latents are nearest to those of one image; copies of its file are left out.

    Args:
        encoder: Fitted.
        query: A single case.
        cases: Where to look.
        count: How many to find.
        metric: See ``clustering.neighbours.nearest``.
        other_subjects: Leave out images of the query's own subject too.

    Raises:
        DataError: If the query is not one image, or there is nothing to look among.
        ImageError: If the query cannot be read.
        OptionError: A metric or count that cannot be.
    """
    if len(query) != 1:
        raise DataError(f"{query.source}: holds {len(query)} images; give one image to find similar ones of")
    asked, latents = encoder.encode(query)
    if not len(asked):
        raise ImageError(asked.unreadable[0].reason)
    subject = query[0].subject
    if other_subjects:
        if subject is None:
            raise DataError(f"{query.source}: its subject is not known, so its own images cannot be left out")
        cases = cases.where(lambda case: case.subject != subject)
    pictures, others = encoder.encode(cases)
    copies = np.array([key == asked.keys[0] for key in pictures.keys], bool)
    rows = np.flatnonzero(~copies)
    unreadable = [(str(item.case), item.reason) for item in pictures.unreadable]
    if not len(rows):
        why = f" (the first: {unreadable[0][1]})" if unreadable else ""
        raise DataError(f"{cases.source}: has no other image that can be read{why}; give a collection to look in")
    found, distances = nearest(others[rows], latents[0], count, metric)
    return Similar(
        asked.cases, pictures.cases[rows[found]], distances, metric, len(rows), int(copies.sum()), unreadable
    )


def write_similar(similar: Similar, encoder: Encoder, folder: Path) -> Path:
    """Write the table and a page with the pictures.

    Returns:
        The path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    similar.table.to_csv(folder / TABLE_FILE, index=False, errors="surrogateescape", quoting=csv.QUOTE_NONNUMERIC)
    notes = ["Near in what the network keeps of an image is not near in diagnosis: look at them."]
    if similar.copies:
        notes.append(f"Copies of the image itself that were left out: {similar.copies}.")
    if similar.unreadable:
        notes.append(f"Images that could not be read, and were not looked at: {len(similar.unreadable)}.")
    content = SimilarContent(
        title=f"Images like {similar.query[0].name}",
        query=patch_of(similar.query[0]),
        neighbours=[
            (patch_of(case), float(distance)) for case, distance in zip(similar.cases, similar.distances, strict=True)
        ],
        metric=similar.metric,
        facts={"Method": encoder.title, "Looked among": f"{similar.searched:,} images of {similar.cases.source}"},
        notes=notes,
    )
    return write_page(render_similar(content), folder / PAGE_FILE)
