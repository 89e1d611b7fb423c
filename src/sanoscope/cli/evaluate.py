"""``sanoscope evaluate``: how good scores are, where labels are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sanoscope.cli.options import SeedOption, VerboseOption


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that 'sanoscope score' wrote.")],
    subject: Annotated[
        list[str] | None, typer.Option("--subject", help="Only this subject; may be given many times.")
    ] = None,
    balanced: Annotated[
        bool, typer.Option("--balanced", help="As many normal as abnormal images, the surplus dropped at random.")
    ] = False,
    resamples: Annotated[int, typer.Option("--resamples", min=1, help="Bootstrap resamples for intervals.")] = 1000,
    ensemble: Annotated[
        float,
        typer.Option(
            "--ensemble",
            min=0,
            max=0.9,
            help="Share of the subjects whose masks an ensemble of maps is fitted on; the others are evaluated.",
        ),
    ] = 0.0,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            "--beside",
            metavar="DIR",
            help="Findings of another model on the same images, to show the maps of both; may be given many times.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for metrics.json and report.html; DIR, or one inside it.")
    ] = None,
    seed: SeedOption = 0,
    verbose: VerboseOption = False,
) -> None:
    """Metrics with intervals, per image, subject and pixel, beside the trivial rows."""
    import json
    from dataclasses import replace

    from sanoscope.cli.tables import print_results
    from sanoscope.errors import DataError
    from sanoscope.findings import Findings
    from sanoscope.report.html import write_report
    from sanoscope.side_by_side import compare_folders

    findings = Findings.load(folder)
    if not findings.has_labels:
        raise DataError(f"{folder}: no scored image has a label, so there is nothing to evaluate against")
    name = []
    if subject:
        findings = findings.of_subjects(subject)
        name.append("subject-" + "-".join(subject))
    if balanced:
        findings = findings.balanced(seed)
        name.append("balanced")
    if ensemble:
        findings, everything = findings.with_ensemble(ensemble, seed)
        name.append(f"ensemble-{ensemble:g}")
    side_by_side = compare_folders(findings, folder, beside) if beside else None
    target = out or (folder / "-".join(name) if name else folder)
    target.mkdir(parents=True, exist_ok=True)
    content = replace(findings.content(resamples=resamples, seed=seed), side_by_side=side_by_side)
    if ensemble:
        compared, _ = everything.pixel_tables(resamples=resamples, seed=seed)
        others = {
            f"{title}, with the subjects that the ensemble was fitted on": rows for title, rows in compared.items()
        }
        content = replace(content, pixel_rows={**content.pixel_rows, **others})
    print_results(content, subjects=True)
    metrics = {
        "images": [row.to_json() for row in content.rows],
        "subjects": {title: [row.to_json() for row in rows] for title, rows in content.subject_rows.items()},
        "pixels": {title: [row.to_json() for row in rows] for title, rows in content.pixel_rows.items()},
        "decision": dict(content.decision),
        "recipe": dict(content.recipe),
        "provenance": dict(content.provenance),
        "notes": list(content.notes),
    }
    (target / "metrics.json").write_text(json.dumps(metrics, indent=1))
    typer.echo(f"report: {write_report(content, target / 'report.html')}")
