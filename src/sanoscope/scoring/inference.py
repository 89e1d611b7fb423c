"""A trained model over many pictures, batch by batch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from sanoscope.console import track
from sanoscope.networks.folding import folded
from sanoscope.networks.variational import VariationalAutoencoder
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.scoring.reconstruction import ReconstructionScoring
from sanoscope.scoring.trivial import NAMES, TrivialScores

Result = TypeVar("Result")

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

    On a CPU, batches run side by side with one core each: that leaves no core waiting for another within a layer,
    and sorting and the trivial scores take place beside the convolutions.

    Args:
        network: Trained; it is left as it is.
        scoring: The scores to compute.
        preparation: Fitted.
        trivial: Fitted.
        device: Where to compute.
        bfloat16: Multiply in bfloat16.
    """

    def __init__(
        self,
        network: VariationalAutoencoder,
        scoring: ReconstructionScoring,
        preparation: Preparation,
        trivial: TrivialScores,
        device: str,
        bfloat16: bool = False,
    ) -> None:
        self.network = folded(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.scoring = scoring
        self.preparation = preparation
        self.trivial = trivial
        self.device = device
        self.bfloat16 = bfloat16

    def run(self, pictures: Pictures) -> BatchResult:
        """Every score and map, in the order of the pictures."""
        size = self.preparation.image_size
        scores = {name: np.empty(len(pictures)) for name in (*self.scoring.names, *NAMES)}
        maps = np.empty((len(pictures), size, size), np.float32)

        def score(rows: np.ndarray, images: Tensor) -> None:
            scored = self.scoring(self.network, images)
            maps[rows] = scored.maps.cpu().numpy()
            values = {name: tensor.cpu().numpy() for name, tensor in scored.scores.items()}
            for name, array in (values | self.trivial.score(images.cpu().numpy())).items():
                scores[name][rows] = array

        self._each_batch(pictures, "scoring", score)
        return BatchResult(scores, maps)

    def deciding_score(self, pictures: Pictures) -> np.ndarray:
        """The deciding score alone, ``(N,)``."""
        scores = np.empty(len(pictures))

        def score(rows: np.ndarray, images: Tensor) -> None:
            scores[rows] = self.scoring.deciding(self.network, images).cpu().numpy()

        self._each_batch(pictures, "scoring", score)
        return scores

    def pictures(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Network input and reconstruction, ``(N, C, H, W)`` each, of a few pictures."""

        def reconstruct(rows: np.ndarray, images: Tensor) -> tuple[Tensor, Tensor]:
            return images.cpu(), self.scoring(self.network, images).reconstructions.float().cpu()

        prepared, reconstructions = zip(*self._each_batch(pictures, "reconstructing", reconstruct), strict=True)
        return torch.cat(prepared), torch.cat(reconstructions)

    def latents(self, pictures: Pictures) -> np.ndarray:
        """Posterior means ``(N, L)``."""

        def encode(rows: np.ndarray, images: Tensor) -> Tensor:
            return self.scoring.latents(self.network, images).cpu()

        encoded = self._each_batch(pictures, "encoding", encode)
        return torch.cat(encoded).numpy() if encoded else np.empty((0, self.network.latent), np.float32)

    def _each_batch(self, pictures: Pictures, what: str, work: Callable[[np.ndarray, Tensor], Result]) -> list[Result]:
        batches = [np.arange(i, min(i + BATCH, len(pictures))) for i in range(0, len(pictures), BATCH)]

        def carry_out(rows: np.ndarray) -> Result:
            images = self.preparation.tensors(pictures.batch(rows), self.device)
            with torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
                return work(rows, images)

        with _side_by_side(self.device) as pool:
            return list(track(pool.map(carry_out, batches), what, len(batches)))


@contextlib.contextmanager
def _side_by_side(device: str) -> Iterator[ThreadPoolExecutor]:
    """Workers for batches: on a CPU one for each thread that torch may use, each with a thread of its own."""
    if device != "cpu":
        with ThreadPoolExecutor(1) as pool:
            yield pool
        return
    threads = torch.get_num_threads()
    try:
        workers = min(threads, os.cpu_count() or 1)
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)
