"""Which cases a detector learns from: normals only, and some of them kept aside for the threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.cases.slicing import Slicing
from sanoscope.cases.tiling import Tiling
from sanoscope.errors import DataError, OptionError

# With fewer subjects than this, keeping one aside would take too much of what is there to learn from.
SUBJECTS_TO_HOLD_OUT = 5
# Fewer normals than this cannot be divided into something to learn from and something to set a threshold on.
LEAST_NORMALS = 4


@dataclass(frozen=True)
class Selected:
    """The two sides that a detector needs.

    Attributes:
        train: What the model learns from.
        validation: What thresholds are fitted on; may hold abnormal cases.
        notes: What was left out or held out.
    """

    train: Cases
    validation: Cases
    notes: tuple[str, ...]


@dataclass(frozen=True)
class TrainingSelection:
    """Choose training and validation cases.

    Attributes:
        fraction: Share of the training cases that is used, drawn at random.
        include_abnormal: Keep abnormal training cases.
        holdout: Share held out where no validation is given, by subject where there are enough.
        axis: See ``Slicing``.
        slices: Likewise.
        modality: Likewise.
        view: Likewise.
        identity: Likewise.
        tile_size: See ``Tiling``, of which it is ``size``.
        magnification: See ``Tiling``.
        objective: Likewise.
        tissue: Likewise.
        least_tissue: Likewise.
        tiles: Likewise.
        least_abnormal: Share of abnormal pixels that a subject must exceed to be evaluated; 0 is off.
    """

    fraction: float
    include_abnormal: bool
    holdout: float
    axis: str = "axial"
    slices: str = "all"
    modality: str = "flair"
    view: str = "all"
    identity: str = "pseudonym"
    tile_size: int = 256
    magnification: float = 10.0
    objective: float = 0.0
    tissue: str = "otsu"
    least_tissue: float = 0.5
    tiles: str = "all"
    least_abnormal: float = 0.0

    @property
    def slicing(self) -> Slicing:
        """How the data's volumes and slides are cut.

        Raises:
            OptionError: A value that does not exist, such as an unknown axis.
        """
        tiling = Tiling(self.tile_size, self.magnification, self.objective, self.tissue, self.least_tissue, self.tiles)
        return Slicing(self.axis, self.slices, self.modality, self.view, self.identity, tiling)

    def choose(self, cases: Cases, validation: Cases | None, seed: int) -> Selected:
        """Training normals and validation cases out of what was given.

        Raises:
            DataError: If there are no normal cases, or too few.
            OptionError: If a share is not between 0 and 1.
        """
        if not 0 < self.fraction <= 1:
            raise OptionError(f"data.fraction must be above 0 and at most 1, not {self.fraction:g}")
        if not 0 < self.holdout < 1:
            raise OptionError(f"data.holdout must be between 0 and 1, not {self.holdout:g}")
        notes = []
        train = cases if self.include_abnormal else cases.normals
        if left_out := len(cases) - len(train):
            notes.append(f"{left_out} abnormal cases among the training data were left out")
        if not len(train):
            found = "only abnormal ones" if len(cases) else "none at all"
            raise DataError(f"{cases.source}: no normal cases to learn from ({found}); give normal images")
        if self.fraction < 1:
            kept = max(round(self.fraction * len(train)), 1)
            chosen = np.random.default_rng([seed, 1]).choice(len(train), kept, replace=False)
            train = train[np.sort(chosen)]
            notes.append(f"{kept} training cases were drawn at random (data.fraction={self.fraction:g})")
        if validation is None or not len(validation.normals):
            if validation:
                notes.append(f"{len(validation)} validation cases are not used, as none of them is normal")
            train, validation, note = self._hold_out(train, seed)
            notes.append(note)
        return Selected(train, validation, tuple(notes))

    def _hold_out(self, train: Cases, seed: int) -> tuple[Cases, Cases, str]:
        if len(train) < LEAST_NORMALS:
            raise DataError(
                f"{train.source}: {len(train)} normal cases are too few; at least {LEAST_NORMALS} are needed"
            )
        subjects = sorted({case.subject for case in train if case.subject is not None})
        generator = np.random.default_rng([seed, 2])
        if len(subjects) >= SUBJECTS_TO_HOLD_OUT and all(case.subject is not None for case in train):
            count = min(max(round(self.holdout * len(subjects)), 1), len(subjects) - 1)
            chosen = set(generator.choice(subjects, count, replace=False).tolist())
            held_out = np.array([case.subject in chosen for case in train])
            how = f"of {count} subject{'s' * (count > 1)} "
        else:
            count = min(max(round(self.holdout * len(train)), 2), len(train) - 2)
            held_out = np.zeros(len(train), bool)
            held_out[generator.choice(len(train), count, replace=False)] = True
            how = "of the same subjects as the training images, so thresholds may be too low, " if subjects else ""
        note = f"{held_out.sum()} training images {how}were held out to set the threshold"
        return train[np.flatnonzero(~held_out)], train[np.flatnonzero(held_out)], note
