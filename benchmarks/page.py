"""Write docs/speed.md from what the benchmarks measured: every number on the page comes from benchmarks/results/.

    python benchmarks/page.py [--check]

``--check`` writes nothing and fails if the page is not what the files say.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2

RESULTS = Path(__file__).parent / "results"
TEMPLATE = Path(__file__).parent / "speed.md.j2"
PAGE = Path(__file__).parent.parent / "docs" / "speed.md"

Figures = dict[str, Any]


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page is not up to date")
    text = page()
    if not parser.parse_args().check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE.name} is not what was measured; write it with 'python benchmarks/page.py'")


def page() -> str:
    """The whole page."""
    loader = jinja2.FileSystemLoader(TEMPLATE.parent)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, loader=loader)
    environment.globals.update({make.__name__: make for make in TABLES})
    measured = {file.stem.replace("-", "_"): json.loads(file.read_text()) for file in sorted(RESULTS.glob("*.json"))}
    return environment.get_template(TEMPLATE.name).render(measured)


def throughput_table(measured: Figures) -> str:
    """Training and scoring beside the faster of the two plain ways."""
    train, score = (
        max((name, f"{name} workers"), key=lambda one: measured[one]["rate"]) for name in ("train plain", "score plain")
    )
    rows = [
        ("training, plain", train, train),
        ("training, Sanoscope, float32", "train float32", train),
        ("training, Sanoscope, default", "train", train),
        ("scoring, plain", score, score),
        ("scoring files never seen", "score new", score),
        ("scoring decoded files", "score decoded", score),
        ("scoring decoded files, bfloat16", "score decoded bfloat16", score),
    ]
    return _table(
        ["what", "images per second", "peak memory", "times the plain way"],
        (
            [title, f"{own['rate']:,.0f}", f"{own['peak']:,.0f} MB", f"{own['rate'] / measured[plain]['rate']:.2f}"]
            for title, own, plain in ((title, measured[name], plain) for title, name, plain in rows)
        ),
    )


def constrained_table(measured: Figures) -> str:
    """A training step with the constraint and without."""
    return _table(
        ["step", "", "seconds", "times the plain one"],
        (
            [setting, name, f"{seconds:.2f}", f"{seconds / kinds['plain']:.2f}"]
            for setting, kinds in measured["steps"].items()
            for name, seconds in kinds.items()
        ),
    )


def pixel_table(measured: Figures) -> str:
    """Pixel metrics beside scikit-learn's."""
    reference = measured["scikit-learn"]
    rows = []
    for name, own in measured.items():
        difference = max(abs(own[metric] - reference[metric]) for metric in ("auroc", "average_precision"))
        faster = reference["seconds"] / own["seconds"]
        rows.append([name, f"{own['seconds']:.1f}", f"{own['extra']:,.0f} MB", f"{faster:.1f}", f"{difference:.1e}"])
    return _table(["what", "seconds", "extra memory", "times as fast", "largest difference"], rows)


def perceptual_table(measured: Figures) -> str:
    """A training step of the perceptual autoencoder by its parts, with each measure."""
    parts = ["autoencoder", "features of images", "features of reconstructions", "optimiser", "step"]
    return _table(
        ["features and images", "step", *parts[:-1], "in all", "times the plain step"],
        (
            [setting, kind, *(f"{seconds[part]:.3f}" for part in parts), f"{plain / seconds['step']:.1f}"]
            for setting, kinds, plain in (
                (setting, result["kinds"], result["kinds"]["plain"]["step"])
                for setting, result in measured["settings"].items()
            )
            for kind, seconds in kinds.items()
        ),
    )


def frozen_table(measured: Figures) -> str:
    """What learns from frozen features, on fewer and on more images."""
    units = {"fit": "{:.1f} s", "score": "{:.1f} ms", "extra": "{:,.0f} MB", "remembered": "{:,.1f} MB"}
    units["every place"] = "{:,.0f} MB"
    return _table(
        ["recipe", "images", "fitting", "scoring an image", "extra memory", "remembered", "every place would take"],
        (
            [f"`{row['recipe']}`", f"{row['images']:,}", *(unit.format(row[name]) for name, unit in units.items())]
            for row in measured["results"]
        ),
    )


def clustering_table(measured: Figures) -> str:
    """Finding, judging and drawing clusters, of fewer and of more images."""
    return _table(
        ["work", "images", "seconds", "extra memory"],
        (
            [row["work"], f"{row['images']:,}", f"{row['seconds']:.2f}", f"{row['extra megabytes']:.0f} MB"]
            for row in measured["results"]
        ),
    )


def reading_table(measured: Figures) -> str:
    """Reading files of each format beside the plain reader of its library."""
    return _table(
        ["files", "plain reader", "Sanoscope's reader", "times the plain one", "all into the cache", "out of it"],
        (
            [
                row["format"],
                *(f"{row[name]:,.0f}" for name in ("plain", "reader")),
                f"{row['reader'] / row['plain']:.2f}",
                *(f"{row[name]:,.0f}" for name in ("first", "again")),
            ]
            for row in measured["results"]
        ),
    )


TABLES = (
    reading_table,
    throughput_table,
    constrained_table,
    pixel_table,
    perceptual_table,
    frozen_table,
    clustering_table,
)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
