"""DICOM on the command line as a user types it: an archive in, results on its grid out, and nobody's name anywhere."""

from __future__ import annotations

import csv
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest

from command_line import SMALL, finished, sanoscope
from dicom_files import NAME, PATIENT, image_file, write_series
from sanoscope.cases.volume_files import read_volume

AFFINE = np.array([[-2.0, 0, 0, 30], [0, -2.0, 0, 10], [0, 0, 3.0, -7], [0, 0, 0, 1]])
SECRETS = [part.encode() for part in (*NAME.split("^"), PATIENT, "MRN")]
QUICK = (*SMALL, "--set", "training.max_iterations=3")


def voxels(seed: int, lesion: bool = False) -> np.ndarray:
    """A noisy disc ``(24, 20, 6)``, with a bright block in it."""
    rng = np.random.default_rng(seed)
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in (24, 20, 6)), indexing="ij")
    values = np.where(x**2 + y**2 < 0.8, rng.integers(400, 500, x.shape), 0).astype(np.uint16)
    if lesion:
        values[14:18, 5:9, 2:4] = 3000
    return values


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "archive"
    for i in range(6):
        more = {"PatientID": f"MRN {i}", "FrameOfReferenceUID": f"1.2.3.{i + 1}", "StudyInstanceUID": f"1.2.4.{i + 1}"}
        write_series(folder / f"P{i}" / "S1", voxels(i), AFFINE, name="IM{:04d}", **more)
    return folder


@pytest.fixture(scope="module")
def model(archive: Path) -> Path:
    folder = archive.parent / "model"
    done = finished("fit", "vae", archive, "--out", folder, *QUICK)
    assert "DICOM volumes: 6 of 36 files, of which 36 slices" in done.err
    return folder


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    folder = tmp_path / "in" / "scan"
    uids = {"FrameOfReferenceUID": "1.2.3.99", "StudyInstanceUID": "1.2.4.99"}
    write_series(folder, voxels(9, lesion=True), AFFINE, **uids)
    return folder


def test_results_lie_on_the_series_and_name_nobody(model: Path, patient: Path, tmp_path: Path) -> None:
    out = tmp_path / "findings"
    done = finished("score", model, patient, "--out", out, "--dicom", "--set", "decision.map_percentiles=[50]")
    source = read_volume(patient / "000.dcm")
    nifti = nibabel.load(out / "maps" / "scan.nii.gz")
    assert nifti.shape == source.grid.shape
    np.testing.assert_allclose(nifti.affine, AFFINE, atol=1e-5)
    segmentation = highdicom.seg.segread(out / "maps" / "scan.seg.dcm")
    values = pydicom.dcmread(out / "maps" / "scan.map.dcm")
    instances = {pydicom.dcmread(file).SOPInstanceUID for file in patient.iterdir()}
    for result in (segmentation, values):
        assert result.FrameOfReferenceUID == "1.2.3.99"
        assert result.StudyInstanceUID == "1.2.4.99"
        referenced = result.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        assert {item.ReferencedSOPInstanceUID for item in referenced} <= instances
        assert str(result.PatientID).startswith("subject-")
        assert not str(result.PatientName)
    for file in (path for path in out.rglob("*") if path.is_file() and path.suffix != ".png"):
        assert not any(secret in file.read_bytes() for secret in SECRETS), file
    assert not any(secret.decode() in done.out + done.err for secret in SECRETS)
    with (out / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 6
    assert {row["subject"] for row in rows} == {str(values.PatientID)}


def test_who_it_is_only_where_asked_for(model: Path, patient: Path, tmp_path: Path) -> None:
    out = tmp_path / "findings"
    finished("score", model, patient, "--out", out, "--dicom", "--identified", "--set", "data.identity=patient-id")
    values = pydicom.dcmread(out / "maps" / "scan.map.dcm")
    assert (str(values.PatientName), values.PatientID) == (NAME, PATIENT)
    assert PATIENT in (out / "scores.csv").read_text()


def test_a_damaged_slice_is_named_and_the_rest_is_scored(model: Path, patient: Path, tmp_path: Path) -> None:
    other = patient.parent / "other"
    write_series(other, voxels(3), AFFINE, PatientID="MRN other")
    (other / "002.dcm").write_bytes((other / "002.dcm").read_bytes()[:-40])
    done = sanoscope("score", model, patient.parent, "--out", tmp_path / "findings")
    assert done.code == 1
    assert "002.dcm" in done.err
    assert "truncated" in done.err
    with (tmp_path / "findings" / "scores.csv").open() as stream:
        assert {row["name"].partition("/")[0] for row in csv.DictReader(stream)} >= {"scan"}


def test_what_has_no_place_gets_its_reason(model: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (24, 20, 3)).astype(np.uint8)
    image_file(values).save_as(tmp_path / "photo.dcm")
    done = sanoscope("score", model, tmp_path / "photo.dcm", "--out", tmp_path / "findings", "--dicom")
    assert done.code == 0
    assert "not written: " in done.err
    assert "photo.dcm: there are no DICOM results of it (it has no StudyInstanceUID to refer to)" in done.err
    assert (tmp_path / "findings" / "maps" / "photo.tiff").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dicom", "--no-maps"], "--no-maps leaves nothing"),
        (["--geojson", "--no-maps"], "--no-maps leaves nothing"),
        (["--identified"], "--identified goes with --dicom"),
    ],
)
def test_options_that_contradict_each_other(
    model: Path, patient: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    done = sanoscope("score", model, patient, "--out", tmp_path / "findings", *options)
    assert said in done.error
    assert not (tmp_path / "findings").exists()


def test_outlines_of_plain_images(tmp_path: Path) -> None:
    from sanoscope import brain_phantoms

    brain_phantoms(subjects=6, seed=0).save(tmp_path / "images")
    finished("fit", "vae", tmp_path / "images", "--out", tmp_path / "model", *QUICK)
    finished("score", tmp_path / "model", tmp_path / "images", "--out", tmp_path / "findings", "--geojson")
    maps = tmp_path / "findings" / "maps"
    images = {path.relative_to(maps).with_suffix("") for path in maps.rglob("*.tiff")}
    assert images
    assert {path.relative_to(maps).with_suffix("") for path in maps.rglob("*.geojson")} == images
