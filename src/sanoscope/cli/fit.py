"""``sanoscope fit``: from normal images to a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanoscope.cli.options import (
    ConfigOption,
    DataArgument,
    DeviceOption,
    NormalOption,
    SeedOption,
    SetOption,
    VerboseOption,
    recipe_options,
    require_new,
)


def fit(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A method; 'sanoscope recipes' lists them.")],
    data: DataArgument,
    out: Annotated[Path, typer.Option("--out", help="New folder for the model, its logs and checkpoints.")],
    assignments: SetOption = None,
    config: ConfigOption = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Passes over the training normals.")] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="'subject' or 'image' split anew; otherwise the data's own, or by subject."),
    ] = None,
    normal: NormalOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run in --out.")] = False,
    verbose: VerboseOption = False,
) -> None:
    """Learn what healthy looks like from the normal images of DATA."""
    from sanoscope.cases import load_cases
    from sanoscope.cases.split_record import write_split
    from sanoscope.console import say
    from sanoscope.detector import Detector
    from sanoscope.detector_folder import CHECKSUMS_FILE

    detector = Detector(recipe, recipe_options(config, assignments, training__epochs=epochs), seed=seed, device=device)
    cases = load_cases(data, split=split, normal=normal, seed=seed)
    if resume:
        if (out / CHECKSUMS_FILE).exists():
            say(f"{out}: is finished already; nothing to resume")
            return
    else:
        require_new(out, "choose another --out, or go on with an interrupted run by --resume")
    for line in (cases.describe(), *cases.notes):
        say(line)
    out.mkdir(parents=True, exist_ok=True)
    write_split(cases, data, out)
    try:
        detector.fit(cases, folder=out / "training", resume=resume)
    except KeyboardInterrupt:
        say("interrupted; the same command with --resume goes on from the last checkpoint")
        raise typer.Exit(130) from None
    detector.save(out)
    say(f"model: {out}")
    say(f"threshold: {detector.threshold_:.5g} on {detector.recipe['scoring.score']}, {_origin(detector)}")


def _origin(detector) -> str:  # type: ignore[no-untyped-def]  # naming the type would import torch for a help text
    decision = detector.decisions_[detector.recipe["scoring.score"]]
    normal, abnormal = decision.fitted_on["normal"], decision.fitted_on["abnormal"]
    return f"by {decision.rule} on {normal} normal and {abnormal} abnormal held-out images"
