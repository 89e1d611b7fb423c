"""DICOM series as volumes: what belongs together, in which order, and where it lies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import generate_uid
from scipy.spatial.transform import Rotation

from dicom_files import CT, MR, PATIENT, SECONDARY_CAPTURE, functional, image_file, placed, with_group, write_series
from sanoscope.cases import load_cases, read_case, read_cases
from sanoscope.cases.dicom_series import files_behind, grid_of, read, series_of
from sanoscope.cases.grid import Grid, displayed
from sanoscope.cases.slicing import Slicing
from sanoscope.cases.volume import Volume
from sanoscope.errors import DataError, ImageError

AXIAL = np.array([[-0.5, 0, 0, 60.0], [0, -0.75, 0, 50], [0, 0, 3, -20], [0, 0, 0, 1]])
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
CINE = "1.2.840.10008.5.1.4.1.1.3.1"


def voxels(shape: tuple[int, int, int] = (5, 4, 6), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4000, shape).astype(np.uint16)


def assert_same_volume(found: Volume, stored: np.ndarray, affine: np.ndarray) -> None:
    """The same voxels at the same places, whichever way the files count."""
    expected = Volume.of(Grid.of(stored.shape, affine), stored)
    np.testing.assert_array_equal(found.voxels, expected.voxels)
    np.testing.assert_allclose(found.grid.corners, expected.grid.corners, atol=1e-6)


def test_the_affine_of_a_series(tmp_path: Path) -> None:
    stored = voxels()
    files = write_series(tmp_path, stored, AXIAL)
    series = series_of(files[2])
    assert series.files == tuple(files)
    assert series.notes == ()
    assert files_behind(files[5]) == tuple(files)
    assert grid_of(files[0]).shape == (5, 4, 6)
    np.testing.assert_allclose(grid_of(files[0]).affine, AXIAL, atol=1e-9)
    volume = read(files[1])
    assert volume.voxels.dtype == np.uint16
    for k in range(6):  # an axial series is displayed as its files are
        np.testing.assert_array_equal(displayed(volume.voxels, "axial", k), dcmread(files[k]).pixel_array)


@settings(max_examples=15, deadline=None)
@given(
    quaternion=st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1),
    spacing=st.tuples(*[st.floats(0.2, 5)] * 3),
    mirrored=st.booleans(),
    order=st.permutations(range(4)),
)
def test_any_orientation_and_any_order_of_names(
    tmp_path_factory: pytest.TempPathFactory,
    quaternion: tuple[float, ...],
    spacing: tuple[float, ...],
    mirrored: bool,
    order: list[int],
) -> None:
    folder = tmp_path_factory.mktemp("series")
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_quat(quaternion).as_matrix() * spacing * np.array([1, 1, 1 - 2 * mirrored])
    affine[:3, 3] = (12.5, -40, 7)
    stored = voxels((3, 5, 4))
    uid = generate_uid()
    for k, number in enumerate(order):
        image_file(stored[:, :, k].T.copy(), **placed(affine, k), SeriesInstanceUID=uid).save_as(folder / f"{number}")
    found = read(folder / "0")
    if mirrored:  # slices are counted along their normal, which DICOM takes to be that of a right-handed grid
        affine[:3, 3] += 3 * affine[:3, 2]
        affine[:3, 2] *= -1
        stored = stored[:, :, ::-1]
    np.testing.assert_allclose(found.grid.affine, affine, atol=1e-6)
    np.testing.assert_array_equal(found.voxels, Volume.of(found.grid, stored).voxels)


def test_a_sheared_series_keeps_its_shear(tmp_path: Path) -> None:
    affine = AXIAL.copy()
    affine[1, 2] = 1.0  # a gantry tilted by atan(1 / 3)
    files = write_series(tmp_path, voxels(), affine)
    np.testing.assert_allclose(grid_of(files[0]).affine, affine, atol=1e-9)
    assert series_of(files[0]).notes == ("slices are shifted against each other, as by a gantry tilted by 18.4°",)


def test_one_slice_is_as_far_from_the_next_as_it_says(tmp_path: Path) -> None:
    files = write_series(tmp_path, voxels((5, 4, 1)), AXIAL, SliceThickness="4", SpacingBetweenSlices="3")
    np.testing.assert_allclose(grid_of(files[0]).affine, AXIAL, atol=1e-9)


def test_gaps_and_missing_numbers_are_told(tmp_path: Path) -> None:
    files = write_series(tmp_path, voxels((5, 4, 8)), AXIAL)
    files[3].unlink()
    files[4].unlink()
    notes = series_of(files[0]).notes
    assert "instance numbers missing: 2 (4, 5)" in notes
    assert "gaps where slices are 3 mm apart: 9 mm between slices 2 and 3 at -14 mm" in notes
    assert len(notes) == 2


def test_uneven_steps_are_told(tmp_path: Path) -> None:
    files = write_series(tmp_path, voxels(), AXIAL)
    dataset = dcmread(files[-1])
    dataset.ImagePositionPatient[2] = -20 + 5 * 3 + 0.5
    dataset.save_as(files[-1])
    assert series_of(files[0]).notes == ("uneven steps where slices are 3 mm apart: 3.5 mm at -8 mm",)


def test_scouts_are_split_off(tmp_path: Path) -> None:
    stored = voxels()
    uid = generate_uid()
    files = write_series(tmp_path / "ct", stored, AXIAL, SeriesInstanceUID=uid)
    coronal = np.array([[-1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    scout = write_series(tmp_path / "ct", voxels((9, 9, 1)), coronal, name="scout.dcm", SeriesInstanceUID=uid)
    assert series_of(files[0]).files == tuple(files)
    assert series_of(scout[0]).files == tuple(scout)
    cases = read_cases(tmp_path)
    assert [case.name for case in cases] == [f"ct/axial-{k:03d}" for k in range(6)]
    left_out = "DICOM single images of series that have a volume, such as scouts, left out: 1 (ct/scout)"
    assert left_out in cases.notes


@pytest.mark.parametrize("keyword", ["EchoNumbers", "TemporalPositionIdentifier", "AcquisitionNumber", None])
def test_images_at_the_same_places_are_as_many_volumes(tmp_path: Path, keyword: str | None) -> None:
    uid = generate_uid()
    both = [voxels(seed=seed) for seed in (1, 2)]
    for which, stored in enumerate(both):
        for k in range(6):
            elements = placed(AXIAL, k) | ({keyword: which + 1} if keyword else {}) | {"InstanceNumber": 6 * which + k}
            if keyword and which and k == 2:  # one echo is a slice short
                continue
            image_file(stored[:, :, k].T.copy(), **elements, SeriesInstanceUID=uid).save_as(tmp_path / f"{k}-{which}")
    first, second = read(tmp_path / "0-0"), read(tmp_path / "0-1")
    np.testing.assert_array_equal(first.voxels, Volume.of(grid_of(tmp_path / "0-0"), both[0]).voxels)
    kept = both[1][:, :, [0, 1, 3, 4, 5]] if keyword else both[1]
    np.testing.assert_array_equal(second.voxels, Volume.of(grid_of(tmp_path / "0-1"), kept).voxels)
    assert "2 images at the same places, read as as many volumes" in series_of(tmp_path / "0-0").notes


def test_an_acquisition_a_slice_does_not_tear_volumes_apart(tmp_path: Path) -> None:
    stored = voxels()
    uid = generate_uid()
    for k in range(6):
        elements = placed(AXIAL, k) | {"AcquisitionNumber": k, "SeriesInstanceUID": uid}
        image_file(stored[:, :, k].T.copy(), **elements).save_as(tmp_path / f"{k}.dcm")
    assert len(series_of(tmp_path / "0.dcm").files) == 6


def test_copies_are_left_out(tmp_path: Path) -> None:
    files = write_series(tmp_path, voxels(), AXIAL)
    (tmp_path / "copy.dcm").write_bytes(files[3].read_bytes())
    assert series_of(files[0]).files == tuple(files)
    assert series_of(files[0]).notes == ("copies left out: 1",)


def test_slopes_that_differ_give_floats(tmp_path: Path) -> None:
    stored = voxels()
    uid = generate_uid()
    slopes = np.array([0.5, 1.25, 2, 3, 4, 0.125], np.float32)
    for k, slope in enumerate(slopes):
        elements = placed(AXIAL, k) | {"RescaleSlope": str(slope), "RescaleIntercept": "0", "Modality": "PT"}
        image_file(stored[:, :, k].T.copy(), **elements, SeriesInstanceUID=uid).save_as(tmp_path / f"{k}.dcm")
    volume = read(tmp_path / "0.dcm")
    assert volume.voxels.dtype == np.float32
    assert_same_volume(volume, stored * slopes, AXIAL)


def test_hounsfield_units_are_integers(tmp_path: Path) -> None:
    stored = voxels()
    elements = {"RescaleSlope": "1", "RescaleIntercept": "-1024", "Modality": "CT", "SOPClassUID": CT}
    volume = read(write_series(tmp_path, stored, AXIAL, **elements)[0])
    assert volume.voxels.dtype == np.int16
    assert_same_volume(volume, stored.astype(np.int16) - 1024, AXIAL)


def write_enhanced(file: Path, stored: np.ndarray, affine: np.ndarray, order: list[int]) -> None:
    """One file of all slices ``(I, J, K)``, its frames in an order of its own, the second rescaled by 2."""
    dataset = image_file(stored[:, :, order].transpose(2, 1, 0).copy(), SOPClassUID=ENHANCED_MR)
    dataset.NumberOfFrames = len(order)
    groups = []
    for frame, k in enumerate(order):
        where = placed(affine, k)
        group = functional("PlanePositionSequence", ImagePositionPatient=where["ImagePositionPatient"])
        with_group(group, "PlaneOrientationSequence", ImageOrientationPatient=where["ImageOrientationPatient"])
        slope = "2" if frame == 1 else "1"
        with_group(group, "PixelValueTransformationSequence", RescaleSlope=slope, RescaleIntercept="0")
        groups.append(group)
    shared = functional("PixelMeasuresSequence", PixelSpacing=placed(affine, 0)["PixelSpacing"], SliceThickness="3")
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.save_as(file)


@pytest.mark.parametrize(
    ("order", "frames"),
    [
        ([0, 1, 2, 3, 4, 5], (0, 1, 2, 3, 4, 5)),
        ([5, 4, 3, 2, 1, 0], (0, 1, 2, 3, 4, 5)),  # the affine counts downwards
        ([2, 0, 1, 5, 3, 4], (1, 2, 0, 4, 5, 3)),
    ],
)
def test_frames_of_an_enhanced_file(tmp_path: Path, order: list[int], frames: tuple[int, ...]) -> None:
    stored = voxels()
    file = tmp_path / "enhanced.dcm"
    write_enhanced(file, stored, AXIAL, order)
    expected = stored.astype(np.uint16)
    expected[:, :, order[1]] *= 2
    assert_same_volume(read(file), expected, AXIAL)
    assert series_of(file).frames == frames
    assert series_of(file).placed


def test_frames_at_the_same_place_have_none(tmp_path: Path) -> None:
    file = tmp_path / "twice.dcm"
    write_enhanced(file, voxels(), AXIAL, [0, 1, 2, 2, 1, 0])
    assert not series_of(file).placed
    assert "several of its frames lie at the same place" in series_of(file).notes[0]


@pytest.mark.parametrize("colours", [(), (3,)])
def test_a_cine_is_shown_frame_by_frame(tmp_path: Path, colours: tuple[int, ...]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (7, 6, 9, *colours)).astype(np.uint8)
    file = tmp_path / "heart.dcm"
    image_file(frames, SOPClassUID=CINE, NumberOfFrames=7, Modality="US").save_as(file)
    cases = read_cases(tmp_path, slicing=Slicing(axis="coronal"))
    assert [case.name for case in cases] == [f"heart/axial-{k:03d}" for k in range(7)]
    for k, case in enumerate(cases):
        np.testing.assert_array_equal(read_case(case).squeeze(), frames[k])


def test_images_without_a_place_stay_images(tmp_path: Path) -> None:
    uid = generate_uid()
    for k in range(3):
        image_file(voxels()[0], SeriesInstanceUID=uid, SOPClassUID=SECONDARY_CAPTURE).save_as(tmp_path / f"{k}.dcm")
    cases = read_cases(tmp_path)
    assert [case.name for case in cases] == ["0", "1", "2"]
    assert all(case.slice is None for case in cases)
    with pytest.raises(ImageError, match="an image of its own"):
        series_of(tmp_path / "0.dcm")


def damaged(**elements: object) -> Callable[[Path], None]:
    def apply(file: Path) -> None:
        dataset = dcmread(file)
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(file)

    return apply


@pytest.mark.parametrize(
    "mutate",
    [
        damaged(ImageOrientationPatient=["0"] * 6),
        damaged(ImageOrientationPatient=["1", "0", "0", "1", "0", "0"]),
        damaged(ImagePositionPatient=["1", "0"]),
        damaged(PixelSpacing=["0", "1"]),
        damaged(PixelSpacing=["-1", "1"]),
    ],
)
def test_places_that_cannot_be_are_none(tmp_path: Path, mutate: Callable[[Path], None]) -> None:
    files = write_series(tmp_path, voxels(), AXIAL)
    mutate(files[0])
    assert series_of(files[1]).files == tuple(files[1:])
    with pytest.raises(ImageError, match="does not say where it lies"):
        series_of(files[0])


def test_a_broken_slice_is_named(tmp_path: Path) -> None:
    files = write_series(tmp_path, voxels(), AXIAL)
    files[4].write_bytes(files[4].read_bytes()[:-3])
    with pytest.raises(ImageError, match=r"004\.dcm: the file is truncated"):
        read(files[0])


def test_a_series_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sanoscope.cases.dicom_series.LARGEST_BYTES", 5 * 4 * 6 * 2 - 1)
    files = write_series(tmp_path, voxels(), AXIAL)
    with pytest.raises(ImageError, match="6 × 4 × 5 voxels is more than the limit"):
        grid_of(files[0])


def test_a_number_of_frames_that_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "frames.dcm"
    image_file(np.zeros((1, 1), np.uint8), NumberOfFrames=2**31 - 1).save_as(file)
    with pytest.raises(ImageError, match="truncated"):
        series_of(file)


def test_folders_of_series_become_slices(tmp_path: Path) -> None:
    for group in ("normal", "abnormal"):
        for patient in range(2):
            folder = tmp_path / group / f"p{patient}"
            write_series(folder, voxels(), AXIAL, name="1.2.840.{:d}", PatientID=f"{group}{patient}")
    cases = read_cases(tmp_path, slicing=Slicing(slices="central:2"))
    assert len(cases) == 8
    assert cases.layout == "class-folders"
    assert sum(case.label or 0 for case in cases) == 4
    assert len(set(cases.subjects)) == 4
    assert "DICOM volumes: 4 of 24 files, of which 8 slices" in cases.notes
    assert any(note.startswith("DICOM volumes labelled abnormal without a mask") for note in cases.notes)


def test_two_series_in_a_folder_are_two_volumes(tmp_path: Path) -> None:
    write_series(tmp_path / "a", voxels(), AXIAL, name="x{}.dcm")
    write_series(tmp_path / "a", voxels(), AXIAL, name="y{}.dcm")
    cases = read_cases(tmp_path, slicing=Slicing(slices="0:1"))
    assert [case.name for case in cases] == ["a/x0/axial-000", "a/y0/axial-000"]
    assert len(set(cases.subjects)) == 1


def test_no_patient_is_on_two_sides(tmp_path: Path) -> None:
    for patient in range(6):
        for study in range(2):
            folder = tmp_path / f"study-{study}-{patient}"
            write_series(folder, voxels((5, 4, 3)), AXIAL, PatientID=f"patient {patient}")
    cases = load_cases(tmp_path, layout="folder", validation=0.2, test=0.2, check_duplicates=False)
    sides = {}
    for case in cases:
        assert sides.setdefault(case.subject, case.split) == case.split
    assert len(sides) == 6


def test_what_holds_no_image_is_left_out(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", voxels(), AXIAL)
    image_file(voxels()[0], SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11").save_as(tmp_path / "ct" / "report.dcm")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    cases = read_cases(tmp_path)
    assert len(cases) == 6
    assert "DICOM files that hold no image, left out: 1 (ct/report)" in cases.notes
    assert "files of other types left out: 1 (without suffix)" in cases.notes


def test_a_manifest_names_files_and_folders(tmp_path: Path) -> None:
    files = write_series(tmp_path / "a", voxels(), AXIAL)
    write_series(tmp_path / "b", voxels(), AXIAL)
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path,label,subject\na/000.dcm,0,\na/003.dcm,1,\nb,0,anna\n")
    cases = read_cases(tmp_path)
    assert [case.slice is None for case in cases] == [True] * 2 + [False] * 6
    assert [case.label for case in cases][:2] == [0, 1]
    assert cases[-1].subject == "anna"
    assert cases[-1].name == "b/axial-005"
    np.testing.assert_array_equal(read_case(cases[1]).squeeze(), dcmread(files[3]).pixel_array)
    write_series(tmp_path / "b", voxels(), AXIAL, name="more{}.dcm")
    with pytest.raises(DataError, match="b: has 2 DICOM volumes"):
        read_cases(tmp_path)
    manifest.write_text("path,axis,index\na/000.dcm,axial,2\n")
    np.testing.assert_array_equal(read_case(read_cases(tmp_path)[0]).squeeze(), dcmread(files[2]).pixel_array)


def test_a_series_with_masks_of_single_images_stays_images(tmp_path: Path) -> None:
    files = write_series(tmp_path, voxels(), AXIAL)
    (tmp_path / "003_mask.dcm").write_bytes(files[0].read_bytes())
    cases = read_cases(tmp_path)
    assert [case.name for case in cases] == [f"{k:03d}" for k in range(6)]
    assert [case.mask is not None for case in cases] == [k == 3 for k in range(6)]


def test_images_of_a_series_agree(tmp_path: Path) -> None:
    from dataclasses import replace

    from sanoscope.cases import Cases
    from sanoscope.cases.dicom_cases import with_series

    files = write_series(tmp_path, voxels(), AXIAL)
    cases = read_cases(tmp_path)
    images = Cases(
        replace(cases[0], name=file.stem, path=file, slice=None, label=int(k > 2)) for k, file in enumerate(files)
    )
    with pytest.raises(DataError, match="differ in label"):
        with_series(images, Slicing())


def test_subjects_are_pseudonyms_unless_told(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(), AXIAL, SOPClassUID=MR)
    assert {case.subject for case in read_cases(tmp_path, slicing=Slicing(identity="patient-id"))} == {PATIENT}
    (subject,) = {case.subject for case in read_cases(tmp_path)}
    assert subject is not None
    assert subject.startswith("subject-")


@pytest.mark.real_data
def test_an_enhanced_file_of_a_scanner(real_data: Path) -> None:
    series = series_of(real_data / "formats" / "nifti" / "philips_mprage.dcm.gz")
    assert series.placed
    assert series.notes == ()
    assert series.grid.shape == (256, 256, 176)
    np.testing.assert_allclose(np.linalg.norm(series.grid.affine[:3, :3], axis=0), 1, atol=1e-3)
