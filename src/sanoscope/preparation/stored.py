"""Geometry from what was stored of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sanoscope.preparation.equalisation import Equalisation
from sanoscope.preparation.geometry import Channels, Crop, Foreground, Geometry, Resize
from sanoscope.preparation.histogram_matching import HistogramMatching
from sanoscope.preparation.own_scale import OwnScale
from sanoscope.preparation.stain import StainNormalisation
from sanoscope.preparation.window import Window

STEPS: dict[str, Any] = {
    step.__name__.lower(): step
    for step in (
        Channels,
        StainNormalisation,
        Foreground,
        Window,
        OwnScale,
        HistogramMatching,
        Crop,
        Equalisation,
        Resize,
    )
}


def geometry_from_json(stored: Sequence[Mapping[str, Any]]) -> Geometry:
    """The geometry that ``Geometry.to_json`` described.

    Raises:
        KeyError: A step is unknown.
        TypeError: A step has other settings than it had.
    """
    steps = []
    for described in stored:
        settings = {name: tuple(value) if isinstance(value, list) else value for name, value in described.items()}
        del settings["step"]
        steps.append(STEPS[described["step"]](**settings))
    return Geometry(tuple(steps))
