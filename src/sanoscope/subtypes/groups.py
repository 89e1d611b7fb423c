"""Groups: cases in clusters of what an encoder makes of them, and how well these match what is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.clustering.agreement import classification, partition, silhouette
from sanoscope.clustering.clusterer import Clustering, ClusterSettings
from sanoscope.clustering.naming import name_clusters
from sanoscope.clustering.projection import Projection
from sanoscope.detector import Detector
from sanoscope.errors import DataError
from sanoscope.preparation.pictures import Pictures
from sanoscope.subtypes.classes import classes_of
from sanoscope.subtypes.encoders import Encoder

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Groups:
    """Cases in clusters.

    Attributes:
        pictures: Those that could be read.
        latents: What the encoder makes of them, ``(N, L)``.
        clustering: The clusters.
        assigned: The cluster of each case, ``(N,)``.
        seed: Of what is drawn at random.
    """

    pictures: Pictures
    latents: np.ndarray
    clustering: Clustering
    assigned: np.ndarray
    seed: int

    @property
    def cases(self) -> Cases:
        """The cases that could be read, in order."""
        return self.pictures.cases

    @property
    def unreadable(self) -> list[tuple[str, str]]:
        """File and reason of each case that could not be read."""
        return [(str(item.case), item.reason) for item in self.pictures.unreadable]

    @property
    def number(self) -> int:
        """How many clusters there are; some may have none of these cases."""
        return len(self.clustering.sizes)

    @cached_property
    def distances(self) -> np.ndarray:
        """Of each case to each centre, ``(N, k)``."""
        return self.clustering.distances(self.latents)

    @cached_property
    def classes(self) -> tuple[tuple[str, ...], np.ndarray]:
        """Names of what cases are labelled as, and the class of each, ``(N,)``, −1 where unknown."""
        return classes_of(self.cases)

    @property
    def has_classes(self) -> bool:
        """Whether at least two classes are among the labels, so that there is something to compare clusters with."""
        return len(np.unique(self.classes[1][self.classes[1] >= 0])) > 1

    @cached_property
    def silhouette(self) -> float | None:
        """The mean silhouette of the cases; None where all are in one cluster."""
        return silhouette(self.latents, self.assigned, self.seed)

    def match(self) -> dict[str, float | None]:
        """How well the clusters match the classes.

        Accuracy and F1 are by the one-to-one map of these same cases, so that they are oracles.
        """
        names, labels = self.classes
        named = name_clusters(self.assigned, labels, self.number, len(names))
        return {
            **classification(labels, named[self.assigned], len(names)),
            **partition(labels, self.assigned),
            "silhouette": self.silhouette,
        }

    def match_with_subjects(self) -> dict[str, float | None]:
        """How far the clusters are nothing but subjects: the same for those, of cases whose subject is known."""
        subjects = [subject for subject in self.cases.subjects if subject is not None]
        codes = {subject: number for number, subject in enumerate(dict.fromkeys(subjects))}
        known = np.array([subject is not None for subject in self.cases.subjects], bool)
        return partition(np.array([codes[subject] for subject in subjects], np.int64), self.assigned[known])

    def table(self, projections: Sequence[Projection] = ()) -> pd.DataFrame:
        """One row per case: where it is from, its cluster, how far from the centre, and from the nearest other one.

        Args:
            projections: Points for plots, as further columns; empty where a case has none.
        """
        import pandas as pd

        others = self.distances.copy()
        own = others[np.arange(len(others)), self.assigned]
        others[np.arange(len(others)), self.assigned] = np.inf
        columns: dict[str, Any] = {
            "name": [case.name for case in self.cases],
            "path": ["" if case.path is None else str(case.path) for case in self.cases],
            "subject": self.cases.subjects,
            "label": pd.array(self.cases.labels, dtype="Int64"),
            "group": [case.group for case in self.cases],
            "cluster": self.assigned,
            "distance": own,
        }
        if self.number > 1:
            columns |= {"next cluster": others.argmin(1), "distance to next": others.min(1)}
        probabilities = self.clustering.probabilities(self.latents)
        if probabilities is not None:
            columns |= {f"probability of {number}": column for number, column in enumerate(probabilities.T)}
        for projection in projections:
            for axis in range(2):
                values = np.full(len(self.cases), np.nan)
                values[projection.rows] = projection.points[:, axis]
                columns[f"{projection.name} {axis + 1}"] = values
        return pd.DataFrame(columns)


def find_groups(
    encoder: Encoder | Detector, cases: Cases, settings: ClusterSettings | None = None, seed: int = 0
) -> Groups:
    """Clusters of what an encoder makes of cases.

    Args:
        encoder: Fitted, on these or other cases.
        cases: What to group; what cannot be read is listed, the rest is grouped.
        settings: How clusters are found, and how many; two by k-means where None.
        seed: Of the starts.

    Raises:
        DataError: If there are fewer images that can be read than clusters, or all are equal.
    """
    return grouped(*encoded(encoder, cases), settings or ClusterSettings(), seed)


def grouped(pictures: Pictures, latents: np.ndarray, settings: ClusterSettings, seed: int = 0) -> Groups:
    """Clusters of pictures by their latents ``(N, L)``; see ``find_groups``."""
    clustering = Clustering.find(latents, settings, seed)
    return Groups(pictures, latents, clustering, clustering.assign(latents), seed)


def assign_groups(encoder: Encoder | Detector, cases: Cases, clustering: Clustering, seed: int = 0) -> Groups:
    """Cases in clusters that were found before, by the same encoder; see ``find_groups``."""
    pictures, latents = encoded(encoder, cases)
    return Groups(pictures, latents, clustering, clustering.assign(latents), seed)


def encoded(encoder: Encoder | Detector, cases: Cases) -> tuple[Pictures, np.ndarray]:
    """The pictures of all cases that can be read, and their latents ``(N, L)``.

    Raises:
        DataError: If none can be read.
    """
    pictures, latents = encoder.encode(cases)
    if not len(pictures):
        reasons = [f"the first: {item.reason}" for item in pictures.unreadable[:1]]
        raise DataError("; ".join([f"{cases.source}: none of {len(cases)} images can be read", *reasons]))
    return pictures, latents
