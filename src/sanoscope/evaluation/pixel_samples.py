"""What pixel metrics are made of: the scores and the truth of one image on its own grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sanoscope.errors import DataError

_PORTION = 2**22  # pixels taken from a sample at a time: 16 MB of scores, so that a large volume needs no copy


@dataclass(frozen=True)
class PixelSample:
    """One image, slice or whole volume on its source grid.

    Attributes:
        scores: ``(H, W)`` or ``(D, H, W)`` float32, finite, higher is more abnormal.
        truth: Bool of the same shape, the abnormal pixels.
        inside: Bool of the same shape, the foreground; None where everything is.
        subject: Whose image it is; None where unknown.
    """

    scores: np.ndarray
    truth: np.ndarray
    inside: np.ndarray | None = None
    subject: str | None = None

    def check(self, name: str) -> None:
        """Refuse what cannot be evaluated.

        Args:
            name: Of the sample, for the message.

        Raises:
            DataError: The shapes differ, a mask is not bool, or the scores are not finite float32.
        """
        if self.scores.ndim not in (2, 3):
            raise DataError(f"{name}: scores of shape {self.scores.shape}; give (H, W) or (D, H, W)")
        for title, mask in (("truth", self.truth), ("inside", self.inside)):
            if mask is not None and (mask.shape != self.scores.shape or mask.dtype != bool):
                raise DataError(
                    f"{name}: {title} is {mask.dtype} of shape {mask.shape}; give bool of the scores' shape "
                    f"{self.scores.shape}"
                )
        if self.scores.dtype != np.float32:
            raise DataError(f"{name}: scores are {self.scores.dtype}; give float32")
        if not np.isfinite(self.scores).all():
            raise DataError(f"{name}: {(~np.isfinite(self.scores)).sum()} scores are not finite; mend the map")

    def pixels(self, foreground_only: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Scores of the normal and of the abnormal pixels, flat copies, in portions.

        Args:
            foreground_only: Leave out the pixels outside ``inside``.
        """
        scores, truth = self.scores.ravel(), self.truth.ravel()
        inside = self.inside.ravel() if foreground_only and self.inside is not None else None
        for start in range(0, scores.size, _PORTION):
            part = slice(start, start + _PORTION)
            normal = ~truth[part] if inside is None else inside[part] & ~truth[part]
            abnormal = truth[part] if inside is None else inside[part] & truth[part]
            yield scores[part][normal], scores[part][abnormal]

    def normal_images(self, foreground_only: bool) -> Iterator[np.ndarray]:
        """Scores ``(P,)`` of the image, or of each slice of a volume, that has no abnormal pixel; none are empty.

        Args:
            foreground_only: Leave out the pixels outside ``inside``.
        """
        volume = (1, *self.scores.shape)[-3:]
        inside = None if self.inside is None or not foreground_only else self.inside.reshape(volume)
        for index, (scores, truth) in enumerate(
            zip(self.scores.reshape(volume), self.truth.reshape(volume), strict=True)
        ):
            if not truth.any() and (inside is None or inside[index].any()):
                yield scores.ravel() if inside is None else scores[inside[index]]

    def lesion_peaks(self, foreground_only: bool) -> np.ndarray:
        """The largest score in each lesion, ``(L,)``: a threshold below it detects the lesion.

        A lesion is a connected component of the truth; pixels that share a corner are connected (8 neighbours in
        an image, 26 in a volume).

        Args:
            foreground_only: Leave out the pixels outside ``inside``, and lesions of which nothing is inside.
        """
        from scipy import ndimage

        box = ndimage.find_objects(self.truth.view(np.uint8))[0] if self.truth.any() else None
        if box is None:
            return np.empty(0, dtype=np.float32)
        counted = self.truth[box]
        lesions, count = ndimage.label(counted, structure=np.ones((3,) * counted.ndim))
        if foreground_only and self.inside is not None:
            counted = counted & self.inside[box]
        peaks = np.full(count + 1, -np.inf, dtype=np.float32)  # the first is of what is no lesion
        np.maximum.at(peaks, lesions[counted], self.scores[box][counted])
        return peaks[peaks > -np.inf]
