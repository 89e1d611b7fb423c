"""What the bootstrap draws: the images of a subject belong together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sanoscope.evaluation.bootstrap import resample_weights


def number_subjects(names: np.ndarray) -> tuple[np.ndarray, int]:
    """A number from 0 for each image's subject, ``(N,)``, an own one where it is unknown; and how many are known.

    Args:
        names: ``(N,)`` as ``checked_subjects`` gives them.
    """
    unknown = np.array([name is None for name in names])
    known, position = np.unique(names[~unknown].astype(str), return_inverse=True)
    subject = np.empty(names.size, dtype=np.int64)
    subject[~unknown] = position
    subject[unknown] = known.size + np.arange(unknown.sum())
    return subject, known.size


@dataclass(frozen=True)
class Units:
    """What the bootstrap draws: subjects with all their images, or images where all are of one subject.

    Attributes:
        number: ``(N,)``, from 0, of the unit that each image belongs to.
        n_subjects: Different known subjects.
        one_subject: Whether all images are of one known subject.
    """

    number: np.ndarray
    n_subjects: int
    one_subject: bool

    @classmethod
    def of(cls, names: np.ndarray) -> Units:
        """The units of images of these subjects, ``(N,)`` as ``checked_subjects`` gives them."""
        number, n_subjects = number_subjects(names)
        one_subject = n_subjects == 1 and number.max() == 0
        if one_subject:  # drawn again and again it is always the same data; its images are not
            number = np.arange(number.size)
        return cls(number, n_subjects, one_subject)

    def weights(self, resamples: int, seed: int) -> Iterator[np.ndarray]:
        """How often each image is present in each resample, in portions of ``(R, N)``; none of a single image."""
        return resample_weights(self.number, resamples if self.number.size > 1 else 0, seed)
