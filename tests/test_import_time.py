"""What starts light, and stays light."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "lightning", "numpy", "pandas", "sklearn", "scipy", "matplotlib", "PIL", "rich.table")


STATEMENTS = ("import sanoscope", "import sanoscope.cli", "from sanoscope.recipes import RECIPES")


@pytest.mark.parametrize("statement", STATEMENTS)
def test_nothing_heavy_is_imported(statement: str) -> None:
    code = f"{statement}; import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_everything_public_is_there() -> None:
    import sanoscope

    for name in sanoscope.__all__:
        assert getattr(sanoscope, name) is not None
    assert sanoscope.__version__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sanoscope.nothing
