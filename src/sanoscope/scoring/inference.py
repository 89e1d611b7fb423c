"""A trained model over many pictures, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sanoscope.console import track
from sanoscope.networks.variational import VariationalAutoencoder
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.scoring.reconstruction import ReconstructionScoring
from sanoscope.scoring.trivial import NAMES, TrivialScores

# Large enough to keep the arithmetic busy, small enough for the activations to stay in cache.
BATCH = 64


@dataclass(frozen=True)
class BatchResult:
    """What scoring gives for all pictures.

    Attributes:
        scores: ``(N,)`` float64 each, by name, the trivial ones last.
        maps: ``(N, H, W)`` float32 on the network's grid.
    """

    scores: dict[str, np.ndarray]
    maps: np.ndarray


class Inference:
    """Score, reconstruct and encode pictures with a trained network.

    Args:
        network: Trained; used in evaluation mode and left as it is.
        scoring: The scores to compute.
        preparation: Fitted.
        trivial: Fitted; None leaves them out.
        device: Where to compute.
    """

    def __init__(
        self,
        network: VariationalAutoencoder,
        scoring: ReconstructionScoring,
        preparation: Preparation,
        trivial: TrivialScores | None,
        device: str,
    ) -> None:
        self.network = network.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.scoring = scoring
        self.preparation = preparation
        self.trivial = trivial
        self.device = device

    def run(self, pictures: Pictures) -> BatchResult:
        """Every score and map, in the order of the pictures."""
        size = self.preparation.image_size
        names = (*self.scoring.names, *(NAMES if self.trivial else ()))
        scores = {name: np.empty(len(pictures)) for name in names}
        maps = np.empty((len(pictures), size, size), np.float32)
        for rows, images in self._batches(pictures, "scoring"):
            scored = self.scoring(self.network, images)
            maps[rows] = scored.maps.cpu().numpy()
            for name, values in scored.scores.items():
                scores[name][rows] = values.cpu().numpy()
            if self.trivial:
                for name, trivial in self.trivial.score(images.cpu().numpy()).items():
                    scores[name][rows] = trivial
        return BatchResult(scores, maps)

    def pictures(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Network input and reconstruction, ``(N, C, H, W)`` each, of a few pictures."""
        prepared, reconstructions = [], []
        for _, images in self._batches(pictures, "reconstructing"):
            prepared.append(images.cpu())
            reconstructions.append(self.scoring(self.network, images).reconstructions.float().cpu())
        return torch.cat(prepared), torch.cat(reconstructions)

    def latents(self, pictures: Pictures) -> np.ndarray:
        """Posterior means ``(N, L)``."""
        encoded = [self.scoring.latents(self.network, images) for _, images in self._batches(pictures, "encoding")]
        return torch.cat(encoded).cpu().numpy() if encoded else np.empty((0, self.network.latent), np.float32)

    def _batches(self, pictures: Pictures, what: str) -> Iterator[tuple[np.ndarray, Tensor]]:
        starts = range(0, len(pictures), BATCH)
        for start in track(starts, what, len(starts)):
            rows = np.arange(start, min(start + BATCH, len(pictures)))
            yield rows, self.preparation.tensors(pictures.batch(rows), self.device)


