"""What the makers of phantoms return, and the checks of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from sanoscope.cases.case import SPLITS, Case, Cases
from sanoscope.cases.manifest import write_manifest
from sanoscope.errors import DataError


@dataclass(frozen=True, eq=False)
class Phantoms:
    """Synthetic images with their truth, those of one subject next to one another.

    Attributes:
        images: ``(N, H, W, 3)`` uint8 for histology, ``(N, H, W)`` uint8 or uint16 for the brain.
        labels: 0 normal, 1 abnormal, ``(N,)``.
        masks: The abnormal pixels, ``(N, H, W)`` bool; none in a normal image.
        subjects: The subject of each image, such as ``"subject-03"``.
    """

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray
    subjects: list[str]

    @property
    def names(self) -> list[str]:
        """Subject and running number within it, such as ``"subject-03/0012"``."""
        number: dict[str, int] = {}
        names = []
        for subject in self.subjects:
            number[subject] = number.get(subject, -1) + 1
            names.append(f"{subject}/{number[subject]:04d}")
        return names

    def cases(self) -> Cases:
        """The same in memory, with labels, masks and subjects, assigned to no side of a split."""
        columns = zip(self.names, self.images, self.labels, self.masks, self.subjects, strict=True)
        return Cases(
            (
                Case(name=name, pixels=image, label=int(label), subject=subject, mask_pixels=mask)
                for name, image, label, mask, subject in columns
            ),
            source="phantoms",
            layout="phantoms",
        )

    def save(self, folder: Path, splits: Sequence[str | None] | None = None) -> Path:
        """Write ``<subject>/<number>.png``, ``<number>_mask.png`` beside the abnormal ones, and a manifest.

        Args:
            folder: Made where it does not exist; must be empty where it does.
            splits: The side of each image, ``train``, ``validation`` or ``test``, or None for no side.

        Returns:
            The path of the manifest, with the columns ``path,label,mask,subject,split``.

        Raises:
            DataError: If the folder holds anything, or the splits do not fit the images.
        """
        folder = Path(folder)
        splits = [None] * len(self.images) if splits is None else list(splits)
        if len(splits) != len(self.images):
            raise DataError(f"phantoms: {len(splits)} splits for {len(self.images)} images; give one an image")
        if unknown := {split for split in splits if split not in (*SPLITS, None)}:
            raise DataError(f"phantoms: unknown split '{unknown.pop()}'; one of {', '.join(SPLITS)}")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder}: already there and not an empty folder; choose another or remove it")
        for subject in dict.fromkeys(self.subjects):
            (folder / subject).mkdir(parents=True)
        written = []
        for case, image, mask, split in zip(self.cases(), self.images, self.masks, splits, strict=True):
            path, mask_path = folder / f"{case.name}.png", folder / f"{case.name}_mask.png" if case.label else None
            Image.fromarray(image).save(path)
            if mask_path is not None:
                Image.fromarray(mask.astype(np.uint8) * 255).save(mask_path)
            written.append(replace(case, path=path, pixels=None, mask=mask_path, mask_pixels=None, split=split))
        manifest = folder / "manifest.csv"
        write_manifest(Cases(written), manifest)
        return manifest


def gather(parts: list[tuple[np.ndarray, np.ndarray]]) -> Phantoms:
    """The phantoms of images and masks of each subject; an image is abnormal where its mask is not empty."""
    images, masks = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    subjects = [f"subject-{number:02d}" for number, (part, _) in enumerate(parts) for _ in part]
    return Phantoms(images, masks.any(axis=(1, 2)).astype(int), masks, subjects)


def generators(seed: int, subjects: int) -> list[np.random.Generator]:
    """An independent source of randomness for each subject, the same however many follow."""
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(subjects)]


def check_whole(name: str, value: int, least: int) -> None:
    """Refuse what is no whole number of at least ``least``.

    Raises:
        DataError: Naming the argument, its value and what it takes.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise DataError(f"phantoms: {name}={value!r}; give a whole number of at least {least}")


def check_fraction(name: str, value: float) -> None:
    """Refuse what is no number from 0 to 1.

    Raises:
        DataError: Naming the argument, its value and what it takes.
    """
    if not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise DataError(f"phantoms: {name}={value!r}; give a number from 0 to 1")


def is_healthy(subject: int, healthy_every: int) -> bool:
    """Whether the subject of this index has no abnormal image; none are where ``healthy_every`` is 0."""
    return healthy_every > 0 and subject % healthy_every == healthy_every - 1
