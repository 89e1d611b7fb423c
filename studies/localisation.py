"""Where on brain slices: the β-VAE's predictors and constrained attention, every run that docs/results.md reports.

    python studies/localisation.py DATA [--work FOLDER] [--only NAME]

DATA is a folder with the collection ``lgg``. Each run is written to docs/results/ when it is done, and a run that is
there is not repeated; an interrupted training goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, circumstances, sides, write

from sanoscope import Cases, Detector, Findings, get_recipe, load_cases
from sanoscope.console import say
from sanoscope.evaluation import Estimate, PixelRow
from sanoscope.scoring.attention import NORMALS
from sanoscope.scoring.attention_reading import AttentionReading, NormalAttention

COLLECTION = "lgg"
# Of the subjects' masks, what the paper's ensemble is fitted on.
ENSEMBLE = 0.1
# For intervals; their ends need no third digit.
RESAMPLES = 200


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    Attributes:
        row: Name of the row in the table.
        recipe: Its recipe.
        preset: Of the recipe, or None.
        options: What else differs from the recipe's defaults, the budget among it.
        seed: Of the training.
        scored: Further options that the trained model is scored with, by name of the result.
    """

    row: str
    recipe: str
    preset: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    scored: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{COLLECTION}-{self.row}-seed{self.seed}"


# 1,500 steps with ten times the paper's step size stand for its 500 epochs, about 8,000 steps on these slices.
_BETA_BUDGET = {"training.max_iterations": 1500, "training.learning_rate": 1e-3, "training.precision": "float32"}
PROJECTED = {"projection": {"scoring.map": "proj-rec-error", "scoring.also": "none"}}
LATENTS, BETAS = (32, 64, 256), (0.1, 0.5, 1.0, 2.0, 10.0)
GRID = [(latent, 1.0) for latent in LATENTS] + [(64, beta) for beta in BETAS if beta != 1.0]
# Those that the paper's text is about.
REPEATED = ((64, 1.0), (64, 10.0))


def _beta_run(latent: int, beta: float, seed: int) -> Run:
    options = {**_BETA_BUDGET, "network.latent": latent, "objective.beta": beta}
    projected = PROJECTED if latent == 64 and seed == 0 else {}
    return Run(f"beta-vae-latent{latent}-beta{beta:g}", "beta-vae", None, options, seed, projected)


# What is compared with the given default, one seed each.
CHANGES: dict[str, dict[str, Any]] = {
    "matched": {
        "preparation.intensity": "maximum",
        "preparation.statistics": "volume",
        "preparation.matching": "histogram",
    },
    "own-weights": {"network.weighting": "gradient"},
    "whole-image": {"objective.attention_area": "image"},
    "coarse": {"network.max_pool": True, "network.unit": 2},
    "sudden": {"objective.ramp": 0, "training.schedule": "constant"},
}
# Scalp and skull are left out, of the input as of the map.
PEELED = {"preparation.foreground": "brain"}
PLAIN = {"objective.constraint": "none", "scoring.map": "residual", "scoring.centring": "none"}
# The paper's values but for the size of images and the number of steps; the background of these slices is not 0.
PAPER_BUDGET = {
    "preparation.image_size": 96,
    "preparation.erosion": 3,
    "preparation.foreground": "body",
    "training.max_iterations": 240,
    "objective.pretraining": 80,
}
# The same weights, read in other ways: from the least to the greatest value in each image as the paper does; and with
# neither the comparison by place nor the choice of channels.
READINGS = {
    "image by image": {"scoring.scaling": "image", "scoring.centring": "none", "scoring.smoothing": 0.0},
    "by all normals": {"scoring.scaling": "training", "scoring.channels": "signed"},
}


def _constrained_run(
    row: str, options: dict[str, Any], seed: int, preset: str | None = None, scored: dict[str, Any] | None = None
) -> Run:
    return Run(row, "constrained-attention-vae", preset, options, seed, scored or {})


RUNS = [_constrained_run("constrained", {}, seed, None, READINGS) for seed in range(5)]
RUNS += [_constrained_run("constrained-peeled", PEELED, seed) for seed in range(5)]
RUNS += [_constrained_run("constrained-plain", PLAIN, seed) for seed in range(3)]
RUNS += [_constrained_run(f"constrained-{name}", options, 0) for name, options in CHANGES.items()]
RUNS += [_constrained_run("constrained-paper", PAPER_BUDGET, 0, "paper")]
RUNS += [_constrained_run("constrained-paper-plain", PAPER_BUDGET, 0, "vae")]
RUNS += [_constrained_run("constrained-paper", PAPER_BUDGET, seed, "paper") for seed in (1, 2)]
RUNS += [_beta_run(latent, beta, 0) for latent, beta in GRID]
RUNS += [_beta_run(latent, beta, seed) for latent, beta in REPEATED for seed in (1, 2)]


def main() -> None:
    """Do what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs"), help="folder for models and findings")
    parser.add_argument("--only", default="", help="only runs whose name contains this")
    arguments = parser.parse_args()
    for run in RUNS:
        file = RESULTS / f"{run.name}.json"
        if arguments.only in run.name and not file.exists():
            say(f"== {run.name}")
            write(file, carry_out(run, arguments.data / COLLECTION, arguments.work / run.name))


def carry_out(run: Run, data: Path, work: Path) -> dict[str, Any]:
    """Fit, score and evaluate one run."""
    declared = get_recipe(run.recipe)
    recipe = (declared.preset(run.preset) if run.preset else declared).with_options(run.options)
    cases = load_cases(data)
    detector = Detector(recipe, seed=run.seed)
    detector.fit(cases, folder=work / "training", resume=True)
    detector.save(work / "model")
    findings = detector.score(cases.test)
    results = {"test": _evaluation(findings)}
    if "kl-grad" in findings.maps.names:
        others, everything = map(_compared, findings.with_ensemble(ENSEMBLE, run.seed))
        results |= {"ensemble": _evaluation(others), "ensemble, all": _evaluation(everything)}
    if run.recipe == "constrained-attention-vae" and run.preset is None and run.seed == 0:
        results["intensity read alike"] = _evaluation(_read_alike(detector, cases, findings))
    for name, options in run.scored.items():
        results[name] = _evaluation(Detector.load(work / "model").adjust(options).score(cases.test))
    return {
        "row": run.row,
        "recipe": run.recipe,
        "preset": run.preset,
        "changed": dict(recipe.changes),
        "collection": COLLECTION,
        "seed": run.seed,
        "sides": sides(cases),
        "evaluations": results,
        **circumstances(detector),
    }


def _read_alike(detector: Detector, cases: Cases, findings: Findings) -> Findings:
    """With the intensity itself in place of the attention, read against that of training normals in the same way."""
    normal, normal_inside = _prepared(detector, cases.train.normals)
    chosen = np.unique(np.linspace(0, len(normal) - 1, NORMALS).astype(int))
    recipe = detector.recipe
    reading = AttentionReading(
        recipe["scoring.scaling"],
        recipe["scoring.centring"] == "median",
        recipe["scoring.sign"],
        recipe["scoring.smoothing"],
        NormalAttention(normal[chosen], normal_inside[chosen]),
    )
    images, inside = _prepared(detector, findings.cases)
    values = (reading(images, inside) * inside).numpy()
    return replace(findings, maps=replace(findings.maps, values=values, others={}))


def _prepared(detector: Detector, cases: Cases) -> tuple[torch.Tensor, torch.Tensor]:
    """Intensities ``(N, H, W)`` as the network gets them, and what is inside."""
    preparation = detector.preparation_
    batch = preparation.decode(cases).batch(np.arange(len(cases)))
    return preparation.tensors(batch)[:, 0], preparation.inside(batch)


def _compared(findings: Findings) -> Findings:
    """With no map but the deciding one and the fitted ensemble."""
    others = {name: maps for name, maps in findings.maps.others.items() if name == "fitted ensemble"}
    return replace(findings, maps=replace(findings.maps, others=others))


def _evaluation(findings: Findings) -> dict[str, Any]:
    """Results of images and of pixels, with what belongs to them."""
    pixels, notes = findings.pixel_tables(resamples=RESAMPLES)
    return {
        "images": {row.name: _brief(row.evaluation.estimates) for row in findings.evaluate(resamples=RESAMPLES)},
        "pixels": {title: {row.name: _pixels(row) for row in rows} for title, rows in pixels.items()},
        "notes": [note for note in (*findings.notes, *notes) if "/" not in note],
    }


def _pixels(row: PixelRow) -> dict[str, Any]:
    """A row's kind, its metrics, and what each of its thresholds decides."""
    thresholds = {
        name: {"threshold": decision.threshold, **_brief(decision.estimates)}
        for name, decision in row.evaluation.decisions.items()
    }
    return {"kind": row.kind, **_brief(row.evaluation.estimates), "thresholds": thresholds}


def _brief(estimates: Mapping[str, Estimate]) -> dict[str, list[float] | None]:
    """Each metric with the ends of its interval, where there are any, to five digits."""
    brief: dict[str, list[float] | None] = {}
    for name, estimate in estimates.items():
        values = [estimate.value, estimate.low, estimate.high]
        brief[name] = None if estimate.value is None else [round(value, 5) for value in values if value is not None]
    return brief


if __name__ == "__main__":
    main()
