"""The five VAEs of Sikdar et al. on real patches: every run that docs/results.md reports.

    python studies/histopathology.py DATA [--work FOLDER] [--only NAME]

DATA is a folder with the collections ``idc`` and ``pneumoniamnist``. Each run is written to docs/results/ when it is
done, and a run that is there is not repeated; an interrupted training goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, circumstances, sides, write

from sanoscope import Detector, Findings, load_cases
from sanoscope.console import say


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    Attributes:
        row: Name of the row in the table.
        recipe: Its recipe.
        options: What differs from the recipe's defaults, the budget among it.
        collection: Folder of the data.
        split: None for the collection's own sides, by subject where subjects are known; or ``image``.
        seed: Of split and training.
    """

    row: str
    recipe: str
    options: dict[str, Any] = field(default_factory=dict)
    collection: str = "idc"
    split: str | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.collection}-{self.split or 'subject'}-{self.row}-seed{self.seed}"


# Twenty passes over the training normals, twelve for the large ResNets, where the released code makes 50 to 85: what
# two cores do in minutes. ImageNet weights of ResNet-34 are not at hand where this runs, so its encoder starts from
# random ones.
_BUDGET = {"training.epochs": 20}
_RANDOM = {"training.epochs": 12, "network.pretrained": False}
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "conv-vae": ("conv-vae", _BUDGET),
    "fc-vae": ("fc-vae", _BUDGET),
    "resnet34-vae": ("resnet34-vae", _RANDOM),
    "resnet34-vae-frozen": ("resnet34-vae", {**_RANDOM, "network.frozen": True}),
    "attention-conv-vae": ("attention-conv-vae", _BUDGET),
    "fc-vae-tanh": ("fc-vae", {**_BUDGET, "network.output": "tanh"}),
    "conv-vae-50-epochs": ("conv-vae", {"training.epochs": 50}),
}
SEEDS = {"conv-vae": (0, 1, 2)}

RUNS = [
    Run(row, recipe, options, split=split, seed=seed)
    for row, (recipe, options) in ROWS.items()
    for split in (None, "image")
    for seed in SEEDS.get(row, (0,))
]
RUNS += [Run("conv-vae", "conv-vae", {"training.epochs": 50}, "pneumoniamnist", None, seed) for seed in (0, 1, 2)]


def main() -> None:
    """Do what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs"), help="folder for models and findings")
    parser.add_argument("--only", help="only runs whose name contains this")
    arguments = parser.parse_args()
    for run in RUNS:
        file = RESULTS / f"{run.name}.json"
        if (arguments.only or "") in run.name and not file.exists():
            say(f"== {run.name}")
            write(file, carry_out(run, arguments.data, arguments.work / run.name))
        diagnosis = RESULTS / f"diagnosis-{run.name}.json"
        if (arguments.only or "") in run.name and run.recipe == "conv-vae" and not diagnosis.exists():
            write(diagnosis, diagnose(run, arguments.data, arguments.work / run.name / "model"))


def carry_out(run: Run, data: Path, work: Path) -> dict[str, Any]:
    """Fit, score and evaluate one run."""
    cases = load_cases(data / run.collection, split=run.split, seed=run.seed)
    detector = Detector(run.recipe, run.options, seed=run.seed)
    detector.fit(cases, folder=work / "training", resume=True)
    detector.save(work / "model")
    findings = detector.score(cases.test, maps=False)
    findings.save(work / "findings")
    return {
        "row": run.row,
        "recipe": run.recipe,
        "changed": run.options,
        "collection": run.collection,
        "split": run.split or "subject",
        "seed": run.seed,
        "sides": sides(cases),
        "evaluations": {name: _evaluation(part) for name, part in _parts(run, findings).items()},
        **circumstances(detector),
    }


def diagnose(run: Run, data: Path, model: Path) -> dict[str, Any]:
    """What the Wasserstein score reacts to: AUROC on the test side of brightness and contrast, lost and original.

    The distance between two histograms has two plain parts, a shift of the mean and a loss of spread.
    """
    from sklearn.metrics import roc_auc_score

    cases = load_cases(data / run.collection, split=run.split, seed=run.seed).test
    images, reconstructions = (array.reshape(len(cases), -1) for array in Detector.load(model).reconstruct(cases))
    labels = np.array(cases.labels)
    quantities = {
        "contrast": images.std(1),
        "contrast of the reconstruction": reconstructions.std(1),
        "lost contrast": images.std(1) - reconstructions.std(1),
        "shift of the mean": np.abs(images.mean(1) - reconstructions.mean(1)),
    }
    return {
        "run": run.name,
        "auroc": {name: float(roc_auc_score(labels, values)) for name, values in quantities.items()},
        "means": {
            name: {kind: float(values[labels == label].mean()) for label, kind in enumerate(("normal", "abnormal"))}
            for name, values in quantities.items()
        },
    }


def _parts(run: Run, findings: Findings) -> dict[str, Findings]:
    """What is evaluated: the whole test side, its balanced version as in the paper, and single patients."""
    parts = {"test": findings, "balanced": findings.balanced(run.seed)}
    if run.collection == "idc":
        parts["8863"] = findings.of_subjects(["8863"])
    return parts


def _evaluation(findings: Findings) -> dict[str, Any]:
    """Results, and both terms of the bound as per-image means of per-image sums, as the paper prints them."""
    beta, kl = findings.recipe["options"]["objective.beta"], findings.scores["kl"]
    return {
        "rows": [row.to_json() for row in findings.evaluate()],
        "reconstruction": float((findings.scores["elbo"] - beta * kl).mean()),
        "kl": float(kl.mean()),
        "decision": findings.decision.to_json(),
    }


if __name__ == "__main__":
    main()
