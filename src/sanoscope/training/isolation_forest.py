"""Liu, Ting, Zhou: Isolation forest; grown on what a frozen network sees in training normals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sanoscope.networks.embedding import Embedding
from sanoscope.training.frozen_features import FrozenFeatureTraining, passes
from sanoscope.training.kept_features import PreparedPictures

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest


class IsolationForestTraining(FrozenFeatureTraining):
    """Grow trees that part random training normals at random, one feature at a time.

    Args:
        trees: How many.
        samples: Training normals that each tree parts, drawn at random; or all there are, if fewer.
        images: The most training normals whose features are computed, drawn at random.
    """

    def __init__(self, trees: int, samples: int, images: int) -> None:
        self.trees = trees
        self.samples = samples
        self.images = images

    def learn(self, network: Embedding, images: PreparedPictures, generator: torch.Generator) -> dict[str, Tensor]:
        """See ``FrozenFeatureTraining.learn``; for what is learned see ``networks.isolation_forest``."""
        from sklearn.ensemble import IsolationForest

        chosen = torch.randperm(len(images), generator=generator)[: self.images].sort().values.numpy()
        features = torch.cat([network.encode(batch)[0].cpu() for batch in passes(images, chosen)]).numpy()
        seed = int(torch.randint(2**31 - 1, (), generator=generator))
        forest = IsolationForest(
            n_estimators=self.trees, max_samples=min(self.samples, len(features)), random_state=seed
        ).fit(features)
        return {name: torch.from_numpy(array).to(images.device) for name, array in nodes_of(forest).items()}


def nodes_of(forest: IsolationForest) -> dict[str, np.ndarray]:
    """The nodes of a fitted forest; see ``networks.isolation_forest``.

    Thresholds are rounded down to float32, which parts features of that precision all the same.
    """
    trees = [tree.tree_ for tree in forest.estimators_]
    shape = len(trees), max(tree.node_count for tree in trees)
    branches = np.zeros((*shape, 2), np.int64)
    feature, steps, images = np.zeros((3, *shape), np.int64)
    threshold = np.zeros(shape, np.float32)
    for row, tree in enumerate(trees):
        count = tree.node_count
        leaf = tree.children_left < 0
        pairs = np.stack([tree.children_left, tree.children_right], axis=1)
        branches[row, :count] = np.where(leaf[:, None], np.arange(count)[:, None], pairs)
        feature[row, :count] = np.where(leaf, 0, tree.feature)
        threshold[row, :count] = _rounded_down(tree.threshold)
        steps[row, :count] = tree.compute_node_depths() - 1
        images[row, :count] = tree.n_node_samples
    return {"branches": branches, "feature": feature, "threshold": threshold, "steps": steps, "images": images}


def _rounded_down(values: np.ndarray) -> np.ndarray:
    """The largest float32 that are not above float64 values."""
    nearest = values.astype(np.float32)
    return np.where(nearest > values, np.nextafter(nearest, np.float32(-np.inf)), nearest)
