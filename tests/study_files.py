"""Small studies as files, for tests of several modules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from sanoscope.cases import hold_out, load_cases, write_manifest
from sanoscope.cases.phantoms import brain_phantoms, histology_phantoms
from sanoscope.report.study_content import StudyContent, StudyRow
from sanoscope.studies.declaration import Study
from sanoscope.studies.parsing import parse_study
from sanoscope.studies.sources import AtPaths
from sanoscope.studies.study import StudyRun

# What makes a training take a second.
TINY: dict[str, Any] = {
    "preparation.image_size": 32,
    "network.widths": [4, 8],
    "network.latent": 4,
    "training.epochs": 2,
    "training.batch_size": 8,
    "training.precision": "float32",
}
SUBJECTS, EACH = 12, 5


def tissue(folder: Path) -> Path:
    """Patches of several subjects, without masks; a manifest puts half of them on the test side."""
    histology_phantoms(subjects=SUBJECTS, images_per_subject=EACH, size=32, seed=1, healthy_every=0).save(folder)
    cases = hold_out(load_cases(folder), validation=0.2, test=0.5)
    write_manifest(cases.with_cases(replace(case, mask=None) for case in cases), folder / "manifest.csv")
    return folder


def brains(folder: Path) -> Path:
    """Slices of several subjects with masks, in the same way."""
    brain_phantoms(subjects=10, slices_per_subject=3, size=64, seed=2).save(folder)
    write_manifest(hold_out(load_cases(folder), validation=0.2, test=0.4), folder / "manifest.csv")
    return folder


def declared(data: Path, **changes: Any) -> dict[str, Any]:
    """Two methods and two seeds on one collection; a change of None leaves an entry out."""
    content: dict[str, Any] = {
        "name": "two-methods",
        "measure": "images",
        "reference": "plain",
        "seeds": [0, 1],
        "collections": [{"data": str(data)}],
        "methods": [
            {"name": "plain", "recipe": "conv-vae", "options": TINY, "also": ["mse"]},
            {"name": "wide", "recipe": "conv-vae", "options": {**TINY, "network.latent": 8}},
        ],
        **changes,
    }
    return {name: value for name, value in content.items() if value is not None}


def written(folder: Path, content: Any, name: str = "study.yaml") -> Path:
    """The file of a study."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def study_of(content: dict[str, Any]) -> Study:
    """The study that a content declares."""
    return parse_study(content, "test", AtPaths(Path.cwd()))


def quiet(out: Path, said: list[str] | None = None, **others: Any) -> StudyRun:
    """A run on the CPU that measures nothing beforehand and notes what it would say."""
    return StudyRun(out, device="cpu", measured=False, progress=(said if said is not None else []).append, **others)


def row(content: StudyContent, name: str) -> StudyRow:
    """The row of that name."""
    return next(row for section in content.sections for row in section.rows if row.name == name)
