"""Methods that learn in closed form of a frozen network's features, on a few small phantoms."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sanoscope import Case, Cases, Detector
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.networks.embedding import Embedding
from sanoscope.recipe import Recipe
from sanoscope.recipes import frozen_features
from sanoscope.training.kept_features import PreparedPictures

SIZE = 16
# A network that is quick at 16 pixels, with weights as they were drawn.
TINY: dict[str, Any] = {
    "preparation.image_size": SIZE,
    "network.features": "vgg11_bn",
    "network.layers": ("r11", "r21"),
    "network.pretrained": False,
}


def recipe(name: str, options: dict[str, Any] | None = None) -> Recipe:
    """A tiny one."""
    known = {one.name: one for one in frozen_features.RECIPES}
    return known[name].with_options(TINY | (options or {}))


@cache
def phantoms() -> Cases:
    """Twelve normal images and six abnormal ones."""
    cases = histology_phantoms(subjects=3, images_per_subject=12, size=32, seed=1).cases()
    labels = np.array(cases.labels)
    chosen: Cases = cases[[*np.flatnonzero(labels == 0)[:12], *np.flatnonzero(labels == 1)[:6]]]
    return chosen


@cache
def images() -> PreparedPictures:
    """The normal ones, as a network gets them."""
    preparation = recipe("deep-knn").build("preparation")
    return PreparedPictures(preparation.fit(phantoms()[:12]), preparation.intensity, "cpu")


def batch(count: int = 4, channels: int = 3) -> Tensor:
    """Random images ``(B, C, 16, 16)`` in [-1, 1]."""
    return torch.rand(count, channels, SIZE, SIZE, generator=generator(7)) * 2 - 1


def network(name: str, options: dict[str, Any] | None = None) -> Embedding:
    """Of a recipe, with nothing learned yet; always with the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: Embedding = recipe(name, options).build("network", in_channels=3, image_size=SIZE)
    return made.eval()


def learn(name: str, network: Embedding, options: dict[str, Any] | None = None, seed: int = 0) -> dict[str, Tensor]:
    """What a recipe's training finds out about the images, which the network then remembers."""
    with torch.inference_mode():
        learned = recipe(name, options).build("training").learn(network, images(), generator(seed))
    network.memory.keep(**{name: tensor.clone() for name, tensor in learned.items()})
    return dict(learned)


def fitted(name: str, options: dict[str, Any] | None = None, seed: int = 0) -> Detector:
    """A detector that has learned of the normal phantoms."""
    return Detector(recipe(name, options), seed=seed, device="cpu").fit(phantoms()[:12], quiet=True)


def with_blot() -> Cases:
    """A normal image of which a corner, the first quarter of each side, was painted over."""
    pixels = phantoms()[0].pixels.copy()
    pixels[: len(pixels) // 4, : len(pixels) // 4] = (255, 255, 0)
    return Cases([Case("blot", pixels=pixels)])


def generator(seed: int) -> torch.Generator:
    """Seeded."""
    return torch.Generator().manual_seed(seed)
