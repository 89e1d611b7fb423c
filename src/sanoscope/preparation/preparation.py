"""The preparation of a recipe: geometry per image, intensity per batch, learned from training normals only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sanoscope.cases.case import Cases
from sanoscope.console import say
from sanoscope.preparation.decode import decode, describe_sizes, require_one_form
from sanoscope.preparation.geometry import Channels, Crop, Foreground, Geometry, Resize
from sanoscope.preparation.intensity import Intensity
from sanoscope.preparation.pictures import Form, Pictures

# How many pictures are looked at together when learning intensities: a few megabytes.
FIT_BATCH = 256


class Preparation:
    """From files to network input, and from maps back to the source grid.

    Args:
        image_size: Height and width that networks see, in pixels.
        interpolation: ``bicubic``, ``bilinear`` or ``area``.
        channels: ``native``, ``grey`` or ``rgb``.
        foreground: ``none``, ``nonzero``, ``bright`` or ``dark``.
        crop: ``none``, ``centre``, ``square`` or ``foreground``.
        crop_size: Side of the centre crop in pixels of the file.
        intensity: ``unit``, ``symmetric``, ``z-score`` or ``percentiles``.
        statistics: ``training`` or ``image``, for the last two.
        percentiles: Lower and upper percentile.
        clip: See ``Intensity``.
    """

    def __init__(
        self,
        image_size: int,
        interpolation: str,
        channels: str,
        foreground: str,
        crop: str,
        crop_size: int,
        intensity: str,
        statistics: str,
        percentiles: tuple[float, ...],
        clip: float,
    ) -> None:
        self.image_size = image_size
        self.geometry = Geometry(
            (Channels(channels), Foreground(foreground), Crop(crop, crop_size), Resize(image_size, interpolation))
        )
        self.intensity = Intensity(intensity, statistics, percentiles, clip)
        self.form_: Form | None = None
        self._sizes_said = False

    def fit(self, cases: Cases) -> Pictures:
        """Decode training normals and learn from them.

        Returns:
            Their pictures; the unreadable among them are listed there.

        Raises:
            DataError: If none can be read, or if they are of several bit depths or numbers of channels.
        """
        pictures = require_one_form(decode(cases, self.geometry))
        self._say_sizes(pictures)
        self.form_ = pictures.forms[0]
        starts = range(0, len(pictures), FIT_BATCH)
        self.intensity.fit(pictures.batch(np.arange(start, min(start + FIT_BATCH, len(pictures)))) for start in starts)
        return pictures

    def decode(self, cases: Cases) -> Pictures:
        """Decode further cases; those that do not fit the training images are listed as unreadable."""
        assert self.form_ is not None, "fit or load before decoding"
        pictures = require_one_form(decode(cases, self.geometry), self.form_)
        self._say_sizes(pictures)
        return pictures

    def _say_sizes(self, pictures: Pictures) -> None:
        """Once for a preparation: a reader of the log needs no reminder for every side of a split."""
        if not self._sizes_said and (sentence := describe_sizes(pictures, self.image_size)):
            say(sentence)
            self._sizes_said = True

    def tensors(self, batch: tuple[np.ndarray, np.ndarray | None], device: torch.device | str = "cpu") -> Tensor:
        """Stored pixels as network input ``(B, C, H, W)``."""
        pixels, foreground = batch
        inside = None if foreground is None else torch.from_numpy(foreground).to(device)
        return self.intensity.apply(torch.from_numpy(pixels).to(device), inside)

    def to_json(self) -> dict[str, Any]:
        """What was learned; the settings are the recipe's."""
        assert self.form_ is not None, "nothing was learned yet"
        form = {"dtype": self.form_.dtype, "channels": self.form_.channels}
        return {"form": form, "intensity": self.intensity.to_json(), "steps": self.geometry.to_json()}

    def load_json(self, state: dict[str, Any]) -> Preparation:
        """Put back what was learned."""
        self.form_ = Form(state["form"]["dtype"], state["form"]["channels"])
        self.intensity.load_json(state["intensity"])
        return self
