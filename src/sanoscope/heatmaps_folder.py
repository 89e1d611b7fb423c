"""Maps as files: for other programs on each source's own grid, for further evaluation on the network's."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.nifti import read_volume, volume_map
from sanoscope.cases.pixels import read_case
from sanoscope.console import track
from sanoscope.errors import DataError
from sanoscope.heatmaps import Heatmaps, slices_by_volume
from sanoscope.preparation.stored import geometry_from_json
from sanoscope.report import images

ARRAYS_FILE, STATE_FILE = "maps.safetensors", "maps.json"
MAP_PREFIX, FOREGROUND = "map: ", "foreground"


def write_maps(cases: Cases, maps: Heatmaps, folder: Path) -> None:
    """The deciding map of each case on its source grid, and the image under it as PNG.

    Images get a float TIFF under the case's name; a volume gets one NIfTI with the source's shape and affine.
    """
    work: list[Callable[[], None]] = [
        partial(_write_image_map, case, maps, index, folder) for index, case in enumerate(cases) if case.slice is None
    ]
    work += [
        partial(_write_volume_map, name, cases, maps, indices, folder)
        for name, indices in slices_by_volume(cases).items()
    ]
    with ThreadPoolExecutor() as pool:
        for _ in track(pool.map(lambda write: write(), work), "writing maps", len(work)):
            pass


def _write_image_map(case: Case, maps: Heatmaps, index: int, folder: Path) -> None:
    import tifffile

    heatmap = maps.on_source_grid(index)
    file = folder / "maps" / f"{case.name}.tiff"
    file.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(file, heatmap, photometric="minisblack")
    _write_overlay(case, read_case(case), heatmap, maps, folder)


def _write_volume_map(name: str, cases: Cases, maps: Heatmaps, indices: list[int], folder: Path) -> None:
    """Slices that were not scored are 0 in the volume."""
    import nibabel

    path, where = cases[indices[0]].path, cases[indices[0]].slice
    assert path is not None, "a slice is of a file"
    assert where is not None, "grouped by volume"
    volume = read_volume(path)  # once; ``read_case`` keeps one volume, and several are written at a time
    heatmaps: dict[int, np.ndarray] = {}
    for index in indices:
        case, heatmap = cases[index], maps.on_source_grid(index)
        assert case.slice is not None, "grouped by volume"
        heatmaps[case.slice.index] = heatmap
        _write_overlay(case, volume.slice(case.slice)[..., None], heatmap, maps, folder)
    file = folder / "maps" / f"{name}.nii.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(volume_map(path, heatmaps, where.axis), file)


def _write_overlay(case: Case, pixels: np.ndarray, heatmap: np.ndarray, maps: Heatmaps, folder: Path) -> None:
    picture = images.overlay(images.display_file(pixels), heatmap, maps.range_of())
    write_picture(folder / "overlays" / f"{case.name}.png", picture)


def write_picture(file: Path, pixels: np.ndarray) -> None:
    """Write ``(H, W, 3)`` uint8 as PNG; folders are made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(images.png(pixels))


def save_heatmaps(maps: Heatmaps, folder: Path) -> None:
    """Every map on the network's grid, with what leads back to the source grid."""
    from safetensors.numpy import save_file

    arrays = {f"{MAP_PREFIX}{name}": np.ascontiguousarray(maps.of(name)) for name in maps.names}
    if maps.foreground is not None:
        arrays[FOREGROUND] = np.packbits(maps.foreground, axis=-1)
    save_file(arrays, folder / ARRAYS_FILE)
    state = {
        "names": maps.names,
        "trivial": list(maps.trivial),
        "scales": {name: maps.scale_of(name) for name in maps.names},
        "bases": dict(maps.bases),
        "thresholds": {name: dict(thresholds) for name, thresholds in maps.thresholds.items()},
        "geometry": maps.geometry.to_json(),
        "traces": [list(map(list, trace)) for trace in maps.traces],
    }
    (folder / STATE_FILE).write_text(json.dumps(state))


def load_heatmaps(folder: Path, count: int) -> Heatmaps | None:
    """What ``save_heatmaps`` wrote; None where there is nothing.

    Raises:
        DataError: If one of the two files is missing or damaged, or they do not belong to ``count`` cases.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    present = [(folder / name).is_file() for name in (ARRAYS_FILE, STATE_FILE)]
    if not any(present):
        return None
    if not all(present):
        raise DataError(f"{folder}: of {ARRAYS_FILE} and {STATE_FILE} one is missing; score again")
    state: dict[str, Any] = json.loads((folder / STATE_FILE).read_text())
    try:
        arrays = load_file(folder / ARRAYS_FILE)
    except SafetensorError as error:
        raise DataError(f"{folder / ARRAYS_FILE}: is truncated or damaged ({error}); score again") from error
    values = {name: arrays[f"{MAP_PREFIX}{name}"] for name in state["names"]}
    if any(len(maps) != count for maps in values.values()) or len(state["traces"]) != count:
        raise DataError(f"{folder}: {ARRAYS_FILE} is not of the {count} cases in the table; score again")
    deciding, *others = state["names"]
    width = values[deciding].shape[-1]
    bits = arrays.get(FOREGROUND)
    return Heatmaps(
        values=values[deciding],
        traces=[tuple(map(tuple, trace)) for trace in state["traces"]],
        geometry=geometry_from_json(state["geometry"]),
        scale=state["scales"][deciding],
        name=deciding,
        others={name: values[name] for name in others},
        trivial=state["trivial"],
        scales=state["scales"],
        bases=state.get("bases", {}),
        thresholds=state["thresholds"],
        foreground=None if bits is None else np.unpackbits(bits, axis=-1, count=width).view(bool),
    )
