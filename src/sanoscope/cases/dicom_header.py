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
from sanoscope.cases.dicom_checks import CHECKED, check_kind, check_length, check_size, frame_count, too_large
from sanoscope.cases.limits import LARGEST_IMAGE_BYTES
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
CODECS = ("pylibjpeg", "libjpeg", "openjpeg", "rle")  # packages that log what they cannot decode


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
        check_length(dataset)
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
    check_kind(dataset)
    check_size(dataset)
    return dataset


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
            raise too_large("when decompressed, the file has", LARGEST_IMAGE_BYTES)
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
            raise too_large("when inflated, the file has", LARGEST_IMAGE_BYTES)
