"""A trained model over many pictures, batch by batch."""

from __future__ import annotations

import contextlib
import math
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
from sanoscope.networks.network import Network
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.preparation.scratch import scratch_array
from sanoscope.scoring.postprocessing import Postprocessing
from sanoscope.scoring.scored import MAP_SCORES, Scoring, map_score
from sanoscope.scoring.trivial import MAP_NAMES, NAMES, TrivialScores

Result = TypeVar("Result")

# Large enough to keep the arithmetic busy, small enough for the activations to stay in cache.
BATCH = 64
# Of larger images fewer are taken, so that memory does not grow with their size.
BATCH_PIXELS = BATCH * 128 * 128
# Bytes of maps that are kept in memory; more, such as those of the tiles of slides, are kept in temporary files.
LARGEST_IN_MEMORY = 2**30


@dataclass(frozen=True)
class BatchResult:
    """What scoring gives for all pictures.

    Attributes:
        scores: ``(N,)`` float64 each, by name, the trivial ones last.
        maps: ``(N, H, W)`` float32 each on the network's grid, by name, the deciding one first; empty of a method that
            does not say where.
        map_scores: For each map of the model by name, the scores ``(N,)`` that are taken from it; if all maps are kept.
        foreground: ``(N, H, W)`` bool, what belongs to the body; None where everything does, or was not asked for.
    """

    scores: dict[str, np.ndarray]
    maps: dict[str, np.ndarray]
    map_scores: dict[str, dict[str, np.ndarray]]
    foreground: np.ndarray | None = None


class Inference:
    """Score, reconstruct and encode pictures with a trained network.

    On a CPU, batches run side by side with one core each: that leaves no core waiting for another within a layer,
    and sorting and the trivial scores take place beside the convolutions.

    Args:
        network: Trained; it is left as it is.
        scoring: The scores to compute.
        postprocessing: What is done to maps before scores are taken from them; the trivial ones are left as they are.
        preparation: Fitted.
        trivial: Fitted.
        device: Where to compute.
        bfloat16: Multiply in bfloat16.
    """

    def __init__(
        self,
        network: Network,
        scoring: Scoring,
        postprocessing: Postprocessing,
        preparation: Preparation,
        trivial: TrivialScores,
        device: str,
        bfloat16: bool = False,
    ) -> None:
        self.network = folded(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.scoring = scoring
        self.postprocessing = postprocessing
        self.preparation = preparation
        self.trivial = trivial
        self.device = device
        self.bfloat16 = bfloat16

    def run(self, pictures: Pictures, all_maps: bool = False) -> BatchResult:
        """Every score, in the order of the pictures, with the deciding map.

        Args:
            pictures: What to score.
            all_maps: Keep every map, the trivial ones last, and the foreground.

        Raises:
            DataError: If the maps need more than ``LARGEST_IN_MEMORY``, and the cache folder has no room for them.
        """
        shape = (len(pictures), self.preparation.image_size, self.preparation.image_size)
        kept = self.scoring.map_names if all_maps else self.scoring.map_names[:1]
        # A method that does not say where is not compared with others that do.
        all_maps = all_maps and bool(kept)
        scores = {name: np.empty(len(pictures)) for name in (*self.scoring.names, *NAMES)}
        names = (*kept, *(MAP_NAMES if all_maps else ()))
        new = scratch_array if len(names) * math.prod(shape) * 4 > LARGEST_IN_MEMORY else np.zeros
        maps = {name: new(shape, np.float32) for name in names}
        # Scores of other maps, and of maps that change once all are there, are taken at the end.
        later = self.postprocessing.active or all_maps
        looked_at = new(shape, bool) if later else None

        def score(rows: np.ndarray, images: Tensor, inside: Tensor | None) -> None:
            scored = self.scoring(self.network, images, inside)
            prepared = images.cpu().numpy()
            values = {name: tensor.cpu().numpy() for name, tensor in scored.scores.items()}
            for name, array in (values | self.trivial.score(prepared)).items():
                scores[name][rows] = array
            within = self.scoring.looked_at(inside)
            mask = None if within is None else within.cpu().numpy()
            if looked_at is not None:
                looked_at[rows] = True if mask is None else mask
            for name in kept:
                found = scored.maps[name].cpu().numpy()
                if self.postprocessing.active:
                    found = self.postprocessing.of_images(found, prepared, mask)
                maps[name][rows] = found
            if all_maps:
                for name, array in self.trivial.maps(prepared).items():
                    maps[name][rows] = array if inside is None else array * inside.cpu().numpy()

        self._each_batch(pictures, "scoring", score)
        map_scores = {}
        if looked_at is not None:
            for name in kept:
                maps[name] = self.postprocessing.of_volumes(maps[name], pictures.cases, looked_at)
                map_scores[name] = self._scores_of(maps[name], looked_at)
        if self.postprocessing.active:
            scores |= map_scores[kept[0]]
        return BatchResult(scores, maps, map_scores, self._foreground(pictures, new) if all_maps else None)

    def _scores_of(self, maps: np.ndarray, looked_at: np.ndarray) -> dict[str, np.ndarray]:
        """Those of the scores ``(N,)`` that are taken from a map, for maps ``(N, H, W)``, by name."""
        scores = {name: np.empty(len(maps)) for name in self.scoring.names if name in MAP_SCORES}
        for rows in self._batches(len(maps)):
            values, inside = torch.from_numpy(maps[rows]), torch.from_numpy(looked_at[rows])
            for name, array in scores.items():
                array[rows] = map_score(name, values, inside).numpy()
        return scores

    def _foreground(self, pictures: Pictures, new: Callable[..., np.ndarray]) -> np.ndarray | None:
        """What belongs to the body in each picture, ``(N, H, W)`` bool made by ``new``; None where everything does."""
        found = None
        for rows in self._batches(len(pictures)):
            foreground = pictures.batch(rows)[1]
            if foreground is None:
                return None
            if found is None:
                found = new((len(pictures), *foreground.shape[1:]), bool)
            found[rows] = foreground
        return found

    def learn(self, pictures: Pictures) -> dict[str, np.ndarray]:
        """What scoring finds out of training normals, in the arithmetic that it scores in."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
            return self.scoring.learn(self.network, self.prepared(pictures))

    def prepared(self, pictures: Pictures) -> PreparedBatches:
        """The pictures as the network gets them, batch by batch."""
        return PreparedBatches(self, pictures)

    def each_prepared(self, pictures: Pictures) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Images ``(B, C, H, W)`` and their inside ``(B, H, W)`` or None, batch by batch."""
        for rows in self._batches(len(pictures)):
            yield self._prepare(pictures, rows)

    def deciding_score(self, pictures: Pictures) -> np.ndarray:
        """The deciding score alone, ``(N,)``."""
        name = self.scoring.names[0]
        if self.postprocessing.active and name in MAP_SCORES:
            return self.run(pictures).scores[name]
        scores = np.empty(len(pictures))

        def score(rows: np.ndarray, images: Tensor, inside: Tensor | None) -> None:
            scores[rows] = self.scoring.deciding(self.network, images, inside).cpu().numpy()

        self._each_batch(pictures, "scoring", score)
        return scores

    def pictures(self, pictures: Pictures) -> tuple[Tensor, Tensor | None]:
        """Network input and reconstruction, if there are any, ``(N, C, H, W)`` each, of a few pictures."""

        def reconstruct(rows: np.ndarray, images: Tensor, inside: Tensor | None) -> tuple[Tensor, Tensor | None]:
            reconstructions = self.scoring(self.network, images, inside).reconstructions
            return images.cpu(), None if reconstructions is None else reconstructions.float().cpu()

        prepared, found = zip(*self._each_batch(pictures, "reconstructing", reconstruct), strict=True)
        reconstructions = [one for one in found if one is not None]
        return torch.cat(prepared), torch.cat(reconstructions) if reconstructions else None

    def latents(self, pictures: Pictures) -> np.ndarray:
        """Posterior means ``(N, L)``."""

        def encode(rows: np.ndarray, images: Tensor, inside: Tensor | None) -> Tensor:
            return self.scoring.latents(self.network, images).cpu()

        encoded = self._each_batch(pictures, "encoding", encode)
        return torch.cat(encoded).numpy() if encoded else np.empty((0, self.network.latent), np.float32)

    def _batches(self, count: int) -> list[np.ndarray]:
        size = max(min(BATCH, BATCH_PIXELS // self.preparation.image_size**2), 1)
        return [np.arange(i, min(i + size, count)) for i in range(0, count, size)]

    def _prepare(self, pictures: Pictures, rows: np.ndarray) -> tuple[Tensor, Tensor | None]:
        batch = pictures.batch(rows)
        return self.preparation.tensors(batch, self.device), self.preparation.inside(batch, self.device)

    def _each_batch(
        self, pictures: Pictures, what: str, work: Callable[[np.ndarray, Tensor, Tensor | None], Result]
    ) -> list[Result]:
        batches = self._batches(len(pictures))

        def carry_out(rows: np.ndarray) -> Result:
            images, inside = self._prepare(pictures, rows)
            with torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16):
                return work(rows, images, inside)

        with _side_by_side(self.device) as pool:
            return list(track(pool.map(carry_out, batches), what, len(batches)))


@dataclass(frozen=True)
class PreparedBatches:
    """Pictures as a network gets them, prepared anew each time they are gone through."""

    inference: Inference
    pictures: Pictures

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        return self.inference.each_prepared(self.pictures)


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
