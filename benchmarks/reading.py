"""Images, slices and tiles per second out of files, each against the plain reader of its library.

    python benchmarks/reading.py [--scale N] [--repeats N] [--json FILE]

Files are drawn anew: PNG patches, a NIfTI volume, DICOM series (native, RLE and JPEG 2000) and a pyramidal slide. The
plain way is what the library's documentation shows, one file after the other: PIL's ``Image.open``, nibabel's
``get_fdata``, pydicom's ``pixel_array`` with ``apply_modality_lut``, OpenSlide's ``read_region`` at the nearest level
with PIL's ``resize``.
Sanoscope's reader does the same work on one thread, with its checks. *First* is the whole way into the decoded cache,
hashing included, on all cores; *again* takes the same pictures out of it. The sides take turns; medians are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 64  # what pictures are resized to on their way into the cache
Work = Callable[[], int]  # does the work and says how many images that were


def main() -> None:
    """Measure every format and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="times as many images")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["SANOSCOPE_CACHE"] = str(Path(scratch) / "cache")
        for title, draw, plain, reader in FORMATS:
            folder = Path(scratch) / title.replace(" ", "-").replace(",", "")
            folder.mkdir()
            draw(folder, arguments.scale)
            results.append({"format": title, **_measured(folder, plain, reader, arguments.repeats)})
            _say(results[-1])
    if arguments.json:
        measured = {"cores": os.cpu_count(), "side": SIDE, "results": results}
        arguments.json.write_text(json.dumps(measured, indent=1) + "\n")


def _measured(
    folder: Path, plain: Callable[[Path], int], reader: Callable[[Path], int], repeats: int
) -> dict[str, float]:
    rates: dict[str, list[float]] = {"plain": [], "reader": [], "first": [], "again": []}
    for repeat in range(repeats + 1):  # the first time warms up libraries and the disk's cache
        decoding = _decoding(folder, repeat)
        ways: dict[str, Work] = {
            "plain": lambda: plain(folder),
            "reader": lambda: reader(folder),
            "first": decoding,
            "again": decoding,
        }
        for name, work in ways.items():
            begun = time.perf_counter()
            count = work()
            rate = count / (time.perf_counter() - begun)
            if repeat:
                rates[name].append(rate)
    return {name: statistics.median(found) for name, found in rates.items()}


def _decoding(folder: Path, repeat: int) -> Work:
    """The way into the decoded cache, or out of it where it was gone before with the same number."""
    from sanoscope import read_cases
    from sanoscope.cases import Slicing
    from sanoscope.cases.tiling import Tiling
    from sanoscope.preparation.decode import decode
    from sanoscope.preparation.geometry import Channels, Crop, Geometry, Resize

    # The share is different each time, so that nothing is in the cache yet; it crops nothing.
    geometry = Geometry((Channels(), Crop("none", 0, 1 - repeat / 1e6), Resize(SIDE, "area")))
    slicing = Slicing(tiling=Tiling(tissue="none", objective=40.0))

    def work() -> int:
        pictures = decode(read_cases(folder, layout="folder", slicing=slicing), geometry)
        pictures.batch(np.arange(len(pictures)))
        return len(pictures)

    return work


def _say(row: dict[str, Any]) -> None:
    print(
        f"{row['format']:34s} plain {row['plain']:>8,.0f}   reader {row['reader']:>8,.0f}"
        f" ({row['reader'] / row['plain']:.2f}×)   first {row['first']:>8,.0f}   again {row['again']:>10,.0f}  a second"
    )


# ------------------------------------------------------------------ what is read


def _texture(shape: tuple[int, ...], seed: int, top: int) -> np.ndarray:
    """Smooth structure with noise, which compresses as images do, from 0 to ``top``."""
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng(seed)
    smooth = gaussian_filter(generator.standard_normal(shape), [6, 6, *([0] * (len(shape) - 2))])
    values = smooth / np.abs(smooth).max() + 0.05 * generator.standard_normal(shape)
    return np.clip((values + 1) / 2 * top, 0, top)


def _draw_patches(folder: Path, scale: float) -> None:
    from PIL import Image

    for i in range(round(1500 * scale)):
        Image.fromarray(_texture((50, 50, 3), i, 255).astype(np.uint8)).save(folder / f"{i:05d}.png")


def _draw_slices(folder: Path, scale: float) -> None:
    from PIL import Image

    for i in range(round(200 * scale)):
        Image.fromarray(_texture((512, 512), i, 4095).astype(np.uint16)).save(folder / f"{i:05d}.png")


def _draw_nifti(folder: Path, scale: float) -> None:
    import nibabel

    voxels = _texture((240, 240, round(155 * scale)), 0, 1000).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([-1.0, -1.0, 1.0, 1.0])), folder / "volume.nii.gz")


def _draw_dicom(syntax: str) -> Callable[[Path, float], None]:
    def draw(folder: Path, scale: float) -> None:
        import pydicom
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

        series, study, frame = generate_uid(), generate_uid(), generate_uid()
        for k in range(round(120 * scale)):
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
            dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
            dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = series, study, frame
            dataset.Modality, dataset.PatientID, dataset.InstanceNumber = "CT", "bench", k + 1
            dataset.Rows = dataset.Columns = 512
            dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
            dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
            dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.8, 0.8]
            dataset.ImagePositionPatient, dataset.SliceThickness = [0, 0, 1.5 * k], "1.5"
            dataset.PixelData = _texture((512, 512), k, 4095).astype(np.uint16).tobytes()
            if syntax != "native":
                dataset.compress(getattr(pydicom.uid, syntax), generate_instance_uid=False)
            dataset.save_as(folder / f"{k:04d}.dcm", enforce_file_format=True)

    return draw


def _draw_slide(folder: Path, scale: float) -> None:
    import tifffile

    base = _texture((2048, 2048, 3), 0, 255).astype(np.uint8)
    repeats = max(round(3 * scale), 1)
    level = np.tile(base, (repeats, repeats, 1))
    smaller = False  # which OpenSlide takes for a level
    with tifffile.TiffWriter(folder / "slide.tiff", bigtiff=True) as writer:
        while min(level.shape[:2]) >= 512:
            options = {"subfiletype": int(smaller), "compression": "zlib", "metadata": None}
            writer.write(level, tile=(256, 256), photometric="rgb", **options)
            level, smaller = level[::2, ::2], True


# ------------------------------------------------------------------ the plain ways, and ours


def _plain_png(folder: Path) -> int:
    from PIL import Image

    files = sorted(folder.glob("*.png"))
    for file in files:
        np.asarray(Image.open(file))
    return len(files)


def _read_png(folder: Path) -> int:
    from sanoscope.cases import read_image

    files = sorted(folder.glob("*.png"))
    for file in files:
        read_image(file)
    return len(files)


def _plain_nifti(folder: Path) -> int:
    import nibabel

    return int(nibabel.load(folder / "volume.nii.gz").get_fdata(dtype=np.float32).shape[2])


def _read_nifti(folder: Path) -> int:
    from sanoscope.cases.volume_files import read_volume

    return int(read_volume(folder / "volume.nii.gz").voxels.shape[2])


def _plain_dicom(folder: Path) -> int:
    import pydicom
    from pydicom.pixels import apply_modality_lut

    files = sorted(folder.glob("*.dcm"))
    for file in files:
        dataset = pydicom.dcmread(file)
        apply_modality_lut(dataset.pixel_array, dataset)
    return len(files)


def _read_dicom(folder: Path) -> int:
    from sanoscope.cases.volume_files import read_volume

    return int(read_volume(min(folder.glob("*.dcm"))).voxels.shape[2])


def _tiles(folder: Path) -> list[tuple[int, int]]:
    import openslide

    with openslide.OpenSlide(folder / "slide.tiff") as slide:
        width, height = slide.dimensions
    return [(x, y) for y in range(0, height, 1024) for x in range(0, width, 1024)]


def _plain_tiles(folder: Path) -> int:
    import openslide
    from PIL import Image

    places = _tiles(folder)
    with openslide.OpenSlide(folder / "slide.tiff") as slide:
        level = slide.get_best_level_for_downsample(4.0)
        side = round(1024 / slide.level_downsamples[level])
        for place in places:
            tile = slide.read_region(place, level, (side, side)).convert("RGB")
            np.asarray(tile.resize((256, 256), Image.Resampling.LANCZOS))
    return len(places)


def _read_tiles(folder: Path) -> int:
    from sanoscope.cases.case import SlideTile
    from sanoscope.cases.slides import read_tile

    places = _tiles(folder)
    for x, y in places:
        read_tile(folder / "slide.tiff", SlideTile(x, y, 1024, 256))
    return len(places)


FORMATS = (
    ("PNG, 50 × 50, RGB", _draw_patches, _plain_png, _read_png),
    ("PNG, 512 × 512, 16-bit", _draw_slices, _plain_png, _read_png),
    ("NIfTI, compressed, 240 × 240", _draw_nifti, _plain_nifti, _read_nifti),
    ("DICOM, native, 512 × 512", _draw_dicom("native"), _plain_dicom, _read_dicom),
    ("DICOM, RLE, 512 × 512", _draw_dicom("RLELossless"), _plain_dicom, _read_dicom),
    ("DICOM, JPEG 2000, 512 × 512", _draw_dicom("JPEG2000Lossless"), _plain_dicom, _read_dicom),
    ("slide, tiles of 256 × 256 at 10×", _draw_slide, _plain_tiles, _read_tiles),
)


if __name__ == "__main__":
    main()
