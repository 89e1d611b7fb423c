"""Small whole files of every format, to be damaged by the mutation fuzz, and files that are made to do harm."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import tifffile
from PIL import Image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (40, 32), np.uint8)
COLOUR = np.asarray(Image.fromarray(RNG.integers(0, 256, (5, 4, 3), np.uint8)).resize((32, 40)))
GREY_16 = RNG.integers(0, 4096, (40, 32), np.uint16)
STACK = RNG.integers(0, 4096, (6, 10, 8), np.int16)
AFFINE = np.diag([-2.0, 1.0, 3.0, 1.0])


@cache
def seeds() -> dict[str, tuple[str, bytes]]:
    """By a name, the suffix and the bytes of a file that is read."""
    return {**_images(), **_tiffs(), **_volumes(), **_arrays(), **_dicoms(), **_tables()}


def _pil(pixels: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    image.save(stream, kind, **options)
    return stream.getvalue()


def _png(width: int, height: int, depth: int, colour: int, lines: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")


def _images() -> dict[str, tuple[str, bytes]]:
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in COLOUR.astype(np.uint16) * 257)
    return {
        "png grey": (".png", _pil(GREY, "PNG")),
        "png colour": (".png", _pil(COLOUR, "PNG")),
        "png palette": (".png", _pil(Image.fromarray(COLOUR).quantize(16), "PNG")),
        "png 16": (".png", _pil(GREY_16, "PNG")),
        "png 16 colour": (".png", _png(32, 40, 16, 2, lines)),
        "jpeg grey": (".jpg", _pil(GREY, "JPEG")),
        "jpeg colour": (".jpg", _pil(COLOUR, "JPEG")),
        "jpeg progressive": (".jpg", _pil(COLOUR, "JPEG", progressive=True)),
        "bmp": (".bmp", _pil(COLOUR, "BMP")),
    }


def _tiffs() -> dict[str, tuple[str, bytes]]:
    def tiff(pixels: np.ndarray, **options: object) -> tuple[str, bytes]:
        stream = io.BytesIO()
        tifffile.imwrite(stream, pixels, **options)
        return ".tif", stream.getvalue()

    colour_16, floats = COLOUR.astype(np.uint16) * 16, GREY.astype(np.float32)
    pages = {"imagej": True, "metadata": {"axes": "CYX"}}
    return {
        "tiff": tiff(GREY),
        "tiff 16": tiff(GREY_16, byteorder=">"),
        "tiff float": tiff(floats, bigtiff=True),
        "tiff deflate": tiff(colour_16, photometric="rgb", compression="zlib", predictor=True, rowsperstrip=8),
        "tiff tiles": tiff(COLOUR, photometric="rgb", tile=(16, 16), compression="lzma"),
        "tiff planes": tiff(np.moveaxis(colour_16, 2, 0), photometric="rgb", planarconfig="separate"),
        "tiff pages": tiff(np.moveaxis(colour_16, 2, 0), **pages),
        "tiff lzw": (".tif", _pil(COLOUR, "TIFF", compression="tiff_lzw")),
        "tiff lzw 16": (".tif", _pil(GREY_16, "TIFF", compression="tiff_lzw")),
        "tiff packbits": (".tif", _pil(GREY, "TIFF", compression="packbits")),
        "tiff jpeg": (".tif", _pil(COLOUR, "TIFF", compression="jpeg")),
        "tiff palette": (".tif", _pil(Image.fromarray(COLOUR).quantize(16), "TIFF", compression="tiff_adobe_deflate")),
        "slide": (".tif", _slide()),
    }


def _slide() -> bytes:
    """A pyramid of two levels, with a disc that is tissue."""
    y, x = np.mgrid[:512, :512]
    tissue = (np.hypot(x - 256, y - 256) < 200)[..., None]
    pixels = np.where(tissue, [190, 120, 170], 250).astype(np.uint8)
    stream = io.BytesIO()
    options = {"tile": (128, 128), "photometric": "rgb", "compression": "zlib"}
    with tifffile.TiffWriter(stream) as writer:
        writer.write(pixels, resolution=(20000, 20000), resolutionunit="CENTIMETER", **options)
        writer.write(pixels[::2, ::2], subfiletype=1, **options)
    return stream.getvalue()


def _volumes() -> dict[str, tuple[str, bytes]]:
    nifti = nib.Nifti1Image(STACK, AFFINE)
    scaled = nib.Nifti1Image(STACK, AFFINE)
    scaled.header.set_slope_inter(0.5, 10)
    second = nib.Nifti2Image(STACK.astype(np.float32), AFFINE).to_bytes()
    mgh = nib.MGHImage(STACK, AFFINE).to_bytes()
    return {
        "nifti": (".nii", nifti.to_bytes()),
        "nifti scaled": (".nii.gz", gzip.compress(scaled.to_bytes(), mtime=0)),
        "nifti 2": (".nii", second),
        "nifti 2 gz": (".nii.gz", gzip.compress(second, mtime=0)),
        "mgh": (".mgh", mgh),
        "mgz": (".mgz", gzip.compress(mgh, mtime=0)),
    }


def _saved(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _arrays() -> dict[str, tuple[str, bytes]]:
    medmnist = {f"{part}_images": STACK.astype(np.uint8) for part in ("train", "val", "test")}
    medmnist |= {f"{part}_labels": np.arange(6)[:, None] % 2 for part in ("train", "val", "test")}
    return {
        "npy": (".npy", _npy(GREY)),
        "npy stack": (".npy", _npy(STACK.astype(">f4"))),
        "npz": (".npz", _saved(image=COLOUR)),
        "npz labels": (".npz", _saved(images=STACK, labels=np.arange(6) % 2, subjects=np.array(list("aabbcc")))),
        "npz medmnist": (".npz", _saved(**medmnist)),
    }


def _dicoms() -> dict[str, tuple[str, bytes]]:
    """One file in each transfer syntax that can be written."""
    from pydicom import uid

    plain = {
        "implicit": uid.ImplicitVRLittleEndian,
        "explicit": uid.ExplicitVRLittleEndian,
        "big-endian": uid.ExplicitVRBigEndian,
        "deflated": uid.DeflatedExplicitVRLittleEndian,
    }
    encoded = {"rle": uid.RLELossless, "jpeg 2000": uid.JPEG2000Lossless, "jpeg-ls": uid.JPEGLSLossless}
    files = {f"dicom {name}": dicom(GREY_16, syntax) for name, syntax in plain.items()}
    files |= {f"dicom {name}": dicom(GREY_16, syntax) for name, syntax in encoded.items()}
    files["dicom colour"] = dicom(COLOUR, uid.ExplicitVRLittleEndian)
    files["dicom jpeg"] = dicom(COLOUR, uid.JPEGBaseline8Bit, _pil(COLOUR, "JPEG"))
    files["dicom frames"] = dicom(np.stack([GREY_16] * 3), uid.ExplicitVRLittleEndian)
    return {name: (".dcm", content) for name, content in files.items()}


def dicom(pixels: np.ndarray, syntax: str, frame: bytes | None = None) -> bytes:
    """A CT or secondary capture of ``(H, W)``, ``(H, W, 3)`` or ``(N, H, W)`` pixels.

    Args:
        pixels: uint8 or uint16.
        syntax: UID of the transfer syntax.
        frame: The pixels encoded, where pydicom cannot do it.
    """
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    colour = pixels.shape[-1] == 3
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage if colour else CTImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID, data.PatientID = "1.2.3", "1.2.3.1", "a patient"
    data.Modality = "OT" if colour else "CT"
    data.Rows, data.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    if pixels.ndim == 3 and not colour:
        data.NumberOfFrames = len(pixels)
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness = [1, 1], 1
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = pixels.tobytes()
    if frame is not None:
        data.PixelData, data.PhotometricInterpretation = encapsulate([frame]), "YBR_FULL_422"
        data["PixelData"].VR = "OB"
        meta.TransferSyntaxUID = syntax
    elif syntax in ENCODED:
        data.compress(syntax, generate_instance_uid=False)
    else:
        data["PixelData"].VR = "OW"
        meta.TransferSyntaxUID = syntax
        if syntax == "1.2.840.10008.1.2.2":
            data.PixelData = pixels.byteswap().tobytes()
    stream = io.BytesIO()
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


# RLE, JPEG-LS and JPEG 2000, which pydicom encodes.
ENCODED = ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90")


def _tables() -> dict[str, tuple[str, bytes]]:
    """Files that name other files: ``beside.png`` and ``beside.tif`` lie in the same folder."""
    manifest = "path,label,subject,split,group\nbeside.png,0,a,train,x\n./beside.tif,1,b,test,y\n"
    outline = [[100, 100], [300, 100], [300, 300], [100, 300], [100, 100]]
    geojson = {
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [outline]}}],
    }
    points = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}" />' for i, (x, y) in enumerate(outline[:-1]))
    asap = (
        '<?xml version="1.0"?><ASAP_Annotations><Annotations><Annotation Name="a" Type="Polygon" '
        f'PartOfGroup="Tumor"><Coordinates>{points}</Coordinates></Annotation></Annotations></ASAP_Annotations>'
    )
    return {
        "manifest": (".csv", manifest.encode()),
        "geojson": (".geojson", json.dumps(geojson).encode()),
        "asap": (".xml", asap.encode()),
    }


@cache
def bombs() -> dict[str, tuple[str, bytes]]:
    """Files that say, or hold, far more than a file of their size should, and what broke a reader once."""
    header = nib.Nifti2Header()
    header.set_data_shape((1, 1, 2**40))
    header.set_data_dtype(np.uint8)
    header["magic"], header["vox_offset"], header["srow_x"][0] = b"n+2\0\r\n\x1a\n", 544, 1
    header["sform_code"], header["srow_y"][1], header["srow_z"][2] = 1, 1, 1
    small = nib.Nifti1Image(STACK, AFFINE).to_bytes()
    npy = _npy(np.zeros((1, 1), np.uint8))
    lying = npy.replace(b"(1, 1), }        ", b"(40000, 40000), }")
    assert lying != npy
    stack = _npy(np.zeros((1, 1, 9), np.uint8)).replace(b"(1, 1, 9), }         ", b"(99999, 999, 99), }  ")
    return {
        "png of 30000²": (".png", _png(30000, 30000, 8, 0, bytes(2**24))),
        "png of 9000² that holds nothing": (".png", _png(9000, 9000, 8, 2, b"")),
        "jpeg of 65500²": (".jpg", _resized_jpeg(_pil(COLOUR, "JPEG"), 65500, 65500)),
        "jpeg of 9000²": (".jpg", _resized_jpeg(_pil(COLOUR, "JPEG"), 9000, 9000)),
        "bmp of 60000²": (".bmp", _put(_pil(COLOUR, "BMP"), 18, struct.pack("<ii", 60000, 60000))),
        "tiff strip of 64 MB": (".tif", _tiff_bomb()),
        "nifti 2 of 2⁴⁰ slices": (".nii.gz", gzip.compress(header.binaryblock + bytes(100))),
        "nifti with 64 MB behind": (".nii.gz", gzip.compress(small + bytes(2**26))),
        "mgz of 2³¹ slices": (
            ".mgz",
            gzip.compress(_put(nib.MGHImage(STACK, AFFINE).to_bytes(), 4, b"\0\0\0\1" * 2 + b"\x7f" * 4)),
        ),
        "npy of 40000²": (".npy", lying),
        "npz of 40000²": (".npz", _zipped(lying)),
        "npz of 10¹⁰": (".npz", _zipped(stack)),
        "npz of zeros": (".npz", _saved(image=np.zeros((2**13, 2**13), np.uint8))),
        "zip in another way": (".npz", _zipped(npy, zipfile.ZIP_BZIP2)),
        "dicom deflated, 4 GB more": (".dcm", _deflated_bomb()),
        "dicom jpeg of 65500²": (".dcm", _dicom_jpeg(65500)),
        "dicom jpeg of 9000²": (".dcm", _dicom_jpeg(9000)),
        "dicom of 60000²": (".dcm", _dicom_lie()),
        "dicom jpeg 2000 of 2³⁰²": (".dcm", _dicom_jpeg_2000(2**30)),
        "dicom jpeg 2000 of 9000²": (".dcm", _dicom_jpeg_2000(9000)),
        "dicom rle of more runs than rows": (".dcm", _long_runs()),
        "npz of 2²⁴ images": (".npz", _saved(images=np.zeros((2**24, 1, 5), np.uint8))),
        "npz of 2²⁶ labels": (".npz", _saved(images=STACK, labels=np.zeros(2**26, np.uint8))),
        "npz of letters that do not exist": (
            ".npz",
            _saved(images=STACK, labels=np.array([0xFFFFFFFF] * 6, "<u4").view("<U1")),
        ),
        "csv with a zero byte": (".csv", b"path,label\nbes\0ide,0\n"),
        "csv with a broken line": (".csv", b'path,label\n"beside.ti\nb",0\n'),
        "csv of one field": (".csv", b"path\n" + b"x" * 2**20),
        "xml of entities": (".xml", _laughs()),
        "json of brackets": (".geojson", b"[" * 100_000),
    }


def _put(content: bytes, place: int, value: bytes) -> bytes:
    return content[:place] + value + content[place + len(value) :]


def _resized_jpeg(content: bytes, width: int, height: int) -> bytes:
    place = content.index(b"\xff\xc0") + 5
    return _put(content, place, struct.pack(">HH", height, width))


def _tiff_bomb() -> bytes:
    """A strip of 3 × 16 bits that inflates to more than it should."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, COLOUR.astype(np.uint16), photometric="rgb", compression="zlib")
    content = stream.getvalue()
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        tags = tiff.pages[0].tags
        offset, count = tags["StripOffsets"].valueoffset, tags["StripByteCounts"].valueoffset
        wide = {3: "<H", 4: "<I"}
        strip = zlib.compress(bytes(2**26), 9)
        types = wide[tags["StripOffsets"].dtype], wide[tags["StripByteCounts"].dtype]
    content = _put(content, offset, struct.pack(types[0], len(content)))
    strip = strip[: 2**16 - 1] if types[1] == "<H" else strip
    return _put(content, count, struct.pack(types[1], len(strip))) + strip


def _zipped(member: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("image.npy", member)
    return stream.getvalue()


def _deflated_bomb() -> bytes:
    content = dicom(GREY_16, "1.2.840.10008.1.2.1.99")
    (length,) = struct.unpack("<I", content[140:144])
    body = zlib.decompress(content[144 + length :], -15)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(body) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)  # stands alone, so that it can be repeated
    packed += zeros * 256 + packer.flush()
    return content[: 144 + length] + packed


def _dicom_jpeg(size: int) -> bytes:
    from pydicom.uid import JPEGBaseline8Bit

    return dicom(COLOUR, JPEGBaseline8Bit, _resized_jpeg(_pil(COLOUR, "JPEG"), size, size))


def _dicom_jpeg_2000(size: int) -> bytes:
    content = dicom(GREY_16, "1.2.840.10008.1.2.4.90")
    return _put(content, content.index(b"\xff\x4f\xff\x51") + 8, struct.pack(">II", size, size))


def _long_runs() -> bytes:
    """Runs of 128 bytes each, as many as there is room for, instead of the encoded rows."""
    content = dicom(GREY_16, "1.2.840.10008.1.2.5")
    begin = content.rindex(b"\xfe\xff\0\xe0") + 8 + 64  # after the item's tag and length, and the table of segments
    return content[:begin] + b"\x81" * (len(content) - begin - 8) + content[-8:]


def _dicom_lie() -> bytes:
    content = dicom(GREY_16, "1.2.840.10008.1.2.1")
    rows, columns = b"\x28\0\x10\0US\2\0", b"\x28\0\x11\0US\2\0"
    for tag in (rows, columns):
        content = _put(content, content.index(tag) + len(tag), struct.pack("<H", 60000))
    return content


def _laughs() -> bytes:
    entities = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(9))
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{entities}]><x>&a9;</x>'.encode()


def real_files(folder: Path) -> dict[str, tuple[str, bytes]]:
    """The real files of awkward formats that are small enough to be damaged often."""
    from sanoscope.cases.suffixes import suffix_of

    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.stat().st_size < 300_000)
    kept = [file for file in files if file.parent.parent.name != "lgg_tif" or file.stem.endswith("_1")]
    return {str(file.relative_to(folder)): (suffix_of(file), file.read_bytes()) for file in kept}
