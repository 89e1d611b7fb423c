"""Options of the preparation that do not go together."""

from __future__ import annotations

from sanoscope.errors import OptionError
from sanoscope.preparation.own_scale import IMAGE_MODES, MODES, STATISTICS
from sanoscope.preparation.stain import TRAINING


def has_own_scale(intensity: str, statistics: str) -> bool:
    """Whether images are scaled by statistics of their own, or of their volume.

    Raises:
        OptionError: If the kind of intensity has no such statistics.
    """
    if statistics not in STATISTICS:
        if intensity in IMAGE_MODES:
            raise OptionError(f"preparation.intensity={intensity} is of each image; set preparation.statistics=image")
        return False
    if intensity not in MODES:
        raise OptionError(
            f"preparation.statistics={statistics} goes with preparation.intensity={', '.join(MODES)}; "
            f"{intensity} has none"
        )
    return True


def check_random_crop(side: int, crop: str, crop_size: int, equalisation: str) -> None:
    """Refuse random crops that would not look like what is scored."""
    if crop != "centre" or not 0 < crop_size <= side:
        raise OptionError(
            f"preparation.random_crop={side} needs preparation.crop=centre and a crop_size from 1 to {side}; "
            f"they are {crop} and {crop_size}"
        )
    if equalisation != "none":
        raise OptionError(
            f"preparation.random_crop={side} would equalise the whole square, of which scoring sees the centre only; "
            "set preparation.equalisation=none"
        )


def check_window(window: str, statistics: str) -> None:
    """Refuse statistics of a whole volume for what a window has changed."""
    if window != "none" and statistics == "volume":
        raise OptionError(
            f"preparation.window={window} would change what preparation.statistics=volume was found on; set it to image"
        )


def check_stain(stain: str, target: str, channels: str) -> None:
    """Refuse stains of images without colours, and a target that nothing is made like."""
    if stain == "none" and target != TRAINING:
        raise OptionError(f"preparation.stain_target={target} needs preparation.stain=macenko or vahadane")
    if stain != "none" and channels == "grey":
        raise OptionError(
            f"preparation.stain={stain} needs colours, which preparation.channels=grey takes away; "
            "set preparation.channels=native or rgb"
        )
