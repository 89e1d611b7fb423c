"""Findings as a folder of files that other programs can read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.readers import read_image
from sanoscope.console import track
from sanoscope.decision import Decision
from sanoscope.errors import DataError, ImageError
from sanoscope.findings import Findings, Shown
from sanoscope.report import images
from sanoscope.report.content import ReportContent
from sanoscope.report.html import write_report

SCORES_FILE, FINDINGS_FILE, REPORT_FILE = "scores.csv", "findings.json", "report.html"
SCORE_PREFIX = "score: "
# File names need not be text; the bytes that are none come back as they were.
ANY_NAME: Final = "surrogateescape"


def save_findings(findings: Findings, folder: Path, content: ReportContent) -> Path:
    """Write everything; the table first, so that whatever happens later the scores are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    write_data(findings, folder)
    for index, shown in findings.shown.items():
        _write_shown(folder / "gallery", index, shown)
    if findings.maps is not None:
        _write_maps(findings, folder)
    write_report(content, folder / REPORT_FILE)
    return folder


def write_data(findings: Findings, folder: Path) -> None:
    """Write the table and what belongs to all cases, without pictures."""
    # Quoted, so that whatever is in a name stays in its cell.
    findings.table.to_csv(folder / SCORES_FILE, index=False, errors=ANY_NAME, quoting=csv.QUOTE_NONNUMERIC)
    (folder / FINDINGS_FILE).write_text(json.dumps(_as_json(findings), indent=1))


def _as_json(findings: Findings) -> dict[str, Any]:
    return {
        "source": findings.cases.source,
        "layout": findings.cases.layout,
        "score": findings.score_name,
        "trivial": list(findings.trivial),
        "decisions": {name: decision.to_json() for name, decision in findings.decisions.items()},
        "calibration": [float(score) for score in findings.calibration],
        "map_scale": findings.maps.scale if findings.maps else None,
        "unreadable": [{"path": path, "reason": reason} for path, reason in findings.unreadable],
        "recipe": findings.recipe,
        "history": findings.history,
        "provenance": findings.provenance,
        "notes": list(findings.notes),
    }


def _write_shown(folder: Path, index: int, shown: Shown) -> None:
    folder.mkdir(exist_ok=True)
    for kind, pixels in asdict(shown).items():
        (folder / f"{index}-{kind}.png").write_bytes(images.png(pixels))


def _write_maps(findings: Findings, folder: Path) -> None:
    """Each map as float TIFF and each overlay as PNG, on the source grid, under the case's name."""
    import tifffile

    maps = findings.maps
    assert maps is not None

    def write(index: int) -> None:
        case = findings.cases[index]
        heatmap = maps.on_source_grid(index)
        map_file = folder / "maps" / f"{case.name}.tiff"
        overlay_file = folder / "overlays" / f"{case.name}.png"
        for file in (map_file, overlay_file):
            file.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(map_file, heatmap, photometric="minisblack")
        overlay_file.write_bytes(images.png(images.overlay(_source_picture(case), heatmap, maps.scale)))

    with ThreadPoolExecutor() as pool:
        for _ in track(pool.map(write, range(len(findings))), "writing maps", len(findings)):
            pass


def _source_picture(case: Case) -> np.ndarray:
    """The file's own pixels as they are shown, ``(H, W, 3)`` uint8."""
    pixels = np.atleast_3d(case.pixels) if case.pixels is not None else read_image(case.path)  # type: ignore[arg-type]
    low, high = (0.0, 255.0) if pixels.dtype == np.uint8 else np.percentile(pixels, (0.5, 99.5))
    return images.display(pixels, float(low), float(high))


def load_findings(folder: Path) -> Findings:
    """Read a folder of findings.

    Raises:
        DataError: If a file is missing or is not what ``save_findings`` writes.
    """
    import pandas as pd

    for name in (SCORES_FILE, FINDINGS_FILE):
        if not (folder / name).is_file():
            raise DataError(f"{folder}: has no {name}; give a folder that 'sanoscope score' wrote")
    try:
        stored = json.loads((folder / FINDINGS_FILE).read_text())
        # All as text: a patient may be called NA, and numbers shall come back to the last bit.
        table = pd.read_csv(folder / SCORES_FILE, dtype=str, keep_default_na=False, encoding_errors=ANY_NAME)
        cases = Cases(_cases(table), stored["source"], stored["layout"])
        scores = {
            column.removeprefix(SCORE_PREFIX): table[column].to_numpy(str).astype(np.float64)
            for column in table.columns
            if column.startswith(SCORE_PREFIX)
        }
        decisions = {name: Decision.from_json(stored["decisions"][name]) for name in scores}
        if stored["score"] not in scores:
            raise KeyError(f"{SCORE_PREFIX}{stored['score']}")
        return Findings(
            cases=cases,
            score_name=stored["score"],
            scores=scores,
            trivial=stored["trivial"],
            decisions=decisions,
            calibration=np.asarray(stored["calibration"]),
            seen_in_training=(table["seen_in_training"] == "1").to_numpy(bool),
            shown=dict(_read_shown(folder / "gallery")),
            unreadable=[(entry["path"], entry["reason"]) for entry in stored["unreadable"]],
            recipe=stored["recipe"],
            history=stored["history"],
            provenance=stored["provenance"],
            notes=stored["notes"],
        )
    except (ValueError, KeyError, TypeError, ImageError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{folder}: is not a folder that 'sanoscope score' wrote ({reason})") from error


def _cases(table: Any) -> Iterator[Case]:
    for row in table.itertuples():
        yield Case(
            name=row.name,
            path=Path(row.path) if row.path else None,
            label=int(row.label) if row.label else None,
            group=row.group or None,
            subject=row.subject or None,
            split=row.split or None,
        )


def _read_shown(folder: Path) -> Iterator[tuple[int, Shown]]:
    for file in sorted(folder.glob("*-image.png")):
        index = int(file.name.split("-")[0])
        kinds = ("image", "reconstruction", "overlay")
        yield index, Shown(*(read_image(folder / f"{index}-{kind}.png") for kind in kinds))
