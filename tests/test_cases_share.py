"""Two collections as one, and shares of a collection: nested, whole subjects on the test side, both labels kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sanoscope.cases import Case, Cases, Slicing, hold_out, joined, k_fold, read_cases, share
from sanoscope.cases.splits import check_subjects
from sanoscope.errors import DataError, OptionError
from volume_files import save


def collection(subjects: list[tuple[int, int]], side: str | None = None, start: int = 0, known: bool = True) -> Cases:
    """Cases of subjects with so many normal and so many abnormal images."""
    return Cases(
        Case(f"p{s}/{label}/{i}", label=label, subject=f"p{s}" if known else None, split=side)
        for s, counts in enumerate(subjects, start)
        for label, count in enumerate(counts)
        for i in range(count)
    )


def of_sides(**sides: list[tuple[int, int]]) -> Cases:
    """A collection with its sides, of subjects that differ."""
    starts = np.cumsum([0, *map(len, sides.values())]).tolist()
    parts = zip(sides.items(), starts, strict=False)
    return Cases(case for (side, subjects), start in parts for case in collection(subjects, side, start))


def names(cases: Cases) -> set[str]:
    return {case.name for case in cases}


def volumes(folder: Path, *files: str, tumour: bool = False) -> Path:
    """Volumes of six axial slices, no two alike in a folder; a tumour is in the fourth."""
    voxels = np.random.default_rng(tumour).integers(0, 3000, (4, 5, 6), np.int16)
    for number, file in enumerate(files):
        save(folder / file, voxels + number)
        if tumour:
            mask = np.zeros(voxels.shape, np.uint8)
            mask[1, 1, 3] = 1
            save(folder / file.replace("_t2.", "_seg."), mask)
    return folder


# ---------------------------------------------------------------- shares

SUBJECTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).filter(any), min_size=1, max_size=12)
SHARES = st.floats(0.01, 1.0)


@given(
    learned=SUBJECTS,
    tested=SUBJECTS,
    data=st.tuples(SHARES, SHARES),
    test=st.tuples(SHARES, SHARES),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_shares_are_nested_and_keep_labels_and_whole_subjects(
    learned: list[tuple[int, int]],
    tested: list[tuple[int, int]],
    data: tuple[float, float],
    test: tuple[float, float],
    seed: int,
) -> None:
    cases = of_sides(train=learned, validation=learned, test=tested)
    smaller = share(cases, min(data), min(test), seed)
    larger = share(cases, max(data), max(test), seed)
    assert names(smaller) <= names(larger) <= names(cases)
    assert [case.name for case in smaller] == [case.name for case in cases if case.name in names(smaller)]
    for label in (0, 1):
        for side in ("train", "validation"):
            there = cases.in_split(side).labels.count(label)
            kept = smaller.in_split(side).labels.count(label)
            assert kept == max(round(min(data) * there), min(there, 1))
        with_label = {case.subject for case in cases.test if case.label == label}
        left = {case.subject for case in smaller.test if case.label == label}
        assert len(left) >= min(len(with_label), 2)
    whole = Counter(cases.test.subjects)
    assert all(whole[subject] == count for subject, count in Counter(smaller.test.subjects).items())


@given(subjects=st.lists(st.integers(1, 40), min_size=1, max_size=12), value=SHARES, seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_every_subject_keeps_the_same_share_of_its_images(subjects: list[int], value: float, seed: int) -> None:
    cases = of_sides(train=[(count, 0) for count in subjects])
    drawn = share(cases, data=value, seed=seed)
    kept = Counter(drawn.subjects)
    if len(drawn) >= len(subjects):
        assert len(kept) == len(subjects)
    else:
        assert set(kept.values()) == {1}
    # No subject's last image is beyond its share while another's next one is still within it.
    reached = max((kept[f"p{s}"] - 1) / count for s, count in enumerate(subjects))
    assert all(kept[f"p{s}"] / count >= reached for s, count in enumerate(subjects))


def test_a_share_of_the_test_side_is_of_its_subjects() -> None:
    cases = of_sides(train=[(10, 0)] * 10, test=[*[(9, 0)] * 20, *[(0, 3)] * 10, *[(5, 5)] * 10])
    drawn = share(cases, test=0.3, seed=1)
    assert drawn.train.subjects == cases.train.subjects
    assert len(set(drawn.test.subjects)) == 12
    kinds = Counter(frozenset(c.label for c in drawn.test if c.subject == s) for s in set(drawn.test.subjects))
    assert kinds == {frozenset({0}): 6, frozenset({1}): 3, frozenset({0, 1}): 3}
    assert drawn.notes == (f"test side: {len(drawn.test)} of 310 images drawn by whole subjects (share 0.3, seed 1)",)
    assert names(share(cases, test=0.3, seed=2)) != names(drawn)


def test_at_least_two_of_each_label_are_tested() -> None:
    cases = of_sides(train=[(10, 0)], test=[*[(2, 0)] * 30, (0, 7), (0, 1)])
    least = share(cases, data=0.01, test=0.01)
    assert len({case.subject for case in least.test if case.label == 0}) == 2
    assert {case.subject for case in least.test if case.label == 1} == {"p31", "p32"}
    assert len(least.train) == 1
    known = share(cases, test=0.5)
    assert len({case.subject for case in known.test if case.label == 0}) == 15


def test_unknown_subjects_are_drawn_by_image() -> None:
    cases = Cases([
        *(Case(f"a{i}", label=i % 4 == 0, split="train") for i in range(100)),
        *(Case(f"b{i}", label=int(i >= 90), split="test") for i in range(100)),
        Case("c", label=None),
    ])  # fmt: skip
    drawn = share(cases, 0.2, 0.1, seed=3)
    assert Counter(drawn.train.labels) == {0: 15, 1: 5}
    assert Counter(drawn.test.labels) == {0: 9, 1: 2}
    assert drawn[-1].name == "c"
    assert drawn.notes == (
        "train side: 20 of 100 images drawn by image, as subjects are unknown (share 0.2, seed 3)",
        "test side: 11 of 100 images drawn by image, as subjects are unknown (share 0.1, seed 3)",
    )


def test_all_of_a_collection_is_the_collection() -> None:
    cases = of_sides(train=[(3, 1)] * 3, test=[(3, 3)] * 4)
    assert share(cases, 1, 1) is cases
    assert share(collection([(3, 3)]), 1, 1).notes == ()
    assert share(cases, 1.0, 0.5).train.subjects == cases.train.subjects


@pytest.mark.parametrize("shares", [(0, 1), (1, 0), (-0.1, 1), (1.1, 1), (1, float("nan"))])
def test_shares_that_cannot_be_are_refused(shares: tuple[float, float]) -> None:
    wrong = "test" if shares[0] == 1 else "data"
    with pytest.raises(OptionError, match=f"{wrong}=.*: the share must be above 0 and at most 1"):
        share(of_sides(train=[(3, 3)]), *shares)


def test_what_else_cannot_be_shared() -> None:
    with pytest.raises(OptionError, match="seed=-1"):
        share(of_sides(train=[(3, 3)]), 0.5, seed=-1)
    with pytest.raises(DataError, match="no image is on a side to take a share of; split the collection first"):
        share(collection([(3, 3)]), 0.5)


def test_shares_of_folds_and_of_volumes(tmp_path: Path) -> None:
    volumes(tmp_path, *(f"p{i}/p{i}_t2.nii.gz" for i in range(8)), tumour=True)
    cases = read_cases(tmp_path, slicing=Slicing(modality="t2"))
    split = k_fold(cases, 2, seed=0)[0]
    drawn = share(split, data=0.5, test=0.5)
    assert Counter(drawn.train.labels) == {0: 10, 1: 2}
    assert set(drawn.train.subjects) == set(split.train.subjects)
    assert set(Counter(drawn.test.subjects).values()) == {6}
    assert len(set(drawn.test.subjects)) == 2
    assert all(case.slice is not None for case in drawn)


# ---------------------------------------------------------------- two collections


def test_healthy_volumes_to_learn_from_and_tumours_to_test_on(tmp_path: Path) -> None:
    volumes(tmp_path / "hcp", *(f"10000{i}/T1w/T2w_acpc_dc_restore_brain.nii.gz" for i in range(10)))
    volumes(tmp_path / "brats", "p1/p1_t2.nii.gz", "p2/p2_t2.nii.gz", tumour=True)
    slicing = Slicing(modality="t2", slices="central:4")
    both = joined(read_cases(tmp_path / "hcp", slicing=slicing), read_cases(tmp_path / "brats", slicing=slicing))
    check_subjects(both)
    assert Counter(case.split for case in both) == {"train": 36, "validation": 4, "test": 8}
    assert both.layout == "hcp and brats"
    assert both.source == f"{tmp_path / 'hcp'} and {tmp_path / 'brats'}"
    assert set(both.test.subjects) == {"p1", "p2"}
    assert both.test.labels.count(1) == 2
    assert both.test[0].name == "p1/axial-001"
    assert both.notes == (
        "hcp: volumes: 10, of which 40 axial slices (data.slices=central:4)",
        "hcp: the source has no validation side: 4 training images moved to it",
        "brats: volumes: 2, of which 8 axial slices (data.slices=central:4)",
    )
    assert names(share(both, 0.5, 0.5)) < names(both)


def test_own_sides_are_kept_and_only_normals_learned_from() -> None:
    first = of_sides(train=[(3, 2)] * 3, validation=[(2, 1)], test=[(4, 4)])
    second = Cases([*collection([(5, 5)], "test", 20), *collection([(5, 5)], "train", 30)])
    both = joined(first, second)
    assert Counter((case.split, case.label) for case in both) == {
        ("train", 0): 9, ("validation", 0): 2, ("test", 0): 5, ("test", 1): 5,
    }  # fmt: skip
    assert set(both.test.subjects) == {"p20"}
    assert both.notes == (
        "memory-train: abnormal images left out: 11",
        "memory-train: images on other sides than train and validation left out: 4",
        "memory-test: images on other sides than test left out: 10",
    )


def test_names_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("ours", "theirs"):
        for i, file in enumerate(("normal/1.png", "normal/2.png", "tumor/3.png")):
            path = tmp_path / folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 5), i + 10 * len(folder), np.uint8)).save(path)
    both = joined(read_cases(tmp_path / "ours"), read_cases(tmp_path / "theirs"))
    assert [(case.name, case.split) for case in both][::4] == [
        ("ours/normal/1", both[0].split),
        ("theirs/tumor/3", "test"),
    ]
    assert sorted(case.name for case in both if case.split != "test") == ["ours/normal/1", "ours/normal/2"]
    assert len(both.test) == 3
    assert both.subjects == [None] * 5


def test_manifests_are_called_by_their_folders(tmp_path: Path) -> None:
    for i, hospital in enumerate(("north", "south")):
        (tmp_path / hospital).mkdir()
        Image.fromarray(np.full((4, 5), i, np.uint8)).save(tmp_path / hospital / "a.png")
        (tmp_path / hospital / "list.csv").write_text(f"path,label,subject\na.png,0,{hospital[0]}1\n")
    both = joined(*(read_cases(tmp_path / hospital / "list.csv") for hospital in ("north", "south")))
    assert [(case.name, case.subject, case.split) for case in both] == [
        ("north/a", "n1", "train"),
        ("south/a", "s1", "test"),
    ]


def test_files_called_alike_are_not_the_same_person(tmp_path: Path) -> None:
    volumes(tmp_path / "healthy/normal", *(f"{i}.nii.gz" for i in range(3)))
    volumes(tmp_path / "ill/normal", *(f"{i}.nii.gz" for i in range(2)))
    both = joined(read_cases(tmp_path / "healthy"), read_cases(tmp_path / "ill"))
    check_subjects(both)
    assert set(both.test.subjects) == {"ill/normal/0", "ill/normal/1"}
    assert "healthy/normal/2" in both.subjects
    assert "subjects called alike in both and taken for different ones: 2 (normal/0, normal/1)" in both.notes
    assert any(note.startswith("identical images on two sides: 12 ") for note in both.notes)


def test_a_subject_in_both_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"memory and memory: subjects in both: 2 \(p2, p3\); take them out"):
        joined(collection([(3, 0)] * 4), collection([(1, 3)] * 3, start=2))
    whole = hold_out(collection([(3, 3)] * 10))
    assert len(joined(whole, whole).test) == len(whole.test)


def test_an_image_in_both_is_refused_by_name(tmp_path: Path) -> None:
    cases = Cases([Case("a", tmp_path / "a.png", label=0), Case("b", tmp_path / "b.png", label=0)])
    with pytest.raises(DataError, match=r"a\.png: is to be learned from and tested on"):
        joined(cases, cases)


def test_nothing_to_learn_from_or_to_test_on() -> None:
    with pytest.raises(DataError, match="no normal image to learn from"):
        joined(collection([(0, 3)]), collection([(3, 3)], start=5))
    with pytest.raises(DataError, match="no normal image to learn from"):
        joined(collection([(3, 0)], "test"), collection([(3, 3)], start=5))
    with pytest.raises(DataError, match="no image on the test side"):
        joined(collection([(3, 0)]), collection([(3, 3)], "train", start=5))
