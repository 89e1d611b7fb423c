"""Layouts: each is told from the others, and read with its labels, subjects, sides and masks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sanoscope.cases import Cases, read_cases
from sanoscope.cases.layouts import LAYOUTS
from sanoscope.cases.layouts.listing import Paired, list_images, names_of, pair, position_of
from sanoscope.errors import DataError, OptionError


def images(folder: Path, *files: str) -> Path:
    """A tree of small images, no two alike."""
    for i, file in enumerate(files):
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 5), i, np.uint8)).save(path)
    return folder


def manifest(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "manifest.csv"
    path.write_bytes(text.encode(encoding))
    return path


def table(cases: Cases) -> list[tuple[object, ...]]:
    return [(case.name, case.label, case.group, case.subject, case.split) for case in cases]


def test_folder_of_images_has_no_labels(tmp_path: Path) -> None:
    images(tmp_path, "b.png", "a.JPG", "sub dir/ü 你.png", "sub dir/ü 你_mask.png", "x_mask.png", "a.png")
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.png").touch()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX/c.png").touch()
    cases = read_cases(tmp_path)
    assert cases.layout == "folder"
    assert [case.name for case in cases] == ["a.JPG", "a.png", "b", "sub dir/ü 你", "x_mask"]
    assert cases.labels == [None] * 5
    assert [case.mask for case in cases if case.mask] == [tmp_path / "sub dir/ü 你_mask.png"]
    assert cases.notes == ("hidden files left out: 1", "files of other types left out: 1 (.txt)")


def test_one_image_file_is_a_collection_of_one(tmp_path: Path) -> None:
    cases = read_cases(str(images(tmp_path, "one_x12_y7.png") / "one_x12_y7.png"))
    assert table(cases) == [("one_x12_y7", None, None, None, None)]
    assert cases[0].position == (12, 7)


def test_links_are_followed_and_circles_left(tmp_path: Path) -> None:
    images(tmp_path / "elsewhere", "a.png", "deep/b.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/one.png").symlink_to(tmp_path / "elsewhere/a.png")
    (tmp_path / "elsewhere/deep/back").symlink_to(tmp_path / "data")
    assert list_images(tmp_path / "data").files == ["linked/a.png", "linked/deep/b.png", "one.png"]


def test_names_are_unique_and_masks_find_their_image() -> None:
    assert names_of(["a.png", "b.tif", "a.jpg", "a.png.png"]) == ["a.png", "b", "a.jpg", "a.png.png"]
    files = ["a.tif", "a_mask.png", "b_mask.png", "d/a_mask.png", "c.png", "c_mask.png", "c_mask_mask.png"]
    paired = pair(files)
    assert paired.images == ["a.tif", "b_mask.png", "d/a_mask.png", "c.png"]
    assert paired.masks["a.tif"] == "a_mask.png"
    assert paired.masks["c.png"] == "c_mask.png"
    volumes = ["a.nii.gz", "a_brainmask.nii.gz", "a_seg.nii", "a.png", "b_foreground.png", "b.tif", "c_seg.nii"]
    assert pair(volumes) == Paired(
        ["a.nii.gz", "a.png", "b.tif", "c_seg.nii"],
        {"a.nii.gz": "a_seg.nii"},
        {"a.nii.gz": "a_brainmask.nii.gz", "b.tif": "b_foreground.png"},
    )
    assert position_of("p_x1_y2/8863_idx5_x1001_y1051_class0") == (1001, 1051)
    assert position_of("box_xy") is None


def test_empty_folders_say_what_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no images here; read are \.png, \.jpg"):
        read_cases(tmp_path)
    (tmp_path / "volume.mha").touch()
    with pytest.raises(DataError, match=r"files of other types left out: 1 \(\.mha\)"):
        read_cases(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        read_cases(tmp_path / "missing")
    with pytest.raises(DataError, match=r"neither a folder.* an \.npz nor an image"):
        read_cases(tmp_path / "volume.mha")


def test_class_folders_by_name(tmp_path: Path) -> None:
    images(tmp_path, "No Tumor/a.png", "glioma/p1/a.png", "glioma/b.png", "glioma/b_mask.png", "stray.png")
    cases = read_cases(tmp_path)
    assert cases.layout == "class-folders"
    assert table(cases) == [
        ("No Tumor/a", 0, "No Tumor", None, None),
        ("glioma/b", 1, "glioma", None, None),
        ("glioma/p1/a", 1, "glioma", None, None),
    ]
    assert cases[1].mask == tmp_path / "glioma/b_mask.png"
    assert cases.notes == (
        "taken as normal: No Tumor; as abnormal: glioma",
        "images outside the class folders left out: 1",
    )


def test_class_folders_without_a_normal_name_ask_which_it_is(tmp_path: Path) -> None:
    images(tmp_path, "cat/a.png", "dog/b.png", "airplane/c.png")
    with pytest.raises(DataError, match=r"which of these groups is normal. airplane, cat, dog; .*layout='folder'"):
        read_cases(tmp_path)
    assert Counter(read_cases(tmp_path, normal="DOG").labels) == {0: 1, 1: 2}
    with pytest.raises(OptionError, match="no group is called 'dgo'; did you mean 'dog'"):
        read_cases(tmp_path, normal="dgo")
    assert read_cases(tmp_path, layout="folder").labels == [None] * 3


def test_class_folders_below_split_folders(tmp_path: Path) -> None:
    images(tmp_path, "Training/a.png", "val/normal/b.png", "Testing/normal/c.png", "Testing/cyst/d.png")
    assert table(read_cases(tmp_path)) == [
        ("Testing/cyst/d", 1, "cyst", None, "test"),
        ("Testing/normal/c", 0, "normal", None, "test"),
        ("Training/a", None, None, None, "train"),
        ("val/normal/b", 0, "normal", None, "validation"),
    ]


@pytest.mark.parametrize(
    ("files", "labels"),
    [
        (["normal/a.png"], [0]),
        (["abnormal/a.png"], [1]),
        (["malignant/a.png", "benign/a.png"], [0, 1]),
        (["1/a.png", "0/a.png"], [0, 1]),
        (["slides/a.png"], [None]),
        (["slides/a.png", "more/b.png", "c.png"], [None, None, None]),
        (["train/a.png", "test/b.png"], [None, None]),
    ],
)
def test_what_folders_mean(files: list[str], labels: list[int | None], tmp_path: Path) -> None:
    assert read_cases(images(tmp_path, *files)).labels == labels


def test_mvtec(tmp_path: Path) -> None:
    images(tmp_path, "train/good/0.png", "test/good/0.png", "test/crack/0.png", "test/crack/1.png")
    images(tmp_path, "test/hole/test.png", "ground_truth/crack/0_mask.png", "ground_truth/hole/test.png")
    cases = read_cases(tmp_path)
    assert cases.layout == "mvtec"
    assert table(cases) == [
        ("test/crack/0", 1, "crack", None, "test"),
        ("test/crack/1", 1, "crack", None, "test"),
        ("test/good/0", 0, "good", None, "test"),
        ("test/hole/test", 1, "hole", None, "test"),
        ("train/good/0", 0, "good", None, "train"),
    ]
    truth = tmp_path / "ground_truth"
    assert [case.mask for case in cases] == [
        truth / "crack/0_mask.png",
        None,
        None,
        truth / "hole/test.png",
        None,
    ]
    assert cases.notes == ("abnormal images without a mask: 1",)
    (tmp_path / "train/good/0.png").unlink()
    with pytest.raises(DataError, match="train: no images"):
        read_cases(tmp_path)


def test_breast_histopathology_reads_one_copy(tmp_path: Path) -> None:
    patches = ["8863/0/8863_idx5_x51_y101_class0.png", "8863/1/8863_idx5_x1_y2_class1.png"]
    images(tmp_path, *patches, *(f"IDC_regular_ps50_idx5/{patch}" for patch in patches), "8863/0/other.png")
    images(tmp_path, "8863/1/8863_idx5_x1_y3_class0.png")
    cases = read_cases(tmp_path)
    assert cases.layout == "breast-histopathology"
    assert table(cases) == [
        ("8863/0/8863_idx5_x51_y101_class0", 0, None, "8863", None),
        ("8863/1/8863_idx5_x1_y2_class1", 1, None, "8863", None),
    ]
    assert [case.position for case in cases] == [(51, 101), (1, 2)]
    assert cases.notes == (
        "the archive's second copy, IDC_regular_ps50_idx5, left out",
        "images not named like a patch left out: 2",
    )
    alone = images(tmp_path / "alone", f"IDC_regular_ps50_idx5/{patches[0]}")
    assert [case.subject for case in read_cases(alone)] == ["8863"]
    with pytest.raises(OptionError, match="class 0 is normal"):
        read_cases(alone, normal="1")


def medmnist(path: Path, classes: int = 2, **other: np.ndarray) -> Path:
    arrays: dict[str, np.ndarray] = {}
    for i, part in enumerate(("train", "val", "test")):
        arrays[f"{part}_images"] = np.full((6, 28, 28), i, np.uint8)
        arrays[f"{part}_labels"] = (np.arange(6, dtype=np.uint8) % classes)[:, None]
    np.savez(path, **(arrays | other))
    return path


def test_medmnist(tmp_path: Path) -> None:
    path = medmnist(tmp_path / "set.npz")
    for data in (path, tmp_path):
        cases = read_cases(data)
        assert cases.layout == "medmnist"
        assert Counter(case.split for case in cases) == {"train": 6, "validation": 6, "test": 6}
        assert table(cases)[1] == ("train/000001", 1, None, None, "train")
        assert cases.labels == [0, 1] * 9
        assert cases[6].pixels is not None
        assert cases[6].pixels.shape == (28, 28)
        assert (cases[6].pixels == 1).all()
    assert read_cases(path, normal=1).labels == [1, 0] * 9


def test_medmnist_with_more_classes_takes_the_one_that_is_named(tmp_path: Path) -> None:
    path = medmnist(tmp_path / "set.npz", classes=3)
    cases = read_cases(path, normal=2)
    assert cases.labels == [1, 1, 0] * 6
    assert [case.group for case in cases][:3] == ["0", "1", "2"]
    with pytest.raises(OptionError, match="no group is called '3'; known: 0, 1, 2"):
        read_cases(path, normal=3)
    shifted = {f"{part}_labels": np.arange(6) % 3 + 4 for part in ("train", "val", "test")}
    with pytest.raises(DataError, match=r"which of these groups is normal. 4, 5, 6"):
        read_cases(medmnist(tmp_path / "set.npz", **shifted))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"train_images": np.zeros((6, 28, 28, 28), np.uint8)}, "not 2-D images of integers"),
        ({"train_images": np.zeros((6, 28, 28), np.float32)}, "float32 of shape"),
        ({"val_labels": np.zeros((6, 14), np.uint8)}, r"one whole number for each of 6 images"),
        ({"val_labels": np.zeros((5, 1), np.uint8)}, r"val_labels are uint8 of shape \(5, 1\)"),
        ({"test_labels": np.array([{}] * 6)}, "values of type object are not read"),
    ],
)
def test_medmnist_refuses_what_is_none(other: dict[str, np.ndarray], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_cases(medmnist(tmp_path / "set.npz", **other))


def test_broken_or_other_npz(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(medmnist(tmp_path / "whole.npz").read_bytes()[:500])
    with pytest.raises(DataError, match=r"cannot be decoded .*zip"):
        read_cases(path)
    np.savez(path, train_images=np.zeros((3, 4, 4)))
    with pytest.raises(DataError, match="it needs train_images, train_labels and so on, not train_images"):
        read_cases(path)


def test_manifest_as_spreadsheets_write_it(tmp_path: Path) -> None:
    images(tmp_path, "a b/ü.png", "c.TIF", "c m.png", "d, e.png", "f.png", "g.png")
    text = (
        "\ufeffPath, Label ,mask,subject,split,age\r\n"
        "a b/ü.png,Normal,,p1,Train,50\r\n"
        "c.TIF,1.0,c m.png, p2 ,val,51\r\n"
        "\r\n"
        '"d, e.png",abnormal,,p2,validation,52\r\n'
        "./f.png,0,,,test\r\n"
        f"{tmp_path / 'g.png'},,,,,\r\n"
    )
    path = manifest(tmp_path, text)
    for data in (path, tmp_path):
        cases = read_cases(data)
        assert cases.layout == "manifest"
        assert table(cases) == [
            ("a b/ü", 0, None, "p1", "train"),
            ("c", 1, None, "p2", "validation"),
            ("d, e", 1, None, "p2", "validation"),
            ("f", 0, None, None, "test"),
            ("g", None, None, None, None),
        ]
        assert cases[1].mask == tmp_path / "c m.png"
        assert cases.notes == ("columns not used: age",)


def test_manifest_with_groups(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png", "c.png")
    path = manifest(tmp_path, "path,label\na.png,airplane\nb.png,Ship\nc.png,\n")
    with pytest.raises(DataError, match=r"manifest\.csv, row 2: label 'airplane'.*groups: Ship, airplane"):
        read_cases(path)
    cases = read_cases(path, normal="ship")
    assert [(case.label, case.group) for case in cases] == [(1, "airplane"), (0, "Ship"), (None, None)]


def test_manifest_of_files_elsewhere_names_them_below_their_common_folder(tmp_path: Path) -> None:
    images(tmp_path, "data/p1/a.png", "data/p2/a.png", "lists/b.png")
    (tmp_path / "lists/deep").mkdir()
    path = manifest(tmp_path / "lists/deep", f"path\n../../data/p1/a.png\n{tmp_path}/data/p2/a.png\n")
    assert [case.name for case in read_cases(path)] == ["p1/a", "p2/a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("path,label\n", "no rows below the header"),
        ("path,label\n,,\n\n", "row 2: more values than columns"),
        ("path;label\na.png;0\n", "no column 'path' in the header .path;label.; add it, separated by commas"),
        ("path,label\n,0\n", "row 2: the path is empty"),
        ("path\na.png\nx.png\ny.png\n", "2 of the files named do not exist, the first in row 3: 'x.png'"),
        ("path,mask\na.png,m.png\n", "1 of the files named do not exist, the first in row 2: 'm.png'"),
        ("path\na.png\n./a.png\n", "'a.png' is in rows 2, 3; keep one"),
        ("path,split\na.png,tset\n", "row 2: unknown split 'tset'; did you mean 'test'"),
        ("path,label\na.png,2\n", "row 2: label '2' is not 0, 1, normal or abnormal"),
        ("path\nb.mha\n", "row 2: 'b.mha': files ending in '.mha' are not read"),
        ("path,name\na.png,../a\n", "row 2: name '../a' leads out of a folder"),
        ("path,x,y\na.png,1,two\n", "row 2: x '1', y 'two' are no whole numbers"),
        ("path,name\na.png,n\nb.png,n\n", "the case 'n' appears more than once"),
    ],
)
def test_manifest_errors_name_row_and_value(text: str, message: str, tmp_path: Path) -> None:
    path = manifest(images(tmp_path, "a.png", "b.png"), text)
    with pytest.raises(DataError, match=message) as caught:
        read_cases(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_manifest_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as CSV in UTF-8"):
        read_cases(manifest(tmp_path, "path\nGröße.png\n", "latin-1"))


def test_a_layout_can_be_asked_for_by_name(tmp_path: Path) -> None:
    manifest(images(tmp_path, "normal/a.png", "b/a.png"), "path\nb/a.png\n")
    assert len(read_cases(tmp_path)) == 1
    assert read_cases(tmp_path, layout="class-folders").labels == [1, 0]
    with pytest.raises(DataError, match="not laid out as 'mvtec'"):
        read_cases(tmp_path, layout="mvtec")
    with pytest.raises(OptionError, match="did you mean 'class-folders'"):
        read_cases(tmp_path, layout="class_folder")
    with pytest.raises(OptionError, match="no groups are named"):
        read_cases(tmp_path, layout="folder", normal="normal")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("collection", "layout", "options", "count", "abnormal"),
    [
        ("idc", "manifest", {}, 5993, 2279),
        ("idc", "breast-histopathology", {"layout": "breast-histopathology"}, 5993, 2279),
        ("lgg", "manifest", {}, 2360, 886),
        ("lgg", "folder", {"layout": "folder"}, 2360, 0),
        ("chest_xray", "class-folders", {"layout": "class-folders"}, 523, 267),
        ("brain_mri", "class-folders", {"layout": "class-folders"}, 952, 600),
        ("cifar10", "manifest", {"normal": "airplane"}, 13000, 11700),
        ("cifar10", "class-folders", {"normal": "airplane", "layout": "class-folders"}, 13000, 11700),
        ("pneumoniamnist", "medmnist", {}, 5856, 4273),
    ],
)
def test_real_collections(
    collection: str, layout: str, options: dict[str, str], count: int, abnormal: int, real_data: Path
) -> None:
    cases = read_cases(real_data / collection, **options)
    assert cases.layout == layout
    assert len(cases) == count
    assert cases.labels.count(1) == abnormal
    if collection == "lgg":
        assert sum(case.mask is not None for case in cases) == 886
    if collection == "idc":
        assert len(set(cases.subjects)) == 11
        assert all(case.position for case in cases)


def test_every_layout_declines_what_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    for layout in LAYOUTS.values():
        assert not layout.recognises(tmp_path / "notes.txt")
        assert layout.name == "folder" or not layout.recognises(tmp_path / "empty")
