"""Results on disk, so that what is done need not be done again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sanoscope.errors import ModelError
from sanoscope.provenance import digest


class ResultFolder:
    """A folder of JSON files, one for each result, whose name tells apart all that it depends on.

    With other settings, a result is another file, and the one with the former settings stays.

    Args:
        folder: Made where it does not exist; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def find(self, name: str, depends_on: Mapping[str, Any]) -> Any:
        """The result that was kept, as plain values, or None.

        Raises:
            ModelError: If its file cannot be read.
        """
        file = self.file(name, depends_on)
        if file is None or not file.exists():
            return None
        try:
            return json.loads(file.read_text())["result"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{file}: cannot be read ({error}); remove it to have it computed anew") from error

    def keep(self, name: str, depends_on: Mapping[str, Any], result: Any) -> None:
        """Write a result of plain values; its file appears whole or not at all."""
        file = self.file(name, depends_on)
        if file is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.name}.{os.getpid()}")
        unfinished.write_text(json.dumps({"depends on": depends_on, "result": result}))
        unfinished.replace(file)

    def file(self, name: str, depends_on: Mapping[str, Any]) -> Path | None:
        """Where a result is, or will be; None where nothing is kept."""
        if self.folder is None:
            return None
        return self.folder / f"{name}-{digest([json.dumps(depends_on, sort_keys=True)])[:8]}.json"
