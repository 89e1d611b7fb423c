"""The deciding map of each case as a file on its source's own grid, and the image under it as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.dicom_header import is_dicom
from sanoscope.cases.pixels import read_case
from sanoscope.cases.volume_files import read_volume
from sanoscope.cases.volume_map import volume_map
from sanoscope.console import track
from sanoscope.errors import ImageError
from sanoscope.heatmaps import Heatmaps, slices_by_volume, tiles_by_slide
from sanoscope.map_files.dicom import write_dicom
from sanoscope.map_files.geojson import write_image_geojson
from sanoscope.map_files.slides import write_slide
from sanoscope.report import images

MAPS, OVERLAYS = "maps", "overlays"
# A series takes a gigabyte while it is written; several volumes are written at a time.
_one_dicom = Lock()


@dataclass(frozen=True)
class Wanted:
    """What is written besides the maps that every source gets.

    Attributes:
        dicom: A DICOM Segmentation and a Parametric Map for each source in DICOM.
        geojson: The outlines of what lies above the threshold for each image; slides always have them.
        identified: Whether DICOM files say who the patient is, as their sources do.
    """

    dicom: bool = False
    geojson: bool = False
    identified: bool = False


@dataclass(frozen=True)
class Judged:
    """Maps with what else was found.

    Attributes:
        cases: What was scored.
        maps: One for each.
        scores: ``(N,)``.
        abnormal: ``(N,)`` bool, the decisions.
        score_range: What scores are usual and strong in held-out normals.
        recipe: Name of the method.
    """

    cases: Cases
    maps: Heatmaps
    scores: np.ndarray
    abnormal: np.ndarray
    score_range: tuple[float, float]
    recipe: str


def write_maps(judged: Judged, folder: Path, wanted: Wanted | None = None) -> list[str]:
    """Write the files of every case.

    Images get a float TIFF under the case's name; a volume or series one NIfTI with the source's shape and affine;
    a slide a pyramidal TIFF and its outlines. Each has its picture in ``overlays``.

    Returns:
        What could not be written, and why.
    """
    wanted = wanted or Wanted()
    cases = judged.cases
    work: list[Callable[[], None]] = [
        partial(_write_image, judged, index, folder, wanted)
        for index, case in enumerate(cases)
        if case.slice is None and case.tile is None
    ]
    work += [
        partial(_write_volume, name, judged, indices, folder, wanted)
        for name, indices in slices_by_volume(cases).items()
    ]
    work += [
        partial(
            write_slide, name, cases, judged.maps, indices, folder, judged.scores, judged.abnormal, judged.score_range
        )
        for name, indices in tiles_by_slide(cases).items()
    ]
    failed: list[str] = []
    with ThreadPoolExecutor() as pool:
        for reason in track(pool.map(_reason, work), "writing maps", len(work)):
            failed += [] if reason is None else [reason]
    return failed


def _reason(write: Callable[[], None]) -> str | None:
    """Why the maps of a case could not be written; one that cannot be read any more keeps no other from its maps."""
    try:
        write()
    except ImageError as error:
        return str(error)
    return None


def _write_image(judged: Judged, index: int, folder: Path, wanted: Wanted) -> None:
    import tifffile

    case, maps = judged.cases[index], judged.maps
    heatmap = maps.on_source_grid(index)
    file = folder / MAPS / f"{case.name}.tiff"
    file.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(file, heatmap, photometric="minisblack")
    _write_overlay(case, read_case(case), heatmap, maps, folder)
    if wanted.geojson:
        write_image_geojson(case, maps, index, folder)
    if wanted.dicom and case.path is not None and is_dicom(case.path):
        _write_dicom(case.name, judged, [index], folder, wanted)


def _write_volume(name: str, judged: Judged, indices: Sequence[int], folder: Path, wanted: Wanted) -> None:
    """Slices that were not scored are 0 in the volume."""
    import nibabel

    cases, maps = judged.cases, judged.maps
    path, where = cases[indices[0]].path, cases[indices[0]].slice
    assert path is not None, "a slice is of a file"
    assert where is not None, "grouped by volume"
    volume = read_volume(path)  # once; ``read_case`` keeps one volume, and several are written at a time
    heatmaps: dict[int, np.ndarray] = {}
    for index in indices:
        case, heatmap = cases[index], maps.on_source_grid(index)
        assert case.slice is not None, "grouped by volume"
        heatmaps[case.slice.index] = heatmap
        _write_overlay(case, np.atleast_3d(volume.slice(case.slice)), heatmap, maps, folder)
    file = folder / MAPS / f"{name}.nii.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(volume_map(path, heatmaps, where.axis), file)
    if wanted.dicom and is_dicom(path):
        _write_dicom(name, judged, indices, folder, wanted)


def _write_dicom(name: str, judged: Judged, indices: Sequence[int], folder: Path, wanted: Wanted) -> None:
    with _one_dicom:
        write_dicom(name, judged.cases, judged.maps, list(indices), folder, wanted.identified, judged.recipe)


def _write_overlay(case: Case, pixels: np.ndarray, heatmap: np.ndarray, maps: Heatmaps, folder: Path) -> None:
    picture = images.overlay(images.display_file(pixels), heatmap, maps.range_of())
    images.write_png(folder / OVERLAYS / f"{case.name}.png", picture)
