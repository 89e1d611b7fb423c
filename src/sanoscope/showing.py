"""From what scoring gives to what people look at: maps with their scales, and the pictures of the gallery."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sanoscope.calibration import Calibration, map_thresholds
from sanoscope.cases.case import Case
from sanoscope.cases.masks import true_mask
from sanoscope.errors import ImageError
from sanoscope.findings import Findings
from sanoscope.gallery import Shown
from sanoscope.heatmaps import Heatmaps, Trace, map_scale, slices_by_volume, tiles_by_slide
from sanoscope.map_files.slide_picture import scored_slide
from sanoscope.preparation.pictures import Pictures
from sanoscope.preparation.preparation import Preparation
from sanoscope.recipe import Recipe
from sanoscope.report import images as display
from sanoscope.scoring.inference import BatchResult, Inference
from sanoscope.scoring.trivial import MAP_NAMES as TRIVIAL_MAPS

# Volumes and slides that a report shows, how many slices of each, and pixels along a slide: what fits on a screen.
MONTAGE_VOLUMES, MONTAGE_SLICES, MONTAGE_COLUMNS = 3, 24, 6
SLIDE_SIDE = 1024


@dataclass(frozen=True)
class Showing:
    """What pictures of a detector's findings need.

    Attributes:
        recipe: For the thresholds of maps.
        preparation: Fitted.
        calibration: For the scales of maps.
        inference: Gives further maps and reconstructions of the cases in the gallery.
    """

    recipe: Recipe
    preparation: Preparation
    calibration: Calibration
    inference: Inference

    def heatmaps(self, pictures: Pictures, result: BatchResult) -> Heatmaps | None:
        """The maps with their way back, scales and thresholds; None of a method that does not say where."""
        if not result.maps:
            return None
        deciding, *others = result.maps
        # A map that was not computed for the held-out normals, or is read otherwise now, is scaled by what there is.
        holds = self.calibration.holds(self.recipe)
        known = self.calibration.map_scales if holds else {}
        scales = {name: known[name] if name in known else map_scale(maps) for name, maps in result.maps.items()}
        thresholds = map_thresholds(self.recipe, self.calibration)
        return Heatmaps(
            values=result.maps[deciding],
            traces=pictures.traces,
            geometry=self.preparation.geometry,
            scale=scales.pop(deciding),
            name=deciding,
            others={name: result.maps[name] for name in others},
            trivial=[name for name in others if name in TRIVIAL_MAPS],
            scales=scales,
            bases={name: self.calibration.map_bases.get(name, 0.0) for name in result.maps} if holds else {},
            thresholds={name: thresholds.get(name, {}) for name in result.maps},
            foreground=result.foreground,
        )

    def with_gallery(self, findings: Findings, pictures: Pictures) -> Findings:
        """The findings with pictures of the cases worth looking at, and of volumes and slides under maps and scores."""
        wanted = sorted({index for group in findings.gallery_groups().values() for index in group})
        shown = dict(zip(wanted, self._shown(pictures.subset(wanted)), strict=True)) if wanted else {}
        volumes = _volumes_to_show(findings) if self.inference.scoring.map_names else {}
        montages = {name: self._montage(pictures.subset(indices)) for name, indices in volumes.items()}
        return replace(findings, shown=shown, montages=montages | dict(_slides_shown(findings)))

    def _shown(self, pictures: Pictures) -> Iterator[Shown]:
        prepared, reconstructions = self.inference.pictures(pictures)
        heatmaps = self.heatmaps(pictures, self.inference.run(pictures, all_maps=True))
        for position, (case, trace) in enumerate(zip(pictures.cases, pictures.traces, strict=True)):
            image = self._displayed(prepared[position], prepared[position])
            overlays = {} if heatmaps is None else _overlays(image, heatmaps, position)
            truth = self._truth(case, trace)
            yield Shown(
                image,
                None if reconstructions is None else self._displayed(reconstructions[position], prepared[position]),
                None if heatmaps is None else overlays.pop(heatmaps.name),
                None if truth is None else display.outlined(image, truth),
                overlays,
            )

    def _montage(self, pictures: Pictures) -> np.ndarray:
        """The slices of a volume under their maps, with the outline of what is truly abnormal where it is known."""
        prepared = torch.cat([images for images, _ in self.inference.prepared(pictures)])
        heatmaps = self.heatmaps(pictures, self.inference.run(pictures))
        assert heatmaps is not None, "asked for before"
        tiles = []
        for position, (case, trace) in enumerate(zip(pictures.cases, pictures.traces, strict=True)):
            image = self._displayed(prepared[position], prepared)
            tile = display.overlay(image, heatmaps.values[position], heatmaps.range_of())
            truth = self._truth(case, trace)
            tiles.append(tile if truth is None else display.outlined(tile, truth))
        return display.montage(tiles, MONTAGE_COLUMNS)

    def _displayed(self, pixels: Tensor, like: Tensor) -> np.ndarray:
        """Prepared pixels ``(C, H, W)`` for the screen, black and white as for the image or images ``like``."""
        low, high = self.preparation.intensity.display_range(like)
        return display.display(pixels.permute(1, 2, 0).cpu().numpy(), low, high)

    def _truth(self, case: Case, trace: Trace) -> np.ndarray | None:
        """What is truly abnormal, on the network's grid; None where nothing is known or nothing abnormal."""
        try:
            truth = true_mask(case)
        except ImageError:  # a mask that cannot be used is the evaluation's to report
            return None
        if truth is None or not truth.any():
            return None
        return self.preparation.geometry.follow(truth, trace)


def _overlays(image: np.ndarray, heatmaps: Heatmaps, position: int) -> dict[str, np.ndarray]:
    """A picture under each map of the model, by its name."""
    return {
        name: display.overlay(image, heatmaps.of(name)[position], heatmaps.range_of(name))
        for name in heatmaps.names
        if name not in heatmaps.trivial
    }


def _volumes_to_show(findings: Findings) -> dict[str, list[int]]:
    """Indices of evenly chosen slices of the most abnormal volumes, by the volume's name."""
    volumes = slices_by_volume(findings.cases)
    ranked = sorted(volumes, key=lambda name: -findings.score[volumes[name]].max())
    return {name: _evenly(volumes[name], MONTAGE_SLICES) for name in ranked[:MONTAGE_VOLUMES]}


def _slides_shown(findings: Findings) -> Iterator[tuple[str, np.ndarray]]:
    """The slides with the most abnormal tiles under the scores of these, by name; one that fails is left out."""
    slides = tiles_by_slide(findings.cases)
    ranked = sorted(slides, key=lambda name: -findings.score[slides[name]].max())
    for name in ranked[:MONTAGE_VOLUMES]:
        cases = findings.cases[slides[name]]
        path, tiles = cases[0].path, [case.tile for case in cases if case.tile is not None]
        assert path is not None, "a tile is of a file"
        with suppress(ImageError):
            scores = findings.score[slides[name]]
            yield name, scored_slide(path, tiles, scores, findings.score_range, SLIDE_SIDE)


def _evenly(indices: list[int], most: int) -> list[int]:
    if len(indices) <= most:
        return indices
    return [indices[i] for i in np.linspace(0, len(indices) - 1, most).round().astype(int)]
