"""Learning in closed form: one pass over what a frozen network sees in training normals."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sanoscope.console import track
from sanoscope.errors import TrainingError
from sanoscope.networks.embedding import Embedding
from sanoscope.preparation.augmentation import Augmentation
from sanoscope.preparation.intensity import Intensity
from sanoscope.preparation.pictures import Pictures
from sanoscope.training.batches import derived_seed
from sanoscope.training.kept_features import PreparedPictures
from sanoscope.training.plain import Surroundings

# Images in a pass; feature maps are large.
PASS = 32


class FrozenFeatureTraining(ABC):
    """Training that fills an embedding's memory and leaves its weights alone; there is nothing to resume."""

    # Nothing is validated, so that all of it might count.
    judged_after = 0

    def one_process(self, network: Embedding) -> str:
        """See ``PlainTraining.one_process``."""
        return "it learns in closed form, in one pass over the images"

    def run(
        self,
        network: Embedding,
        objective: None,
        intensity: Intensity,
        train: Pictures,
        validation: Pictures | None,
        surroundings: Surroundings,
        augmentation: Augmentation | None = None,
    ) -> list[dict[str, float]]:
        """Learn from the features of training normals.

        Args:
            network: With its published weights.
            objective: None; nothing is minimised step by step.
            intensity: Fitted.
            train: Pictures of training normals.
            validation: Not looked at.
            surroundings: Seed and device.
            augmentation: Not used: features are of the images as they are.

        Returns:
            No rows, as there are no epochs.

        Raises:
            TrainingError: If there is too little to learn from.
        """
        if len(train) < 2:
            raise TrainingError(f"{len(train)} training image is too few; at least 2 normal images are needed")
        network.to(surroundings.device).eval()
        images = PreparedPictures(train, intensity, surroundings.device)
        generator = torch.Generator().manual_seed(derived_seed(surroundings.seed))
        with torch.inference_mode():
            learned = self.learn(network, images, generator)
        network.memory.keep(**{name: tensor.clone() for name, tensor in learned.items()})
        return []

    @abstractmethod
    def learn(self, network: Embedding, images: PreparedPictures, generator: torch.Generator) -> dict[str, Tensor]:
        """What the network's memory is to keep, by name.

        Args:
            network: In evaluation mode.
            images: All training normals; see ``passes``.
            generator: Of everything random, on the CPU.
        """


def passes(images: PreparedPictures, chosen: np.ndarray | None = None) -> Iterator[Tensor]:
    """Images ``(B, C, H, W)``, a few at a time: all of them, or those of these numbers, in their order."""
    numbers = np.arange(len(images)) if chosen is None else chosen
    starts = range(0, len(numbers), PASS)
    for begin in track(starts, "looking at training images", len(starts)):
        yield images.batch(numbers[begin : begin + PASS])
