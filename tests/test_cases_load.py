"""Loading: paths, arrays and cases; sides kept or made; copies found; manifests written and read back."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sanoscope.cases import (
    Case,
    Cases,
    find_duplicates,
    fingerprint,
    hold_out,
    load_cases,
    read_cases,
    write_manifest,
)
from sanoscope.errors import DataError, OptionError

IMAGES = np.random.default_rng(0).random((40, 6, 5)).astype(np.float32)


def save(path: Path, level: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), level, np.uint8)).save(path)
    return path


def patients(folder: Path, count: int = 6, of_each: int = 3) -> Path:
    """A manifest without sides, of patients with normal and abnormal images."""
    rows = ["path,label,subject"]
    for p in range(count):
        for i in range(2 * of_each):
            save(folder / f"{p}_{i}.png", p * 20 + i)
            rows.append(f"{p}_{i}.png,{i % 2},p{p}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


def test_what_has_no_sides_is_split_by_subject(tmp_path: Path) -> None:
    cases = load_cases(patients(tmp_path), validation=0.2, test=0.2, seed=4)
    assert [case.split for case in cases] == [c.split for c in hold_out(read_cases(tmp_path), 0.2, 0.2, 4)]
    assert len(set(cases.train.subjects) & set(cases.test.subjects)) == 0
    by_image = load_cases(tmp_path, split="image")
    assert len(set(by_image.train.subjects)) == 6
    with pytest.raises(OptionError, match="split='images' is unknown; did you mean 'image'"):
        load_cases(tmp_path, split="images")
    with pytest.raises(DataError, match="2 subjects are too few"):
        load_cases(patients(tmp_path / "few", count=2))


def test_sides_of_the_source_are_kept_unless_others_are_asked_for(tmp_path: Path) -> None:
    cases = hold_out(read_cases(patients(tmp_path)), 0.2, 0.2, seed=1)
    write_manifest(cases, tmp_path / "split.csv")
    again = load_cases(tmp_path / "split.csv", seed=5)
    assert [case.split for case in again] == [case.split for case in cases]
    assert load_cases(cases) is cases
    anew = load_cases(tmp_path / "split.csv", split="subject", seed=5)
    assert [case.split for case in anew] == [case.split for case in hold_out(cases, seed=5)]


def test_images_on_no_side_are_noted(tmp_path: Path) -> None:
    cases = read_cases(patients(tmp_path)).assign(["train"] * 6 + ["test"] * 6 + [None] * 24)
    write_manifest(cases, tmp_path / "some.csv")
    assert load_cases(tmp_path / "some.csv", validation=0).notes == ("images on no side: 24",)


def test_the_room_is_light_to_enter() -> None:
    heavy = "{'torch', 'PIL', 'tifffile', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'rich', 'nibabel'}"
    code = f"import sys, sanoscope.cases; sys.exit(str({heavy} & sys.modules.keys() or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


def test_a_subject_on_two_sides_is_refused_but_for_a_split_by_image(tmp_path: Path) -> None:
    cases = read_cases(patients(tmp_path))
    write_manifest(cases.assign(["train", "test"] * 18), tmp_path / "leak.csv")
    with pytest.raises(DataError, match=r"leak.csv: subject 'p0' is on two sides.*and 5 other"):
        load_cases(tmp_path / "leak.csv")
    assert load_cases(tmp_path / "leak.csv", split="image").is_split


def test_a_source_without_validation_gets_one_from_training_normals(tmp_path: Path) -> None:
    for i in range(20):
        save(tmp_path / f"train/good/{i}.png", i)
        save(tmp_path / f"test/{'good' if i % 2 else 'crack'}/{i}.png", 100 + i)
    cases = load_cases(tmp_path, validation=0.2)
    assert Counter(case.split for case in cases) == {"train": 16, "validation": 4, "test": 20}
    assert cases.notes[-1] == "the source has no validation side: 4 training images moved to it"
    assert len(load_cases(tmp_path, validation=0).validation) == 0


def test_identical_images_on_two_sides_are_named(tmp_path: Path) -> None:
    for i, name in enumerate(("a", "b", "c", "copy of a", "copy of c")):
        save(tmp_path / f"{name}.png", {"copy of a": 0, "copy of c": 2}.get(name, i))
    cases = read_cases(tmp_path).assign(["train", "validation", "test", "test", "test"])
    groups = find_duplicates(cases)
    assert [[case.name for case in group] for group in groups] == [["a", "copy of a"], ["c", "copy of c"]]
    write_manifest(cases, tmp_path / "m.csv")
    noted = ("identical images on two sides: 1 (a (train) = copy of a (test))",)
    assert load_cases(tmp_path / "m.csv").notes == noted
    assert load_cases(tmp_path / "m.csv", check_duplicates=False).notes == ()
    (tmp_path / "a.png").unlink()
    assert len(find_duplicates(cases)) == 1


def test_identical_arrays_are_found_and_others_not() -> None:
    zeros = np.zeros((4, 4), np.uint8)
    pixels = [zeros, zeros[:, ::-1], zeros.reshape(2, 8), zeros.astype(np.int8), zeros + 1, IMAGES[0]]
    cases = Cases(Case(str(i), pixels=array, split="train") for i, array in enumerate(pixels))
    assert [[case.name for case in group] for group in find_duplicates(cases)] == [["0", "1"]]


def test_many_copies_are_counted_not_all_listed() -> None:
    images = np.zeros((40, 4, 4), np.uint8) + np.arange(8, dtype=np.uint8).repeat(5)[:, None, None]
    cases = load_cases(images, labels=[0, 1] * 20, validation=0.3, test=0.3)
    assert cases.notes[-1].startswith("identical images on two sides: 8 (000000 (")
    assert cases.notes[-1].endswith("; and 5 more)")


def test_arrays() -> None:
    cases = load_cases(IMAGES, labels=[0, 1] * 20, subjects=np.arange(40) // 4)
    assert len(cases) == 40
    assert cases.layout == "array"
    np.testing.assert_array_equal(cases[3].pixels, IMAGES[3])
    assert cases[3].label == 1
    assert cases[39].subject == "9"
    assert len(set(cases.train.subjects) & set(cases.test.subjects)) == 0
    coloured = read_cases(np.zeros((3, 4, 4, 2), np.uint16), labels=[0, None, np.nan], subjects=["a", None, "b"])
    assert coloured.labels == [0, None, None]
    assert coloured.subjects == ["a", None, "b"]
    assert not coloured.is_split


@pytest.mark.parametrize("labels", [[True, False], [1, 0], np.array([1.0, 0.0]), np.array([1, 0], np.uint8), "10"])
def test_labels_of_arrays_in_any_type(labels: object) -> None:
    assert read_cases(IMAGES[:2], labels=list(labels)).labels == [1, 0]  # type: ignore[call-overload]


def test_groups_of_arrays_need_the_normal_one() -> None:
    words = ["cat", "dog", None]
    assert read_cases(IMAGES[:3], labels=words, normal="dog").labels == [1, 0, None]
    assert read_cases(IMAGES[:3], labels=[7, 8, 9], normal=8).labels == [1, 0, 1]
    with pytest.raises(DataError, match=r"labels\[0\] is 'cat', not 0, 1 or None"):
        read_cases(IMAGES[:3], labels=words)
    with pytest.raises(OptionError, match="did you mean 'dog'"):
        read_cases(IMAGES[:3], labels=words, normal="dogs")


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (IMAGES[0], {}, r"array of shape \(6, 5\): needed is"),
        (IMAGES[:0], {}, r"array of shape \(0, 6, 5\)"),
        (np.full((2, 3, 3), "x"), {}, "needed are numbers"),
        (np.stack([IMAGES[0], IMAGES[0] * np.nan]), {}, "image 1 of the array holds NaN"),
        (IMAGES, {"labels": [0, 1]}, "2 labels for 40 images; give one for each"),
        (IMAGES, {"subjects": ["a"]}, "1 subjects for 40 images"),
        (["a.png"], {}, "list: no data; give a path"),
    ],
)
def test_arrays_that_are_none(data: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_cases(data, **options)  # type: ignore[arg-type]


def test_options_that_do_not_fit_the_data(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="labels and subjects go with an array"):
        read_cases(patients(tmp_path), labels=[0])
    with pytest.raises(OptionError, match="these cases have their labels"):
        read_cases(Cases([Case("a")]), normal="a")


FILE = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="/\\\0"), min_size=1, max_size=12
).filter(lambda name: name.strip(".") and not name.startswith(".") and len(name.encode()) < 200)
WORD = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(str.strip)
MAYBE = st.none() | WORD.filter(bool)


@st.composite
def collections(draw: st.DrawFn) -> list[dict[str, object]]:
    files = draw(st.lists(st.tuples(st.sampled_from(["", "in/", "in/here/"]), FILE), min_size=1, max_size=6))
    unique = {(folder + name).casefold(): folder + name for folder, name in files}
    fields = st.fixed_dictionaries(
        {
            "label": st.sampled_from([0, 1, None]),
            "subject": MAYBE,
            "group": MAYBE,
            "split": st.sampled_from(["train", "validation", "test", None]),
            "masked": st.booleans(),
            "position": st.none() | st.tuples(st.integers(0, 9999), st.integers(0, 9999)),
        }
    )
    return [{"name": name, **draw(fields)} for name in unique.values()]


@given(rows=collections(), below=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_manifest_is_read_back_as_written(rows: list[dict[str, object]], below: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cases = []
        for i, row in enumerate(rows):
            name, masked = str(row.pop("name")), row.pop("masked")
            path, mask = Path(folder, "data", f"{name}.png"), Path(folder, "data", f"{name}.tif")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            mask.touch()
            cases.append(Case(f"case/{i}", path, mask=mask if masked else None, **row))  # type: ignore[arg-type]
        manifest = Path(folder, "data" if below else "lists/new", "manifest.csv")
        write_manifest(Cases(cases), manifest)
        found = [replace(case, name=f"case/{i}") for i, case in enumerate(read_cases(manifest))]
        assert len({case.name for case in read_cases(manifest)}) == len(cases)
        for case, wanted in zip(found, cases, strict=True):
            position = wanted.position or case.position  # a name may tell a position
            assert vars(case) == vars(wanted) | {"position": position}


def test_names_and_links_survive_the_manifest(tmp_path: Path) -> None:
    real = save(tmp_path / "store/001.png", 1)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/link.png").symlink_to(real)
    cases = Cases([Case("patient 1/first", tmp_path / "data/link.png"), Case("002", save(tmp_path / "002.png", 2))])
    write_manifest(cases, tmp_path / "m.csv")
    header, first, _ = (tmp_path / "m.csv").read_text().splitlines()
    assert header == "path,label,mask,subject,split,name"
    assert first == "data/link.png,,,,,patient 1/first"
    assert [case.name for case in read_cases(tmp_path / "m.csv")] == ["patient 1/first", "002"]


def test_a_manifest_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the case '000000' is in memory"):
        write_manifest(read_cases(IMAGES), tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("as it was")
    broken = Cases([Case("a", tmp_path / "\udcff.png")])
    with pytest.raises(DataError, match=r"m\.csv: cannot be written"):
        write_manifest(broken, tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [tmp_path / "m.csv"]
    with pytest.raises(DataError, match="cannot be written"):
        write_manifest(Cases([Case("a", tmp_path / "a.png")]), tmp_path / "m.csv" / "m.csv")


def test_fingerprint_tells_splits_apart_and_order_not() -> None:
    cases = load_cases(IMAGES, labels=[0, 1] * 20, subjects=[i // 2 for i in range(40)])
    found = fingerprint(cases)
    assert found["images"] == 40
    assert found["subjects"] == 20
    assert found["labels"] == {"normal": 20, "abnormal": 20}
    assert found["splits"]["test"] == {"normal": 2, "abnormal": 2}
    assert json.loads(json.dumps(found)) == found
    assert fingerprint(cases[range(39, -1, -1)])["sha256"] == found["sha256"]
    others = [load_cases(cases, split="subject", seed=1), cases[:39], cases.assign([None] * 40)]
    assert len({found["sha256"], *(fingerprint(other)["sha256"] for other in others)}) == 4


def test_unlabelled_cases_keep_all_else() -> None:
    mask = np.ones(IMAGES.shape[1:3], bool)
    cases = load_cases(IMAGES, labels=["a", "b"] * 20, subjects=range(40), normal="a")
    cases = cases.with_cases(replace(case, mask_pixels=mask) for case in cases)
    bare = cases.unlabelled()
    assert set(bare.labels) == {None}
    assert {case.group for case in bare} == {case.mask_pixels for case in bare} == {None}
    assert [(case.name, case.subject, case.split) for case in bare] == [
        (case.name, case.subject, case.split) for case in cases
    ]
    assert all(one.pixels is other.pixels for one, other in zip(bare, cases, strict=True))


def test_loading_is_the_same_twice(tmp_path: Path) -> None:
    first, second = load_cases(patients(tmp_path)), load_cases(tmp_path)
    assert fingerprint(first) == fingerprint(second)


@pytest.mark.real_data
def test_real_collections_are_split_honestly(real_data: Path) -> None:
    idc = load_cases(real_data / "idc", layout="breast-histopathology")
    assert all({0, 1} <= set(side.labels) for side in (idc.train, idc.validation, idc.test))
    assert not set(idc.train.subjects) & (set(idc.validation.subjects) | set(idc.test.subjects))
    lgg = load_cases(real_data / "lgg")
    assert [len(set(side.subjects)) for side in (lgg.train, lgg.validation, lgg.test)] == [44, 10, 16]
    assert load_cases(real_data / "brain_mri").notes[-1].startswith("identical images on two sides: 18 (")
    planes = load_cases(real_data / "cifar10", normal="airplane", check_duplicates=False)
    assert (len(planes.train.normals), len(planes.validation), len(planes.test)) == (900, 100, 3000)
