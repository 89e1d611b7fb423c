"""Collections of slides: their tiles in the decoded cache, in manifests, and among duplicates."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sanoscope.cases import (
    Cases,
    Slicing,
    find_duplicates,
    load_cases,
    read_case,
    read_cases,
    true_mask,
    write_manifest,
)
from sanoscope.cases.tiling import Tiling
from sanoscope.preparation import sources
from sanoscope.preparation.decode import decode
from sanoscope.preparation.geometry import Geometry, Resize
from slide_files import glass, rectangle, save_asap, save_slide

pytest.importorskip("openslide")

SLICING = Slicing(tiling=Tiling(size=32, magnification=20, tissue="none"))
SIDE = 64  # of a tile on level 0


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2 * SIDE, 3 * SIDE, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate("ab"):
        save_slide(tmp_path / "slides" / f"{name}.svs", noise(seed))
    return tmp_path / "slides"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What has been read of slides in this process."""
    found: list[object] = []
    read_tile = sources.read_tile

    def counting(path: Path, tile: object) -> np.ndarray:
        found.append(tile)
        return read_tile(path, tile)  # type: ignore[arg-type]

    monkeypatch.setattr(sources, "read_tile", counting)
    return found


def test_each_tile_is_read_once_and_then_kept(folder: Path, reads: list[object]) -> None:
    cases = read_cases(folder, slicing=SLICING)
    geometry = Geometry((Resize(32, "area"),))
    first = decode(cases, geometry, workers=1)
    assert len(first) == len(reads) == 12
    again = decode(cases, geometry, workers=1)
    assert len(reads) == 12
    assert len(set(first.keys)) == 12
    assert first.keys == again.keys
    pixels, _ = first.batch(range(12))
    np.testing.assert_array_equal(pixels, [read_case(case) for case in cases])
    np.testing.assert_array_equal(again.batch(range(12))[0], pixels)


def test_a_copy_is_not_read_but_other_tiles_are(folder: Path, tmp_path: Path, reads: list[object]) -> None:
    geometry = Geometry((Resize(32, "area"),))
    decode(read_cases(folder, slicing=SLICING), geometry, workers=1)
    shutil.copytree(folder, tmp_path / "elsewhere")
    decode(read_cases(tmp_path / "elsewhere", slicing=SLICING), geometry, workers=1)
    assert len(reads) == 12
    finer = Slicing(tiling=Tiling(size=32, magnification=40, tissue="none"))
    decode(read_cases(folder, slicing=finer), geometry, workers=1)
    assert len(reads) == 12 + 48


def test_a_broken_slide_among_others(folder: Path) -> None:
    (folder / "c.svs").write_bytes(b"no slide")
    pictures = decode(read_cases(folder, slicing=SLICING), Geometry((Resize(32, "area"),)), workers=1)
    assert len(pictures) == 12
    (unreadable,) = pictures.unreadable
    assert str(folder / "c.svs") in unreadable.reason
    assert "cannot be read as a slide" in unreadable.reason


def test_tiles_are_kept_in_a_manifest(folder: Path, tmp_path: Path) -> None:
    save_asap(folder / "a.xml", [("Tumor", rectangle(0, 0, 70, 20))])
    cases = read_cases(folder, slicing=SLICING)
    cases = cases.assign(["train" if case.subject == "a" else "test" for case in cases])
    for place in (folder, tmp_path / "elsewhere"):
        write_manifest(cases, place / "manifest.csv")
        again = load_cases(place / "manifest.csv", validation=0)
        for case, found in zip(cases, again, strict=True):
            for known in ("name", "label", "subject", "split", "tile", "position"):
                assert getattr(found, known) == getattr(case, known)
            assert found.path is not None
            assert case.path is not None
            assert found.path.samefile(case.path)
            assert (found.mask is None) == (case.mask is None)
            np.testing.assert_array_equal(read_case(found), read_case(case))
            truth = true_mask(found)
            assert found.label == (None if truth is None else int(truth.any()))


def test_duplicates_are_tiles_of_the_same_place_in_copies(folder: Path) -> None:
    cases = read_cases(folder, slicing=SLICING)
    assert find_duplicates(cases) == []
    shutil.copy(folder / "a.svs", folder / "copy.svs")
    groups = find_duplicates(read_cases(folder, slicing=SLICING))
    assert len(groups) == 6
    for one, other in groups:
        assert (one.subject, other.subject) == ("a", "copy")
        assert one.tile == other.tile


def test_the_true_mask_of_a_tile(folder: Path) -> None:
    save_asap(folder / "a.xml", [("Tumor", rectangle(32, 0, 96, 64)), ("_2", rectangle(64, 0, 80, 64))])
    cases = read_cases(folder, slicing=SLICING)
    by_name = {case.name: true_mask(case) for case in cases}
    wanted = np.zeros((32, 32), bool)
    wanted[:, 16:] = True
    np.testing.assert_array_equal(by_name["a/x000000_y000000"], wanted)
    wanted = np.zeros((32, 32), bool)
    wanted[:, 8:16] = True
    np.testing.assert_array_equal(by_name["a/x000064_y000000"], wanted)
    assert by_name["b/x000000_y000000"] is None
    assert [case.label for case in cases] == [1, 1, 0, 0, 0, 0, *[None] * 6]


def test_sides_go_by_slide(tmp_path: Path) -> None:
    for number in range(6):
        save_slide(tmp_path / f"{number}.svs", glass(2 * SIDE, 2 * SIDE, (0, 0, 128, 128)))
    cases: Cases = load_cases(tmp_path, slicing=SLICING, validation=0.2, test=0.2)
    sides: dict[str | None, set[str | None]] = {}
    for case in cases:
        sides.setdefault(case.subject, set()).add(case.split)
    assert len(sides) == 6
    assert all(len(found) == 1 for found in sides.values())
    assert any("identical images on two sides" in note for note in cases.notes)
