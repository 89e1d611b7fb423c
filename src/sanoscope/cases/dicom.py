"""The pixels of DICOM files.

What comes out are the values that the stored numbers stand for: rescale slope and intercept or the modality's table
are applied, padding becomes the darkest value of its frame, and higher is brighter. All levels are kept. The window
that a header suggests is not applied: it says how an image was looked at, differs from one image to the next, and
makes all values outside it alike. Preparation chooses one scale for all images, or is told to take the window.

MONOCHROME1 shows low values bright. Such values are reflected within the range that the stored bits can have, after
the rescale, which comes to the same as before it. The Hounsfield units of CT and the activity of PET mean something
by themselves and stay as they are.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from sanoscope.cases.dicom_checks import frame_count, frame_shape
from sanoscope.cases.dicom_header import begins_like_dicom, dataset_of, discreet, group_of, is_dicom, numbers
from sanoscope.cases.dicom_syntax import check_frames, check_syntax, syntax_of
from sanoscope.cases.suffixes import DICOM
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["SUFFIXES", "begins_like_dicom", "frames_of", "is_dicom", "read_dicom", "window_of"]

SUFFIXES = DICOM
# Where ``window_of`` looks.
WINDOW_ELEMENTS = (
    "WindowCenter",
    "WindowWidth",
    "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
)
IN_UNITS = ("CT", "PT")  # modalities whose values are not a matter of display
# What integers become where they no longer fit the type that they are stored in.
INTEGERS = (np.int16, np.uint16, np.int32, np.uint32, np.int64)


def read_dicom(content: bytes) -> np.ndarray:
    """The pixels of a file with one image, ``(H, W)``, or ``(H, W, 3)`` in RGB.

    Integers stay integers, of the stored type where they fit it, where slope and intercept are whole; else float32.

    Args:
        content: The bytes of the file, as they are or compressed with gzip.

    Raises:
        ImageError: The file holds no image or several, is damaged, truncated or too large, or a codec is missing.
    """
    dataset = dataset_of(content)
    if frame_count(dataset) > 1:
        raise ImageError(f"holds {frame_count(dataset)} frames; load_cases makes a case of each")
    return np.asarray(frames_of(dataset)[0])


def frames_of(dataset: Dataset) -> np.ndarray:
    """The pixels of all frames, ``(F, H, W)`` or ``(F, H, W, 3)``, as ``read_dicom`` gives them.

    Raises:
        ImageError: They cannot be decoded.
    """
    check_syntax(dataset)
    with discreet(f"its pixels ({syntax_of(dataset)}) cannot be decoded; {_mend()}"):
        check_frames(dataset)
        stored = _decoded(dataset)
        photometric = dataset.get("PhotometricInterpretation")
        if photometric == "PALETTE COLOR":
            from pydicom.pixels import apply_color_lut

            return np.asarray(apply_color_lut(stored, dataset))
        if stored.ndim == 4:
            return stored
        return np.stack([_values(frame, dataset, number) for number, frame in enumerate(stored)])


def _mend() -> str:
    """What may help where pixels cannot be decoded: pydicom tries PIL too, which knows fewer kinds of JPEG."""
    lacking = find_spec("libjpeg") is None  # of pylibjpeg-libjpeg
    return "check that the file is whole" + (", or pip install 'sanoscope[dicom]'" if lacking else "")


def window_of(dataset: Dataset) -> tuple[float, float] | None:
    """Centre and width of the first window that a header suggests, or None."""
    with discreet("the header's window is damaged; check that the file is whole"):
        group = group_of(dataset, 0, "FrameVOILUTSequence")
        centre, width = (numbers(group, keyword) for keyword in ("WindowCenter", "WindowWidth"))
        return (centre[0], width[0]) if centre and width else None


def _decoded(dataset: Dataset) -> np.ndarray:
    """The stored numbers of all frames, ``(F, H, W)`` or ``(F, H, W, 3)`` in RGB, without unused bits."""
    from pydicom.pixels import pixel_array
    from pydicom.uid import RLELossless

    rows, columns, samples = frame_shape(dataset)
    shape = (frame_count(dataset), rows, columns, samples)[: 3 + (samples > 1)]
    # On a damaged file the other decoder of run lengths, in Rust, panics, which is no Exception and is printed.
    plugin = "pydicom" if dataset.file_meta.TransferSyntaxUID == RLELossless else ""
    pixels = pixel_array(dataset, decoding_plugin=plugin)
    pixels = pixels[: shape[0]] if pixels.ndim == len(shape) else pixels[None]  # there may be frames to spare
    if pixels.shape != shape:
        raise ImageError(f"decoded pixels have the shape {pixels.shape}, where the header tells {shape}")
    return np.asarray(pixels.astype(pixels.dtype.newbyteorder("="), copy=False))


def _values(stored: np.ndarray, dataset: Dataset, frame: int) -> np.ndarray:
    """What the numbers of a frame ``(H, W)`` stand for."""
    padding = _padding(stored, dataset)
    lowest, highest = _range(dataset)
    values = stored
    slope, intercept = 1.0, 0.0
    if dataset.get("ModalityLUTSequence"):
        from pydicom.pixels import apply_modality_lut

        values = apply_modality_lut(stored, dataset)
        lowest, highest = 0, 2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    else:
        group = group_of(dataset, frame, "PixelValueTransformationSequence")
        slope = (numbers(group, "RescaleSlope") or (1.0,))[0]
        intercept = (numbers(group, "RescaleIntercept") or (0.0,))[0]
    if slope == 0:
        raise ImageError("its rescale slope is 0, which makes all pixels alike; mend the header")
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1" and dataset.get("Modality") not in IN_UNITS:
        slope, intercept = -slope, slope * (lowest + highest) + intercept
    values = _rescaled(values, slope, intercept)
    if padding.any() and not padding.all():
        values = np.where(padding, values[~padding].min(), values)
    return values


def _range(dataset: Dataset) -> tuple[int, int]:
    """The lowest and the highest number that can be stored."""
    bits = int(dataset.get("BitsStored") or dataset.BitsAllocated)
    if dataset.get("PixelRepresentation"):
        return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return 0, 2**bits - 1


def _rescaled(values: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    if (slope, intercept) == (1, 0):
        return values
    whole = slope.is_integer() and intercept.is_integer() and max(abs(slope), abs(intercept)) < 2**31
    if not whole or values.dtype.kind not in "ui" or values.dtype.itemsize > 4:
        return (values * slope + intercept).astype(np.float32)
    ends = sorted(int(value) * int(slope) + int(intercept) for value in (values.min(), values.max()))
    largest = max(abs(int(values.min())), abs(int(values.max()))) * abs(slope) + abs(intercept)
    exact = values.astype(np.int32 if largest < 2**31 else np.int64) * int(slope) + int(intercept)
    limits = {kind: np.iinfo(kind) for kind in (values.dtype, *map(np.dtype, INTEGERS))}
    fitting = next(kind for kind, limit in limits.items() if limit.min <= ends[0] and ends[1] <= limit.max)
    return exact.astype(fitting, copy=False)


def _padding(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Which pixels only fill the frame, ``(H, W)`` bool."""
    value = dataset.get("PixelPaddingValue")
    if value is None or stored.dtype.kind not in "ui":
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    # The header may count what is stored signed as unsigned, or the other way about.
    ends = np.array([int(value), int(value if limit is None else limit)], np.int64).astype(stored.dtype)
    return np.asarray((stored >= ends.min()) & (stored <= ends.max()))
