"""The tables of methods that judge whole images, from the runs of studies/image_rivals.py."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from image_rivals_runs import ALSO_IN, COLLECTIONS, MADE_THERE, METHODS
from localisation_page import line, rule, spread

Run = dict[str, Any]

MEDICAL = ("pneumoniamnist", "chest_xray", "brain_mri")
CIFAR10 = tuple(name for name in COLLECTIONS if name not in MEDICAL)
ALL_ABNORMAL = "predict all abnormal"
# What stands behind a figure that some row without any model reaches too.
BELOW = " ↓"

# Shvetsova et al.: AUROC in percent on Camelyon16, the NIH subset, PA and AP; default settings, and in brackets those
# chosen by known anomalies, where they are others.
PAPER = {
    "perceptual": ("92.7 ± 0.4", "92.0 ± 0.2", "70.3 ± 0.2", "58.6 ± 0.1"),
    "perceptual-growing": ("93.4 ± 0.3", "92.6 ± 0.2", "70.8 ± 0.1", "58.5 ± 0.0"),
    "deep-geo": (
        "52.4 ± 11.1 (45.9 ± 2.1)",
        "85.8 ± 0.6 (85.3 ± 1.0)",
        "60.2 ± 2.6 (63.6 ± 0.6)",
        "53.1 ± 0.3 (54.4 ± 0.6)",
    ),
    "piad": (
        "85.4 ± 2.0 (89.5 ± 0.6)",
        "88.0 ± 1.1 (87.3 ± 0.9)",
        "68.0 ± 0.2 (68.7 ± 0.5)",
        "57.4 ± 0.4 (58.6 ± 0.3)",
    ),
    "deep-if": (
        "87.6 ± 1.5 (90.6 ± 0.3)",
        "76.6 ± 2.7 (85.3 ± 0.4)",
        "52.2 ± 0.5 (47.2 ± 0.4)",
        "54.3 ± 0.5 (56.1 ± 0.2)",
    ),
    "daol": ("", "80.5 ± 2.1", "", ""),
}
# The paper's means over the ten classes of CIFAR-10, likewise; the last four are quoted there from others.
PAPER_CIFAR10 = {
    "perceptual": "84.0",
    "deep-geo": "86.6 (86.5)",
    "piad": "78.8 (81.3)",
    "deep-if": "87.2 (87.3)",
    "anogan": "57.6",
    "ganomaly": "58.1",
    "dsebm": "64.8",
    "deep-svdd": "58.8",
}


class ImageRivalsPage:
    """Tables of the runs, for the template.

    Args:
        folder: Of the runs' JSON.
    """

    def __init__(self, folder: Path) -> None:
        self.runs: list[Run] = [json.loads(file.read_text()) for file in sorted(folder.glob("image-*-seed*.json"))]
        # Rows of the other study that have as many steps and the same options.
        there = {name: row for row, name in ALSO_IN.items()}
        for file in sorted(folder.glob("perceptual-*-seed*.json")):
            run = json.loads(file.read_text())
            if run["collection"] in MADE_THERE and run["row"] in there:
                self.runs.append({**run, "row": there[run["row"]], "left out as seen in training": 0})
        self.qualities: dict[str, Any] = json.loads((folder / "image-qualities.json").read_text())

    def of(self, collection: str, row: str) -> list[Run]:
        """The runs of a method on a collection, by seed."""
        found = [run for run in self.runs if (run["collection"], run["row"]) == (collection, row)]
        if not found:
            sys.exit(f"docs/results has no run {collection}, {row}; make it with studies/image_rivals.py")
        return found

    def auroc(self, collection: str, row: str) -> str:
        """Of a method over its seeds, for the text."""
        return spread(self._values(collection, row))

    def score(self, collection: str, row: str, score: str) -> str:
        """AUROC of another score of a method, over its seeds."""
        return spread(
            [
                _estimate(result, "auroc")
                for run in self.of(collection, row)
                for result in run["rows"]
                if result["name"].endswith(f", {score}")
            ]
        )

    def trivial(self, collection: str, name: str) -> str:
        """AUROC of a row that needs no model."""
        return f"{self._trivial(collection)[name]:.3f}"

    def quality(self, collection: str, name: str, distance: bool = False) -> str:
        """AUROC of a quality of images, or of its distance from that of training normals."""
        return f"{self.qualities[collection]['auroc of distance' if distance else 'auroc'][name]:.3f}"

    def correlation(self, collection: str, row: str, name: str = "detail") -> str:
        """Rank correlation of a method's score with a quality, among normal test images."""
        return f"{self.qualities[collection]['correlation'][row][name]:.2f}"

    def table(self) -> str:
        """Every method on the medical collections, percent, with the paper's figures on others beside."""
        headings = ["method", *(f"`{name}`" for name in MEDICAL), *("Camelyon16", "NIH subset", "NIH PA", "NIH AP")]
        lines = [line(headings), rule(len(headings))]
        for row, method in METHODS.items():
            lines.append(line([method.title, *self._cells(row, MEDICAL), *PAPER.get(row, ("",) * 4)]))
        return "\n".join([*lines, *self._trivial_lines(MEDICAL, [""] * 4)])

    def cifar_table(self) -> str:
        """Every method on three classes of CIFAR-10, percent, with the paper's mean over ten classes beside."""
        headings = ["method", *(name.removeprefix("cifar10-") for name in CIFAR10), "the paper's, mean of ten classes"]
        lines = [line(headings), rule(len(headings))]
        for row, method in METHODS.items():
            lines.append(line([method.title, *self._cells(row, CIFAR10), PAPER_CIFAR10.get(row, "")]))
        return "\n".join([*lines, *self._trivial_lines(CIFAR10, [""])])

    def interval_table(self) -> str:
        """Bootstrap intervals of each method's first seed."""
        headings = ["method", *(f"`{name}`" for name in COLLECTIONS)]
        lines = [line(headings), rule(len(headings))]
        for row, method in METHODS.items():
            lines.append(line([method.title, *(_ends(self.of(one, row)[0]["rows"][0]) for one in COLLECTIONS)]))
        return "\n".join(lines)

    def quality_table(self) -> str:
        """How well brightness, contrast and detail tell abnormal images by themselves."""
        names = list(self.qualities[MEDICAL[0]]["auroc"])
        headings = ["collection", *names, *(f"{name}, distance from normal" for name in names)]
        lines = [line(headings), rule(len(headings))]
        for collection in COLLECTIONS:
            cells = [self.quality(collection, name, distance) for distance in (False, True) for name in names]
            lines.append(line([f"`{collection}`", *cells]))
        return "\n".join(lines)

    def correlation_table(self, name: str) -> str:
        """Rank correlations of every method's score with a quality, among normal test images."""
        lines = [line(["method", *(f"`{one}`" for one in COLLECTIONS)]), rule(1 + len(COLLECTIONS))]
        for row, method in METHODS.items():
            lines.append(line([method.title, *(self.correlation(one, row, name) for one in COLLECTIONS)]))
        return "\n".join(lines)

    def cost_table(self, collection: str) -> str:
        """What each method takes on a collection."""
        headings = ["method", "image side", "trained weights", "frozen weights", "steps", "fitting", "scoring an image"]
        lines = [line(headings), rule(len(headings))]
        for row, method in METHODS.items():
            runs = self.of(collection, row)
            counts = runs[0]["parameters"]
            fit, score = (min(run[name] for run in runs) for name in ("fit seconds", "score milliseconds"))
            trained = counts["training"] - counts["frozen"]
            steps = f"{runs[0]['history'][-1]['iterations']:,}" if runs[0]["history"] else "–"
            cells = [f"{runs[0]['image size']}", f"{trained:,}", f"{counts['frozen']:,}", steps]
            lines.append(line([method.title, *cells, f"{fit:.0f} s", f"{score:.1f} ms"]))
        return "\n".join(lines)

    def sides(self, collection: str) -> str:
        """How many images of which kind are on each side, and how many of the test are not looked at."""
        run = self.of(collection, next(iter(METHODS)))[0]
        sides = "; ".join(
            f"{side}: {counts['normal']} normal and {counts['abnormal']} abnormal"
            for side, counts in run["sides"].items()
        )
        seen = run["left out as seen in training"]
        return sides + (f" (without {seen} that are in the training set too)" if seen else "")

    def collections(self) -> list[str]:
        """All of them."""
        return list(COLLECTIONS)

    def _cells(self, row: str, collections: Sequence[str]) -> list[str]:
        cells = []
        for collection in collections:
            values = [100 * value for value in self._values(collection, row)]
            deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            below = self._mean(collection, row) <= max(self._trivial(collection).values())
            cells.append(f"{statistics.mean(values):.1f}{deviation}{BELOW if below else ''}")
        return cells

    def _trivial_lines(self, collections: Sequence[str], more: Sequence[str]) -> list[str]:
        rows = [self._trivial(collection) for collection in collections]
        return [line([f"*{name}* (trivial)", *(f"{100 * row[name]:.1f}" for row in rows), *more]) for name in rows[0]]

    def _trivial(self, collection: str) -> dict[str, float]:
        """AUROC of the rows without a model, of images as the first method sees them."""
        rows = self.of(collection, next(iter(METHODS)))[0]["rows"]
        found = {row["name"]: _estimate(row, "auroc") for row in rows if row["kind"] == "trivial"}
        del found[ALL_ABNORMAL]  # which is no score
        return {**found, "detail": self.qualities[collection]["auroc of distance"]["detail"]}

    def _values(self, collection: str, row: str) -> list[float]:
        return [_estimate(run["rows"][0], "auroc") for run in self.of(collection, row)]

    def _mean(self, collection: str, row: str) -> float:
        return statistics.mean(self._values(collection, row))


def _estimate(result: dict[str, Any], metric: str) -> float:
    return float(result["evaluation"]["estimates"][metric]["value"])


def _ends(result: dict[str, Any]) -> str:
    estimate = result["evaluation"]["estimates"]["auroc"]
    return f"[{estimate['low']:.2f}, {estimate['high']:.2f}]"
