"""TIFF with any number of channels, in one page or in pages marked as channels."""

from __future__ import annotations

import logging
import lzma
import struct
import zlib
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from sanoscope.cases.limits import LARGEST_IMAGE_BYTES
from sanoscope.cases.raster import check_size, opened, pixels_of
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what matters of it is raised as well

BASELINE = range(254, 352)  # the tags that tell how pixels are stored
CHANNEL_AXES = {"YX", "YXS", "SYX", "CYX"}  # tifffile's letters; S and C are channels
# Compressions by their numbers in the TIFF specification. tifffile decodes the first without the imagecodecs package;
# the second as well, to whatever size they have, so that this is looked at before.
SIMPLE = {1, 32773}  # none, PackBits
INFLATED: dict[int, Callable[[], Any]] = {
    8: zlib.decompressobj,
    32946: zlib.decompressobj,
    34925: partial(lzma.LZMADecompressor, memlimit=2**27),  # twice what the strongest preset needs
}
JPEG_2000 = {33003, 33004, 33005, 34712}  # tifffile writes and reads them in different byte orders
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
AS_STORED = {WHITE_IS_ZERO, BLACK_IS_ZERO, RGB}  # photometric interpretations whose samples are the pixels
MULTIPLIED, NOT_MULTIPLIED = 1, 2  # kinds of alpha
# Photometric interpretation, kinds of further samples, bits of a sample and its numpy letter, where PIL loses nothing.
PIL_READS = {
    *((BLACK_IS_ZERO, (), *sample) for sample in ((1, "u"), (8, "u"), (16, "u"), (32, "f"), (32, "i"))),
    *((RGB, alpha, 8, "u") for alpha in ((), (NOT_MULTIPLIED,))),
}


def read_tiff(content: bytes) -> np.ndarray:
    """The pixels of a TIFF, ``(H, W)`` or ``(H, W, C)``, in the type they are stored in.

    Raises:
        ImageError: It is truncated or larger than the limit, holds several images, or pages that are
            not marked as channels, or is compressed in a way that needs a package that is not installed.
    """
    from PIL.TiffImagePlugin import TiffImageFile
    from tifffile import TiffFile

    with TiffFile(BytesIO(content)) as tiff:
        _check_whole(tiff, content)
        series = _only_series(tiff.series)
        page = series.keyframe
        check_size(page.imagewidth, page.imagelength)
        if series.nbytes > LARGEST_IMAGE_BYTES:
            raise ImageError(f"{series.shape} values are more than the limit of {LARGEST_IMAGE_BYTES / 2**30:g} GiB")
        if len(series.pages) == 1 and _is_for_pil(page):
            return pixels_of(opened(TiffImageFile, content))
        pixels = _by_tifffile(series, content)
    if series.axes in ("SYX", "CYX"):
        pixels = np.moveaxis(pixels, 0, 2)
    has_alpha = tuple(page.extrasamples) in ((MULTIPLIED,), (NOT_MULTIPLIED,))
    return pixels[:, :, :-1] if has_alpha and pixels.ndim == 3 else pixels


def _check_whole(tiff: TiffFile, content: bytes) -> None:
    """Refuse what was cut off: tifffile passes over missing pages, strips and the missing end of a tile."""
    if not len(tiff.pages):
        raise ImageError("the file is truncated")
    spans = [span for page in tiff.pages for span in zip(page.dataoffsets, page.databytecounts, strict=False)]
    last, form = tiff.pages[-1], tiff.tiff
    (tags,) = struct.unpack_from(form.tagnoformat, content, last.offset)
    link = last.offset + form.tagnosize + tags * form.tagsize
    (next_page,) = struct.unpack_from(form.offsetformat, content, link)
    if next_page or any(offset + count > len(content) for offset, count in spans):
        raise ImageError("the file is truncated")
    page = tiff.pages.first
    first_tag = page.offset + form.tagnosize
    (tags,) = struct.unpack_from(form.tagnoformat, content, page.offset)
    codes = [struct.unpack_from(f"{form.byteorder}H", content, first_tag + i * form.tagsize)[0] for i in range(tags)]
    if any(code in BASELINE and code not in page.tags for code in codes):  # tifffile passes over damaged ones
        raise ImageError("the file is truncated or damaged")
    if len(page.dataoffsets) != prod(page.chunked):
        found = f"{len(page.dataoffsets)} strips or tiles where its size needs {prod(page.chunked)}"
        raise ImageError(f"it has {found}; check that the file is whole")


def _only_series(found: list[TiffPageSeries]) -> TiffPageSeries:
    """The one image of a TIFF; its smaller copies in a pyramid do not count."""
    if len(found) != 1:
        raise ImageError(f"it holds {len(found)} images; save one image a file")
    if found[0].axes not in CHANNEL_AXES:
        pages = f"{len(found[0].pages)} pages that are not marked as channels (axes {found[0].axes})"
        raise ImageError(f"it holds {pages}; save one image a file, or mark the axes as CYX")
    return found[0]


def _is_for_pil(page: TiffPage) -> bool:
    """Whether PIL's libtiff is the one to read an image: it notices damage, but keeps few types without loss.

    It inverts what is stored with white as zero, and takes numbers for swapped that libtiff has put in order.
    """
    from PIL.TiffImagePlugin import COMPRESSION_INFO

    if (
        page.photometric == WHITE_IS_ZERO
        or page.sampleformat not in (1, 2, 3)
        or page.compression not in COMPRESSION_INFO
    ):
        return False
    tiff = page.parent
    if tiff.byteorder == ">" and (tiff.is_bigtiff or page.bitspersample > 8):
        return False
    if page.photometric not in AS_STORED:
        return page.bitspersample <= 8
    kind = (page.photometric, tuple(page.extrasamples), page.bitspersample, "buif"[page.sampleformat])
    return kind in PIL_READS and page.compression not in SIMPLE


def _by_tifffile(series: TiffPageSeries, content: bytes) -> np.ndarray:
    """What tifffile decodes itself, or with the imagecodecs package."""
    from tifffile import COMPRESSION

    page = series.keyframe
    if page.photometric not in AS_STORED:
        raise ImageError(f"TIFF of {page.photometric!r} in {page.dtype} is not read; save it as grey or RGB")
    if not isinstance(page.compression, COMPRESSION):
        raise ImageError(f"{page.compression} is not a known COMPRESSION; save it as TIFF with LZW")
    if page.compression in JPEG_2000 and page.parent.byteorder == ">" and page.bitspersample > 8:
        raise ImageError("big-endian TIFF with JPEG 2000 is not read without doubt; save it as little-endian")
    missing = f"TIFF of {page.dtype} values with {page.compression.name} compression needs the imagecodecs package"
    missing += "; pip install 'sanoscope[tiff]'"
    if page.compression in INFLATED:
        _check_inflated(series, content)
    elif page.compression not in SIMPLE and find_spec("imagecodecs") is None:
        raise ImageError(missing)
    try:
        return series.asarray(maxworkers=1)  # files are read in parallel already
    except ValueError as error:
        if "requires the 'imagecodecs' package" in str(error):  # for its predictor
            raise ImageError(missing) from error
        raise


def _check_inflated(series: TiffPageSeries, content: bytes) -> None:
    """Refuse strips and tiles that inflate to more than they should have."""
    page = series.keyframe
    most = prod(page.chunks) * np.dtype(page.dtype).itemsize
    parts: list[Any] = [part for part in series.pages if part is not None]
    for part in parts:
        for offset, count in zip(part.dataoffsets, part.databytecounts, strict=True):
            decoder = INFLATED[page.compression]()
            if len(decoder.decompress(content[offset : offset + count], most + 1)) > most:
                raise ImageError("a strip or tile of it holds more than its size; check that the file is whole")
