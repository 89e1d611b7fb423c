"""Maps on the network's grid as files, for further evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope.errors import DataError
from sanoscope.heatmaps import Heatmaps
from sanoscope.preparation.stored import geometry_from_json

ARRAYS_FILE, STATE_FILE = "maps.safetensors", "maps.json"
MAP_PREFIX, FOREGROUND = "map: ", "foreground"


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
