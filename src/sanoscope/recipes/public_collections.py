"""How Shvetsova et al. prepare the collections that their tables are of; presets of every method there share it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CAMELYON16: Mapping[str, Any] = {
    "preparation.crop": "centre",
    "preparation.crop_size": 64,
    "preparation.random_crop": 192,
    "preparation.augmentation": "flips",
}
# The published images are shrunk to 300 pixels first, and all of them is kept.
NIH_WHOLE: Mapping[str, Any] = {"preparation.channels": "grey"}
# Or 224 of these pixels.
NIH: Mapping[str, Any] = {**NIH_WHOLE, "preparation.crop": "centre", "preparation.crop_share": 224 / 300}
PA: Mapping[str, Any] = {"data.view": "PA"}
AP: Mapping[str, Any] = {"data.view": "AP"}
EQUALISED: Mapping[str, Any] = {"preparation.equalisation": "histogram"}
