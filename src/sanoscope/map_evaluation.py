"""How good maps are, pixel by pixel on the source grid, where true masks are known."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.cases.filters import drop_small_lesions
from sanoscope.cases.masks import true_mask
from sanoscope.console import track
from sanoscope.errors import DataError, ImageError, nearest
from sanoscope.evaluation import PixelRow, PixelSample, evaluate_pixels_with_draws
from sanoscope.evaluation.ensemble import PIXELS, fit_ensemble, split_labelled
from sanoscope.heatmaps import Heatmaps

# A mask as bits, and its shape.
Packed = tuple[np.ndarray, tuple[int, ...]]
# The sum of the others, the gradient of the whole loss, is left out.
ENSEMBLE_OF = ("rec-error", "kl-grad", "rec-grad")


def has_masks(cases: Cases) -> bool:
    """Whether any case comes with its true mask."""
    return any(case.mask is not None or case.mask_pixels is not None for case in cases)


class MapEvaluation:
    """Evaluates every map of some cases against their masks.

    Slices of one volume are put together again, so that a lesion is what is connected in space. Cases whose truth
    is unknown are left out.

    Args:
        cases: With masks.
        maps: Of the cases.
        method: What the rows of the model's maps are called after.
        least_abnormal: Subjects of which no more than this share of pixels is abnormal are left out; 0 keeps all.
    """

    def __init__(self, cases: Cases, maps: Heatmaps, method: str, least_abnormal: float = 0.0) -> None:
        self.cases = cases
        self.maps = maps
        self.method = method
        # Masks are read once and kept as bits, as every map is compared with them.
        self._unusable: dict[str, str] = {}
        self._truths = [self._truth(index) for index in range(len(cases))]
        kept = drop_small_lesions(self._usable(), least_abnormal)
        self._left_out = kept.notes[len(cases.notes) :]
        self._groups = self._grouped({case.name for case in kept})

    def _usable(self) -> Cases:
        """The cases without the masks that cannot be used, as if nothing were known of them."""
        return self.cases.with_cases(
            replace(case, label=None, mask=None, mask_pixels=None) if case.name in self._unusable else case
            for case in self.cases
        )

    def _grouped(self, kept: set[str]) -> list[list[int]]:
        """Indices of the cases to evaluate: each by itself, or the slices of a volume in their order."""
        groups: dict[object, list[int]] = {}
        for index, case in enumerate(self.cases):
            if self._truths[index] is not None and case.name in kept:
                groups.setdefault((case.path, case.slice.axis) if case.slice else index, []).append(index)
        slices = [case.slice.index if case.slice else 0 for case in self.cases]
        return [sorted(group, key=lambda index: slices[index]) for group in groups.values()]

    def _truth(self, index: int) -> Packed | None:
        try:
            mask = true_mask(self.cases[index], self.maps.source_size(index))
        except ImageError as error:  # the others can still be evaluated
            self._unusable[self.cases[index].name] = str(error)
            return None
        return None if mask is None else (np.packbits(mask), mask.shape)

    @property
    def notes(self) -> list[str]:
        """What was left out."""
        number = len(self._unusable)
        if not number:
            return [*self._left_out]
        first = next(iter(self._unusable.values()))
        return [*self._left_out, f"images whose mask cannot be used: {number}; the first: {first}"]

    @property
    def is_empty(self) -> bool:
        """Whether the truth is known of no case."""
        return not self._groups

    @property
    def has_foreground(self) -> bool:
        """Whether any pixel that is evaluated is known to belong to the body."""
        foregrounds = (self.maps.foreground_on_source_grid(index) for group in self._groups for index in group)
        return any(foreground is not None and foreground.any() for foreground in foregrounds)

    def rows(self, *, foreground_only: bool = False, resamples: int = 1000, seed: int = 0) -> list[PixelRow]:
        """Results of the deciding map, the model's others, and the trivial ones."""
        return [row for row, _ in self.rows_with_draws(foreground_only=foreground_only, resamples=resamples, seed=seed)]

    def rows_with_draws(
        self,
        names: Collection[str] | None = None,
        *,
        foreground_only: bool = False,
        resamples: int = 1000,
        seed: int = 0,
    ) -> list[tuple[PixelRow, dict[str, np.ndarray]]]:
        """What ``rows`` gives, with the draws of ``evaluate_pixels_with_draws``; the same resamples for all maps.

        Args:
            names: Of the maps to evaluate; None for all. The order is that of ``rows``.
            foreground_only: Leave out the pixels outside the body.
            resamples: Draws for the intervals; 0 for none.
            seed: Of the draws.

        Raises:
            DataError: If there is no map of a name.
        """
        for name in names or ():
            if name not in self.maps.names:
                raise DataError(f"there is no map '{name}'; {nearest(name, self.maps.names)}")
        chosen = [name for name in self.maps.names if names is None or name in names]
        rows = []
        for name in track(chosen, "evaluating pixels", len(chosen)):
            evaluation, draws = evaluate_pixels_with_draws(
                lambda name=name: self.samples(name),  # type: ignore[misc]
                self.maps.thresholds.get(name, {}),
                foreground_only=foreground_only,
                resamples=resamples,
                seed=seed,
            )
            title = name if name in self.maps.trivial else f"{self.method}, {name}"
            rows.append((PixelRow(title, self._kind(name), evaluation), draws))
        return rows

    def ensemble(self, fraction: float, seed: int) -> FittedEnsemble:
        """Fit a logistic regression over the model's maps on some subjects (Zhou, Deng, Wu).

        Raises:
            DataError: If a map that takes part is missing, or fewer than two subjects have lesions.
        """
        if lacking := [name for name in ENSEMBLE_OF if name not in self.maps.names]:
            found = ", ".join(self.maps.names)
            raise DataError(f"an ensemble is of {', '.join(ENSEMBLE_OF)}; there is no map '{lacking[0]}' among {found}")
        known = [index for group in self._groups for index in group]
        subjects = [self.cases[index].subject or self.cases[index].name for index in known]
        positive = [bool(_unpacked(self._truths[index]).any()) for index in known]
        chosen = split_labelled(subjects, positive, fraction, seed)
        fitting = {index for index, for_fit in zip(known, chosen, strict=True) if for_fit}
        weights = fit_ensemble(*self._pixels(sorted(fitting), seed), seed=seed)
        combined = sum(weight * self.maps.of(name) for weight, name in zip(weights, ENSEMBLE_OF, strict=True))
        # A constant does not change the order of pixels, and maps are not negative.
        values = np.asarray(combined - min(combined.min(), 0.0), np.float32)
        maps = replace(
            self.maps,
            others={**self.maps.others, "fitted ensemble": values},
            scales={**self.maps.scales, "fitted ensemble": float(np.quantile(values, 0.999))},
        )
        by_name = {name: float(weight) for name, weight in zip(ENSEMBLE_OF, weights, strict=True)}
        listed = ", ".join(f"{weight:.3g} × {name}" for name, weight in by_name.items())
        subjects_used = sorted({self.cases[index].subject or self.cases[index].name for index in fitting})
        note = (
            f"ensemble fitted on the masks of {len(subjects_used)} subjects ({', '.join(subjects_used)}), "
            f"which are left out here: {listed}"
        )
        others = np.array([index for index in known if index not in fitting])
        return FittedEnsemble(maps, others, by_name, note)

    def _pixels(self, indices: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Maps ``(P, K)`` and truth ``(P,)`` of a bounded number of pixels, drawn at random from each case."""
        generator = np.random.default_rng(seed)
        features, truths = [], []
        for index in indices:
            truth = _unpacked(self._truths[index]).ravel()
            drawn = generator.choice(truth.size, min(truth.size, PIXELS // len(indices) + 1), replace=False)
            columns = [self.maps.on_source_grid(index, name).ravel()[drawn] for name in ENSEMBLE_OF]
            features.append(np.stack(columns, axis=1))
            truths.append(truth[drawn])
        return np.concatenate(features), np.concatenate(truths)

    def _kind(self, name: str) -> str:
        return "trivial" if name in self.maps.trivial else "method" if name == self.maps.name else "other map"

    def samples(self, name: str) -> Iterator[PixelSample]:
        """A kind of map with the truth, image by image or volume by volume."""
        for group in self._groups:
            heatmaps = [self.maps.on_source_grid(index, name) for index in group]
            truths = [_unpacked(self._truths[index]) for index in group]
            foregrounds = [self.maps.foreground_on_source_grid(index) for index in group]
            subject = self.cases[group[0]].subject
            if self.cases[group[0]].slice is None:
                yield PixelSample(heatmaps[0], truths[0], foregrounds[0], subject)
            else:
                inside = None if foregrounds[0] is None else np.stack(foregrounds)  # type: ignore[arg-type]
                yield PixelSample(np.stack(heatmaps), np.stack(truths), inside, subject)


def _unpacked(packed: Packed | None) -> np.ndarray:
    assert packed is not None, "cases of unknown truth are left out"
    bits, shape = packed
    return np.unpackbits(bits, count=int(np.prod(shape))).view(bool).reshape(shape)


@dataclass(frozen=True)
class FittedEnsemble:
    """An ensemble of maps that was fitted on the masks of some subjects.

    Attributes:
        maps: With the ensemble among them, of all cases.
        others: Indices of the cases of the other subjects.
        weights: Of each map that takes part.
        note: How it was made.
    """

    maps: Heatmaps
    others: np.ndarray
    weights: dict[str, float]
    note: str
