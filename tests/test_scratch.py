"""Arrays in temporary files: as good as those in memory, and nothing is left of them."""

from __future__ import annotations

import gc
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sanoscope.errors import DataError
from sanoscope.preparation.cache import cache_folder
from sanoscope.preparation.scratch import scratch_array


def is_in_file(array: np.ndarray) -> bool:
    """Whether an array, or what it is a view of, is a mapped file."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32, np.float64])
def test_zeros_that_can_be_written(dtype: type) -> None:
    array = scratch_array((3, 5, 2), dtype)
    assert (array.shape, array.dtype) == ((3, 5, 2), np.dtype(dtype))
    assert is_in_file(array)
    assert not array.any()
    array[1] = 1
    assert array.sum() == 10


def test_the_file_has_no_name_so_that_none_is_left_however_the_process_ends() -> None:
    array = scratch_array((3, 5), np.float32)
    array[:] = 7
    assert not list(cache_folder().iterdir())


def test_room_is_given_back_when_the_last_view_goes() -> None:
    mappings = Path("/proc/self/maps")
    if not mappings.exists():
        pytest.skip("the system does not tell what is mapped")

    def mapped() -> int:
        gc.collect()
        return sum(str(cache_folder()) in line for line in mappings.read_text().splitlines())

    array = scratch_array((4, 1000), np.float32)
    array[2] = 3
    assert mapped() == 1
    view = array.reshape(2, 2, 1000)[1:, 0, ::2]
    del array
    assert mapped() == 1
    assert (view == 3).all()
    del view
    assert mapped() == 0


def test_room_is_taken_before_anything_is_written() -> None:
    """A disk that is full when a page of the file is written would end the process."""
    opened = Path("/proc/self/fd")
    if not hasattr(os, "posix_fallocate") or not opened.exists():
        pytest.skip("the system cannot take room, or does not tell")
    array = scratch_array((1000, 1000), np.float32)
    files = [link for link in opened.iterdir() if link.is_symlink() and str(cache_folder()) in str(link.readlink())]
    assert [link.stat().st_size for link in files] == [array.nbytes]
    assert files[0].stat().st_blocks * 512 >= array.nbytes


def test_a_limit_on_files_is_told_before_anything_is_written() -> None:
    """A process of its own, as the limit cannot be taken back."""
    pytest.importorskip("resource")
    script = """
import resource
from sanoscope.errors import DataError
from sanoscope.preparation.scratch import scratch_array
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
scratch_array((2**18,), "float32")[:] = 1
try:
    scratch_array((2**18 + 1,), "float32")
except DataError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "maps cannot be kept there" in done.stdout
    assert "set SANOSCOPE_CACHE to a folder with more room" in done.stdout


def test_more_than_any_disk_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cache_folder()
    with pytest.raises(DataError, match=rf"^{folder}: .* GiB of maps cannot be kept there .*; set SANOSCOPE_CACHE"):
        scratch_array((2**59,), np.float64)
    assert not list(folder.iterdir())
    (tmp_path / "file").touch()
    monkeypatch.setenv("SANOSCOPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="SANOSCOPE_CACHE"):
        scratch_array((4,), np.float32)
