"""Thousands of damaged files: each is read or refused in one line that names it, in bounded time and memory.

``SANOSCOPE_FUZZ_COPIES=100000 pytest tests/test_fuzz.py`` reads more of them. A copy is made again from its number:
``fuzz_worker.copies``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import fuzz_seeds
import fuzz_worker
from sanoscope.errors import DataError

COPIES = int(os.environ.get("SANOSCOPE_FUZZ_COPIES", "3200"))
DEATHS = 20  # after that many, something is broken throughout


def run(folder: Path, count: int, total: int) -> Counter[str]:
    """What became of all copies, by worker processes that are started anew when one dies."""
    counts: Counter[str] = Counter()
    first = 0
    for _ in range(DEATHS):
        command = [sys.executable, str(Path(fuzz_worker.__file__)), str(folder), str(count), str(first)]
        with (folder / "stderr").open("wb") as noise:
            code = subprocess.run(command, stderr=noise, check=False).returncode
        number, name, path = json.loads((folder / "now").read_text())
        written = folder / f"counts{first}.json"
        counts += Counter(json.loads(written.read_text()) if written.exists() else {})
        if code == 0:
            return counts
        counts[f"{name}\tthe process ended with {code} at {path}"] += 1
        first = number + 1
        if first >= total:
            return counts
    return counts


def faults(counts: Counter[str]) -> list[str]:
    """Everything but files that were read or refused as they should."""
    return [found for found in counts if not found.endswith(("\tread", "\trefused"))]


def test_damaged_files_are_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path(os.environ.get("SANOSCOPE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if real.is_dir():
        monkeypatch.setenv("SANOSCOPE_DATA", str(real))
    counts = run(tmp_path, COPIES, COPIES)
    assert not faults(counts)
    assert counts.total() == COPIES
    ends = Counter(found.rpartition("\t")[2] for found in counts.elements())
    assert min(ends["read"], ends["refused"]) > COPIES / 10
    refused = {name.partition("\t")[0] for name in counts if name.endswith("\trefused")}
    assert refused >= set(fuzz_seeds.seeds())


def test_files_that_ask_for_too_much_are_bounded(tmp_path: Path) -> None:
    bombs = fuzz_seeds.bombs()
    counts = run(tmp_path, 0, len(bombs))
    assert not faults(counts)
    harmless = {"npz of zeros", "nifti with 64 MB behind", "jpeg of 9000²", "dicom rle of more runs than rows"}
    assert {found for found in counts if found.endswith("\tread")} == {f"{name}\tread" for name in harmless}
    assert {found.partition("\t")[0] for found in counts} == set(bombs)


@pytest.mark.parametrize("name", fuzz_seeds.seeds())
def test_every_seed_is_read_while_it_is_whole(name: str, tmp_path: Path) -> None:
    suffix, content = fuzz_seeds.seeds()[name]
    for beside, kind in (("beside.png", "png colour"), ("beside.tif", "tiff")):
        (tmp_path / beside).write_bytes(fuzz_seeds.seeds()[kind][1])
    path = tmp_path / f"copy{suffix}"
    path.write_bytes(content)
    fuzz_worker.meet(path)


def test_the_worker_tells_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_elsewhere(_: Path) -> None:
        raise DataError("some file: is damaged")

    def ask_for_too_much(path: Path) -> None:
        try:
            raise MemoryError
        except MemoryError as error:
            raise DataError(f"{path}: cannot be decoded") from error

    for broken, told in ((refuse_elsewhere, "does not name"), (ask_for_too_much, "memory"), (int, "TypeError")):
        monkeypatch.setattr(fuzz_worker, "meet", broken)
        assert fuzz_worker.outcome(tmp_path / "copy.png").startswith(("asked for more memory", told, f"{told}:"))
