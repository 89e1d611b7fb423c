"""Scores of how surely a classifier tells transformations of an image apart (Golan, El-Yaniv)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from sanoscope.networks.transformations import COUNT, transformed
from sanoscope.networks.wide_resnet import WideResNet
from sanoscope.scoring.dirichlet import likeliest
from sanoscope.scoring.scored import Scored, Scoring, deciding_first

SCORES = ("dirichlet", "softmax")
# What keeps the logarithm of a probability finite, as in the code of Shvetsova et al.
LEAST_PROBABILITY = 1e-6
# Of so many training normals the distributions are fitted, as each image is looked at 72 times; and so many at once.
LEARNED_IMAGES = 256
BATCH = 64


class TransformationScoring(Scoring):
    """Score images by the probabilities that the network gives for each of their transformations.

    Scores: ``dirichlet``, minus the log-likelihood of the probabilities under the Dirichlet distribution of normals,
    but for its constant, mean over the transformations; ``softmax``, minus the probability of the right
    transformation, likewise. There are no maps.

    Args:
        score: The score that decides.
        also: ``all`` other scores beside it, or ``none``.
        precision: ``float32``, ``bfloat16`` or ``auto``.
    """

    def __init__(self, score: str, also: str, precision: str) -> None:
        super().__init__(deciding_first("score", score, SCORES, SCORES if also == "all" else ()), precision)

    @torch.inference_mode()
    def learn(self, network: WideResNet, batches: Iterable[tuple[Tensor, Tensor | None]]) -> dict[str, np.ndarray]:
        """Fit a Dirichlet distribution to the probabilities of each transformation: ``concentrations``, (72, 72)."""
        images = torch.cat([batch for batch, _ in batches])
        images = images[np.linspace(0, len(images) - 1, min(len(images), LEARNED_IMAGES)).astype(int)]
        sums = torch.zeros(2, COUNT, COUNT, dtype=torch.float64)
        for batch in images.split(BATCH):
            for number, logs in enumerate(_log_probabilities(network, batch)):
                sums[:, number] += torch.stack((logs.exp(), logs)).sum(1)
        self.learned = {"concentrations": likeliest(*(sums / len(images))).numpy()}
        return self.learned

    @torch.inference_mode()
    def __call__(self, network: WideResNet, images: Tensor, inside: Tensor | None = None) -> Scored:
        """Score images ``(B, C, H, W)`` with a network in evaluation mode."""
        probabilities = [logs.exp() for logs in _log_probabilities(network, images)]
        return Scored({name: self._score(name, probabilities) for name in self.names}, {})

    def _score(self, name: str, probabilities: list[Tensor]) -> Tensor:
        """A score ``(B,)`` of probabilities ``(B, 72)`` for each transformation."""
        if name == "softmax":
            return -torch.stack([rows[:, number] for number, rows in enumerate(probabilities)]).mean(0)
        exponents = torch.from_numpy(self.learned["concentrations"]) - 1
        normality = [
            (rows + LEAST_PROBABILITY).log() @ exponent for rows, exponent in zip(probabilities, exponents, strict=True)
        ]
        return -torch.stack(normality).mean(0)


def _log_probabilities(network: WideResNet, images: Tensor) -> Iterator[Tensor]:
    """Log-probabilities ``(B, 72)``, float64 on the CPU, of images ``(B, C, H, W)`` under each transformation."""
    for number in range(COUNT):
        numbers = torch.full((len(images),), number, device=images.device)
        yield network(transformed(images, numbers)).cpu().double().log_softmax(1)
