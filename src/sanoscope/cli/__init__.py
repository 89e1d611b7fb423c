"""The command line: one module a verb, each thin, and nothing heavy imported before it is needed."""

from __future__ import annotations

import sys

import typer

from sanoscope.cli import demo, evaluate, fit, recipes, score
from sanoscope.errors import SanoscopeError

app = typer.Typer(
    name="sanoscope",
    help="Learn what healthy looks like from normal medical images, and judge new ones by it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("fit")(fit.fit)
app.command("score")(score.score)
app.command("evaluate")(evaluate.evaluate)
app.command("recipes")(recipes.recipes)

# Exit codes: what the user can mend, and what was only partly done.
BAD_INPUT, PARTLY_DONE, INTERRUPTED = 2, 1, 130


def main() -> None:
    """Run the command line; an error of the user's input is one line on stderr and exit code 2."""
    try:
        app()
    except SanoscopeError as error:
        if "--verbose" in sys.argv:
            import traceback

            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
