"""The README's promises: its examples run as they are written, and its table lists what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sanoscope import RECIPES
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.recipe import with_numbers
from sanoscope.studies.parsing import parse_study
from sanoscope.studies.sources import AtPaths

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    histology_phantoms(subjects=6, images_per_subject=6, size=32, seed=2).save(tmp_path / "patches")
    return tmp_path


def test_python_examples(patches: Path) -> None:
    subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", "".join(blocks("python"))], cwd=patches, check=True
    )
    assert "<html" in (patches / "report.html").read_text()
    assert (patches / "groups.csv").exists()
    assert "<html" in (patches / "comparison" / "report.html").read_text()


def test_the_example_of_a_study_is_one(tmp_path: Path) -> None:
    (tmp_path / "slices").mkdir()
    (content,) = blocks("yaml")
    study = parse_study(with_numbers(yaml.safe_load(content)), "README", AtPaths(tmp_path))
    assert len(study.rows) == 1 + 3 * 4


def test_command_line_example(patches: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", "-e", "-c", blocks("bash")[0]], cwd=patches, check=True, env={**os.environ, "PATH": path})
    assert {"scores.csv", "findings.json", "report.html", "metrics.json", "maps", "overlays"} <= {
        file.name for file in (patches / "findings").iterdir()
    }


def test_every_recipe_is_in_the_table() -> None:
    rows = re.findall(r"^\| ((?:`[a-z0-9-]+`(?:, )?)+) \|", README, re.MULTILINE)
    assert set(RECIPES) == {name for row in rows for name in re.findall(r"[a-z0-9-]+", row)}


def test_only_existing_options_are_named() -> None:
    options = {option for recipe in RECIPES.values() for option in recipe.options}
    named = set(re.findall(r"\b(?:network|preparation|training|scoring|decision|objective|data)\.[a-z_]+(?==)", README))
    assert named
    assert named <= options
