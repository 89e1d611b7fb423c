"""Decoded pictures of many cases, as one array-like thing that hands out batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.preparation.cache import Block, Trace

# Below this, pictures are gathered into one array in memory; above, batches come from the memory-mapped file.
IN_MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Form:
    """What all pictures of one network must share.

    Attributes:
        dtype: ``uint8`` or ``float32``.
        channels: Number of channels.
    """

    dtype: str
    channels: int

    @classmethod
    def of(cls, pixels: np.ndarray) -> Form:
        """The form of ``(..., C)``."""
        return cls(pixels.dtype.name, pixels.shape[-1])

    def __str__(self) -> str:
        depth = "8-bit" if self.dtype == "uint8" else "16-bit or float"
        return f"{depth} with {self.channels} channel{'s' if self.channels > 1 else ''}"


@dataclass(frozen=True)
class Unreadable:
    """A case that could not be read or prepared, and why."""

    case: Case
    reason: str


class Pictures:
    """Decoded pictures, in the order of their cases.

    Attributes:
        cases: The cases that could be read.
        unreadable: Those that could not, with the reasons.
        keys: Content key of each; equal keys are equal files.
    """

    def __init__(
        self,
        cases: Cases,
        blocks: Sequence[Block],
        where: Sequence[tuple[int, int]],
        keys: Sequence[str],
        unreadable: Sequence[Unreadable] = (),
    ) -> None:
        self.cases = cases
        self.unreadable = list(unreadable)
        self.keys = list(keys)
        self._blocks = blocks
        self._where = np.asarray(where, np.int64).reshape(-1, 2)  # (N, 2): block, row
        self._gathered: tuple[np.ndarray, np.ndarray | None] | None = None
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._where)

    @property
    def forms(self) -> list[Form]:
        """The form of each picture."""
        forms = [Form.of(block.pixels) for block in self._blocks]
        return [forms[number] for number in self._where[:, 0]]

    @property
    def traces(self) -> list[Trace]:
        """The way back to the source grid of each picture."""
        return [self._blocks[number].traces[row] for number, row in self._where]

    @property
    def source_sizes(self) -> list[tuple[int, int]]:
        """Height and width of each picture as it was in its file."""
        return [next((record[0], record[1]) for record in trace if record) for trace in self.traces]

    def subset(self, indices: Sequence[int] | np.ndarray) -> Pictures:
        """Some of the pictures, in the order given; the unreadable stay behind."""
        indices = np.asarray(indices, np.int64)
        return Pictures(self.cases[indices], self._blocks, self._where[indices], [self.keys[i] for i in indices])

    def evenly(self, most: int) -> Pictures:
        """At most so many of the pictures, evenly among all."""
        return self.subset(np.unique(np.linspace(0, len(self) - 1, most).astype(int)))

    def of_form(self, wanted: Form) -> Pictures:
        """The pictures of one form; the others join the unreadable."""
        forms = self.forms
        kept = [i for i, form in enumerate(forms) if form == wanted]
        others = [
            Unreadable(self.cases[i], f"{self.cases[i]}: is {form} where the model was trained on {wanted}")
            for i, form in enumerate(forms)
            if form != wanted
        ]
        if not others:
            return self
        fitting = self.subset(kept)
        fitting.unreadable = self.unreadable + others
        return fitting

    def batch(self, indices: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Pixels ``(B, H, W, C)`` as stored and foreground ``(B, H, W)`` bool or None, of some pictures.

        All pictures must be of one form.
        """
        with self._lock:  # of threads that ask at once, one gathers
            if self._gathered is None and self._bytes() <= IN_MEMORY_BYTES:
                self._gathered = self._gather(self._where)
        if self._gathered is not None:
            pixels, foreground = self._gathered
            return pixels[indices], None if foreground is None else foreground[indices]
        return self._gather(self._where[indices])

    def _bytes(self) -> int:
        return len(self) * int(self._blocks[self._where[0, 0]].pixels[0].nbytes)

    def _gather(self, where: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        first = self._blocks[where[0, 0]]
        pixels = np.empty((len(where), *first.pixels.shape[1:]), first.pixels.dtype)
        foreground = None if first.foreground is None else np.empty(pixels.shape[:3], bool)
        for number in np.unique(where[:, 0]):
            here = where[:, 0] == number
            block, rows = self._blocks[number], where[here, 1]
            pixels[here] = block.pixels[rows]
            if foreground is not None and block.foreground is not None:
                foreground[here] = block.foreground[rows]
        return pixels, foreground
