"""Which device to use, and which arithmetic it is good at."""

from __future__ import annotations

import torch

from sanoscope.errors import OptionError


def choose_device(device: str = "auto") -> str:
    """``cpu``, ``cuda`` or ``mps``; ``auto`` takes the fastest there is.

    Raises:
        OptionError: If the device asked for is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, there in available.items() if there)
    if device not in available:
        raise OptionError(f"unknown device '{device}'; one of auto, {', '.join(available)}")
    if not available[device]:
        raise OptionError(f"device '{device}' is not available here; use --device cpu")
    return device


def has_bfloat16_units(device: str) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware, several times as fast as float32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device == "cpu" and bool(torch.cpu._is_amx_tile_supported())


def mixed_precision(precision: str, device: str) -> bool:
    """Whether to run the arithmetic in bfloat16 under ``auto``, ``float32`` or ``bfloat16``.

    The answer depends on the machine's kind only, never on a timing, so that equal machines give equal results.
    """
    return precision == "bfloat16" or (precision == "auto" and has_bfloat16_units(device))
