"""A preparation that suits the images, as options of recipes, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sanoscope.inspection.seen import Seen, subject_of

SIZES = (64, 128, 256)  # that all networks here take
# A lesion should keep this many pixels across.
LEAST_ACROSS = 8
# What most images do is done by this share of them.
MOST = 0.8
# Shares of an image that are exactly 0 where the surroundings of a brain were removed.
STRIPPED = 0.2
# Parts of an image's range of values.
DARK, BRIGHT = 0.06, 0.85
# Volumes or images whose ranges differ by more than this have no scale in common.
SCALES_DIFFER = 1.5
# Aspect ratios that differ by more than this are distorted differently.
ASPECTS_DIFFER = 1.1
# Spread of the subjects' mean colours in units of that within subjects, from which staining differs.
STAINS_DIFFER = 0.5
LEAST_SUBJECTS = 2


@dataclass(frozen=True)
class Suggestion:
    """What to do about one option.

    Attributes:
        option: Its dotted name.
        value: As text for ``--set``; None where a recipe's own value suits.
        reason: Why.
    """

    option: str
    value: str | None
    reason: str

    @property
    def assignment(self) -> str:
        """What ``--set`` takes."""
        return f"{self.option}={self.value}"


def suggestions(seen: Seen, complete: bool = True, thickest: str | None = None) -> list[Suggestion]:
    """What suits the images, in the order of the data's way; nothing without an image that shows something.

    Args:
        seen: The images.
        complete: Whether these are all, so that no slice between those seen is missing.
        thickest: The axis along which volumes have the thickest slices, where they are not cut along it already.
    """
    if not len(seen) or seen.constant.all():
        return []
    kept = np.flatnonzero(~seen.constant)
    shown = Seen(seen.cases[kept], [seen.looks[index] for index in kept])
    return [
        *_axis(thickest),
        *(_slices(seen) if complete else ()),
        _image_size(shown),
        _channels(shown),
        _foreground(shown),
        _crop(shown),
        *_intensity(shown),
        *_stain(shown),
    ]


def _axis(thickest: str | None) -> Iterator[Suggestion]:
    if thickest is not None:
        yield Suggestion("data.axis", thickest, "slices are thickest along this axis: others would be coarse")


def _slices(seen: Seen) -> Iterator[Suggestion]:
    """The part of the volumes that shows something; the same for all of them, as the option is."""
    places = [case.slice for case in seen.cases]
    shown = [place for place, empty in zip(places, seen.constant, strict=True) if place is not None and not empty]
    if not shown:
        return
    first, last = min(place.index for place in shown), min(place.count - 1 - place.index for place in shown)
    if any(place and (place.index < first or place.count - 1 - place.index < last) for place in places):
        reason = f"slices beyond show nothing in any volume: {first} at the beginning, {last} at the end"
        yield Suggestion("data.slices", f"{first or ''}:{-last if last else ''}", reason)


def _image_size(seen: Seen) -> Suggestion:
    side = float(np.median(np.min(seen.values("size"), axis=1)))
    fitting = [size for size in SIZES if size <= side] or [SIZES[0]]
    lesions = [
        np.sqrt(look.abnormal) / min(look.size) for look in seen.looks if look.abnormal is not None and look.abnormal
    ]
    if lesions:
        small = float(np.quantile(lesions, 0.1))  # as a share of the image's side
        enough = next((size for size in fitting if size * small >= LEAST_ACROSS), fitting[-1])
        reason = f"small lesions are {small * side:.3g} of {side:.0f} pixels across, here {small * enough:.2g}"
        return Suggestion("preparation.image_size", str(enough), reason)
    reason = f"the shorter side is {side:.0f} pixels (median)"
    if side < SIZES[0]:
        return Suggestion("preparation.image_size", str(fitting[-1]), f"{reason}; the smallest that all networks take")
    smaller = "; 64 or 128 trains faster, if what matters is still seen" if fitting[-1] > SIZES[1] else ""
    return Suggestion("preparation.image_size", str(fitting[-1]), f"{reason}, and nothing is enlarged{smaller}")


def _channels(seen: Seen) -> Suggestion:
    counts = seen.values("channels")
    one_or_three = set(counts.tolist()) <= {1, 3}
    if one_or_three and ((counts == 1) | seen.values("same_channels")).all():
        if (counts == 1).all():
            return Suggestion("preparation.channels", None, "one channel; recipes that need three repeat it")
        return Suggestion("preparation.channels", "grey", "the three channels of every RGB image are the same")
    if len(set(counts.tolist())) == 1:
        return Suggestion("preparation.channels", None, f"all images have {counts[0]} channels")
    value = "rgb" if one_or_three else "grey"
    return Suggestion("preparation.channels", value, "images have different numbers of channels, and must become alike")


def _foreground(seen: Seen) -> Suggestion:
    name = "preparation.foreground"
    lows = seen.values("low")
    level = (seen.values("border") - lows) / np.maximum(seen.values("top") - lows, 1e-6)
    flat = seen.values("flat_border") > 1 - 2 * (1 - MOST)
    colour = bool((seen.values("channels") == 3).mean() > MOST and not seen.values("same_channels").all())
    if np.mean((level < DARK) & flat) >= MOST:
        if np.mean(seen.values("zeros") >= STRIPPED) >= MOST:
            return Suggestion(name, "nonzero", "the surroundings are exactly 0")
        value = "bright" if colour else "body"
        return Suggestion(name, value, "the border of the images is dark background")
    if colour and np.mean((level > BRIGHT) & flat) >= MOST:
        return Suggestion(name, "dark", "the border of the images is bright glass")
    return Suggestion(name, None, "the border of the images is no even background: all of them counts")


def _crop(seen: Seen) -> Suggestion:
    sizes = seen.values("size")
    aspects = sizes[:, 1] / sizes[:, 0]
    low, high = np.quantile(aspects, [0.05, 0.95])
    if high > ASPECTS_DIFFER * low:
        reason = f"width to height goes from {low:.2f} to {high:.2f}, and resizing would distort images differently"
        return Suggestion("preparation.crop", "square", reason)
    same = "square" if abs(np.median(aspects) - 1) < ASPECTS_DIFFER - 1 else "of about the same shape"
    return Suggestion("preparation.crop", None, f"images are {same}")


def _intensity(seen: Seen) -> Iterator[Suggestion]:
    name = "preparation.intensity"
    if set(seen.values("dtype").tolist()) == {"uint8"}:
        yield Suggestion(name, None, "8 bits have a scale of their own")
        return
    tops, lows = seen.of_wholes("top", np.max), seen.of_wholes("low", np.min)
    if lows.min() >= 0 and tops.max() <= 1:
        yield Suggestion(name, None, "values lie in [0, 1] already")
        return
    bottom, top = np.quantile(seen.reach, [0.1, 0.9])
    if len(tops) > 1 and top > SCALES_DIFFER * max(bottom, 1e-6):
        volumes = lows.min() >= 0 and all(case.slice is not None for case in seen.cases)
        value, each = ("maximum", "volume") if volumes else ("percentiles", "image")
        yield Suggestion(name, value, f"values reach from {bottom:.4g} to {top:.4g}: no scale in common")
        yield Suggestion("preparation.statistics", each, f"so that each {each} is brought to one scale")
        return
    reason = "values are signed" if lows.min() < 0 else "more than 8 bits, where few hot pixels would set the scale"
    yield Suggestion(name, "percentiles", f"{reason}; percentiles of training normals keep how bright an image is")


def _stain(seen: Seen) -> Iterator[Suggestion]:
    """Only where images look like stained tissue: green is the darkest channel."""
    if not (seen.values("channels") == 3).all():
        return
    if not (seen.values("dtype") == "uint8").all() or seen.values("same_channels").any():
        return
    colours = np.array([look.colour for look in seen.looks])  # (N, 3)
    stained = (colours[:, 1] < colours[:, 0]) & (colours[:, 1] < colours[:, 2])
    subjects = np.array([subject_of(case) for case in seen.cases])
    names, of_each = np.unique(subjects, return_inverse=True)
    if stained.mean() < MOST or len(names) < LEAST_SUBJECTS or len(names) == len(subjects):
        return
    means = np.stack([colours[of_each == number].mean(axis=0) for number in range(len(names))])
    within = np.sqrt(np.mean((colours - means[of_each]) ** 2))
    by_chance = within**2 / (len(subjects) / len(names))  # means of few images differ without any reason
    between = np.sqrt(max(np.mean((means - means.mean(axis=0)) ** 2) - by_chance, 0))
    if between >= STAINS_DIFFER * max(within, 1):
        reason = f"mean colours of subjects lie {between:.0f} grey levels apart, those within a subject {within:.0f}"
        yield Suggestion("preparation.stain", "macenko", reason)
