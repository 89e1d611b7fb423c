"""NumPy's own files, ``.npy`` and ``.npz``: header first, never pickle, and no more than the file can hold."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import IO, Any

import numpy as np

from sanoscope.cases.limits import SMALLEST_RATIO
from sanoscope.errors import ImageError

SUFFIXES = (".npy", ".npz")
NUMBERS = "buif"  # numpy's letters for the kinds of types: bool, integers, floats
TEXTS = "US"
PLAIN_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes; no other has a known ratio


@dataclass(frozen=True)
class Header:
    """What a file says of an array.

    Attributes:
        shape: As of the array.
        data_type: Likewise.
        order: ``"C"`` or ``"F"``, the last or the first axis fastest.
        begins: Where the values do, in bytes.
    """

    shape: tuple[int, ...]
    data_type: np.dtype[Any]
    order: str
    begins: int

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return prod(self.shape) * self.data_type.itemsize


class ArrayFile:
    """The arrays of an open file.

    Attributes:
        names: Of the arrays; of a ``.npy``, which has one, the empty name.
    """

    def __init__(self, stream: IO[bytes], suffix: str) -> None:
        self._stream = stream
        self._archive = zipfile.ZipFile(stream) if suffix == ".npz" else None
        files = [""] if self._archive is None else self._archive.namelist()
        self._files = {file.removesuffix(".npy"): file for file in files}
        self.names = tuple(self._files)

    @property
    def listing(self) -> str:
        """The names for a message, in one line."""
        return ", ".join(name if name.isprintable() else ascii(name) for name in sorted(self.names)) or "none"

    def header(self, name: str, kinds: str = NUMBERS) -> Header:
        """The header of one array, checked against the bytes there are.

        Raises:
            ImageError: It is damaged, its values are of no kind that is read, or the file does not fit to it.
        """
        with self._opened(name) as (stream, size):
            header = _header(stream)
        if header.data_type.kind not in kinds or header.data_type.hasobject:
            raise ImageError(f"values of type {header.data_type} are not read; save numbers")
        if min(header.shape, default=1) < 1:
            raise ImageError(f"the array of shape {header.shape} is empty")
        if header.begins + header.size > size:
            raise ImageError("the file is truncated")
        if header.begins + header.size < size:
            raise ImageError("there is more in it than the array its header describes; save one array a file")
        return header

    def read(self, name: str, limit: int, kinds: str = NUMBERS) -> np.ndarray:
        """One array, read only.

        Raises:
            ImageError: As ``header``, or it has more than ``limit`` bytes.
        """
        header = self.header(name, kinds)
        if header.size > limit:
            raise ImageError(
                f"an array of {header.shape} values is more than the limit of {limit / 2**30:g} GiB; cut it"
            )
        with self._opened(name) as (stream, _):
            stream.read(header.begins)
            found = stream.read(header.size)
            if len(found) < header.size:
                raise ImageError("the file is truncated")
            stream.read(1)  # at the end comes the checksum
        return np.frombuffer(found, header.data_type).reshape(header.shape, order=header.order)  # type: ignore[call-overload,no-any-return]

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[IO[bytes], int]]:
        """The bytes of one array with its header, and how many there are."""
        if self._archive is None:
            size = self._stream.seek(0, 2)
            self._stream.seek(0)
            yield self._stream, size
            return
        member = self._archive.getinfo(self._files[name])
        if member.compress_type not in PLAIN_METHODS:
            raise ImageError("it is compressed in a way that numpy does not write; save it with numpy.savez_compressed")
        if member.file_size > member.compress_size * SMALLEST_RATIO:
            raise ImageError("the file is damaged: it says that it holds more than it can")
        with self._archive.open(member) as stream:
            yield stream, member.file_size


def _header(stream: IO[bytes]) -> Header:
    """What comes before the values. Version 3 is for names of fields, which are not read."""
    from numpy.lib import format as npy

    begin = stream.read(len(npy.MAGIC_PREFIX) + 2)
    if not begin:
        raise ImageError("the file is empty")
    readers = {b"\1\0": npy.read_array_header_1_0, b"\2\0": npy.read_array_header_2_0}
    reader = readers.get(begin.removeprefix(npy.MAGIC_PREFIX))
    if reader is None:
        raise ImageError("the content is no array in numpy's format of version 1 or 2; save it with numpy.save")
    shape, fortran, data_type = reader(stream)
    return Header(shape, data_type, "F" if fortran else "C", stream.tell())
