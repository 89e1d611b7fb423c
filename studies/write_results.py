"""Write docs/results.md from the runs' own JSON: every number on the page comes from there.

    python studies/write_results.py [--check]

``--check`` writes nothing and fails if the page is not what the runs say.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from image_rivals_page import ImageRivalsPage
from localisation_page import LocalisationPage
from perceptual_page import PerceptualPage
from rivals_page import RivalsPage
from subtypes_page import SubtypesPage

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"
PAGE = ROOT / "docs" / "results.md"
TEMPLATE = Path(__file__).parent / "results.md.j2"

# Sikdar et al., Table 1: reconstruction, KL, AUC, accuracy, F1; accuracy of the attention model as in the text.
PAPER = {
    "fc-vae": (1075.94, 48.71, 0.53, 0.5443, 0.4125),
    "conv-vae": (424.14, 261.09, 0.70, 0.6558, 0.6431),
    "attention-conv-vae": (374.57, 392.12, 0.60, 0.5789, 0.6328),
    "resnet34-vae-frozen": (639.11, 20.01, 0.50, 0.5178, 0.6533),
    "resnet34-vae": (540.59, 12.35, 0.53, 0.5399, 0.6395),
}
METRICS = ("auroc", "average_precision", "accuracy", "f1", "sensitivity", "specificity")
HEADINGS = ("AUROC", "AP", "accuracy", "F1", "sensitivity", "specificity")

Run = dict[str, Any]


def load_runs() -> list[Run]:
    """Every run that was made, in the order of their names."""
    others = ("diagnosis-", "image-", "lgg-", "perceptual-")
    files = (file for file in RESULTS.glob("*-seed*.json") if not file.name.startswith(others))
    return [json.loads(file.read_text()) for file in sorted(files)]


class Page:
    """What the template asks for.

    Args:
        runs: Every run.
        benchmark: The throughput figures, or None.
    """

    def __init__(self, runs: Sequence[Run], benchmark: dict[str, dict[str, float]] | None) -> None:
        self.runs = runs
        self.benchmark = benchmark

    def find(self, collection: str, split: str, row: str, seed: int = 0) -> Run:
        """One run."""
        wanted = (collection, split, row, seed)
        for run in self.runs:
            if (run["collection"], run["split"], run["row"], run["seed"]) == wanted:
                return run
        sys.exit(f"docs/results has no run {wanted}; make it with studies/histopathology.py")

    def rows(self, collection: str, split: str) -> list[str]:
        """The rows that have a run of seed 0, the paper's first."""
        names = [r["row"] for r in self.runs if (r["collection"], r["split"], r["seed"]) == (collection, split, 0)]
        return sorted(names, key=lambda name: (list(PAPER).index(name) if name in PAPER else 99, name))

    def value(self, run: Run, part: str, metric: str, row: str = "method") -> float:
        """One number of one run: of the method, or of a row by its name."""
        for result in run["evaluations"][part]["rows"]:
            if row in (result["kind"], result["name"], result["name"].split(", ")[-1]):
                return float(result["evaluation"]["estimates"][metric]["value"])
        sys.exit(f"{run['row']}: has no row '{row}'")

    def auroc(self, collection: str, split: str, row: str, part: str, score: str = "method", seed: int = 0) -> str:
        """An AUROC for the text."""
        return f"{self.value(self.find(collection, split, row, seed), part, 'auroc', score):.3f}"

    def seeds(
        self, collection: str, split: str, row: str, part: str, metric: str = "auroc", score: str = "method"
    ) -> str:
        """Mean and standard deviation over the seeds."""
        runs = [r for r in self.runs if (r["collection"], r["split"], r["row"]) == (collection, split, row)]
        values = [self.value(run, part, metric, score) for run in runs]
        return f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f} ({len(values)} seeds)"

    def table(self, collection: str, split: str, part: str, paper: bool = False) -> str:
        """Every method beside the trivial rows, with intervals; and the paper's numbers, where it has them."""
        lines = ["| method | epochs | reconstruction | KL | " + " | ".join(HEADINGS) + " |"]
        lines.append("|" + " --- |" * (4 + len(HEADINGS)))
        for name in self.rows(collection, split):
            run = self.find(collection, split, name)
            evaluation = run["evaluations"][part]
            terms = f"{evaluation['reconstruction']:.1f} | {evaluation['kl']:.1f}"
            lines.append(f"| {name} | {len(run['history'])} | {terms} | {_cells(_row(evaluation, 'method'))} |")
            if paper and name in PAPER:
                reconstruction, kl, auc, accuracy, f1 = PAPER[name]
                figures = f"{reconstruction} | {kl} | {auc} | | {accuracy:.3f} | {f1:.3f} | | |"
                lines.append(f"| *the paper's* | | {figures}")
        trivial = self.find(collection, split, self.rows(collection, split)[0])["evaluations"][part]
        rows = [row for row in trivial["rows"] if row["kind"] == "trivial"]
        lines.extend(f"| *{row['name']}* (trivial) | | | | {_cells(row)} |" for row in rows)
        return "\n".join(lines)

    def scores_table(self, collection: str, split: str, part: str) -> str:
        """AUROC of each score of each model."""
        names = ("wasserstein", "mse", "elbo", "kl")
        lines = ["| method | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 1)]
        for row in self.rows(collection, split):
            run = self.find(collection, split, row)
            cells = [f"{self.value(run, part, 'auroc', name):.3f}" for name in names]
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def term(self, collection: str, split: str, row: str, part: str, term: str = "reconstruction") -> str:
        """Reconstruction error or KL, a per-image mean, for the text."""
        return f"{self.find(collection, split, row)['evaluations'][part][term]:.0f}"

    def machine(self) -> str:
        """Where the runs were made, as they say themselves."""
        run = self.runs[0]
        versions, machine = run["versions"], run["machine"]
        software = f"Python {versions['python']}, torch {versions['torch']}"
        return f"{machine['cores']} CPU cores ({machine['system']}), {software}"

    def diagnosis(self, run: str) -> dict[str, Any]:
        """What the Wasserstein score of one run reacts to."""
        content: dict[str, Any] = json.loads((RESULTS / f"diagnosis-{run}.json").read_text())
        return content

    def diagnosis_table(self, *runs: str) -> str:
        """AUROC of brightness and contrast, lost and original, for some runs."""
        quantities = list(self.diagnosis(runs[0])["auroc"])
        lines = ["| run | " + " | ".join(quantities) + " |", "|" + " --- |" * (len(quantities) + 1)]
        for run in runs:
            cells = [f"{value:.3f}" for value in self.diagnosis(run)["auroc"].values()]
            lines.append(f"| {run} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def sides(self, collection: str, split: str) -> str:
        """How many images of which kind are on each side."""
        sides = self.find(collection, split, self.rows(collection, split)[0])["sides"]
        parts = []
        for side, counts in sides.items():
            patients = f" of {counts['subjects']} patients" if counts["subjects"] else ""
            parts.append(f"{side}: {counts['normal']} normal and {counts['abnormal']} abnormal{patients}")
        return "; ".join(parts)

    def throughput(self) -> str:
        """The benchmark's table."""
        if self.benchmark is None:
            return "(not measured)"
        figures = self.benchmark
        train = max(("train plain", "train plain workers"), key=lambda name: figures[name]["rate"])
        score = max(("score plain", "score plain workers"), key=lambda name: figures[name]["rate"])
        rows = [
            ("training, plain", train, None),
            ("training, Sanoscope, float32", "train float32", train),
            ("training, Sanoscope, default", "train", train),
            ("scoring, plain", score, None),
            ("scoring files never seen", "score new", score),
            ("scoring decoded files", "score decoded", score),
            ("scoring decoded files, bfloat16", "score decoded bfloat16", score),
        ]
        lines = ["| what | images per second | peak memory | times the plain way |", "| --- | --- | --- | --- |"]
        for title, name, plain in rows:
            ratio = f"{figures[name]['rate'] / figures[plain]['rate']:.2f}" if plain else "1"
            lines.append(f"| {title} | {figures[name]['rate']:,.0f} | {figures[name]['peak']:,.0f} MB | {ratio} |")
        return "\n".join(lines)

    def rate(self, name: str) -> str:
        """One figure of the benchmark."""
        return f"{self.benchmark[name]['rate']:,.0f}" if self.benchmark else "–"

    def share(self, name: str, peak: str, megaflop: float) -> str:
        """The part of the machine's arithmetic peak that a rate amounts to."""
        if self.benchmark is None:
            return "–"
        return f"{self.benchmark[name]['rate'] * megaflop / 1000 / self.benchmark[peak]['rate']:.0%}"


def _row(evaluation: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(row for row in evaluation["rows"] if row["kind"] == kind)


def _cells(row: dict[str, Any]) -> str:
    cells = []
    for metric in METRICS:
        estimate = row["evaluation"]["estimates"][metric]
        interval = "" if estimate["low"] is None else f" [{estimate['low']:.2f}, {estimate['high']:.2f}]"
        cells.append("–" if estimate["value"] is None else f"{estimate['value']:.3f}{interval}")
    return " | ".join(cells)


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    benchmark = RESULTS / "throughput.json"
    page = Page(load_runs(), json.loads(benchmark.read_text()) if benchmark.exists() else None)
    loader = jinja2.FileSystemLoader(TEMPLATE.parent)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, loader=loader)
    brain = LocalisationPage(RESULTS)
    pages = {
        "page": page,
        "brain": brain,
        "rivals": RivalsPage(brain),
        "perceptual": PerceptualPage(RESULTS),
        "images": ImageRivalsPage(RESULTS),
        "subtypes": SubtypesPage(RESULTS),
    }
    text = environment.get_template(TEMPLATE.name).render(pages)
    if arguments.check:
        if PAGE.read_text() != text:
            sys.exit(f"{PAGE.name} is not what the runs say; write it with 'make results'")
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
