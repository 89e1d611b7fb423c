"""Maps as DICOM Segmentations and Parametric Maps that lie where their source lies and say no more of the patient."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    EnhancedMRImageStorage,
    UltrasoundImageStorage,
    generate_uid,
)
from scipy.spatial.transform import Rotation

from dicom_files import (
    BORN,
    CT,
    NAME,
    PATIENT,
    SECONDARY_CAPTURE,
    TO_LPS,
    functional,
    image_file,
    placed,
    with_group,
    write_series,
)
from sanoscope.cases import Case, Cases, VolumeSlice
from sanoscope.cases.case import AXES
from sanoscope.cases.identity import pseudonym
from sanoscope.errors import ImageError, OptionError
from sanoscope.heatmaps import Heatmaps
from sanoscope.map_files.dicom import write_dicom
from sanoscope.preparation.geometry import Geometry
from sanoscope.provenance import version

SHAPE = (7, 5, 4)  # columns, rows, slices


def affine_of(directions: np.ndarray) -> np.ndarray:
    """Steps of ``(3, 3)`` columns from some place in the patient."""
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions, (11.5, -20.25, 300.75)
    return affine


ANISOTROPIC = np.diag([0.5, 0.75, 3.0])
AXIAL = np.diag([-1.0, -1.0, 1.0])
TURN = Rotation.from_euler("xyz", (20, -15, 30), degrees=True).as_matrix()
GRIDS = {
    "axial": affine_of(AXIAL @ ANISOTROPIC),
    "reversed": affine_of(AXIAL @ ANISOTROPIC @ np.diag([1, 1, -1])),
    "oblique": affine_of(TURN @ AXIAL @ ANISOTROPIC),
    "gantry": affine_of(AXIAL @ ANISOTROPIC + np.outer([0, 0.9, 0], [0, 0, 1])),
    "sagittal": affine_of(np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]) @ ANISOTROPIC),
}
# In what would tell of the patient, by keyword.
TELLING = {
    "ReferringPhysicianName": "Telltale^Doctor",
    "InstitutionName": "Telltale Hospital",
    "InstitutionAddress": "Telltale Street",
    "StationName": "TELLTALESTATION",
    "OperatorsName": "Telltale^Operator",
    "PatientAddress": "Telltale Road",
    "PatientComments": "telltale comment",
    "PatientAge": "069Y",
    "OtherPatientNames": "Telltale^Other",
    "StudyDescription": "telltale study",
    "SeriesDescription": "telltale series",
    "AccessionNumber": "TELLTALE77",
    "StudyID": "TELLTALE9",
    "StudyDate": "20010203",
    "StudyTime": "040506",
    "AcquisitionDate": "20010203",
    "DeviceSerialNumber": "telltale-serial",
    "Manufacturer": "Telltale Scanners",
    "ProtocolName": "telltale protocol",
}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pseudonyms need a key, and tests leave no file in the user's folder."""
    monkeypatch.setenv("SANOSCOPE_PSEUDONYM_KEY", "of these tests")


def ct_series(folder: Path, affine: np.ndarray, **elements: object) -> list[Path]:
    """A CT series that lies by an affine."""
    stored = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    common = {
        "SOPClassUID": CT,
        "Modality": "CT",
        "StudyInstanceUID": generate_uid(),
        "FrameOfReferenceUID": generate_uid(),
        "SliceThickness": "2.5",
        "PatientSex": "F",
        **elements,
    }
    return write_series(folder, stored, affine, **common)


def heatmaps(pictures: list[np.ndarray], **settings: object) -> Heatmaps:
    """Maps as they are, on the grid of their files."""
    settings = {"name": "rec-grad", "thresholds": {"rec-grad": {"p90": 0.3, "p95": 0.7}}, **settings}
    return Heatmaps(np.stack(pictures), [()] * len(pictures), Geometry(()), 0.9, **settings)


def sliced(path: Path, values: np.ndarray, affine: np.ndarray, axis: str) -> tuple[Cases, Heatmaps]:
    """Voxels ``(I, J, K)`` cut across an axis as radiologists look at slices, by nibabel's order of axes."""
    canonical = nib.as_closest_canonical(nib.Nifti1Image(values, affine)).get_fdata(dtype=np.float32)
    slices = np.moveaxis(canonical, AXES[axis], 0)[:, ::-1, ::-1].swapaxes(1, 2)
    cases = [
        Case(f"ct/{axis}_{i:03d}", path, subject="subject-abc", slice=VolumeSlice(axis, i, len(slices)))
        for i in range(len(slices))
    ]
    return Cases(cases), heatmaps(list(slices))


def random_values(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(SHAPE).astype(np.float32)


def on_grid(dataset: Dataset, frames: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frames of a file as voxels ``(I, J, K)`` of a grid, by where each pixel lies in the patient; and which."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    row, column = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    down, right = (float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing)
    voxels, filled = np.zeros(SHAPE, frames.dtype), np.zeros(SHAPE, bool)
    r, c = np.mgrid[: dataset.Rows, : dataset.Columns]
    for frame, group in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        corner = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        places = corner + c[..., None] * right * row + r[..., None] * down * column  # to left, back, head
        found = (places - (TO_LPS @ affine)[:3, 3]) @ np.linalg.inv((TO_LPS @ affine)[:3, :3]).T
        indices = np.rint(found).astype(int)
        np.testing.assert_allclose(found, indices, atol=1e-4)
        voxels[tuple(indices.reshape(-1, 3).T)] = frame.ravel()
        filled[tuple(indices.reshape(-1, 3).T)] = True
    return voxels, filled


def referred(dataset: Dataset) -> list[str]:
    """The source instance of each frame."""
    groups = dataset.PerFrameFunctionalGroupsSequence
    return [group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID for group in groups]


def positions(dataset: Dataset) -> list[list[float]]:
    """The place of each frame."""
    groups = dataset.PerFrameFunctionalGroupsSequence
    return [[float(x) for x in group.PlanePositionSequence[0].ImagePositionPatient] for group in groups]


# ------------------------------------------------------------ where they lie


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("grid", GRIDS)
def test_series_come_back_voxel_by_voxel(tmp_path: Path, grid: str, axis: str) -> None:
    affine = GRIDS[grid]
    files = ct_series(tmp_path / "ct", affine)
    values = random_values()
    values[:, :, 2] *= 0.5  # nothing above the threshold in one slice
    cases, maps = sliced(files[0], values, affine, axis)
    order = list(np.random.default_rng(1).permutation(len(cases)))
    written = write_dicom("a/ct", cases, maps, order, tmp_path / "out", identified=False)
    assert written == [tmp_path / "out" / "maps" / "a" / f"ct.{end}.dcm" for end in ("map", "seg")]

    sources = {str(dataset.SOPInstanceUID): dataset for dataset in map(dcmread, files)}
    parametric, segmentation = map(dcmread, written)
    mapped, everywhere = on_grid(parametric, parametric.pixel_array, affine)
    assert parametric.pixel_array.dtype == np.float32
    assert everywhere.all()
    np.testing.assert_array_equal(mapped, values)
    found, there = on_grid(segmentation, segmentation.pixel_array, affine)
    np.testing.assert_array_equal(found, values > 0.7)
    assert there.any(axis=(0, 1)).tolist() == [True, True, False, True]
    for dataset in (parametric, segmentation):
        for instance, position in zip(referred(dataset), positions(dataset), strict=True):
            assert position == [float(x) for x in sources[instance].ImagePositionPatient]
        source = next(iter(sources.values()))
        assert dataset.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert dataset.StudyInstanceUID == source.StudyInstanceUID
        series = dataset.ReferencedSeriesSequence[0] if "ReferencedSeriesSequence" in dataset else None
        assert series is None or series.SeriesInstanceUID == source.SeriesInstanceUID


def test_highdicom_reads_them_by_source(tmp_path: Path) -> None:
    files = ct_series(tmp_path / "ct", GRIDS["reversed"])
    values = random_values()
    cases, maps = sliced(files[0], values, GRIDS["reversed"], "coronal")
    map_file, seg_file = write_dicom("ct", cases, maps, range(len(cases)), tmp_path, identified=False)
    instances = [dcmread(file).SOPInstanceUID for file in files]
    segmentation = highdicom.seg.segread(seg_file)
    pixels = segmentation.get_pixels_by_source_instance(instances)[..., 0]
    np.testing.assert_array_equal(pixels.T, values > 0.7)
    volume = highdicom.imread(map_file).get_volume()
    to_voxels = np.linalg.inv(TO_LPS @ GRIDS["reversed"]) @ volume.affine
    places = np.indices(volume.shape).reshape(3, -1)
    found = (to_voxels @ np.vstack([places, np.ones(places.shape[1])]))[:3]
    np.testing.assert_allclose(found, np.rint(found), atol=1e-4)
    np.testing.assert_array_equal(volume.array.ravel(), values[tuple(np.rint(found).astype(int))])


def test_slices_that_were_not_scored_are_0(tmp_path: Path) -> None:
    files = ct_series(tmp_path / "ct", GRIDS["axial"])
    values = random_values() + 1
    cases, maps = sliced(files[0], values, GRIDS["axial"], "axial")
    map_file, seg_file = write_dicom("ct", cases, maps, [1, 2], tmp_path, identified=False)
    pixels = dcmread(map_file).pixel_array
    assert [frame.any() for frame in pixels] == [False, True, True, False]
    assert dcmread(seg_file).NumberOfFrames == 2


def test_slices_of_unknown_thickness_are_as_thick_as_they_are_apart(tmp_path: Path) -> None:
    files = ct_series(tmp_path / "ct", GRIDS["axial"], SliceThickness=None)
    cases, maps = sliced(files[0], random_values(), GRIDS["axial"], "axial")
    for file in write_dicom("ct", cases, maps, range(len(cases)), tmp_path, identified=False):
        measures = dcmread(file).SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        assert (measures.SliceThickness, measures.SpacingBetweenSlices) == (3, 3)


def test_directions_may_differ_in_their_last_digits(tmp_path: Path) -> None:
    files = ct_series(tmp_path / "ct", GRIDS["axial"])
    dataset = dcmread(files[1])
    dataset.ImageOrientationPatient = ["1", "0.00001", "0", "-0.00001", "1", "0"]
    dataset.save_as(files[1])
    cases, maps = sliced(files[0], random_values(), GRIDS["axial"], "axial")
    map_file, _ = write_dicom("ct", cases, maps, range(len(cases)), tmp_path, identified=False)
    assert dcmread(map_file).NumberOfFrames == len(files)


def enhanced(affine: np.ndarray, order: list[int], shared: bool) -> Dataset:
    """An Enhanced MR file whose frames are the slices of a volume in some order."""
    common, frames = [], []
    for k in order:
        place = placed(affine, k)
        orientation = {"ImageOrientationPatient": place["ImageOrientationPatient"]}
        measures = {"PixelSpacing": place["PixelSpacing"], "SliceThickness": "3"}
        group = functional("PlanePositionSequence", ImagePositionPatient=place["ImagePositionPatient"])
        for_all = Dataset() if shared else group
        with_group(for_all, "PlaneOrientationSequence", **orientation)
        with_group(for_all, "PixelMeasuresSequence", **measures)
        frames.append(group)
        common = [for_all] if shared else []
    pixels = np.zeros((len(order), SHAPE[1], SHAPE[0]), np.int16)
    dataset = image_file(
        pixels,
        SOPClassUID=EnhancedMRImageStorage,
        StudyInstanceUID=generate_uid(),
        SeriesInstanceUID=generate_uid(),
        FrameOfReferenceUID=generate_uid(),
        NumberOfFrames=len(order),
        PerFrameFunctionalGroupsSequence=frames,
        **({"SharedFunctionalGroupsSequence": common} if common else {}),
    )
    dataset.Rows, dataset.Columns = pixels.shape[1:]
    return dataset


@pytest.mark.parametrize("shared", [True, False])
def test_frames_of_one_file_in_whatever_order(tmp_path: Path, shared: bool) -> None:
    file = tmp_path / "enhanced.dcm"
    affine, order = GRIDS["oblique"], [2, 0, 3, 1]
    enhanced(affine, order, shared).save_as(file)
    values = random_values()
    cases, maps = sliced(file, values, affine, "sagittal")
    map_file, seg_file = write_dicom("mr", cases, maps, range(len(cases)), tmp_path, identified=False)
    parametric, segmentation = dcmread(map_file), dcmread(seg_file)
    np.testing.assert_array_equal(on_grid(parametric, parametric.pixel_array, affine)[0], values)
    np.testing.assert_array_equal(on_grid(segmentation, segmentation.pixel_array, affine)[0], values > 0.7)
    for dataset in (parametric, segmentation):
        for group in dataset.PerFrameFunctionalGroupsSequence:
            source = group.DerivationImageSequence[0].SourceImageSequence[0]
            k = order[int(source.ReferencedFrameNumber) - 1]
            expected = [float(x) for x in placed(affine, k)["ImagePositionPatient"]]
            assert [float(x) for x in group.PlanePositionSequence[0].ImagePositionPatient] == expected


def test_a_file_of_one_frame(tmp_path: Path) -> None:
    file = tmp_path / "enhanced.dcm"
    enhanced(GRIDS["oblique"], [1], shared=False).save_as(file)
    values = np.random.default_rng(4).random((SHAPE[1], SHAPE[0])).astype(np.float32)
    written = write_dicom("mr", Cases([Case("mr", file)]), heatmaps([values]), [0], tmp_path, identified=False)
    for dataset, expected in zip(map(dcmread, written), (values, values > 0.7), strict=True):
        found, there = on_grid(dataset, dataset.pixel_array.reshape(1, *values.shape), GRIDS["oblique"])
        np.testing.assert_array_equal(found[:, :, 1].T, expected)
        assert there.any(axis=(0, 1)).tolist() == [False, True, False, False]


def x_ray(folder: Path, pixels: np.ndarray, **elements: object) -> Path:
    """An image of its own that says nothing of its place."""
    file = folder / "x_ray.dcm"
    settings = {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "Modality": "DX",
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        **elements,
    }
    image_file(pixels, **settings).save_as(file)
    return file


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"PixelSpacing": ["0.2", "0.3"]},
        {"PixelSpacing": ["0.2", "0.3"], "ImagePositionPatient": [0, 0, 0], "FrameOfReferenceUID": "1.2.3"},
    ],
    ids=["nothing", "spacing", "half a place"],
)
def test_an_x_ray(tmp_path: Path, told: dict[str, object]) -> None:
    file = x_ray(tmp_path, np.zeros((6, 9), np.uint16), **told)
    values = np.random.default_rng(2).random((6, 9)).astype(np.float32)
    written = write_dicom("x", Cases([Case("x", file)]), heatmaps([values]), [0], tmp_path, identified=False)
    parametric, segmentation = map(dcmread, written)
    np.testing.assert_array_equal(parametric.pixel_array.reshape(6, 9), values)
    np.testing.assert_array_equal(segmentation.pixel_array.reshape(6, 9), values > 0.7)
    for dataset in (parametric, segmentation):
        assert referred(dataset) == [dcmread(file).SOPInstanceUID]
        assert "PlaneOrientationSequence" not in dataset.SharedFunctionalGroupsSequence[0]
    assert parametric.FrameOfReferenceUID
    assert "FrameOfReferenceUID" not in segmentation
    np.testing.assert_array_equal(highdicom.imread(written[0]).pixel_array.reshape(6, 9), values)
    np.testing.assert_array_equal(highdicom.seg.segread(written[1]).get_frame(1), values > 0.7)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm"])
def test_real_slices(real_data: Path, tmp_path: Path, name: str) -> None:
    file = real_data / "formats" / "dicom" / name
    source = dcmread(file)
    values = np.random.default_rng(3).random((source.Rows, source.Columns)).astype(np.float32)
    written = write_dicom("x", Cases([Case("x", file)]), heatmaps([values]), [0], tmp_path, identified=True)
    for dataset, expected in zip(map(dcmread, written), (values, values > 0.7), strict=True):
        np.testing.assert_array_equal(dataset.pixel_array.reshape(values.shape), expected)
        assert referred(dataset) == [source.SOPInstanceUID]
        assert positions(dataset) == [[float(x) for x in source.ImagePositionPatient]]
        assert dataset.PatientID == source.PatientID
        assert dataset.FrameOfReferenceUID == source.FrameOfReferenceUID


# ------------------------------------------------------------ who the patient is


def telling_bytes() -> list[bytes]:
    return [text.encode() for text in (NAME, PATIENT, BORN, *TELLING.values())]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., tuple[list[Path], list[Path]]]:
    """Results of a series full of what tells of the patient, and its files."""

    def write(subject: str | None = None, *, identified: bool = False, **elements: object):  # type: ignore[no-untyped-def]
        files = ct_series(tmp_path / "ct", GRIDS["axial"], **TELLING, **elements)
        cases, maps = sliced(files[0], random_values(), GRIDS["axial"], "axial")
        named = [Case(case.name, case.path, subject=subject, slice=case.slice) for case in cases]
        results = write_dicom("ct", Cases(named), maps, range(len(named)), tmp_path, identified=identified)
        return results, files

    return write


def test_no_word_of_the_patient_by_default(written: Callable[..., tuple[list[Path], list[Path]]]) -> None:
    results, files = written("subject-abc")
    source = files[0].read_bytes()
    assert all(text in source for text in telling_bytes())
    for file in results:
        content = file.read_bytes()
        assert [text for text in telling_bytes() if text in content] == []
        assert b"telltale" not in content.lower()
        dataset = dcmread(file)
        assert dataset.PatientID == "subject-abc"
        assert dataset.PatientIdentityRemoved == "YES"
        assert dataset.DeidentificationMethod
        blank = ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber")
        assert not any(dataset[keyword].value for keyword in blank)
        assert "PatientAge" not in dataset


@pytest.mark.parametrize("subject", [None, PATIENT])
def test_the_true_identifier_becomes_a_pseudonym(
    written: Callable[..., tuple[list[Path], list[Path]]], subject: str | None
) -> None:
    results, _ = written(subject)
    for file in results:
        assert dcmread(file).PatientID == pseudonym(PATIENT)
        assert PATIENT.encode() not in file.read_bytes()


def test_identified_results_are_the_patients(written: Callable[..., tuple[list[Path], list[Path]]]) -> None:
    results, files = written("subject-abc", identified=True, PatientIdentityRemoved="NO")
    source = dcmread(files[0])
    for dataset in map(dcmread, results):
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyDate"):
            assert dataset[keyword].value == source[keyword].value
        for keyword in ("AccessionNumber", "StudyID", "ReferringPhysicianName", "StudyDescription"):
            assert dataset[keyword].value == source[keyword].value
        assert dataset.PatientIdentityRemoved == "NO"
        assert "DeidentificationMethod" not in dataset


@pytest.mark.parametrize(
    ("characters", "name"),
    [("ISO_IR 100", "Müller^Jürgen"), (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう")],
)
def test_names_in_other_characters(
    written: Callable[..., tuple[list[Path], list[Path]]], characters: str | list[str], name: str
) -> None:
    results, _ = written(identified=True, SpecificCharacterSet=characters, PatientName=name)
    for dataset in map(dcmread, results):
        assert str(dataset.PatientName) == name
        assert dataset.SpecificCharacterSet == "ISO_IR 192"


# ------------------------------------------------------------ what they say


def test_what_they_say_of_themselves(tmp_path: Path) -> None:
    files = ct_series(tmp_path / "ct", GRIDS["axial"])
    cases, maps = sliced(files[0], random_values(), GRIDS["axial"], "axial")
    map_file, seg_file = write_dicom("ct", cases, maps, [0, 1], tmp_path, identified=False, recipe="conv-vae")
    parametric, segmentation = dcmread(map_file), dcmread(seg_file)
    (segment,) = segmentation.SegmentSequence
    assert segmentation.SegmentationType == "BINARY"
    assert (segmentation.BitsAllocated, segmentation.Modality) == (1, "SEG")
    assert segment.SegmentLabel == "Abnormality found by the model"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "52988006"
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("sanoscope conv-vae", version())
    assert segment.SegmentDescription == "Pixels with rec-grad above p95 = 0.7"
    assert segmentation.SeriesDescription == "Abnormality: rec-grad above p95 = 0.7"

    shared = parametric.SharedFunctionalGroupsSequence[0]
    mapping = shared.RealWorldValueMappingSequence[0]
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert mapping.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM"
    window = shared.FrameVOILUTSequence[0]
    assert (window.WindowCenter, window.WindowWidth) == (0.45, 0.9)
    assert window.VOILUTFunction == "LINEAR_EXACT"
    uids = {uid for file in (parametric, segmentation) for uid in (file.SeriesInstanceUID, file.SOPInstanceUID)}
    assert len(uids) == 4
    for dataset in (parametric, segmentation):
        assert not dataset.get("ContentCreatorName")
        assert 0 < len(dataset.ContentLabel) <= 16


def test_maps_without_a_scale_have_a_window(tmp_path: Path) -> None:
    file = x_ray(tmp_path, np.zeros((6, 9), np.uint16))
    maps = heatmaps([np.zeros((6, 9), np.float32)], thresholds={"rec-grad": {"0": -1.0}})
    flat = Heatmaps(maps.values, maps.traces, maps.geometry, 0.0, maps.name, thresholds=maps.thresholds)
    map_file, _ = write_dicom("x", Cases([Case("x", file)]), flat, [0], tmp_path, identified=False)
    assert dcmread(map_file).SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0].WindowWidth > 0


# ------------------------------------------------------------ what cannot be


def test_nothing_above_the_threshold(tmp_path: Path) -> None:
    file = x_ray(tmp_path, np.zeros((6, 9), np.uint16))
    values = np.full((6, 9), 0.7, np.float32)  # at it
    with pytest.raises(ImageError, match=r"x_ray\.dcm: no pixel has rec-grad above p95 = 0\.7.*no DICOM Segm"):
        write_dicom("x", Cases([Case("x", file)]), heatmaps([values]), [0], tmp_path, identified=False)
    assert [found.name for found in (tmp_path / "maps").iterdir()] == ["x.map.dcm"]


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "SOPInstanceUID"])
def test_sources_that_nothing_can_refer_to(tmp_path: Path, missing: str) -> None:
    file = x_ray(tmp_path, np.zeros((6, 9), np.uint16))
    dataset = dcmread(file)
    del dataset[missing]
    dataset.save_as(file)
    with pytest.raises(ImageError, match=rf"x_ray\.dcm: there are no DICOM results.*no {missing}"):
        write_dicom(
            "x", Cases([Case("x", file)]), heatmaps([np.ones((6, 9), np.float32)]), [0], tmp_path, identified=False
        )
    assert not (tmp_path / "maps").exists()


def test_series_without_a_frame_of_reference(tmp_path: Path) -> None:
    files = ct_series(tmp_path / "ct", GRIDS["axial"], FrameOfReferenceUID=None)
    cases, maps = sliced(files[0], random_values(), GRIDS["axial"], "axial")
    with pytest.raises(ImageError, match=r"000\.dcm: there are no DICOM results of it \(it has no FrameOfRef"):
        write_dicom("ct", cases, maps, [0], tmp_path, identified=False)


def test_frames_without_a_place(tmp_path: Path) -> None:
    file = x_ray(tmp_path, np.zeros((4, 5, 7), np.uint8), SOPClassUID=UltrasoundImageStorage, NumberOfFrames=4)
    maps = heatmaps([np.ones((5, 7), np.float32)])
    cases = Cases([Case("us/axial_000", file, slice=VolumeSlice("axial", 0, 4))])
    with pytest.raises(ImageError, match=r"x_ray\.dcm: there are no DICOM results of it \(it does not say where"):
        write_dicom("us", cases, maps, [0], tmp_path, identified=False)


@pytest.mark.parametrize("kind", [UltrasoundImageStorage, SECONDARY_CAPTURE])
def test_pictures_in_colour(tmp_path: Path, kind: str) -> None:
    file = x_ray(tmp_path, np.zeros((6, 9, 3), np.uint8), SOPClassUID=kind)
    maps = heatmaps([np.ones((6, 9), np.float32)])
    written = write_dicom("us", Cases([Case("us", file)]), maps, [0], tmp_path, identified=False)
    for dataset in map(dcmread, written):
        assert dataset.SamplesPerPixel == 1
        assert (dataset.pixel_array == 1).all()


def test_one_map_of_a_file_of_several_frames(tmp_path: Path) -> None:
    file = x_ray(tmp_path, np.zeros((4, 6, 9), np.uint8), SOPClassUID=UltrasoundImageStorage, NumberOfFrames=4)
    maps = heatmaps([np.ones((6, 9), np.float32)])
    with pytest.raises(ImageError, match=r"x_ray\.dcm: there are no DICOM results of it \(it has several frames"):
        write_dicom("us", Cases([Case("us", file)]), maps, [0], tmp_path, identified=False)


def test_a_map_of_another_size(tmp_path: Path) -> None:
    file = x_ray(tmp_path, np.zeros((6, 9), np.uint8))
    maps = heatmaps([np.ones((5, 9), np.float32)])
    with pytest.raises(ImageError, match=r"x_ray\.dcm: there are no DICOM results of it \(highdicom: "):
        write_dicom("x", Cases([Case("x", file)]), maps, [0], tmp_path, identified=False)


def test_images_of_unknown_kind(tmp_path: Path) -> None:
    file = x_ray(tmp_path, np.zeros((6, 9), np.uint8), SOPClassUID="1.2.3.4.5")
    maps = heatmaps([np.ones((6, 9), np.float32)])
    with pytest.raises(ImageError, match=r"x_ray\.dcm: there are no DICOM results.*does not know its kind"):
        write_dicom("us", Cases([Case("us", file)]), maps, [0], tmp_path, identified=False)


def test_pseudonyms_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = x_ray(tmp_path, np.zeros((6, 9), np.uint16))
    monkeypatch.delenv("SANOSCOPE_PSEUDONYM_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(file))
    maps = heatmaps([np.ones((6, 9), np.float32)])
    with pytest.raises(OptionError, match="SANOSCOPE_PSEUDONYM_KEY"):
        write_dicom("x", Cases([Case("x", file)]), maps, [0], tmp_path, identified=False)
    assert write_dicom("x", Cases([Case("x", file, subject="s1")]), maps, [0], tmp_path, identified=False)


def test_a_truncated_slice_is_named(tmp_path: Path) -> None:
    files = ct_series(tmp_path / "ct", GRIDS["axial"])
    cases, maps = sliced(files[0], random_values(), GRIDS["axial"], "axial")
    write_dicom("ct", cases, maps, [0], tmp_path, identified=False)
    files[2].write_bytes(b"")
    with pytest.raises(ImageError, match=r"002\.dcm: "):
        write_dicom("ct", cases, maps, [0], tmp_path, identified=False)


def test_without_highdicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = x_ray(tmp_path, np.zeros((6, 9), np.uint16))
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(OptionError, match=r"pip install 'sanoscope\[dicom\]'"):
        write_dicom(
            "x", Cases([Case("x", file)]), heatmaps([np.ones((6, 9), np.float32)]), [0], tmp_path, identified=False
        )
