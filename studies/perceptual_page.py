"""The tables of the deep perceptual autoencoder, from the runs of studies/perceptual.py and a search."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common import RESULTS
from localisation_page import line, rule, spread
from perceptual_runs import COLLECTIONS, choice_file, search_file

from sanoscope.selection.page import read_search
from sanoscope.selection.ranking import fold_value, mean_test_auroc
from sanoscope.selection.sensitivity import sensitivity

Run = dict[str, Any]

# By row: what it is called here, and in the paper's table of ablations.
ROWS = {
    "plain": "perceptual, without growing (2)",
    "growing": "perceptual, with growing (6)",
    "adversarial-0.1": "+ 0.1 adversarial (3)",
    "adversarial-0.01": "+ 0.01 adversarial (4)",
    "float32": "without growing, in float32",
    "small-steps": "without growing, the steps of (3) and (4)",
    "l1": "+ 1 L1 (5)",
    "weak": "selected by known anomalies",
    "unsupervised": "selected by normals alone (1)",
}
# What the name of a collection ends in where its images are larger.
TWICE = "-64"
METRICS = {"auroc": "AUROC", "average_precision": "AP"}
# Shvetsova et al., percent: Camelyon16, NIH subset, PA, AP.
PAPER = {
    "growing": ("93.4 ± 0.3", "92.6 ± 0.2", "70.8 ± 0.1", "58.5 ± 0.0"),
    "unsupervised": ("87.9 ± 0.6", "89.3 ± 0.2", "68.9 ± 0.1", "56.4 ± 0.2"),
    "plain": ("92.7 ± 0.4", "92.0 ± 0.2", "70.3 ± 0.2", "58.6 ± 0.1"),
    "adversarial-0.1": ("90.8 ± 0.7", "82.2 ± 2.6", "59.2 ± 1.4", "55.4 ± 0.9"),
    "adversarial-0.01": ("93.1 ± 0.6", "90.8 ± 0.2", "69.6 ± 0.6", "58.6 ± 0.1"),
    "l1": ("75.3 ± 1.6", "91.7 ± 0.4", "70.7 ± 0.2", "57.3 ± 0.1"),
}
PAPER_CIFAR10 = {"airplane": 86.5, "automobile": 92.2, "truck": 92.2}
# Measured on the same test sides by others' code: the authors' with VGG-11-BN and about 3,000 steps, and features of a
# ResNet-18 without training.
ELSEWHERE = {
    "pneumoniamnist": (
        ("the authors' released code, VGG-11-BN, about 3,000 steps", 0.896, 0.917),
        ("5 nearest neighbours, ResNet-18", 0.817, 0.845),
        ("PatchCore, ResNet-18", 0.738, 0.759),
    ),
    "chest_xray": (
        ("the authors' released code, VGG-11-BN, about 3,000 steps", 0.606, 0.564),
        ("5 nearest neighbours, ResNet-18", 0.632, 0.602),
        ("PatchCore, ResNet-18", 0.568, 0.528),
    ),
    "cifar10-airplane": (
        ("the authors' released code, VGG-11-BN, about 3,000 steps", 0.789, 0.963),
        ("5 nearest neighbours, ResNet-18", 0.835, 0.972),
        ("PatchCore, ResNet-18", 0.704, 0.948),
    ),
    "cifar10-truck": (
        ("5 nearest neighbours, ResNet-18", 0.910, 0.988),
        ("PatchCore, ResNet-18", 0.683, 0.951),
    ),
}


class PerceptualPage:
    """Tables of the runs, for the template.

    Args:
        folder: Of the runs' JSON.
    """

    def __init__(self, folder: Path) -> None:
        self.runs: list[Run] = [json.loads(file.read_text()) for file in sorted(folder.glob("perceptual-*-seed*.json"))]
        step = folder / "perceptual-step.json"
        self.step: dict[str, Any] = json.loads(step.read_text()) if step.exists() else {}

    def of(self, collection: str, row: str) -> list[Run]:
        """The runs of a row, by seed."""
        return [run for run in self.runs if (run["collection"], run["row"]) == (collection, row)]

    def auroc(self, collection: str, row: str) -> str:
        """Of a row over its seeds, for the text."""
        found = self.of(collection, row)
        if not found:
            sys.exit(f"docs/results has no run {collection}, {row}; make it with studies/perceptual.py")
        return spread(self._values(found, "auroc"))

    def trivial(self, collection: str, name: str) -> str:
        """AUROC of a row that needs no model."""
        rows = self.of(collection, "plain")[0]["rows"]
        return f"{_estimate(next(row for row in rows if row['name'] == name), 'auroc'):.3f}"

    def other_score(self, collection: str, row: str, score: str) -> str:
        """AUROC of another score of a row's models."""
        values = [
            _estimate(result, "auroc")
            for run in self.of(collection, row)
            for result in run["rows"]
            if result["name"].endswith(f", {score}")
        ]
        return spread(values)

    def table(self, collection: str) -> str:
        """Every row on a collection, with what others reach and what needs no model."""
        headings = ["method", "steps", "training", "seeds", "AUROC", "interval (first seed)", "AP"]
        unknown = "rows of unknown kinds" in self.of(collection, "plain")[0]
        headings += ["AUROC, kinds unknown to the search"] if unknown else []
        lines = [line(headings), rule(len(headings))]
        for title, runs in self._rows(collection):
            auroc, precision = (spread(self._values(runs, metric)) for metric in METRICS)
            seconds = statistics.mean(run["training"]["seconds"] for run in runs)
            steps = str(runs[0]["changed"]["training.max_iterations"])
            cells = [title, steps, f"{seconds:.0f} s", str(len(runs)), auroc, _interval(runs[0]), precision]
            if unknown:
                cells.append(spread([_estimate(run["rows of unknown kinds"][0], "auroc") for run in runs]))
            lines.append(line(cells))
        more = [""] * unknown
        for title, auroc, precision in ELSEWHERE.get(collection, ()):
            lines.append(
                line([f"*{title}* (measured elsewhere)", "", "", "", f"{auroc:.3f}", "", f"{precision:.3f}", *more])
            )
        for result in self.of(collection, "plain")[0]["rows"]:
            if result["kind"] == "trivial":
                auroc, precision = (f"{_estimate(result, metric):.3f}" for metric in METRICS)
                lines.append(
                    line([f"*{result['name']}* (trivial)", "", "", "", auroc, _ends(result), precision, *more])
                )
        return "\n".join(lines)

    def paper_table(self) -> str:
        """The paper's ablations beside ours, percent."""
        medical = ("pneumoniamnist", "chest_xray")
        headings = ["row", *("Camelyon16", "NIH subset", "NIH PA", "NIH AP"), *(f"ours, `{one}`" for one in medical)]
        lines = [line(headings), rule(len(headings))]
        for row, figures in PAPER.items():
            ours = [_percent(self._values(self.of(collection, row), "auroc")) for collection in medical]
            lines.append(line([ROWS[row], *figures, *ours]))
        return "\n".join(lines)

    def cifar_table(self) -> str:
        """The paper's figure for each class beside ours, percent."""
        headings = ["normal class", "the paper's", "without growing", "with growing"]
        lines = [line(headings), rule(len(headings))]
        for name, figure in PAPER_CIFAR10.items():
            rows = [_percent(self._values(self.of(f"cifar10-{name}", row), "auroc")) for row in ("plain", "growing")]
            lines.append(line([name, f"{figure}", *rows]))
        return "\n".join(lines)

    def sides(self, collection: str) -> str:
        """How many images of which kind are on each side."""
        sides = self.of(collection, "plain")[0]["sides"]
        return "; ".join(
            f"{side}: {counts['normal']} normal and {counts['abnormal']} abnormal" for side, counts in sides.items()
        )

    def options(self, collection: str, row: str = "plain") -> str:
        """What a row sets."""
        changed = self.of(collection, row)[0]["changed"]
        return ", ".join(f"`{name}={_plain(value)}`" for name, value in changed.items())

    def collections(self) -> list[str]:
        """Those that have runs."""
        return [name for name in COLLECTIONS if self.of(name, "plain")]

    def part(self, collection: str, name: str) -> str:
        """AUROC of what the score of the first plain run is a ratio of."""
        parts = json.loads((RESULTS / f"perceptual-parts-{collection}.json").read_text())
        return f"{parts[name]:.3f}"

    def searched(self) -> list[str]:
        """Collections that were searched."""
        return [name for name in COLLECTIONS if choice_file(name).exists()]

    def choice(self, name: str) -> dict[str, Any]:
        """What the search on a collection has chosen, and how it went."""
        content: dict[str, Any] = json.loads(choice_file(name).read_text())
        return content

    def selected(self, name: str, by: str) -> list[Run]:
        """The runs of what known anomalies, ``weak``, or normals alone, ``unsupervised``, choose; perhaps the same."""
        chosen = self.choice(name)["chosen"]
        return self.of(name, "weak" if chosen["weak"] == chosen[by] else by)

    def choice_table(self) -> str:
        """What known anomalies and normals alone choose on each collection, and what that is worth."""
        headings = ["collection", "trials", "by", "its settings", "AUROC on known anomalies", "validation loss"]
        headings += ["test AUROC in the folds (oracle)", "test AUROC, trained for good"]
        lines = [line(headings), rule(len(headings))]
        for name in self.searched():
            result = read_search(search_file(name))
            trials = {trial.number: trial for trial in result.trials}
            for by, title in (("weak", "known anomalies"), ("unsupervised", "normals alone")):
                chosen = self.choice(name)["chosen"][by]
                trial = trials[chosen["trial"]]
                known, loss = (
                    f"{statistics.mean(fold_value(fold, criterion) for fold in trial.folds):.3f}"
                    for criterion in ("known-anomalies", "validation-loss")
                )
                settings = ", ".join(
                    f"{key.split('.')[-1]} {_plain(value)}" for key, value in chosen["options"].items()
                )
                final = spread(self._values(self.selected(name, by), "auroc"))
                test = f"{mean_test_auroc(trial) or 0:.3f}"
                lines.append(line([name, str(len(trials)), title, settings, known, loss, test, final]))
        return "\n".join(lines)

    def references(self, name: str) -> dict[str, float]:
        """Of a search: the best, the mean, and what normals alone choose, by test AUROC in the folds."""
        found = sensitivity(read_search(search_file(name)))
        assert found is not None
        references = found.oracle
        assert references is not None
        assert references.unsupervised is not None
        return {"best": references.best, "mean": references.mean, "unsupervised": references.unsupervised}

    def step_table(self) -> str:
        """Seconds of a training step by its parts, with each measure."""
        parts = ["autoencoder", "features of images", "features of reconstructions", "optimiser"]
        headings = ["features and images", "step", *parts, "in all", "times the plain step"]
        lines = [line(headings), rule(len(headings))]
        for setting, result in self.step["settings"].items():
            plain = result["kinds"]["plain"]["step"]
            for kind, seconds in result["kinds"].items():
                cells = [f"{seconds[part]:.3f}" for part in parts]
                lines.append(line([setting, kind, *cells, f"{seconds['step']:.3f}", f"{plain / seconds['step']:.1f}"]))
        return "\n".join(lines)

    def step_deviation(self, what: str) -> str:
        """The greatest over the settings of what bfloat16 changes."""
        return f"{max(result['bfloat16'][what] for result in self.step['settings'].values()):.2g}"

    def _rows(self, collection: str) -> Iterator[tuple[str, list[Run]]]:
        """What there is of a collection, at the common size and then at twice that."""
        for name, more in ((collection, ""), (f"{collection}{TWICE}", ", at 64 pixels")):
            for row, title in ROWS.items():
                if runs := self.of(name, row):
                    yield title + more, runs

    def _values(self, runs: Sequence[Run], metric: str) -> list[float]:
        return [_estimate(run["rows"][0], metric) for run in runs]


def _estimate(result: dict[str, Any], metric: str) -> float:
    return float(result["evaluation"]["estimates"][metric]["value"])


def _ends(result: dict[str, Any]) -> str:
    estimate = result["evaluation"]["estimates"]["auroc"]
    return f"[{estimate['low']:.2f}, {estimate['high']:.2f}]"


def _interval(run: Run) -> str:
    return _ends(run["rows"][0])


def _percent(values: Sequence[float]) -> str:
    if not values:
        return ""
    mean = f"{100 * statistics.mean(values):.1f}"
    return f"{mean} ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else mean


def _plain(value: Any) -> str:
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list) else str(value)
