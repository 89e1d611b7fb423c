"""Studies carried out: what a table has, what is not run again, what fails alone, and where jobs may run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from command_line import SCRIPT
from dask_cluster import dask_cluster
from sanoscope.errors import DataError, OptionError
from sanoscope.report.study_content import StudyContent
from sanoscope.studies.budget import Budget
from sanoscope.studies.runner import Runner
from study_files import declared, quiet, row, study_of, tissue, written

TRIVIAL = {"mean intensity", "detail", "per-pixel z-map", "PCA residual", "predict all abnormal"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tissue(tmp_path_factory.mktemp("phantoms") / "patches")


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyContent]:
    out = tmp_path_factory.mktemp("studies") / "done"
    return out, quiet(out).carry_out(study_of(declared(data)))


def numbers(content: StudyContent) -> str:
    """All that does not depend on how fast the machine is."""
    timeless = [
        [replace(row, training_seconds=None, scoring_milliseconds=None) for row in section.rows]
        for section in content.sections
    ]
    return json.dumps([[repr(row) for row in rows] for rows in timeless])


def files(out: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in (out / "jobs").glob("*.json")}


# ------------------------------------------------------------ what a table has


def test_every_method_has_its_rows_and_trivial_ones_are_beside_them(done: tuple[Path, StudyContent]) -> None:
    out, content = done
    names = [row.name for row in content.sections[0].rows]
    assert names[:3] == ["plain", "plain, mse", "wide"]
    assert set(names[3:]) == TRIVIAL
    assert content.jobs == (4, 4)
    assert not content.failures
    assert {path.name for path in out.iterdir()} == {"jobs", "study.json", "report.html"}
    assert StudyContent.from_json(json.loads((out / "study.json").read_text())) == content
    assert "predict all abnormal" in (out / "report.html").read_text()


def test_values_are_those_of_the_stored_scores(done: tuple[Path, StudyContent]) -> None:
    out, content = done
    stored = [json.loads(file.read_text()) for file in (out / "jobs").glob("*.json")]
    plain = [one["result"] for one in stored if one["depends on"]["options"]["network.latent"] == 4]
    areas = [roc_auc_score(one["labels"], one["rows"][0]["scores"]) for one in plain]
    cell = row(content, "plain").cells["auroc"]
    assert cell.value == pytest.approx(np.mean(areas))
    assert cell.deviation == pytest.approx(np.std(areas, ddof=1))
    draws = np.mean([np.array(one["rows"][0]["draws"]["auroc"], float) for one in plain], axis=0)
    assert (cell.low, cell.high) == pytest.approx(tuple(np.nanquantile(draws, [0.025, 0.975])), abs=1e-4)


def test_rows_tell_what_they_took_and_how_they_compare(done: tuple[Path, StudyContent]) -> None:
    plain, wide = row(done[1], "plain"), row(done[1], "wide")
    assert wide.parameters is not None
    assert plain.parameters is not None
    assert wide.parameters > plain.parameters
    assert plain.comparison is None
    assert wide.comparison is not None
    assert wide.cells["auroc"].value is not None
    assert wide.comparison.difference == pytest.approx(wide.cells["auroc"].value - (plain.cells["auroc"].value or 0))
    assert 0 < (wide.comparison.p or 0) <= (wide.comparison.p_adjusted or 0) <= 1
    assert wide.comparison.delong_p is not None
    assert plain.rank is not None
    assert plain.jobs == wide.jobs == 2
    assert plain.training_seconds is not None
    assert plain.scoring_milliseconds is not None


# ------------------------------------------------------------ what is not run again


def test_what_is_done_is_not_run_again(done: tuple[Path, StudyContent], data: Path) -> None:
    out, content = done
    before, said = files(out), list[str]()
    again = quiet(out, said).carry_out(study_of(declared(data)))
    assert again == content
    assert files(out) == before
    assert "jobs: 4, 4 of them done already" in said
    assert not any(line.startswith("[") for line in said)


def test_a_further_seed_is_all_that_is_run_and_other_names_cost_nothing(
    done: tuple[Path, StudyContent], data: Path, tmp_path: Path
) -> None:
    shutil.copytree(done[0], tmp_path / "copy")
    methods = declared(data)["methods"]
    methods[0]["name"] = "renamed"
    said: list[str] = []
    changed = declared(data, seeds=[0, 1, 2], methods=methods, reference="wide")
    content = quiet(tmp_path / "copy", said).carry_out(study_of(changed))
    assert "jobs: 6, 4 of them done already" in said
    assert row(content, "renamed").jobs == 3
    assert row(content, "wide").comparison is None


def test_the_same_study_gives_the_same_table_whatever_runs_it(
    done: tuple[Path, StudyContent], data: Path, tmp_path: Path
) -> None:
    two = quiet(tmp_path / "two", runner=Runner(processes=2)).carry_out(study_of(declared(data)))
    assert numbers(two) == numbers(done[1])


def test_another_budget_is_another_result(done: tuple[Path, StudyContent], data: Path, tmp_path: Path) -> None:
    budget = Budget(epochs=0.5, data=0.5, seeds=1)
    content = quiet(tmp_path / "half", budget=budget).carry_out(study_of(declared(data)))
    assert content.budget == "50 % of the training's length, 50 % of the training images, 1 of 2 seeds"
    assert content.jobs == (2, 2)
    assert content.sections[0].sides != done[1].sections[0].sides
    stored = json.loads(next((tmp_path / "half" / "jobs").glob("*.json")).read_text())
    assert stored["depends on"]["options"]["training.epochs"] == 1


def test_a_killed_study_goes_on_where_it_stopped(done: tuple[Path, StudyContent], data: Path, tmp_path: Path) -> None:
    file, out = written(tmp_path, declared(data)), tmp_path / "killed"
    command = [SCRIPT, "study", file, "--out", out, "--device", "cpu", "--no-estimate"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: len(files(out)) >= 1)
        process.send_signal(signal.SIGKILL)
    before = files(out)
    assert 1 <= len(before) < 4
    assert not (out / "study.json").exists()
    said: list[str] = []
    content = quiet(out, said).carry_out(study_of(declared(data)))
    assert f"jobs: 4, {len(before)} of them done already" in said
    assert {name: changed for name, changed in files(out).items() if name in before} == before
    assert numbers(content) == numbers(done[1])


def test_a_dask_cluster_that_loses_a_worker_gives_the_same_table(
    done: tuple[Path, StudyContent], data: Path, tmp_path: Path
) -> None:
    file, out = written(tmp_path, declared(data)), tmp_path / "cluster"
    environment = {"OMP_NUM_THREADS": "1", "SANOSCOPE_CACHE": os.environ["SANOSCOPE_CACHE"]}
    with dask_cluster(tmp_path / "workers", environment=environment) as cluster:
        command = [SCRIPT, "study", file, "--out", out, "--device", "cpu", "--no-estimate"]
        command += ["--scheduler", cluster.address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            until(lambda: len(files(out)) >= 1)
            cluster.workers[0].kill()
            _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    content = StudyContent.from_json(json.loads((out / "study.json").read_text()))
    assert content.jobs == (4, 4)
    assert numbers(content) == numbers(done[1])


def until(happened: Callable[[], bool], seconds: float = 120.0) -> None:
    ends = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends
        time.sleep(0.02)


# ------------------------------------------------------------ what fails


def test_a_job_that_fails_is_reported_and_the_rest_goes_on(data: Path, tmp_path: Path) -> None:
    methods = [
        declared(data)["methods"][0],
        {"name": "without weights", "recipe": "deep-knn", "options": {"network.weights": str(tmp_path / "no.pth")}},
    ]
    content = quiet(tmp_path / "out").carry_out(study_of(declared(data, methods=methods, seeds=[0])))
    assert content.jobs == (1, 2)
    (job, reason), *_ = content.failures
    assert job == "without weights on patches, seed 0"
    assert reason == f"{tmp_path / 'no.pth'}: no such file of weights"
    assert row(content, "without weights").failed == (f"seed 0: {reason}",)
    assert row(content, "without weights").cells["auroc"].value is None
    assert row(content, "plain").cells["auroc"].value is not None


def test_nothing_at_all_is_an_error_with_the_first_reason(data: Path, tmp_path: Path) -> None:
    methods = [{"recipe": "deep-knn", "options": {"network.weights": str(tmp_path / "no.pth")}}]
    study = study_of(declared(data, methods=methods, reference=None, seeds=[0]))
    with pytest.raises(DataError, match="no such file of weights"):
        quiet(tmp_path / "out").carry_out(study)


def test_a_folder_of_something_else_is_left_alone(done: tuple[Path, StudyContent], data: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OptionError, match="something other than a study"):
        quiet(tmp_path).carry_out(study_of(declared(data)))
    with pytest.raises(OptionError, match="has the study 'two-methods'"):
        quiet(done[0]).carry_out(study_of(declared(data, name="another")))


def test_an_option_for_all_must_be_one_of_a_method(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--set network\.latend"):
        quiet(tmp_path / "out", set_for_all={"network.latend": 3}).carry_out(study_of(declared(data)))
