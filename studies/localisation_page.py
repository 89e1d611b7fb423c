"""What the section on brain slices asks of the runs of studies/localisation.py."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WHOLE, INSIDE = "Whole image", "Foreground only"
PREDICTORS = ("rec-error", "elbo-grad", "kl-grad", "rec-grad", "combi")
PROJECTION = "proj-rec-error"
TRIVIAL = ("intensity", "signed z-map", "PCA residual map")

# Zhou, Deng, Wu: AUROC on BraTS 2018, by latent size and β; its table has no projection for two of the sizes.
BETA_PAPER: dict[tuple[int, float], tuple[float | None, ...]] = {
    (32, 1): (0.860, 0.900, 0.853, 0.901, 0.831, None),
    (64, 1): (0.856, 0.900, 0.809, 0.900, 0.800, 0.861),
    (256, 1): (0.838, 0.871, 0.853, 0.871, 0.803, None),
    (64, 0.1): (0.857, 0.899, 0.805, 0.899, 0.810, 0.861),
    (64, 0.5): (0.856, 0.903, 0.809, 0.903, 0.808, 0.865),
    (64, 2): (0.856, 0.900, 0.803, 0.900, 0.778, 0.862),
    (64, 10): (0.859, 0.905, 0.810, 0.905, 0.749, 0.864),
}

# What differs by less over the seeds does not depend on them, as what needs no model.
SAME = 5e-4

Run = dict[str, Any]


class LocalisationPage:
    """Tables and numbers of the runs on brain slices.

    Args:
        folder: With the runs' files.
    """

    def __init__(self, folder: Path) -> None:
        self.runs: list[Run] = [json.loads(file.read_text()) for file in sorted(folder.glob("lgg-*-seed*.json"))]
        pixels, step = folder / "pixel-metrics.json", folder / "constrained-step.json"
        self.pixel_benchmark = json.loads(pixels.read_text()) if pixels.exists() else None
        self.step_benchmark = json.loads(step.read_text()) if step.exists() else None

    def of(self, row: str) -> list[Run]:
        """The runs of a row, by seed."""
        found = sorted((run for run in self.runs if run["row"] == row), key=lambda run: int(run["seed"]))
        return found or sys.exit(f"docs/results has no run '{row}'; make it with studies/localisation.py")

    def values(self, row: str, name: str, metric: str, where: str = WHOLE, part: str = "test") -> list[float]:
        """A metric of a map over the seeds; a map of the model is named without the recipe."""
        values = []
        for run in self.of(row):
            if part not in run["evaluations"]:
                continue
            rows = run["evaluations"][part]["pixels"][where]
            found = next(result for title, result in rows.items() if title.split(", ")[-1] == name)
            if found[metric] is not None:
                values.append(found[metric][0])
        return values

    def number(
        self, row: str, name: str, metric: str = "average_precision", where: str = WHOLE, part: str = "test"
    ) -> str:
        """Mean and standard deviation over the seeds, or the one value there is."""
        return spread(self.values(row, name, metric, where, part))

    def first(self, row: str, name: str, metric: str = "average_precision", part: str = "test") -> str:
        """The value of seed 0, for what has one seed only."""
        return f"{self.values(row, name, metric, WHOLE, part)[0]:.3f}"

    def deviation(self, row: str, name: str) -> str:
        """The standard deviation of the AP over the seeds."""
        return f"{statistics.stdev(self.values(row, name, 'average_precision')):.3f}"

    def image_number(self, row: str, score: str) -> str:
        """AUROC of a score of whole images, over the seeds."""
        results = [run["evaluations"]["test"]["images"] for run in self.of(row)]
        return spread([next(r["auroc"][0] for t, r in images.items() if t.endswith(score)) for images in results])

    def seeds(self, row: str) -> int:
        """How many seeds a row has."""
        return len(self.of(row))

    def iterations(self, row: str) -> int:
        """Steps of its training."""
        return int(self.of(row)[0]["changed"].get("training.max_iterations", 130))

    def sides(self) -> str:
        """How many slices of which kind are on each side."""
        return "; ".join(
            f"{side}: {counts['normal']} normal and {counts['abnormal']} abnormal slices "
            f"of {counts['subjects']} patients"
            for side, counts in self.runs[0]["sides"].items()
        )

    def beta_table(self, metric: str, where: str) -> str:
        """Predictors by latent size and β, with the paper's AUROC in brackets where that is what is shown."""
        with_paper = metric == "auroc" and where == WHOLE
        lines = [line(["latent", "β", *PREDICTORS, PROJECTION, "seeds"]), rule(len(PREDICTORS) + 4)]
        for (latent, beta), published in BETA_PAPER.items():
            row = f"beta-vae-latent{latent}-beta{beta:g}"
            cells = [self.number(row, name, metric, where) for name in PREDICTORS]
            cells.append(self.number(row, PROJECTION, metric, where, "projection") if latent == 64 else "")
            if with_paper:
                cells = [
                    cell + (f" ({value:.3f})" if value is not None else "")
                    for cell, value in zip(cells, published, strict=True)
                ]
            lines.append(line([str(latent), f"{beta:g}", *cells, str(self.seeds(row))]))
        return "\n".join(lines)

    def trivial_table(self, row: str) -> str:
        """What needs no model, in the preparation of a row."""
        lines = [line(["without a model", "AUROC", "AP", "best Dice (oracle)", "AUROC inside", "AP inside"]), rule(6)]
        for name in TRIVIAL:
            cells = [self.number(row, name, metric) for metric in ("auroc", "average_precision", "oracle_dice")]
            cells += [self.number(row, name, metric, INSIDE) for metric in ("auroc", "average_precision")]
            lines.append(line([name, *cells]))
        return "\n".join(lines)

    def constrained_table(self, rows: Sequence[tuple[str, str, str, str]]) -> str:
        """Rows of title, run, map and part: metrics of the whole image and of the foreground."""
        headings = ["method", "seeds", "AUROC", "AP", "AUPRC, trapezoidal", "best Dice (oracle)", "best IoU (oracle)"]
        lines = [line([*headings, "AUROC inside", "AP inside"]), rule(len(headings) + 2)]
        for title, row, name, part in rows:
            metrics = ("auroc", "average_precision", "auprc_trapezoidal", "oracle_dice", "oracle_iou")
            cells = [self.number(row, name, metric, WHOLE, part) for metric in metrics]
            cells += [self.number(row, name, metric, INSIDE, part) for metric in metrics[:2]]
            counted = len(self.values(row, name, "average_precision", WHOLE, part))
            lines.append(line([title, str(counted), *cells]))
        return "\n".join(lines)

    def threshold_table(self, rows: Sequence[tuple[str, str, str, str]]) -> str:
        """Rows of title, run, map and part: what each threshold decides of the whole image."""
        metrics = {
            "dice": "Dice",
            "iou": "IoU",
            "dice_per_subject": "Dice per patient",
            "dice_per_subject_sd": "its SD",
            "false_positive_area": "false-positive area on normal slices",
            "lesion_sensitivity": "lesions found",
        }
        lines = [line(["method", "threshold", *metrics.values()]), rule(2 + len(metrics))]
        for title, row, name, part in rows:
            results = [
                next(r for t, r in run["evaluations"][part]["pixels"][WHOLE].items() if t.split(", ")[-1] == name)
                for run in self.of(row)
            ]
            for threshold in results[0]["thresholds"]:
                decided = [result["thresholds"][threshold] for result in results]
                cells = [spread([one[metric][0] for one in decided if one[metric]]) for metric in metrics]
                lines.append(line([title, threshold, *cells]))
        return "\n".join(lines)

    def training_seconds(self, row: str) -> str:
        """Mean time of a training."""
        return f"{statistics.mean(run['training']['seconds'] for run in self.of(row)):.0f}"

    def pixel_table(self) -> str:
        """The benchmark of pixel metrics."""
        return "(not measured)" if self.pixel_benchmark is None else _benchmark_table(self.pixel_benchmark)

    def step_table(self) -> str:
        """The cost of a training step with the constraint and without."""
        if self.step_benchmark is None:
            return "(not measured)"
        lines = [line(["step", "seconds", "times the plain one"]), rule(3)]
        for setting, figures in self.step_benchmark["steps"].items():
            plain = figures["plain"]
            lines += [
                line([f"{setting}, {name}", f"{value:.2f}", f"{value / plain:.2f}"]) for name, value in figures.items()
            ]
        return "\n".join(lines)


def _benchmark_table(measured: dict[str, dict[str, float]]) -> str:
    reference = measured["scikit-learn"]
    lines = [line(["what", "seconds", "extra memory", "times as fast", "largest difference"]), rule(5)]
    for name, figures in measured.items():
        difference = max(abs(figures[metric] - reference[metric]) for metric in ("auroc", "average_precision"))
        cells = [f"{figures['seconds']:.1f}", f"{figures['extra']:,.0f} MB"]
        cells += [f"{reference['seconds'] / figures['seconds']:.1f}", f"{difference:.1e}"]
        lines.append(line([name, *cells]))
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation, or the one value there is."""
    if not values:
        return ""
    if len(values) == 1 or max(values) - min(values) < SAME:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"


def line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return "| " + " | ".join(cells) + " |"


def rule(count: int) -> str:
    """What stands below the head of a table."""
    return "|" + " --- |" * count
