"""DICOM files before their pixels: what they are, whether they can be read, and how large they are.

pydicom's errors, warnings and log lines quote what is in a header, the patient's name among it. None of them leaves
this module and its neighbours: errors say what is wrong in words of our own.
"""

from __future__ import annotations

import gzip
import logging
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader, BytesIO, FileIO
from math import isfinite
from os import SEEK_END, fstat
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sanoscope.cases.compression import GZIP_MAGIC
from sanoscope.cases.limits import LARGEST_BYTES, LARGEST_IMAGE_BYTES
from sanoscope.cases.suffixes import DICOM, suffix_of
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# A file begins with 128 bytes of anything and these four; its meta information follows (PS3.10, 7.1).
PREAMBLE, MAGIC = 128, b"DICM"
DEFLATED = b"1.2.840.10008.1.2.1.99"
META_LENGTH = b"\x02\0\0\0UL\4\0"  # the element that tells how long the meta information is, before its value
META_BYTES = 4096  # more than meta information has
DAMAGED = "the header is damaged; check that the file is whole"
SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"

# What files hold that are no images, by how the UID of their SOP class begins (PS3.4, B.5 and PS3.6, A).
STORAGE = "1.2.840.10008.5.1.4.1.1."
NO_IMAGES = {
    "1.2.840.10008.1.3.10": "a DICOMDIR, a table of contents; give the folder that it is in",
    f"{STORAGE}66.": "a segmentation or registration, not an image",
    f"{STORAGE}30": "a parametric map, computed from images; give the images",
    f"{STORAGE}481.1": None,  # RT Image Storage is a radiograph
    f"{STORAGE}481.2": "a radiotherapy dose, not an image",
    f"{STORAGE}481.": "a radiotherapy plan, structure set or record, not an image",
    f"{STORAGE}9.": "a waveform, not an image",
    f"{STORAGE}11.": "a presentation state, not an image",
    f"{STORAGE}88.": "a report, not an image",
    f"{STORAGE}104.": "a document, not an image",
}


CODECS = ("pylibjpeg", "libjpeg", "openjpeg", "rle")  # packages that log what they cannot decode
# What the checks below look at.
CHECKED = ("SOPClassUID", "Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "BitsAllocated")


class NotAnImageError(ImageError):
    """A whole DICOM file that holds something else than an image."""


@contextmanager
def discreet(otherwise: str) -> Iterator[None]:
    """Let no word of pydicom's out of this block.

    Args:
        otherwise: What to say of an error that is not ours.

    Raises:
        ImageError: For every kind of exception.
    """
    import pydicom.config  # noqa: F401 - sets a level of its own

    for name in ("pydicom", *CODECS):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    ours = ("ignore", None, Warning, _quiet_module(), 0)
    if warnings.filters[:1] != [ours]:  # not in a context of its own: that is undone at random among threads
        warnings.filterwarnings("ignore", module=_quiet_module().pattern)
    try:
        yield
    except ImageError:
        raise
    except Exception:  # broken files meet every kind of exception
        raise ImageError(otherwise) from None


def _quiet_module() -> re.Pattern[str]:
    return re.compile(r"pydicom\b|sanoscope\.cases\.dicom")


def begins_like_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes, for names that do not say; a DICOMDIR is not counted."""
    try:
        with path.open("rb") as stream:
            return stream.read(PREAMBLE + len(MAGIC))[PREAMBLE:] == MAGIC and path.name.upper() != "DICOMDIR"
    except OSError:
        return False


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its suffix or its first bytes."""
    return suffix_of(path) in DICOM or begins_like_dicom(path)


def dataset_of(content: bytes) -> Dataset:
    """What a file holds, checked before anything is decoded.

    Args:
        content: The bytes of the file, as they are or compressed with gzip.

    Raises:
        NotAnImageError: It holds no image.
        ImageError: It cannot be parsed, is truncated, or would be larger than the limits.
    """
    with discreet(DAMAGED):
        dataset = _parsed(BytesIO(_unpacked(content)))
        _check_length(dataset)
    return dataset


def headers_of(path: Path, keywords: Sequence[str]) -> Dataset:
    """Some elements of a file, and those that its checks need, without reading the pixels.

    Raises:
        NotAnImageError: It holds no image.
        ImageError: It cannot be parsed, or would be larger than the limits.
        OSError: It cannot be read.
    """
    with _Stream(FileIO(path)) as stream:
        begin = stream.read(PREAMBLE + META_BYTES)
        stream.seek(0)
        with discreet(DAMAGED):
            packed = begin.startswith(GZIP_MAGIC) or DEFLATED in begin
            source = BytesIO(_unpacked(stream.read())) if packed else stream
            dataset = _parsed(source, [*CHECKED, *keywords])
            if frame_count(dataset) > source.seek(0, SEEK_END):
                raise ImageError(f"the file is truncated: its header tells {frame_count(dataset)} frames")
            return dataset


class _Stream(BufferedReader):
    """A file that is never asked for more than it has: a header may tell any length, and that would be allocated."""

    def read(self, size: int | None = -1) -> bytes:
        left = fstat(self.fileno()).st_size - self.tell()
        return super().read(left if size is None or size < 0 else min(size, left))


def _parsed(source: IO[bytes], keywords: list[str] | None = None) -> Dataset:
    from pydicom import dcmread

    dataset = dcmread(source, force=True, stop_before_pixels=keywords is not None, specific_tags=keywords)
    _check_kind(dataset)
    _check_size(dataset)
    return dataset


def frame_count(dataset: Dataset) -> int:
    """How many frames a file has."""
    return int(dataset.get("NumberOfFrames") or 1)


def frame_shape(dataset: Dataset) -> tuple[int, int, int]:
    """Rows, columns and samples of each frame."""
    return int(dataset.Rows), int(dataset.Columns), int(dataset.get("SamplesPerPixel") or 1)


def group_of(dataset: Dataset, frame: int, sequence: str) -> Dataset:
    """Where a frame's values are: in a functional group, its own or shared by all, or else in the file itself."""
    for groups, index in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        items = dataset.get(groups) or ()
        if index < len(items) and items[index].get(sequence):
            return items[index].get(sequence)[0]  # type: ignore[no-any-return]
    return dataset


def numbers(dataset: Dataset, keyword: str, count: int | None = None) -> tuple[float, ...]:
    """The values of an element; none where they are not as many as they should be, or one is no number."""
    value = dataset.get(keyword)
    values = [value] if isinstance(value, int | float) else list(value or ())
    found = tuple(float(one) for one in values if one is not None and isfinite(float(one)))
    return found if len(found) == len(values) and count in (None, len(found)) else ()


def _unpacked(content: bytes) -> bytes:
    """The file without gzip; what is deflated inside is measured, as pydicom inflates whatever there is."""
    if content.startswith(GZIP_MAGIC):
        with gzip.GzipFile(fileobj=BytesIO(content)) as stream:
            content = stream.read(LARGEST_IMAGE_BYTES + 1)
        if len(content) > LARGEST_IMAGE_BYTES:
            raise _too_large("when decompressed, the file has", LARGEST_IMAGE_BYTES)
    if not content:
        raise ImageError("the file is empty")
    start = PREAMBLE + len(MAGIC) + len(META_LENGTH)
    meta = content[: PREAMBLE + META_BYTES]
    if DEFLATED in meta and meta[PREAMBLE:].startswith(MAGIC):
        if META_LENGTH not in meta[:start]:
            raise ImageError("the header does not say where the data begin; check that the file is whole")
        _check_deflated(content[start + 4 + int.from_bytes(content[start : start + 4], "little") :])
    return content


def _check_deflated(rest: bytes) -> None:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    while rest:
        total += len(engine.decompress(rest, 2**24))
        rest = engine.unconsumed_tail
        if total > LARGEST_IMAGE_BYTES:
            raise _too_large("when inflated, the file has", LARGEST_IMAGE_BYTES)


def _too_large(what: str, limit: int) -> ImageError:
    return ImageError(f"{what} more than the limit of {limit / 2**30:g} GiB; cut it, or check that the file is whole")


def _check_kind(dataset: Dataset) -> None:
    """Refuse what holds no image, in words that say what it holds."""
    kind = str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or "")
    if kind == SLIDE:
        raise ImageError("is a whole slide, not an image; load_cases makes a case of each of its tiles")
    reason = next((clause for begin, clause in NO_IMAGES.items() if kind.startswith(begin)), None)
    if reason is not None:
        raise NotAnImageError(f"is {reason}")
    if "Rows" not in dataset or "Columns" not in dataset:
        if kind:
            raise NotAnImageError("holds no image")
        raise ImageError("the content is no DICOM file; check that the file is whole")


def _check_size(dataset: Dataset) -> None:
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
            raise _too_large(f"the header tells a {what} of {frames} × {rows} × {columns} pixels,", limit)


def _check_length(dataset: Dataset) -> None:
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
