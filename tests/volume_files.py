"""Small NIfTI files for tests, in any order and direction of their axes."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff

RAS = np.diag([1.0, 2.0, 3.0, 1.0])


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = RAS, **header: object) -> Path:
    """A file with the array as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = nib.Nifti2Image if header.pop("nifti", 1) == 2 else nib.Nifti1Image
    image = kind(voxels, affine, dtype=voxels.dtype)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def turned(canonical: np.ndarray, axes: tuple[int, ...], flips: tuple[int, ...], affine: np.ndarray = RAS):
    """A canonical array in another order, and the affine that goes with it."""
    orientation = np.stack([axes, flips], axis=1)
    inverse = np.stack([np.argsort(axes), np.array(flips)[np.argsort(axes)]], axis=1)
    stored = apply_orientation(canonical, inverse)
    return stored, affine @ np.linalg.inv(inv_ornt_aff(orientation, stored.shape))
