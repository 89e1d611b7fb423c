"""The command line: one module a verb, each thin, and nothing heavy imported before it is needed."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from sanoscope.cli import (
    calibrate,
    cluster,
    compare,
    demo,
    evaluate,
    fit,
    inspect,
    recipes,
    reproduce,
    score,
    select,
    similar,
    study,
)
from sanoscope.cli.options import BAD_INPUT
from sanoscope.errors import SanoscopeError

app = typer.Typer(
    name="sanoscope",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("inspect")(inspect.inspect)
app.command("fit")(fit.fit)
app.command("calibrate")(calibrate.calibrate)
app.command("score")(score.score)
app.command("evaluate")(evaluate.evaluate)
app.command("select")(select.select)
app.command("cluster")(cluster.cluster)
app.command("similar")(similar.similar)
app.command("compare")(compare.compare)
app.command("study")(study.study)
app.command("reproduce")(reproduce.reproduce)
app.command("recipes")(recipes.recipes)


def _show_version(wanted: bool) -> None:
    if wanted:
        from sanoscope.provenance import version

        typer.echo(version())
        raise typer.Exit


@app.callback()
def sanoscope(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Learn what healthy looks like from normal medical images, and judge new ones by it."""


def main() -> None:
    """Run the command line; an error that the user can mend is one line on stderr and exit code 2."""
    try:
        app()
    except SanoscopeError as error:
        _stop(str(error))
    except OSError as error:  # a full disk, a folder that may not be written
        _stop(": ".join(str(part) for part in (error.filename, error.strerror or error) if part is not None))


def _stop(message: str) -> NoReturn:
    """Say what is wrong, and under ``--verbose`` where it came up."""
    if "--verbose" in sys.argv:
        import traceback

        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    sys.exit(BAD_INPUT)
