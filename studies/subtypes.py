"""Clusters of latents on breast histopathology: every row of the paper's table, by image and by subject.

Each fold of each row is one file in ``--work``, so that an interrupted study goes on and several processes can share
it; ``--collect`` makes of them the JSON that the page of results is written from.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import write

from sanoscope.cases import read_cases, rotating_folds
from sanoscope.cases.case import Cases
from sanoscope.clustering import ClusterSettings
from sanoscope.clustering.projection import project
from sanoscope.console import say
from sanoscope.networks.network import parameter_count
from sanoscope.preparation.pictures import Pictures
from sanoscope.provenance import environment
from sanoscope.recipes.supervised import SUPERVISED
from sanoscope.subtypes.classes import classes_of
from sanoscope.subtypes.classifier import Classifier
from sanoscope.subtypes.encoders import Encoder, FittedMethod, Method, method_of
from sanoscope.subtypes.fold import run_fold, run_supervised_fold, trivial_folds

FOLDS, SEED = 5, 0
BY = ("image", "subject")
SETTINGS = ClusterSettings()
# Scoring and encoding in bfloat16, where there are units for it, as training is: latents of two networks are compared,
# not single values.
FAST = {"scoring.precision": "auto"}


@dataclass(frozen=True)
class Row:
    """One row: a method with its budget.

    Attributes:
        method: A recipe's name, ``pixels``, ``mean-colour``, or that of the supervised reference.
        options: Of the method, by which the budget is reduced.
        patches: How many of the patches it has in all, drawn at random; 0 has all.
        folds: How many of the five folds are carried out.
    """

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    patches: int = 0
    folds: int = FOLDS


_SMALL = FAST | {"training.batch_size": 25, "training.epochs": 6, "training.drop_every": 5, "data.fraction": 0.5}
_LARGE = FAST | {"training.batch_size": 25}
ROWS = {
    "pixels": Row("pixels"),
    "pixels-1000": Row("pixels", patches=1000, folds=3),
    "mean-colour": Row("mean-colour"),
    "fc-autoencoder": Row("fc-autoencoder", FAST | {"training.epochs": 12}),
    "cnn-autoencoder": Row("cnn-autoencoder", _SMALL),
    "cnn-autoencoder-no-maxpool": Row("cnn-autoencoder-no-maxpool", _SMALL),
    "alexnet-autoencoder": Row(
        "alexnet-autoencoder", _LARGE | {"network.pretrained": False, "training.epochs": 2}, patches=1000, folds=3
    ),
    "resnet-autoencoder": Row("resnet-autoencoder", _LARGE | {"training.epochs": 1}, patches=1000, folds=3),
    "densenet121": Row("densenet121", {"training.epochs": 2}),
}


def cases_of(data: Path, row: Row) -> Cases:
    """The patches of a row."""
    cases = read_cases(data / "idc")
    if not row.patches:
        return cases
    return cases[np.sort(np.random.default_rng(SEED).choice(len(cases), row.patches, replace=False))]


class Noted:
    """A method whose last vectors are kept, and how large its network is.

    Attributes:
        latents: Of the cases that were encoded last, which in a fold is the test side.
        facts: Of the network, where there is one.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.name, self.title, self.kind, self.settings = method.name, method.title, method.kind, method.settings

    def fit(self, cases: Cases, seed: int) -> Noted:
        """See ``Method.fit``."""
        begun = time.monotonic()
        self.encoder: Encoder = self.method.fit(cases, seed)
        self.facts: dict[str, Any] = {"training seconds": round(time.monotonic() - begun, 1)}
        if isinstance(self.encoder, FittedMethod):
            history = self.encoder.detector.history_
            self.facts |= {
                "parameters": parameter_count(self.encoder.detector.network_),
                "losses": [[round(row[f"{side}/loss"], 4) for side in ("train", "validation")] for row in history],
            }
        return self

    def encode(self, cases: Cases) -> tuple[Pictures, np.ndarray]:
        """See ``Encoder.encode``."""
        pictures, self.latents = self.encoder.encode(cases)
        return pictures, self.latents


def run(row: Row, split: Cases, quick: bool) -> dict[str, Any]:
    """One fold of one row."""
    if row.method == SUPERVISED.name:
        recipe = SUPERVISED.preset("quick")
        classifier = Classifier(recipe, {"training.epochs": 1} if quick else row.options, quiet=True)
        result = run_supervised_fold(classifier, split, SEED)
        facts = {"parameters": parameter_count(classifier.network_)}
        plot = plot_of(features_of(classifier, split.test), split.test)
        return {"result": result.to_json(), "facts": facts, "options": dict(classifier.recipe.changes), "plot": plot}
    options = {**row.options, **({"training.epochs": 1} if quick and row.options else {})}
    method = Noted(method_of(row.method, options))
    result = run_fold(method, split, SETTINGS, "one-to-one", SEED)
    return {
        "result": result.to_json(),
        "facts": method.facts,
        "options": dict(options),
        "plot": plot_of(method.latents, split.test),
    }


@torch.inference_mode()
def features_of(classifier: Classifier, cases: Cases) -> np.ndarray:
    """What the classifier's last layer sees of cases, ``(N, L)``."""
    pictures = classifier.preparation_.decode(cases)
    batches = np.array_split(np.arange(len(pictures)), max(len(pictures) // 64, 1))
    images = (classifier.preparation_.tensors(pictures.batch(rows)) for rows in batches)
    return torch.cat([classifier.network_.encode(one)[0] for one in images]).numpy()


def plot_of(latents: np.ndarray, test: Cases) -> dict[str, Any]:
    """Points of the test side by t-SNE, with classes and subjects."""
    points = project(latents, SEED)[-1]
    places = points.points / np.abs(points.points).max()
    subjects = sorted({subject for subject in test.subjects if subject is not None})
    return {
        "name": points.name,
        "points": places.round(3).tolist(),
        "classes": classes_of(test)[1][points.rows].tolist(),
        "subjects": [subjects.index(test[int(row)].subject) for row in points.rows],
    }


def carry_out(data: Path, name: str, by: str, work: Path, quick: bool) -> None:
    """All folds of a row that are not done yet."""
    row = ROWS[name]
    splits = rotating_folds(cases_of(data, row), FOLDS, SEED, by)
    for number, split in enumerate(splits[: row.folds], start=1):
        file = work / f"{name}-{by}-{number}.json"
        if file.exists():
            continue
        begun = time.monotonic()
        found = run(row, split, quick)
        write(file, found)
        values = {key: value if value is None else round(value, 3) for key, value in found["result"]["values"].items()}
        say(f"{name}, by {by}, fold {number}: {values} ({time.monotonic() - begun:.0f} s)")


def collect(data: Path, work: Path, results: Path) -> None:
    """One JSON file of each row and way of splitting, as far as there are folds."""
    for name, row in ROWS.items():
        for by in BY:
            files = [work / f"{name}-{by}-{number}.json" for number in range(1, row.folds + 1)]
            folds = [json.loads(file.read_text()) for file in files if file.exists()]
            if folds:
                plot = folds[0].pop("plot", None)
                for fold in folds[1:]:
                    fold.pop("plot", None)
                found = {"row": name, "by": by, "patches": row.patches, "folds": folds, "plot": plot}
                write(results / f"subtypes-{by}-{name}.json", found | environment("cpu"))
    for by in BY:
        cases = read_cases(data / "idc")
        trivial: dict[str, list[Any]] = {}
        for split in rotating_folds(cases, FOLDS, SEED, by):
            for title, result in trivial_folds(split).items():
                trivial.setdefault(title, []).append({"result": result.to_json()})
        write(results / f"subtypes-{by}-trivial.json", {"row": "trivial", "by": by, "rows": trivial})


def main() -> None:
    """Carry out rows, or collect what is done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with idc/")
    parser.add_argument("--work", type=Path, required=True, help="folder for the folds")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--by", nargs="*", default=list(BY), choices=BY)
    parser.add_argument("--quick", action="store_true", help="one epoch, to see that everything runs")
    parser.add_argument("--collect", type=Path, metavar="RESULTS", help="write results of the folds that are done")
    given = parser.parse_args()
    if given.collect:
        collect(given.data, given.work, given.collect)
        return
    for by in given.by:
        for name in given.rows:
            carry_out(given.data, name, by, given.work, given.quick)


if __name__ == "__main__":
    main()
