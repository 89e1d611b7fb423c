"""``sanoscope inspect`` as a user types it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from command_line import SMALL, finished, sanoscope
from sanoscope.cases.phantoms import brain_phantoms
from volume_files import save as save_volume


@pytest.fixture
def phantoms(tmp_path: Path) -> Path:
    brain_phantoms(6, 6, size=64, seed=0).save(tmp_path / "brains")
    return tmp_path / "brains"


def test_a_readable_collection_is_told_in_tables(phantoms: Path) -> None:
    done = finished("inspect", phantoms)
    assert "36; subjects: 6" in done.out
    assert "36 .png images" in done.out
    assert "preparation.image_size" in done.out
    assert done.out.splitlines()[-1].startswith(f"sanoscope fit conv-vae {phantoms} --out model --set ")


def test_the_ready_command_trains(phantoms: Path, tmp_path: Path) -> None:
    command = shlex.split(finished("inspect", phantoms).out.splitlines()[-1])
    out = command.index("--out") + 1
    command[out] = str(tmp_path / "model")
    finished(*command[1:], "--epochs", "1", *SMALL)
    assert (tmp_path / "model" / "detector.json").exists()


def test_json_is_all_of_stdout_and_the_page_is_written(phantoms: Path, tmp_path: Path) -> None:
    done = finished("inspect", phantoms, "--json", "--out", tmp_path / "found")
    printed = json.loads(done.out)
    assert printed == json.loads((tmp_path / "found" / "inspect.json").read_text())
    assert printed["cases"] == 36
    assert printed["refused"] == []
    assert f"page: {tmp_path / 'found' / 'inspect.html'}" in done.err
    assert sanoscope("inspect", phantoms, "--out", tmp_path / "found").error.endswith("choose another --out")


def test_what_would_be_refused_is_said_and_ends_with_1(phantoms: Path, tmp_path: Path) -> None:
    broken = sorted(phantoms.rglob("0000.png"))[0]
    broken.write_bytes(broken.read_bytes()[:100])
    done = sanoscope("inspect", phantoms)
    assert done.code == 1
    assert "Refused: 1 of 36" in done.out
    reasons = json.loads(sanoscope("inspect", phantoms, "--json").out)["refused"]
    assert [one["case"] for one in reasons] == [f"{broken.parent.name}/0000"]
    assert reasons[0]["reason"].startswith(f"{broken}: ")


def test_options_of_the_data_are_taken_and_no_others(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(1, 200, (12, 14, 16)).astype(np.int16)
    save_volume(tmp_path / "scans" / "a.nii.gz", voxels)
    asked = ("--set", "data.axis=coronal", "--set", "data.slices=2:-2")
    printed = json.loads(finished("inspect", tmp_path / "scans", "--json", *asked).out)
    assert printed["cases"] == 10
    assert printed["sizes"] == {"16 × 12": 10}
    assert "--set data.axis=coronal" in printed["command"]
    error = sanoscope("inspect", tmp_path / "scans", "--set", "preparation.image_size=32").error
    assert "has no option 'preparation.image_size'" in error
    config = tmp_path / "settings.yaml"
    config.write_text("data:\n  axis: coronal\ntraining:\n  epochs: 3\n")
    printed = json.loads(finished("inspect", tmp_path / "scans", "--json", "--config", config).out)
    assert printed["cases"] == 14


def test_a_sample_and_groups(tmp_path: Path) -> None:
    for group, level in (("glioma", 90), ("healthy", 120)):
        (tmp_path / "images" / group).mkdir(parents=True)
        for i in range(6):
            pixels = np.random.default_rng(i + level).integers(level, 200, (16, 16)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / group / f"{i}.png")
    done = finished("inspect", tmp_path / "images", "--normal", "healthy", "--sample", "5", "--json")
    printed = json.loads(done.out)
    assert (printed["cases"], printed["read"]) == (12, 5)
    assert printed["groups"] == {"glioma": 6, "healthy": 6}
    assert "--normal healthy" in printed["command"]


@pytest.mark.parametrize("inside", [True, False])
def test_bad_input_is_one_line(inside: bool, tmp_path: Path) -> None:
    if inside:
        (tmp_path / "images").mkdir()
        for i in range(3):
            Image.fromarray(np.full((8, 8), 40 * i, np.uint8)).save(tmp_path / "images" / f"{i}.png")
        done = sanoscope("inspect", tmp_path / "images", "--out", tmp_path / "images" / "found")
        assert "choose another --out" in done.error
    else:
        assert "no such file or folder" in sanoscope("inspect", tmp_path / "nowhere").error


def test_no_patient_is_named(tmp_path: Path) -> None:
    """The name and number in the file of pydicom's test data appear nowhere."""
    (tmp_path / "scans").mkdir()
    file = get_testdata_file("CT_small.dcm", read=True)
    file.PatientName, file.PatientID = "Doe^Jane", "MRN-4711"
    file.save_as(tmp_path / "scans" / "slice.dcm")
    file.SOPInstanceUID, file.SeriesInstanceUID = "1.2.3", "1.2.4"
    file.save_as(tmp_path / "scans" / "without-suffix")
    done = sanoscope("inspect", tmp_path / "scans", "--json", "--out", tmp_path / "found")
    assert done.code == 0
    page = (tmp_path / "found" / "inspect.html").read_text()
    for text in (done.out, done.err, page):
        assert "MRN-4711" not in text
        assert "Doe^Jane" not in text
    assert json.loads(done.out)["headers"]["Modality"] == {"CT": 2}
