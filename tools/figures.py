"""Draw the pictures of the documentation, on phantoms: docs/maps.png and docs/side-by-side.png.

    python tools/figures.py [maps | side-by-side]

The first shows the maps of each predictor of one method, the second those of several methods beside each other.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from sanoscope import Cases, Detector, brain_phantoms, compare_maps, get_recipe, load_cases
from sanoscope.report.content import SideBySide
from sanoscope.report.svg import COLOURS, style

FOLDER = Path(__file__).parent.parent / "docs"
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


def main() -> None:
    """Draw the figures named, or all of them."""
    draw = {"maps": draw_maps, "side-by-side": draw_side_by_side}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", metavar="figure", help=f"{' or '.join(draw)}; all where none is named")
    names = parser.parse_args().figures or list(draw)
    if unknown := set(names) - set(draw):
        parser.error(f"no figure '{min(unknown)}'; there are {', '.join(draw)}")
    with tempfile.TemporaryDirectory() as folder:
        brain_phantoms(subjects=24, seed=0).save(Path(folder))
        cases = load_cases(folder, validation=0.2, test=0.3)
        for name in names:
            draw[name](cases, FOLDER / f"{name}.png")


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


if __name__ == "__main__":
    main()
