"""The decoded cache: pictures after their geometry, as memory-mapped arrays keyed by content and settings.

A folder per settings holds *blocks*, each a memory-mapped array with an index of content hashes. A block is
written under a temporary name and renamed when it is complete and on disk, so whatever happens to the process,
nothing half-written is ever read, and two processes that decode the same files only do some work twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sanoscope.errors import DataError

# Raise when reading or geometry changes what pixels come out, so that old entries are not used.
FORMAT = 2
# A temporary block this old was left behind by a process that is gone.
STALE_SECONDS = 24 * 3600

Trace = tuple[tuple[int, ...], ...]


def cache_folder() -> Path:
    """Where decoded images are kept: ``SANOSCOPE_CACHE``, or the user's cache folder. Safe to delete."""
    if chosen := os.environ.get("SANOSCOPE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sanoscope"


def content_key(content: bytes | np.ndarray, kind: str = "") -> str:
    """A hash of a file's bytes and its kind, such as ``.png``; or of an array's values, type and shape."""
    if isinstance(content, bytes):
        return hashlib.blake2b(content, digest_size=16, key=kind.encode()[:64]).hexdigest()
    form = f"{content.dtype.str}{content.shape}".encode()
    return hashlib.blake2b(np.ascontiguousarray(content).tobytes(), digest_size=16, key=form[:64]).hexdigest()


@dataclass(frozen=True)
class Block:
    """Decoded pictures that were written together.

    Attributes:
        pixels: ``(N, H, W, C)`` uint8 or float32, memory-mapped.
        foreground: ``(N, H, W)`` bool, or None where the settings find none.
        traces: The way back to the source grid, one per picture.
        rows: Row of each content key.
    """

    pixels: np.ndarray
    foreground: np.ndarray | None
    traces: list[Trace]
    rows: dict[str, int]


class DecodedCache:
    """The blocks of one choice of settings.

    Args:
        settings: Everything but the content that decides what a decoded picture looks like, as JSON.
        folder: Where all settings' folders live.
    """

    def __init__(self, settings: Any, folder: Path | None = None) -> None:
        key = hashlib.blake2b(json.dumps([FORMAT, settings], sort_keys=True).encode(), digest_size=8).hexdigest()
        self.folder = (folder or cache_folder()) / key
        with _mendable(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._remove_stale()

    def _remove_stale(self) -> None:
        for left in self.folder.glob("writing-*"):
            try:
                if time.time() - left.stat().st_mtime > STALE_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)
            except FileNotFoundError:  # its own process has just finished or removed it
                continue

    def blocks(self) -> list[Block]:
        """Every complete block; one that does not read as it was written is passed over."""
        found = []
        for folder in sorted(self.folder.glob("block-*")):
            try:
                found.append(self._open(folder))
            except (OSError, EOFError, ValueError, KeyError, TypeError):  # damaged from outside: decoded again
                continue
        return found

    def _open(self, folder: Path) -> Block:
        index = json.loads((folder / "index.json").read_text())
        pixels = np.load(folder / "pixels.npy", mmap_mode="r")
        foreground = np.load(folder / "foreground.npy", mmap_mode="r") if index["foreground"] else None
        traces = [tuple(tuple(record) for record in trace) for trace in index["traces"]]
        foreground_fits = foreground is None or foreground.shape == pixels.shape[:3]
        if not len(pixels) == len(index["keys"]) == len(traces) or not foreground_fits:
            raise ValueError(f"{folder}: index and pixels disagree")
        return Block(pixels, foreground, traces, {key: row for row, key in enumerate(index["keys"])})

    def write(self, pixels: np.ndarray, foreground: np.ndarray | None, traces: list[Trace], keys: list[str]) -> None:
        """Add a block.

        Args:
            pixels: ``(N, H, W, C)``.
            foreground: ``(N, H, W)`` bool, or None.
            traces: One per picture.
            keys: Content keys, one per picture.
        """
        name = uuid.uuid4().hex
        unfinished = self.folder / f"writing-{name}"
        index = {"keys": keys, "traces": traces, "foreground": foreground is not None}
        try:
            with _mendable(self.folder):
                unfinished.mkdir(parents=True)
                _save(unfinished / "pixels.npy", pixels)
                if foreground is not None:
                    _save(unfinished / "foreground.npy", foreground)
                with (unfinished / "index.json").open("w") as file:
                    json.dump(index, file)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.rename(self.folder / f"block-{name}")
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _mendable(folder: Path) -> Iterator[None]:
    """Turn a full disk, or a folder that may not be written, into an error that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"{folder}: decoded images cannot be kept there ({reason}); set SANOSCOPE_CACHE to another folder"
        ) from error


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
