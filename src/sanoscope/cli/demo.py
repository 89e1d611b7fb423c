"""``sanoscope demo``: the main job on images that the program draws itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanoscope.cli.options import DeviceOption, SeedOption, VerboseOption, require_new


def demo(
    out: Annotated[Path, typer.Option("--out", help="New folder for the images, the model and the findings.")] = Path(
        "demo"
    ),
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the training normals.")] = 30,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    verbose: VerboseOption = False,
) -> None:
    """Draw histology-like phantoms, learn the normal ones, and find the abnormal ones."""
    from sanoscope.cases import load_cases
    from sanoscope.cases.phantoms import histology_phantoms
    from sanoscope.cases.split_record import write_split
    from sanoscope.cli.tables import print_results
    from sanoscope.console import say
    from sanoscope.detector import Detector

    require_new(out)
    say("drawing phantoms: synthetic patches of tissue, some with crowded, enlarged, irregular nuclei")
    histology_phantoms(seed=seed).save(out / "images")
    # A larger test side than usual, so that the intervals have subjects to rest on.
    cases = load_cases(out / "images", validation=0.2, test=0.3, seed=seed)
    say(cases.describe())
    # Few images need small batches to make enough steps; and what is abnormal here are shapes, which a squared error
    # sees and a distance between histograms, the recipe's default, does not.
    options = {"training.epochs": epochs, "training.batch_size": 32, "scoring.score": "mse"}
    detector = Detector("conv-vae", options, seed=seed, device=device)
    detector.fit(cases, folder=out / "model" / "training")
    write_split(cases, out / "model")
    detector.save(out / "model")
    findings = detector.score(cases.test)
    content = findings.content()
    findings.save(out / "findings", content)
    typer.echo("")
    print_results(content)
    typer.echo(f"\nreport: {out / 'findings' / 'report.html'}")
