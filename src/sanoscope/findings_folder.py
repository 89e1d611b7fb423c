"""Findings as a folder of files that other programs can read."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.cases.readers import read_image
from sanoscope.cases.table import cases_of_table
from sanoscope.console import say
from sanoscope.decision import Decision
from sanoscope.errors import DataError, ImageError
from sanoscope.findings import Findings
from sanoscope.gallery import LABELLED, Shown
from sanoscope.heatmaps_folder import load_heatmaps, save_heatmaps
from sanoscope.map_files.writing import Judged, Wanted, write_maps
from sanoscope.report.content import ReportContent
from sanoscope.report.html import write_report
from sanoscope.report.images import write_png
from sanoscope.report.map_figure import write_map_figure

SCORES_FILE, FINDINGS_FILE, REPORT_FILE = "scores.csv", "findings.json", "report.html"
FIGURE_FILE = "maps.png"
SCORE_PREFIX = "score: "
# Pictures of a case in the gallery, by their names in ``Shown``, and the folder of the montages of volumes and slides.
SHOWN, MONTAGES = ("image", "reconstruction", "overlay", "truth"), "montages"
# File names need not be text; the bytes that are none come back as they were.
ANY_NAME: Final = "surrogateescape"


def save_findings(
    findings: Findings,
    folder: Path,
    content: ReportContent,
    *,
    dicom: bool = False,
    geojson: bool = False,
    identified: bool = False,
) -> Path:
    """Write everything; the table first, so that whatever happens later the scores are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    write_data(findings, folder)
    for index, shown in findings.shown.items():
        _write_shown(folder / "gallery", index, shown)
    for number, (name, sheet) in enumerate(findings.montages.items()):
        write_png(folder / MONTAGES / f"{number:02d}-{Path(name).name}.png", sheet)
    if labelled := content.gallery.get(LABELLED):
        write_map_figure(labelled, content.map_name, folder / "gallery" / FIGURE_FILE)
    if findings.maps is not None:
        if findings.has_truth:  # so that 'sanoscope evaluate' can compare every map with the masks
            save_heatmaps(findings.maps, folder)
        judged = Judged(
            findings.cases,
            findings.maps,
            findings.score,
            findings.abnormal,
            score_range=findings.score_range,
            recipe=str(findings.recipe.get("name", "")),
        )
        for reason in write_maps(judged, folder, Wanted(dicom, geojson, identified)):
            say(f"not written: {reason}")
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
        "map_base": findings.maps.range_of()[0] if findings.maps else None,
        "map_scale": findings.maps.scale if findings.maps else None,
        "montages": list(findings.montages),
        "unreadable": [{"path": path, "reason": reason} for path, reason in findings.unreadable],
        "recipe": findings.recipe,
        "history": findings.history,
        "provenance": findings.provenance,
        "notes": list(findings.notes),
    }


def _write_shown(folder: Path, index: int, shown: Shown) -> None:
    for kind in SHOWN:
        if (pixels := getattr(shown, kind)) is not None:
            write_png(folder / f"{index}-{kind}.png", pixels)
    for name, pixels in shown.others.items():
        write_png(folder / f"{index}-map {name}.png", pixels)


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
        cases = Cases(cases_of_table(table), stored["source"], stored["layout"])
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
            maps=load_heatmaps(folder, len(table)),
            shown=dict(_read_shown(folder / "gallery")),
            montages=dict(_read_montages(folder / MONTAGES, stored["montages"])),
            unreadable=[(entry["path"], entry["reason"]) for entry in stored["unreadable"]],
            recipe=stored["recipe"],
            history=stored["history"],
            provenance=stored["provenance"],
            notes=stored["notes"],
        )
    except (ValueError, KeyError, TypeError, ImageError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{folder}: is not a folder that 'sanoscope score' wrote ({reason})") from error


def _read_shown(folder: Path) -> Iterator[tuple[int, Shown]]:
    for file in sorted(folder.glob("*-image.png")):
        index = int(file.name.split("-")[0])
        pictures = {
            kind: read_image(picture) for kind in SHOWN if (picture := folder / f"{index}-{kind}.png").is_file()
        }
        start = f"{index}-map "
        others = {other.stem.removeprefix(start): read_image(other) for other in sorted(folder.glob(f"{start}*.png"))}
        yield index, Shown(**pictures, others=others)


def _read_montages(folder: Path, names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    for number, name in enumerate(names):
        yield name, read_image(folder / f"{number:02d}-{Path(name).name}.png")
