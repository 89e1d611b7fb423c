"""Where a result comes from: versions, machine and time."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable
from typing import Any

PACKAGES = ("sanoscope", "torch", "lightning", "numpy", "scikit-learn", "pillow")


def version() -> str:
    """The installed version of Sanoscope."""
    return importlib.metadata.version("sanoscope")


def environment(device: str) -> dict[str, Any]:
    """Versions, machine and the present time, as plain values."""
    import torch

    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in PACKAGES},
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name() if device == "cuda" else device,
        },
    }


def digest(keys: Iterable[str]) -> str:
    """One short hash of many content keys, in their order."""
    whole = hashlib.blake2b(digest_size=16)
    for key in keys:
        whole.update(key.encode())
    return whole.hexdigest()
