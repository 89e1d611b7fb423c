"""Write docs/results/: a page and figures for each table, from the tables' own JSON, and the list of all.

    python tools/results.py [--check]

``sanoscope reproduce TABLE DATA --pages docs/results`` makes the JSON. ``--check`` writes nothing and fails if a page
is not what its table says.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sanoscope.studies.pages import pages_of

FOLDER = Path(__file__).parent.parent / "docs" / "results"


def main() -> None:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is not up to date")
    check = parser.parse_args().check
    pages = dict(pages_of(FOLDER))
    left_over = [file for file in FOLDER.iterdir() if file.suffix in (".md", ".svg") and file not in pages]
    if check:
        old = [file for file, text in pages.items() if not file.exists() or file.read_text(encoding="utf-8") != text]
        if old or left_over:
            sys.exit(f"not up to date: {', '.join(file.name for file in (*old, *left_over))}; run make results")
        return
    for file, text in pages.items():
        file.write_text(text, encoding="utf-8")
    for file in left_over:
        file.unlink()


if __name__ == "__main__":
    main()
