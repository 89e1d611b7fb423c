"""What a report is made of, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sanoscope.evaluation import PixelRow, ResultRow


@dataclass(frozen=True)
class GalleryImage:
    """One case, as it is shown.

    Attributes:
        name: Of the case.
        subject: Its patient, where known.
        label: 0 normal, 1 abnormal, None unknown.
        score: Higher is more abnormal.
        p_value: Share of normals that score as high.
        abnormal: The decision.
        image: ``(H, W, 3)`` uint8, what the network saw.
        reconstruction: ``(H, W, 3)`` uint8, where there is one.
        overlay: ``(H, W, 3)`` uint8, the image under its map, where there is one.
        truth: ``(H, W, 3)`` uint8, the image with the outline of what is truly abnormal, where that is known.
        others: The image under the model's other maps, by name.
    """

    name: str
    subject: str | None
    label: int | None
    score: float
    p_value: float
    abnormal: bool
    image: np.ndarray
    reconstruction: np.ndarray | None = None
    overlay: np.ndarray | None = None
    truth: np.ndarray | None = None
    others: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class MethodMap:
    """What one of several methods says of an image.

    Attributes:
        overlay: ``(H, W, 3)`` uint8, the image under the method's deciding map, with the outline of the truth.
        score: By the method's own score; higher is more abnormal.
        abnormal: The method's decision.
    """

    overlay: np.ndarray
    score: float
    abnormal: bool


@dataclass(frozen=True)
class ComparedImage:
    """One image with what each of several methods says of it.

    Attributes:
        name: Of the case.
        subject: Its patient, where known.
        label: 0 normal, 1 abnormal, None unknown.
        image: ``(H, W, 3)`` uint8, as in its file.
        truth: The same with the outline of what is truly abnormal; None where that is unknown or nothing.
        maps: One for each method.
    """

    name: str
    subject: str | None
    label: int | None
    image: np.ndarray
    truth: np.ndarray | None
    maps: Sequence[MethodMap]


@dataclass(frozen=True)
class SideBySide:
    """Several methods on the same images.

    Attributes:
        methods: What stands below the name of each method, such as ``["map attention", "score map-mean"]``; in the
            order of ``ComparedImage.maps``.
        rows: The images, all of them judged by every method.
        notes: What is left out.
    """

    methods: Mapping[str, Sequence[str]]
    rows: Sequence[ComparedImage]
    notes: Sequence[str] = ()

    @property
    def has_truth(self) -> bool:
        """Whether the truth of any image can be shown."""
        return any(row.truth is not None for row in self.rows)


@dataclass(frozen=True)
class ReportContent:
    """Everything that a report shows.

    Attributes:
        title: Of the page, such as ``"conv-vae on idc"``.
        recipe: ``Recipe.to_json``: name, title, paper, options by dotted name; and its notes.
        changed: Options that differ from their defaults.
        score_name: The score that decides, such as ``wasserstein``.
        decision: ``Decision.to_json``: rule, threshold, what it was fitted on.
        scores: ``(N,)``.
        labels: ``(N,)``, 0 normal, 1 abnormal, −1 unknown.
        calibration_scores: Scores of the validation normals, ``(M,)``.
        rows: Results per image: the method, its other scores, the trivial rows; empty without labels.
        subject_rows: The same per subject, by title of the table, such as ``"Per subject, largest score"``.
        pixel_rows: Results per pixel by title of the table, such as ``"Whole image"``.
        map_name: The deciding map, such as ``rec-grad``.
        montages: Slices of a volume under their maps, or a slide under the scores of its tiles, ``(H, W, 3)`` uint8, by
            name of the volume or slide.
        history: One mapping per epoch: ``epoch``, ``seconds``, ``train/loss``, ``validation/loss`` and so on.
        gallery: Images by group title, such as ``"Most abnormal"``.
        side_by_side: This method beside others on the same images, if it was compared.
        unreadable: File and reason of what could not be read.
        provenance: Versions, seed, device, data fingerprints: nested mappings of plain values.
        notes: What a reader of the results should know.
    """

    title: str
    recipe: Mapping[str, Any]
    changed: Mapping[str, Any]
    score_name: str
    decision: Mapping[str, Any]
    scores: np.ndarray
    labels: np.ndarray
    calibration_scores: np.ndarray
    rows: Sequence[ResultRow] = ()
    subject_rows: Mapping[str, Sequence[ResultRow]] = field(default_factory=dict)
    pixel_rows: Mapping[str, Sequence[PixelRow]] = field(default_factory=dict)
    map_name: str = "map"
    montages: Mapping[str, np.ndarray] = field(default_factory=dict)
    history: Sequence[Mapping[str, float]] = ()
    gallery: Mapping[str, Sequence[GalleryImage]] = field(default_factory=dict)
    side_by_side: SideBySide | None = None
    unreadable: Sequence[tuple[str, str]] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
