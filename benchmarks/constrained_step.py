"""Seconds of a training step of the constrained attention model, with the constraint and without.

    python benchmarks/constrained_step.py [--repeats N] [--json FILE]

The kinds of step take turns, so that whatever else the machine does falls on all of them; each figure is a median.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from sanoscope import get_recipe
from sanoscope.networks.gradcam import class_activation_map
from sanoscope.networks.residual_autoencoder import ResidualAutoencoder
from sanoscope.objectives.constrained_elbo import ConstrainedELBO

# Of the images, and how many are in a batch: the recipe's default, and twice its side.
SETTINGS = ((64, 16), (128, 16))
WEIGHTINGS = {"plain": None, "channel weights held constant": "detached", "constrained": "shared"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    steps = {}
    for size, batch in SETTINGS:
        for precision in ("float32", "bfloat16"):
            steps[f"{size} px, batch {batch}, {precision}"] = _measured(size, batch, precision, arguments.repeats)
    print(f"{os.cpu_count()} cores; seconds of a step\n")
    for setting, figures in steps.items():
        cells = [f"{name} {seconds:.2f} ({seconds / figures['plain']:.1f}×)" for name, seconds in figures.items()]
        print(f"{setting:34s}{'; '.join(cells)}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"steps": steps}, indent=1) + "\n")


def _measured(size: int, batch: int, precision: str, repeats: int) -> dict[str, float]:
    """The median of each kind of step, after one that is not counted."""
    recipe = get_recipe("constrained-attention-vae")
    torch.manual_seed(0)
    network: ResidualAutoencoder = recipe.build("network", in_channels=1, image_size=size)
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    objective: ConstrainedELBO = recipe.build("objective")
    optimizer = torch.optim.Adam(network.parameters(), 1e-4, fused=True)
    images = torch.rand(batch, 1, size, size).contiguous(memory_format=torch.channels_last)
    seconds: dict[str, list[float]] = {name: [] for name in WEIGHTINGS}
    for _ in range(repeats + 1):
        for name, weighting in WEIGHTINGS.items():
            begun = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                _step(network, objective, optimizer, images, weighting)
            seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def _step(
    network: ResidualAutoencoder,
    objective: ConstrainedELBO,
    optimizer: Any,
    images: torch.Tensor,
    weighting: str | None,
) -> None:
    mean, logvar, activations = network.encode_with_features(images)
    attention, weight = None, 0.0
    if weighting:
        attention, weight = class_activation_map(mean, activations, weighting, create_graph=True), objective.weight
    logits = network.decode_logits(network.sample(mean, logvar, torch.randn_like(mean)))
    inside = torch.ones_like(images[:, 0], dtype=torch.bool)
    terms = objective(images, logits, mean, logvar, attention, inside, weight)
    optimizer.zero_grad()
    terms.loss.backward()
    optimizer.step()


if __name__ == "__main__":
    main()
