"""Fixtures that every test may use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

# Before anything imports torch: tests run side by side, and threads that wait for a core spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Fixtures that outlive one test decode into this; single tests get a folder of their own below.
_cache = tempfile.TemporaryDirectory(prefix="sanoscope-tests-", ignore_cleanup_errors=True)
os.environ["SANOSCOPE_CACHE"] = _cache.name
os.environ["SANOSCOPE_PSEUDONYM_KEY"] = "of the tests"  # so that no key is made for the user

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real collections; the test is skipped where there is none."""
    folder = Path(os.environ.get("SANOSCOPE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real images at {folder}; set SANOSCOPE_DATA to their folder")
    return folder.resolve()


@pytest.fixture(scope="session")
def real_weights(real_data: Path) -> Callable[[str], Path]:
    """Where a file of published weights is, by its name; the test is skipped where it is not there."""

    def file_of(name: str) -> Path:
        file = real_data.parent / "weights" / name
        if not file.exists():
            pytest.skip(f"no weights at {file}; put the published file there")
        return file

    return file_of


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test decodes into a cache of its own, never into the user's."""
    monkeypatch.setenv("SANOSCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
