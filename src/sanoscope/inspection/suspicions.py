"""Images that are unlike the others, or show nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope.cases.readers import SIGNATURES
from sanoscope.cases.suffixes import suffix_of
from sanoscope.inspection.seen import SLIGHT, Seen, strangeness

# Fewer images than this have no usual look that one of them could be unlike.
LEAST_IMAGES = 8
STRANGE = 6.0  # robust standard deviations
# What is this much unlike the others is worth a look, however alike those are.
SHIFT, FACTOR, STRETCH = 0.15, 4.0, 1.5
SATURATED, USUALLY_SATURATED = 0.25, 0.05
# Where so many images are of one size, another size is unlike it.
MOSTLY = 0.9


@dataclass(frozen=True)
class Suspicion:
    """Something to look at before training.

    Attributes:
        kind: What it is, in a few words.
        message: What was found, and what to do.
        cases: Names of the cases in question; empty where it is about all of them.
    """

    kind: str
    message: str
    cases: tuple[str, ...] = ()


def suspicious_images(seen: Seen) -> list[Suspicion]:
    """All that is suspicious about single images."""
    if not len(seen):
        return []
    found = [*_constant(seen), *_sizes(seen), *_kinds(seen)]
    if len(seen.wholes) >= LEAST_IMAGES:
        found += [*_brightness(seen), *_saturation(seen), *_aspects(seen), *_ranges(seen)]
    return found


def misnamed(refused: Sequence[tuple[Path | None, str]]) -> tuple[str, ...]:
    """Of the files that cannot be read, those that begin like a file of another type than their name says."""
    return tuple(str(path) for path, _ in refused if path is not None and _begins_otherwise(path))


def _begins_otherwise(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            begins = stream.read(132)
    except OSError:
        return False
    suffix = suffix_of(path).replace(".jpeg", ".jpg").replace(".tiff", ".tif")
    if suffix not in SIGNATURES.values():
        return False
    true = ".dcm" if begins[128:] == b"DICM" else next((s for b, s in SIGNATURES.items() if begins.startswith(b)), None)
    return true is not None and true != suffix


def _constant(seen: Seen) -> Iterator[Suspicion]:
    empty = np.flatnonzero(seen.constant)
    if not empty.size:
        return
    slices = sum(seen.cases[int(index)].slice is not None for index in empty)
    mend = "leave out empty ends of volumes with data.slices" if slices else "leave them out"
    yield Suspicion(
        "nearly constant", f"images that show next to nothing: {empty.size}; {mend}", _names(seen, empty.tolist())
    )


def _sizes(seen: Seen) -> Iterator[Suspicion]:
    (common, number) = seen.common("size")
    odd = [index for index, look in enumerate(seen.looks) if look.size != common]
    if odd and number >= MOSTLY * len(seen):
        yield Suspicion(
            "size",
            f"images of another size than {_by(common)}: {len(odd)} ({_counted(seen, odd, 'size')})",
            _names(seen, odd),
        )
        return
    if len(seen) < LEAST_IMAGES:
        return
    sides = np.log(np.prod(seen.values("size"), axis=1)) / 2
    apart = (strangeness(sides, 0.05) > STRANGE) & (np.abs(sides - np.median(sides)) > np.log(FACTOR))
    if apart.any():
        odd = np.flatnonzero(apart).tolist()
        yield Suspicion(
            "size",
            f"images far smaller or larger than the others: {len(odd)} ({_counted(seen, odd, 'size')})",
            _names(seen, odd),
        )


def _kinds(seen: Seen) -> Iterator[Suspicion]:
    """Channels and bit depth: a training takes images of one kind only."""
    mends = {"channels": "set preparation.channels=rgb or grey", "dtype": "convert the files to one bit depth"}
    for what, mend in mends.items():
        common, _ = seen.common(what)
        odd = [index for index, look in enumerate(seen.looks) if getattr(look, what) != common]
        if odd:
            unit = " channels" if what == "channels" else ""
            yield Suspicion(
                "channels" if unit else "bit depth",
                f"images that are not {common}{unit} like most: {len(odd)} ({_counted(seen, odd, what)}); {mend}",
                _names(seen, odd),
            )


def _brightness(seen: Seen) -> Iterator[Suspicion]:
    """Of images that show something: constant ones are named already."""
    shown = np.array([not seen.constant[indices].all() for indices in seen.wholes])
    means = seen.of_wholes("mean")
    middle = np.median(means)
    strange = strangeness(means, SLIGHT * seen.scale) > STRANGE
    for word, shifts in (("darker", middle - means), ("brighter", means - middle)):
        odd = strange & shown & (shifts > SHIFT * seen.scale)
        if odd.any():
            message = f"images far {word} than the others: {odd.sum()}; check how they were taken"
            yield Suspicion(f"far {word}", message, _of_wholes(seen, odd))


def _saturation(seen: Seen) -> Iterator[Suspicion]:
    shares, highs = seen.of_wholes("at_top"), seen.of_wholes("high", np.max)
    if np.median(shares) >= USUALLY_SATURATED:
        return
    odd = (shares > SATURATED) & (highs >= np.median(highs)) & (seen.of_wholes("deviation", np.max) > 0)
    if odd.any():
        message = f"images with more than {SATURATED:.0%} of their pixels at the largest value: {odd.sum()}"
        yield Suspicion("saturated", f"{message}; they may be overexposed", _of_wholes(seen, odd))


def _aspects(seen: Seen) -> Iterator[Suspicion]:
    sizes = seen.values("size")
    aspects = np.log(sizes[:, 1] / sizes[:, 0])
    odd = (strangeness(aspects, 0.02) > STRANGE) & (np.abs(aspects - np.median(aspects)) > np.log(STRETCH))
    if odd.any():
        some = np.flatnonzero(odd).tolist()
        message = f"images far wider or higher than the others: {len(some)} ({_counted(seen, some, 'size')})"
        yield Suspicion("aspect ratio", f"{message}; resizing would distort them", _names(seen, some))


def _ranges(seen: Seen) -> Iterator[Suspicion]:
    reach = np.maximum(seen.reach, 1e-6)
    shown = np.array([not seen.constant[indices].all() for indices in seen.wholes])
    ratios = np.log(reach / np.median(reach))
    odd = (strangeness(ratios, 0.02) > STRANGE) & (np.abs(ratios) > np.log(FACTOR)) & shown
    if odd.any():
        message = f"images whose values span {FACTOR:g} times more or less than the others': {odd.sum()}"
        yield Suspicion("value range", f"{message}; they may be scaled otherwise", _of_wholes(seen, odd))


def _names(seen: Seen, indices: Sequence[int]) -> tuple[str, ...]:
    return tuple(seen.cases[index].name for index in indices)


def _of_wholes(seen: Seen, chosen: np.ndarray) -> tuple[str, ...]:
    return tuple(seen.name_of(seen.wholes[place]) for place in np.flatnonzero(chosen))


def _counted(seen: Seen, indices: Sequence[int], what: str, most: int = 4) -> str:
    """How often each value of an attribute, such as ``"3 of 50 × 37"``."""
    counts = Counter(getattr(seen.looks[index], what) for index in indices).most_common()
    listed = ", ".join(f"{number} of {_by(value)}" for value, number in counts[:most])
    return listed + (", …" if len(counts) > most else "")


def _by(value: Any) -> str:
    return " × ".join(map(str, value)) if isinstance(value, tuple) else str(value)
