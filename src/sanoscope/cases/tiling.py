"""From slides to their tiles: squares of one size and magnification, where there is tissue."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sanoscope.cases.annotations import SUFFIXES as OUTLINES
from sanoscope.cases.annotations import mask_of
from sanoscope.cases.case import Case, Cases, SlideTile
from sanoscope.cases.layouts.groups import listed
from sanoscope.cases.slides import SlideFacts, facts_of, is_slide
from sanoscope.cases.tissue import CELL, METHODS, camelyon16_cells, find_tissue
from sanoscope.console import track
from sanoscope.errors import DataError, ImageError, OptionError, nearest

RANDOM = re.compile(r"random:([1-9]\d*)")
THREADS = 4  # OpenSlide decodes without the interpreter's lock
# A tile may be magnified by so much beyond its slide: scanners of 40× have 0.22 to 0.27 micrometres per pixel.
MAGNIFIED_MORE = 1.1
# Tiles of a slide; the largest slides have a tenth of it at full magnification, but a header may lie.
MOST_TILES = 2**22


@dataclass(frozen=True)
class Tiling:
    """How slides are cut into tiles.

    Attributes:
        size: Width and height of a tile in pixels.
        magnification: That tiles are read at.
        objective: Magnification of level 0 of slides that do not tell; 0 refuses them.
        tissue: ``"otsu"`` where there is colour, ``"camelyon16"`` cells after that challenge's protocol, of 768 pixels
            of level 0 whatever the magnification, or ``"none"`` everywhere.
        least_tissue: Share of a tile that must be tissue.
        tiles: ``"all"``, or ``"random:N"`` for N of those of each slide, always the same.
    """

    size: int = 256
    magnification: float = 10.0
    objective: float = 0.0
    tissue: str = "otsu"
    least_tissue: float = 0.5
    tiles: str = "all"

    def __post_init__(self) -> None:
        if self.tissue not in METHODS:
            raise OptionError(f"data.tissue={self.tissue} is unknown; {nearest(self.tissue, list(METHODS))}")
        if self.tiles != "all" and not RANDOM.fullmatch(self.tiles):
            raise OptionError(f"data.tiles={self.tiles} is not understood; write all, or random:50")
        if self.size < 1 or self.magnification <= 0 or self.objective < 0:
            raise OptionError(
                f"data.tile_size={self.size}, data.magnification={self.magnification:g}, "
                f"data.objective={self.objective:g}: the first two must be above 0, the last not below"
            )
        if not 0 <= self.least_tissue <= 1:
            raise OptionError(f"data.least_tissue={self.least_tissue:g}: must be a share from 0 to 1")

    def side(self, path: Path) -> int:
        """Width and height of a tile of a slide, in pixels of level 0.

        Raises:
            ImageError: The slide cannot be read, does not tell its magnification, or has a lower one.
        """
        if self.tissue == "camelyon16":
            return CELL
        objective = facts_of(path).objective or self.objective
        if not objective:
            raise ImageError(f"{path}: does not tell its magnification; set data.objective, such as 20 or 40")
        if self.magnification > objective * MAGNIFIED_MORE:
            raise ImageError(
                f"{path}: has {objective:.3g}× and not data.magnification={self.magnification:g}; set it no higher"
            )
        return max(round(self.size * objective / self.magnification), 1)

    def places(self, path: Path) -> list[tuple[int, int]]:
        """The corners ``(x, y)`` on level 0 of the tiles of a slide, row by row.

        Raises:
            ImageError: As ``side``.
        """
        if self.tissue == "camelyon16":
            return camelyon16_cells(path)
        side, facts = self.side(path), facts_of(path)
        rows, columns = range(0, facts.height, side), range(0, facts.width, side)
        if len(rows) * len(columns) > MOST_TILES:
            raise ImageError(
                f"{path}: has {len(rows) * len(columns):,} tiles of {side} pixels; set data.tile_size higher"
            )
        places = ((x, y) for y in rows for x in columns)
        if self.tissue == "none":
            return list(places)
        tissue = find_tissue(path)
        return [(x, y) for x, y in places if tissue.share(x, y, side) >= max(self.least_tissue, 1e-9)]


def tiled(cases: Cases, tiling: Tiling) -> Cases:
    """The cases with each slide replaced by its tiles.

    The subject is that of the slide, or the slide itself. A file of its name in ``.xml`` or ``.geojson`` beside it
    outlines what is abnormal: a tile is abnormal where any of it is, and has the slide's label where there are no
    outlines. Of Camelyon16's cells those that are partly abnormal are left out, as are the normal ones of slides with
    outlines, and all of abnormal slides without. Tiles that a source names one by one stay as they are. A slide that
    cannot be cut stays whole, and reading it says why, as the notes do.

    Raises:
        DataError: Outlines cannot be read, or no tile is left of slides that can be.
    """
    whole = [_is_whole_slide(case) for case in cases]
    slides = _distinct(cases[np.flatnonzero(whole)])
    if not any(whole):
        return cases
    with ThreadPoolExecutor(THREADS) as pool:
        done = pool.map(lambda case: _tiles(case, tiling), slides)
        found = dict(zip((case.name for case in slides), track(done, "finding tissue", len(slides)), strict=True))
    parts = (
        tile
        for case, is_whole in zip(cases, whole, strict=True)
        for tile in (found.get(case.name, _Cut()).tiles if is_whole else [case])
    )
    cut = cases.with_cases(parts, _notes(slides, found, tiling, sum(whole)))
    if not len(cut):
        raise DataError(
            f"{cases.source}: no tile of its slides is left; set data.tissue=none or data.least_tissue lower"
        )
    return cut


@dataclass(frozen=True)
class _Cut:
    """The tiles of a slide, or the slide itself where it cannot be cut; and how many cells were left out."""

    tiles: list[Case] = field(default_factory=list)
    doubtful: int = 0


def _is_whole_slide(case: Case) -> bool:
    if case.path is None or case.pixels is not None:
        return False
    return case.slice is None and case.tile is None and is_slide(case.path)


def _distinct(slides: Cases) -> list[Case]:
    """Each slide once: of slides in DICOM every level is a file, and each stands for all of those in its folder."""
    known: set[SlideFacts] = set()
    distinct = []
    for case in slides:
        assert case.path is not None
        try:
            facts = facts_of(case.path)
        except ImageError:
            distinct.append(case)
            continue
        same = replace(facts, path=case.path.parent)
        if facts.vendor != "dicom" or same not in known:
            distinct.append(case)
        known.add(same)
    return distinct


def _tiles(slide: Case, tiling: Tiling) -> _Cut:
    path = slide.path
    assert path is not None
    slide = replace(slide, mask=slide.mask or _outlines_beside(path), subject=slide.subject or slide.name)
    if tiling.tissue == "camelyon16" and slide.label == 1 and slide.mask is None:
        return _Cut()
    try:
        side, places = tiling.side(path), tiling.places(path)
    except ImageError as error:
        return _Cut([replace(slide, problem=str(error))])
    cells = [SlideTile(x, y, side, tiling.size) for x, y in places]
    shares = [_abnormal_share(slide, cell) for cell in cells]
    if tiling.tissue == "camelyon16" and slide.mask is not None:
        kept = [cell for cell, share in zip(cells, shares, strict=True) if share == 1]
    else:
        kept = cells
    labels = {cell: slide.label if share is None else int(share > 0) for cell, share in zip(cells, shares, strict=True)}
    tiles = [
        replace(
            slide,
            name=f"{slide.name}/x{cell.x:06d}_y{cell.y:06d}",
            label=labels[cell],
            position=(cell.x, cell.y),
            tile=cell,
        )
        for cell in _drawn(kept, tiling.tiles, path.name)
    ]
    return _Cut(tiles, len(cells) - len(kept))


def _outlines_beside(path: Path) -> Path | None:
    return next((path.with_suffix(suffix) for suffix in OUTLINES if path.with_suffix(suffix).is_file()), None)


def _abnormal_share(slide: Case, cell: SlideTile) -> float | None:
    """How much of a tile is abnormal; None where there are no outlines."""
    if slide.mask is None:
        return None
    try:
        return float(mask_of(slide.mask, cell).mean())
    except ImageError as error:
        raise DataError(f"{error} (without its outlines the slide would count as normal)") from error


def _drawn(cells: list[SlideTile], tiles: str, name: str) -> list[SlideTile]:
    """The tiles that are used, in their order; drawn by the slide's name alone, whatever else there is."""
    found = RANDOM.fullmatch(tiles)
    if found is None or int(found[1]) >= len(cells):
        return cells
    seed = int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest())
    chosen = np.random.default_rng(seed).choice(len(cells), int(found[1]), replace=False)
    return [cells[i] for i in sorted(chosen)]


def _notes(slides: list[Case], found: dict[str, _Cut], tiling: Tiling, files: int) -> Iterator[str]:
    tiles = sum(tile.tile is not None for cut in found.values() for tile in cut.tiles)
    how = f"{tiling.size} pixels at {tiling.magnification:g}×"
    if tiling.tissue == "camelyon16":
        how = f"cells of {CELL} pixels at {tiling.size}"
    chosen = f"data.tissue={tiling.tissue}, data.tiles={tiling.tiles}"
    yield f"slides: {len(slides)}, of which {tiles} tiles ({how}, {chosen})"
    if files > len(slides):
        yield f"files that are further levels of a slide in DICOM: {files - len(slides)}"
    if empty := [name for name, cut in found.items() if not cut.tiles]:
        yield f"slides of which no tile is left: {len(empty)} ({listed(empty, 3)})"
    if problems := [case.problem for cut in found.values() for case in cut.tiles if case.problem is not None]:
        yield f"slides that cannot be cut into tiles: {len(problems)} ({listed(problems, 1)})"
    if doubtful := sum(cut.doubtful for cut in found.values()):
        yield f"cells of slides with outlines that are not wholly abnormal, left out: {doubtful}"
    if alike := [case.name for case in slides if case.label == 1 and not _has_outlines(case)]:
        done = "left out" if tiling.tissue == "camelyon16" else "each tile labelled like them"
        yield f"slides labelled abnormal without outlines, {done}: {len(alike)} ({listed(alike, 3)})"


def _has_outlines(slide: Case) -> bool:
    return slide.mask is not None or (slide.path is not None and _outlines_beside(slide.path) is not None)
