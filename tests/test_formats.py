"""Real files of awkward formats: each is read as its reference library reads it, or refused with a reason.

The tables name every file of the folder.
"""

from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import openslide
import pydicom
import pytest
import tifffile
from PIL import Image

from sanoscope.cases import read_case, read_cases, read_image
from sanoscope.cases.case import SlideTile
from sanoscope.cases.slicing import Slicing
from sanoscope.cases.slides import facts_of, is_slide, read_tile
from sanoscope.cases.suffixes import DICOM, suffix_of
from sanoscope.cases.tiling import Tiling
from sanoscope.cases.volume_files import read_volume
from sanoscope.errors import ImageError

pytestmark = pytest.mark.real_data

LGG = "lgg_tif/TCGA_DU_5872_19950223/TCGA_DU_5872_19950223_"
LGG_MASKS = tuple(f"{LGG}{number}_mask.tif" for number in (1, *range(10, 20)))
LGG_IMAGES = tuple(f"{LGG}{number}.tif" for number in (1, 2, *range(10, 21)))

# What is read as one image: its shape and the type of its values.
IMAGES = {
    "dicom/693_J2KI.dcm": ((512, 512, 1), "int16"),
    "dicom/CT_small.dcm": ((128, 128, 1), "int16"),
    "dicom/ExplVR_BigEnd.dcm": ((60, 80, 3), "uint8"),
    "dicom/JPEG2000.dcm": ((1024, 256, 1), "int16"),
    "dicom/JPGExtended.dcm": ((1024, 256, 1), "uint16"),
    "dicom/MR_small.dcm": ((64, 64, 1), "int16"),
    "dicom/MR_small_RLE.dcm": ((64, 64, 1), "int16"),
    "dicom/MR_small_bigendian.dcm": ((64, 64, 1), "int16"),
    "dicom/MR_small_expb.dcm": ((64, 64, 1), "int16"),
    "dicom/MR_small_implicit.dcm": ((64, 64, 1), "int16"),
    "dicom/MR_small_jp2klossless.dcm": ((64, 64, 1), "int16"),
    "dicom/MR_small_jpeg_ls_lossless.dcm": ((64, 64, 1), "int16"),
    "dicom/MR_small_padded.dcm": ((64, 64, 1), "int16"),
    "dicom/SC_rgb_jpeg_dcmtk.dcm": ((100, 100, 3), "uint8"),
    "dicom/SC_rgb_rle_16bit.dcm": ((100, 100, 3), "uint16"),
    "dicom/SC_rgb_small_odd.dcm": ((3, 3, 3), "uint8"),
    "dicom/examples_jpeg2k.dcm": ((480, 640, 3), "uint8"),
    "dicom/examples_palette.dcm": ((350, 800, 3), "uint16"),
    "dicom/image_dfl.dcm": ((512, 512, 1), "uint8"),
    "nifti/siemens_dwi_0.dcm.gz": ((896, 896, 1), "uint16"),
    "wsi/boxes.tiff": ((250, 300, 3), "uint8"),
    "wsi/kidney-48-5.tif": ((901, 1493, 3), "uint8"),
    **dict.fromkeys(LGG_IMAGES, ((256, 256, 3), "uint8")),
    **dict.fromkeys(LGG_MASKS, ((256, 256, 1), "uint8")),
}
# What is read as a volume: its shape towards right, front and head.
VOLUMES = {
    "nifti/anatomical.nii": ((33, 41, 25), "int16"),
    "nifti/someones_anatomy.nii.gz": ((57, 67, 56), "float32"),
    "nifti/standard.nii.gz": ((4, 5, 7), "uint8"),
    "nifti/philips_mprage.dcm.gz": ((176, 256, 256), "float32"),
}
# Frames without a place in the patient: how many, and as of images.
FRAMES = {"dicom/examples_ybr_color.dcm": (30, (240, 320, 3), "uint8")}
# Width, height, and levels.
SLIDES = {
    "wsi/boxes_0.dcm": (16, 16, 1),
    "wsi/boxes_1.dcm": (16, 16, 1),
    "wsi/cmu_small_region.svs": (2220, 2967, 1),
    "wsi/small.svs": (16, 16, 1),
    "wsi/tcga-cr-7395-01a-01-ts1.svs": (4443, 3567, 2),
}
# What is no image that can be used, and why.
REFUSED = {
    "dicom/JPEG-lossy.dcm": "cannot be decoded",
    "dicom/MR_truncated.dcm": "is truncated: it has 8130 bytes of pixels where its header tells 8192",
    "dicom/liver_1frame.dcm": "is a segmentation or registration, not an image",
    "dicom/no_meta.dcm": "the content is no DICOM file",
    "dicom/rtdose.dcm": "is a radiotherapy dose, not an image",
    "dicom/waveform_ecg.dcm": "is a waveform, not an image",
    "nifti/example4d.nii.gz": r"has 4 dimensions, of shape \(128, 96, 24, 2\); save each volume of it as a file",
    "nifti/example_nifti2.nii.gz": r"has 4 dimensions, of shape \(32, 20, 12, 2\); save each volume of it as a file",
    "nifti/functional.nii": r"has 4 dimensions, of shape \(17, 21, 3, 20\); save each volume of it as a file",
    "nifti/test.mgz": r"has 4 dimensions, of shape \(3, 4, 5, 2\); save each volume of it as a file",
    "wsi/broken.svs": "cannot be read as a slide",
    "wsi/unopenable.tiff": "52479 is not a known COMPRESSION",
}


@pytest.fixture(scope="module")
def formats(real_data: Path) -> Path:
    return real_data / "formats"


def test_the_tables_name_every_file_once(formats: Path) -> None:
    named = [*IMAGES, *VOLUMES, *FRAMES, *SLIDES, *REFUSED]
    assert len(named) == len(set(named))
    assert sorted(named) == sorted(str(file.relative_to(formats)) for file in formats.rglob("*") if file.is_file())


def plain_dicom(path: Path) -> pydicom.FileDataset:
    content = path.read_bytes()
    return pydicom.dcmread(io.BytesIO(gzip.decompress(content) if path.suffix == ".gz" else content))


def by_pydicom(path: Path) -> np.ndarray:
    """All frames, rescaled, with the darkest value in place of padding; colours in RGB."""
    dataset = plain_dicom(path)
    stored = pydicom.pixels.pixel_array(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        return pydicom.pixels.apply_color_lut(stored, dataset)
    if dataset.SamplesPerPixel > 1:
        return stored
    values = pydicom.pixels.apply_rescale(stored, dataset)
    padding = stored == dataset.get("PixelPaddingValue")
    return np.where(padding, values[~padding].min(), values)


def by_nicom(path: Path) -> nib.Nifti1Image:
    """A volume by nibabel's reader of DICOM, which warns that it is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nibabel.nicom import dicomwrappers

        wrapped = dicomwrappers.wrapper_from_data(plain_dicom(path))
        voxels = np.asarray(wrapped.get_data(), float)
    return nib.Nifti1Image(voxels, np.diag([-1, -1, 1, 1]) @ wrapped.affine)  # DICOM counts to the left and back


def by_pil(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def reference(path: Path) -> Callable[[Path], np.ndarray]:
    if suffix_of(path) in DICOM:
        return by_pydicom
    return by_pil if path.name == "boxes.tiff" else tifffile.imread  # the latter has no JPEG by itself


@pytest.mark.parametrize("file", IMAGES)
def test_images_are_as_their_reference_reads_them(file: str, formats: Path) -> None:
    path = formats / file
    shape, data_type = IMAGES[file]
    found = read_image(path)
    assert (found.shape, found.dtype.name) == (shape, data_type)
    wanted = reference(path)(path)
    np.testing.assert_array_equal(found, wanted.reshape(shape))
    assert not is_slide(path)
    cases = read_cases(path)
    assert len(cases) == 1
    np.testing.assert_array_equal(read_case(cases[0]), found)


@pytest.mark.parametrize("file", VOLUMES)
def test_volumes_are_as_nibabel_reads_them(file: str, formats: Path) -> None:
    path = formats / file
    shape, data_type = VOLUMES[file]
    found = read_volume(path)
    assert (found.voxels.shape, found.voxels.dtype.name) == (shape, data_type)
    canonical = nib.as_closest_canonical(by_nicom(path) if suffix_of(path) in DICOM else nib.load(path))
    np.testing.assert_array_equal(found.voxels, canonical.get_fdata().astype(data_type))
    first = found.grid.corners[0]
    np.testing.assert_allclose(first, canonical.affine[:3, 3], atol=0.01)  # millimetres
    cases = read_cases(path)
    assert len(cases) == shape[2]
    middle = cases[shape[2] // 2]
    np.testing.assert_array_equal(read_case(middle)[..., 0], np.flip(found.voxels[:, :, shape[2] // 2]).T)


@pytest.mark.parametrize("file", FRAMES)
def test_frames_are_as_pydicom_reads_them(file: str, formats: Path) -> None:
    count, shape, data_type = FRAMES[file]
    cases = read_cases(formats / file)
    frames = [read_case(case) for case in cases]
    assert len(frames) == count
    assert {(frame.shape, frame.dtype.name) for frame in frames} == {(shape, data_type)}
    np.testing.assert_array_equal(np.stack(frames), by_pydicom(formats / file))


@pytest.mark.parametrize("file", SLIDES)
def test_slides_are_as_openslide_reads_them(file: str, formats: Path) -> None:
    path = formats / file
    assert is_slide(path)
    facts = facts_of(path)
    assert (facts.width, facts.height, len(facts.downsamples)) == SLIDES[file]
    side = min(facts.width, facts.height, 512)
    found = read_tile(path, SlideTile(facts.width - side, 0, side, side))
    with openslide.OpenSlide(path) as slide:
        region = slide.read_region((facts.width - side, 0), 0, (side, side))
    wanted = Image.new("RGB", region.size, "white")
    wanted.paste(region, mask=region.getchannel("A"))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("file", REFUSED)
def test_what_is_refused_says_why(file: str, formats: Path) -> None:
    path = formats / file
    case = read_cases(path)[0]
    with pytest.raises(ImageError, match=REFUSED[file]) as caught:
        read_case(case)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_slide_that_does_not_tell_its_magnification_needs_to_be_told(formats: Path) -> None:
    path = formats / "wsi/tcga-cr-7395-01a-01-ts1.svs"
    with pytest.raises(ImageError, match=r"does not tell its magnification; set data\.objective"):
        Tiling().side(path)
    cases = read_cases(path, slicing=Slicing(tiling=Tiling(objective=20, tiles="random:1")))
    assert read_case(cases[0]).shape == (256, 256, 3)
