"""The table of the constrained model and its rivals, from the runs of studies/localisation.py."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from localisation_page import WHOLE, LocalisationPage, line, rule, spread

Result = dict[str, Any]

ORACLE = "operating point (oracle)"

# Silva-Rodríguez, Naranjo, Dolz, Table 1, BraTS 2019: AUROC, AUPRC, best Dice and IoU, Dice of a patient.
PAPER = {
    "cavga": (0.726, 0.056, 0.188, 0.104, "0.182 ± 0.096"),
    "bayesian-vae": (0.922, 0.193, 0.342, 0.206, "0.329 ± 0.115"),
    "anovaegan": (0.925, 0.232, 0.359, 0.221, "0.349 ± 0.115"),
    "bayesian-autoencoder": (0.940, 0.279, 0.389, 0.242, "0.375 ± 0.130"),
    "autoencoder": (0.937, 0.261, 0.397, 0.248, "0.386 ± 0.125"),
    "gradcam-vae": (0.941, 0.312, 0.400, 0.250, "0.361 ± 0.164"),
    "restoration-vae": (0.934, 0.352, 0.403, 0.252, "0.345 ± 0.186"),
    "context-vae": (0.939, 0.271, 0.406, 0.255, "0.394 ± 0.126"),
    "context-autoencoder": (0.940, 0.278, 0.411, 0.259, "0.399 ± 0.126"),
    "vae": (0.940, 0.273, 0.411, 0.259, "0.399 ± 0.127"),
    "f-anogan": (0.946, 0.511, 0.525, 0.369, "0.494 ± 0.151"),
    "constrained": (0.981, 0.753, 0.704, 0.543, "0.665 ± 0.200"),
}
# In the order of the paper's table, the two-stage f-AnoGAN beside the joint one.
METHODS = (*list(PAPER)[:-1], "f-anogan-original", "constrained")
# Those whose map is the residual of a reconstruction.
RESIDUALS = (
    *("autoencoder", "vae", "context-autoencoder", "context-vae", "bayesian-autoencoder", "bayesian-vae"),
    *("anovaegan", "f-anogan"),
)
METRICS = ("auroc", "average_precision", "oracle_dice", "oracle_iou")
TRIVIAL = ("intensity", "signed z-map", "PCA residual map")


class RivalsPage:
    """Tables of the twelve methods on one backbone, read in several ways.

    Args:
        brain: The runs.
    """

    def __init__(self, brain: LocalisationPage) -> None:
        self.brain = brain

    def ap(self, method: str, part: str = "test", backbone: str = "light") -> str:
        """Average precision of the deciding map over the seeds."""
        return spread(self._values(f"{backbone}-{method}", part, "average_precision"))

    def range_of_residuals(self) -> str:
        """The least and the greatest mean average precision of residuals, as published."""
        means = [self._mean_ap(method) for method in RESIDUALS]
        return f"{min(means):.3f} and {max(means):.3f}"

    def trivial_ap(self, name: str) -> str:
        """Average precision of what needs no model, as it is."""
        return self._trivial(name)[1]

    def table(
        self,
        part: str,
        others: Sequence[tuple[str, str, str]] = (),
        with_paper: bool = False,
        otherwise: Mapping[str, str] | None = None,
    ) -> str:
        """The five metrics of the paper's table for every method.

        Args:
            part: How the maps were read.
            others: Rows that need no model: title, run and part.
            with_paper: Print the paper's figures beside ours.
            otherwise: Methods whose maps were read so under another name.
        """
        headings = ["method", "AUROC", "AP", "interval of AP", "best Dice (oracle)", "best IoU (oracle)"]
        headings += ["Dice of a patient at that threshold"]
        lines = [line([*headings, *(["the paper's, in this order"] if with_paper else [])])]
        lines.append(rule(len(headings) + with_paper))
        for method, row, read in self._rows(part, otherwise):
            cells = self._cells(row, read)
            if with_paper:
                cells.append(self._paper(method))
            lines.append(line([f"`{method}`", *cells]))
        for title, row, name in others:
            lines.append(line([f"*{title}*", *self._cells(row, name), *([""] if with_paper else [])]))
        if with_paper:
            lines += [line([f"*{name}*, no model", *self._trivial(name), ""]) for name in TRIVIAL]
        return "\n".join(lines)

    def threshold_table(self, part: str, thresholds: Sequence[str], otherwise: Mapping[str, str] | None = None) -> str:
        """What thresholds decide that no label has chosen."""
        metrics = {
            "dice": "Dice",
            "iou": "IoU",
            "dice_per_subject": "Dice of a patient",
            "false_positive_area": "false-positive area",
            "lesion_sensitivity": "lesions found",
        }
        lines = [line(["method", "threshold", *metrics.values()]), rule(2 + len(metrics))]
        for method, row, read in self._rows(part, otherwise):
            results = self._results(row, read)
            for threshold in thresholds:
                if threshold not in results[0]["thresholds"]:
                    continue
                decided = [result["thresholds"][threshold] for result in results]
                cells = [spread([one[metric][0] for one in decided if one[metric]]) for metric in metrics]
                lines.append(line([f"`{method}`", threshold, *cells]))
        return "\n".join(lines)

    def full_table(self, rows: Sequence[tuple[str, str, str]]) -> str:
        """Rows of title, run and part on the ResNet-18, with their budget."""
        headings = ["method", "steps", "training", "seeds", "AUROC", "AP", "interval of AP"]
        headings += ["best Dice (oracle)", "best IoU (oracle)", "Dice of a patient at that threshold"]
        lines = [line(headings), rule(len(headings))]
        for title, row, part in rows:
            runs = self.brain.of(row)
            budget = [str(self.brain.iterations(row)), f"{self.brain.training_seconds(row)} s", str(len(runs))]
            lines.append(line([title, *budget, *self._cells(row, part)]))
        return "\n".join(lines)

    def _mean_ap(self, method: str) -> float:
        return statistics.mean(self._values(f"light-{method}", "test", "average_precision"))

    def _rows(self, part: str, otherwise: Mapping[str, str] | None) -> Iterator[tuple[str, str, str]]:
        """Method, run and part of those that were read so."""
        for method in METHODS:
            row, read = f"light-{method}", (otherwise or {}).get(method, part)
            if self._results(row, read):
                yield method, row, read

    def _results(self, row: str, part: str) -> list[Result]:
        """Of the deciding map, which is the first, over the seeds."""
        evaluations = [run["evaluations"] for run in self.brain.of(row)]
        return [next(iter(one[part]["pixels"][WHOLE].values())) for one in evaluations if part in one]

    def _values(self, row: str, part: str, metric: str) -> list[float]:
        return [result[metric][0] for result in self._results(row, part)]

    def _cells(self, row: str, part: str) -> list[str]:
        auroc, ap, dice, iou = (spread(self._values(row, part, metric)) for metric in METRICS)
        results = self._results(row, part)
        return [auroc, ap, _interval(results), dice, iou, _of_patients(results)]

    def _trivial(self, name: str) -> list[str]:
        """What needs no model, in the same preparation and as it is."""
        result = self.brain.of("light-vae")[0]["evaluations"]["test"]["pixels"][WHOLE][name]
        auroc, ap, dice, iou = (f"{result[metric][0]:.3f}" for metric in METRICS)
        return [auroc, ap, _interval([result]), dice, iou, _of_patients([result])]

    def _paper(self, method: str) -> str:
        if method not in PAPER:
            return ""
        *metrics, patients = PAPER[method]
        return ", ".join([*(f"{metric:.3f}" for metric in metrics), patients])


def _interval(results: Sequence[Result]) -> str:
    """The ends of the interval, means over the seeds."""
    low, high = (statistics.mean(result["average_precision"][end] for result in results) for end in (1, 2))
    return f"[{low:.2f}, {high:.2f}]"


def _of_patients(results: Sequence[Result]) -> str:
    """Mean and standard deviation over patients, means over the seeds."""
    decided = [result["thresholds"][ORACLE] for result in results]
    mean, deviation = (
        statistics.mean(one[name][0] for one in decided) for name in ("dice_per_subject", "dice_per_subject_sd")
    )
    return f"{mean:.3f} ± {deviation:.3f}"
