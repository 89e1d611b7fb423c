"""What the comparison study of Baur et al. does to maps: an intensity prior, a median, small regions dropped.

Baur, Denner, Wiestler, Navab, Albarqouni: Autoencoders for unsupervised anomaly segmentation in brain MR images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable

import numpy as np
from scipy import ndimage

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.volumes import NUMBERED
from sanoscope.errors import OptionError, nearest

MEDIANS = ("none", "2d", "3d")


class Postprocessing:
    """Named steps on maps, always in this order: the prior, the median, small regions; none without arguments.

    Small regions are dropped by an area opening: thresholding the map that is left gives, at any threshold from 0 up,
    what thresholding first and dropping the regions that are too small then would give. So every decision, curve and
    best threshold sees maps without small regions, and none has to be chosen before. Pixels and voxels that touch at a
    corner belong to one region.

    Args:
        median: ``2d`` replaces each pixel by the median of the square around it; ``3d`` each voxel by that of the cube,
            where slices of a volume are neighbours; ``none`` neither.
        median_size: Side of the square or cube in pixels of the network's grid, and in slices; odd.
        prior: Maps are kept where the prepared image, its mean over channels, is at or above this quantile of its
            foreground, and 0 elsewhere; 0 is off.
        least_area: Bright regions of fewer pixels, or voxels with ``3d``, are dropped; 0 is off.

    Raises:
        OptionError: A value that is not one of these.
    """

    def __init__(self, median: str = "none", median_size: int = 3, prior: float = 0.0, least_area: int = 0) -> None:
        if median not in MEDIANS:
            raise OptionError(f"postprocessing.median={median} is unknown; {nearest(median, list(MEDIANS))}")
        if median_size < 3 or median_size % 2 == 0:
            raise OptionError(f"postprocessing.median_size={median_size} has no middle; give an odd number from 3")
        if not 0 <= prior < 1:
            raise OptionError(
                f"postprocessing.prior={prior} is no quantile; give 0 for none, or less than 1 such as 0.9"
            )
        if least_area < 0:
            raise OptionError(
                f"postprocessing.least_area={least_area} is no number of pixels; give 0 for none, or more"
            )
        self.median = median
        self.median_size = median_size
        self.prior = prior
        self.least_area = least_area

    @property
    def active(self) -> bool:
        """Whether any step is on."""
        return self.median != "none" or self.prior > 0 or self.least_area > 0

    @property
    def volumetric(self) -> bool:
        """Whether a map depends on the neighbouring slices; then ``of_volumes`` has to follow ``of_images``."""
        return self.median == "3d"

    def of_images(self, maps: np.ndarray, images: np.ndarray, inside: np.ndarray | None) -> np.ndarray:
        """What needs nothing but the image: the prior and, unless it is volumetric, everything else.

        Args:
            maps: ``(B, H, W)`` float32, finite and not negative, as what is returned.
            images: Prepared, ``(B, C, H, W)``.
            inside: ``(B, H, W)`` bool, outside of which maps are 0; None is everywhere.
        """
        maps = _inside_only(maps, inside)
        if self.prior > 0:
            maps = maps * self._bright(images, inside)
        return maps if self.volumetric else self._cleaned(maps, inside, depth=1)

    def of_volumes(self, maps: np.ndarray, cases: Cases, inside: np.ndarray | None = None) -> np.ndarray:
        """What needs the neighbouring slices: the 3-D median, and small regions in 3-D. Else the maps as they are.

        Neighbours are slices of a volume, or images of one subject whose names differ in the number at their end,
        that follow one another without a gap. A slice without neighbours gets its 2-D median. What a slice gets
        depends on which of its neighbours are given, and not on their order.

        Args:
            maps: ``(N, H, W)`` from ``of_images``.
            cases: One for each map.
            inside: ``(N, H, W)`` bool, outside of which maps are 0; None is everywhere.
        """
        if not self.volumetric:
            return maps
        cleaned = np.empty_like(maps)
        for rows in _runs(cases):
            depth = self.median_size if len(rows) > 1 else 1
            cleaned[rows] = self._cleaned(maps[rows], None if inside is None else inside[rows], depth)
        return cleaned

    def _bright(self, images: np.ndarray, inside: np.ndarray | None) -> np.ndarray:
        """Where each image is as bright as the prior asks, ``(B, H, W)`` bool."""
        intensity = images.mean(1, dtype=np.float64)  # (B, H, W)
        bright = np.zeros(intensity.shape, bool)
        for index, values in enumerate(intensity):
            body = values if inside is None else values[inside[index]]
            if body.size:
                bright[index] = values >= np.quantile(body, self.prior)
        return bright

    def _cleaned(self, maps: np.ndarray, inside: np.ndarray | None, depth: int) -> np.ndarray:
        """Median and small regions of maps ``(N, H, W)``; with a depth of 1 each for itself, else as one volume."""
        if self.median != "none":
            size = (depth, self.median_size, self.median_size)
            maps = _inside_only(ndimage.median_filter(maps, size, mode="nearest"), inside)
        return _area_opened(maps, self.least_area, volume=depth > 1) if self.least_area else maps


def _inside_only(maps: np.ndarray, inside: np.ndarray | None) -> np.ndarray:
    return maps if inside is None else maps * inside


def _area_opened(maps: np.ndarray, least_area: int, volume: bool) -> np.ndarray:
    """Grey-scale area opening of maps ``(N, H, W)`` of values from 0 up, of each map or of all as one volume.

    As long as there are regional maxima that are too small, each is lowered to the greatest value around it, where
    it joins others; all at once, so that every round makes them larger. The result is that of scikit-image's
    ``area_opening``, which takes up to thirty times as long for volumes and refuses those of one or two slices.
    """
    # Imported late, as most recipes do without.
    from skimage.morphology import local_maxima

    touching = np.ones((3, 3, 3), bool)
    touching[[0, 2]] = volume
    opened = np.pad(maps, ((0, 0), (1, 1), (1, 1)))  # so that even a region over a whole map has something below it
    while True:
        regions, count = ndimage.label(local_maxima(opened, footprint=touching), touching)
        small = np.bincount(regions.ravel(), minlength=count + 1) < least_area
        small[0] = False  # what is no maximum
        if not small.any():
            return opened[:, 1:-1, 1:-1]
        lowered = small[regions]
        labels = regions[lowered]
        around = ndimage.maximum_filter(np.where(lowered, 0, opened), (3 if volume else 1, 3, 3))
        levels = np.zeros(count + 1, maps.dtype)
        np.maximum.at(levels, labels, around[lowered])
        opened[lowered] = levels[labels]


def _runs(cases: Cases) -> list[list[int]]:
    """Rows of the slices that follow one another without a gap, in their order; each case is in one run."""
    places: defaultdict[Hashable, list[tuple[int, int]]] = defaultdict(list)
    for row, case in enumerate(cases):
        volume, index = _place(case)
        places[volume].append((index, row))
    runs = []
    for place in places.values():
        before = None
        for index, row in sorted(place):
            if before is None or index != before + 1:
                runs.append([row])
            else:
                runs[-1].append(row)
            before = index
    return runs


def _place(case: Case) -> tuple[Hashable, int]:
    """The volume or numbered series that a case is of, and where it stands in it."""
    if case.slice is not None:
        return (case.path, case.slice.axis), case.slice.index
    folder, _, name = case.name.rpartition("/")
    number = NUMBERED.search(name)
    if case.subject is None or number is None:
        return case.name, 0
    return (case.subject, folder, name[: number.start(1)]), int(number[1])
