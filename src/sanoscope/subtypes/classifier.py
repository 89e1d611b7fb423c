"""The supervised reference: a network that learns from labels what clusters are to find without them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from sanoscope.cases.case import Cases
from sanoscope.cases.load import read_cases
from sanoscope.console import say
from sanoscope.errors import DataError, ModelError
from sanoscope.fit_record import unreadable_notes
from sanoscope.fitting import new_network
from sanoscope.networks.network import parameter_count
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipe import Recipe
from sanoscope.recipes.supervised import SUPERVISED
from sanoscope.subtypes.classes import UNKNOWN, classes_of
from sanoscope.training.devices import choose_device
from sanoscope.training.plain import Surroundings

# Pictures that classes are told of at once.
BATCH = 256


class Classifier:
    """A recipe that learns classes from labelled images, and then says those of others.

    Args:
        recipe: With parts for data, preparation, network, objective and training only.
        options: Options to set, by dotted name.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        quiet: Leave out the notes on the data and the progress of the training.

    Attributes:
        classes: Names of the classes, in the order of their codes.
        network_: The trained network.
        preparation_: What was learned about pixels.
        history_: Metrics of each epoch.
        notes_: What was left out.
    """

    def __init__(
        self,
        recipe: Recipe = SUPERVISED,
        options: Mapping[str, Any] | None = None,
        *,
        device: str = "auto",
        quiet: bool = False,
    ) -> None:
        self.recipe = recipe.with_options(options or {})
        self.device = choose_device(device)
        self.quiet = quiet
        self.fitted = False

    def fit(self, cases: Cases | str | Path, seed: int = 0) -> Self:
        """Learn from the labelled images of the training side; those of the validation side are for the curves only.

        Args:
            cases: With their sides, or a path. Where they have none, all are learned from. Classes are those of all
                cases, so that their codes do not depend on the split.
            seed: Of everything random: initial weights and order.

        Raises:
            DataError: If the images cannot be used, or have fewer than two classes.
            TrainingError: If the loss runs away.
        """
        cases = self._read(cases)
        self.classes, codes = classes_of(cases)
        code_of = {case.name: int(code) for case, code in zip(cases, codes, strict=True)}
        side = cases.train if cases.is_split else cases
        train, held_out = (one.where(lambda case: code_of[case.name] != UNKNOWN) for one in (side, cases.validation))
        self._require_two({code_of[case.name] for case in train}, cases.source)

        self.preparation_: Preparation = self.recipe.build("preparation")
        pictures = self.preparation_.for_training(self.preparation_.fit(train))
        validation = self.preparation_.decode(held_out)
        left_out = len(side) - len(train)
        self.notes_ = [f"{left_out} training images without a label were left out"] if left_out else []
        self.notes_ += [*self.preparation_.notes_, *unreadable_notes(pictures, validation)]
        for note in () if self.quiet else self.notes_:
            say(note)

        self.network_ = new_network(self.recipe, self.preparation_, seed, classes=len(self.classes))
        self.history_ = self._train(pictures, validation, code_of, seed)
        self.fitted = True
        return self

    def predict(self, cases: Cases | str | Path) -> tuple[Pictures, np.ndarray]:
        """The pictures of all cases that can be read, and the code ``(N,)`` of the likeliest class of each.

        What cannot be read is listed in the pictures' ``unreadable``.

        Raises:
            ModelError: If the classifier is not fitted.
        """
        if not self.fitted:
            raise ModelError("the classifier is not fitted yet; call fit")
        pictures = self.preparation_.decode(self._read(cases))
        network = self.network_.to(self.device)
        codes = np.empty(len(pictures), np.int64)
        for start in range(0, len(pictures), BATCH):
            rows = np.arange(start, min(start + BATCH, len(pictures)))
            with torch.inference_mode():
                logits = network(self.preparation_.tensors(pictures.batch(rows), self.device))
            codes[rows] = logits.argmax(1).cpu().numpy()
        return pictures, codes

    @property
    def parameters(self) -> int:
        """How many weights the fitted network has."""
        return parameter_count(self.network_)

    def _read(self, cases: Cases | str | Path) -> Cases:
        return read_cases(cases, slicing=self.recipe.build("data"))

    def _require_two(self, codes: set[int], source: str) -> None:
        """Refuse training images that are all of one class, or of none."""
        if len(codes) < 2:
            found = f"are all of class '{self.classes[codes.pop()]}'" if codes else "have no labels, or there are none"
            raise DataError(
                f"{source}: the training images {found}; a classifier needs labelled ones of two classes or more"
            )

    def _train(
        self, pictures: Pictures, validation: Pictures, code_of: Mapping[str, int], seed: int
    ) -> list[dict[str, float]]:
        """Train the network in place; the code of an image's class is found by the name of its case."""
        classes, validation_classes = (
            np.array([code_of[case.name] for case in side.cases], np.int64) for side in (pictures, validation)
        )
        training = self.recipe.build("training", classes=classes, validation_classes=validation_classes)
        history: list[dict[str, float]] = training.run(
            self.network_,
            self.recipe.build("objective"),
            self.preparation_.intensity,
            pictures,
            validation,
            Surroundings(None, seed, self.device, quiet=self.quiet),
            self.preparation_.augmentation,
        )
        return history
