"""Encoders: how images become the vectors that clusters are found in, by a trained network or by pixels alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.detector import Detector
from sanoscope.errors import OptionError, nearest
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipe import Recipe
from sanoscope.recipes import RECIPES
from sanoscope.recipes.parts import PREPARATION, sourced

PAPER = "the clustering autoencoders' paper, sole k-means"
# Pictures that are prepared at once.
BATCH = 256

_PREPARATION = sourced(PREPARATION, PAPER, image_size=50, interpolation="bilinear", intensity="unit")


class Encoder(Protocol):
    """What makes vectors of images.

    Attributes:
        name: As on the command line.
        title: For tables.
    """

    name: str
    title: str

    def encode(self, cases: Cases) -> tuple[Pictures, np.ndarray]:
        """The pictures of all cases that can be read, with the others listed, and their vectors ``(N, L)``."""


class Method(Protocol):
    """What learns an encoder from images, without labels.

    Attributes:
        name: As on the command line.
        title: For tables.
        kind: ``"clusters"``, or ``"trivial"`` of one that any other must beat.
        settings: All that its vectors depend on beside images and seed, fit for JSON.
    """

    name: str
    title: str
    kind: str
    settings: Mapping[str, Any]

    def fit(self, cases: Cases, seed: int) -> Encoder:
        """The encoder that the training side gives, with the validation side to tell when it is trained best."""


class FittedMethod:
    """A detector that is fitted already, so that fitting it leaves it as it is; method and encoder in one.

    Args:
        detector: Its latents are the vectors.
    """

    kind = "clusters"

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.name, self.title = detector.recipe.name, detector.recipe.title
        self.settings: Mapping[str, Any] = detector.recipe.values | detector.provenance_

    def fit(self, cases: Cases, seed: int) -> FittedMethod:
        """Itself."""
        return self

    def encode(self, cases: Cases) -> tuple[Pictures, np.ndarray]:
        """See ``Encoder``."""
        return self.detector.encode(cases)


class RecipeMethod:
    """A detector that is fitted to all images of the training side, abnormal ones included, as it sees no labels.

    Args:
        recipe: With its options set.
        device: As for ``Detector``.
        folder: Where one training is kept, and gone on with if it was interrupted; None keeps nothing.
        quiet: Leave out the notes on the data and the progress of the training.
    """

    kind = "clusters"

    def __init__(self, recipe: Recipe, device: str = "auto", folder: Path | None = None, quiet: bool = True) -> None:
        self.recipe, self.device, self.folder, self.quiet = recipe, device, folder, quiet
        self.name, self.title = recipe.name, recipe.title
        self.settings: Mapping[str, Any] = recipe.values

    def fit(self, cases: Cases, seed: int) -> FittedMethod:
        """A detector that has learned from unlabelled images; for the errors see ``Detector.fit``."""
        detector = Detector(self.recipe, seed=seed, device=self.device)
        detector.fit(cases.unlabelled(), folder=self.folder, resume=self.folder is not None, quiet=self.quiet)
        return FittedMethod(detector)


class PreparedMethod(ABC):
    """Vectors of prepared images, without a network.

    Args:
        options: Of the preparation, by dotted name such as ``preparation.image_size``.

    Raises:
        OptionError: For an unknown option or a value it does not take.
    """

    name: str
    title: str
    kind: str

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        declared = Recipe(self.name, self.title, PAPER, {"preparation": _PREPARATION})
        self.recipe = declared.with_options(options or {})
        self.settings: Mapping[str, Any] = self.recipe.values

    def fit(self, cases: Cases, seed: int) -> PreparedEncoder:
        """An encoder with what the preparation learns of the training side, or of all cases if they have no sides."""
        preparation: Preparation = self.recipe.build("preparation")
        preparation.fit((cases.train if cases.is_split else cases).unlabelled())
        return PreparedEncoder(self, preparation)

    @abstractmethod
    def vectors(self, images: np.ndarray) -> np.ndarray:
        """Vectors ``(B, L)`` of prepared images ``(B, C, H, W)``."""


class PixelMethod(PreparedMethod):
    """Prepared images themselves, in [0, 1], as vectors ``(N, C·H·W)``: sole k-means."""

    name, title, kind = "pixels", "Pixels", "clusters"

    def vectors(self, images: np.ndarray) -> np.ndarray:
        """All their values."""
        return images.reshape(len(images), -1)


class ColourMethod(PreparedMethod):
    """The mean of each channel, ``(N, C)``: what differs in colour or brightness alone."""

    name, title, kind = "mean-colour", "Mean colour", "trivial"

    def vectors(self, images: np.ndarray) -> np.ndarray:
        """The mean of each channel."""
        return np.asarray(images.mean((2, 3), dtype=np.float64))


class PreparedEncoder:
    """Vectors of prepared images, without a network.

    Args:
        method: Makes vectors of images.
        preparation: Fitted.
    """

    def __init__(self, method: PreparedMethod, preparation: Preparation) -> None:
        self.name, self.title = method.name, method.title
        self.method, self.preparation = method, preparation

    def encode(self, cases: Cases) -> tuple[Pictures, np.ndarray]:
        """See ``Encoder``."""
        pictures = self.preparation.decode(cases)
        starts = range(0, len(pictures), BATCH)
        rows = [np.arange(start, min(start + BATCH, len(pictures))) for start in starts]
        parts = [self.method.vectors(self.preparation.tensors(pictures.batch(some)).numpy()) for some in rows]
        return pictures, np.concatenate(parts) if parts else np.empty((0, 0), np.float32)


PREPARED: dict[str, type[PreparedMethod]] = {method.name: method for method in (PixelMethod, ColourMethod)}


def prepared_method(name: str, options: Mapping[str, Any] | None = None) -> PreparedMethod:
    """``pixels`` or ``mean-colour``.

    Raises:
        OptionError: If there is no such method, or for an option it does not have.
    """
    if name not in PREPARED:
        raise OptionError(f"no method without a network is called '{name}'; {nearest(name, list(PREPARED))}")
    return PREPARED[name](options)


def method_of(name: str, options: Mapping[str, Any] | None = None, device: str = "auto") -> Method:
    """The method of that name: a recipe's, ``pixels``, or ``mean-colour``.

    Args:
        name: Of the method.
        options: To set, by dotted name.
        device: As for ``Detector``.

    Raises:
        OptionError: If there is none, the nearest name is in the message; or for an option it does not have.
    """
    if name in PREPARED:
        return prepared_method(name, options)
    if name not in RECIPES:
        raise OptionError(f"no recipe '{name}'; {nearest(name, [*RECIPES, *PREPARED])}")
    return RecipeMethod(RECIPES[name].with_options(options or {}), device)
