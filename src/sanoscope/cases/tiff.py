"""TIFF with any number of channels, in one page or in pages marked as channels."""

from __future__ import annotations

import logging
import struct
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from sanoscope.cases.raster import check_size, opened, pixels_of
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what matters of it is raised as well

CHANNEL_AXES = {"YX", "YXS", "SYX", "CYX"}  # tifffile's letters; S and C are channels


def read_tiff(content: bytes) -> np.ndarray:
    """The pixels of a TIFF, ``(H, W)`` or ``(H, W, C)``, in the type they are stored in.

    Raises:
        ImageError: It is truncated or larger than the limit, holds several images, or pages that are
            not marked as channels.
    """
    from tifffile import PHOTOMETRIC, TiffFile

    with TiffFile(BytesIO(content)) as tiff:
        _check_whole(tiff, content)
        series = _only_series(tiff.series)
        page = series.keyframe
        check_size(page.imagewidth, page.imagelength)
        as_stored = page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.RGB)
        if not as_stored and len(series.pages) == 1:
            return _by_pil(content, page)
        try:
            pixels = series.asarray(maxworkers=1)  # files are read in parallel already
        except ValueError as error:
            if "imagecodecs" not in str(error) or len(series.pages) > 1:
                raise
            return _by_pil(content, page)
    if series.axes in ("SYX", "CYX"):
        pixels = np.moveaxis(pixels, 0, 2)
    has_alpha = tuple(page.extrasamples) in ((1,), (2,))  # associated or not
    return pixels[:, :, :-1] if has_alpha and pixels.ndim == 3 else pixels


def _check_whole(tiff: TiffFile, content: bytes) -> None:
    """Refuse what was cut off: tifffile passes over missing pages, and over the missing end of a tile."""
    if not len(tiff.pages):
        raise ImageError("the file is truncated")
    spans = [span for page in tiff.pages for span in zip(page.dataoffsets, page.databytecounts, strict=False)]
    last, form = tiff.pages[-1], tiff.tiff
    (tags,) = struct.unpack_from(form.tagnoformat, content, last.offset)
    link = last.offset + form.tagnosize + tags * form.tagsize
    (next_page,) = struct.unpack_from(form.offsetformat, content, link)
    if next_page or any(offset + count > len(content) for offset, count in spans):
        raise ImageError("the file is truncated")


def _only_series(found: list[TiffPageSeries]) -> TiffPageSeries:
    """The one image of a TIFF; its smaller copies in a pyramid do not count."""
    if len(found) != 1:
        raise ImageError(f"it holds {len(found)} images; save one image a file")
    if found[0].axes not in CHANNEL_AXES:
        pages = f"{len(found[0].pages)} pages that are not marked as channels (axes {found[0].axes})"
        raise ImageError(f"it holds {pages}; save one image a file, or mark the axes as CYX")
    return found[0]


def _by_pil(content: bytes, page: TiffPage) -> np.ndarray:
    """PIL's libtiff where tifffile would need the imagecodecs package, or palette or colours be converted.

    PIL reads more than one channel as 8 bits only, and inverts what is stored with white as zero.
    """
    from PIL.TiffImagePlugin import TiffImageFile

    one_channel = page.samplesperpixel == 1 and page.dtype in (np.uint16, np.float32)
    if page.photometric == 0 or not (one_channel or page.dtype in (np.bool_, np.uint8)):
        raise ImageError(f"TIFF with {page.compression!r} needs the imagecodecs package; install it")
    return pixels_of(opened(TiffImageFile, content))
