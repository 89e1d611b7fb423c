"""Seconds of a training step of the deep perceptual autoencoder: where they go, and what has been done about it.

    python benchmarks/perceptual_step.py [--repeats N] [--json FILE]

Each kind of step adds one measure to the one before, the first being the plain one: features of image and of
reconstruction in every step, float32, memory as it comes. The kinds take turns, so that whatever else the machine does
falls on all of them; each figure is a median. Weights are random, as times do not depend on them; so the deviations of
bfloat16 that are printed are those at the beginning of a training.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sanoscope import get_recipe
from sanoscope.networks.perceptual_autoencoder import PerceptualAutoencoder
from sanoscope.objectives.perceptual import perceptual_error

# Feature network, side of the images and how many are in a batch.
SETTINGS = (("vgg11_bn", 32, 64), ("vgg11_bn", 64, 64), ("squeezenet1_1", 64, 64), ("vgg19", 64, 32))


class Kind(NamedTuple):
    """How a step is carried out."""

    channels_last: bool = False
    kept: bool = False
    bfloat16: bool = False


KINDS = {
    "plain": Kind(),
    "channels last": Kind(channels_last=True),
    "and features of images kept": Kind(channels_last=True, kept=True),
    "and bfloat16": Kind(channels_last=True, kept=True, bfloat16=True),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, {torch.get_num_threads()} threads; seconds of a step\n")
    results = {}
    for features, size, batch in SETTINGS:
        name = f"{features}, {size} px, batch {batch}"
        results[name] = measure(features, size, batch, arguments.repeats)
        print(name)
        for kind, parts in results[name]["kinds"].items():
            shares = ", ".join(f"{part} {seconds:.3f}" for part, seconds in parts.items() if part != "step")
            ratio = results[name]["kinds"]["plain"]["step"] / parts["step"]
            print(f"  {kind:30s}{parts['step']:.3f} ({ratio:.1f}×): {shares}")
        deviations = ", ".join(f"{what} {value:.2g}" for what, value in results[name]["bfloat16"].items())
        print(f"  bfloat16 against float32: {deviations}\n")
    if arguments.json:
        content = {"threads": torch.get_num_threads(), "settings": results}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


def measure(features: str, size: int, batch: int, repeats: int) -> dict[str, Any]:
    """The parts of each kind of step, and what bfloat16 changes."""
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in KINDS}
    steps = {name: Step(features, size, batch, kind) for name, kind in KINDS.items()}
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            for part, taken in step.carry_out().items():
                if repeat:  # the first is not counted
                    seconds[name].setdefault(part, []).append(taken)
    medians = {
        name: {part: statistics.median(values) for part, values in parts.items()} for name, parts in seconds.items()
    }
    return {"kinds": medians, "bfloat16": deviations(features, size, batch)}


class Step:
    """One step of training, timed in its parts."""

    def __init__(self, features: str, size: int, batch: int, kind: Kind) -> None:
        torch.manual_seed(0)
        self.kind = kind
        self.network = network_of(features, size)
        self.images = torch.rand(batch, 1, size, size) * 2 - 1
        if kind.channels_last:
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.images = self.images.contiguous(memory_format=torch.channels_last)
        trained = [*self.network.encoder.parameters(), *self.network.decoder.parameters()]
        self.optimizer = torch.optim.Adam(trained, 1e-3, fused=True)
        with torch.no_grad(), self.arithmetic():
            self.known = self.network.perceptual(self.images)

    def arithmetic(self) -> torch.autocast:
        """Of the step."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.kind.bfloat16)

    def loss(self, clock: Clock | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Of the batch, with the reconstructions and the same cut off from the autoencoder."""
        clock = clock or Clock()
        with self.arithmetic():
            reconstructions = self.network(self.images).float()
            clock.part("autoencoder")
            known = self.known
            if not self.kind.kept:
                with torch.no_grad():
                    known = self.network.perceptual(self.images)
            clock.part("features of images")
            # Cut here, the backward pass of each half can be timed by itself.
            cut = reconstructions.detach().requires_grad_()
            weights = dict.fromkeys(known, 1 / len(known))
            loss = perceptual_error(known, self.network.perceptual(cut), weights).mean()
        clock.part("features of reconstructions")
        return loss, reconstructions, cut

    def carry_out(self) -> dict[str, float]:
        """Seconds of each part, and of the step."""
        clock = Clock()
        loss, reconstructions, cut = self.loss(clock)
        loss.backward()
        clock.part("features of reconstructions")
        self.optimizer.zero_grad()
        reconstructions.backward(cut.grad)
        clock.part("autoencoder")
        self.optimizer.step()
        clock.part("optimiser")
        return {**clock.parts, "step": sum(clock.parts.values())}


class Clock:
    """Seconds since it was last looked at, by what they were spent on."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._begun = time.perf_counter()

    def part(self, name: str) -> None:
        """Ends a part."""
        now = time.perf_counter()
        self.parts[name] = self.parts.get(name, 0.0) + now - self._begun
        self._begun = now


def deviations(features: str, size: int, batch: int) -> dict[str, float]:
    """How far loss and gradient are off in bfloat16: relative, and as one less the cosine."""
    found = []
    for bfloat16 in (False, True):
        step = Step(features, size, batch, Kind(channels_last=True, bfloat16=bfloat16))
        loss, reconstructions, cut = step.loss()
        loss.backward()
        reconstructions.backward(cut.grad)
        gradients = [one.grad.flatten() for one in step.network.encoder.parameters() if one.grad is not None]
        found.append((loss.item(), torch.cat(gradients).double()))
    (exact, gradient), (rounded, other) = found
    cosine = torch.nn.functional.cosine_similarity(gradient, other, dim=0).item()
    return {"loss": abs(rounded - exact) / exact, "direction of the gradient": 1 - cosine}


def network_of(features: str, size: int) -> PerceptualAutoencoder:
    """The recipe's network with a feature network of random weights."""
    options = {"network.features": features, "network.pretrained": False, "preparation.image_size": size}
    recipe = get_recipe("deep-perceptual-autoencoder").with_options(options)
    network: PerceptualAutoencoder = recipe.build("network", in_channels=1, image_size=size)
    return network.train()


if __name__ == "__main__":
    main()
