"""What DICOM results take over from their source: how it lies and its UIDs, and who the patient is or a pseudonym."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sanoscope.cases.case import Case
from sanoscope.cases.dicom_checks import frame_count
from sanoscope.cases.dicom_geometry import plane_of
from sanoscope.cases.dicom_header import DAMAGED, discreet, headers_of
from sanoscope.cases.dicom_series import series_of
from sanoscope.cases.grid import naming
from sanoscope.cases.identity import pseudonym
from sanoscope.errors import ImageError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# What a result refers to.
REFERRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
# What is read of every source besides: nothing that tells of the patient.
GEOMETRY = (
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "RecognizableVisualFeatures",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
# What every result has to have, if blank (PS3.3, C.7.1.1 and C.7.2.1).
NEEDED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
# What makes a result the source's neighbour in an archive.
IDENTITY = (
    *NEEDED,
    "IssuerOfPatientID",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientBirthTime",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "StudyDescription",
    "IssuerOfAccessionNumberSequence",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID",
    "ClinicalTrialSiteName",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
)
LONGEST = 64  # characters of a DICOM long string


def sources_of(case: Case) -> list[Dataset]:
    """What highdicom has to know of the files of a case's series, or of its only one, in their order.

    Raises:
        ImageError: They cannot be read, or results cannot refer to them.
    """
    assert case.path is not None, "DICOM cases are files"
    files: tuple[Path, ...] = (case.path,)
    needed: tuple[str, ...] = REFERRED
    if case.slice is not None:
        series = series_of(case.path)
        if not series.placed:
            raise no_result(case.path, "it does not say where its frames lie in the patient")
        files, needed = series.files, (*REFERRED, "FrameOfReferenceUID")
    sources = [_header(file, (*REFERRED, *GEOMETRY)) for file in files]
    if lacking := next((uid for uid in needed if not all(source.get(uid) for source in sources)), None):
        raise no_result(case.path, f"it has no {lacking} to refer to")
    if case.slice is None and frame_count(sources[0]) > 1:
        raise no_result(case.path, "it has several frames, and the map is of one")
    first = sources[0]
    for keyword in NEEDED:
        setattr(first, keyword, "")
    if "PerFrameFunctionalGroupsSequence" in first:
        _share_orientation(first)
    if not first.get("FrameOfReferenceUID") or plane_of(first, 0) is None:
        for keyword in ("FrameOfReferenceUID", "ImagePositionPatient"):  # of no use without the other
            first.pop(keyword, None)
    elif "ImagePositionPatient" in first:
        _agree(sources, case.path)
    return sources


def _agree(sources: Sequence[Dataset], path: Path) -> None:
    """Make what is the same within the tolerance of series the same to the last digit, and fill in the thickness."""
    first = sources[0]
    if not first.get("SliceThickness"):
        first.SliceThickness = round(float(np.linalg.norm(series_of(path).grid.affine[:3, 2])), 6)
    for source in sources:
        source.ImageOrientationPatient = first.ImageOrientationPatient


def _share_orientation(source: Dataset) -> None:
    """Put what all frames have in common where highdicom looks for it; some scanners tell it frame by frame."""
    from pydicom.dataset import Dataset

    if not source.get("SharedFunctionalGroupsSequence"):
        source.SharedFunctionalGroupsSequence = [Dataset()]
    shared, own = source.SharedFunctionalGroupsSequence[0], source.PerFrameFunctionalGroupsSequence[0]
    for keyword in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
        if keyword in own and keyword not in shared:
            shared[keyword] = own[keyword]


def _header(file: Path, keywords: Sequence[str]) -> Dataset:
    """Some elements of a file, all of them decoded, so that whoever uses them has nothing to complain of."""
    with naming(file):
        header = headers_of(file, keywords)
        with discreet(DAMAGED):
            header.decode()
    return header


def no_result(path: Path, reason: str) -> ImageError:
    """The error that says why there is none of a file."""
    return ImageError(f"{path}: there are no DICOM results of it ({reason}); its maps are in other files")


def patient_of(path: Path) -> Dataset:
    """Patient and study as a file tells them.

    Raises:
        ImageError: It cannot be read.
    """
    header = _header(path, IDENTITY)
    for element in list(header):
        if element.keyword not in IDENTITY:
            del header[element.tag]
    return header


def pseudonymous_patient(case: Case) -> Dataset:
    """A patient of whom nothing is known but what to call them.

    Raises:
        ImageError: The file of the case cannot be read.
        OptionError: Pseudonyms cannot be made.
    """
    from pydicom.dataset import Dataset

    assert case.path is not None, "DICOM cases are files"
    identifier = str(_header(case.path, ["PatientID"]).get("PatientID") or "").strip()
    subject = pseudonym(identifier) if case.subject in (None, identifier) else case.subject
    patient = Dataset()
    patient.PatientID = (subject or "").replace("\\", "/")[:LONGEST]
    patient.PatientIdentityRemoved = "YES"
    patient.DeidentificationMethod = "Only geometry and UIDs of the source are copied"
    patient.LongitudinalTemporalInformationModified = "REMOVED"
    return patient
