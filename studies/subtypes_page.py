"""The tables of clusters of latents, from the runs of studies/subtypes.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from localisation_page import line, rule

from sanoscope.clustering import METRIC_LABELS
from sanoscope.subtypes.fold_table import CrossValidated, FoldResult

# Liu, Zhang, Table 1: F1 and accuracy, means of five folds by image.
PAPER = {
    "pixels": (0.593, 0.714),
    "fc-autoencoder": (0.605, 0.729),
    "cnn-autoencoder": (0.623, 0.736),
    "cnn-autoencoder-no-maxpool": (0.651, 0.747),
    "alexnet-autoencoder": (0.53, 0.532),
    "resnet-autoencoder": (0.515, 0.50),
    "densenet121": (0.825, 0.90),
}
TITLES = {
    "pixels": "k-means of pixels (“sole k-means”)",
    "pixels-1000": "k-means of pixels, 1,000 patches",
    "mean-colour": "k-means of mean colours (trivial)",
    "fc-autoencoder": "fully connected",
    "cnn-autoencoder": "convolutional, max-pooling",
    "cnn-autoencoder-no-maxpool": "convolutional, strides",
    "alexnet-autoencoder": "AlexNet, 1,000 patches",
    "resnet-autoencoder": "wide residual, 1,000 patches",
    "densenet121": "DenseNet-121, supervised",
}
BY = ("image", "subject")
ALWAYS = ("always normal", "always abnormal")

Run = dict[str, Any]


class SubtypesPage:
    """Tables of the runs, for the template.

    Args:
        folder: Of the runs' JSON.
    """

    def __init__(self, folder: Path) -> None:
        self.runs: dict[tuple[str, str], Run] = {}
        self.costs: list[dict[str, Any]] = json.loads((folder / "clustering.json").read_text())["results"]
        self.groups: dict[str, Any] = json.loads((folder / "subtypes-groups.json").read_text())
        for file in sorted([*folder.glob("subtypes-image-*.json"), *folder.glob("subtypes-subject-*.json")]):
            run = json.loads(file.read_text())
            if run["row"] == "trivial":
                for title, folds in run["rows"].items():
                    self.runs[run["by"], title] = {"row": title, "by": run["by"], "folds": folds}
            else:
                self.runs[run["by"], run["row"]] = run

    def run(self, by: str, row: str) -> Run:
        """One row in one way of splitting."""
        if (by, row) not in self.runs:
            sys.exit(f"docs/results has no clusters of {row} by {by}; make them with studies/subtypes.py")
        return self.runs[by, row]

    def crossed(self, by: str, row: str) -> CrossValidated:
        """Its folds."""
        folds = tuple(FoldResult.from_json(fold["result"]) for fold in self.run(by, row)["folds"])
        return CrossValidated(row, row, "clusters", folds)

    def mean(self, by: str, row: str, metric: str) -> str:
        """A metric over folds, for the text."""
        found = self.crossed(by, row).value(metric)
        return "–" if found is None else f"{found.mean:.3f}"

    def pooled(self, by: str, row: str, metric: str) -> str:
        """A metric of all folds' test patches together, with its interval, for the text."""
        found = self.crossed(by, row).pooled(metric)
        return "–" if found.value is None else f"{found.value:.3f} [{found.low:.2f}, {found.high:.2f}]"

    def fold_value(self, by: str, row: str, number: int, metric: str) -> str:
        """A metric of one fold, counted from 1, for the text."""
        value = self.crossed(by, row).folds[number - 1].values[metric]
        return "–" if value is None else f"{value:.3f}"

    def table(self, by: str) -> str:
        """Table 1 of the paper, ours beside it."""
        headings = ["row", "F1", "accuracy", "F1, folds together", "accuracy, folds together"]
        headings += [METRIC_LABELS[name] for name in ("adjusted_rand", "mutual_information", "silhouette")]
        headings += ["F1, paper", "accuracy, paper"]
        lines = [line(headings), rule(len(headings))]
        for row in [*TITLES, *ALWAYS]:
            paper = [f"{value:.3f}" for value in PAPER.get(row, ())] or ["", ""]
            lines.append(line([TITLES.get(row, f"*{row}* (trivial)"), *self._cells(by, row), *paper]))
        return "\n".join(lines)

    def oracle_table(self) -> str:
        """How much better clusters would look if test labels named them."""
        headings = [
            "row",
            *(f"{name}, by {by}{kind}" for by in BY for name in ("F1", "accuracy") for kind in ("", " (oracle)")),
        ]
        lines = [line(headings), rule(len(headings))]
        for row, title in TITLES.items():
            if row == "densenet121":
                continue
            metrics = ("f1", "f1_oracle", "accuracy", "accuracy_oracle")
            lines.append(line([title, *(self.mean(by, row, metric) for by in BY for metric in metrics)]))
        return "\n".join(lines)

    def budget_table(self) -> str:
        """What each row was given."""
        headings = [
            "row",
            "weights",
            "latent",
            "patches: training, validation, test",
            "folds",
            "epochs",
            "training a fold",
        ]
        lines = [line(headings), rule(len(headings))]
        for row, title in TITLES.items():
            runs = [self.run(by, row) for by in BY]
            folds = runs[0]["folds"]
            facts, result = folds[0].get("facts", {}), folds[0]["result"]
            images = ", ".join(f"{result['images'][side]:,}" for side in ("train", "validation", "test"))
            epochs = (
                str(len(facts["losses"])) if "losses" in facts else str(folds[0]["options"].get("training.epochs", "–"))
            )
            seconds = facts.get("training seconds", result["values"].get("seconds"))
            weights = f"{facts['parameters']:,}" if "parameters" in facts else "–"
            cells = [weights, str(result["latent"] or "–"), images, str(len(folds)), epochs, f"{seconds:.0f} s"]
            lines.append(line([title, *cells]))
        return "\n".join(lines)

    def fold_table(self, row: str, metric: str) -> str:
        """A metric of each fold by subject, with whom it was tested on."""
        headings = ["fold", "test subjects (patches)", metric]
        lines = [line(headings), rule(len(headings))]
        for number, fold in enumerate(self.crossed("subject", row).folds, start=1):
            tested = ", ".join(f"{subject} ({sum(map(sum, counts))})" for subject, counts in fold.subjects.items())
            value = fold.values.get(metric)
            lines.append(line([str(number), tested, "–" if value is None else f"{value:.3f}"]))
        return "\n".join(lines)

    def groups_table(self) -> str:
        """Two clusters of all patches by some methods, and what they agree with."""
        headings = ["row", "patches", "tumour", "silhouette", "ARI with classes", "with patients", "with mean colours"]
        headings += ["suggested number", "its stability", "neighbours alike: normal", "tumour"]
        lines = [line(headings), rule(len(headings))]
        for row, found in self.groups.items():
            rand, choice = found["adjusted rand"], found["choice"]
            stability = choice["stability"][choice["numbers"].index(choice["suggested"])]
            cells = [" / ".join(f"{size:,}" for size in found["sizes"])]
            cells.append(" / ".join(f"{share:.0%}" for share in found["abnormal"]))
            cells += [f"{value:.3f}" for value in (found["silhouette"], *rand.values())]
            cells += [str(choice["suggested"]), f"{stability:.2f}"]
            cells += [f"{share:.0%}" for share in found["neighbours"].values()]
            lines.append(line([TITLES[row], *cells]))
        return "\n".join(lines)

    def cost_table(self) -> str:
        """What finding, judging and drawing clusters takes."""
        headings = ["work", "images", "seconds", "extra memory"]
        lines = [line(headings), rule(len(headings))]
        for cost in self.costs:
            cells = [f"{cost['images']:,}", f"{cost['seconds']:.2f}", f"{cost['extra megabytes']:.0f} MB"]
            lines.append(line([cost["work"], *cells]))
        return "\n".join(lines)

    def alike(self, row: str) -> str:
        """How many of ten neighbours of other patients have a tumour patch's label, for the text."""
        return f"{10 * self.groups[row]['neighbours']['abnormal']:.1f}"

    def _cells(self, by: str, row: str) -> list[str]:
        crossed = self.crossed(by, row)
        cells = []
        for metric in ("f1", "accuracy"):
            found = crossed.value(metric)
            deviation = "" if found is None or found.deviation is None else f" ± {found.deviation:.3f}"
            cells.append("–" if found is None else f"{found.mean:.3f}{deviation}")
        cells += [self.pooled(by, row, metric) for metric in ("f1", "accuracy")]
        return cells + [self.mean(by, row, metric) for metric in ("adjusted_rand", "mutual_information", "silhouette")]
