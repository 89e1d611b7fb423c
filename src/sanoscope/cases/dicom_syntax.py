"""How the pixels of a DICOM file are compressed, and whether what is compressed has the size that the header tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanoscope.cases.dicom_checks import frame_count, frame_shape
from sanoscope.cases.dicom_header import discreet
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Start-of-frame markers of JPEG (all but DHT, JPG and DAC) and of JPEG-LS, after 0xFF.
FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
JPEG, JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
JP2_BYTES = 4096  # a codestream in JP2 boxes begins within these


def check_syntax(dataset: Dataset) -> None:
    """Refuse what is compressed in a way that is not decoded here; note how data lie in a file that does not say.

    Raises:
        ImageError: It is a video or of an unknown kind, or a codec is not installed.
    """
    from pydicom.pixels import get_decoder
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    with discreet("the header does not say how pixels are stored; check that the file is whole"):
        if dataset.file_meta.get("TransferSyntaxUID") is None:
            implicit, little = dataset.original_encoding
            explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        try:
            decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
        except NotImplementedError:
            raise ImageError(f"its pixels ({syntax_of(dataset)}) are not read; save it without compression") from None
        if not decoder.is_available:
            raise ImageError(f"its pixels ({syntax_of(dataset)}) need a codec; pip install 'sanoscope[dicom]'")


def syntax_of(dataset: Dataset) -> str:
    """The name of the transfer syntax, where it is one that the standard knows."""
    from pydicom.uid import UID

    uid = UID(str(dataset.file_meta.get("TransferSyntaxUID") or ""))
    return uid.name if uid.is_transfer_syntax and not uid.is_private else "an unknown transfer syntax"


def check_frames(dataset: Dataset) -> None:
    """Refuse compressed frames of another size than the header tells, before a decoder allocates it.

    Raises:
        ImageError: A frame is missing or of another size.
    """
    from pydicom.encaps import generate_frames
    from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

    syntaxes = [*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEG2000TransferSyntaxes]
    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return
    expected, wanted = frame_shape(dataset), frame_count(dataset)
    found = 0
    for frame in generate_frames(dataset.PixelData, number_of_frames=wanted):
        found += 1
        size = _size_of(frame) if syntax in syntaxes else expected
        if size != expected:
            shapes = [" × ".join(map(str, shape)) if shape else "unknown size" for shape in (size, expected)]
            raise ImageError(f"frame {found} is of {shapes[0]} where the header tells {shapes[1]}; copy it again")
    if found < wanted:
        raise ImageError(f"the file is truncated: it has {found} frames where its header tells {wanted}")


def _size_of(frame: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples that a codestream tells of itself: JPEG, JPEG-LS or JPEG 2000."""
    start = frame.find(JPEG_2000, 0, JP2_BYTES)
    if start >= 0:  # the size segment (ISO 15444-1, A.5.1)
        right, lower, left, upper = (int.from_bytes(frame[at : at + 4]) for at in range(start + 8, start + 24, 4))
        return lower - upper, right - left, int.from_bytes(frame[start + 40 : start + 42])
    if not frame.startswith(JPEG):
        return None
    at = 2
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        if frame[at + 1] in FRAME_MARKERS:  # (ISO 10918-1, B.2.2)
            return int.from_bytes(frame[at + 5 : at + 7]), int.from_bytes(frame[at + 7 : at + 9]), frame[at + 9]
        # Any number of fill bytes may stand before a marker.
        at += 1 if frame[at + 1] == 0xFF else 2 + int.from_bytes(frame[at + 2 : at + 4])
    return None
