"""The Human Connectome Project's tree and tiles of Camelyon16: read with labels and subjects, told from all others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sanoscope.cases import Cases, Slicing, VolumeSlice, load_cases, read_cases
from sanoscope.cases.layouts import LAYOUTS
from sanoscope.cases.masks import true_mask
from sanoscope.errors import DataError, OptionError
from volume_files import save

VOXELS = np.random.default_rng(0).integers(0, 3000, (4, 5, 6), np.int16)
T2, T1 = Slicing(slices="central:2", modality="t2"), Slicing(slices="central:2", modality="t1")
OWN_SPACE, TEMPLATE = "T1w/{}_acpc_dc_restore_brain.nii.gz", "MNINonLinear/{}_restore_brain.nii.gz"


def subject(folder: Path, name: str, *places: str) -> Path:
    for place in places:
        save(folder / name / place, VOXELS)
    return folder


def images(folder: Path, *files: str) -> Path:
    """A tree of small images, no two alike."""
    for i, file in enumerate(files):
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 5), i, np.uint8)).save(path)
    return folder


def table(cases: Cases) -> list[tuple[object, ...]]:
    return [(case.name, case.label, case.group, case.subject, case.split) for case in cases]


# ---------------------------------------------------------------- Human Connectome Project


def test_hcp_is_read_by_modality_with_every_subject_healthy(tmp_path: Path) -> None:
    subject(tmp_path, "100307", OWN_SPACE.format("T2w"), OWN_SPACE.format("T1w"), TEMPLATE.format("T2w"))
    subject(tmp_path, "100408", TEMPLATE.format("T2w"), "T1w/aparc+aseg.nii.gz")
    subject(tmp_path, "101006", OWN_SPACE.format("T1w"), "T1w/T2w_acpc_dc_restore.nii.gz")
    cases = read_cases(tmp_path, slicing=T2)
    assert cases.layout == "hcp"
    assert [case.name for case in cases] == [f"{s}/axial-00{i}" for s in ("100307", "100408") for i in (2, 3)]
    assert cases.labels == [0] * 4
    assert cases.subjects == ["100307"] * 2 + ["100408"] * 2
    assert cases[0].slice == VolumeSlice("axial", 2, 6)
    assert cases[0].path == tmp_path / "100307" / OWN_SPACE.format("T2w")
    assert cases[2].path == tmp_path / "100408" / TEMPLATE.format("T2w")
    assert cases.notes == (
        "subjects without t2, left out: 1 (101006)",
        "subjects whose volume is the one registered to the template, as there is none in their own space: 1 (100408)",
        "volumes: 2, of which 4 axial slices (data.slices=central:2)",
    )
    mask = true_mask(cases[0])
    assert mask is not None
    assert not mask.any()
    first = read_cases(tmp_path, slicing=T1)
    assert first.subjects == ["100307"] * 2 + ["101006"] * 2
    assert first[0].path == tmp_path / "100307" / OWN_SPACE.format("T1w")


def test_hcp_of_one_subject_and_unpacked_files(tmp_path: Path) -> None:
    alone = subject(tmp_path, "100307", OWN_SPACE.format("T2w").removesuffix(".gz")) / "100307"
    assert read_cases(alone, slicing=T2).subjects == ["100307"] * 2
    assert read_cases(alone, slicing=T2).layout == "hcp"


def test_hcp_says_which_modalities_are_there(tmp_path: Path) -> None:
    subject(tmp_path, "100307", OWN_SPACE.format("T2w"), OWN_SPACE.format("T1w"))
    with pytest.raises(DataError, match=r"no subject has flair; set data.modality to one that is there \(t1, t2\)"):
        read_cases(tmp_path)
    with pytest.raises(OptionError, match="all subjects are healthy"):
        read_cases(tmp_path, normal="100307", slicing=T2)


def test_hcp_is_split_by_subject(tmp_path: Path) -> None:
    for number in range(10):
        subject(tmp_path, f"10000{number}", OWN_SPACE.format("T2w"))
    cases = load_cases(tmp_path, slicing=T2, validation=0.2, test=0.2)
    sides = {(case.subject, case.split) for case in cases}
    assert len(sides) == 10
    assert {side for _, side in sides} == {"train", "validation", "test"}


# ---------------------------------------------------------------- Camelyon16


def test_tiles_in_folders_of_slides_and_flat(tmp_path: Path) -> None:
    images(
        tmp_path,
        "train/normal/normal_001/a_x768_y1536.png",
        "train/normal/normal_002_a.png",
        "Training/Tumour/Tumor_001/level1/a.png",
        "train/normal/tumor_002-normal_a.jpg",
        "test/normal/test_003_7.png",
        "test/tumor/test_001/a.png",
        "test/tumor/test_001/a_mask.png",
    )
    cases = read_cases(tmp_path)
    assert cases.layout == "camelyon-tiles"
    assert table(cases) == [
        ("Training/Tumour/Tumor_001/level1/a", 1, "Tumour", "tumor_001", "train"),
        ("test/normal/test_003_7", 0, "normal", "test_003", "test"),
        ("test/tumor/test_001/a", 1, "tumor", "test_001", "test"),
        ("train/normal/normal_001/a_x768_y1536", 0, "normal", "normal_001", "train"),
        ("train/normal/normal_002_a", 0, "normal", "normal_002", "train"),
        ("train/normal/tumor_002-normal_a", 0, "normal", "tumor_002", "train"),
    ]
    assert cases[3].position == (768, 1536)
    assert cases[2].mask == tmp_path / "test/tumor/test_001/a_mask.png"
    assert cases.notes == ()


def test_unusable_slides_and_strangers_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    images(tmp_path, *(f"train/normal/normal_{n}_a.png" for n in ("001", "027", "045", "108", "144", "150", "158")))
    images(tmp_path, "train/normal/Normal_027/a.png", "train/normal/other.png", "thumbnails/normal_001_a.png")
    cases = read_cases(tmp_path)
    assert cases.subjects == ["normal_001"]
    named = "normal_027, normal_045, normal_108, normal_144, normal_150, normal_158"
    assert cases.notes == (
        f"tiles of slides that are nearly empty, black or blurred left out: 7 ({named})",
        "images not named like a tile of a slide left out: 2",
    )
    with pytest.raises(OptionError, match="the class normal is normal"):
        read_cases(tmp_path, normal="tumor")
    for tile in tmp_path.glob("train/normal/normal_001*"):
        tile.unlink()
    with pytest.raises(DataError, match="no tile of a usable slide"):
        read_cases(tmp_path)


def test_a_slide_on_two_sides_is_refused(tmp_path: Path) -> None:
    images(tmp_path, "train/normal/normal_001_a.png", "validation/normal/normal_001_b.png", "test/tumor/test_001_a.png")
    with pytest.raises(DataError, match="subject 'normal_001' is on two sides"):
        load_cases(tmp_path)


@pytest.mark.parametrize(
    "files",
    [
        ["train/normal/normal_001.png", "test/tumor/test_001.png"],  # an image each, no tiles
        ["train/normal/normal_001_a.png", "train/tumor/glioma_1.png"],  # a class of something else
        ["train/normal/normal_0010_a.png"],
        ["train/normal/normal_1_a.png"],
        ["train/healthy/normal_001_a.png"],
        ["normal/normal_001_a.png", "tumor/tumor_001_a.png"],  # no sides
    ],
)
def test_class_folders_stay_class_folders(files: list[str], tmp_path: Path) -> None:
    assert read_cases(images(tmp_path, *files), normal=files[0].split("/")[-2]).layout == "class-folders"


def test_neither_takes_what_belongs_to_another_layout(tmp_path: Path) -> None:
    trees = {
        "mvtec": ["train/good/normal_001_a.png", "test/good/test_001_a.png", "test/tumor/test_002_a.png"],
        "breast-histopathology": ["8863/0/8863_idx5_x1_y1_class0.png"],
        "class-folders": ["normal/a.png", "tumor/b.png"],
        "folder": ["a.png"],
    }
    for layout, files in trees.items():
        assert read_cases(images(tmp_path / layout, *files)).layout == layout
    save(tmp_path / "brats/T1w/T1w_t2.nii.gz", VOXELS)
    assert read_cases(tmp_path / "brats", slicing=T2).layout == "brats"
    save(tmp_path / "volumes/T1w/T2w_acpc_dc_restore.nii.gz", VOXELS)
    assert read_cases(tmp_path / "volumes", layout="folder", slicing=T2).layout == "folder"
    assert not LAYOUTS["hcp"].recognises(tmp_path / "volumes")


@pytest.mark.real_data
def test_no_real_collection_is_taken_for_one_of_these(real_data: Path) -> None:
    for collection in real_data.iterdir():
        assert not LAYOUTS["hcp"].recognises(collection)
        assert not LAYOUTS["camelyon-tiles"].recognises(collection)
