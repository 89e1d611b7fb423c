"""What every way of scoring gives, and what it offers to those who run it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sanoscope.errors import OptionError


@dataclass(frozen=True)
class Scored:
    """What scoring gives for a batch.

    Attributes:
        scores: ``(B,)`` each, by name; higher is more abnormal.
        maps: ``(B, H, W)`` each, by name, the deciding one first; finite, not negative, higher is more abnormal. None
            of a method that does not say where.
        reconstructions: ``(B, C, H, W)``, the model's healthy version of the image; None of one that makes none.
    """

    scores: dict[str, Tensor]
    maps: dict[str, Tensor]
    reconstructions: Tensor | None = None


class Scoring(ABC):
    """From a trained network to scores and maps; what it gives for an image does not depend on the batch.

    What a method does not do otherwise stands here: it learns nothing, judges all of the image that it is given, and
    takes the network's latents.

    Args:
        names: Of the scores, the deciding one first.
        precision: ``float32``, ``bfloat16`` or ``auto``.

    Attributes:
        map_names: Of the maps, the deciding one first; empty for a method that does not say where.
        learned: What ``learn`` found out, by name; kept with the model.
    """

    map_names: tuple[str, ...] = ()

    def __init__(self, names: tuple[str, ...], precision: str) -> None:
        self.names = names
        self.precision = precision
        self.learned: dict[str, np.ndarray] = {}

    def learn(self, network: Any, batches: Iterable[tuple[Tensor, Tensor | None]]) -> dict[str, np.ndarray]:
        """Find out what scoring has to know of training normals, and keep it in ``learned``.

        Args:
            network: Trained, in evaluation mode.
            batches: Images ``(B, C, H, W)`` and their inside ``(B, H, W)`` bool or None; they can be gone through
                several times.
        """
        return self.learned

    @abstractmethod
    def __call__(self, network: Any, images: Tensor, inside: Tensor | None = None) -> Scored:
        """Score images ``(B, C, H, W)`` with a network in evaluation mode.

        Outside of ``inside`` ``(B, H, W)``, where it is given, maps are 0.
        """

    def deciding(self, network: Any, images: Tensor, inside: Tensor | None = None) -> Tensor:
        """The deciding score alone, ``(B,)``."""
        return self(network, images, inside).scores[self.names[0]]

    def looked_at(self, inside: Tensor | None) -> Tensor | None:
        """Where maps may be above 0, given the foreground ``(B, H, W)``; None is everywhere."""
        return inside

    def used(self, network: Any) -> list[nn.Module]:
        """What the deciding map and score take of a network."""
        return [network]

    @torch.no_grad()
    def latents(self, network: Any, images: Tensor) -> Tensor:
        """Latents, or posterior means, ``(B, L)``."""
        latents: Tensor = network.encode(images)[0]
        return latents.float()


def inside_only(maps: Tensor, inside: Tensor | None) -> Tensor:
    """Maps ``(B, H, W)`` that are 0 where nothing is looked for; None looks everywhere."""
    return maps if inside is None else maps * inside


# Scores that are taken from a map, whichever it is.
MAP_SCORES = ("map-mean", "map-max")


def map_score(name: str, maps: Tensor, inside: Tensor | None) -> Tensor:
    """The score ``(B,)`` of images that is taken from maps ``(B, H, W)``: ``map-max``, or the mean inside."""
    values = maps.flatten(1)
    if name == "map-max":
        return values.amax(1)
    return values.mean(1) if inside is None else values.sum(1) / inside.flatten(1).sum(1).clamp(min=1)


def deciding_first(option: str, deciding: str, known: Sequence[str], also: Sequence[str]) -> tuple[str, ...]:
    """The names of scores or maps to compute.

    Raises:
        OptionError: If the deciding one is not known.
    """
    if deciding not in known:
        raise OptionError(f"unknown scoring.{option} '{deciding}'; one of {', '.join(known)}")
    return (deciding, *(name for name in also if name != deciding))
