"""Seconds and memory of finding, judging and drawing clusters, as the images become more.

    python benchmarks/clustering.py [--images N ...] [--json FILE]

Latents are three overlapping Gaussians of 256 dimensions, as many as the convolutional autoencoder has. Every
measurement is a process of its own; its extra memory is how far its peak lies above what it held when the latents were
there and everything was imported.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

DIMENSIONS, CLUSTERS = 256, 3
SETTINGS = {
    "k-means": {},
    "k-means, mini-batches": {"algorithm": "mini-batch-k-means"},
    "Gaussian mixture": {"algorithm": "gaussian-mixture"},
}
OTHERS = ("assign", "how many (2 to 8)", "PCA and t-SNE", "similar")


def main() -> None:
    """Run every measurement and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="*", default=[5_000, 20_000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", choices=(*SETTINGS, *OTHERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measured(arguments.measure, arguments.images[0])))
        return
    results = [_in_own_process(work, count) for work in (*SETTINGS, *OTHERS) for count in arguments.images]
    print(f"{'work':24}{'images':>10}{'seconds':>10}{'extra memory':>16}")
    for one in results:
        print(f"{one['work']:24}{one['images']:>10,}{one['seconds']:>10.2f}{one['extra megabytes']:>13.0f} MB")
    if arguments.json:
        arguments.json.write_text(json.dumps({"cores": os.cpu_count(), "results": results}, indent=1) + "\n")


def measured(work: str, count: int) -> dict[str, float | str]:
    """One piece of work on so many latents."""
    random = np.random.default_rng(0)
    latents = random.normal(size=(count, DIMENSIONS)).astype(np.float32)
    latents += 1.5 * random.normal(size=(CLUSTERS, DIMENSIONS))[random.integers(CLUSTERS, size=count)]
    carry_out = _prepared(work, latents)
    before, begun = _peak(), time.perf_counter()
    carry_out()
    return {
        "work": work,
        "images": count,
        "seconds": time.perf_counter() - begun,
        "extra megabytes": _peak() - before,
    }


def _prepared(work: str, latents: np.ndarray) -> Callable[[], object]:
    """The work, with everything imported and learned that it needs."""
    from sklearn import cluster, decomposition, manifold, mixture  # noqa: F401 - imported late by what is measured

    from sanoscope.clustering import Clustering, ClusterSettings
    from sanoscope.clustering.neighbours import nearest
    from sanoscope.clustering.number import judge_numbers
    from sanoscope.clustering.projection import project

    settings = ClusterSettings(clusters=CLUSTERS, **SETTINGS.get(work, {}))
    if work in SETTINGS:
        return lambda: Clustering.find(latents, settings, seed=0)
    if work == "assign":
        found = Clustering.find(latents[:1000], settings, seed=0)
        return lambda: found.assign(latents)
    if work == "similar":
        return lambda: nearest(latents, latents[0], 10)
    if work == "PCA and t-SNE":
        return lambda: project(latents, seed=0)
    return lambda: judge_numbers(latents, range(2, 9), settings, seed=0)


def _in_own_process(work: str, count: int) -> dict[str, float | str]:
    command = [sys.executable, __file__, "--measure", work, "--images", str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float | str] = json.loads(done.stdout)
    return result


def _peak() -> float:
    """The most memory this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
