"""What scoring by the features of a frozen network has in common, whatever was learned of them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from sanoscope.networks.embedding import Embedding
from sanoscope.scoring.scored import Scoring, deciding_first


class EmbeddingScoring(Scoring):
    """Score images by what an embedding remembers of normal ones; no images are reconstructed.

    Args:
        known: Names of all scores.
        score: The score that decides.
        also: ``all`` other scores beside it, or ``none``.
        precision: ``float32``, ``bfloat16`` or ``auto``.
    """

    def __init__(self, known: Sequence[str], score: str, also: str, precision: str) -> None:
        super().__init__(deciding_first("score", score, known, known if also == "all" else ()), precision)

    def used(self, network: Embedding) -> list[nn.Module]:
        """See ``Scoring.used``: what sees the features, and nothing of what is only remembered."""
        return [network.trunk]
