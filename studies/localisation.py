"""Where on brain slices: the β-VAE's predictors, constrained attention and its rivals, and frozen features.

    python studies/localisation.py DATA WEIGHTS [--work FOLDER] [--only NAME]

DATA is a folder with the collection ``lgg``, WEIGHTS one with the files of the feature networks. Each run is written to
docs/results/ when it is done, and a run that is there is not repeated; an interrupted training goes on from its
checkpoint.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, circumstances, sides, with_weights, write
from localisation_runs import COLLECTION, RUNS, Run

from sanoscope import Cases, Detector, Findings, get_recipe, load_cases
from sanoscope.console import say
from sanoscope.evaluation import Estimate, PixelRow
from sanoscope.scoring.map_reading import MapReading, NormalMaps
from sanoscope.scoring.map_scoring import NORMALS, grown

# Of the subjects' masks, what the paper's ensemble is fitted on.
ENSEMBLE = 0.1
# For intervals; their ends need no third digit.
RESAMPLES = 200
# Side of the squares that the light backbone's first convolution sees.
BOX = 4


def main() -> None:
    """Do what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs"), help="folder for models and findings")
    parser.add_argument("--only", default="", help="only runs whose name contains this")
    arguments = parser.parse_args()
    for run in RUNS:
        file = RESULTS / f"{run.name}.json"
        if arguments.only in run.name and not file.exists():
            say(f"== {run.name}")
            write(file, carry_out(run, arguments.data / COLLECTION, arguments.weights, arguments.work / run.name))


def carry_out(run: Run, data: Path, weights: Path, work: Path) -> dict[str, Any]:
    """Fit, score and evaluate one run."""
    declared = get_recipe(run.recipe)
    declared = (declared.preset(run.preset) if run.preset else declared).with_options(run.options)
    recipe = with_weights(declared, weights)
    cases = load_cases(data)
    detector = Detector(recipe, seed=run.seed)
    detector.fit(cases, folder=work / "training", resume=True)
    detector.save(work / "model")
    findings = detector.score(cases.test)
    results = {"test": _evaluation(findings)}
    if "kl-grad" in findings.maps.names:
        others, everything = map(_compared, findings.with_ensemble(ENSEMBLE, run.seed))
        results |= {"ensemble": _evaluation(others), "ensemble, all": _evaluation(everything)}
    if run.recipe == "constrained-attention-vae" and run.preset != "paper" and run.seed == 0:
        results["intensity read alike"] = _evaluation(_read_alike(detector, cases, findings))
        results["intensity in boxes read alike"] = _evaluation(_boxes_read_alike(detector, cases, findings))
    for name, options in run.scored.items():
        adjusted = Detector.load(work / "model").adjust(options).calibrate(cases)
        results[name] = _evaluation(_compared(adjusted.score(cases.test)))
        if name == "comparison-study" and run.seed == 0 and run.row in POST_PROCESSED_INTENSITY:
            intensity = POST_PROCESSED_INTENSITY[run.row](detector, cases, findings)
            results["intensity, post-processed"] = _evaluation(_post_processed(adjusted, intensity))
    return {
        "row": run.row,
        "recipe": run.recipe,
        "preset": run.preset,
        "changed": dict(declared.changes),
        "collection": COLLECTION,
        "seed": run.seed,
        "sides": sides(cases),
        "evaluations": results,
        **circumstances(detector),
    }


def _read_alike(detector: Detector, cases: Cases, findings: Findings, box: int = 1) -> Findings:
    """With the intensity itself in place of the attention, read against that of training normals in the same way.

    With a box it is the mean of squares of that side, half a side apart: what a strided convolution could give.
    """
    normal, normal_inside = _prepared(detector, cases.train.normals)
    chosen = np.unique(np.linspace(0, len(normal) - 1, NORMALS).astype(int))
    recipe = detector.recipe
    reading = MapReading(
        recipe["scoring.scaling"],
        recipe["scoring.centring"] == "median",
        recipe["scoring.sign"],
        recipe["scoring.smoothing"],
        NormalMaps(_boxed(normal[chosen], box), normal_inside[chosen]),
    )
    images, inside = _prepared(detector, findings.cases)
    values = (reading(_boxed(images, box), inside) * inside).numpy()
    return replace(findings, maps=replace(findings.maps, values=values, others={}, thresholds={}))


def _boxed(images: torch.Tensor, side: int) -> torch.Tensor:
    """Means of squares, on the images' own grid ``(N, H, W)``."""
    if side == 1:
        return images
    means = torch.nn.functional.avg_pool2d(images[:, None], side, side // 2, padding=side // 4)[:, 0]
    return grown(means, images.shape[1:])


def _intensity(detector: Detector, cases: Cases, findings: Findings) -> Findings:
    """With the intensity itself as the map."""
    images, inside = _prepared(detector, findings.cases)
    return replace(findings, maps=replace(findings.maps, values=(images * inside).numpy(), others={}, thresholds={}))


def _boxes_read_alike(detector: Detector, cases: Cases, findings: Findings) -> Findings:
    return _read_alike(detector, cases, findings, BOX)


# Rows with which the intensity is post-processed too: as it is, and as the constrained model reads its map.
POST_PROCESSED_INTENSITY = {"light-vae": _intensity, "light-constrained": _boxes_read_alike}


def _post_processed(detector: Detector, findings: Findings) -> Findings:
    """With the deciding map alone, post-processed as a detector's recipe says."""
    images, inside = (tensor.numpy() for tensor in _prepared(detector, findings.cases))
    steps = detector.recipe.build("postprocessing")
    values = steps.of_images(findings.maps.values, images[:, None], inside)
    values = steps.of_volumes(values, findings.cases, inside)
    return replace(findings, maps=replace(findings.maps, values=values, others={}, thresholds={}))


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
