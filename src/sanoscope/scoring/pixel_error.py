"""Scores and the map by the pixels that a reconstruction misses, beside what scores a method has of its own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from sanoscope.networks.network import Network
from sanoscope.objectives.elbo import absolute_error, squared_error
from sanoscope.scoring.scored import MAP_SCORES, Scored, Scoring, deciding_first, inside_only, map_score

PIXEL_SCORES = ("l1", "mse", *MAP_SCORES)


class PixelErrorScoring(Scoring):
    """``l1`` and ``mse`` of pixels, means; ``map-mean`` and ``map-max``; and ``own`` scores.

    The map is ``absolute-error``, the mean over channels of ``|x − x̂|``.

    Args:
        score: The score that decides.
        also: ``all`` other scores beside it, or ``none``.
        precision: ``float32``, ``bfloat16`` or ``auto``.

    Attributes:
        own: Names of the method's own scores.

    Raises:
        OptionError: If the deciding score is not known.
    """

    own: ClassVar[tuple[str, ...]]
    map_names = ("absolute-error",)

    def __init__(self, score: str, also: str, precision: str) -> None:
        known = (*self.own, *PIXEL_SCORES)
        super().__init__(deciding_first("score", score, known, known if also == "all" else ()), precision)

    @abstractmethod
    def compared(self, network: Any, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions ``(B, C, H, W)`` float32 of images, and the method's own scores ``(B,)`` by name."""

    @torch.no_grad()
    def __call__(self, network: Network, images: Tensor, inside: Tensor | None = None) -> Scored:
        """Score images ``(B, C, H, W)`` with a network in evaluation mode."""
        return self._scored(network, images, inside, self.names)

    @torch.no_grad()
    def deciding(self, network: Network, images: Tensor, inside: Tensor | None = None) -> Tensor:
        """The deciding score alone, ``(B,)``."""
        name = self.names[0]
        return self._scored(network, images, inside, (name,)).scores[name]

    def _scored(self, network: Network, images: Tensor, inside: Tensor | None, names: Sequence[str]) -> Scored:
        reconstructions, own = self.compared(network, images)
        maps = inside_only((images - reconstructions).abs().mean(1), inside)
        scores = {
            name: own[name] if name in own else _score(name, images, reconstructions, maps, inside) for name in names
        }
        return Scored(scores, dict.fromkeys(self.map_names, maps), reconstructions)


def _score(name: str, images: Tensor, reconstructions: Tensor, maps: Tensor, inside: Tensor | None) -> Tensor:
    """One of ``PIXEL_SCORES``, ``(B,)``."""
    if name in MAP_SCORES:
        return map_score(name, maps, inside)
    if name == "l1":
        return absolute_error(images, reconstructions)
    return squared_error(images, reconstructions) / images[0].numel()
