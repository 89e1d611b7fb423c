"""The whole slides of Camelyon16: labels, sides and outlines, in the challenge's folders and in others."""

from __future__ import annotations

from pathlib import Path

import pytest

from sanoscope.cases import Slicing
from sanoscope.cases.layouts import LAYOUTS, camelyon16
from sanoscope.errors import DataError, OptionError
from slide_files import glass, rectangle, save_asap, save_slide

pytest.importorskip("openslide")

SLIDE = glass(2304, 256)
OUTLINES = [("_0", rectangle(0, 0, 9, 9))]


@pytest.fixture
def challenge(tmp_path: Path) -> Path:
    for name in ("normal/normal_001", "normal/normal_027", "tumor/tumor_001"):
        save_slide(tmp_path / "training" / f"{name}.tif", SLIDE, 2)
    for number in (1, 2, 3):
        save_slide(tmp_path / "testing" / "images" / f"test_00{number}.tif", SLIDE, 2)
    save_asap(tmp_path / "training" / "lesion_annotations" / "tumor_001.xml", OUTLINES)
    save_asap(tmp_path / "testing" / "lesion_annotations" / "test_002.xml", OUTLINES)
    (tmp_path / "testing" / "reference.csv").write_text("test_001,Normal,None,None\ntest_002,Tumor,IDC,Macro\n")
    return tmp_path


def recognised(path: Path) -> str:
    return next(name for name, layout in LAYOUTS.items() if layout.recognises(path))


def test_the_challenges_own_folders(challenge: Path) -> None:
    assert recognised(challenge) == "camelyon16"
    cases = camelyon16.read(challenge, None, Slicing())
    assert [(case.subject, case.label, case.group, case.split, case.mask and case.mask.name) for case in cases] == [
        ("test_001", 0, "normal", "test", None),
        ("test_002", 1, "tumor", "test", "test_002.xml"),
        ("test_003", None, None, "test", None),
        ("normal_001", 0, "normal", "train", None),
        ("tumor_001", 1, "tumor", "train", "tumor_001.xml"),
    ]
    assert cases[3].path == challenge / "training" / "normal" / "normal_001.tif"
    assert cases.notes == ("slides that show next to nothing, left out: 1 (normal_027)",)


def test_without_the_reference_outlines_tell(challenge: Path) -> None:
    (challenge / "testing" / "reference.csv").unlink()
    (challenge / "training" / "lesion_annotations" / "tumor_001.xml").unlink()
    cases = camelyon16.read(challenge, None, Slicing())
    assert cases.labels == [None, 1, None, 0, 1]
    assert cases.notes[1] == "slides with metastases but without outlines: 1 (tumor_001)"


def test_other_folders_and_capitals(tmp_path: Path) -> None:
    for name in ("TrainingData/Train_Tumor/Tumor_001", "Testset/Images/Test_001"):
        save_slide(tmp_path / f"{name}.tif", SLIDE, 2)
    save_slide(tmp_path / "TrainingData/Ground_Truth/Tumor_001_Mask.tif", SLIDE, 2)
    save_asap(tmp_path / "TrainingData" / "Ground_Truth" / "XML" / "Tumor_001.xml", OUTLINES)
    save_asap(tmp_path / "Testset" / "Ground_Truth" / "Annotations" / "Test_001.xml", OUTLINES)
    cases = camelyon16.read(tmp_path, None, Slicing())
    assert [(case.name, case.label, case.split) for case in cases] == [
        ("test_001", 1, "test"),
        ("tumor_001", 1, "train"),
    ]
    assert all(case.mask is not None for case in cases)


def test_a_flat_folder(tmp_path: Path) -> None:
    save_slide(tmp_path / "normal_002.tif", SLIDE, 2)
    assert recognised(tmp_path) == "camelyon16"


def test_one_damaged_slide_does_not_hide_the_others(challenge: Path) -> None:
    for file in sorted(challenge.rglob("normal_*.tif")):
        file.write_bytes(b"II*\0")
    assert recognised(challenge) == "camelyon16"
    assert len(camelyon16.read(challenge, None, Slicing())) == 5


def test_patches_of_such_names_are_not_slides(tmp_path: Path) -> None:
    for name in ("normal/normal_001", "tumor/tumor_001"):
        save_slide(tmp_path / f"{name}.tif", glass(64, 64))
    assert recognised(tmp_path) == "class-folders"


def test_what_is_refused(challenge: Path) -> None:
    with pytest.raises(OptionError, match="normal='tumor' is not asked for here"):
        camelyon16.read(challenge, "tumor", Slicing())
    (challenge / "testing" / "reference.csv").write_text("test_001,Perhaps\n")
    with pytest.raises(DataError, match=r"reference\.csv: 'perhaps' is neither Normal nor Tumor"):
        camelyon16.read(challenge, None, Slicing())
