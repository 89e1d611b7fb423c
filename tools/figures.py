"""Draw the pictures of the documentation, on phantoms: docs/maps.png, docs/side-by-side.png and docs/slide.png.

    python tools/figures.py [maps | side-by-side | slide]

The first shows the maps of each predictor of one method, the second those of several methods beside each other, the
third a slide put together of patches, a tumour in its midst, under the scores of its tiles.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from sanoscope import (
    Cases,
    Detector,
    brain_phantoms,
    compare_maps,
    get_recipe,
    histology_phantoms,
    hold_out,
    read_cases,
)
from sanoscope.cases import Slicing
from sanoscope.cases.tiling import Tiling
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
TILE, SLIDE_WIDTH = 64, 1000  # pixels
CELL, RESOLUTION = 1.5, 100  # inches, and dots in one


def main() -> None:
    """Draw the figures named, or all of them."""
    draw = {"maps": draw_maps, "side-by-side": draw_side_by_side, "slide": draw_slide}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", metavar="figure", help=f"{' or '.join(draw)}; all where none is named")
    names = parser.parse_args().figures or list(draw)
    if unknown := set(names) - set(draw):
        parser.error(f"no figure '{min(unknown)}'; there are {', '.join(draw)}")
    for name in names:
        draw[name](FOLDER / f"{name}.png")


@cache
def _brains() -> Cases:
    """Healthy slices of some phantoms to learn from, and those of others."""
    phantoms = brain_phantoms(subjects=24, seed=0)
    return hold_out(phantoms.cases(), 0.2, 0.3)


def draw_maps(figure: Path) -> None:
    """Train on the healthy slices of some phantoms, and map those of others."""
    cases = _brains()
    detector = Detector("beta-vae", OPTIONS, device="cpu").fit(cases)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(detector.score(cases.test).save(folder) / "gallery" / "maps.png", figure)


def draw_side_by_side(figure: Path) -> None:
    """Train each recipe, and put the maps of some phantoms beside each other, as the report does."""
    cases, findings = _brains(), {}
    for title, (name, preset, iterations) in COMPARED.items():
        recipe = get_recipe(name).preset(preset) if preset else get_recipe(name)
        options = {"training.max_iterations": iterations, "training.precision": "float32", "scoring.score": "map-max"}
        findings[title] = Detector(recipe, options, device="cpu").fit(cases).score(cases.test)
    write_figure(compare_maps(findings, list(findings)), figure)


def draw_slide(figure: Path) -> None:
    """Train on patches of some phantoms, and score a slide of another, cut into tiles."""
    from PIL import Image

    options = {"training.epochs": 30, "training.batch_size": 32, "scoring.score": "mse"}  # as the demo has them
    detector = Detector("conv-vae", options, device="cpu").fit(hold_out(histology_phantoms().cases(), 0.2, 0.3))
    with tempfile.TemporaryDirectory() as folder:
        write_slide(Path(folder) / "slide.tiff")
        tiling = Tiling(size=TILE, magnification=20, objective=20, least_tissue=0.3)
        findings = detector.score(read_cases(folder, slicing=Slicing(tiling=tiling)))
    (picture,) = findings.montages.values()
    height, width = (round(side * SLIDE_WIDTH / picture.shape[1]) for side in picture.shape[:2])
    Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS).save(figure)


def write_slide(path: Path) -> None:
    """Patches of one patient on glass, in the shape of a section with a tumour in its midst, as a pyramid."""
    import tifffile

    phantoms = histology_phantoms(subjects=1, images_per_subject=900, size=TILE, seed=7, healthy_every=0)
    whole = np.array([mask is not None and mask.mean() > 0.8 for mask in phantoms.masks])
    normal, tumour = (iter(phantoms.images[chosen]) for chosen in (np.array(phantoms.labels) == 0, whole))
    rows, columns = 24, 34
    level = np.full((rows * TILE, columns * TILE, 3), 244, np.uint8)
    for row in range(rows):
        for column in range(columns):
            y, x = 2 * row / (rows - 1) - 1, 2 * column / (columns - 1) - 1
            if x**2 / 0.9 + (y + 0.15 * np.sin(3 * x)) ** 2 / 0.6 < 1:
                patch = next(tumour if (x - 0.3) ** 2 / 0.03 + (y - 0.1) ** 2 / 0.06 < 1 else normal)
                level[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = patch
    smaller = False  # which OpenSlide takes for a level
    with tifffile.TiffWriter(path) as writer:
        while min(level.shape[:2]) >= 256:
            options = {"subfiletype": int(smaller), "compression": "zlib", "metadata": None}
            writer.write(level, tile=(256, 256), photometric="rgb", **options)
            level, smaller = level[::2, ::2], True


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
