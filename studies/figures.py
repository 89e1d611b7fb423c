"""Draw the pictures of the documentation.

    python studies/figures.py [maps | side-by-side | score-histograms | search | subtypes]

On phantoms docs/maps.png, the maps of each predictor, and docs/side-by-side.png, those of some methods. From the
results of runs docs/score-histograms.png, docs/search.png with docs/search-choices.png, and docs/subtypes.png, maps of
latents by t-SNE.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import RESULTS
from perceptual_page import PerceptualPage
from perceptual_runs import search_file
from subtypes_page import TITLES, SubtypesPage

from sanoscope import Cases, Detector, brain_phantoms, compare_maps, get_recipe, load_cases
from sanoscope.report.content import SideBySide
from sanoscope.report.search_figures import choice_figure, search_figure
from sanoscope.report.svg import COLOURS, style
from sanoscope.selection.page import read_search, search_content

FIGURES = Path(__file__).parent.parent / "docs"
# Ten times the paper's step size, for a training of a minute.
OPTIONS = {"training.epochs": 60, "training.learning_rate": 1e-3, "training.precision": "float32"}
# By title the recipe, its preset and how long it is trained: some seconds each.
COMPARED = {
    "constrained attention": ("constrained-attention-vae", "light", 300),
    "autoencoder": ("autoencoder", None, 600),
    "the same, post-processed": ("autoencoder", "comparison-study", 600),
    "f-AnoGAN, by place": ("f-anogan", "by-place", 200),
}
CELL, RESOLUTION = 1.5, 100  # inches, and dots in one


def main(names: list[str]) -> None:
    """Draw the figures named, or all of them."""
    of_phantoms = {"maps": draw_maps, "side-by-side": draw_side_by_side}
    of_results = {"score-histograms": draw_score_histograms, "search": draw_search, "subtypes": draw_subtypes}
    for name in names or [*of_phantoms, *of_results]:
        figure = FIGURES / f"{name}.png"
        if name in of_results:
            of_results[name](figure)
            continue
        with tempfile.TemporaryDirectory() as folder:
            brain_phantoms(subjects=24, seed=0).save(Path(folder))
            of_phantoms[name](load_cases(folder, validation=0.2, test=0.3), figure)


def draw_maps(cases: Cases, figure: Path) -> None:
    """Train on the healthy slices of some phantoms, and map those of others."""
    detector = Detector("beta-vae", OPTIONS, device="cpu").fit(cases)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(detector.score(cases.test).save(folder) / "gallery" / "maps.png", figure)


def draw_side_by_side(cases: Cases, figure: Path) -> None:
    """Train each recipe, and put the maps of some phantoms beside each other, as the report does."""
    findings = {}
    for title, (name, preset, iterations) in COMPARED.items():
        recipe = get_recipe(name).preset(preset) if preset else get_recipe(name)
        options = {"training.max_iterations": iterations, "training.precision": "float32", "scoring.score": "map-max"}
        findings[title] = Detector(recipe, options, device="cpu").fit(cases).score(cases.test)
    write_figure(compare_maps(findings, list(findings)), figure)


@style()
def draw_score_histograms(path: Path) -> None:
    """Scores of normal and abnormal test images by the perceptual autoencoder, one panel for each collection."""
    from matplotlib.figure import Figure

    results = PerceptualPage(RESULTS)
    collections = results.collections()
    figure = Figure(figsize=(3.2 * len(collections), 2.6), facecolor="white")
    for axes, collection in zip(figure.subplots(1, len(collections), squeeze=False)[0], collections, strict=True):
        run = results.of(collection, "plain")[0]
        edges = np.histogram_bin_edges(np.concatenate([*run["scores"].values()]), 30)
        for kind, scores in run["scores"].items():
            looks = {"color": COLOURS[kind], "alpha": 0.55, "density": True, "label": kind}
            axes.hist(scores, edges, **looks)
        axes.set(title=f"{collection}, AUROC {run['rows'][0]['evaluation']['estimates']['auroc']['value']:.3f}")
        axes.set(xlabel="score", yticks=[])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    figure.savefig(path, dpi=RESOLUTION)


@style()
def draw_search(path: Path) -> None:
    """The trials of the search, and beside it in a file of its own what few known anomalies would have chosen."""
    content = search_content(read_search(search_file("pneumoniamnist")))
    for figure, name in ((search_figure(content), "search"), (choice_figure(content.choices), "search-choices")):
        figure.set_facecolor("white")
        figure.savefig(path.with_stem(name), dpi=RESOLUTION)


@style()
def write_figure(compared: SideBySide, path: Path) -> None:
    """The section of the report as one picture."""
    from matplotlib.figure import Figure

    columns = ["image", "truth", *compared.methods]
    figure = Figure(figsize=(CELL * len(columns), (CELL + 0.2) * len(compared.rows) + 0.3), facecolor="white")
    axes = figure.subplots(len(compared.rows), len(columns), squeeze=False)
    for place, heading in zip(axes[0], columns, strict=True):
        place.set_title(heading, fontsize=8)
    for places, row in zip(axes, compared.rows, strict=True):
        pictures = [row.image, row.image if row.truth is None else row.truth, *(judged.overlay for judged in row.maps)]
        for place, picture in zip(places, pictures, strict=True):
            place.imshow(picture)
            place.set(xticks=[], yticks=[])
            place.spines[:].set_visible(False)
        places[1].set_xlabel("abnormal" if row.label == 1 else "normal", fontsize=7)
        for place, judged in zip(places[2:], row.maps, strict=True):
            decision = "abnormal" if judged.abnormal else "normal"
            place.set_xlabel(f"{decision}, {judged.score:.3g}", fontsize=7, color=COLOURS[decision])
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    figure.savefig(path, dpi=RESOLUTION)


def draw_subtypes(figure: Path) -> None:
    """t-SNE of the first test side of each row, by image and by subject, coloured by class and by subject."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    page = SubtypesPage(RESULTS)
    rows = [row for row in TITLES if row != "pixels-1000"]
    with style():
        sheet = Figure(figsize=(2.1 * 4, 1.9 * len(rows)), dpi=RESOLUTION, facecolor="white")
        axes = sheet.subplots(len(rows), 4)
        for cell, what in zip(axes[0], ("class", "patient") * 2, strict=True):
            cell.set_title(what, fontsize=9)
        for line, row in zip(axes, rows, strict=True):
            for pair, by in zip((line[:2], line[2:]), ("image", "subject"), strict=True):
                plot = page.run(by, row)["plot"]
                points = np.array(plot["points"]).T
                classes = [COLOURS["abnormal" if code else "normal"] for code in plot["classes"]]
                subjects = colormaps["tab20"](np.array(plot["subjects"]) % 20)
                for cell, colours in zip(pair, (classes, subjects), strict=True):
                    cell.scatter(*points, c=colours, s=3, linewidths=0)
                    cell.set(xticks=[], yticks=[])
                    cell.spines[:].set_visible(False)
            line[0].set_ylabel(TITLES[row], fontsize=7)
        sheet.savefig(figure)


if __name__ == "__main__":
    main(sys.argv[1:])
