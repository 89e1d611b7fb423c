"""Which cases a detector learns from, and which record of a split is kept beside it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sanoscope.cases import load_cases, read_cases
from sanoscope.cases.case import Case, Cases
from sanoscope.cases.selection import LEAST_NORMALS, SUBJECTS_TO_HOLD_OUT, TrainingSelection
from sanoscope.cases.split_record import choose_side, write_split
from sanoscope.errors import DataError, ModelError, OptionError

ALL = TrainingSelection(fraction=1.0, include_abnormal=False, holdout=0.1)
labels = st.sampled_from([0, 1, None])
seeds = st.integers(0, 2**31)


def make(rows: list[tuple[int | None, str | None]], prefix: str = "") -> Cases:
    cases = (Case(f"{prefix}{i}", label=label, subject=subject) for i, (label, subject) in enumerate(rows))
    return Cases(cases, "test data")


def names(cases: Cases) -> list[str]:
    return [case.name for case in cases]


collections = st.lists(
    st.tuples(labels, st.one_of(st.none(), st.sampled_from("abcdefgh"))), min_size=1, max_size=60
).map(make)


@given(collections, st.floats(0.01, 0.99), seeds)
def test_holding_out_divides_the_normals(cases: Cases, holdout: float, seed: int) -> None:
    selection = TrainingSelection(1.0, False, holdout)
    if len(cases.normals) < LEAST_NORMALS:
        with pytest.raises(DataError, match=r"too few|no normal cases"):
            selection.choose(cases, None, seed)
        return
    chosen = selection.choose(cases, None, seed)
    assert sorted(names(chosen.train) + names(chosen.validation)) == sorted(names(cases.normals))
    assert len(chosen.train) >= 1
    assert len(chosen.validation) >= 1
    assert all(case.label != 1 for case in (*chosen.train, *chosen.validation))
    subjects = {case.subject for case in cases.normals}
    if None not in subjects and len(subjects) >= SUBJECTS_TO_HOLD_OUT:
        assert not {*chosen.train.subjects} & {*chosen.validation.subjects}
    else:
        assert len(chosen.train) >= 2
        assert len(chosen.validation) >= 2
    again = selection.choose(cases, None, seed)
    assert names(again.train) == names(chosen.train)
    abnormal = sum(case.label == 1 for case in cases)
    assert any(note.startswith(f"{abnormal} abnormal") for note in chosen.notes) == (abnormal > 0)
    assert "were held out to set the threshold" in chosen.notes[-1]


@given(collections, seeds)
def test_given_validation_is_used_as_it_is(cases: Cases, seed: int) -> None:
    validation = make([(0, "x"), (1, "y"), (None, None)], "v")
    if not len(cases.normals):
        with pytest.raises(DataError, match=r"test data: no normal cases to learn from \(only abnormal ones\)"):
            ALL.choose(cases, validation, seed)
        return
    chosen = ALL.choose(cases, validation, seed)
    assert names(chosen.train) == names(cases.normals)
    assert chosen.validation is validation


def test_validation_without_normals_is_not_used_and_said() -> None:
    chosen = ALL.choose(make([(0, None)] * 20), make([(1, None)] * 3, "v"), 0)
    assert "3 validation cases are not used, as none of them is normal" in chosen.notes
    assert all(case.label == 0 for case in chosen.validation)


@given(st.integers(4, 200), st.floats(0.001, 1), seeds)
def test_fraction_is_drawn_in_order_and_seeded(count: int, fraction: float, seed: int) -> None:
    cases, validation = make([(0, None)] * count), make([(0, None)], "v")
    selection = TrainingSelection(fraction, False, 0.1)
    chosen = names(selection.choose(cases, validation, seed).train)
    assert len(chosen) == max(round(fraction * count), 1)
    assert chosen == sorted(set(chosen), key=int)
    assert chosen == names(selection.choose(cases, validation, seed).train)


def test_fraction_depends_on_the_seed_and_is_said() -> None:
    cases, validation = make([(0, None)] * 100), make([(0, None)], "v")
    selection = TrainingSelection(0.1, False, 0.1)
    one, other = (selection.choose(cases, validation, seed) for seed in (0, 1))
    assert names(one.train) != names(other.train)
    assert "10 training cases were drawn at random (data.fraction=0.1)" in one.notes


def test_abnormal_cases_may_be_kept() -> None:
    cases = make([(0, None), (1, None)] * 5)
    chosen = TrainingSelection(1.0, True, 0.1).choose(cases, make([(0, None)], "v"), 0)
    assert names(chosen.train) == names(cases)
    assert chosen.notes == ()


def test_shared_subjects_are_said() -> None:
    chosen = ALL.choose(make([(0, "a"), (0, "b")] * 10), None, 0)
    assert "of the same subjects as the training images, so thresholds may be too low" in chosen.notes[0]
    unknown = ALL.choose(make([(0, None)] * 20), None, 0)
    assert unknown.notes == ("2 training images were held out to set the threshold",)
    by_subject = ALL.choose(make([(0, subject) for subject in "abcdefghij"] * 2), None, 0)
    assert by_subject.notes == ("2 training images of 1 subject were held out to set the threshold",)


@pytest.mark.parametrize(("fraction", "holdout"), [(0, 0.1), (1.1, 0.1), (-1, 0.1), (1, 0), (1, 1), (1, -0.5)])
def test_shares_that_cannot_be(fraction: float, holdout: float) -> None:
    with pytest.raises(OptionError, match=r"^data\.(fraction|holdout) must be "):
        TrainingSelection(fraction, False, holdout).choose(make([(0, None)] * 9), None, 0)


def test_nothing_at_all() -> None:
    with pytest.raises(DataError, match="no normal cases to learn from"):
        ALL.choose(make([]), None, 0)


# ------------------------------------------------------------ the record of the split


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twelve images of six subjects, with a manifest."""
    folder = tmp_path / "images"
    folder.mkdir()
    rows = ["path,label,subject"]
    for i in range(12):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(folder / f"{i:02d}.png")
        rows.append(f"{i:02d}.png,{i % 2},s{i // 2}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    return folder


def test_record_gives_back_every_side(images: Path, model: Path) -> None:
    cases = load_cases(images, seed=3)
    write_split(cases, model)
    for source in (images, images / "manifest.csv", images / ".." / "images"):
        for side in ("train", "validation", "test"):
            chosen, line = choose_side(read_cases(source), model, side)
            assert names(chosen) == names(cases.in_split(side))
            assert line.startswith(f"the {len(chosen)} images on the {side} side of the collection the model was tr")
        assert names(choose_side(read_cases(source), model, "auto")[0]) == names(cases.test)
        everything, line = choose_side(read_cases(source), model, "all")
        assert line == "all 12 images"
        assert [case.split for case in everything] == [case.split for case in cases]


def test_record_as_a_manifest(images: Path, model: Path) -> None:
    cases = load_cases(images, seed=3)
    write_split(cases, model)
    written = read_cases(model / "manifest.csv")
    assert [(c.path, c.label, c.subject, c.split) for c in written] == [
        (c.path, c.label, c.subject, c.split) for c in cases
    ]


def test_arrays_have_a_record_but_no_manifest(model: Path) -> None:
    write_split(load_cases(np.zeros((9, 4, 4), np.uint8)), model)
    assert [file.name for file in model.iterdir()] == ["split.json"]


def test_names_that_are_no_text_are_recorded(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(6):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(folder / f"{i}-\udcff.png")
    cases = load_cases(folder)
    write_split(cases, model)
    assert names(choose_side(read_cases(folder), model, "auto")[0]) == names(cases.test)


def test_without_a_record_the_collection_decides(images: Path, model: Path) -> None:
    cases = read_cases(images)
    assert choose_side(cases, model, "auto") == (cases, "all 12 images")
    sided = cases.assign(["test"] * 5 + [None] * 7)
    chosen, line = choose_side(sided, model, "auto")
    assert names(chosen) == names(cases)[:5]
    assert line == "the 5 images on the test side as the collection assigns it (--side all for all 12)"
    with pytest.raises(DataError, match="images: no image is on the train side; choose another --side"):
        choose_side(sided, model, "train")


def test_another_collection_is_not_the_recorded_one(images: Path, model: Path) -> None:
    write_split(load_cases(images), model)
    other = Cases(read_cases(images), str(images.parent))
    assert choose_side(other, model, "auto")[1] == "all 12 images"


def test_images_that_came_later_are_on_the_test_side(images: Path, model: Path) -> None:
    cases = load_cases(images, seed=3)
    write_split(cases.with_cases(cases[:-1]), model)
    chosen, line = choose_side(read_cases(images), model, "auto")
    assert names(chosen)[-1] == cases[11].name
    assert "1 of them new there" in line


def test_unknown_side(images: Path, model: Path) -> None:
    with pytest.raises(OptionError, match="--side takes one of auto, all, train, validation, test, not 'tset'"):
        choose_side(read_cases(images), model, "tset")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"sides": 3, "source": ""}', json.dumps({"source": "x"})])
def test_damaged_record(images: Path, model: Path, content: str) -> None:
    (model / "split.json").write_text(content)
    with pytest.raises(ModelError, match=r"split\.json: cannot be read .* remove it to score without"):
        choose_side(read_cases(images), model, "auto")
