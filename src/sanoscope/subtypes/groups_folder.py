"""Groups as a folder of files: the assignments, the clusters to assign other images to, and a page to look at."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sanoscope.clustering.clusterer import Clustering, ClusterSettings
from sanoscope.errors import DataError, ModelError
from sanoscope.report.clusters_content import ClustersContent
from sanoscope.report.clusters_page import render_clusters
from sanoscope.report.html import write_page
from sanoscope.subtypes.groups import Groups

ASSIGNMENTS_FILE, CLUSTERS_FILE, CENTRES_FILE = "assignments.csv", "clusters.json", "clusters.safetensors"
PAGE_FILE = "report.html"


def write_assignments(groups: Groups, folder: Path, content: ClustersContent | None = None) -> Path:
    """Write the table of cases; with points for plots where there are any."""
    folder.mkdir(parents=True, exist_ok=True)
    table = groups.table(content.projections if content else ())
    # Quoted, so that whatever is in a name stays in its cell.
    table.to_csv(folder / ASSIGNMENTS_FILE, index=False, errors="surrogateescape", quoting=csv.QUOTE_NONNUMERIC)
    return folder / ASSIGNMENTS_FILE


def write_groups(groups: Groups, content: ClustersContent, encoder: Mapping[str, Any], folder: Path) -> Path:
    """Write everything; the table first, so that whatever happens later the assignments are kept.

    Args:
        groups: The cases in their clusters.
        content: Of the page.
        encoder: What makes the latents, as ``encoder_record.record_of`` gives it.
        folder: Made where it is missing.

    Returns:
        The path of the page.
    """
    from safetensors.numpy import save_file

    write_assignments(groups, folder, content)
    save_file(groups.clustering.to_arrays(), folder / CENTRES_FILE)
    (folder / CLUSTERS_FILE).write_text(json.dumps(_as_json(groups, content, encoder), indent=1))
    return write_page(render_clusters(content), folder / PAGE_FILE)


def clusters_of(folder: Path) -> tuple[Clustering, Mapping[str, Any]]:
    """The clusters that a folder holds, and the record of what makes the latents.

    Raises:
        DataError: If it is no such folder.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        stored = json.loads((folder / CLUSTERS_FILE).read_text())
        settings = ClusterSettings.from_json(stored["settings"])
        return Clustering.from_arrays(settings, load_file(folder / CENTRES_FILE)), dict(stored["encoder"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, ModelError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{folder}: is not a folder that 'sanoscope cluster' wrote ({reason})") from error


def _as_json(groups: Groups, content: ClustersContent, encoder: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "encoder": dict(encoder),
        "settings": groups.clustering.settings.to_json(),
        "seed": groups.seed,
        "sizes": [card.size for card in content.clusters],
        "classes": [dict(card.classes) for card in content.clusters],
        "match": groups.match() if groups.has_classes else None,
        "match with subjects": groups.match_with_subjects(),
        "silhouette": groups.silhouette,
        "choice": asdict(content.choice) if content.choice else None,
        "tables": [asdict(table) for table in content.tables],
        "recipe": dict(content.recipe),
        "facts": dict(content.facts),
        "notes": list(content.notes),
        "unreadable": [{"path": path, "reason": reason} for path, reason in content.unreadable],
    }
