"""Searches that are small enough for tests, and processes that carry them out."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from sanoscope import get_recipe
from sanoscope.cases.case import Case, Cases
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.recipe import Recipe
from sanoscope.search_space import Choices, Span
from sanoscope.selection.search import search
from sanoscope.selection.settings import SearchSettings

KINDS = ("crack", "dent", "spot")
# Subjects by the number in their name: of eight, five to train on, one for validation and two to test on.
SIDES = ("train",) * 5 + ("validation",) + ("test",) * 2
SPACE = {"training.learning_rate": Span(1e-4, 1e-2, log=True), "network.latent": Choices((2, 4))}
SETTINGS = SearchSettings(trials=2, folds=2, oracle=False, device="cpu", maps=False)


def small_cases(**changes: Any) -> Cases:
    """Tissue on its sides, with abnormal images of three kinds on every side."""
    phantoms = histology_phantoms(subjects=8, images_per_subject=6, size=32, seed=1)
    cases = phantoms.cases()

    def placed(number: int, case: Case) -> Case:
        group = KINDS[number % 3] if case.label else "normal"
        side = SIDES[int((case.subject or "").rpartition("-")[2])]
        return replace(case, group=group, split=side, mask_pixels=None, **changes)

    return cases.with_cases(placed(number, case) for number, case in enumerate(cases))


def small_recipe(**options: Any) -> Recipe:
    """A network of a few thousand weights that is trained for one epoch."""
    return get_recipe("conv-vae").with_options(
        {
            "preparation.image_size": 32,
            "network.widths": [4, 4],
            "training.epochs": 1,
            "training.batch_size": 8,
            "training.precision": "float32",
            "scoring.score": "mse",
        }
        | {name.replace("__", "."): value for name, value in options.items()}
    )


def small_search(out: Path, **changes: Any) -> Any:
    """A search of two trials in two folds, with some settings replaced; a worker's, which ends without a model."""
    return search(small_recipe(), small_cases(), out, replace(SETTINGS, **({"worker": True} | changes)), space=SPACE)


def meet(here: Path | str, other: Path | str) -> None:
    """Wait until another process has made the file ``other``, having made ``here``."""
    Path(here).touch()
    until = time.monotonic() + 120
    while not Path(other).exists():
        if time.monotonic() > until:
            raise TimeoutError(f"{other} never came")
        time.sleep(0.01)


DYING = """
import os, signal
from sanoscope.selection import loop

whole, done = loop.run_fold, []

def dying(*arguments):
    if len(done) == {folds}:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(whole(*arguments))
    return done[-1]

loop.run_fold = dying
"""
MEETING = """
from search_runs import meet
meet("{here}", "{other}")
"""
SEARCH = """
from pathlib import Path
from search_runs import small_search
{before}
small_search(Path("{out}"), **{changes})
"""


def process(out: Path, before: str = "", **changes: Any) -> subprocess.Popen[str]:
    """Begin ``small_search`` in a process of its own, after what ``before`` does there."""
    code = SEARCH.format(before=before, out=out, changes=changes)
    folder = Path(__file__).parent
    return subprocess.Popen([sys.executable, "-c", code], cwd=folder, stderr=subprocess.PIPE, text=True)
