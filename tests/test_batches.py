"""Batches: an order that follows from seed and epoch, every picture once, and the choice of a device."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sanoscope.cases.case import Case, Cases
from sanoscope.errors import OptionError
from sanoscope.preparation.decode import decode
from sanoscope.preparation.geometry import Channels, Crop, Foreground, Geometry, Resize
from sanoscope.preparation.pictures import Pictures
from sanoscope.training.batches import SeededBatches, batches, derived_seed
from sanoscope.training.devices import choose_device, has_bfloat16_units, mixed_precision

counts = st.integers(1, 300)
sizes = st.integers(2, 120)


def epoch(order: SeededBatches, number: int) -> list[list[int]]:
    order.set_epoch(number)
    return list(order)


@given(counts, sizes, st.integers(0, 2**32), st.integers(0, 100), st.booleans())
def test_every_picture_once_an_epoch(count: int, size: int, seed: int, number: int, shuffle: bool) -> None:
    order = SeededBatches(count, size, seed, shuffle)
    found = epoch(order, number)
    assert sorted(chain.from_iterable(found)) == list(range(count))
    assert len(found) == len(order)
    assert all(len(batch) == size for batch in found[:-1])
    assert len(found[-1]) <= size + 1
    assert all(type(index) is int for index in found[-1])
    if not shuffle:
        assert list(chain.from_iterable(found)) == list(range(count))


@given(counts, sizes)
def test_no_batch_of_one_unless_there_is_only_one(count: int, size: int) -> None:
    found = list(SeededBatches(count, size, 0, True))
    assert count == 1 or min(map(len, found)) >= 2


@pytest.mark.parametrize(
    ("count", "lengths"),
    [(1, [1]), (2, [2]), (4, [4]), (5, [5]), (6, [4, 2]), (8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2])],
)
def test_lengths_of_batches_of_four(count: int, lengths: list[int]) -> None:
    assert [len(batch) for batch in SeededBatches(count, 4, 0, True)] == lengths


@given(counts, sizes, st.integers(0, 100))
def test_last_batch_can_be_left_out(count: int, size: int, number: int) -> None:
    order = SeededBatches(count, size, 0, True, drop_last=True)
    found = epoch(order, number)
    assert len(found) == len(order) == max(count // size, 1)
    if count >= size:
        assert {len(batch) for batch in found} == {size}
    whole = list(chain.from_iterable(epoch(SeededBatches(count, size, 0, True), number)))
    flat = list(chain.from_iterable(found))
    assert flat == whole[: len(flat)]
    assert count >= size or len(flat) == count  # too few for one batch: they are it


def test_order_depends_on_seed_and_epoch_only() -> None:
    first = SeededBatches(50, 8, 3, True)
    earlier = [epoch(first, number) for number in range(3)]
    torch.manual_seed(123)
    second = SeededBatches(50, 8, 3, True)
    assert epoch(second, 2) == earlier[2]  # as in a training that is resumed there
    assert epoch(second, 2) == earlier[2]
    orders = [*earlier, epoch(SeededBatches(50, 8, 4, True), 0)]
    assert len({str(order) for order in orders}) == 4
    flat = list(chain.from_iterable(earlier[0]))
    assert list(chain.from_iterable(epoch(SeededBatches(50, 20, 3, True), 0))) == flat


def test_validation_keeps_its_order() -> None:
    order = SeededBatches(5, 3, 0, False)
    assert epoch(order, 0) == epoch(order, 7) == [[0, 1, 2], [3, 4]]


def test_derived_seeds_are_stable_and_distinct() -> None:
    # What NumPy's SeedSequence gives, which promises not to change.
    assert [derived_seed(0), derived_seed(0, 1), derived_seed(1, 0)] == [2968811710, 3964924996, 1835504127]
    seeds = {derived_seed(seed, number) for seed in range(20) for number in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**32 for seed in seeds)


@pytest.fixture
def pictures() -> Pictures:
    """Eleven pictures; the foreground of each is the pixel of its number."""
    images = np.zeros((11, 4, 4, 1), np.uint8)
    for i, image in enumerate(images):
        image.flat[i] = 100 + i
    steps = Geometry((Channels(), Foreground("nonzero"), Crop(), Resize(4)))
    return decode(Cases(Case(str(i), pixels=image) for i, image in enumerate(images)), steps)


@pytest.mark.parametrize("shuffle", [False, True])
def test_loader_gives_whole_batches(pictures: Pictures, shuffle: bool) -> None:
    loader = batches(pictures, SeededBatches(11, 4, 5, shuffle))
    found = list(loader)
    assert len(found) == len(loader) == 3
    assert [batch.pixels.shape for batch in found] == [(4, 4, 4, 1), (4, 4, 4, 1), (3, 4, 4, 1)]
    numbers = []
    for pixels, foreground, _ in found:
        assert foreground is not None
        assert pixels.dtype == torch.uint8
        assert torch.equal(pixels[..., 0] > 0, foreground)
        numbers += (pixels.amax((1, 2, 3)) - 100).tolist()
    assert numbers == list(chain.from_iterable(SeededBatches(11, 4, 5, shuffle)))
    assert [row for batch in found for row in batch.rows.tolist()] == numbers


def test_loader_asks_its_order_for_the_epoch(pictures: Pictures) -> None:
    loader = batches(pictures, SeededBatches(11, 4, 5, True))
    loader.batch_sampler.sampler.set_epoch(1)  # type: ignore[union-attr]  # as Lightning does
    later = [batch.pixels for batch in loader]
    expected = epoch(SeededBatches(11, 4, 5, True), 1)
    for pixels, indices in zip(later, expected, strict=True):
        assert (pixels.amax((1, 2, 3)) - 100).tolist() == indices


def test_loader_without_foreground(pictures: Pictures) -> None:
    steps = Geometry((Channels(), Foreground(), Crop(), Resize(4)))
    loader = batches(decode(pictures.cases, steps), SeededBatches(11, 4, 0, True))
    assert all(batch.foreground is None for batch in loader)


def test_loader_leaves_the_global_generator_alone(pictures: Pictures) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    list(batches(pictures, SeededBatches(11, 4, 5, True)))
    assert torch.equal(torch.rand(1), expected)


def test_devices() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device() in ("cuda", "mps", "cpu")
    assert choose_device(choose_device()) == choose_device()
    with pytest.raises(OptionError, match="unknown device 'gpu'; one of auto, cuda, mps, cpu"):
        choose_device("gpu")


def test_devices_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    for device in ("cuda", "mps"):
        with pytest.raises(OptionError, match=f"'{device}' is not available here; use --device cpu"):
            choose_device(device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == choose_device("cuda") == "cuda"


@pytest.mark.parametrize("units", [False, True])
def test_mixed_precision(monkeypatch: pytest.MonkeyPatch, units: bool) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: units)
    assert has_bfloat16_units("cpu") is units
    assert not has_bfloat16_units("mps")
    assert mixed_precision("auto", "cpu") is units
    assert mixed_precision("bfloat16", "cpu")
    assert not mixed_precision("float32", "cpu")
