"""What the studies share: where results go, how they are written, and what every run's file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sanoscope import Cases, Detector

RESULTS = Path(__file__).parent.parent / "docs" / "results"


def write(file: Path, content: dict[str, Any]) -> None:
    """Write JSON; the file appears whole or not at all."""
    unfinished = file.with_suffix(".tmp")
    unfinished.write_text(json.dumps(content) + "\n")
    unfinished.replace(file)


def sides(cases: Cases) -> dict[str, dict[str, int]]:
    """How many images of which kind are on each side."""
    return {side: _counts(cases.in_split(side)) for side in ("train", "validation", "test")}


def _counts(cases: Cases) -> dict[str, int]:
    return {
        "normal": sum(label == 0 for label in cases.labels),
        "abnormal": sum(label == 1 for label in cases.labels),
        "subjects": len(set(cases.subjects) - {None}),
    }


def circumstances(detector: Detector) -> dict[str, Any]:
    """How a detector was trained, and where."""
    return {
        "history": detector.history_,
        "training": detector.provenance_["training"],
        "versions": detector.provenance_["fitted"]["versions"],
        "machine": detector.provenance_["fitted"]["machine"],
    }
