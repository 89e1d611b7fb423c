"""The figure of what a model sees: input, truth, reconstruction and each map, a row for each case."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sanoscope.report.content import GalleryImage
from sanoscope.report.svg import style

# Inches; a figure of eight columns fits a page.
_CELL = 1.3
_RESOLUTION = 160


@style()
def write_map_figure(items: Sequence[GalleryImage], map_name: str, path: Path) -> Path:
    """Write the figure as PNG.

    Args:
        items: At least one; all of one model.
        map_name: What the deciding map is called.
        path: Of the file; its folder exists.
    """
    from matplotlib.figure import Figure

    columns = [_columns(item, map_name) for item in items]
    names = list(dict.fromkeys(name for row in columns for name in row))
    figure = Figure(figsize=(_CELL * len(names), _CELL * len(items) + 0.3), facecolor="white")
    axes = figure.subplots(len(items), len(names), squeeze=False)
    for row, pictures in enumerate(columns):
        for column, name in enumerate(names):
            place = axes[row, column]
            place.set_axis_off()
            if name in pictures:
                place.imshow(pictures[name])
            if row == 0:
                place.set_title(name, fontsize=8)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    figure.savefig(path, dpi=_RESOLUTION)
    return path


def _columns(item: GalleryImage, map_name: str) -> dict[str, np.ndarray]:
    """The pictures of one case by the heading they stand under."""
    pictures = {
        "input": item.image,
        "truth": item.truth,
        "reconstruction": item.reconstruction,
        map_name: item.overlay,
        **item.others,
    }
    return {name: picture for name, picture in pictures.items() if picture is not None}
