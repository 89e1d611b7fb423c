"""Where the means and deviations come from that features are normalised by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sanoscope.cases import read_cases
from sanoscope.errors import DataError
from sanoscope.networks.feature_networks import FeatureNetwork, learn_statistics
from sanoscope.preparation.decode import decode
from sanoscope.preparation.geometry import Channels, Crop, Geometry, Resize
from sanoscope.training.kept_features import BATCH, PreparedPictures

# Natural images are looked at as the networks were trained on them, and as many as make the means stand still.
NATURAL_SIZE = 224
IMAGES = 2000
# Of so many in a pass; their feature maps are large.
NATURAL_BATCH = 8


def set_statistics(network: FeatureNetwork, folder: str | None, normals: PreparedPictures) -> None:
    """Learn the statistics of a folder of natural images; without one, where none are known, of training normals.

    Args:
        network: With its weights; statistics that its batch norms tell are known already.
        folder: Searched for images, at any depth.
        normals: Pictures of training normals.

    Raises:
        DataError: If the folder holds no image that can be read.
    """
    if folder is not None:
        learn_statistics(network, _natural(Path(folder), normals.device))
    elif not network.statistics_known:
        begins = range(0, min(len(normals), IMAGES), BATCH)
        learn_statistics(network, (normals.batch(begin) for begin in begins))


def _natural(folder: Path, device: torch.device | str) -> Iterator[Tensor]:
    """Images ``(B, 3, 224, 224)`` in [−1, 1] of a folder, evenly chosen."""
    cases = read_cases(folder, layout="folder") if folder.is_dir() else read_cases(folder)
    chosen = cases[np.unique(np.linspace(0, len(cases) - 1, IMAGES).astype(int))]
    geometry = Geometry((Channels("rgb"), Crop("square"), Resize(NATURAL_SIZE, "bilinear")))
    pictures = decode(chosen, geometry)
    if not len(pictures):
        raise DataError(
            f"training.statistics={folder}: none of its images can be read; the first: {pictures.unreadable[0].reason}"
        )
    for begin in range(0, len(pictures), NATURAL_BATCH):
        pixels, _ = pictures.batch(np.arange(begin, min(begin + NATURAL_BATCH, len(pictures))))
        scale = 255.0 if pixels.dtype == np.uint8 else float(max(pixels.max(), 1.0))
        yield (torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / scale) * 2 - 1
