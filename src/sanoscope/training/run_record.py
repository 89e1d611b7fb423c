"""Word of what is being trained, left beside its checkpoints, so that nothing else is resumed from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sanoscope.errors import ModelError
from sanoscope.training.plain import RESUME_FILE

RUN_FILE = "run.json"
# What must be the same beside the recipe and its options, and how to say that it is not.
OTHERS = {
    "seed": "another seed",
    "training images": "other training images",
    "validation images": "other validation images",
}
# A longer training may be asked for than was begun, unless what it does in an epoch depends on how many there are.
MAY_CHANGE = "training.epochs"
DEPENDS_ON_LENGTH = {"training.schedule": ("cosine", "late-cosine"), "objective.annealing": (True,)}
MEND = "go on with the same, or start anew in another folder"


def begin_run(folder: Path, run: Mapping[str, Any], resume: bool) -> None:
    """Record a run, or check that the one to resume is the same.

    Args:
        folder: Of the training; made where it does not exist.
        run: ``recipe`` (its name), ``options`` (all values by dotted name) and the keys of ``OTHERS``.
        resume: Go on from the checkpoint in the folder, if there is one.

    Raises:
        ModelError: If the checkpoint there is of another run, or the record of its run cannot be read.
    """
    file = folder / RUN_FILE
    if resume and (folder / RESUME_FILE).exists():
        _require_same(file, json.loads(json.dumps(run)))
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(run, indent=1))


def _require_same(file: Path, now: dict[str, Any]) -> None:
    try:
        before = json.loads(file.read_text())
        options = dict(before["options"])
        recipe = before["recipe"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{file}: is missing or cannot be read, so the run cannot be resumed; start it anew"
        ) from error
    if recipe != now["recipe"]:
        raise ModelError(f"{file.parent}: was started with recipe {recipe}, not {now['recipe']}; {MEND}")
    fixed = any(options.get(name) in values for name, values in DEPENDS_ON_LENGTH.items())
    for name, value in now["options"].items():
        if (fixed or name != MAY_CHANGE) and options.get(name) != value:
            raise ModelError(f"{file.parent}: was started with {name}={options.get(name)}, not {value}; {MEND}")
    for what, other in OTHERS.items():
        if before.get(what) != now[what]:
            raise ModelError(f"{file.parent}: was started with {other}; {MEND}")
