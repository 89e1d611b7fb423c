"""What the groups of whole collections are: folders that ``sanoscope cluster`` wrote, side by side.

    python studies/subtypes_groups.py DATA mean-colour=FOLDER NAME=FOLDER ...

The first folder is what the others are compared with. Beside the groups stands how often the images nearest to a patch,
among those of other patients, have its label.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, write
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from sanoscope.cases import read_cases
from sanoscope.cases.case import LABELS, Cases
from sanoscope.clustering.components import narrowed
from sanoscope.subtypes.run import fitted_encoder

# Nearest images that are looked at.
NEIGHBOURS = 10


def neighbours(folder: Path, cases: Cases) -> dict[str, float]:
    """The share of the nearest images of other patients with the label of a patch, for each label."""
    encoder, _ = fitted_encoder(folder)
    pictures, latents = encoder.encode(cases)
    latents = narrowed(latents, seed=0)
    subjects, labels = np.array(pictures.cases.subjects), np.array(pictures.cases.labels)
    same = np.empty(len(labels))
    for subject in np.unique(subjects):
        own = subjects == subject
        found = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(latents[~own]).kneighbors(latents[own])[1]
        same[own] = (labels[~own][found] == labels[own][:, None]).mean(1)
    return {LABELS[label]: float(same[labels == label].mean()) for label in (0, 1)}


def group(folder: Path, reference: pd.DataFrame, cases: Cases) -> dict[str, Any]:
    """Sizes and classes of the clusters in a folder, and what they agree with."""
    stored = json.loads((folder / "clusters.json").read_text())
    table = pd.read_csv(folder / "assignments.csv").set_index("name").loc[reference.name]
    clusters = table.cluster.to_numpy()
    return {
        "options": stored["recipe"].get("options", {}),
        "sizes": stored["sizes"],
        "abnormal": table.groupby("cluster").label.mean().round(4).tolist(),
        "silhouette": stored["silhouette"],
        "choice": stored["choice"],
        "neighbours": neighbours(folder, cases),
        "adjusted rand": {
            "labels": adjusted_rand_score(reference.label, clusters),
            "subjects": adjusted_rand_score(reference.subject, clusters),
            "reference": adjusted_rand_score(reference.cluster, clusters),
        },
    }


def main() -> None:
    """Compare the folders and write docs/results/subtypes-groups.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with idc/")
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER")
    given = parser.parse_args()
    cases = read_cases(given.data / "idc")
    named = dict(one.split("=", 1) for one in given.folders)
    reference = pd.read_csv(Path(next(iter(named.values()))) / "assignments.csv")
    found = {name: group(Path(folder), reference, cases) for name, folder in named.items()}
    write(RESULTS / "subtypes-groups.json", found)


if __name__ == "__main__":
    main()
