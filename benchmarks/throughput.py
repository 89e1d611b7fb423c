"""Images per second and peak memory of training and scoring ``conv-vae``, each against the plain way.

    python benchmarks/throughput.py [--data FOLDER] [--images N] [--repeats N] [--json FILE]

The plain way opens every file with PIL in a torch DataLoader (without workers and with one for each core; the faster
counts), in float32, in the default memory format, and keeps nothing. Every measurement is a process of its own, so
that its peak memory is its own; the two sides take turns, and medians are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BATCH = 100


def main() -> None:
    """Run every measurement and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of images; synthetic 50×50 patches where not given")
    parser.add_argument("--images", type=int, default=2400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", choices=sorted(MEASUREMENTS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        files = sorted(file for file in arguments.data.rglob("*.png") if not file.stem.endswith("_mask"))[
            : arguments.images
        ]
        rate = MEASUREMENTS[arguments.measure](files)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"rate": rate, "peak": peak}))
        return
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or _draw(Path(folder), arguments.images)
        results = _measure_all(data, arguments.images, arguments.repeats, Path(folder))
    _print(results)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def _draw(folder: Path, count: int) -> Path:
    from sanoscope import histology_phantoms

    per_subject = 40
    histology_phantoms(subjects=-(-count // per_subject), images_per_subject=per_subject, size=50).save(
        folder / "images"
    )
    return folder / "images"


def _measure_all(data: Path, images: int, repeats: int, scratch: Path) -> dict[str, dict[str, float]]:
    results: dict[str, list[dict[str, float]]] = {name: [] for name in MEASUREMENTS}
    for repeat in range(repeats):
        for name in MEASUREMENTS:
            cache = scratch / f"cache-{repeat}"  # scoring files never seen before fills it, the next ones find it
            environment = {**os.environ, "SANOSCOPE_CACHE": str(cache)}
            command = [sys.executable, __file__, "--measure", name, "--data", str(data), "--images", str(images)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr}")
            results[name].append(json.loads(done.stdout.splitlines()[-1]))
    return {
        name: {
            "rate": statistics.median(run["rate"] for run in runs),
            "least": min(run["rate"] for run in runs),
            "most": max(run["rate"] for run in runs),
            "peak": statistics.median(run["peak"] for run in runs),
        }
        for name, runs in results.items()
    }


def _print(results: dict[str, dict[str, float]]) -> None:
    def row(title: str, name: str, plain: str | None = None) -> None:
        figures = results[name]
        ratio = f"{figures['rate'] / results[plain]['rate']:.2f}×" if plain else ""
        spread = f"({figures['least']:,.0f} to {figures['most']:,.0f})"
        print(f"{title:58s}{figures['rate']:>10,.0f}  {spread:22s}{figures['peak']:>9,.0f} MB  {ratio}")

    def best(*names: str) -> str:
        return max(names, key=lambda name: results[name]["rate"])

    print(f"{os.cpu_count()} cores; images per second, median (least to most), peak memory, times the plain way\n")
    train = best("train plain", "train plain workers")
    row("training, plain", train)
    row("training, sanoscope, float32", "train float32", train)
    row("training, sanoscope, as it is by default", "train", train)
    score = best("score plain", "score plain workers")
    row("scoring, plain", score)
    row("scoring files never seen, sanoscope", "score new", score)
    row("scoring decoded files, sanoscope", "score decoded", score)
    row("scoring decoded files, sanoscope, bfloat16", "score decoded bfloat16", score)
    print("\nwhat bounds it:")
    for name in ("decode PIL", "decode", "read and hash", "forward", "forward bfloat16", "step", "step bfloat16"):
        row(f"{name}, images per second", name)
    for name in ("peak float32", "peak bfloat16"):
        row(f"{name}: GFLOP/s of a large convolution", name)


# ------------------------------------------------------------------ the plain way


def _plain_dataset(files: list[Path]):  # type: ignore[no-untyped-def]
    import numpy as np
    import torch
    from PIL import Image

    class Plain(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, index: int):  # type: ignore[no-untyped-def]
            image = Image.open(files[index]).convert("RGB").resize((64, 64), Image.Resampling.BICUBIC)
            return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255 * 2 - 1

    return Plain()


def _network():  # type: ignore[no-untyped-def]
    from sanoscope.networks.convolutional_vae import ConvolutionalVAE

    return ConvolutionalVAE(3, 64, 64, (32, 64, 128, 256))


def _plain_training(workers: int) -> Callable[[list[Path]], float]:
    def measure(files: list[Path]) -> float:
        import torch

        loader = torch.utils.data.DataLoader(_plain_dataset(files), BATCH, shuffle=True, num_workers=workers)
        network = _network()
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4)
        for _ in range(3):  # the last one counts
            begun = time.perf_counter()
            for images in loader:
                output = network(images, torch.randn(len(images), 64))
                kl = -0.5 * (1 + output.logvar - output.mean**2 - output.logvar.exp()).sum()
                loss = ((images - output.reconstruction) ** 2).sum() + kl
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            seconds = time.perf_counter() - begun
        return len(files) / seconds

    return measure


def _plain_scoring(workers: int) -> Callable[[list[Path]], float]:
    def measure(files: list[Path]) -> float:
        import torch

        network = _network().eval()
        loader = torch.utils.data.DataLoader(_plain_dataset(files), BATCH, num_workers=workers)
        begun = time.perf_counter()
        with torch.no_grad():
            for images in loader:
                values = (images, network(images).reconstruction)
                first, second = (value.flatten(1).sort(1).values for value in values)
                (first - second).abs().mean(1)
        return len(files) / (time.perf_counter() - begun)

    return measure


# ------------------------------------------------------------------ Sanoscope


def _cases(files: list[Path]):  # type: ignore[no-untyped-def]
    from sanoscope import Case, Cases

    return Cases(Case(str(i), path=file) for i, file in enumerate(files))


def _training(precision: str) -> Callable[[list[Path]], float]:
    def measure(files: list[Path]) -> float:
        from sanoscope import get_recipe
        from sanoscope.training.plain import Surroundings

        recipe = get_recipe("conv-vae").with_options({"training.epochs": 4, "training.precision": precision})
        preparation = recipe.build("preparation")
        pictures = preparation.fit(_cases(files))
        history = recipe.build("training").run(
            _network(),
            recipe.build("objective"),
            preparation.intensity,
            pictures,
            None,
            Surroundings(None, 0, "cpu", quiet=True),
        )
        return len(files) / statistics.median(row["seconds"] for row in history[1:])

    return measure


def _detector(files: list[Path], precision: str = "float32"):  # type: ignore[no-untyped-def]
    """A fitted detector; how good it is does not matter here."""
    from sanoscope import Detector

    options = {"training.epochs": 1, "scoring.precision": precision}
    return Detector("conv-vae", options, device="cpu").fit(_cases(files[:200]), quiet=True)


def _scoring(decoded: bool, precision: str = "float32") -> Callable[[list[Path]], float]:
    def measure(files: list[Path]) -> float:
        import shutil

        from sanoscope.preparation.cache import cache_folder

        detector, cases = _detector(files, precision), _cases(files)
        if decoded:
            detector.decision_function(cases)
        else:
            shutil.rmtree(cache_folder())
        begun = time.perf_counter()
        detector.decision_function(cases)
        return len(files) / (time.perf_counter() - begun)

    return measure


# ------------------------------------------------------------------ what bounds it


def _rate(work: Callable[[], object], amount: float, seconds: float = 2.0) -> float:
    work()
    work()
    done, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        work()
        done += 1
    return amount * done / (time.perf_counter() - begun)


def _decode_pil(files: list[Path]) -> float:
    dataset = _plain_dataset(files)
    return _rate(lambda: [dataset[i] for i in range(200)], 200)


def _decode(files: list[Path]) -> float:
    from sanoscope import get_recipe
    from sanoscope.preparation.decode import decode

    geometry, cases = get_recipe("conv-vae").build("preparation").geometry, _cases(files)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SANOSCOPE_CACHE"] = cache
        begun = time.perf_counter()
        decode(cases, geometry)
        return len(files) / (time.perf_counter() - begun)


def _read_and_hash(files: list[Path]) -> float:
    from sanoscope import get_recipe
    from sanoscope.preparation.decode import decode

    geometry, cases = get_recipe("conv-vae").build("preparation").geometry, _cases(files)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SANOSCOPE_CACHE"] = cache
        decode(cases, geometry)
        return _rate(lambda: decode(cases, geometry), len(files))


def _arithmetic(train: bool, bfloat16: bool) -> Callable[[list[Path]], float]:
    def measure(files: list[Path]) -> float:
        import torch

        from sanoscope.objectives.elbo import NegativeELBO

        network = _network().to(memory_format=torch.channels_last).train(train)
        images = torch.randn(BATCH, 3, 64, 64).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
        objective = NegativeELBO(1.0, False)

        def work() -> None:
            with torch.set_grad_enabled(train), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                output = network(images, torch.randn(BATCH, 64))
                if train:
                    terms = objective(images, output.reconstruction, output.mean, output.logvar)
            if train:
                optimizer.zero_grad()
                terms.loss.backward()
                optimizer.step()

        return _rate(work, BATCH)

    return measure


def _peak(bfloat16: bool) -> Callable[[list[Path]], float]:
    def measure(files: list[Path]) -> float:
        import torch

        kind = torch.bfloat16 if bfloat16 else torch.float32
        convolution = torch.nn.Conv2d(256, 256, 3, padding=1).to(kind).to(memory_format=torch.channels_last)
        images = torch.randn(16, 256, 32, 32, dtype=kind).to(memory_format=torch.channels_last)
        operations = 2 * 16 * 32 * 32 * 256 * 256 * 9
        with torch.inference_mode():
            return _rate(lambda: convolution(images), operations / 1e9)

    return measure


MEASUREMENTS: dict[str, Callable[[list[Path]], float]] = {
    "train plain": _plain_training(0),
    "train plain workers": _plain_training(os.cpu_count() or 1),
    "train float32": _training("float32"),
    "train": _training("auto"),
    "score plain": _plain_scoring(0),
    "score plain workers": _plain_scoring(os.cpu_count() or 1),
    "score new": _scoring(decoded=False),
    "score decoded": _scoring(decoded=True),
    "score decoded bfloat16": _scoring(decoded=True, precision="auto"),
    "decode PIL": _decode_pil,
    "decode": _decode,
    "read and hash": _read_and_hash,
    "forward": _arithmetic(train=False, bfloat16=False),
    "forward bfloat16": _arithmetic(train=False, bfloat16=True),
    "step": _arithmetic(train=True, bfloat16=False),
    "step bfloat16": _arithmetic(train=True, bfloat16=True),
    "peak float32": _peak(bfloat16=False),
    "peak bfloat16": _peak(bfloat16=True),
}


if __name__ == "__main__":
    main()
