"""The findings: what scoring says of each case, how good that is where labels are known, and how to keep it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.cases.table import WHOLE_COLUMNS, columns_of
from sanoscope.console import track
from sanoscope.decision import Decision, p_values
from sanoscope.errors import DataError
from sanoscope.evaluation import PixelRow, ResultRow, all_positive_row, balance, evaluate, evaluate_subjects
from sanoscope.gallery import GALLERY_SIZE, Shown, choose
from sanoscope.heatmaps import MAP_QUANTILE, Heatmaps, slices_by_volume, tiles_by_slide
from sanoscope.map_evaluation import MapEvaluation, has_masks
from sanoscope.report.content import GalleryImage, ReportContent, SideBySide

if TYPE_CHECKING:
    import pandas as pd

SUBJECT_TABLES = {"max": "Per subject, by its highest score", "mean": "Per subject, by its mean score"}


@dataclass(frozen=True)
class Findings:
    """What a detector says of cases.

    Attributes:
        cases: Those that were scored.
        score_name: The score that decides.
        scores: ``(N,)`` each, by name: the deciding one, others of the model, and the trivial ones.
        trivial: Which of them are trivial.
        decisions: A threshold for each score, fitted on the same held-out cases.
        calibration: The deciding score of the held-out normals, ``(M,)``.
        seen_in_training: ``(N,)`` bool, images that the model learned from.
        maps: Where on each image; None if not asked for, if the method does not say it, or if the folder it was
            loaded from keeps none.
        shown: Pictures for the gallery, by index.
        montages: Slices of volumes under their maps, and slides under the scores of their tiles, ``(H, W, 3)`` uint8,
            by name of the volume or slide.
        unreadable: File and reason of each case that could not be scored.
        recipe: ``Recipe.to_json`` with its notes and changes.
        history: Metrics of each training epoch.
        provenance: Data, seed, versions.
        notes: What a reader should know.
    """

    cases: Cases
    score_name: str
    scores: Mapping[str, np.ndarray]
    trivial: Sequence[str]
    decisions: Mapping[str, Decision]
    calibration: np.ndarray
    seen_in_training: np.ndarray
    maps: Heatmaps | None = None
    shown: Mapping[int, Shown] = field(default_factory=dict)
    montages: Mapping[str, np.ndarray] = field(default_factory=dict)
    unreadable: Sequence[tuple[str, str]] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, float]] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def score(self) -> np.ndarray:
        """The deciding score ``(N,)``; higher is more abnormal."""
        return self.scores[self.score_name]

    @property
    def decision(self) -> Decision:
        """The threshold in force, and what it was fitted on."""
        return self.decisions[self.score_name]

    @property
    def abnormal(self) -> np.ndarray:
        """The decisions, ``(N,)`` bool."""
        return self.decision.decide(self.score)

    @property
    def score_range(self) -> tuple[float, float]:
        """What scores are usual in held-out normals, and what hardly any of them exceeds; for colours."""
        return float(np.median(self.calibration)), float(np.quantile(self.calibration, MAP_QUANTILE))

    @property
    def p_values(self) -> np.ndarray:
        """Conformal p-values ``(N,)``: the share of held-out normals that score as high."""
        return p_values(self.score, self.calibration)

    @property
    def labels(self) -> np.ndarray:
        """``(N,)``: 0 normal, 1 abnormal, −1 unknown."""
        return np.array([-1 if case.label is None else case.label for case in self.cases], np.int64)

    @property
    def has_labels(self) -> bool:
        """Whether any case is labelled, so that there is something to evaluate."""
        return bool((self.labels >= 0).any())

    @property
    def n_subjects(self) -> int:
        """How many different subjects are known."""
        return len({subject for subject in self.cases.subjects if subject is not None})

    @property
    def table(self) -> pd.DataFrame:
        """One row per case: where it is from, the decision, its p-value, and every score."""
        import pandas as pd

        columns: dict[str, Any] = columns_of(self.cases) | {
            "score": self.score,
            "p_value": self.p_values,
            "abnormal": self.abnormal.astype(int),
            "seen_in_training": self.seen_in_training.astype(int),
        }
        columns |= {f"score: {name}": values for name, values in self.scores.items()}
        return pd.DataFrame(columns).astype(dict.fromkeys(WHOLE_COLUMNS, "Int64"))

    def subset(self, indices: Sequence[int] | np.ndarray, note: str) -> Findings:
        """The findings of some of the cases.

        Args:
            indices: Which.
            note: Why, for the reader of the results.
        """
        indices = np.asarray(indices, np.int64)
        if not len(indices):
            raise DataError(f"no case is left ({note})")
        places = {int(old): new for new, old in enumerate(indices)}
        volumes = {
            name
            for name, parts in (slices_by_volume(self.cases) | tiles_by_slide(self.cases)).items()
            if not places.keys().isdisjoint(parts)
        }
        return replace(
            self,
            cases=self.cases[indices],
            scores={name: values[indices] for name, values in self.scores.items()},
            seen_in_training=self.seen_in_training[indices],
            maps=self.maps.subset(indices) if self.maps else None,
            shown={places[old]: shown for old, shown in self.shown.items() if old in places},
            montages={name: sheet for name, sheet in self.montages.items() if name in volumes},
            notes=(*self.notes, note),
        )

    def of_subjects(self, subjects: Sequence[str]) -> Findings:
        """Only the cases of the subjects named.

        Raises:
            DataError: If one of them has no case here.
        """
        known = {case.subject for case in self.cases}
        if unknown := [subject for subject in subjects if subject not in known]:
            raise DataError(f"no case of subject '{unknown[0]}' was scored")
        chosen = [i for i, case in enumerate(self.cases) if case.subject in subjects]
        return self.subset(chosen, f"only subject{'s' * (len(subjects) > 1)} {', '.join(subjects)}")

    def balanced(self, seed: int = 0) -> Findings:
        """As many normal as abnormal cases, the surplus dropped at random (as paper A's test set)."""
        note = "class-balanced: the surplus of the larger class was dropped at random, so prevalence is one half"
        return self.subset(balance(self.labels, seed), note)

    def evaluate(self, *, resamples: int = 1000, seed: int = 0) -> list[ResultRow]:
        """Results per image: the method, its other scores, and the trivial rows.

        Raises:
            DataError: If no case is labelled.
        """
        subjects = self.cases.subjects
        rows = []
        for name, values, decision in self._scored("evaluating images"):
            decided = decision.decide(values)
            evaluation = evaluate(self.labels, values, decided, subjects, resamples=resamples, seed=seed)
            rows.append(ResultRow(self._row_name(name), self._kind(name), evaluation, decision.threshold))
        return [*rows, all_positive_row(self.labels, subjects, resamples=resamples, seed=seed)]

    def evaluate_subjects(self, how: str, *, resamples: int = 1000, seed: int = 0) -> list[ResultRow]:
        """Results per subject, by the ``max`` or ``mean`` of its images' scores."""
        subjects = self.cases.subjects
        rows = []
        for name, values, decision in self._scored("evaluating subjects"):
            evaluation = evaluate_subjects(
                self.labels, values, subjects, how, threshold=decision.threshold, resamples=resamples, seed=seed
            )
            rows.append(ResultRow(self._row_name(name), self._kind(name), evaluation, decision.threshold))
        return [*rows, all_positive_row(self.labels, subjects, how, resamples=resamples, seed=seed)]

    @property
    def has_truth(self) -> bool:
        """Whether maps and true masks are at hand, so that pixels can be evaluated."""
        return self.maps is not None and has_masks(self.cases)

    def with_ensemble(self, fraction: float, seed: int = 0) -> tuple[Findings, Findings]:
        """Fit an ensemble of the model's maps on the masks of some subjects.

        Args:
            fraction: Share of the subjects to fit on.
            seed: Of their choice.

        Returns:
            The findings of the other subjects, with the ensemble among the maps; and, for comparison, those of all.

        Raises:
            DataError: If there are no maps or masks, or fewer than two subjects with lesions.
        """
        if self.maps is None or not self.has_truth:
            raise DataError(f"{self.cases.source}: an ensemble needs maps and masks; score images that have masks")
        fitted = MapEvaluation(self.cases, self.maps, "").ensemble(fraction, seed)
        everything = replace(self, maps=fitted.maps)
        return everything.subset(fitted.others, fitted.note), everything

    def pixel_tables(self, *, resamples: int = 1000, seed: int = 0) -> tuple[dict[str, list[PixelRow]], list[str]]:
        """Results per pixel on the source grid by title, of the whole image and of the foreground; and notes."""
        if self.maps is None or not self.has_truth:
            return {}, []
        least_abnormal = self.recipe.get("options", {}).get("data.least_abnormal", 0.0)
        pixels = MapEvaluation(self.cases, self.maps, str(self.recipe.get("name", "model")), least_abnormal)
        if pixels.is_empty:
            return {}, pixels.notes
        titles = {"Whole image": False} | ({"Foreground only": True} if pixels.has_foreground else {})
        tables = {
            title: pixels.rows(foreground_only=foreground_only, resamples=resamples, seed=seed)
            for title, foreground_only in titles.items()
        }
        return tables, pixels.notes

    def _scored(self, what: str) -> Iterator[tuple[str, np.ndarray, Decision]]:
        for name, values in track(self.scores.items(), what, len(self.scores)):
            yield name, values, self.decisions[name]

    def _kind(self, name: str) -> str:
        return "trivial" if name in self.trivial else "method" if name == self.score_name else "other score"

    def _row_name(self, name: str) -> str:
        return name if name in self.trivial else f"{self.recipe.get('name', 'model')}, {name}"

    def content(self, *, resamples: int = 1000, seed: int = 0) -> ReportContent:
        """Everything that the report shows; ``seed`` draws the resamples for intervals."""
        subject_rows = {}
        if self.has_labels and self.n_subjects > 1:
            subject_rows = {
                title: self.evaluate_subjects(how, resamples=resamples, seed=seed)
                for how, title in SUBJECT_TABLES.items()
            }
        recipe = dict(self.recipe)
        pixel_rows, pixel_notes = self.pixel_tables(resamples=resamples, seed=seed)
        return ReportContent(
            title=f"{recipe.get('name', 'Findings')} on {Path(self.cases.source).name}",
            recipe=recipe,
            changed=recipe.get("changed", {}),
            score_name=self.score_name,
            decision=self.decision.to_json(),
            scores=self.score,
            labels=self.labels,
            calibration_scores=self.calibration,
            rows=self.evaluate(resamples=resamples, seed=seed) if self.has_labels else (),
            subject_rows=subject_rows,
            pixel_rows=pixel_rows,
            map_name=self.maps.name if self.maps else recipe.get("options", {}).get("scoring.map", "map"),
            montages=self.montages,
            history=self.history,
            gallery=self.gallery(),
            unreadable=self.unreadable,
            provenance=self.provenance,
            notes=[*recipe.get("notes", ()), *self.notes, *pixel_notes],
        )

    def report(self, path: str | Path, *, resamples: int = 1000, beside: SideBySide | None = None) -> Path:
        """Write the HTML report, one file that works offline; ``compare_maps`` puts other methods ``beside`` this."""
        from sanoscope.report.html import write_report

        return write_report(replace(self.content(resamples=resamples), side_by_side=beside), Path(path))

    def gallery_groups(self, size: int = GALLERY_SIZE) -> dict[str, list[int]]:
        """Indices of the cases worth looking at, by the title of their group."""
        return choose(self.cases, self.labels, self.score, self.abnormal, size)

    def gallery(self) -> dict[str, list[GalleryImage]]:
        """The pictures at hand of each group."""
        p, abnormal = self.p_values, self.abnormal
        groups = {}
        for title, indices in self.gallery_groups().items():
            images = [self._gallery_image(i, float(p[i]), bool(abnormal[i])) for i in indices if i in self.shown]
            if images:
                groups[title] = images
        return groups

    def _gallery_image(self, index: int, p_value: float, abnormal: bool) -> GalleryImage:
        case, shown = self.cases[index], self.shown[index]
        return GalleryImage(
            case.name,
            case.subject,
            case.label,
            float(self.score[index]),
            p_value,
            abnormal,
            shown.image,
            shown.reconstruction,
            shown.overlay,
            shown.truth,
            shown.others,
        )

    def save(
        self,
        folder: str | Path,
        content: ReportContent | None = None,
        *,
        dicom: bool = False,
        geojson: bool = False,
        identified: bool = False,
    ) -> Path:
        """Write ``scores.csv``, ``findings.json``, maps, overlays, the gallery and ``report.html``.

        Args:
            folder: Made where it does not exist.
            content: What the report shows, where it is at hand already; its intervals take a while.
            dicom: Write a DICOM Segmentation and a Parametric Map for each source in DICOM.
            geojson: Write the outlines of what lies above the threshold for each image; slides always have them.
            identified: Let these DICOM files say who the patient is, as their sources do.
        """
        from sanoscope.findings_folder import save_findings

        return save_findings(
            self, Path(folder), content or self.content(), dicom=dicom, geojson=geojson, identified=identified
        )

    @classmethod
    def load(cls, folder: str | Path) -> Findings:
        """What ``save`` wrote; maps come back where masks tell how good they are."""
        from sanoscope.findings_folder import load_findings

        return load_findings(Path(folder))
