"""The preparation of a recipe: steps per image, intensity per batch, learned from training normals only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sanoscope.cases.case import Cases
from sanoscope.console import say
from sanoscope.errors import DataError, OptionError
from sanoscope.preparation.augmentation import SPREAD, augmentation_of
from sanoscope.preparation.decode import decode, describe_sizes, require_one_form
from sanoscope.preparation.equalisation import Equalisation
from sanoscope.preparation.erosion import eroded
from sanoscope.preparation.geometry import Channels, Crop, Foreground, Geometry, GeometryStep, Resize
from sanoscope.preparation.histogram_matching import HistogramMatching, match_to_reference
from sanoscope.preparation.intensity import Intensity
from sanoscope.preparation.option_checks import check_random_crop, check_stain, check_window, has_own_scale
from sanoscope.preparation.own_scale import OwnScale
from sanoscope.preparation.pictures import Form, Pictures
from sanoscope.preparation.stain import StainNormalisation, normalise_to
from sanoscope.preparation.stored import geometry_from_json
from sanoscope.preparation.window import Window

# How many pictures are looked at together when learning intensities: a few megabytes.
FIT_BATCH = 256


class Preparation:
    """From files to network input, and from maps back to the source grid.

    The steps stand in this order: channels, stain normalisation, foreground, window, own scale, histogram matching,
    crop, equalisation, resize; these are carried out once per image and kept. Intensity and augmentation follow for
    whole batches.

    Args:
        image_size: Height and width that networks see, in pixels.
        interpolation: ``bicubic``, ``bilinear`` or ``area``.
        channels: ``native``, ``grey`` or ``rgb``.
        stain: ``none``, ``macenko`` or ``vahadane`` for ``StainNormalisation``.
        stain_target: Path of the image whose stains all get, or ``training``.
        window: ``none``, ``file`` or ``CENTRE/WIDTH`` for ``Window``.
        foreground: ``none``, ``nonzero``, ``bright``, ``dark``, ``body`` or ``brain``.
        peel: See ``Foreground``.
        crop: ``none``, ``centre``, ``square`` or ``foreground``.
        crop_size: Side of the centre crop in pixels of the file; 0 takes its share.
        crop_share: The same, as a share of the shorter side.
        random_crop: Side in pixels of the file of the centre crop that training takes random crops of ``crop_size``
            from; 0 is off.
        equalisation: ``none``, or ``histogram`` for ``Equalisation``.
        intensity: ``unit``, ``symmetric``, ``z-score``, ``percentiles``, ``maximum``, ``robust`` or
            ``contrast``.
        statistics: ``training``, ``image`` or ``volume``; see ``OwnScale``.
        percentiles: Lower and upper percentile.
        clip: See ``Intensity``.
        matching: ``none``, or ``histogram`` to match every image to a training slice.
        least_foreground: Share of foreground, on the network's grid, below which training images are left out.
        erosion: Side in pixels of the network's grid of the square that erodes the foreground of maps; 0 is off.
        augmentation: ``none``, ``flips``, ``mri-slices`` or ``mri-slices-released``.

    Attributes:
        geometry: The steps per image.
        intensity: The step per batch.
        augmentation: Changes prepared training batches; None where there is none.
        notes_: What a reader of the results should know of what was learned.
    """

    def __init__(
        self,
        image_size: int,
        interpolation: str,
        channels: str,
        stain: str,
        stain_target: str,
        window: str,
        foreground: str,
        peel: float,
        crop: str,
        crop_size: int,
        crop_share: float,
        random_crop: int,
        equalisation: str,
        intensity: str,
        statistics: str,
        percentiles: tuple[float, ...],
        clip: float,
        matching: str,
        least_foreground: float,
        erosion: int,
        augmentation: str,
    ) -> None:
        self.image_size = image_size
        self.intensity = Intensity(intensity, percentiles, clip)
        check_stain(stain, stain_target, channels)
        own = (OwnScale(intensity, statistics, percentiles),) if has_own_scale(intensity, statistics) else ()
        self._before_stain: tuple[GeometryStep, ...] = (Channels(channels),)
        check_window(window, statistics)
        windowed = () if window == "none" else (Window.parse(window),)
        self._before_matching: tuple[GeometryStep, ...] = (Foreground(foreground, peel), *windowed, *own)
        self._after_matching: tuple[GeometryStep, ...] = (
            Crop(crop, crop_size, crop_share),
            *((Equalisation(),) if equalisation == "histogram" else ()),
            Resize(image_size, interpolation),
        )
        self.geometry = Geometry((*self._before_stain, *self._before_matching, *self._after_matching))
        for name, value in {"least_foreground": least_foreground, "erosion": erosion}.items():
            if value and foreground == "none":
                raise OptionError(f"preparation.{name}={value:g} needs a foreground; set preparation.foreground")
        if augmentation in SPREAD and intensity != "z-score":
            raise OptionError(
                f"preparation.augmentation={augmentation} adds noise in units of the z-score; "
                f"set preparation.intensity=z-score, not {intensity}"
            )
        self._crop_in_training: tuple[GeometryStep, ...] = ()
        if random_crop:
            check_random_crop(random_crop, crop, crop_size, equalisation)
            enlarged = round(random_crop * image_size / crop_size)
            self._crop_in_training = (Crop(crop, random_crop), Resize(enlarged, interpolation))
        if foreground != "none" and (random_crop or augmentation == "flips"):
            raise OptionError(
                f"preparation.foreground={foreground} would stay where it is when random_crop={random_crop} and "
                f"augmentation={augmentation} move training images; set preparation.foreground=none"
            )
        self.augmentation = augmentation_of(augmentation, clip, crop=image_size if random_crop else 0)
        self._learns_intensity = not own or intensity == "contrast"
        self._stain, self._stain_target = stain, stain_target
        self._matching = matching
        self._least_foreground = least_foreground
        self._erosion = erosion
        self.notes_: list[str] = []
        self.form_: Form | None = None
        self._sizes_said = False

    def fit(self, cases: Cases) -> Pictures:
        """Decode training normals and learn from them.

        Returns:
            Their pictures; the unreadable among them are listed there.

        Raises:
            DataError: If none can be read, or if they are of several bit depths or numbers of channels.
            OptionError: If the target of the stains cannot be read, or shows none.
        """
        self._learn_steps(cases)
        pictures = self._with_foreground(require_one_form(decode(cases, self.geometry)))
        self._say_sizes(pictures)
        self.form_ = pictures.forms[0]
        if self._learns_intensity:
            self.intensity.fit(pictures.batch(rows) for rows in _batches(pictures))
        return pictures

    def _learn_steps(self, cases: Cases) -> None:
        stain = None
        if self._stain != "none":
            stain = normalise_to(self._stain_target, self._stain, cases, Geometry(self._before_stain))
        self._take_steps(stain, None)
        if self._matching == "histogram":
            before = Geometry(self.geometry.steps[: -len(self._after_matching)])
            self._take_steps(stain, match_to_reference(cases, before))

    def _take_steps(self, stain: StainNormalisation | None, matching: HistogramMatching | None) -> None:
        """Put what was learned in its place among the steps, and in the notes."""
        self.notes_ = []
        steps = [*self._before_stain]
        if stain:
            steps.append(stain)
            self.notes_.append(f"stains are made those of {stain.target}, after {stain.method.title()} et al.")
        steps += self._before_matching
        if matching:
            steps.append(matching)
            self.notes_.append(f"histograms are matched to that of {matching.reference}")
        self.geometry = Geometry((*steps, *self._after_matching))

    def _with_foreground(self, pictures: Pictures) -> Pictures:
        """The pictures that show enough to learn from."""
        if not self._least_foreground:
            return pictures
        shares = _foreground_shares(pictures)
        enough = shares >= self._least_foreground
        if not enough.any():
            raise DataError(
                f"no training image has foreground on {self._least_foreground:g} of it, at most on "
                f"{shares.max():.3g}; lower preparation.least_foreground"
            )
        if enough.all():
            return pictures
        kept = pictures.subset(np.flatnonzero(enough))
        kept.unreadable = pictures.unreadable
        self.notes_.append(
            f"{np.sum(~enough)} training images with foreground on less than {self._least_foreground:g} of them "
            "were left out (preparation.least_foreground)"
        )
        return kept

    def for_training(self, pictures: Pictures) -> Pictures:
        """The pictures that the augmentation takes random crops from, of the same cases; the same where it takes none.

        Images that are too small to take crops from join the unreadable.

        Raises:
            DataError: If all are too small.
        """
        if not self._crop_in_training:
            return pictures
        geometry = Geometry((*self.geometry.steps[: -len(self._after_matching)], *self._crop_in_training))
        larger = require_one_form(decode(pictures.cases, geometry))
        larger.unreadable = [*pictures.unreadable, *larger.unreadable]
        return larger

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

    def inside(self, batch: tuple[np.ndarray, np.ndarray | None], device: torch.device | str = "cpu") -> Tensor | None:
        """Where maps may be above 0: the eroded foreground ``(B, H, W)`` bool, or None where everything counts."""
        _, foreground = batch
        return None if foreground is None else eroded(torch.from_numpy(foreground).to(device), self._erosion)

    def to_json(self) -> dict[str, Any]:
        """What was learned; the settings are the recipe's."""
        assert self.form_ is not None, "nothing was learned yet"
        form = {"dtype": self.form_.dtype, "channels": self.form_.channels}
        return {"form": form, "intensity": self.intensity.to_json(), "steps": self.geometry.to_json()}

    def load_json(self, state: dict[str, Any]) -> Preparation:
        """Put back what was learned."""
        self.form_ = Form(state["form"]["dtype"], state["form"]["channels"])
        self.intensity.load_json(state["intensity"])
        steps = geometry_from_json(state["steps"]).steps
        self._take_steps(
            next((step for step in steps if isinstance(step, StainNormalisation)), None),
            next((step for step in steps if isinstance(step, HistogramMatching)), None),
        )
        return self


def _batches(pictures: Pictures) -> list[np.ndarray]:
    return [np.arange(start, min(start + FIT_BATCH, len(pictures))) for start in range(0, len(pictures), FIT_BATCH)]


def _foreground_shares(pictures: Pictures) -> np.ndarray:
    """The share of each picture that is foreground, ``(N,)``."""
    foregrounds = (pictures.batch(rows)[1] for rows in _batches(pictures))
    return np.concatenate([foreground.mean((1, 2)) for foreground in foregrounds if foreground is not None])
