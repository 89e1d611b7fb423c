"""What the command line says before any work: help, version, recipes, and how it ends on a mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from command_line import finished, in_own_process, sanoscope
from sanoscope import RECIPES, __version__
from sanoscope.errors import OptionError

VERBS = ("demo", "inspect", "fit", "calibrate", "score", "evaluate", "select", "cluster", "similar")
VERBS += ("compare", "study", "reproduce", "recipes")
HEAVY = ("torch", "lightning", "numpy", "pandas", "sklearn", "matplotlib", "scipy", "PIL", "jinja2")

LOOK_AROUND = f"""
import sys
from sanoscope.cli import main

for arguments in ["--help"], ["--version"], ["recipes"], *([verb, "--help"] for verb in {VERBS!r}):
    sys.argv = ["sanoscope", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, arguments
print("imported:", [name for name in {HEAVY!r} if name in sys.modules])
"""


def test_help_version_and_recipes_import_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK_AROUND], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported: []"


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_help_names_every_verb(arguments: list[str]) -> None:
    done = sanoscope(*arguments)
    assert done.code == (0 if arguments else 2)
    assert all(verb in done.out + done.err for verb in VERBS)


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        ("demo", ["--out", "--epochs", "--seed"]),
        ("fit", ["RECIPE", "DATA", "--out", "--set", "--config", "--epochs", "--split", "--normal", "--resume"]),
        ("inspect", ["DATA", "--out", "--json", "--sample", "--layout", "--normal", "--set"]),
        ("score", ["MODEL", "DATA", "--out", "--set", "--side", "--normal", "--no-maps", "--dicom", "--geojson"]),
        ("evaluate", ["DIR", "--subject", "--balanced", "--resamples", "--out"]),
        (
            "cluster",
            ["RECIPE|MODEL", "DATA", "--out", "--k", "--algorithm", "--folds", "--by", "--supervised"],
        ),
        ("similar", ["MODEL", "IMAGE", "DATA", "--count", "--metric", "--other-subjects", "--out"]),
        ("compare", ["RECIPE...", "DATA", "--on", "--grid", "--folds", "--seeds", "--reference", "--budget", "--jobs"]),
        ("study", ["FILE", "--out", "--budget", "--jobs", "--threads", "--scheduler", "--weights", "--estimate"]),
        ("reproduce", ["TABLE", "DATA", "--list", "--budget", "--pages", "--scheduler"]),
        ("recipes", ["NAME", "--verbose"]),
    ],
)
def test_help_of_a_verb_names_its_options(verb: str, options: list[str]) -> None:
    text = finished(verb, "--help").out
    assert [option for option in options if option not in text] == []


def test_version() -> None:
    assert finished("--version").out.strip() == __version__


def test_recipes_lists_every_recipe_with_its_title() -> None:
    lines = finished("recipes").out.splitlines()
    for recipe in RECIPES.values():
        assert any(recipe.name in line and recipe.title in line for line in lines)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_shows_every_option_with_default_and_source(name: str) -> None:
    text = finished("recipes", name).out
    rows = {line.split()[0]: " ".join(line.split()) for line in text.splitlines() if line.strip()}
    for option_name, option in RECIPES[name].options.items():
        default = "–" if option.default is None else str(option.default)
        assert rows[option_name].startswith(f"{option_name} {default} ")
        # Long cells go on in the next line, so that only their beginning is sure to stand here.
        assert option.help.split()[0] in rows[option_name]
        assert option.source.split()[0] in rows[option_name]
    for note in RECIPES[name].notes:
        assert note in " ".join(text.split())


def test_unknown_recipe_names_the_nearest() -> None:
    assert sanoscope("recipes", "conv-vea").error == "no recipe 'conv-vea'; did you mean 'conv-vae'?"


@pytest.mark.parametrize(
    "arguments",
    [
        ["fitt", "conv-vae", "data", "--out", "x"],
        ["fit", "conv-vae", "data"],
        ["fit", "conv-vae", "data", "--out", "x", "--epochs", "0"],
        ["fit", "conv-vae", "data", "--out", "x", "--seed", "-1"],
        ["fit", "conv-vae", "data", "--out", "x", "--sed", "1"],
        ["score", "model"],
        ["evaluate"],
    ],
)
def test_misuse_is_explained(arguments: list[str]) -> None:
    done = sanoscope(*arguments)
    assert done.code == 2
    assert "Usage" in done.err


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = in_own_process("fit", "conv-vae", "nowhere", "--out", "x", cwd=tmp_path)
    assert done.error == "nowhere: no such file or folder; check the path"
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_verbose_shows_where_a_mistake_was_found() -> None:
    done = in_own_process("recipes", "conv-vea", "--verbose")
    assert done.code == 2
    assert "Traceback" in done.err
    assert OptionError.__name__ in done.err
    assert done.err.splitlines()[-1] == "error: no recipe 'conv-vea'; did you mean 'conv-vae'?"
