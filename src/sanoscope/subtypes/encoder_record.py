"""What clusters were found in, recorded with them, so that other images can be assigned to them later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sanoscope.detector import Detector
from sanoscope.detector_folder import CHECKSUMS_FILE
from sanoscope.errors import ModelError, OptionError
from sanoscope.preparation.preparation import Preparation
from sanoscope.subtypes.encoders import Encoder, FittedMethod, PreparedEncoder, prepared_method

MODEL_FOLDER = "model"


def record_of(encoder: Encoder, model: Path | None, folder: Path) -> dict[str, Any]:
    """What ``encoder_of`` needs, fit for JSON.

    Args:
        encoder: That clusters were found with.
        model: Folder of its detector, where it has one.
        folder: Of the clusters; a model in it is recorded by where it is in there.
    """
    if isinstance(encoder, PreparedEncoder):
        return {
            "method": encoder.name,
            "options": dict(encoder.method.settings),
            "preparation": encoder.preparation.to_json(),
        }
    assert model is not None, "a detector that was fitted or loaded has a folder"
    inside = model.resolve().is_relative_to(folder.resolve())
    place = model.resolve().relative_to(folder.resolve()) if inside else model.resolve()
    return {"method": encoder.name, "model": str(place), "checksums": _checksums(model)}


def encoder_of(record: Mapping[str, Any], folder: Path, device: str = "auto") -> tuple[Encoder, Path | None]:
    """The encoder that clusters were found with, and the folder of its detector, where it has one.

    Raises:
        ModelError: If the record is damaged, or its model is no longer where it was, or is another.
    """
    try:
        if "model" not in record:
            return _prepared(record), None
        model, checksums = folder / record["model"], record["checksums"]
    except (KeyError, TypeError, ValueError, AttributeError, OptionError) as error:
        raise ModelError(
            f"{folder}: what its clusters were found with cannot be read ({type(error).__name__}: {error}); "
            "find them anew"
        ) from error
    if _checksums(model) != checksums:
        raise ModelError(f"{model}: is another model than the clusters in {folder} were found with; find them anew")
    return FittedMethod(Detector.load(model, device=device)), model


def _prepared(record: Mapping[str, Any]) -> PreparedEncoder:
    method = prepared_method(record["method"], record["options"])
    preparation: Preparation = method.recipe.build("preparation").load_json(record["preparation"])
    return PreparedEncoder(method, preparation)


def _checksums(model: Path) -> Any:
    file = model / CHECKSUMS_FILE
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{file}: cannot be read ({error}); the model that clusters were found with is missing"
        ) from error
