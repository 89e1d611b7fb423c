"""Public collections in the formats they are published in, and the protocol of one class against all others."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sanoscope import RECIPES, Detector
from sanoscope.cases import Cases, load_cases, read_cases
from sanoscope.cases.layouts import svhn
from sanoscope.cases.layouts.cifar10 import CLASSES
from sanoscope.cases.slicing import VIEWS, Slicing
from sanoscope.errors import DataError, OptionError

Row = tuple[str, str, str, str]
# As in the published table: names with commas that are not quoted, and a comma at the end.
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
)
ROWS = (
    ("00000001_000.png", "Cardiomegaly", "00001", "PA"),
    ("00000001_001.png", "Cardiomegaly|Emphysema", "00001", "AP"),
    ("00000002_000.png", "No Finding", "00002", "PA"),
    ("00000003_000.png", "Infiltration", "00003", "AP"),
    ("00000004_000.png", "No Finding", "00004", "AP"),
    ("00000005_000.png", "No Finding", "00005", "PA"),
)


def images(folder: Path, names: Sequence[str]) -> None:
    """Small images, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        pixels = np.random.default_rng(list(name.encode())).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(folder / name)


def chest(folder: Path, rows: Sequence[Row] = ROWS, table: str = "Data_Entry_2017.csv", place: str = "images") -> Path:
    images(folder / place, [row[0] for row in rows])
    lines = [
        f"{image},{findings},0,{patient},058Y,M,{view},2682,2749,0.143,0.143,\n"
        for image, findings, patient, view in rows
    ]
    (folder / table).write_text(HEADER + "".join(lines))
    return folder


def official(folder: Path, train: Sequence[str], test: Sequence[str]) -> Path:
    (folder / "train_val_list.txt").write_text("\n".join(train))
    (folder / "test_list.txt").write_text("".join(f"{image}\r\n" for image in test))
    return folder


def table(cases: Cases) -> list[tuple[object, ...]]:
    return [(case.name, case.label, case.group, case.subject, case.split) for case in cases]


# ---------------------------------------------------------------- NIH ChestX-ray14


@pytest.mark.parametrize("name", ["Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv"])
@pytest.mark.parametrize("place", ["images", "images_003/images", "."])
def test_chest_x_rays_with_their_official_sides(name: str, place: str, tmp_path: Path) -> None:
    names = [row[0] for row in ROWS]
    cases = read_cases(official(chest(tmp_path, table=name, place=place), names[2:4], names[:2] + names[4:5]))
    assert cases.layout == "nih-chest-xray"
    assert table(cases) == [
        ("00000001_000", 1, "Cardiomegaly", "00001", "test"),
        ("00000001_001", 1, "Cardiomegaly|Emphysema", "00001", "test"),
        ("00000002_000", 0, "No Finding", "00002", "train"),
        ("00000003_000", 1, "Infiltration", "00003", "train"),
        ("00000004_000", 0, "No Finding", "00004", "test"),
        ("00000005_000", 0, "No Finding", "00005", None),
    ]
    assert [case.path for case in cases] == [tmp_path / place / row[0] for row in ROWS]
    assert cases.notes == ()


def test_the_corrected_table_of_chest_x_rays_comes_first(tmp_path: Path) -> None:
    chest(tmp_path)
    chest(tmp_path, [(image, "Mass", *rest) for image, _, *rest in ROWS], "Data_Entry_2017_v2020.csv")
    assert {case.group for case in read_cases(tmp_path)} == {"Mass"}


def test_one_view_of_chest_x_rays(tmp_path: Path) -> None:
    chest(tmp_path)
    views = {view: read_cases(tmp_path, slicing=Slicing(view=view)) for view in VIEWS}
    assert [len(cases) for cases in views.values()] == [6, 3, 3]
    assert views["AP"].notes == ("images of another view than AP left out: 3",)
    slicing = RECIPES["conv-vae"].with_options({"data.view": "AP"}).build("data").slicing
    assert table(read_cases(tmp_path, slicing=slicing)) == table(views["AP"])
    chest(tmp_path, [row for row in ROWS if row[3] == "PA"])
    with pytest.raises(DataError, match=r"no image here has the view AP, only PA; set data.view=all"):
        read_cases(tmp_path, slicing=slicing)
    with pytest.raises(OptionError, match=r"data.view=ap is unknown"):
        Slicing(view="ap")


def test_chest_x_rays_that_were_not_downloaded_are_left_out(tmp_path: Path) -> None:
    chest(tmp_path)
    for image, *_ in ROWS[2:]:
        (tmp_path / "images" / image).unlink()
    cases = read_cases(tmp_path)
    assert cases.labels == [1, 1]  # although no normal image is there
    assert cases.notes == ("images of Data_Entry_2017.csv that are not here: 4",)
    for image, *_ in ROWS[:2]:
        (tmp_path / "images" / image).unlink()
    with pytest.raises(DataError, match=r"Data_Entry_2017.csv: none of its 6 images is here; put them into .*images"):
        read_cases(tmp_path)


def test_another_finding_of_chest_x_rays_can_be_normal(tmp_path: Path) -> None:
    assert read_cases(chest(tmp_path), normal="cardiomegaly").labels == [0, 1, 1, 1, 1, 1]
    with pytest.raises(OptionError, match=r"no group is called 'Cardiomegali'; did you mean 'Cardiomegaly'"):
        read_cases(tmp_path, normal="Cardiomegali")


def test_chest_x_rays_are_split_by_patient(tmp_path: Path) -> None:
    rows = [(f"{i:08}_00{k}.png", "No Finding", f"{i:05}", "PA") for i in range(10) for k in range(2)]
    chest(tmp_path, rows)
    cases = load_cases(tmp_path, seed=3)
    sides = {case.subject: case.split for case in cases}
    assert all(case.split == sides[case.subject] for case in cases)
    assert set(sides.values()) == {"train", "validation", "test"}
    names = [row[0] for row in rows]
    official(tmp_path, names[:12], names[12:])
    cases = load_cases(tmp_path, seed=3)
    assert {case.name + ".png" for case in cases.test} == set(names[12:])
    assert 0 < len(cases.validation) < 12
    official(tmp_path, names[:11], names[11:])
    with pytest.raises(DataError, match=r"subject '00005' is on two sides"):
        load_cases(tmp_path)


def test_chest_x_rays_whose_table_or_lists_cannot_be_used(tmp_path: Path) -> None:
    chest(tmp_path)
    official(tmp_path, [ROWS[0][0]], [ROWS[0][0]])
    with pytest.raises(DataError, match=r"test_list.txt: '00000001_000.png' is on train_val_list.txt too"):
        read_cases(tmp_path)
    (tmp_path / "train_val_list.txt").unlink()
    with pytest.raises(DataError, match=r"train_val_list.txt: is missing beside the other official list"):
        read_cases(tmp_path)
    (tmp_path / "test_list.txt").unlink()
    path = tmp_path / "Data_Entry_2017.csv"
    whole = path.read_text()
    for damaged, message in {
        whole.replace("View Position", "View"): "no column 'View Position' in the header",
        whole.replace(",00003,", ",,"): "row 5: 'Patient ID' is empty",
        "": "no column 'Image Index' in the header",
    }.items():
        path.write_text(damaged)
        with pytest.raises(DataError, match=message):
            read_cases(tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as CSV in UTF-8"):
        read_cases(tmp_path)


finding = st.lists(st.sampled_from(["Mass", "Effusion", "Nodule"]), max_size=3, unique=True).map("|".join)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(finding, st.integers(1, 4), st.sampled_from(["PA", "AP"])), min_size=1, max_size=8))
def test_any_chest_x_ray_is_normal_if_nothing_was_found(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[str, int, str]]
) -> None:
    rows = [(f"{i:08}.png", found or "No Finding", f"{who}", view) for i, (found, who, view) in enumerate(drawn)]
    cases = read_cases(chest(tmp_path_factory.mktemp("chest"), rows))
    assert cases.labels == [int(bool(found)) for found, _, _ in drawn]
    assert [(f"{case.name}.png", case.group, case.subject) for case in cases] == [row[:3] for row in rows]


# ---------------------------------------------------------------- CIFAR-10


def cifar10(folder: Path, labels: Sequence[int] = (0, 3, 9), seed: int = 0) -> np.ndarray:
    """All six files, each with images of these classes; the images of all ``(6, N, 32, 32, 3)``."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, len(labels), 32, 32, 3), np.uint8)
    files = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    for file, of_file in zip(files, pixels, strict=True):
        records = [
            bytes([label]) + image.transpose(2, 0, 1).tobytes() for label, image in zip(labels, of_file, strict=True)
        ]
        (folder / file).write_bytes(b"".join(records))
    return pixels


def test_cifar10(tmp_path: Path) -> None:
    pixels = cifar10(tmp_path)
    cases = read_cases(tmp_path, normal="airplane")
    assert cases.layout == "cifar10-binary"
    assert Counter(case.split for case in cases) == {"train": 15, "test": 3}
    assert table(cases)[1] == ("train/00001", 1, "cat", None, "train")
    assert [case.name for case in cases.test] == ["test/00000", "test/00001", "test/00002"]
    assert cases.labels == [0, 1, 1] * 6
    assert [case.group for case in cases.test] == ["airplane", "cat", "truck"]
    np.testing.assert_array_equal(np.stack([case.pixels for case in cases]), pixels.reshape(-1, 32, 32, 3))
    with pytest.raises(DataError, match=r"which of these groups is normal\? airplane, cat, truck; say it"):
        read_cases(tmp_path)
    with pytest.raises(OptionError, match=r"no group is called 'plane'; did you mean 'airplane'"):
        read_cases(tmp_path, normal="plane")


def test_cifar10_takes_the_names_of_its_own_file(tmp_path: Path) -> None:
    cifar10(tmp_path)
    (tmp_path / "batches.meta.txt").write_text("\n".join(f"kind{number}" for number in range(10)) + "\n\n")
    assert [case.group for case in read_cases(tmp_path, normal="kind3").test] == ["kind0", "kind3", "kind9"]
    (tmp_path / "batches.meta.txt").write_text("\n".join(CLASSES[:9]))
    with pytest.raises(DataError, match=r"batches.meta.txt: names 9 classes, not 10"):
        read_cases(tmp_path, normal="cat")


def test_cifar10_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    cifar10(tmp_path)
    file = tmp_path / "data_batch_2.bin"
    whole = file.read_bytes()
    for content in (whole[:-1], b""):
        file.write_bytes(content)
        with pytest.raises(DataError, match=rf"data_batch_2.bin: has {len(content)} bytes, not whole records of 3073"):
            read_cases(tmp_path, normal="cat")
    file.write_bytes(b"\x0a" + whole[1:])
    with pytest.raises(DataError, match=r"data_batch_2.bin: holds the class 10, above 9"):
        read_cases(tmp_path, normal="cat")
    file.unlink()
    with pytest.raises(DataError, match=r"data_batch_2.bin: cannot be read .*No such file.*; download it again"):
        read_cases(tmp_path, normal="cat")


@pytest.mark.parametrize("place", ["", "cifar-10-batches-py"])
def test_the_pickles_of_cifar10_are_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    for load in (load_cases, read_cases):
        with pytest.raises(DataError, match=r"Python version of CIFAR-10, .* pickles .* download the binary version"):
            load(tmp_path, normal="cat")
    assert not Path("opened").exists()
    cifar10(tmp_path)  # beside them the binary version is read
    assert len(read_cases(tmp_path, normal="cat")) == 18


# ---------------------------------------------------------------- SVHN


def digits(file: Path, numbers: Sequence[int] = (1, 10, 5, 10), **other: Any) -> np.ndarray:
    """A file of images ``(32, 32, 3, N)``, which are returned, of these numbers."""
    pixels = np.random.default_rng(len(numbers)).integers(0, 256, (32, 32, 3, len(numbers)), np.uint8)
    scipy.io.savemat(file, {"X": pixels, "y": np.array(numbers, np.uint8)[:, None]} | other, do_compression=True)
    return pixels


def test_svhn(tmp_path: Path) -> None:
    train, test = digits(tmp_path / "train_32x32.mat"), digits(tmp_path / "test_32x32.mat", [9, 10])
    cases = read_cases(tmp_path, normal=0)
    assert cases.layout == "svhn"
    assert cases.notes == ()
    assert table(cases) == [
        ("train/00000", 1, "1", None, "train"),
        ("train/00001", 0, "0", None, "train"),
        ("train/00002", 1, "5", None, "train"),
        ("train/00003", 0, "0", None, "train"),
        ("test/00000", 1, "9", None, "test"),
        ("test/00001", 0, "0", None, "test"),
    ]
    for i, case in enumerate(cases):
        expected = train[..., i] if i < 4 else test[..., i - 4]
        np.testing.assert_array_equal(case.pixels, expected)
    with pytest.raises(DataError, match=r"which digit is normal\? say it with normal='0'"):
        read_cases(tmp_path)
    with pytest.raises(OptionError, match=r"no group is called '10'"):
        read_cases(tmp_path, normal=10)


def test_one_file_of_svhn_will_do_and_the_extra_one_is_left(tmp_path: Path) -> None:
    digits(tmp_path / "test_32x32.mat")
    (tmp_path / "extra_32x32.mat").touch()
    cases = read_cases(tmp_path, normal=5)
    assert [case.split for case in cases] == ["test"] * 4
    assert cases.notes == ("extra_32x32.mat is not used",)
    (tmp_path / "test_32x32.mat").unlink()
    assert not svhn.recognises(tmp_path)


def overwritten(content: bytes) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        file.write_bytes(content)

    return write


def cut(file: Path) -> None:
    digits(file)
    file.write_bytes(file.read_bytes()[:-4000])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (overwritten(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"), r"is of MATLAB 7\.3"),
        (overwritten(b"no such file"), "cannot be read as .mat"),
        (overwritten(b""), "cannot be read as .mat"),
        (cut, "cannot be read as .mat"),
        (lambda file: scipy.io.savemat(file, {"x": np.zeros(3)}), "holds no X and no y"),
        (lambda file: digits(file, y=np.zeros((4, 1), np.uint8)), "y holds other than the numbers 1 to 10"),
        (lambda file: digits(file, y=np.full((4, 1), 1.5)), "y holds other than the numbers 1 to 10"),
        (lambda file: digits(file, y=np.array([["1"]] * 4, object)), "y holds other than the numbers 1 to 10"),
        (lambda file: digits(file, y=np.ones((3, 1))), "X is uint8 of shape .* for 3 digits"),
        (lambda file: digits(file, X=np.zeros((32, 32, 3, 4))), "X is float64 of shape"),
        (lambda file: digits(file, X={"a": 1}), "X is .* for 4 digits"),
    ],
)
def test_svhn_files_that_cannot_be_used(damage: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    damage(tmp_path / "train_32x32.mat")
    with pytest.raises(DataError, match=rf"train_32x32.mat: {message}.*option -v7"):
        read_cases(tmp_path, normal=1)


# ---------------------------------------------------------------- one class against all others


def of_cifar10(folder: Path) -> None:
    cifar10(folder, labels=[0, 3, 9] * 4)


def of_svhn(folder: Path) -> None:
    digits(folder / "train_32x32.mat", [1, 3, 9] * 20)
    digits(folder / "test_32x32.mat", [1, 3, 9] * 4)


def of_class_folders(folder: Path) -> None:
    for side, count in {"train": 20, "test": 4}.items():
        for kind in ("airplane", "cat", "truck"):
            images(folder / side / kind, [f"{side}-{kind}-{i}.png" for i in range(count)])


def of_manifest(folder: Path) -> None:
    of_class_folders(folder)
    with (folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "split"])
        for file in sorted(folder.rglob("*.png")):
            side, kind, _ = file.relative_to(folder).parts
            writer.writerow([file.relative_to(folder), kind, side])


def of_medmnist(folder: Path) -> None:
    drawn = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for part, count in {"train": 60, "test": 12}.items():
        arrays[f"{part}_images"] = drawn.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"{part}_labels"] = np.arange(count, dtype=np.uint8)[:, None] % 3
    np.savez(folder / "pathmnist.npz", **arrays)


COLLECTIONS = {
    "cifar10-binary": (of_cifar10, "airplane"),
    "svhn": (of_svhn, "3"),
    "class-folders": (of_class_folders, "airplane"),
    "manifest": (of_manifest, "airplane"),
    "medmnist": (of_medmnist, "1"),
}


@pytest.mark.parametrize("layout", COLLECTIONS)
def test_one_class_against_all_others(layout: str, tmp_path: Path) -> None:
    make, normal = COLLECTIONS[layout]
    make(tmp_path)
    cases = load_cases(tmp_path, normal=normal, seed=1)
    assert cases.layout == layout
    assert all(case.label == int(case.group != normal) for case in cases)
    sides = Counter((case.split, case.label) for case in cases)
    # Test is the official one; validation comes out of the training normals.
    assert sides == {("train", 0): 18, ("train", 1): 40, ("validation", 0): 2, ("test", 0): 4, ("test", 1): 8}
    again, other = (load_cases(tmp_path, normal=normal, seed=seed) for seed in (1, 2))
    assert table(again) == table(cases)
    assert table(other) != table(cases)
    assert table(other.test) == table(cases.test)


def test_training_on_one_class_sees_its_training_normals_only(tmp_path: Path) -> None:
    of_cifar10(tmp_path)
    cases = load_cases(tmp_path, normal="truck", seed=1)
    options = {"preparation.image_size": 32, "training.epochs": 1, "training.batch_size": 8}
    detector = Detector("conv-vae", options, device="cpu").fit(cases, quiet=True)
    assert "40 abnormal cases among the training data were left out" in detector.notes_
    findings = detector.score(cases.test, maps=False)
    assert not findings.seen_in_training.any()
    normals = detector.score(cases.train.normals, maps=False)
    assert normals.seen_in_training.all()
    others = cases.train.with_cases(replace(case, split=None) for case in cases.train if case.label == 1)
    assert not detector.score(others, maps=False).seen_in_training.any()


@pytest.mark.real_data
def test_one_class_of_real_images(real_data: Path) -> None:
    cases = load_cases(real_data / "cifar10", normal="airplane", check_duplicates=False)
    assert Counter((case.split, case.label) for case in cases) == {
        ("train", 0): 900,
        ("train", 1): 9000,
        ("validation", 0): 100,
        ("test", 0): 300,
        ("test", 1): 2700,
    }
