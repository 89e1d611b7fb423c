"""Which anomalies a search knows, and that the final test is apart from them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sanoscope.cases.case import Case, Cases
from sanoscope.errors import DataError, OptionError
from sanoscope.selection.fold import divide_folds
from sanoscope.selection.known import divide, kind_of

seeds = st.integers(0, 2**31)


def make(*rows: tuple[str, str, str | None]) -> Cases:
    """Cases of a group, on a side, of a subject."""
    return Cases(
        (
            Case(f"{i:03d}", label=int(group != "normal"), group=group, split=split, subject=subject)
            for i, (group, split, subject) in enumerate(rows)
        ),
        "test data",
    )


def one_against_all(train: int = 10, test: int = 5) -> Cases:
    """As CIFAR-10: every class on both sides, subjects unknown."""
    groups = ("normal", "cat", "dog", "frog")
    sides = (("train", train), ("validation", 2), ("test", test))
    return make(*((group, side, None) for side, count in sides for group in groups for _ in range(count)))


def of_one_kind(subjects: int = 6, images: int = 4) -> Cases:
    """Normals on all sides, abnormal images of one kind and several subjects on the test side alone."""
    normals = [("normal", side, f"{side}-{i % 3}") for side in ("train", "validation", "test") for i in range(9)]
    abnormal = [("tumour", "test", f"patient-{i}") for i in range(subjects) for _ in range(images)]
    healthy = [("normal", "test", f"patient-{i}") for i in range(subjects)]
    return make(*normals, *abnormal, *healthy)


@given(seeds)
def test_one_kind_is_known_and_the_test_is_without_it(seed: int) -> None:
    cases = one_against_all()
    divided = divide(cases, (), 6, seed)
    (kind,) = set(divided.kinds)
    assert len(divided.known) == 6
    assert all(case.split != "test" for case in divided.known)
    assert Counter(map(kind_of, divided.cases.test)) == dict.fromkeys({"normal", "cat", "dog", "frog"} - {kind}, 5)
    assert any(f"has no anomaly of the known kinds ({kind})" in note for note in divided.notes)


def test_seed_chooses_the_kind_and_the_images() -> None:
    chosen = {divide(one_against_all(), (), 6, seed).kinds[0] for seed in range(20)}
    assert chosen == {"cat", "dog", "frog"}
    first, second = (divide(one_against_all(), ("cat",), 4, seed) for seed in (0, 1))
    assert [case.name for case in first.known] != [case.name for case in second.known]
    again = divide(one_against_all(), ("cat",), 4, 0)
    assert [case.name for case in first.known] == [case.name for case in again.known]


@given(seeds)
def test_known_images_are_spread_over_kinds_and_subjects(seed: int) -> None:
    rows = [("cat", "train", f"many-{i % 2}") for i in range(20)] + [("cat", "train", "few")] * 2
    cases = make(*rows, *[("dog", "train", None)] * 30, *[("bird", "test", None)] * 3, *[("normal", "test", None)] * 3)
    divided = divide(cases, ("cat", "dog"), 12, seed)
    assert Counter(divided.kinds) == {"cat": 6, "dog": 6}
    subjects = Counter(case.subject for case in divided.known if kind_of(case) == "cat")
    assert subjects == {"few": 2, "many-0": 2, "many-1": 2}


@given(seeds)
def test_the_only_kind_is_known_from_half_of_the_tests_subjects(seed: int) -> None:
    divided = divide(of_one_kind(), (), 50, seed)
    known = {case.subject for case in divided.known}
    assert len(known) == 3
    assert known.isdisjoint(case.subject for case in divided.cases.test)
    assert Counter(map(kind_of, divided.cases.test)) == {"tumour": 12, "normal": 12}
    assert any("alone, as the data name no others" in note for note in divided.notes)
    assert any("3 normal images of the known anomalies' subjects" in note for note in divided.notes)


def test_other_kinds_of_the_validation_side_set_no_threshold() -> None:
    divided = divide(one_against_all(), ("cat",), 50, 0)
    assert {kind_of(case) for case in divided.cases.validation} == {"normal", "cat"}


def test_without_known_anomalies_the_test_is_whole() -> None:
    divided = divide(one_against_all(), (), 0, 0)
    assert len(divided.known) == 0
    assert len(divided.cases.test) == 20


def test_what_cannot_be_known() -> None:
    with pytest.raises(DataError, match="no image is labelled abnormal"):
        divide(make(("normal", "train", None)), (), 5, 0)
    with pytest.raises(DataError, match="of one subject on the test side"):
        divide(of_one_kind(subjects=1), (), 5, 0)
    with pytest.raises(OptionError, match="there is no kind 'cow'; known: cat, dog, frog"):
        divide(one_against_all(), ("cow",), 5, 0)


def test_a_test_without_normals_is_told() -> None:
    cases = make(("normal", "train", None), ("cat", "train", None), ("dog", "test", None))
    assert any("not both normal and abnormal" in note for note in divide(cases, ("cat",), 5, 0).notes)


@settings(max_examples=20)
@given(seeds)
def test_folds_hold_the_searchs_normals_by_subject(seed: int) -> None:
    cases = make(
        *[("normal", "train", f"a{i % 6}") for i in range(30)],
        *[("normal", "validation", f"b{i % 2}") for i in range(6)],
        *[("normal", "test", f"c{i}") for i in range(5)],
        *[("cat", "train", "a0")] * 3,
        *[("dog", "test", "c0")] * 3,
    )
    folds = divide_folds(divide(cases, (), 5, seed), 3, seed, "subject", oracle=True)
    held_out = [case.name for fold in folds.normals for case in fold.test]
    assert sorted(held_out) == sorted(case.name for case in cases.normals if case.split != "test")
    for fold in folds.normals:
        sides = Counter((case.subject, case.split) for case in fold)
        assert {side for _, side in sides} == {"train", "validation", "test"}
        assert len(sides) == len({subject for subject, _ in sides})
    assert folds.test is not None
    assert {kind_of(case) for case in folds.test} == {"normal", "dog"}
