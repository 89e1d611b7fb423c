"""What the studies share: where results go, how they are written, and what every run's file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope import Cases, Detector, Findings, Recipe

RESULTS = Path(__file__).parent.parent / "docs" / "results"
# Files of the feature networks, in torchvision's naming, that the studies' machine has.
WEIGHTS = {
    "vgg11_bn": "vgg11_bn_imagenet_features0_13_torchvision.pth",
    "squeezenet1_1": "squeezenet1_1_torchvision_rgbnorm_half.pth",
    "resnet18": "resnet18_imagenet_conv1_to_layer3_bnfolded_torchvision.pth",
}
# Rows of epochs that the page's curves need at most.
CURVE_POINTS = 40


def with_weights(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the file of its feature network's weights, where it has one."""
    if "network.features" not in recipe.options:
        return recipe
    return recipe.with_options({"network.weights": str(folder / WEIGHTS[recipe["network.features"]])})


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


def brief_history(detector: Detector) -> list[dict[str, float]]:
    """Some evenly chosen epochs of the training, the first and the last among them."""
    history = detector.history_
    if not history:
        return []
    chosen = np.unique(np.linspace(0, len(history) - 1, CURVE_POINTS).astype(int))
    return [history[int(row)] for row in chosen]


def test_scores(findings: Findings) -> dict[str, list[float]]:
    """The deciding scores of normal and abnormal images, for histograms."""
    labels = np.array([case.label for case in findings.cases])
    return {
        kind: [round(float(value), 5) for value in findings.score[labels == label]]
        for label, kind in enumerate(("normal", "abnormal"))
    }


def validation_side(detector: Detector) -> float | None:
    """AUROC on the validation side, where it has both labels: what a choice of settings would see."""
    from sklearn.metrics import roc_auc_score

    calibration = detector.calibration_
    scores, labels = calibration.scores[detector.recipe["scoring.score"]], calibration.labels == 1
    return float(roc_auc_score(labels, scores)) if 0 < labels.sum() < len(labels) else None
