"""An inspection on the console: short tables."""

from __future__ import annotations

from typing import IO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sanoscope.inspection.facts import facts_of
from sanoscope.inspection.inspection import Inspection

MOST_REFUSED = 10
# Where output goes to no terminal, nobody says how wide it may be.
WIDTH = 110


def print_inspection(inspection: Inspection, file: IO[str]) -> None:
    """Write what was found as tables; all names of cases are in the JSON."""
    console = Console(file=file, width=None if file.isatty() else WIDTH, highlight=False)
    _print(console, inspection.source, ("", ""), [list(pair) for pair in facts_of(inspection).items()])
    for note in inspection.notes:
        console.print(Text(f"note: {note}"))
    suspicions = [[one.kind, one.message] for one in inspection.suspicions]
    _print(console, "Suspicious" if suspicions else "Nothing suspicious", ("", ""), suspicions)
    if inspection.refused:
        shown = [list(pair) for pair in inspection.refused[:MOST_REFUSED]]
        more = len(inspection.refused) - MOST_REFUSED
        title = f"Refused: {len(inspection.refused):,} of {inspection.read:,}"
        _print(console, title + (f", the first {MOST_REFUSED}" if more > 0 else ""), ("case", "reason"), shown)
    advice = [[one.option, one.value or "as the recipe has it", one.reason] for one in inspection.suggestions]
    if advice:
        _print(console, "Suggested", ("option", "value", "reason"), advice)
        console.print("\nA first training:")
        console.print(Text(inspection.command), soft_wrap=True)


def _print(console: Console, title: str, header: tuple[str, ...], rows: list[list[str]]) -> None:
    """A table without frames; what comes from outside is plain text, whatever brackets it has."""
    console.print(Text(f"\n{title}", "bold"))
    if not rows:
        return
    table = Table(*header, box=None, show_header=any(header), header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for first, *others in rows:
        table.add_row(Text(first, "cyan"), *(Text(one) for one in others))
    console.print(table)
