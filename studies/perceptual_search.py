"""Searches for settings of the deep perceptual autoencoder: those that docs/results.md reports.

    python studies/perceptual_search.py DATA WEIGHTS [--work FOLDER] [--only NAME]

Each is what ``sanoscope select`` does; it is kept in the work folder, and an interrupted one goes on. What it has found
is written to docs/results/, with the configurations that known anomalies and normals alone would choose, which
studies/perceptual.py then trains.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from common import WEIGHTS, write
from perceptual_runs import COLLECTIONS, SEARCHES, SPACE, choice_file, search_file

from sanoscope import get_recipe, load_cases
from sanoscope.console import say
from sanoscope.search_space import parse_space
from sanoscope.selection.ranking import fold_value
from sanoscope.selection.results import SearchResult, Trial
from sanoscope.selection.search import search
from sanoscope.selection.settings import SearchSettings
from sanoscope.selection.trials import PROCESS, counts


def main() -> None:
    """Do what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs"), help="folder of the searches")
    parser.add_argument("--only", default="", help="only collections whose name contains this")
    arguments = parser.parse_args()
    for name in SEARCHES:
        if arguments.only in name and not choice_file(name).exists():
            say(f"== {name}")
            found, choice = carry_out(name, arguments.data, arguments.weights, arguments.work / f"search-{name}")
            write(search_file(name), found)
            write(choice_file(name), choice)


def carry_out(name: str, data: Path, weights: Path, out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The search on one collection, as its page keeps it, and what was chosen."""
    wanted, collection = SEARCHES[name], COLLECTIONS[name]
    options = {
        "network.features": "vgg11_bn",
        "network.weights": str(weights / WEIGHTS["vgg11_bn"]),
        "preparation.image_size": 32,
        "training.max_iterations": wanted.iterations,
    }
    recipe = get_recipe("deep-perceptual-autoencoder").with_options(options)
    cases = load_cases(data / collection.folder, normal=collection.normal)
    settings = SearchSettings(trials=wanted.trials, folds=3, known=50, known_kinds=wanted.known_kinds, maps=False)
    outcome = search(recipe, cases, out, settings, space=parse_space(SPACE), fixed=options)
    assert outcome.detector is not None
    result = json.loads((out / "search.json").read_text())
    rows = [row.to_json() for row in outcome.findings.evaluate()] if outcome.findings else []
    # Paths of this machine say nothing elsewhere.
    for trial in result["trials"]:
        trial["options"].pop("network.weights", None)
    result["fitted"].pop("network.weights", None)
    result["data"] = name
    weak, unsupervised = outcome.result.ranked[0], least_loss(outcome.result)
    chosen = {"weak": _chosen(weak), "unsupervised": _chosen(unsupervised)}
    return _rounded(result), {"chosen": chosen, "rows": rows, "processes": _processes(out / "search.db")}


def _processes(file: Path) -> dict[str, Any]:
    """How many trials each process ended, in their order, and how many were taken up again from one that was killed."""
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{file}")
    ended = Counter(str(trial.user_attrs[PROCESS]) for trial in study.trials if counts(trial))
    return {"ended": list(ended.values()), "taken up again": sum(not counts(trial) for trial in study.trials)}


def least_loss(result: SearchResult) -> Trial:
    """The complete trial that normals alone would choose."""
    return min(result.ranked, key=lambda trial: sum(fold_value(fold, "validation-loss") for fold in trial.folds))


def _chosen(trial: Trial) -> dict[str, Any]:
    """What the search space has set in a trial."""
    searched = {
        option for dimension in parse_space(SPACE).items() for option in dimension[1].option_names(dimension[0])
    }
    return {"trial": trial.number, "options": {name: trial.options[name] for name in trial.options if name in searched}}


def _rounded(value: Any) -> Any:
    """To four digits, which ranks and plots need."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
