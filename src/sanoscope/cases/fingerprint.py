"""A short description of a collection and its split, to tell later whether two results saw the same data."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from sanoscope.cases.case import LABELS, Cases


def fingerprint(cases: Cases) -> dict[str, Any]:
    """What a report says of its data, fit for JSON.

    Returns:
        ``images`` and ``subjects`` (how many), ``labels`` (how many of each), ``splits`` (the same for each
        side), ``layout``, ``notes``, and ``sha256`` of the sorted names with their side and label. The digest
        depends neither on order nor on where the files lie.
    """
    lines = sorted(f"{case.name}\t{case.split}\t{case.label}" for case in cases)
    splits: dict[str, Counter[str]] = {}
    for case in cases:
        splits.setdefault(case.split or "none", Counter())[LABELS[case.label]] += 1
    return {
        "images": len(cases),
        "subjects": len({subject for subject in cases.subjects if subject is not None}),
        "labels": dict(Counter(LABELS[label] for label in cases.labels)),
        "splits": {split: dict(labels) for split, labels in splits.items()},
        "layout": cases.layout,
        "notes": list(cases.notes),
        "sha256": hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest(),
    }
