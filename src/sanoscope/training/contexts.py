"""What surrounds a training: a place for its best weights, and quiet."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def kept_in(folder: Path | None) -> Iterator[Path]:
    """Where the best weights are kept while training: the run's folder, or one for the time being."""
    if folder:
        yield folder
    else:
        with tempfile.TemporaryDirectory() as passing:
            yield Path(passing)


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """Leave out what Lightning says about things that are as we want them."""
    loggers = {name: logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")}
    levels = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            # Of several processes: channels-last weights of one channel, which have two layouts that are the same.
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            yield
    finally:
        for name, level in levels.items():
            loggers[name].setLevel(level)
