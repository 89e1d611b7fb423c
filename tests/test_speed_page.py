"""The page on speed says what the benchmarks measured."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_the_page_is_what_was_measured() -> None:
    subprocess.run([sys.executable, BENCHMARKS / "page.py", "--check"], check=True)


def test_no_figure_carries_a_path_of_the_machine() -> None:
    for file in (BENCHMARKS / "results").glob("*.json"):
        assert not re.search(r'[\s"]/(?:[\w.-]+/)+', file.read_text()), file
