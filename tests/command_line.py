"""The command line as a user types it: in this process, and in one of its own where its end is what is tested."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sanoscope.cli import main

SCRIPT = Path(sys.executable).with_name("sanoscope")
# What makes a training small; the arithmetic is named so that every machine does the same.
SMALL = ("--device", "cpu", "--set", "preparation.image_size=32", "--set", "training.precision=float32")


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that says what is wrong with the input."""
        assert self.code == 2, self
        *said, line = self.err.splitlines()
        assert line.startswith("error: ")
        assert not any(other.startswith("error: ") for other in said)
        return line.removeprefix("error: ")


def sanoscope(*arguments: object) -> Done:
    """Run a command in this process; what it does not expect is raised here."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["sanoscope", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
    return Done(code, out.getvalue(), err.getvalue())


def finished(*arguments: object) -> Done:
    """Run a command that must succeed."""
    done = sanoscope(*arguments)
    assert done.code == 0, done
    return done


def in_own_process(*arguments: object, cwd: Path | None = None) -> Done:
    """Run the installed script."""
    done = subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)
    return Done(done.returncode, done.stdout, done.stderr)
