"""Methods that judge whole images, on six collections: every run of the tables in docs/results.md.

    python studies/image_rivals.py DATA WEIGHTS [--work FOLDER] [--methods ROW ...] [--seeds SEED ...]

DATA is a folder with the collections ``pneumoniamnist``, ``chest_xray``, ``brain_mri`` and ``cifar10``, WEIGHTS one
with the files of the feature networks. Each run is written to docs/results/ when it is done, and a run that is there is
not repeated; an interrupted training goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, brief_history, circumstances, sides, test_scores, validation_side, with_weights, write
from image_rivals_runs import COLLECTIONS, METHODS, SEEDS, Run, runs

from sanoscope import Detector, get_recipe, load_cases
from sanoscope.console import say
from sanoscope.parameters import count_parameters

# For intervals; their ends need no third digit.
RESAMPLES = 200


def main() -> None:
    """Do what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs"), help="folder for models and findings")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS, help="only these rows")
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS), help="only these")
    arguments = parser.parse_args()
    for run in runs():
        file = RESULTS / f"{run.name}.json"
        if run.row in arguments.methods and run.seed in arguments.seeds and not file.exists():
            say(f"== {run.name}")
            write(file, carry_out(run, arguments.data, arguments.weights, arguments.work / run.name))


def carry_out(run: Run, data: Path, weights: Path, work: Path) -> dict[str, Any]:
    """Fit, score and evaluate one run.

    Test images that are in the training set too are left out, as a method that remembers would know them.
    """
    folder, normal = COLLECTIONS[run.collection]
    cases = load_cases(data / folder, normal=normal)
    recipe = get_recipe(run.method.recipe).with_options(run.method.options)
    begun = time.monotonic()
    detector = Detector(with_weights(recipe, weights), seed=run.seed)
    detector.fit(cases, folder=work / "training", resume=True)
    fitted = time.monotonic()
    findings = detector.score(cases.test, maps=False)
    scored = time.monotonic()
    detector.save(work / "model")
    seen = findings.seen_in_training
    if seen.any():
        findings = findings.subset(np.flatnonzero(~seen), f"without {seen.sum()} images of the training set")
    return {
        "row": run.row,
        "recipe": run.method.recipe,
        "changed": dict(run.method.options),
        "collection": run.collection,
        "seed": run.seed,
        "sides": sides(cases),
        "left out as seen in training": int(seen.sum()),
        "rows": [row.to_json() for row in findings.evaluate(resamples=RESAMPLES)],
        "scores": test_scores(findings),
        "validation auroc": validation_side(detector),
        "fit seconds": round(fitted - begun, 1),
        "score milliseconds": round(1000 * (scored - fitted) / len(cases.test), 2),
        "image size": recipe["preparation.image_size"],
        "parameters": count_parameters(recipe)._asdict(),
        **circumstances(detector),
        "history": brief_history(detector),
    }


if __name__ == "__main__":
    main()
