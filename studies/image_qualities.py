"""What scores of whole images go with: brightness, contrast and detail, of which no method needs to be told.

    python studies/image_qualities.py DATA

Reads the scores that studies/image_rivals.py has written to docs/results/ for its first seed, and writes
docs/results/image-qualities.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, write
from image_rivals_runs import ALSO_IN, COLLECTIONS, MADE_THERE, METHODS, SEEDS, Run
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from sanoscope import Cases, get_recipe, load_cases
from sanoscope.scoring.trivial import detail

FILE = RESULTS / "image-qualities.json"
# As the trained networks see images.
SIZE = 32


def main() -> None:
    """Compute everything anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    write(FILE, {name: of_collection(name, arguments.data) for name in COLLECTIONS})


def of_collection(name: str, data: Path) -> dict[str, Any]:
    """How well each quality tells abnormal test images, and how scores of normal ones rise with it."""
    folder, normal = COLLECTIONS[name]
    cases = load_cases(data / folder, normal=normal)
    labels, images, train = _unseen(cases)
    qualities, usual = qualities_of(images), qualities_of(train)
    return {
        "auroc": {quality: float(roc_auc_score(labels, values)) for quality, values in qualities.items()},
        "auroc of distance": {
            quality: float(roc_auc_score(labels, np.abs(values - usual[quality].mean())))
            for quality, values in qualities.items()
        },
        "correlation": {
            row: {
                quality: float(spearmanr(values[labels == 0], scores).statistic)
                for quality, values in qualities.items()
            }
            for row in METHODS
            if (scores := _scores(Run(name, row, SEEDS[0]))) is not None
        },
    }


def qualities_of(images: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, deviation and detail of each image ``(N, H, W)``, ``(N,)`` each."""
    return {"brightness": images.mean((1, 2)), "contrast": images.std((1, 2)), "detail": detail(images[:, None])}


def _unseen(cases: Cases) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and grey values ``(N, H, W)`` of the test images that are no training normals, and those of these."""
    options = {"preparation.image_size": SIZE, "preparation.channels": "grey", "preparation.intensity": "unit"}
    preparation = get_recipe("conv-vae").with_options(options).build("preparation")
    train = preparation.fit(cases.train.normals)
    test = preparation.decode(cases.test)
    kept = np.array([key not in set(train.keys) for key in test.keys])
    images, normals = (
        preparation.tensors(pictures.batch(rows))[:, 0].numpy()
        for pictures, rows in ((test, np.flatnonzero(kept)), (train, np.arange(len(train))))
    )
    return np.array([case.label for case in test.cases])[kept], images, normals


def _scores(run: Run) -> list[float] | None:
    """The deciding scores of the normal test images, in their order; None of a run that is not there."""
    there = Path(RESULTS / f"perceptual-{run.collection}-{ALSO_IN.get(run.row, '')}-seed{run.seed}.json")
    for file in (RESULTS / f"{run.name}.json", there):
        if file.exists() and (file != there or run.collection in MADE_THERE):
            scores: list[float] = json.loads(file.read_text())["scores"]["normal"]
            return scores
    return None


if __name__ == "__main__":
    main()
