"""Batches of prepared pictures in an order that depends on nothing but the seed and the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from sanoscope.preparation.pictures import Pictures


class Stored(NamedTuple):
    """A batch as it is kept.

    Attributes:
        pixels: ``(B, H, W, C)``.
        foreground: ``(B, H, W)`` bool; None where everything is.
        rows: Which of all pictures these are, ``(B,)``.
    """

    pixels: Tensor
    foreground: Tensor | None
    rows: Tensor


def derived_seed(*parts: int) -> int:
    """A seed for one use, from the run's seed and what the use is; equal parts give equal seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


class SeededBatches(Sampler[list[int]]):
    """Index lists of one epoch; Lightning tells the epoch, so a resumed training sees the same order.

    Args:
        count: Number of pictures.
        batch_size: Pictures in a batch. A last batch of a single picture joins the one before, because
            batch norm has no variance of one.
        seed: Of the run.
        shuffle: False keeps the order, for validation.
        drop_last: Leave out a last batch that is not full, other pictures' every epoch; a first one stays.
    """

    def __init__(self, count: int, batch_size: int, seed: int, shuffle: bool, drop_last: bool = False) -> None:
        self.count, self.batch_size, self.seed, self.shuffle = count, batch_size, seed, shuffle
        self.drop_last = drop_last
        self.epoch = 0

    @property
    def sampler(self) -> SeededBatches:
        """Where Lightning looks for ``set_epoch``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, left = divmod(self.count, self.batch_size)
        return max(whole + (left > 1 and not self.drop_last), 1)

    def __iter__(self) -> Iterator[list[int]]:
        # This is read when the first batch is asked for, not when the loader is made, which for the first epoch of a
        # run is before Lightning tells which epoch it is.
        order = np.arange(self.count)
        if self.shuffle:
            np.random.default_rng([self.seed, self.epoch]).shuffle(order)
        for number in range(len(self)):
            last = number == len(self) - 1 and not self.drop_last
            end = self.count if last else (number + 1) * self.batch_size
            yield order[number * self.batch_size : end].tolist()


class StoredPictures(Dataset[Stored]):
    """Pictures as a dataset that is asked for whole batches."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitems__(self, indices: list[int]) -> Stored:
        rows = np.asarray(indices)
        pixels, foreground = self.pictures.batch(rows)
        inside = None if foreground is None else torch.from_numpy(foreground)
        return Stored(torch.from_numpy(pixels), inside, torch.from_numpy(rows))

    def __getitem__(self, index: int) -> Stored:
        return self.__getitems__([index])


def _whole(batch: Any) -> Any:
    return batch


def batches(pictures: Pictures, order: SeededBatches) -> DataLoader[Stored]:
    """A loader of stored pixels ``(B, H, W, C)`` and foregrounds; no workers, as nothing is left to decode."""
    # The loader draws a number for its workers, even without any; not from the generator that the noise comes from.
    return DataLoader(StoredPictures(pictures), batch_sampler=order, collate_fn=_whole, generator=torch.Generator())
