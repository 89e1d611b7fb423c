"""What is recorded of a fit: where its images are from, which were read, and what a resumed run must have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sanoscope.cases import fingerprint
from sanoscope.cases.selection import Selected
from sanoscope.preparation.pictures import Pictures
from sanoscope.provenance import digest, environment
from sanoscope.recipe import Recipe
from sanoscope.training.devices import mixed_precision


def fit_record(
    recipe: Recipe, seed: int, device: str, selected: Selected, pictures: Pictures, held_out: Pictures
) -> dict[str, Any]:
    """The provenance of a model before it is trained: nested mappings of plain values.

    Args:
        recipe: With its options set.
        seed: Of everything random.
        device: That it is trained on.
        selected: The cases of both sides.
        pictures: Of the training normals, as far as they could be read.
        held_out: Of what the threshold is fitted on.
    """
    precision = recipe["training.precision"] if "training.precision" in recipe.options else "float32"
    sides = {"training": (selected.train, pictures), "validation": (selected.validation, held_out)}
    return {
        "data": {
            "source": selected.train.source,
            "layout": selected.train.layout,
            **{
                side: fingerprint(cases) | {"digest": digest(read.keys), "read": len(read)}
                for side, (cases, read) in sides.items()
            },
        },
        "training": {"seed": seed, "precision": "bfloat16" if mixed_precision(precision, device) else "float32"},
        "fitted": environment(device),
    }


def run_record(recipe: Recipe, seed: int, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same where a training is resumed; see ``begin_run``."""
    data = provenance["data"]
    return {
        "recipe": recipe.name,
        "options": recipe.values,
        "seed": seed,
        "training images": data["training"]["digest"],
        "validation images": data["validation"]["digest"],
    }


def unreadable_notes(*sides: Pictures) -> list[str]:
    """A note for each image that could not be read."""
    unreadable = [item for pictures in sides for item in pictures.unreadable]
    return [f"could not be read and was left out: {item.reason}" for item in unreadable]
