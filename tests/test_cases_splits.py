"""Splits: no subject on two sides, shares met, the same seed the same split."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanoscope.cases import Case, Cases, hold_out, k_fold, rotating_folds
from sanoscope.cases.splits import add_validation, check_subjects
from sanoscope.errors import DataError, OptionError


def collection(subjects: list[tuple[int, int]], known: bool = True) -> Cases:
    """Cases of subjects with so many normal and so many abnormal images."""
    return Cases(
        Case(f"{s}/{label}/{i}", label=label, subject=f"p{s}" if known else None)
        for s, counts in enumerate(subjects)
        for label, count in enumerate(counts)
        for i in range(count)
    )


def sides_of(cases: Cases) -> dict[str | None, set[str | None]]:
    sides = defaultdict(set)
    for case in cases:
        sides[case.subject].add(case.split)
    return sides


SUBJECTS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).filter(any), min_size=3, max_size=25)
SHARES = st.floats(0.05, 0.4)


@given(subjects=SUBJECTS, validation=SHARES, test=SHARES, seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_hold_out_keeps_subjects_whole(
    subjects: list[tuple[int, int]], validation: float, test: float, seed: int
) -> None:
    cases = collection(subjects)
    split = hold_out(cases, validation, test, seed)
    assert [case.name for case in split] == [case.name for case in cases]
    assert all(len(sides) == 1 for sides in sides_of(split).values())
    assert {case.split for case in split} == {"train", "validation", "test"}
    if any(normal for normal, _ in subjects):
        assert 0 in split.train.labels
    assert [case.split for case in hold_out(cases, validation, test, seed)] == [case.split for case in split]


@given(counts=st.tuples(st.integers(20, 300), st.integers(20, 300)), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_hold_out_by_image_meets_the_shares_of_each_class(counts: tuple[int, int], seed: int) -> None:
    split = hold_out(collection([counts]), 0.1, 0.2, seed, by="image")
    for label, count in enumerate(counts):
        for side, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
            assert abs(split.in_split(side).labels.count(label) - share * count) <= 1.01


def test_hold_out_by_subject_comes_near_the_shares() -> None:
    cases = collection([(s % 7 * 10, s % 5 * 10) for s in range(1, 60)])
    split = hold_out(cases, 0.15, 0.15, seed=3)
    for side, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)):
        for label in (0, 1):
            wanted = share * cases.labels.count(label)
            assert split.in_split(side).labels.count(label) == pytest.approx(wanted, rel=0.1)
    assert split.notes == ("split by subject with seed 3",)


def test_few_subjects_of_unequal_size_have_both_classes_on_every_side() -> None:
    # Eleven patients as in a part of the IDC set: four with normals, seven with tumour patches alone.
    patients = [(772, 207), (805, 328), (657, 55), (1480, 162), (0, 397), (0, 190), (0, 181), (0, 83)]
    for seed in range(5):
        split = hold_out(collection([*patients, (0, 369), (0, 208), (0, 99)]), seed=seed)
        for side in (split.train, split.validation, split.test):
            assert {0, 1} <= set(side.labels)
        assert len(split.train) > 3500


def test_the_seed_chooses_and_size_does_not() -> None:
    cases = collection([(50, 0), *[(10, 0)] * 30])
    splits = [hold_out(cases, 0.2, 0.2, seed) for seed in range(30)]
    assert len({tuple(case.split for case in split) for split in splits}) == 30
    assert {split[0].split for split in splits} == {"train", "validation", "test"}


def test_shares_of_zero_leave_sides_out() -> None:
    cases = collection([(3, 1)] * 4)
    assert Counter(case.split for case in hold_out(cases, 0, 0)) == {"train": 16}
    assert {case.split for case in hold_out(cases, 0, 0.25)} == {"train", "test"}


def test_too_few_subjects_say_how_many_and_what_to_do() -> None:
    with pytest.raises(DataError, match=r"2 subjects are too few for 3 sides .*split='image'.*manifest"):
        hold_out(collection([(9, 9), (9, 9)]))
    with pytest.raises(DataError, match="2 images are too few for 3 sides"):
        hold_out(collection([(2, 0)], known=False))
    with pytest.raises(DataError, match="3 subjects are too few for 5 folds"):
        k_fold(collection([(5, 5)] * 3), 5)
    with pytest.raises(DataError, match="too few for 2 folds with a validation side"):
        k_fold(collection([(5, 5)] * 3), 2, validation=0.1)
    assert len(hold_out(collection([(9, 9), (9, 9)]), by="image")) == 36


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.5, 0.5), (0.1, 1.0), (float("nan"), 0.1)])
def test_impossible_shares_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(OptionError, match="sum below 1"):
        hold_out(collection([(3, 3)] * 5), *shares)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(OptionError, match="did you mean 'subject'"):
        hold_out(collection([(3, 3)] * 5), by="subjects")
    with pytest.raises(OptionError, match="seed=-1"):
        hold_out(collection([(3, 3)] * 5), seed=-1)
    with pytest.raises(OptionError, match="folds=1"):
        k_fold(collection([(3, 3)] * 5), 1)


def test_unknown_subjects_are_split_by_image_and_said_so() -> None:
    split = hold_out(collection([(50, 50)], known=False))
    assert split.notes == ("split by image with seed 0, as subjects are unknown",)
    some = Cases([*collection([(4, 4)] * 5), *(Case(f"x{i}", label=0) for i in range(7))])
    assert "images without a subject, each split on its own: 7" in hold_out(some).notes
    by_image = hold_out(collection([(40, 40)] * 3), by="image")
    assert "images of one subject may be on several sides" in by_image.notes[0]
    assert len(sides_of(by_image)["p0"]) == 3


def test_a_side_without_a_class_is_noted() -> None:
    split = hold_out(collection([(20, 0), (0, 9), (0, 9), (0, 9), (0, 9)]), 0.2, 0.2)
    assert set(split.train.labels) >= {0}
    assert "the validation side has no normal images" in split.notes
    assert "the test side has no normal images" in split.notes


@given(subjects=SUBJECTS, folds=st.integers(2, 3), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_k_fold_tests_every_image_once(subjects: list[tuple[int, int]], folds: int, seed: int) -> None:
    cases = collection(subjects)
    splits = k_fold(cases, folds, seed)
    tested = Counter(case.name for split in splits for case in split.test)
    assert tested == {case.name: 1 for case in cases}
    for split in splits:
        assert all(len(sides) == 1 for sides in sides_of(split).values())
        assert len(split.train) + len(split.test) == len(cases)
        assert len(split.train)


def test_k_fold_is_even_and_stratified_and_takes_validation_from_training() -> None:
    splits = k_fold(collection([(40, 20)] * 20), 5, seed=1, validation=0.25)
    for i, split in enumerate(splits):
        assert Counter(split.test.labels) == {0: 160, 1: 80}
        assert Counter(split.validation.labels) == {0: 160, 1: 80}
        assert all(len(sides) == 1 for sides in sides_of(split).values())
        assert split.notes == (f"fold {i + 1} of 5", "split by subject with seed 1")
    by_image = k_fold(collection([(40, 20)]), 4, by="image")
    assert [Counter(split.test.labels) for split in by_image] == [{0: 10, 1: 5}] * 4


@given(subjects=SUBJECTS, folds=st.integers(3, 5), seed=st.integers(0, 99), by=st.sampled_from(["subject", "image"]))
@settings(max_examples=40, deadline=None)
def test_rotating_folds_test_and_validate_every_image_once(
    subjects: list[tuple[int, int]], folds: int, seed: int, by: str
) -> None:
    cases = collection(subjects)
    if (len(subjects) if by == "subject" else len(cases)) < folds:
        with pytest.raises(DataError, match=f"too few for {folds} folds"):
            rotating_folds(cases, folds, seed, by)
        return
    splits = rotating_folds(cases, folds, seed, by)
    for side, times in (("test", 1), ("validation", 1), ("train", folds - 2)):
        seen = Counter(case.name for split in splits for case in split.in_split(side))
        assert seen == {case.name: times for case in cases}
    for split, following in zip(splits, [*splits[1:], splits[0]], strict=True):
        assert [case.name for case in split] == [case.name for case in cases]
        assert [case.name for case in split.validation] == [case.name for case in following.test]
        if by == "subject":
            assert all(len(sides) == 1 for sides in sides_of(split).values())
    assert [case.split for case in rotating_folds(cases, folds, seed, by)[0]] == [case.split for case in splits[0]]


def test_rotating_folds_are_stratified_and_those_of_k_fold() -> None:
    cases = collection([(40, 20)] * 20)
    splits = rotating_folds(cases, 5, seed=1)
    for i, split in enumerate(splits):
        for side, share in (("test", 1), ("validation", 1), ("train", 3)):
            assert Counter(split.in_split(side).labels) == {0: share * 160, 1: share * 80}
        assert split.notes == (f"fold {i + 1} of 5", "split by subject with seed 1")
    tested = [[case.name for case in split.test] for split in splits]
    assert tested == [[case.name for case in split.test] for split in k_fold(cases, 5, seed=1)]


def test_rotating_folds_need_three() -> None:
    with pytest.raises(OptionError, match="folds=2: at least 3 are needed"):
        rotating_folds(collection([(3, 3)] * 5), 2)


def test_a_subject_on_two_sides_is_refused_by_name() -> None:
    cases = collection([(2, 0), (3, 0)])
    check_subjects(cases.assign(["train"] * 2 + [None, None, "test"]))
    with pytest.raises(DataError, match=r"'p1' is on two sides: train \(1 images\) and test \(2 images\);"):
        check_subjects(cases.assign(["train"] * 3 + ["test"] * 2))
    with pytest.raises(DataError, match="and 1 other subjects likewise"):
        check_subjects(cases.assign(["train", "test", "train", "test", None]))


def test_validation_is_taken_from_the_subjects_of_training_normals() -> None:
    cases = collection([(10, 5)] * 10 + [(0, 5)] * 5)
    cases = cases.assign(["test" if case.subject in ("p0", "p14") else "train" for case in cases])
    moved = add_validation(cases, 0.25, seed=0)
    assert len(moved.validation.normals) == pytest.approx(0.25 * 90, abs=5)
    assert set(moved.validation.subjects) <= {f"p{i}" for i in range(1, 10)}
    assert all(len(sides) == 1 for sides in sides_of(moved).values())
    assert len(moved.test) == len(cases.test)
    assert moved.notes == (f"the source has no validation side: {len(moved.validation)} training images moved to it",)
    assert add_validation(moved, 0.25) is moved
    one = collection([(10, 5)]).assign(["train"] * 15)
    assert add_validation(one, 0.25) is one
