"""Files that are compressed as a whole with gzip, read no further than what their header asks for."""

from __future__ import annotations

import gzip
from io import BytesIO
from typing import IO

from sanoscope.errors import ImageError

GZIP_MAGIC = b"\x1f\x8b"


def beginning(stream: IO[bytes], size: int, suffixes: tuple[str, str], compressed: bool) -> bytes:
    """The first bytes of a file, decompressed: its header and perhaps more.

    Args:
        stream: The open file.
        size: How many bytes.
        suffixes: Of the plain and of the compressed file, to say which one a file should have.
        compressed: What its name says.

    Raises:
        ImageError: It is empty, or is compressed where its name says it is not, or the other way about.
    """
    begin = stream.read(len(GZIP_MAGIC))
    if not begin:
        raise ImageError("the file is empty")
    if (begin == GZIP_MAGIC) != compressed:
        raise ImageError(
            f"the content is not compressed as its name says; give it the suffix {suffixes[not compressed]}"
        )
    stream.seek(0)
    return gzip.GzipFile(fileobj=stream).read(size) if compressed else stream.read(size)


def decompressed(content: bytes, size: int) -> bytes:
    """The first bytes of what was compressed, and no more, with its checksum checked where that is all there is.

    Raises:
        ImageError: There are fewer.
    """
    with gzip.GzipFile(fileobj=BytesIO(content)) as stream:
        found = stream.read(size)
        if len(found) < size:
            raise ImageError("the file is truncated")
        stream.read(1)  # beyond the last voxel comes the checksum
    return found
