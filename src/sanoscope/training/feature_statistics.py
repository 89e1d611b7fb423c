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
from sanoscope.preparation.decode import decode, require_one_form
from sanoscope.preparation.geometry import Channels, Crop, Geometry, Resize
from sanoscope.preparation.intensity import Intensity
from sanoscope.training.kept_features import PreparedPictures

# Natural images are looked at as the networks were trained on them, and as many as make the means stand still.
NATURAL_SIZE = 224
IMAGES = 2000
# So many in a pass; feature maps are large.
PASS = 8


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
        learn_statistics(network, (normals.batch(rows) for rows in _evenly(len(normals))))


def _natural(folder: Path, device: torch.device | str) -> Iterator[Tensor]:
    """Images ``(B, 3, 224, 224)`` in [−1, 1] of a folder, evenly chosen."""
    try:
        cases = read_cases(folder, layout="folder") if folder.is_dir() else read_cases(folder)
        chosen = cases[np.concatenate([*_evenly(len(cases))])]
        geometry = Geometry((Channels("rgb"), Crop("square"), Resize(NATURAL_SIZE, "bilinear")))
        pictures = require_one_form(decode(chosen, geometry))
    except DataError as error:
        raise DataError(f"training.statistics: {error}") from error
    passes = [*_evenly(len(pictures))]
    intensity = Intensity("symmetric").fit(pictures.batch(rows) for rows in passes)
    images = PreparedPictures(pictures, intensity, device)
    yield from (images.batch(rows) for rows in passes)


def _evenly(count: int) -> Iterator[np.ndarray]:
    """The numbers of some of so many images, evenly chosen, in passes."""
    chosen = np.unique(np.linspace(0, count - 1, IMAGES).astype(int))
    yield from np.array_split(chosen, -(-len(chosen) // PASS))
