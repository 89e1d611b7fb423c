"""What the groups of whole collections are: folders that ``sanoscope cluster`` wrote, side by side.

    python studies/subtypes_groups.py mean-colour=FOLDER NAME=FOLDER ...

The first is what the others are compared with.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
from common import RESULTS, write
from sklearn.metrics import adjusted_rand_score


def group(folder: Path, reference: pd.DataFrame) -> dict[str, Any]:
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
        "adjusted rand": {
            "labels": adjusted_rand_score(reference.label, clusters),
            "subjects": adjusted_rand_score(reference.subject, clusters),
            "reference": adjusted_rand_score(reference.cluster, clusters),
        },
    }


def main() -> None:
    """Compare the folders and write docs/results/subtypes-groups.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER")
    named = dict(one.split("=", 1) for one in parser.parse_args().folders)
    reference = pd.read_csv(Path(next(iter(named.values()))) / "assignments.csv")
    found = {name: group(Path(folder), reference) for name, folder in named.items()}
    write(RESULTS / "subtypes-groups.json", found)


if __name__ == "__main__":
    main()
