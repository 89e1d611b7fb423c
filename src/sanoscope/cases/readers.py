"""Readers: one function a file type, bytes in, pixels out in the type they were stored in.

What is in the file is what comes out: no orientation from EXIF, no gamma and no colour profile is applied, no
TIFF is inverted. An alpha channel is dropped, palettes and CMYK become RGB, bits 0 and 255.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from sanoscope.cases.array_files import read_npy, read_npz
from sanoscope.cases.dicom import read_dicom
from sanoscope.cases.raster import read_bmp, read_jpeg, read_png
from sanoscope.cases.suffixes import DICOM, SLIDES, suffix_of
from sanoscope.cases.tiff import read_tiff
from sanoscope.errors import ImageError

READERS: dict[str, Callable[[bytes], np.ndarray]] = {
    ".png": read_png,
    ".jpg": read_jpeg,
    ".jpeg": read_jpeg,
    ".bmp": read_bmp,
    ".tif": read_tiff,
    ".tiff": read_tiff,
    ".npy": read_npy,
    ".npz": read_npz,
    **dict.fromkeys(DICOM, read_dicom),
}

# Files of many slices, which are read by ``volume_files.read_volume``.
VOLUMES = (".nii", ".nii.gz", ".mgz", ".mgh")

# How a file begins, to say what it is where its name says otherwise.
SIGNATURES = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


def read_image(path: Path, content: bytes | None = None) -> np.ndarray:
    """The pixels of an image file, ``(H, W, C)``, in the type they are stored in.

    Integers keep their type and values; every kind of float becomes float32.

    Args:
        path: The file; its suffix chooses the reader.
        content: The bytes of the file where they have been read already.

    Raises:
        ImageError: The file is missing, truncated, no image of its type, too large (more pixels than
            ``PIL.Image.MAX_IMAGE_PIXELS``), holds NaN or infinity, or cannot be read without loss.
    """
    if is_volume(path):
        raise ImageError(f"{path}: is a volume, not an image; load_cases makes a case of each of its slices")
    if suffix_of(path) in SLIDES:
        raise ImageError(f"{path}: is a slide, not an image; load_cases makes a case of each of its tiles")
    if content is None:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ImageError(f"{path}: cannot be opened ({error.strerror}); check the path") from error
    reader = READERS.get(suffix_of(path), read_dicom if content[128:132] == b"DICM" else None)
    if reader is None:
        raise ImageError(f"{path}: {unread(suffix_of(path))}")
    try:
        return _standard(reader(content))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except Exception as error:  # decoders meet broken files with every kind of exception
        raise ImageError(f"{path}: {_reason(error, path, content)}") from error


def read_mask(path: Path) -> np.ndarray:
    """The pixels of a mask file that are not zero in any channel, ``(H, W)`` bool.

    Raises:
        ImageError: As ``read_image``.
    """
    return np.asarray(read_image(path).any(axis=2))


def is_read(path: Path | str) -> bool:
    """Whether files with this suffix are read, as images, volumes or slides."""
    return suffix_of(path) in READERS or is_volume(path) or suffix_of(path) in SLIDES


def is_volume(path: Path | str) -> bool:
    """Whether a file is a volume by its suffix."""
    return suffix_of(path) in VOLUMES


def read_types() -> str:
    """The suffixes that are read, for messages."""
    return ", ".join((*READERS, *VOLUMES, *SLIDES))


def unread(suffix: str) -> str:
    """The clause that says a suffix is not read, and which are."""
    ending = f"files ending in '{suffix}'" if suffix else "files without a suffix"
    return f"{ending} are not read; read are {read_types()}"


def _standard(pixels: np.ndarray) -> np.ndarray:
    """``(H, W)`` or ``(H, W, C)`` of any type to ``(H, W, C)``, contiguous and writable."""
    if pixels.size == 0:
        raise ImageError("the image has no pixels")
    kind = pixels.dtype.kind
    if kind == "b":
        pixels = pixels * np.uint8(255)
    elif kind == "f":
        with np.errstate(over="ignore"):  # what overflows is refused below
            pixels = pixels.astype(np.float32, copy=False)
        if not np.isfinite(pixels).all():
            raise ImageError("it holds NaN or infinity; replace these values")
    elif kind not in "ui":
        raise ImageError(f"values of type {pixels.dtype} are not read; save them as floats")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    return np.require(pixels, pixels.dtype.newbyteorder("="), ["C", "W"])


def _reason(error: Exception, path: Path, content: bytes) -> str:
    """Why a file could not be decoded, in one line."""
    if not content:
        return "the file is empty"
    for signature, suffix in SIGNATURES.items():
        if content.startswith(signature) and READERS[suffix_of(path)] is not READERS[suffix]:
            return f"the content is that of a {suffix} file; give it this suffix"
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"cannot be decoded ({reason}); check that the file is whole"
