"""The deep perceptual autoencoder and its ablations: every run that docs/results.md reports.

    python studies/perceptual.py DATA WEIGHTS [--work FOLDER] [--only NAME]

DATA is a folder with the collections ``pneumoniamnist``, ``chest_xray`` and ``cifar10``, WEIGHTS one with the files of
the feature networks. Each run is written to docs/results/ when it is done, and a run that is there is not repeated; an
interrupted training goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, WEIGHTS, brief_history, circumstances, sides, test_scores, validation_side, write
from perceptual_runs import COLLECTIONS, SEARCHES, Run, runs

from sanoscope import Detector, Findings, load_cases
from sanoscope.console import say
from sanoscope.networks.perceptual_autoencoder import PerceptualAutoencoder

RECIPE = "deep-perceptual-autoencoder"
# Images whose features are taken at a time.
BATCH = 64


def main() -> None:
    """Do what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs"), help="folder for models and findings")
    parser.add_argument("--only", default="", help="only runs whose name contains this")
    arguments = parser.parse_args()
    for run in runs():
        file = RESULTS / f"{run.name}.json"
        if arguments.only in run.name and not file.exists():
            say(f"== {run.name}")
            write(file, carry_out(run, arguments.data, arguments.weights, arguments.work / run.name))
        parts = RESULTS / f"perceptual-parts-{run.collection}.json"
        model = arguments.work / run.name / "model"
        if (
            arguments.only in run.name
            and run.row == "plain"
            and run.seed == 0
            and model.exists()
            and not parts.exists()
        ):
            write(parts, parts_of_score(run, arguments.data, model))


def carry_out(run: Run, data: Path, weights: Path, work: Path) -> dict[str, Any]:
    """Fit, score and evaluate one run."""
    collection = COLLECTIONS[run.collection]
    cases = load_cases(data / collection.folder, normal=collection.normal)
    file = weights / WEIGHTS[run.options["network.features"]]
    detector = Detector(RECIPE, {**run.options, "network.weights": str(file)}, seed=run.seed)
    detector.fit(cases, folder=work / "training", resume=True)
    detector.save(work / "model")
    findings = detector.score(cases.test, maps=False)
    content = {
        "row": run.row,
        "recipe": RECIPE,
        "changed": dict(run.options),
        "collection": run.collection,
        "seed": run.seed,
        "sides": sides(cases),
        "rows": [row.to_json() for row in findings.evaluate()],
        "scores": test_scores(findings),
        "validation": {"auroc": validation_side(detector), "loss": float(detector.history_[-1]["validation/loss"])},
        **circumstances(detector),
        "history": brief_history(detector),
    }
    if unknown := _without_known_kinds(run, findings):
        content["rows of unknown kinds"] = [row.to_json() for row in unknown.evaluate()]
    return content


def parts_of_score(run: Run, data: Path, model: Path) -> dict[str, float]:
    """AUROC on the test side of what the score is a ratio of.

    That is the difference of the features, and, turned round, the size of the image's own, which no training changes.
    """
    from sklearn.metrics import roc_auc_score

    collection = COLLECTIONS[run.collection]
    cases = load_cases(data / collection.folder, normal=collection.normal).test
    detector = Detector.load(model)
    network = detector.network_
    assert isinstance(network, PerceptualAutoencoder)
    differences, sizes = [], []
    batches = (torch.from_numpy(array).split(BATCH) for array in detector.reconstruct(cases))
    for images, reconstructions in zip(*batches, strict=True):
        with torch.inference_mode():
            (features,), (others,) = (network.perceptual(one).values() for one in (images, reconstructions))
        differences.append((features - others).abs().flatten(1).mean(1))
        sizes.append(features.abs().flatten(1).mean(1))
    labels = [case.label for case in cases]
    difference, size = (torch.cat(values).numpy() for values in (differences, sizes))
    return {
        "ratio": float(roc_auc_score(labels, difference / size)),
        "difference": float(roc_auc_score(labels, difference)),
        "small size": float(roc_auc_score(labels, -size)),
    }


def _without_known_kinds(run: Run, findings: Findings) -> Findings | None:
    """Without the kinds of anomalies that the collection's search knows; None where these have no names."""
    kinds = SEARCHES[run.collection].known_kinds if run.collection in SEARCHES else ()
    if not kinds:
        return None
    kept = [index for index, case in enumerate(findings.cases) if case.group not in kinds]
    return findings.subset(kept, f"without the known kinds ({', '.join(kinds)})")


if __name__ == "__main__":
    main()
