"""Slides that are open, as OpenSlide's handles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from sanoscope.errors import ImageError

CACHE_BYTES = 64 * 2**20
OPEN_SLIDES = 16  # handles that are kept; each holds a file and its directory of tiles


@cache
def library() -> Any:
    """The module ``openslide``.

    Raises:
        ImageError: It is not installed.
    """
    try:
        import openslide
    except (ImportError, OSError) as error:
        raise ImageError("slides are read by OpenSlide, which is not here; pip install 'sanoscope[wsi]'") from error
    return openslide


@lru_cache(maxsize=1)
def _cache(_process: int) -> Any:
    return library().OpenSlideCache(CACHE_BYTES)


def opened(path: Path) -> Any:
    """A handle on a slide, for any number of threads; the last ones are kept, a changed file is opened anew."""
    return _opened(path, path.stat().st_mtime_ns, os.getpid())


@lru_cache(maxsize=OPEN_SLIDES)
def _opened(path: Path, _changed: int, process: int) -> Any:
    """A handle of this process; one from before a fork would share its place in the file with the parent's."""
    slide = library().OpenSlide(path)
    slide.set_cache(_cache(process))
    return slide


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What OpenSlide says of a broken slide as an error that names the file; a handle that failed is not used again."""
    try:
        yield
    except ImageError as error:
        message = str(error)
        raise ImageError(message if message.startswith(f"{path}: ") else f"{path}: {message}") from error
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
    except Exception as error:
        _opened.cache_clear()
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: cannot be read as a slide ({reason}); check that the file is whole") from error
