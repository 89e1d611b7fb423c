"""Maps of many cases on the network's grid, with the way back to each file's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.preparation.geometry import Geometry

Trace = tuple[tuple[int, ...], ...]
# The share of held-out normal pixels that overlays may show at full strength.
MAP_QUANTILE = 0.999
# So many pixels tell that quantile well enough.
SAMPLED_PIXELS = 5_000_000


def map_scale(maps: np.ndarray) -> float:
    """The value above which hardly any pixel of maps ``(N, H, W)`` lies."""
    return float(np.quantile(_sampled(maps), MAP_QUANTILE))


def map_base(maps: np.ndarray) -> float:
    """What is usual in maps ``(N, H, W)``: the median of their pixels above 0, as those outside the body are 0."""
    values = _sampled(maps)
    return float(np.median(values[values > 0])) if (values > 0).any() else 0.0


def _sampled(maps: np.ndarray) -> np.ndarray:
    return maps.ravel()[:: max(maps.size // SAMPLED_PIXELS, 1)]


@dataclass(frozen=True)
class Heatmaps:
    """The maps of all cases.

    Attributes:
        values: The deciding maps ``(N, h, w)`` float32, higher is more abnormal.
        traces: One per case.
        geometry: Knows the way back.
        scale: The value above which hardly any pixel of held-out normals lies; what overlays show as strong.
        name: Of the deciding map, such as ``"rec-grad"``.
        others: Further maps of the same shape by name: the model's other ones, and the trivial ones.
        trivial: Which of the others need no model.
        scales: Of the others, as ``scale``.
        bases: Of all by name, what is usual in held-out normals, and nothing in overlays; 0 where it is not known.
        thresholds: For each map by name, thresholds by what they are called, such as ``"p95"``.
        foreground: ``(N, h, w)`` bool, what belongs to the body; None where everything does.
    """

    values: np.ndarray
    traces: Sequence[Trace]
    geometry: Geometry
    scale: float
    name: str = "map"
    others: Mapping[str, np.ndarray] = field(default_factory=dict)
    trivial: Sequence[str] = ()
    scales: Mapping[str, float] = field(default_factory=dict)
    bases: Mapping[str, float] = field(default_factory=dict)
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    foreground: np.ndarray | None = None

    @property
    def names(self) -> list[str]:
        """Every map, the deciding one first."""
        return [self.name, *self.others]

    def of(self, name: str) -> np.ndarray:
        """One kind of map of all cases, ``(N, h, w)``."""
        return self.values if name == self.name else self.others[name]

    def scale_of(self, name: str) -> float:
        """What overlays of a kind of map show as strong."""
        return self.scale if name == self.name else self.scales[name]

    def range_of(self, name: str | None = None) -> tuple[float, float]:
        """What overlays show as nothing and as strong, of the deciding kind of map if none is named."""
        name = name or self.name
        base, scale = self.bases.get(name, 0.0), self.scale_of(name)
        return (base if base < scale else 0.0), scale

    def on_source_grid(self, index: int, name: str | None = None) -> np.ndarray:
        """A map of one case, the deciding one if none is named, ``(H, W)`` as its file."""
        return self.geometry.restore(self.of(name or self.name)[index], self.traces[index])

    def foreground_on_source_grid(self, index: int) -> np.ndarray | None:
        """What belongs to the body in one case, ``(H, W)`` bool; None where everything does."""
        if self.foreground is None:
            return None
        return self.geometry.restore(self.foreground[index].astype(np.float32), self.traces[index]) >= 0.5

    def source_size(self, index: int) -> tuple[int, int]:
        """Height and width of one case's file."""
        height, width, *_ = next(record for record in self.traces[index] if record)
        return height, width

    def subset(self, indices: np.ndarray) -> Heatmaps:
        """The maps of some of the cases, in the order given."""
        return replace(
            self,
            values=self.values[indices],
            traces=[self.traces[i] for i in indices],
            others={name: values[indices] for name, values in self.others.items()},
            foreground=None if self.foreground is None else self.foreground[indices],
        )


def slices_by_volume(cases: Cases) -> dict[str, list[int]]:
    """Indices of the slices of each volume in their order, by a name for its files; other images are left out.

    The name is the folder in the slices' names; where volumes share one, or have none, that of their first slice.
    """
    volumes: dict[object, list[tuple[int, int]]] = {}
    for index, case in enumerate(cases):
        if case.slice is not None:
            volumes.setdefault((case.path, case.slice.axis), []).append((case.slice.index, index))
    return _named(cases, [[index for _, index in sorted(slices)] for slices in volumes.values()])


def tiles_by_slide(cases: Cases) -> dict[str, list[int]]:
    """Indices of the tiles of each slide, by a name for its files as in ``slices_by_volume``."""
    slides: dict[Path | None, list[int]] = {}
    for index, case in enumerate(cases):
        if case.tile is not None:
            slides.setdefault(case.path, []).append(index)
    return _named(cases, list(slides.values()))


def _named(cases: Cases, ordered: list[list[int]]) -> dict[str, list[int]]:
    firsts = [cases[indices[0]].name for indices in ordered]
    folders = [name.rpartition("/")[0] for name in firsts]
    apart = all(folders) and len(set(folders)) == len(folders)
    return dict(zip(folders if apart else firsts, ordered, strict=True))
