"""Seconds and memory of the metrics of many pixels, against scikit-learn's on the same array.

    python benchmarks/pixel_metrics.py [--pixels N] [--background FRACTION] [--repeats N] [--json FILE]

Scikit-learn's side is ``roc_auc_score``, ``average_precision_score`` and ``precision_recall_curve``. Ours is
``evaluate_pixels``, without intervals and with them. Every measurement is a process of its own; its extra memory is
how far its peak lies above what it held when the array was there and everything was imported.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

SIDE = 240  # slices of a brain MRI
SUBJECTS = 300
METRICS = ("auroc", "average_precision", "auprc_trapezoidal", "oracle_dice")


def main() -> None:
    """Run every measurement and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=100_000_000)
    parser.add_argument("--background", type=float, default=0.5, help="share of the pixels with score 0")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", choices=sorted(MEASUREMENTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(_measured(arguments.measure, arguments.pixels, arguments.background)))
        return
    results = _measure_all(arguments.pixels, arguments.background, arguments.repeats)
    _print(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def _draw(pixels: int, background: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores and truth of slices, ``(N, SIDE, SIDE)``: noise, and a square lesion in every second slice."""
    rng = np.random.default_rng(0)
    scores = np.empty((max(2, round(pixels / SIDE**2)), SIDE, SIDE), dtype=np.float32)
    truth = np.zeros(scores.shape, dtype=bool)
    edge = round(background * SIDE)
    for index, image in enumerate(scores):  # one by one, so that the peak of memory is not in the drawing
        rng.standard_normal(dtype=np.float32, out=image)
        np.abs(image, out=image)
        if index % 2:
            y, x = rng.integers(0, SIDE - 34), rng.integers(min(edge, SIDE - 34), SIDE - 33)
            truth[index, y : y + 34, x : x + 34] = True
            image[y : y + 34, x : x + 34] += 1
        image[:, :edge] = 0
    return scores, truth


def _measured(name: str, pixels: int, background: float) -> dict[str, float]:
    import sklearn.metrics  # noqa: F401 -- so that no measurement counts the import

    import sanoscope.evaluation  # noqa: F401

    scores, truth = _draw(pixels, background)
    before, begun = _peak(), time.perf_counter()
    values = MEASUREMENTS[name](scores, truth)
    seconds = time.perf_counter() - begun
    return {"pixels": scores.size, "seconds": seconds, "extra": _peak() - before, **values}


def _peak() -> float:
    """In MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _by_scikit_learn(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

    scores, truth = scores.ravel(), truth.ravel()
    values = {"auroc": roc_auc_score(truth, scores), "average_precision": average_precision_score(truth, scores)}
    precision, recall, _ = precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    return values | {"auprc_trapezoidal": auc(recall, precision), "oracle_dice": f1.max()}


def _by_sanoscope(resamples: int) -> Callable[[np.ndarray, np.ndarray], dict[str, float]]:
    def measure(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        from sanoscope.evaluation import PixelSample, evaluate_pixels

        def samples() -> Iterator[PixelSample]:
            for index, (image, mask) in enumerate(zip(scores, truth, strict=True)):
                yield PixelSample(image, mask, None, str(index * SUBJECTS // len(scores)))

        evaluation = evaluate_pixels(samples, {"0.5": 0.5, "1.5": 1.5, "2": 2.0}, resamples=resamples)
        return {name: evaluation.estimates[name].value or 0.0 for name in METRICS}

    return measure


def _measure_all(pixels: int, background: float, repeats: int) -> dict[str, dict[str, float]]:
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in MEASUREMENTS}
    for _ in range(repeats):
        for name in MEASUREMENTS:
            command = [sys.executable, __file__, "--measure", name, "--pixels", str(pixels)]
            done = subprocess.run([*command, "--background", str(background)], capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr}")
            runs[name].append(json.loads(done.stdout.splitlines()[-1]))
    return {name: {key: statistics.median(run[key] for run in of) for key in of[0]} for name, of in runs.items()}


def _print(results: dict[str, dict[str, float]]) -> None:
    reference = results["scikit-learn"]
    print(f"{os.cpu_count()} cores; {reference['pixels']:,.0f} pixels of {SUBJECTS} subjects\n")
    print(f"{'':36s}{'seconds':>9s}{'extra memory':>15s}{'times faster':>14s}{'largest difference':>20s}")
    for name, figures in results.items():
        difference = max(abs(figures[metric] - reference[metric]) for metric in METRICS)
        faster = reference["seconds"] / figures["seconds"]
        print(f"{name:36s}{figures['seconds']:>9.1f}{figures['extra']:>12,.0f} MB{faster:>13.1f}×{difference:>20.1e}")


MEASUREMENTS: dict[str, Callable[[np.ndarray, np.ndarray], dict[str, float]]] = {
    "scikit-learn": _by_scikit_learn,
    "sanoscope, no intervals": _by_sanoscope(0),
    "sanoscope, 1000 resamples": _by_sanoscope(1000),
}


if __name__ == "__main__":
    main()
