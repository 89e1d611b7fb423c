"""A step on one image at a time: its stains made those of a target, and how the target is chosen."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.readers import read_image
from sanoscope.errors import DataError, ImageError, OptionError
from sanoscope.preparation.geometry import Geometry, Picture, StillStep
from sanoscope.preparation.pictures import Form
from sanoscope.preparation.sources import OpenVolumes, read_source
from sanoscope.preparation.stain_matrix import Stained, separated, standard_levels

TRAINING = "training"
# Of how many training images the most typical becomes the target; a median needs no more.
SAMPLE = 64


@dataclass(frozen=True)
class StainNormalisation(StillStep):
    """Give an image the stains of the target: their colours, and for each the same robust maximum.

    It stands behind the channels and before the foreground, as both are about colours of the file, and so before
    cropping and resizing, which would leave fewer pixels to find the stains on. An image with too little tissue, or
    with tissue of one hue, only has its brightness made standard.

    Both methods make brightness standard first, which Macenko et al. do not. The released code of the deep perceptual
    autoencoder takes the colours alone from the target; here both methods scale concentrations, as their papers do.

    Attributes:
        method: ``macenko`` or ``vahadane``.
        stains: Of the target, ``(6,)``: red, green and blue of haematoxylin's unit vector, then of eosin's.
        concentrations: The target's robust maximum of both, ``(2,)``.
        target: What it was: an image file, or the name of a training image.
    """

    method: str
    stains: tuple[float, ...]
    concentrations: tuple[float, ...]
    target: str = ""

    def apply(self, picture: Picture) -> Picture:
        """The picture with the target's stains, 8-bit.

        Raises:
            ImageError: It is not RGB of 8 bits.
        """
        own = separated(_require_rgb(picture.pixels, self.method), self.method)
        return replace(picture, pixels=self._normalised(picture.pixels, own), trace=(*picture.trace, ()))

    def _normalised(self, pixels: np.ndarray, own: Stained | None) -> np.ndarray:
        if own is None:
            return np.asarray(np.rint(standard_levels(pixels)).astype(np.uint8)[pixels])
        factors = np.divide(self.concentrations, own.highest, out=np.ones(2), where=own.highest > 0)
        stains = factors[:, None] * np.reshape(self.stains, (2, 3))
        colours = 255 * np.exp(-own.concentrations @ stains.astype(np.float32))
        return np.asarray(np.rint(colours).astype(np.uint8))


def normalise_to(target: str, method: str, cases: Cases, geometry: Geometry) -> StainNormalisation:
    """The step towards the stains of an image file, or of a training image.

    Args:
        target: Path of the file; ``training`` for the most typical of a sample of training normals.
        method: ``macenko`` or ``vahadane``.
        cases: Training cases.
        geometry: The steps before stains.

    Raises:
        OptionError: The file cannot be read, or shows no stains.
        DataError: No image of the sample does.
    """
    if target == TRAINING:
        return _normalise_to_typical(method, cases, geometry)
    try:
        stained = _separated(read_image(Path(target)), method, geometry)
    except ImageError as error:
        reason = str(error).removeprefix(f"{Path(target)}: ")
        raise OptionError(f"preparation.stain_target={target}: {reason}") from error
    if stained is None:
        raise OptionError(
            f"preparation.stain_target={target}: shows too little tissue of two stains; give an image full of tissue"
        )
    return _step(stained, method, target)


def _normalise_to_typical(method: str, cases: Cases, geometry: Geometry) -> StainNormalisation:
    """The step towards the training normal whose stains are nearest the median of a sample's."""
    found: dict[str, Stained] = {}
    for case in _sample(cases):
        with suppress(ImageError):  # it comes again when all are decoded, with the reason
            if stained := _separated(read_source(case, OpenVolumes()).pixels, method, geometry):
                found[case.name] = stained
    if not found:
        raise DataError(
            f"{cases.source}: none of {min(len(cases.normals), SAMPLE)} normal images can be read as 8-bit RGB and "
            "shows tissue of two stains; set preparation.stain=none, or preparation.stain_target to an image file"
        )
    # Colours as they are, concentrations by their ratio: a distance of 0.1 is about 6 degrees, or 10 %.
    facts = np.stack([np.append(one.stains, np.log(np.maximum(one.highest, 0.01))) for one in found.values()])
    name = list(found)[np.abs(facts - np.median(facts, axis=0)).sum(axis=1).argmin()]
    return _step(found[name], method, name)


def _sample(cases: Cases) -> list[Case]:
    """Up to ``SAMPLE`` normals, the same in whatever order they come."""
    ranked = sorted(cases.normals, key=lambda case: case.name)
    chosen = np.random.default_rng(0).permutation(len(ranked))[:SAMPLE]
    return [ranked[i] for i in sorted(chosen)]


def _separated(pixels: np.ndarray, method: str, geometry: Geometry) -> Stained | None:
    return separated(_require_rgb(geometry.apply(pixels).pixels, method), method)


def _step(stained: Stained, method: str, target: str) -> StainNormalisation:
    return StainNormalisation(method, tuple(stained.stains.ravel().tolist()), tuple(stained.highest.tolist()), target)


def _require_rgb(pixels: np.ndarray, method: str) -> np.ndarray:
    """The pixels, which must be 8-bit RGB."""
    if pixels.dtype != np.uint8 or pixels.shape[2] != 3:
        raise ImageError(
            f"is {Form.of(pixels)}, where preparation.stain={method} takes 8-bit RGB; convert it, or set "
            "preparation.stain=none"
        )
    return pixels
