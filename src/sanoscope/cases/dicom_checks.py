"""What a DICOM header says a file holds: refused before anything is decoded where it is no image or too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanoscope.cases.limits import LARGEST_BYTES, LARGEST_IMAGE_BYTES
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"

# What the checks of a header look at.
CHECKED = ("SOPClassUID", "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "BitsAllocated")

# What files hold that are no images, by the UID of their SOP class, or by how it begins if that ends in a dot
# (PS3.4, B.5).
STORAGE = "1.2.840.10008.5.1.4.1.1."
NO_IMAGES = {
    "1.2.840.10008.1.3.10": "a DICOMDIR, a table of contents; give the folder that it is in",
    f"{STORAGE}66.": "a segmentation or registration, not an image",
    f"{STORAGE}30": "a parametric map, computed from images; give the images",
    **dict.fromkeys((f"{STORAGE}481.{number}" for number in (1, 23, 24)), None),  # radiographs of radiotherapy
    f"{STORAGE}481.2": "a radiotherapy dose, not an image",
    f"{STORAGE}481.": "a radiotherapy plan, structure set or record, not an image",
    f"{STORAGE}9.": "a waveform, not an image",
    f"{STORAGE}11.": "a presentation state, not an image",
    f"{STORAGE}88.": "a report, not an image",
    f"{STORAGE}104.": "a document, not an image",
}


class NotAnImageError(ImageError):
    """A whole DICOM file that holds something else than an image."""


def frame_count(dataset: Dataset) -> int:
    """How many frames a file has."""
    return int(dataset.get("NumberOfFrames") or 1)


def frame_shape(dataset: Dataset) -> tuple[int, int, int]:
    """Rows, columns and samples of each frame."""
    return int(dataset.Rows), int(dataset.Columns), int(dataset.get("SamplesPerPixel") or 1)


def too_large(what: str, limit: int) -> ImageError:
    """The error of what would take more bytes than a limit."""
    return ImageError(f"{what} more than the limit of {limit / 2**30:g} GiB; cut it, or check that the file is whole")


def check_kind(dataset: Dataset) -> None:
    """Refuse what holds no image, in words that say what it holds."""
    kind = str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or "")
    if kind == SLIDE:
        raise ImageError(
            "is a whole slide, not an image; its tiles are cases where OpenSlide is (pip install 'sanoscope[wsi]')"
        )
    known = NO_IMAGES.items()
    reason = next((clause for uid, clause in known if kind == uid or (uid[-1] == "." and kind.startswith(uid))), None)
    if reason is not None:
        raise NotAnImageError(f"is {reason}")
    if "Rows" not in dataset or "Columns" not in dataset:
        if kind:
            raise NotAnImageError("holds no image")
        raise ImageError("the content is no DICOM file; check that the file is whole")


def check_size(dataset: Dataset) -> None:
    """Refuse sizes that cannot be, or are beyond the limits."""
    rows, columns, samples = frame_shape(dataset)
    frames, bits = frame_count(dataset), int(dataset.get("BitsAllocated") or 0)
    if min(rows, columns, frames) < 1 or bits not in (1, 8, 16, 32, 64):
        raise ImageError(
            f"the header tells {frames} frames of {rows} × {columns} pixels of {bits} bits; "
            "check that the file is whole"
        )
    if samples not in (1, 3):
        raise ImageError(f"{samples} samples a pixel are not read; save it as grey or RGB")
    each = rows * columns * samples * bits // 8
    for what, size, limit in (("frame", each, LARGEST_IMAGE_BYTES), ("file", each * frames, LARGEST_BYTES)):
        if size > limit:
            raise too_large(f"the header tells a {what} of {frames} × {rows} × {columns} pixels,", limit)


def check_length(dataset: Dataset) -> None:
    """Refuse a file without pixels, or with fewer bytes of them than the header says."""
    from pydicom.uid import UID

    keyword = next((name for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if name in dataset), None)
    if keyword is None:
        raise ImageError("the file ends before its pixels; copy it again")
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is not None and UID(syntax).is_encapsulated:
        return
    rows, columns, samples = frame_shape(dataset)
    if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
        samples = 2  # two pixels share their colour
    needed = (rows * columns * samples * frame_count(dataset) * int(dataset.BitsAllocated) + 7) // 8
    found = len(dataset[keyword].value or b"")
    if found < needed:
        raise ImageError(f"the file is truncated: it has {found} bytes of pixels where its header tells {needed}")
