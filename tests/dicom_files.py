"""Small DICOM files for tests, made with pydicom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import Dataset, FileDataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

NAME, PATIENT, BORN = "Secretname^Hidden", "ID-7 secret 42", "19570413"
CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def image_file(pixels: np.ndarray, **elements: object) -> FileDataset:
    """A DICOM file of pixels ``(H, W)`` or ``(H, W, 3)``, with an identity that must never be seen again."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = str(elements.get("SOPClassUID", MR))
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = NAME, PATIENT, BORN
    dataset.Modality = "MR"
    dataset.SamplesPerPixel = 3 if pixels.shape[-1] == 3 and pixels.ndim > 2 else 1
    dataset.PhotometricInterpretation = "RGB" if dataset.SamplesPerPixel == 3 else "MONOCHROME2"
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if dataset.SamplesPerPixel == 3 else pixels.shape[-2:]
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    return dataset


def placed(affine: np.ndarray, k: int) -> dict[str, object]:
    """The elements that place slice k of a volume, columns first, with an affine to right, front and head."""
    lps = TO_LPS @ affine
    spacing = np.linalg.norm(lps[:3, :2], axis=0)
    return {
        "ImageOrientationPatient": [f"{value:.12f}"[:16] for value in (lps[:3, :2] / spacing).T.ravel()],
        "ImagePositionPatient": [f"{value:.12f}"[:16] for value in lps[:3, 3] + k * lps[:3, 2]],
        "PixelSpacing": [f"{spacing[1]:.12f}"[:16], f"{spacing[0]:.12f}"[:16]],
        "InstanceNumber": k + 1,
    }


def write_series(
    folder: Path, stored: np.ndarray, affine: np.ndarray, *, name: str = "{:03d}.dcm", **elements: object
) -> list[Path]:
    """The slices of voxels ``(I, J, K)`` as files, in the order of K."""
    folder.mkdir(parents=True, exist_ok=True)
    common = {"SeriesInstanceUID": generate_uid(), **elements}
    files = []
    for k in range(stored.shape[2]):
        file = folder / name.format(k)
        image_file(np.ascontiguousarray(stored[:, :, k].T), **{**placed(affine, k), **common}).save_as(file)
        files.append(file)
    return files


def functional(sequence: str, **elements: object) -> Dataset:
    """A functional group with one sequence of one item."""
    return with_group(Dataset(), sequence, **elements)


def with_group(group: Dataset, sequence: str, **elements: object) -> Dataset:
    """The same with one more."""
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    setattr(group, sequence, [item])
    return group
