"""The decoded cache: nothing is decoded twice, and whatever happens to it, pixels come out right."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from types import FrameType
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.readers import read_image
from sanoscope.errors import DataError
from sanoscope.preparation import decode as decode_module
from sanoscope.preparation import pictures as pictures_module
from sanoscope.preparation import sources as sources_module
from sanoscope.preparation import workers as workers_module
from sanoscope.preparation.cache import STALE_SECONDS, DecodedCache, cache_folder, content_key
from sanoscope.preparation.decode import decode
from sanoscope.preparation.geometry import Channels, Crop, Foreground, Geometry, Resize
from sanoscope.preparation.pictures import Form, Pictures

SIZE = 6


def geometry(foreground: str = "none", crop: str = "none", size: int = SIZE) -> Geometry:
    return Geometry((Channels("native"), Foreground(foreground), Crop(crop), Resize(size, "bicubic")))


def image(seed: int, shape: tuple[int, ...] = (9, 7, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(folder: Path, count: int, first: int = 0) -> Cases:
    """Small PNG files, each with other content."""
    folder.mkdir(exist_ok=True)
    for seed in range(first, first + count):
        Image.fromarray(image(seed)).save(folder / f"{seed:03}.png")
    return Cases(Case(path.stem, path) for path in sorted(folder.glob("*.png")))


def assert_right(pictures: Pictures, steps: Geometry) -> None:
    """The pictures are what reading and preparing their files one by one gives."""
    pixels, foreground = pictures.batch(np.arange(len(pictures)))
    for row, case in enumerate(pictures.cases):
        assert case.path is not None
        expected = steps.apply(read_image(case.path))
        np.testing.assert_array_equal(pixels[row], expected.pixels)
        assert pictures.traces[row] == expected.trace
        if expected.foreground is None:
            assert foreground is None
        else:
            assert foreground is not None
            np.testing.assert_array_equal(foreground[row], expected.foreground)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was decoded."""
    counts: Counter[str] = Counter()

    def counting(path: Path, content: bytes) -> np.ndarray:
        counts[path.name] += 1
        return read_image(path, content)

    monkeypatch.setattr(sources_module, "read_image", counting)
    return counts


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of four pictures, so that a few files make several."""
    monkeypatch.setattr(decode_module, "BLOCK_BYTES", 4 * SIZE * SIZE * 3)


def blocks(steps: Geometry) -> list[Path]:
    return sorted(DecodedCache(steps.to_json()).folder.glob("block-*"))


@pytest.mark.parametrize("foreground", ["none", "nonzero"])
def test_nothing_is_decoded_twice(tmp_path: Path, read: Counter[str], foreground: str) -> None:
    cases, steps = save(tmp_path / "images", 5), geometry(foreground)
    assert_right(decode(cases, steps), steps)
    assert sorted(read.values()) == [1] * 5
    assert_right(decode(cases, steps), steps)
    assert_right(decode(cases[[3, 1]], steps), steps)
    assert sorted(read.values()) == [1] * 5
    assert len(blocks(steps)) == 1


def test_only_what_is_new_is_decoded(tmp_path: Path, read: Counter[str]) -> None:
    steps = geometry()
    decode(save(tmp_path / "images", 3), steps)
    pictures = decode(save(tmp_path / "images", 2, first=3), steps)
    assert len(pictures) == 5
    assert_right(pictures, steps)
    assert set(read.values()) == {1}
    assert len(blocks(steps)) == 2


def test_content_counts_not_names(tmp_path: Path, read: Counter[str]) -> None:
    steps, cases = geometry(), save(tmp_path / "images", 2)
    decode(cases, steps)
    one, other = (case.path for case in cases)
    assert one is not None
    assert other is not None
    shutil.copy(one, tmp_path / "copy.png")
    copies = decode(Cases([Case("copy", tmp_path / "copy.png"), Case("again", tmp_path / "copy.png")]), steps)
    assert "copy.png" not in read
    assert copies.keys[0] == copies.keys[1]
    assert_right(copies, steps)
    Image.fromarray(image(77)).save(other)
    assert_right(decode(cases, steps), steps)
    assert read == {one.name: 1, other.name: 2}


def test_settings_count(tmp_path: Path, read: Counter[str]) -> None:
    cases = save(tmp_path / "images", 2)
    ways = [geometry(), geometry(size=5), geometry("nonzero"), geometry(crop="square")]
    for steps in (*ways, *ways):
        assert_right(decode(cases, steps), steps)
    assert set(read.values()) == {len(ways)}


def test_an_image_by_another_suffix_is_another_image(tmp_path: Path) -> None:
    steps, cases = geometry(), save(tmp_path / "images", 1)
    png, bmp = cases[0], Case("wrong", tmp_path / "wrong.bmp")
    assert png.path is not None
    shutil.copy(png.path, tmp_path / "wrong.bmp")
    for order in ([png, bmp], [bmp, png], [bmp], [png]):  # what is in the cache makes no difference
        pictures = decode(Cases(order), steps)
        assert [case.name for case in pictures.cases] == ["000"] * (png in order)
        assert [bad.case.name for bad in pictures.unreadable] == ["wrong"] * (bmp in order)
        assert all(bad.reason.startswith(f"{bmp}: ") for bad in pictures.unreadable)


def test_content_keys() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    distinct = [
        array,
        array.reshape(3, 2),
        array.astype(np.uint16),
        array.view(np.int8),
        array + 1,
        array.tobytes(),
        array.tobytes() + b"\0",
    ]
    keys = [content_key(content) for content in distinct] + [content_key(array.tobytes(), ".png")]
    assert len(set(keys)) == len(keys)
    assert content_key(array.T.copy().T) == content_key(array)
    assert content_key(array.tobytes()) == content_key(array.tobytes())


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SANOSCOPE_CACHE", str(tmp_path / "chosen"))
    assert cache_folder() == tmp_path / "chosen"
    monkeypatch.delenv("SANOSCOPE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "sanoscope"


@pytest.mark.usefixtures("small_blocks")
def test_unreadable_files_are_listed_and_the_rest_decoded(tmp_path: Path) -> None:
    good = save(tmp_path / "images", 9)
    assert good[0].path is not None
    whole = good[0].path.read_bytes()
    (tmp_path / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "same.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "image.xyz").write_bytes(whole)
    (tmp_path / "nan.tif").write_bytes(b"")
    tifffile.imwrite(tmp_path / "nan.tif", np.full((4, 4), np.nan, np.float32))
    files = ("truncated.png", "same.png", "empty.png", "text.png", "folder.png", "image.xyz", "nan.tif", "gone.png")
    bad = [Case(name.replace(".", "-"), tmp_path / name) for name in files] + [Case("nothing")]
    mixed = Cases([case for pair in zip(good, bad, strict=True) for case in pair])
    steps = geometry()
    for _ in range(2):  # the second time from the cache
        pictures = decode(mixed, steps)
        assert list(pictures.cases) == list(good)
        assert_right(pictures, steps)
        assert [unreadable.case for unreadable in pictures.unreadable] == bad
        for case, unreadable in zip(bad, pictures.unreadable, strict=True):
            assert unreadable.reason.startswith(f"{case}: ")
            assert len(unreadable.reason) > len(str(case)) + 4
            assert "\n" not in unreadable.reason
    reasons = {unreadable.case.name: unreadable.reason for unreadable in pictures.unreadable}
    assert "NaN" in reasons["nan-tif"]
    assert "No such file" in reasons["gone-png"]
    assert ".xyz" in reasons["image-xyz"]


def test_pictures_of_several_forms_keep_their_order(tmp_path: Path) -> None:
    images = [image(0), image(1, (9, 7)), image(2).astype(np.uint16) * 16, image(3), image(4, (9, 7)) / 255]
    cases = Cases(Case(str(i), pixels=pixels) for i, pixels in enumerate(images))
    steps = geometry()
    pictures = decode(cases, steps)
    eight, deep = Form("uint8", 3), Form("float32", 3)
    assert pictures.forms == [eight, Form("uint8", 1), deep, eight, Form("float32", 1)]
    for i, pixels in enumerate(images):
        expected = steps.apply(pixels.reshape(9, 7, -1)).pixels
        np.testing.assert_array_equal(pictures.subset([i]).batch([0])[0][0], expected)
    fitting = pictures.of_form(eight)
    assert [case.name for case in fitting.cases] == ["0", "3"]
    assert [bad.case.name for bad in fitting.unreadable] == ["1", "2", "4"]
    np.testing.assert_array_equal(fitting.batch([1])[0][0], steps.apply(images[3]).pixels)


@pytest.mark.parametrize(
    ("pixels", "stored"),
    [
        (image(0), image(0)),
        (image(0)[::-1, :, 1], image(0)[::-1, :, 1:2]),
        (image(0) > 100, np.where(image(0) > 100, 255, 0).astype(np.uint8)),
        (image(0).astype(np.int64) - 300, image(0).astype(np.float32) - 300),
        (image(0).astype(np.uint16), image(0).astype(np.float32)),
        (image(0) / 255, (image(0) / 255).astype(np.float32)),
        (image(0).astype(np.float16), image(0).astype(np.float32)),
    ],
)
def test_arrays_in_memory(pixels: np.ndarray, stored: np.ndarray) -> None:
    steps = geometry()
    pictures = decode(Cases([Case("array", pixels=pixels)]), steps)
    result = pictures.batch([0])[0][0]
    assert result.dtype == (np.uint8 if stored.dtype == np.uint8 else np.float32)
    np.testing.assert_array_equal(result, steps.apply(pixels_as_read(pixels)).pixels)
    exact = Geometry((*steps.steps[:3], Resize(7, "bicubic")))
    square = decode(Cases([Case("array", pixels=pixels[:7])]), exact)
    np.testing.assert_array_equal(square.batch([0])[0][0], stored[:7])
    assert pictures.source_sizes == [(9, 7)]


def pixels_as_read(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    return pixels * np.uint8(255) if pixels.dtype == bool else pixels


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((2, 3, 4, 5)), r"shape \(2, 3, 4, 5\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        (np.zeros((4, 4, 0)), r"shape \(4, 4, 0\)"),
        (np.array([["a"]]), "type <U1"),
        (np.zeros((2, 2), complex), "type complex128"),
        (np.array([[1.0, np.nan]]), "NaN or infinite"),
        (np.array([[1.0, -np.inf]]), "NaN or infinite"),
        (np.array([[1.0, 1e300]]), "NaN or infinite"),
    ],
)
def test_arrays_that_are_no_images(pixels: np.ndarray, reason: str) -> None:
    pictures = decode(Cases([Case("bad", pixels=pixels), Case("good", pixels=image(0))]), geometry())
    assert [case.name for case in pictures.cases] == ["good"]
    with pytest.raises(AssertionError, match=f"^bad: .*{reason}"):
        raise AssertionError(pictures.unreadable[0].reason)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("foreground", ["none", "bright"])
def test_batches_from_the_file_equal_those_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreground: str
) -> None:
    steps, cases = geometry(foreground), save(tmp_path / "images", 15)
    assert_right(decode(cases, steps), steps)
    assert len(blocks(steps)) == 4
    choices = [[0], [14, 3, 3, 7], list(range(15)), [-1, 0]]
    chosen = [np.array(choice) for choice in choices]
    in_memory = [decode(cases, steps).batch(choice) for choice in (*choices, *chosen)]
    subset = decode(cases, steps).subset([9, 2, 11]).batch([2, 0])
    monkeypatch.setattr(pictures_module, "IN_MEMORY_BYTES", 15 * SIZE * SIZE * 3 - 1)
    from_file = decode(cases, steps)
    for choice, (pixels, inside) in zip((*choices, *chosen), in_memory, strict=True):
        mapped_pixels, mapped_inside = from_file.batch(choice)
        np.testing.assert_array_equal(mapped_pixels, pixels)
        np.testing.assert_array_equal(mapped_inside, inside)
        assert mapped_pixels.dtype == pixels.dtype
    assert from_file._gathered is None
    monkeypatch.setattr(pictures_module, "IN_MEMORY_BYTES", 0)
    again = decode(cases, steps).subset([9, 2, 11]).batch([2, 0])
    for ours, theirs in zip(again, subset, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_threads_that_ask_at_once_gather_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, gathered = decode(save(tmp_path / "images", 20), geometry()), []
    start, gather = Barrier(8), pictures._gather

    def counting(where: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        gathered.append(len(where))
        return gather(where)

    def ask(row: int) -> np.ndarray:
        start.wait(60)
        return pictures.batch([row])[0][0]

    monkeypatch.setattr(pictures, "_gather", counting)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert gathered == [20]
    np.testing.assert_array_equal(answers, pictures.batch(range(8))[0])


def test_a_batch_is_a_copy(tmp_path: Path) -> None:
    pictures = decode(save(tmp_path / "images", 2), geometry())
    pictures.batch([0])[0][:] = 0
    assert_right(pictures, geometry())


@pytest.mark.usefixtures("small_blocks")
@settings(deadline=None, max_examples=10)
@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=10, unique=True), min_size=1, max_size=3))
def test_any_order_of_calls_gives_the_same_pictures(
    tmp_path_factory: pytest.TempPathFactory, calls: list[list[int]]
) -> None:
    steps = geometry("dark")
    shutil.rmtree(DecodedCache(steps.to_json()).folder)
    cases = save(tmp_path_factory.getbasetemp() / "ten", 10)
    for call in calls:
        pictures = decode(cases[call], steps)
        assert [case.name for case in pictures.cases] == [f"{number:03}" for number in call]
        assert_right(pictures, steps)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("threads_from", [0.0, 1e9], ids=["threads", "processes"])
def test_spread_work_gives_what_one_worker_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads_from: float
) -> None:
    cases = save(tmp_path / "images", 10)
    (tmp_path / "bad.png").write_text("no image")
    cases = Cases([*cases, Case("bad", tmp_path / "bad.png")])
    steps = geometry("nonzero")
    alone = decode(cases, steps, workers=1)
    shutil.rmtree(DecodedCache(steps.to_json()).folder)
    monkeypatch.setattr(workers_module, "WORTH_SPREADING_SECONDS", 0.0)
    monkeypatch.setattr(workers_module, "THREADS_FROM_SECONDS", threads_from)
    monkeypatch.setattr(decode_module, "CHUNK", 2)
    spread = decode(cases, steps, workers=2)
    assert len(blocks(steps)) == 3
    assert_right(spread, steps)
    assert spread.keys == alone.keys
    assert [bad.reason for bad in spread.unreadable] == [bad.reason for bad in alone.unreadable]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "pixels truncated": lambda block: os.truncate(block / "pixels.npy", 200),
    "pixels one byte short": lambda block: os.truncate(block / "pixels.npy", (block / "pixels.npy").stat().st_size - 1),
    "pixels empty": lambda block: os.truncate(block / "pixels.npy", 0),
    "pixels garbled": lambda block: (block / "pixels.npy").write_bytes(b"garbage" * 99),
    "pixels of other number": lambda block: np.save(block / "pixels.npy", np.zeros((2, SIZE, SIZE, 3), np.uint8)),
    "pixels gone": lambda block: (block / "pixels.npy").unlink(),
    "foreground gone": lambda block: (block / "foreground.npy").unlink(),
    "foreground empty": lambda block: os.truncate(block / "foreground.npy", 0),
    "foreground of other shape": lambda block: np.save(block / "foreground.npy", np.zeros((5, 2, 2), bool)),
    "index gone": lambda block: (block / "index.json").unlink(),
    "index truncated": lambda block: os.truncate(block / "index.json", 20),
    "index empty": lambda block: os.truncate(block / "index.json", 0),
    "index garbled": lambda block: (block / "index.json").write_bytes(b"\xff\xfe\x00"),
    "index of something else": lambda block: (block / "index.json").write_text("[1, 2]"),
    "index of nothing": lambda block: (block / "index.json").write_text("null"),
    "index of other types": lambda block: (block / "index.json").write_text(
        '{"keys": 1, "traces": 2, "foreground": true}'
    ),
    "index shorter": lambda block: (block / "index.json").write_text(
        json.dumps({"keys": ["a"], "traces": [[]], "foreground": True})
    ),
    "an empty folder": lambda block: [file.unlink() for file in block.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_block_is_decoded_again(tmp_path: Path, read: Counter[str], damage: str) -> None:
    cases, steps = save(tmp_path / "images", 5), geometry("bright")
    decode(cases, steps)
    (block,) = blocks(steps)
    DAMAGES[damage](block)
    assert_right(decode(cases, steps), steps)
    assert set(read.values()) == {2}
    assert_right(decode(cases, steps), steps)
    assert set(read.values()) == {2}


def test_what_a_killed_process_left_is_ignored_and_in_time_removed(tmp_path: Path) -> None:
    cases, steps = save(tmp_path / "images", 2), geometry()
    folder = DecodedCache(steps.to_json()).folder
    for name in ("writing-young", "writing-old"):
        (folder / name).mkdir()
        (folder / name / "pixels.npy").write_bytes(b"half")
    old = time.time() - STALE_SECONDS - 60
    os.utime(folder / "writing-old", (old, old))
    assert_right(decode(cases, steps), steps)
    assert [path.name for path in folder.glob("writing-*")] == ["writing-young"]


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = save(tmp_path / "images", 1)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SANOSCOPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"file.* cannot be kept there .*set SANOSCOPE_CACHE to another folder"):
        decode(cases, geometry())


def test_a_full_disk_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases, steps = save(tmp_path / "images", 1), geometry()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"No space left on device.*SANOSCOPE_CACHE"):
        decode(cases, steps)
    assert not list(DecodedCache(steps.to_json()).folder.iterdir())


START: Barrier


def share_start(barrier: Barrier) -> None:
    global START
    START = barrier


@pytest.fixture(scope="module")
def two_processes() -> Iterator[ProcessPoolExecutor]:
    """Two fresh processes that can start at one moment."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    with ProcessPoolExecutor(2, context, share_start, (barrier,)) as pool:
        yield pool


def decode_at_once(folder: Path, cache: str) -> list[bytes]:
    os.environ["SANOSCOPE_CACHE"] = cache
    decode_module.BLOCK_BYTES = 4 * SIZE * SIZE * 3
    cases = Cases(Case(path.stem, path) for path in sorted(folder.glob("*.png")))
    START.wait(60)
    pixels = decode(cases, geometry()).batch(np.arange(len(cases)))[0]
    return [picture.tobytes() for picture in pixels]


def test_two_processes_build_at_once(tmp_path: Path, two_processes: ProcessPoolExecutor) -> None:
    cases, cache = save(tmp_path / "images", 60), os.environ["SANOSCOPE_CACHE"]
    results = [two_processes.submit(decode_at_once, tmp_path / "images", cache) for _ in range(2)]
    expected = [geometry().apply(read_image(case.path)).pixels.tobytes() for case in cases if case.path]
    for result in results:
        assert result.result(60) == expected
    assert_right(decode(cases, geometry()), geometry())
    assert not list(DecodedCache(geometry().to_json()).folder.glob("writing-*"))


def in_fork(work: Callable[[], object]) -> int:
    """How a copy of this process ended: 0 when the work was done, or the signal, negative."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at(moment: int, work: Callable[[], object]) -> Callable[[], object]:
    """Work that is killed at some function call or return of its main thread; the number of them is printed."""
    seen = 0

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    def run() -> None:
        sys.setprofile(watch)
        try:
            work()
        finally:
            sys.setprofile(None)
        Path(os.environ["SANOSCOPE_CACHE"], "moments").write_text(str(seen))

    return run


def kill_often(folder: Path, cache: Path, times: int) -> list[tuple[int, int, int, int]]:
    """For some moments: the moment, how the decoding ended, how the one after it did, and blocks found between."""
    decode_module.BLOCK_BYTES = 4 * SIZE * SIZE * 3
    cases = Cases(Case(path.stem, path) for path in sorted(folder.glob("*.png")))
    steps = geometry("bright")

    def work() -> None:
        decode(cases, steps, workers=1)

    def check() -> None:
        pictures = decode(cases, steps, workers=1)
        assert len(pictures) == len(cases)
        assert_right(pictures, steps)

    os.environ["SANOSCOPE_CACHE"] = str(cache / "whole")
    assert in_fork(killed_at(-1, work)) == 0
    moments = int((cache / "whole" / "moments").read_text())
    outcomes = []
    for moment in sorted(random.Random(0).sample(range(1, moments), times)):
        os.environ["SANOSCOPE_CACHE"] = str(cache / str(moment))
        killed = in_fork(killed_at(moment, work))
        found = len(list((cache / str(moment)).glob("*/block-*")))
        outcomes.append((moment, killed, in_fork(check), found))
    return outcomes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, to be killed often and start quickly")
def test_killed_at_any_moment(tmp_path: Path, two_processes: ProcessPoolExecutor) -> None:
    save(tmp_path / "images", 10)
    outcomes = two_processes.submit(kill_often, tmp_path / "images", tmp_path, 40).result(120)
    assert {killed for _, killed, _, _ in outcomes} == {-signal.SIGKILL}
    assert {checked for _, _, checked, _ in outcomes} == {0}
    assert {found for _, _, _, found in outcomes} >= {0, 1, 2}  # before, between and after blocks


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_changes_between_two_looks_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    cases, steps = save(tmp_path / "images", 2), geometry()
    path = cases[0].path
    assert path is not None

    def hash_then_change(*arguments: Any) -> Any:
        found = hash_all(*arguments)
        if replaced:
            Image.fromarray(image(50)).save(path)
        else:
            path.unlink()
        return found

    hash_all = decode_module._hash_all
    monkeypatch.setattr(decode_module, "_hash_all", hash_then_change)
    pictures = decode(cases, steps)
    assert list(pictures.cases) == [cases[1]]
    expected = "changed while it was being read" if replaced else "No such file"
    assert pictures.unreadable[0].reason.startswith(f"{path}: ")
    assert expected in pictures.unreadable[0].reason
