"""Pixels of DICOM files: closed forms on small ones, and pydicom's own pixels on real ones."""

from __future__ import annotations

import gzip
import logging
import warnings
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, FileDataset, Sequence, dcmread, dcmwrite
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import apply_color_lut, apply_modality_lut
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicom_files import BORN, CT, NAME, PATIENT, image_file
from sanoscope.cases import dicom as dicom_module
from sanoscope.cases import read_image
from sanoscope.cases.dicom import begins_like_dicom, read_dicom, window_of
from sanoscope.cases.limits import LARGEST_IMAGE_BYTES
from sanoscope.errors import ImageError

STORED = np.array([[0, 1, 2], [3, 1000, 4095]], np.uint16)


def content_of(dataset: FileDataset) -> bytes:
    with BytesIO() as stream:
        dcmwrite(stream, dataset, enforce_file_format=True)
        return stream.getvalue()


@pytest.mark.parametrize(
    ("slope", "intercept", "expected", "dtype"),
    [
        ("1", "0", STORED, np.uint16),
        ("1", "-1024", STORED.astype(int) - 1024, np.int16),
        ("2", "0", STORED.astype(int) * 2, np.uint16),
        ("100", "-7.0", STORED.astype(int) * 100 - 7, np.int32),
        ("0.5", "0", STORED * 0.5, np.float32),
        ("1", "0.25", STORED + 0.25, np.float32),
        ("1e12", "0", STORED * 1e12, np.float32),
    ],
)
def test_rescaled_integers_stay_integers(slope: str, intercept: str, expected: np.ndarray, dtype: type) -> None:
    pixels = read_dicom(content_of(image_file(STORED, RescaleSlope=slope, RescaleIntercept=intercept)))
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, expected.astype(dtype))


@pytest.mark.parametrize("intercept", ["0", "-1024"])
def test_monochrome1_is_reflected_within_the_stored_bits(intercept: str) -> None:
    elements = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11, "RescaleSlope": "1"}
    reflected = read_dicom(content_of(image_file(STORED, RescaleIntercept=intercept, **elements)))
    np.testing.assert_array_equal(reflected, 4095 - STORED.astype(int) + int(intercept))


def test_monochrome1_of_signed_numbers() -> None:
    stored = np.array([[-128, 0, 127]], np.int8)
    reflected = read_dicom(content_of(image_file(stored, PhotometricInterpretation="MONOCHROME1")))
    np.testing.assert_array_equal(reflected, [[127, -1, -128]])


def test_hounsfield_units_are_not_turned_round() -> None:
    elements = {"PhotometricInterpretation": "MONOCHROME1", "Modality": "CT", "SOPClassUID": CT}
    pixels = read_dicom(content_of(image_file(STORED, RescaleSlope="1", RescaleIntercept="-1024", **elements)))
    np.testing.assert_array_equal(pixels, STORED.astype(int) - 1024)


def test_padding_becomes_the_darkest_value() -> None:
    stored = np.array([[-2000, -2000, 5], [7, 9, -1]], np.int16)
    padded = image_file(stored, PixelPaddingValue=-2000, RescaleSlope="1", RescaleIntercept="-10")
    np.testing.assert_array_equal(read_dicom(content_of(padded)), [[-11, -11, -5], [-3, -1, -11]])
    padded = image_file(stored, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1)
    np.testing.assert_array_equal(read_dicom(content_of(padded)), [[5, 5, 5], [7, 9, 5]])
    alone = image_file(np.full((2, 2), 3, np.int16), PixelPaddingValue=3)
    np.testing.assert_array_equal(read_dicom(content_of(alone)), 3)


def test_modality_table() -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData, table.ModalityLUTType = [4, 0, 16], [10, 20, 40, 4000], "US"
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    stored = np.array([[0, 1], [2, 3]], np.uint8)
    dataset = image_file(stored, ModalityLUTSequence=Sequence([table]))
    np.testing.assert_array_equal(read_dicom(content_of(dataset)), [[10, 20], [40, 4000]])
    dataset.PhotometricInterpretation = "MONOCHROME1"
    np.testing.assert_array_equal(read_dicom(content_of(dataset)), [[65525, 65515], [65495, 61535]])


def test_palette_of_16_bits_keeps_them() -> None:
    stored = np.array([[0, 1], [1, 0]], np.uint8)
    elements: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for channel, values in (("Red", [1, 65535]), ("Green", [300, 2]), ("Blue", [0, 256])):
        elements[f"{channel}PaletteColorLookupTableDescriptor"] = [2, 0, 16]
        elements[f"{channel}PaletteColorLookupTableData"] = np.array(values, "<u2").tobytes()
    pixels = read_dicom(content_of(image_file(stored, **elements)))
    np.testing.assert_array_equal(pixels[0], [[1, 300, 0], [65535, 2, 256]])


def test_colour_by_pixel_and_by_plane() -> None:
    colours = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(read_dicom(content_of(image_file(colours))), colours)
    by_plane = image_file(colours, PlanarConfiguration=1)
    by_plane.PixelData = colours.transpose(2, 0, 1).tobytes()
    np.testing.assert_array_equal(read_dicom(content_of(by_plane)), colours)


@pytest.mark.parametrize("uid", [RLELossless, JPEG2000Lossless, JPEGLSLossless, DeflatedExplicitVRLittleEndian])
def test_compressed_without_loss(uid: str) -> None:
    stored = np.random.default_rng(0).integers(0, 4096, (48, 40)).astype(np.uint16)
    dataset = image_file(stored, BitsStored=12, HighBit=11)
    if uid == DeflatedExplicitVRLittleEndian:
        dataset.file_meta.TransferSyntaxUID = uid
    else:
        dataset.compress(uid, generate_instance_uid=False)
    np.testing.assert_array_equal(read_dicom(content_of(dataset)), stored)
    np.testing.assert_array_equal(read_dicom(gzip.compress(content_of(dataset))), stored)


def test_damaged_run_lengths_do_not_panic(capfd: pytest.CaptureFixture[str]) -> None:
    dataset = image_file(np.random.default_rng(0).integers(0, 3, (16, 16)).astype(np.uint16))
    dataset.compress(RLELossless, generate_instance_uid=False)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    generator = np.random.default_rng(0)
    for _ in range(50):
        broken = bytearray(frame)
        broken[generator.integers(64, len(frame))] = generator.integers(128)
        dataset.PixelData = encapsulate([bytes(broken)])
        with suppress(ImageError):
            read_dicom(content_of(dataset))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("explicit", [True, False])
def test_without_preamble_and_meta_information(explicit: bool) -> None:
    dataset = image_file(STORED)
    with BytesIO() as stream:
        Dataset(dataset).save_as(stream, implicit_vr=not explicit, little_endian=True)
        np.testing.assert_array_equal(read_dicom(stream.getvalue()), STORED)


@pytest.mark.parametrize("uid", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_byte_orders(uid: str) -> None:
    dataset = image_file(STORED)
    dataset.file_meta.TransferSyntaxUID = uid
    content = content_of(dataset)
    if uid == ExplicitVRBigEndian:
        content = content.replace(STORED.tobytes(), STORED.astype(">u2").tobytes())
    pixels = read_dicom(content)
    np.testing.assert_array_equal(pixels, STORED)
    assert pixels.dtype.isnative


def change(**elements: object) -> Callable[[FileDataset], None]:
    def apply(dataset: FileDataset) -> None:
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)

    return apply


@pytest.mark.parametrize(
    ("mutate", "message"),
    [
        (change(Rows=60000, Columns=60000), "more than the limit of 1 GiB"),
        (change(Rows=20000, Columns=20000, NumberOfFrames=2000), "more than the limit of 4 GiB"),
        (change(Rows=3), "truncated: it has 12 bytes of pixels where its header tells 18"),
        (change(NumberOfFrames=2), "truncated"),
        (change(Rows=0), "tells 1 frames of 0 × 3 pixels of 16 bits"),
        (change(BitsAllocated=12), "of 12 bits"),
        (change(SamplesPerPixel=4), "4 samples"),
        (change(RescaleSlope="0", RescaleIntercept="1"), "slope is 0"),
        (lambda dataset: dataset.pop("PixelData"), "ends before its pixels"),
        (lambda dataset: dataset.pop("Rows"), "holds no image"),
        (change(SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4"), "is a segmentation"),
        (change(SOPClassUID="1.2.840.10008.5.1.4.1.1.481.2"), "is a radiotherapy dose"),
        (change(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"), "is a report"),
        (change(SOPClassUID="1.2.840.10008.1.3.10"), "is a DICOMDIR"),
        (change(SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.6"), "is a whole slide"),
    ],
)
def test_refused_before_anything_is_decoded(mutate: Callable[[FileDataset], None], message: str) -> None:
    dataset = image_file(STORED)
    mutate(dataset)
    with pytest.raises(ImageError, match=message):
        read_dicom(content_of(dataset))


def test_videos_are_refused() -> None:
    dataset = image_file(STORED)
    dataset.PixelData = encapsulate([b"\0\0"])
    dataset.file_meta.TransferSyntaxUID = MPEG2MPML
    with pytest.raises(ImageError, match=r"its pixels \(MPEG2 .*\) are not read; save it without compression"):
        read_dicom(content_of(dataset))


def test_radiographs_of_radiotherapy_are_images() -> None:
    dataset = image_file(STORED, SOPClassUID="1.2.840.10008.5.1.4.1.1.481.1")
    np.testing.assert_array_equal(read_dicom(content_of(dataset)), STORED)


def test_several_frames_are_no_image() -> None:
    with pytest.raises(ImageError, match="holds 4 frames"):
        read_dicom(content_of(image_file(np.zeros((4, 2, 5), np.uint8), NumberOfFrames=4)))


@pytest.mark.parametrize("uid", [JPEG2000Lossless, JPEGLSLossless])
def test_a_codestream_larger_than_its_header_is_not_decoded(uid: str) -> None:
    dataset = image_file(np.zeros((64, 64), np.uint16))
    dataset.compress(uid, generate_instance_uid=False)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    lying = bytearray(frame)
    if uid == JPEG2000Lossless:
        lying[8:12] = lying[12:16] = (2**31 - 1).to_bytes(4)
    else:
        at = lying.index(b"\xff\xf7")
        lying[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    dataset.PixelData = encapsulate([bytes(lying)])
    with pytest.raises(ImageError, match=r"frame 1 is of \d+ × \d+ × 1 where the header tells 64 × 64 × 1"):
        read_dicom(content_of(dataset))


def test_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import sanoscope.cases.dicom_header as header

    assert header.LARGEST_IMAGE_BYTES == LARGEST_IMAGE_BYTES
    monkeypatch.setattr(header, "LARGEST_IMAGE_BYTES", 2**20)
    content = content_of(image_file(STORED))
    with pytest.raises(ImageError, match="when decompressed, the file has more than the limit"):
        read_dicom(gzip.compress(content + bytes(2**21)))
    dataset = image_file(STORED)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    deflated = content_of(dataset)
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    start = deflated.index(b"1.2.840.10008.1.2.1.99")
    meta = deflated[: 144 + int.from_bytes(deflated[140:144], "little")]
    assert start < len(meta)
    with pytest.raises(ImageError, match="when inflated, the file has more than the limit"):
        read_dicom(meta + engine.compress(bytes(2**25)) + engine.flush())


@pytest.mark.parametrize("content", [b"", b"DICM", bytes(200), bytes(128) + b"DICM", b"\x1f\x8b\x08", b"text " * 100])
def test_what_is_no_dicom(content: bytes) -> None:
    with pytest.raises(ImageError):
        read_dicom(content)


def test_window() -> None:
    assert window_of(image_file(STORED)) is None
    assert window_of(image_file(STORED, WindowCenter=["40", "300"], WindowWidth=["400", "1500"])) == (40, 400)


def test_begins_like_dicom(tmp_path: Path) -> None:
    for name, content in (("1.2.3", bytes(128) + b"DICM"), ("a", b"DICM"), ("DICOMDIR", bytes(128) + b"DICM")):
        (tmp_path / name).write_bytes(content)
    assert [begins_like_dicom(tmp_path / name) for name in ("1.2.3", "a", "DICOMDIR", "none")] == [True] + [False] * 3


def test_pydicom_is_not_heard(caplog: pytest.LogCaptureFixture) -> None:
    content = bytearray(content_of(image_file(STORED, StudyDate="19990101")))
    content[content.index(b"19990101") : content.index(b"19990101") + 8] = b"no date!"
    content[content.index(b"ID-7") : content.index(b"ID-7") + 4] = b"I\\\xff7"
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_dicom(bytes(content)), STORED)
    assert not caplog.records


def test_errors_tell_nothing_of_the_patient() -> None:
    content = content_of(image_file(STORED))
    secrets = (NAME.partition("^")[0], PATIENT, BORN)
    generator = np.random.default_rng(1)
    errors = []
    for _ in range(300):
        broken = bytearray(content)
        for at in generator.integers(132, len(content), 3):
            broken[at] = generator.integers(256)
        try:
            read_dicom(bytes(broken[: generator.integers(200, len(content) + 1)]))
        except ImageError as error:
            errors.append(error)
    assert len(errors) > 100
    assert not [error for error in errors for secret in secrets if secret in str(error)]
    assert all(error.__suppress_context__ or error.__context__ is None for error in errors)


REFUSED = {
    "JPEG-lossy.dcm": "cannot be decoded",
    "MR_truncated.dcm": "it has 8130 bytes of pixels where its header tells 8192",
    "examples_ybr_color.dcm": "holds 30 frames",
    "liver_1frame.dcm": "is a segmentation",
    "no_meta.dcm": "check that the file is whole",
    "rtdose.dcm": "is a radiotherapy dose",
    "waveform_ecg.dcm": "is a waveform",
}


@pytest.mark.real_data
def test_real_files_as_pydicom_reads_them(real_data: Path) -> None:
    files = sorted((real_data / "formats" / "dicom").glob("*.dcm"))
    assert len(files) == 26
    for file in files:
        content = file.read_bytes()
        if file.name in REFUSED:
            with pytest.raises(ImageError, match=REFUSED[file.name]):
                read_dicom(content)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = dcmread(file)
            stored = dataset.pixel_array
            palette = dataset.PhotometricInterpretation == "PALETTE COLOR"
            expected = apply_color_lut(stored, dataset) if palette else apply_modality_lut(stored, dataset)
            real = stored != dataset.get("PixelPaddingValue")
        pixels = read_dicom(content)
        np.testing.assert_array_equal(pixels[real], expected[real], err_msg=file.name)
        assert pixels.dtype.kind in "ui", file.name


def test_where_codecs_are_missing_the_mend_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = image_file(np.zeros((8, 8), np.uint8))
    damaged.compress(RLELossless, generate_instance_uid=False)
    damaged.PixelData = encapsulate([bytes(70)])
    damaged.save_as(tmp_path / "a.dcm")
    mends = {True: "check that the file is whole$", None: r"whole, or pip install 'sanoscope\[dicom\]'$"}
    for found, mend in mends.items():
        monkeypatch.setattr(dicom_module, "find_spec", lambda name, found=found: found)
        with pytest.raises(ImageError, match=mend):
            read_image(tmp_path / "a.dcm")
