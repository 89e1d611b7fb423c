"""``sanoscope fit``: from normal images to a model folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from sanoscope.cli.models import say_threshold
from sanoscope.cli.options import (
    BAD_INPUT,
    INTERRUPTED,
    ConfigOption,
    DataArgument,
    DeviceOption,
    EpochsOption,
    LayoutOption,
    NormalOption,
    PresetOption,
    SeedOption,
    SetOption,
    SplitOption,
    VerboseOption,
    recipe_options,
    require_new,
)
from sanoscope.errors import SanoscopeError
from sanoscope.training.processes import Processes


def fit(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A method; 'sanoscope recipes' lists them.")],
    data: DataArgument,
    out: Annotated[Path, typer.Option("--out", help="New folder for the model, its logs and checkpoints.")],
    preset: PresetOption = None,
    assignments: SetOption = None,
    config: ConfigOption = None,
    epochs: EpochsOption = None,
    split: SplitOption = None,
    normal: NormalOption = None,
    layout: LayoutOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    devices: Annotated[
        int | None,
        typer.Option("--devices", min=1, help="Devices of a machine to train on together, each in its own process."),
    ] = None,
    nodes: Annotated[
        int | None, typer.Option("--nodes", min=1, help="Machines to train on, with so many devices each.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run in --out.")] = False,
    checkpoint_seconds: Annotated[
        float, typer.Option("--checkpoint-seconds", min=0, help="Least time between two checkpoints to resume from.")
    ] = 30.0,
    verbose: VerboseOption = False,
) -> None:
    """Learn what healthy looks like from the normal images of DATA.

    On several devices each process runs this command, and all but the main one keep silent and write nothing.
    """
    from sanoscope.cases import load_cases
    from sanoscope.cases.split_record import write_split
    from sanoscope.console import say
    from sanoscope.detector_folder import CHECKSUMS_FILE, TRAINING_FOLDER
    from sanoscope.recipes import get_recipe

    processes = Processes.asked(devices, nodes)
    with _one_voice(processes):
        finished, begun = (out / CHECKSUMS_FILE).exists(), (out / TRAINING_FOLDER).is_dir()
        if resume and finished:
            say(f"{out}: is finished already; nothing to resume")
            return
        if processes.main and not (resume and begun):
            goes_on = begun and not finished
            require_new(out, ("go on with the run there by --resume, or " if goes_on else "") + "choose another --out")
        declared = get_recipe(recipe)
        chosen = (declared.preset(preset) if preset else declared).with_options(
            recipe_options(config, assignments, training__epochs=epochs)
        )
        slicing = chosen.build("data").slicing
        cases = load_cases(data, split=split, normal=normal, layout=layout, slicing=slicing, seed=seed)
        for line in (cases.describe(), *cases.notes):
            say(line)

        from sanoscope.detector import Detector  # seconds, so after what can be said at once

        detector = Detector(chosen, seed=seed, device=device, devices=processes.devices, nodes=processes.nodes)
        try:
            detector.fit(cases, folder=out / TRAINING_FOLDER, resume=resume, checkpoint_seconds=checkpoint_seconds)
        except KeyboardInterrupt:
            say("interrupted; the same command with --resume goes on from the last checkpoint")
            raise typer.Exit(INTERRUPTED) from None
    if not processes.main:
        return
    write_split(cases, out)
    detector.save(out)
    say(f"model: {out}")
    say_threshold(detector)


@contextmanager
def _one_voice(processes: Processes) -> Iterator[None]:
    """Let the main process alone say something, and what the user can mend the first of each machine."""
    if processes.several:  # PyTorch's own warnings come from all; read when it is imported
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if processes.main:
        yield
        return
    if processes.local_rank:  # it is ended by the first of its machine
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            yield
        except SanoscopeError:
            if processes.local_rank:
                raise typer.Exit(BAD_INPUT) from None
            raise
