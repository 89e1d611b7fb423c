"""The page on speed says what the benchmarks measured."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "speed.md"
RESULTS = ROOT / "benchmarks" / "results"


def test_the_page_is_what_was_measured() -> None:
    subprocess.run([sys.executable, ROOT / "benchmarks" / "page.py", "--check"], check=True)


def test_the_page_names_the_command_of_every_result() -> None:
    named = re.findall(r"python (benchmarks/\w+\.py) --json (benchmarks/results/[\w-]+\.json)", PAGE.read_text())
    assert {ROOT / result for _, result in named} == set(RESULTS.glob("*.json"))
    for script, result in named:
        assert Path(script).stem == Path(result).stem.replace("-", "_")
        assert (ROOT / script).exists()


def test_no_result_carries_a_path_of_the_machine() -> None:
    for file in RESULTS.iterdir():
        assert not re.search(r'[\s"]/(?:[\w.-]+/)+', file.read_text()), file
