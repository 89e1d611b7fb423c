"""``sanoscope study`` and ``sanoscope compare``, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import finished, sanoscope
from study_files import TINY, brains, declared, tissue, written

ASSIGNED = [part for name, value in TINY.items() for part in ("--set", f"{name}={json.dumps(value)}")]
QUICK = (*ASSIGNED, "--device", "cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tissue(tmp_path_factory.mktemp("phantoms") / "patches")


def test_a_study_says_what_it_will_do_before_it_does_it(data: Path, tmp_path: Path) -> None:
    file, out = written(tmp_path, declared(data)), tmp_path / "out"
    done = finished("study", file, "--out", out, "--device", "cpu", "--budget", "seeds=1")
    said = done.err.splitlines()
    assert said[0] == "two-methods: two-methods"
    assert said[1] == "budget: 1 of 2 seeds"
    assert said[2] == "jobs: 2"
    assert said[3].startswith("expected time: about ")
    assert "from 2 short trainings" in said[3]
    assert said[4] == f"writes: {out / 'jobs'} (a file a job), {out / 'study.json'}, {out / 'report.html'}"
    assert said[5].startswith("[1 of 2] plain on patches, seed 0: auroc 0.")
    assert f"report: {out / 'report.html'}" in done.out
    assert "predict all abnormal" in done.out


def test_recipes_on_collections_without_a_file(data: Path, tmp_path: Path) -> None:
    other = tissue(tmp_path / "others")
    done = finished(
        *("compare", "conv-vae", "fc-vae", data, "--on", other, "--out", tmp_path / "out", "--no-estimate"),
        *("--grid", "network.latent=[2,4]", "--metric", "average_precision", "--reference", "fc-vae, network.latent=2"),
        *("--set", "training.epochs=1", "--set", "preparation.image_size=32", "--device", "cpu"),
    )
    table = json.loads((tmp_path / "out" / "study.json").read_text())
    assert [section["title"] for section in table["sections"]] == ["patches", "others"]
    names = [row["name"] for row in table["sections"][0]["rows"] if row["kind"] == "method"]
    assert names == [f"{recipe}, network.latent={latent}" for recipe in ("conv-vae", "fc-vae") for latent in (2, 4)]
    assert table["reference"] == "fc-vae, network.latent=2"
    assert list(table["metrics"]) == ["average_precision"]
    assert table["overall"] is not None
    assert "conv-vae, network.latent=4" in done.out


def test_maps_are_compared_where_asked_for(tmp_path: Path) -> None:
    folder = brains(tmp_path / "brains")
    done = finished(
        *("compare", "beta-vae", folder, "--measure", "pixels", "--metric", "auroc", "--out", tmp_path / "out"),
        *("--set", "training.epochs=1", "--set", "network.latent=4", "--no-estimate", "--device", "cpu"),
    )
    assert "signed z-map" in done.out


def test_jobs_that_fail_end_with_1_and_their_reasons(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "no.pth"
    done = sanoscope(
        *("compare", "conv-vae", "deep-knn", data, "--out", tmp_path / "out", "--no-estimate", *QUICK),
        *("--set", f"network.weights={file}"),
    )
    assert done.code == 1
    assert f"failed: deep-knn on patches, seed 0: {file}: no such file of weights" in done.err
    assert "jobs that failed: 1 of 2; the same command tries them again" in done.err
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "conv-vea", "DATA"], "did you mean 'conv-vae'?"),
        (["compare", "conv-vae", "nowhere"], "does not exist"),
        (["compare", "conv-vae", "DATA", "--grid", "network.latent=4"], "--grid network.latent: takes a list"),
        (["compare", "conv-vae", "DATA", "--measure", "voxels"], "measure 'voxels' is unknown"),
        (["compare", "conv-vae", "DATA", "--metric", "auc"], "metric 'auc' is unknown"),
        (["compare", "conv-vae", "DATA", "--folds", "1"], "folds=1 tests on nothing"),
        (["compare", "conv-vae", "DATA", "--set", "network.latnt=4"], "no method of this study has that option"),
        (["compare", "conv-vae", "DATA", "--budget", "much"], "--budget much"),
        (["compare", "conv-vae", "DATA", "--weights", "nowhere"], "--weights nowhere: is no folder"),
        (["compare", "conv-vae", "DATA", "--scheduler", "tcp://127.0.0.1:9"], "tcp://127.0.0.1:9"),
        (["compare", "conv-vae", "DATA", "--measure", "pixels"], "has a mask"),
        (["study", "nothing.yaml"], "nothing.yaml: cannot be read"),
    ],
)
def test_what_cannot_be_is_one_line(data: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    given = [str(data) if part == "DATA" else part for part in arguments]
    out = tmp_path / "out"
    done = sanoscope(*given, "--out", out, "--no-estimate", "--device", "cpu")
    assert said in done.error
    assert not (out / "study.json").exists()


def test_a_folder_with_one_class_on_the_test_side_has_no_auroc_but_a_table(data: Path, tmp_path: Path) -> None:
    from sanoscope.cases import load_cases, write_manifest

    cases = load_cases(data)
    kept = cases.where(lambda case: case.split != "test" or case.label == 0)
    write_manifest(kept, tmp_path / "normals.csv")
    done = finished("compare", "conv-vae", tmp_path / "normals.csv", "--out", tmp_path / "out", "--no-estimate", *QUICK)
    row = next(line for line in done.out.splitlines() if line.startswith("conv-vae"))
    assert row.split()[1] == "-"
