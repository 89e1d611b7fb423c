"""Folders as archives write them: a folder a patient, a folder a study, files with numbers for names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicom_files import image_file, write_series
from sanoscope import load_cases, read_cases
from sanoscope.cases import read_image
from sanoscope.errors import DataError

AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


def archive(folder: Path, patients: int = 3) -> Path:
    """Patients with two studies of one series each, files without a suffix."""
    rng = np.random.default_rng(0)
    for patient in range(patients):
        for study in range(2):
            place = folder / f"PAT{patient:03d}" / f"ST{study}"
            voxels = rng.integers(0, 900, (8, 6, 4)).astype(np.uint16)
            write_series(place, voxels, AFFINE, name="IM{:05d}", PatientID=f"MRN {patient}")
    return folder


def test_folders_of_an_archive_are_no_classes(tmp_path: Path) -> None:
    cases = read_cases(archive(tmp_path))
    assert len(cases) == 3 * 2 * 4
    assert {case.label for case in cases} == {None}
    assert any("taken for patients or studies" in note for note in cases.notes)


def test_a_patient_is_one_subject_in_all_studies(tmp_path: Path) -> None:
    cases = load_cases(archive(tmp_path, patients=12), test=0.25, validation=0.25)
    sides: dict[str | None, set[str | None]] = {}
    for case in cases:
        sides.setdefault(case.subject, set()).add(case.split)
    assert len(sides) == 12
    assert all(len(of_one) == 1 for of_one in sides.values())
    assert not any("MRN" in str(subject) for subject in sides)


def test_class_folders_stay_classes(tmp_path: Path) -> None:
    for group in ("normal", "tumour"):
        write_series(tmp_path / group / "a", np.zeros((4, 4, 2), np.uint16), AFFINE)
    assert {case.group: case.label for case in read_cases(tmp_path)} == {"normal": 0, "tumour": 1}
    for group in ("left", "right"):
        write_series(tmp_path / "x" / group, np.zeros((4, 4, 2), np.uint16), AFFINE)
    assert {case.label for case in read_cases(tmp_path / "x", normal="left")} == {0, 1}


def test_sides_of_a_split_stay_sides(tmp_path: Path) -> None:
    for side in ("train", "test"):
        write_series(tmp_path / side / "a", np.zeros((4, 4, 2), np.uint16), AFFINE, PatientID=side)
    assert {case.split for case in read_cases(tmp_path)} == {"train", "test"}


def test_images_in_folders_still_ask_which_is_normal(tmp_path: Path) -> None:
    from PIL import Image

    for group in ("left", "right"):
        (tmp_path / group).mkdir()
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / group / "a.png")
    with pytest.raises(DataError, match="which of these groups is normal"):
        read_cases(tmp_path)


def test_a_file_without_a_suffix_is_read_for_what_it_is(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.uint16).reshape(3, 4)
    image_file(values).save_as(tmp_path / "1.2.840.99")
    np.testing.assert_array_equal(read_image(tmp_path / "1.2.840.99")[..., 0], values)
