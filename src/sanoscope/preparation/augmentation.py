"""Random changes of training images that healthy ones could have shown as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

# What the name of the slices' augmentation says of its noise.
SPREAD = {"mri-slices": "variance", "mri-slices-released": "deviation"}


class Augmentation(Protocol):
    """A random change of training images, of each by itself; the same for a generator in the same state."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Changed copies, channels last.

        Args:
            images: Square, ``(B, C, S, S)``, prepared.
            generator: Where the random numbers come from, on any device.
        """


def augmentation_of(name: str, limit: float, crop: int) -> Augmentation | None:
    """What changes training images; None where nothing does.

    Args:
        name: ``none``, ``flips``, ``mri-slices`` or ``mri-slices-released``.
        limit: See ``MRIAugmentation``.
        crop: Side of random crops, which come first; 0 is off.
    """
    steps: list[Augmentation] = [RandomCrops(crop)] if crop else []
    if name == "flips":
        steps.append(Flips())
    elif name in SPREAD:
        steps.append(MRIAugmentation(limit=limit, spread=SPREAD[name]))
    return Composition(tuple(steps)) if len(steps) > 1 else next(iter(steps), None)


@dataclass(frozen=True)
class Composition:
    """Several changes, one after the other.

    Attributes:
        steps: In their order.
    """

    steps: tuple[Augmentation, ...]

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See ``Augmentation``."""
        for step in self.steps:
            images = step(images, generator)
        return images


@dataclass(frozen=True)
class RandomCrops:
    """A square from anywhere in the image.

    Attributes:
        size: Its side, in pixels of the network; no larger than the images.
    """

    size: int

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See ``Augmentation``; the copies are ``(B, C, size, size)``."""
        places = images.shape[-1] - self.size + 1
        tops, lefts = torch.randint(places, (2, len(images)), generator=generator, device=generator.device)
        windows = images.unfold(2, self.size, 1).unfold(3, self.size, 1)  # (B, C, places, places, size, size), a view
        crops = windows[torch.arange(len(images), device=tops.device), :, tops, lefts]
        return crops.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Flips:
    """Left and right exchanged, and top and bottom, each with a probability of one half."""

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See ``Augmentation``."""
        for direction in (3, 2):
            flipped = _uniform((0.0, 1.0), images, generator) < 0.5
            images = torch.where(flipped[:, None, None, None], images.flip(direction), images)
        return images.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class MRIAugmentation:
    """Mirror, turn, scale and shift, brighten, add noise, limit, and add more noise; every image has its own draw.

    Zhou, Deng, Wu: Unsupervised anomaly localization using VAE and beta-VAE; it names noise, rotation and colour, and
    the code that it builds on (MIC-DKFZ, vae-anomaly-experiments) gives the values.

    The values are for z-scored slices on a background of 0, which is also what comes in from beyond the edges. The
    noisy image is input and target alike, so the method stays no denoiser.

    Attributes:
        mirror: Probability of exchanging left and right.
        rotation: Least and greatest angle, in radians.
        scale: Least and greatest factor of the field of view, as the released code has it: above 1 the head becomes
            smaller.
        shift: Greatest shift in each direction, in whole pixels; the code crops 64 of 65.
        brightness: Least and greatest factor of the values.
        noise: Greatest spread of the first Gaussian noise.
        limit: Values are limited to ±limit between the two noises; 0 is off.
        further_noise: Greatest spread of the second.
        spread: What the two numbers are of the noise, ``variance`` or ``deviation``: the library that the released
            code calls takes for a standard deviation what it is given as a variance.
    """

    mirror: float = 0.5
    rotation: tuple[float, float] = (-0.1, 0.1)
    scale: tuple[float, float] = (0.9, 1.2)
    shift: int = 1
    brightness: tuple[float, float] = (0.95, 1.1)
    noise: float = 0.05
    limit: float = 1.5
    further_noise: float = 0.2
    spread: str = "variance"

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """See ``Augmentation``."""
        changed = self._moved(images, generator)
        changed = changed * _uniform(self.brightness, images, generator)[:, None, None, None]
        changed = self._noisy(changed, self.noise, generator)
        if self.limit:
            changed = changed.clamp(-self.limit, self.limit)
        changed = self._noisy(changed, self.further_noise, generator)
        return changed.contiguous(memory_format=torch.channels_last)

    def _moved(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """All movements as one affine map, so that the image is interpolated once."""
        size = images.shape[-1]
        angle = _uniform(self.rotation, images, generator)
        scale = _uniform(self.scale, images, generator)
        side = torch.where(_uniform((0.0, 1.0), images, generator) < self.mirror, -1.0, 1.0)
        steps = (-self.shift, self.shift + 1)
        shifts = torch.randint(*steps, (len(images), 2), generator=generator, device=generator.device).to(images)
        across, down = (shifts * 2 / size).unbind(1)  # the grid is two wide
        cos, sin = scale * angle.cos(), scale * angle.sin()
        rows = (torch.stack([cos * side, -sin, across], 1), torch.stack([sin * side, cos, down], 1))
        grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)

    def _noisy(self, images: Tensor, greatest: float, generator: torch.Generator) -> Tensor:
        spread = _uniform((0.0, greatest), images, generator)
        deviation = spread.sqrt() if self.spread == "variance" else spread
        noise = torch.randn(images.shape, generator=generator, device=generator.device).to(images)
        return images + noise * deviation[:, None, None, None]


def _uniform(bounds: tuple[float, float], images: Tensor, generator: torch.Generator) -> Tensor:
    """One number for each image, ``(B,)``."""
    low, high = bounds
    return torch.rand(len(images), generator=generator, device=generator.device).to(images) * (high - low) + low
