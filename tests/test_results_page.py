"""The page of results says what the runs say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_is_what_the_runs_say() -> None:
    subprocess.run([sys.executable, ROOT / "studies" / "write_results.py", "--check"], check=True)


def test_no_result_carries_a_path_of_the_machine() -> None:
    for file in (ROOT / "docs" / "results").glob("*.json"):
        assert not re.search(r'[\s"]/(?:[\w.-]+/)+', file.read_text()), file
