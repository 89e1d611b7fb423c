"""The pages of results say what their tables say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from sanoscope.studies.pages import kept_tables
from sanoscope.studies.reproduction import tables

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "results"


def test_the_pages_are_what_the_tables_say() -> None:
    subprocess.run([sys.executable, ROOT / "tools" / "results.py", "--check"], check=True)


def test_every_table_of_the_papers_is_there_at_a_stated_budget_and_nearly_whole() -> None:
    contents = {content.name: content for content in kept_tables(FOLDER)}
    for table in tables():
        content = contents[table.name]
        assert content.paper == table.paper
        assert content.budget is not None
        done, of = content.jobs
        assert done + len(content.failures) == of
        assert done >= 0.9 * of


def test_no_table_carries_a_path_of_the_machine() -> None:
    for file in FOLDER.iterdir():
        assert not re.search(r'[\s"]/(?:[\w.-]+/)+', file.read_text()), file
