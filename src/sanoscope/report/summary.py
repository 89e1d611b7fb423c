"""What a report says in words and single numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sanoscope.evaluation import METRIC_LABELS, Estimate, PixelRow, ResultRow, pixel_table_notes, table_notes
from sanoscope.report.content import ReportContent

STANDING_NOTE = "Research use only; not a medical device."


@dataclass(frozen=True)
class Tile:
    """One key number.

    Attributes:
        label: What it is.
        value: The number as text.
        details: What it must be read with: its interval, or of how many.
    """

    label: str
    value: str
    details: list[str]


def method_row(rows: Sequence[ResultRow]) -> ResultRow | None:
    """The row of the method itself; None without labels."""
    return next((row for row in rows if row.kind == "method"), None)


def called_abnormal(content: ReportContent) -> int:
    """How many of the scored images the decision calls abnormal."""
    return int((content.scores > content.decision["threshold"]).sum())


def count(number: int, thing: str) -> str:
    """A number with its noun: ``"1 image"``, ``"2,233 images"``."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def interval(estimate: Estimate) -> str:
    """``"0.65–0.77"``, or nothing where there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.2f}–{estimate.high:.2f}"


def verdict(content: ReportContent) -> str:
    """The result in one sentence."""
    if not content.scores.size:
        return "No image was scored."
    sentence = f"{called_abnormal(content):,} of {count(len(content.scores), 'image')} called abnormal"
    method = method_row(content.rows)
    if method is None:
        return f"{sentence}; no labels to judge it by."
    evaluation = method.evaluation
    labelled = count(evaluation.n_images, "labelled image")
    subjects = f" of {count(evaluation.n_subjects, 'subject')}" if evaluation.n_subjects else ""
    auroc = evaluation.estimates["auroc"]
    if auroc.value is None:
        kind = "abnormal" if evaluation.n_abnormal else "normal"
        return f"{sentence}; only {kind} ones among {labelled}{subjects}."
    bounds = "" if auroc.low is None else f" [{auroc.low:.2f}, {auroc.high:.2f}]"
    return f"{sentence}; AUROC {auroc.value:.2f}{bounds} on {labelled}{subjects}."


def tiles(content: ReportContent) -> list[Tile]:
    """The numbers to see first."""
    images, called = len(content.scores), called_abnormal(content)
    share = [f"{called / images:.1%}", f"of {count(images, 'image')}"] if images else ["no image was scored"]
    threshold = Tile("Threshold", f"{content.decision['threshold']:.4g}", [f"of {content.score_name}"])
    chosen = [Tile("Called abnormal", f"{called:,}", share)]
    method = method_row(content.rows)
    if method is None:
        held_out = f"{len(content.calibration_scores):,}"
        return [*chosen, threshold, Tile("Validation normals", held_out, ["p-values compare with them"])]
    for metric in ("auroc", "average_precision", "sensitivity", "specificity"):
        estimate = method.evaluation.estimates.get(metric, Estimate(None, reason="no decisions"))
        if estimate.value is None:
            chosen.append(Tile(METRIC_LABELS[metric], "–", [estimate.reason or ""]))
            continue
        details = [f"interval {interval(estimate)}"] if estimate.low is not None else []
        if metric == "average_precision":
            details.append(f"prevalence {method.evaluation.estimates['prevalence'].value:.2f}")
        chosen.append(Tile(METRIC_LABELS[metric], f"{estimate.value:.3f}", details))
    return [*chosen, threshold]


def notes(content: ReportContent) -> list[str]:
    """What a reader must know, each thing once: standing first, then what the numbers themselves warn of."""
    method = method_row(content.rows)
    unreadable = len(content.unreadable)
    lines = [
        STANDING_NOTE,
        *(_warnings(content.rows, method) if method else ()),
        *pixel_warnings(content),
        *([f"Without a score, as not readable: {count(unreadable, 'file')}."] if unreadable else ()),
        *content.notes,
        *table_notes(content.rows),
    ]
    return list(dict.fromkeys(lines))


def training_length(content: ReportContent) -> str:
    """How many epochs, and how long they took."""
    minutes = sum(row.get("seconds", 0) for row in content.history) / 60
    return f"{count(len(content.history), 'epoch')} in {minutes:.1f} minutes."


def pixel_warnings(content: ReportContent) -> list[str]:
    """What the tables of pixels show against the map: a trivial one that is as good."""
    lines = []
    for title, rows in content.pixel_rows.items():
        values = {row.name: row.evaluation.estimates["average_precision"].value or 0.0 for row in rows}
        method = next((row.name for row in rows if row.kind == "method"), None)
        trivial = [row.name for row in rows if row.kind == "trivial"]
        if method is None or not trivial:
            continue
        best = max(trivial, key=lambda name: values[name])
        if values[best] >= values[method] > 0:
            lines.append(
                f"A trivial map is as good ({title.lower()}): “{best}”, without any model, has average precision "
                f"{values[best]:.3f}; the method's map has {values[method]:.3f}."
            )
    return lines


def missing_metrics(row: ResultRow) -> list[str]:
    """Which metrics have no value and why, as in ``"Not computed (needs both classes): AUROC."``."""
    by_reason: dict[str, list[str]] = {}
    for metric, estimate in row.evaluation.estimates.items():
        if estimate.value is None and estimate.reason:
            by_reason.setdefault(estimate.reason, []).append(METRIC_LABELS[metric])
    return [f"Not computed ({reason}): {', '.join(labels)}." for reason, labels in by_reason.items()]


def comparison(rows: Sequence[ResultRow], metric: str) -> str:
    """The method's estimate of a metric and the trivial rows' beside it, as the caption of its curve."""
    method = method_row(rows)
    if method is None or (estimate := method.evaluation.estimates[metric]).value is None:
        return ""
    bounds = interval(estimate)
    confidence = f" ({method.evaluation.confidence:.0%} interval {bounds})" if bounds else ""
    own = f"{METRIC_LABELS[metric]} {estimate.value:.3f}{confidence}. "
    trivial = [
        f"{row.name} {value:.3f}"
        for row in rows
        if row.kind == "trivial" and (value := row.evaluation.estimates[metric].value) is not None
    ]
    return own + (f"Without a model: {', '.join(trivial)}." if trivial else "")


def pixel_facts(rows: Sequence[PixelRow]) -> str:
    """What a table of pixel metrics rests on, in sentences."""
    evaluation = rows[0].evaluation
    of = f" of {count(evaluation.n_subjects, 'subject')}" if evaluation.n_subjects else ""
    where = " of the foreground" if evaluation.foreground_only else ""
    sentences = [
        f"{count(evaluation.n_pixels, 'pixel')}{where} in {evaluation.n_images:,} images or volumes{of}, with "
        f"{evaluation.n_normal_images:,} images or slices without an abnormal pixel; "
        f"{evaluation.n_abnormal_pixels / evaluation.n_pixels:.2%} of the pixels are abnormal, in "
        f"{count(evaluation.n_lesions, 'lesion')}.",
        "What is called oracle used the labels of these very images and promises too much.",
    ]
    if evaluation.resamples:
        sentences.append(f"Intervals: {evaluation.confidence:.0%} of {evaluation.resamples:,} resamples of subjects.")
    return " ".join([*sentences, *(f"{note[0].upper()}{note[1:]}." for note in pixel_table_notes(rows))])


def decision_facts(content: ReportContent) -> list[tuple[str, str]]:
    """The decision as pairs of a heading and a sentence."""
    decision, fitted_on = content.decision, content.decision["fitted_on"]
    target = decision["target_false_positive_rate"]
    rule = {
        "youden": "Youden’s J: the cut with the largest true-positive rate minus false-positive rate",
        "quantile": f"quantile of normal images, for a false-positive rate of {target or 0:.1%}",
    }
    images = f"{count(fitted_on['normal'], 'normal image')}, {count(fitted_on['abnormal'], 'abnormal image')}"
    facts = [
        ("Abnormal means", f"{content.score_name} above {decision['threshold']:.6g}"),
        ("Rule", rule.get(decision["rule"], decision["rule"])),
        ("Fitted on", f"{images}; {fitted_on['description']}"),
    ]
    normals = content.scores[np.asarray(content.labels) == 0]
    if target is not None and normals.size:
        share = (normals > decision["threshold"]).mean()
        facts.append(("False positives here", f"{share:.1%} of {count(normals.size, 'labelled normal image')}"))
    return facts + ([("Note", fitted_on["note"])] if "note" in fitted_on else [])


def options_by_part(content: ReportContent) -> dict[str, list[tuple[str, Any, bool]]]:
    """The recipe's options under the part they belong to: short name, value, whether it was changed."""
    parts: dict[str, list[tuple[str, Any, bool]]] = {}
    for name, value in content.recipe["options"].items():
        part, _, option = name.rpartition(".")
        parts.setdefault(part, []).append((option, value, name in content.changed))
    return parts


def confusion(content: ReportContent) -> list[tuple[str, list[tuple[str, int, float]]]]:
    """The confusion matrix, a row for each class there is: truth, then decision, count, share of the row."""
    called = content.scores > content.decision["threshold"]
    rows = []
    for label, truth in enumerate(("normal", "abnormal")):
        of_class = called[np.asarray(content.labels) == label]
        if of_class.size:
            counts = {"normal": int((~of_class).sum()), "abnormal": int(of_class.sum())}
            rows.append((truth, [(decision, n, n / of_class.size) for decision, n in counts.items()]))
    return rows


def _warnings(rows: Sequence[ResultRow], method: ResultRow) -> list[str]:
    """What the results table shows against the method."""
    auroc = method.evaluation.estimates["auroc"]
    if auroc.value is None:
        return missing_metrics(method)
    lines = []
    trivial = [row for row in rows if row.kind == "trivial"]
    best = max(trivial, key=lambda row: row.evaluation.estimates["auroc"].value or 0, default=None)
    if best and (value := best.evaluation.estimates["auroc"].value or 0) >= auroc.value:
        lines.append(
            f"A trivial score is as good: “{best.name}”, without any model, has AUROC {value:.3f}; "
            f"the method has {auroc.value:.3f}."
        )
    if auroc.low is not None and auroc.low <= 0.5:
        lines.append("The interval of the AUROC includes 0.5: on this data the method may be no better than chance.")
    return lines
