"""A detector as a folder: weights as safetensors, everything else as JSON, checksums over both."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.calibration import Calibration
from sanoscope.errors import ModelError, OptionError

if TYPE_CHECKING:
    from sanoscope.detector import Detector
    from sanoscope.recipe import Recipe

# Logs and checkpoints of the training that made the model.
TRAINING_FOLDER = "training"
WEIGHTS_FILE, DETECTOR_FILE, CHECKSUMS_FILE = "weights.safetensors", "detector.json", "checksums.json"
# Raise when an older folder can no longer be read.
FORMAT = 4


def save_detector(detector: Detector, folder: Path) -> Path:
    """Write the folder; the checksums last, so that an unfinished one is recognised."""
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHECKSUMS_FILE).unlink(missing_ok=True)
    arrays = {f"network.{name}": tensor.cpu().numpy() for name, tensor in detector.network_.state_dict().items()}
    arrays |= {f"trivial.{name}": array for name, array in detector.trivial_.arrays().items()}
    arrays |= {f"calibration.{name}": scores for name, scores in detector.calibration_.scores.items()}
    arrays |= {
        f"map scores.{map_name}.{name}": scores
        for map_name, by_name in detector.calibration_.map_scores.items()
        for name, scores in by_name.items()
    }
    arrays |= {f"map curve.{name}": curve for name, curve in detector.calibration_.map_curves.items()}
    arrays |= {f"scoring.{name}": array for name, array in detector.scoring_learned_.items()}
    arrays["calibration labels"] = detector.calibration_.labels
    arrays["training keys"] = _pack_keys(detector.training_keys_)
    contents = {
        WEIGHTS_FILE: save({name: np.ascontiguousarray(array) for name, array in arrays.items()}),
        DETECTOR_FILE: json.dumps(_state(detector), indent=1).encode(),
    }
    for name, content in contents.items():
        _replace(folder / name, content)
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    _replace(folder / CHECKSUMS_FILE, json.dumps(checksums, indent=1).encode())
    return folder


def _state(detector: Detector) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "recipe": detector.recipe.to_json(),
        "seed": detector.seed,
        "preparation": detector.preparation_.to_json(),
        "decisions": {name: decision.to_json() for name, decision in detector.decisions_.items()},
        "calibration": {
            "map_scales": dict(detector.calibration_.map_scales),
            "map_bases": dict(detector.calibration_.map_bases),
            "description": detector.calibration_.description,
            "options": dict(detector.calibration_.options),
        },
        "history": detector.history_,
        "notes": detector.notes_,
        "provenance": detector.provenance_,
    }


def _replace(file: Path, content: bytes) -> None:
    unfinished = file.with_name(file.name + ".tmp")
    unfinished.write_bytes(content)
    unfinished.replace(file)


def _pack_keys(keys: frozenset[str]) -> np.ndarray:
    """Content keys ``(N, 16)`` uint8."""
    return np.frombuffer(b"".join(bytes.fromhex(key) for key in sorted(keys)), np.uint8).reshape(len(keys), -1)


def load_detector(folder: Path, device: str) -> Detector:
    """Read the folder.

    Raises:
        ModelError: If a file is missing, truncated or altered, or of another version.
    """
    from safetensors import SafetensorError

    contents = _checked_contents(folder)
    try:
        return _assemble(contents, folder, device)
    # The checksums fit, so that somebody wrote it this way: another version, or by hand.
    except (KeyError, ValueError, TypeError, AttributeError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ModelError(f"{folder}: is not a model of this version ({reason}); fit it again") from error


def _assemble(contents: dict[str, bytes], folder: Path, device: str) -> Detector:
    from safetensors.numpy import load

    from sanoscope.detector import Detector
    from sanoscope.scoring.trivial import TrivialScores

    state = json.loads(contents[DETECTOR_FILE])
    if state.get("format") != FORMAT:
        raise ModelError(f"{folder}: is of format {state.get('format')}, this version reads {FORMAT}; fit it again")
    arrays = load(contents[WEIGHTS_FILE])
    detector = Detector(_recipe(state["recipe"], folder), seed=state["seed"], device=device)
    detector.preparation_ = detector.recipe.build("preparation").load_json(state["preparation"])
    _load_network(detector, _group(arrays, "network."), folder)
    detector.trivial_ = TrivialScores().load_arrays(_group(arrays, "trivial."))
    detector.scoring_learned_ = _group(arrays, "scoring.")
    detector.calibration_ = Calibration(
        scores=_group(arrays, "calibration."),
        labels=arrays["calibration labels"],
        map_curves=_group(arrays, "map curve."),
        map_scores=_by_map(_group(arrays, "map scores.")),
        **(state["calibration"] | {"options": _with_tuples(state["calibration"]["options"])}),
    )
    detector.training_keys_ = frozenset(key.tobytes().hex() for key in arrays["training keys"])
    detector.history_, detector.notes_ = state["history"], state["notes"]
    detector.provenance_ = state["provenance"]
    detector.fitted = True
    return detector.adjust({})


def _recipe(stored: dict[str, Any], folder: Path) -> Recipe:
    """The recipe with the values it was fitted with, whatever the defaults are now."""
    from sanoscope.recipes import get_recipe

    try:
        declared = get_recipe(stored["name"])
        values = declared.with_options(stored["options"]).values
    except OptionError as error:
        raise ModelError(f"{folder / DETECTOR_FILE}: {error}") from error
    changes = {name: value for name, value in values.items() if value != declared.options[name].default}
    return replace(declared, changes=changes)


def _checked_contents(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder; give one that 'sanoscope fit' or Detector.save wrote")
    try:
        checksums = json.loads((folder / CHECKSUMS_FILE).read_text())
    except FileNotFoundError as error:
        raise ModelError(f"{folder / CHECKSUMS_FILE}: is missing; {_unfinished(folder)}") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / CHECKSUMS_FILE}: cannot be read; copy the model again or refit it") from error
    contents = {}
    for name in (WEIGHTS_FILE, DETECTOR_FILE):
        try:
            contents[name] = (folder / name).read_bytes()
        except OSError as error:
            raise ModelError(f"{folder / name}: is missing or unreadable; copy the model again or refit it") from error
        if not isinstance(checksums, dict) or hashlib.sha256(contents[name]).hexdigest() != checksums.get(name):
            raise ModelError(
                f"{folder / name}: is truncated or was altered (its checksum is another); copy the model again or refit"
            )
    return contents


def _unfinished(folder: Path) -> str:
    if (folder / WEIGHTS_FILE).is_file():
        return "copy the model again or refit it"
    if (folder / TRAINING_FOLDER).is_dir():
        return "the training there is not finished; go on with 'sanoscope fit … --resume'"
    return "give a folder that 'sanoscope fit' or Detector.save wrote"


def _group(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _with_tuples(options: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples, options no lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def _by_map(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """``map.score`` to arrays by map and then score."""
    maps: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        map_name, _, score = name.partition(".")
        maps.setdefault(map_name, {})[score] = array
    return maps


def _load_network(detector: Detector, weights: dict[str, np.ndarray], folder: Path) -> None:
    import torch

    form = detector.preparation_.form_
    assert form is not None
    network = detector.recipe.build("network", in_channels=form.channels, image_size=detector.preparation_.image_size)
    try:
        network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise ModelError(f"{folder / WEIGHTS_FILE}: does not fit its recipe ({reason}); fit it again") from error
    detector.network_ = network.eval()
