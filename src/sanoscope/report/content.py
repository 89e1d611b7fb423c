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
        reconstruction: ``(H, W, 3)`` uint8.
        overlay: ``(H, W, 3)`` uint8, the image under its map.
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
    reconstruction: np.ndarray
    overlay: np.ndarray
    truth: np.ndarray | None = None
    others: Mapping[str, np.ndarray] = field(default_factory=dict)


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
        montages: Slices of a volume under their maps, ``(H, W, 3)`` uint8, by name of the volume.
        history: One mapping per epoch: ``epoch``, ``seconds``, ``train/loss``, ``validation/loss`` and so on.
        gallery: Images by group title, such as ``"Most abnormal"``.
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
    unreadable: Sequence[tuple[str, str]] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
