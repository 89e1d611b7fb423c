"""Seconds and memory of what learns in closed form from a frozen ResNet-18, as the images become more.

    python benchmarks/frozen_features.py [--images N ...] [--json FILE]

Weights are random, which takes as long as published ones. Every measurement is a process of its own; its extra memory
is how far its peak lies above what it held when the images were there and everything was imported. Fitting is all that
``Detector.fit`` does. Beside PatchCore stands what it would take to keep the features of every place, as is usual.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RECIPES = ("deep-knn", "padim", "patchcore")
SIDE = 128
SCORED = 200


def main() -> None:
    """Run every measurement and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="*", default=[400, 1600])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", choices=RECIPES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured(arguments.measure, arguments.images[0])))
        return
    results = [_in_own_process(recipe, count) for recipe in RECIPES for count in arguments.images]
    _print(results)
    if arguments.json:
        arguments.json.write_text(json.dumps({"cores": os.cpu_count(), "results": results}, indent=1) + "\n")


def measured(recipe: str, count: int) -> dict[str, float | str]:
    """One method on so many images."""
    from sanoscope import Detector

    images = np.random.default_rng(0).integers(0, 256, (count + SCORED, SIDE, SIDE, 1)).astype(np.uint8)
    detector = Detector(recipe, {"network.pretrained": False}, device="cpu")
    before, begun = _peak(), time.perf_counter()
    detector.fit(images[:count], quiet=True)
    fitted = time.perf_counter()
    extra = _peak() - before
    detector.decision_function(images[count:])
    scored = time.perf_counter()
    remembered = sum(buffer.numel() * buffer.element_size() for buffer in detector.network_.memory.buffers())
    places = detector.network_.places(detector.preparation_.tensors((images[:1], None)))
    return {
        "recipe": recipe,
        "images": count,
        "fit": fitted - begun,
        "score": 1000 * (scored - fitted) / SCORED,
        "extra": extra,
        "remembered": remembered / 2**20,
        "every place": count * places.numel() * places.element_size() / 2**20,
    }


def _peak() -> float:
    """In MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_own_process(recipe: str, count: int) -> dict[str, float | str]:
    command = [sys.executable, __file__, "--measure", recipe, "--images", str(count)]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "SANOSCOPE_CACHE": cache}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    result: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return result


def _print(results: list[dict[str, float | str]]) -> None:
    print(f"{os.cpu_count()} cores; images of {SIDE}×{SIDE} pixels\n")
    headings = ("fit", "score an image", "extra memory", "remembered", "every place")
    print(f"{'':12s}{'images':>8s}" + "".join(f"{heading:>16s}" for heading in headings))
    for row in results:
        cells = (
            f"{row['fit']:.1f} s",
            f"{row['score']:.1f} ms",
            f"{row['extra']:,.0f} MB",
            f"{row['remembered']:,.1f} MB",
        )
        print(f"{row['recipe']:12s}{row['images']:>8,}" + "".join(f"{cell:>16s}" for cell in cells), end="")
        print(f"{row['every place']:>13,.0f} MB" if row["recipe"] == "patchcore" else "")


if __name__ == "__main__":
    main()
