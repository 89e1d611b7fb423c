"""Draw docs/maps.png: input, truth, reconstruction and the map of each predictor, on phantoms.

python studies/figures.py
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from sanoscope import Detector, brain_phantoms, load_cases

FIGURE = Path(__file__).parent.parent / "docs" / "maps.png"
# Ten times the paper's step size, for a training of a minute.
OPTIONS = {"training.epochs": 60, "training.learning_rate": 1e-3, "training.precision": "float32"}


def main() -> None:
    """Train on the healthy slices of some phantoms, and map those of others."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        brain_phantoms(subjects=24, seed=0).save(work / "phantoms")
        cases = load_cases(work / "phantoms", validation=0.2, test=0.3)
        detector = Detector("beta-vae", OPTIONS, device="cpu").fit(cases)
        detector.score(cases.test).save(work / "findings")
        shutil.copy(work / "findings" / "gallery" / "maps.png", FIGURE)


if __name__ == "__main__":
    main()
