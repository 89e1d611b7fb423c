"""``sanoscope cluster`` and ``sanoscope similar``, as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from command_line import SMALL, finished, sanoscope
from sanoscope.cases.phantoms import histology_phantoms

TINY = ("--epochs", 2, *SMALL)
CONV = ("--set", "network.widths=[4,8]", "--set", "network.latent=6", "--set", "training.batch_size=16")
SUBJECTS, EACH = 6, 8


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "patches"
    histology_phantoms(subjects=SUBJECTS, images_per_subject=EACH, size=40, seed=1).save(folder)
    return folder


@pytest.fixture(scope="module")
def grouped(tissue: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("groups") / "clusters"
    done = finished("cluster", "conv-vae", tissue, "--k", 3, "--out", out, "--largest-k", 4, *TINY, *CONV)
    assert f"report: {out / 'report.html'}" in done.out
    return out


def assignments(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "assignments.csv")


# ------------------------------------------------------------ cluster


def test_it_writes_what_it_promises(grouped: Path) -> None:
    names = {file.name for file in grouped.iterdir()}
    assert names == {"assignments.csv", "clusters.json", "clusters.safetensors", "model", "report.html"}
    table = assignments(grouped)
    assert len(table) == SUBJECTS * EACH
    assert set(table.cluster) == {0, 1, 2}
    assert table.cluster.value_counts().sort_index().is_monotonic_decreasing  # the largest is 0
    assert (table.distance <= table["distance to next"]).all()
    for column in ("name", "path", "subject", "label", "PCA 1", "PCA 2", "t-SNE 1", "t-SNE 2"):
        assert table[column].notna().all()
    stored = json.loads((grouped / "clusters.json").read_text())
    assert stored["sizes"] == table.cluster.value_counts().sort_index().tolist()
    assert stored["choice"]["numbers"] == [2, 3, 4]
    assert "NaN" not in (grouped / "clusters.json").read_text()
    page = (grouped / "report.html").read_text()
    assert "t-SNE" in page
    assert "data:image/png" in page


def test_labels_do_not_change_the_groups(tissue: Path, grouped: Path, tmp_path: Path) -> None:
    manifest = pd.read_csv(tissue / "manifest.csv")
    kept = [column for column in manifest if column in ("path", "subject")]
    shutil.copytree(tissue, tmp_path / "patches")
    manifest[kept].to_csv(tmp_path / "patches" / "manifest.csv", index=False)
    out = tmp_path / "out"
    done = finished("cluster", "conv-vae", tmp_path / "patches", "--k", 3, "--out", out, "--largest-k", 4, *TINY, *CONV)
    assert assignments(out).cluster.tolist() == assignments(grouped).cluster.tolist()
    assert "adjusted Rand index" not in done.out
    assert json.loads((out / "clusters.json").read_text())["match"] is None


def test_other_images_go_into_clusters_found_before(tissue: Path, grouped: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    finished("cluster", grouped, tissue, "--out", out)
    assert assignments(out).cluster.tolist() == assignments(grouped).cluster.tolist()
    few = tmp_path / "few"
    few.mkdir()
    first = assignments(grouped).iloc[0]
    shutil.copy(tissue / Path(first.path).relative_to(tissue), few / "one.png")
    finished("cluster", out, few, "--out", tmp_path / "one")
    assert assignments(tmp_path / "one").cluster.tolist() == [first.cluster]


def test_the_model_must_be_the_same(tissue: Path, grouped: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(grouped, copy)
    stored = json.loads((copy / "clusters.json").read_text())
    stored["encoder"]["checksums"] = {}
    (copy / "clusters.json").write_text(json.dumps(stored))
    error = sanoscope("cluster", copy, tissue, "--out", tmp_path / "out").error
    assert "is another model than the clusters" in error
    shutil.rmtree(copy / "model")
    assert (
        "model that clusters were found with is missing"
        in sanoscope("cluster", copy, tissue, "--out", tmp_path / "out").error
    )
    (copy / "clusters.safetensors").write_bytes(b"nothing")
    assert (
        "is not a folder that 'sanoscope cluster' wrote"
        in sanoscope("cluster", copy, tissue, "--out", tmp_path / "o").error
    )


@pytest.mark.parametrize("method", ["pixels", "mean-colour"])
def test_without_a_network(method: str, tissue: Path, tmp_path: Path) -> None:
    done = finished("cluster", method, tissue, "--k", "auto", "--largest-k", 3, "--out", tmp_path / "out")
    assert "adjusted Rand index with classes" in done.out
    finished("cluster", tmp_path / "out", tissue, "--out", tmp_path / "again")
    first, again = (assignments(tmp_path / name) for name in ("out", "again"))
    assert first.cluster.tolist() == again.cluster.tolist()
    choice = json.loads((tmp_path / "out" / "clusters.json").read_text())["choice"]
    assert first.cluster.nunique() == choice["suggested"]


@pytest.mark.parametrize("algorithm", ["mini-batch-k-means", "gaussian-mixture"])
def test_other_algorithms_on_a_fitted_model(algorithm: str, tissue: Path, grouped: Path, tmp_path: Path) -> None:
    model = grouped / "model"
    finished("cluster", model, tissue, "--algorithm", algorithm, "--scaling", "standard", "--out", tmp_path / "out")
    table = assignments(tmp_path / "out")
    shares = [column for column in table if column.startswith("probability of")]
    assert bool(shares) == (algorithm == "gaussian-mixture")
    if shares:
        np.testing.assert_allclose(table[shares].sum(axis=1), 1)
        assert (table[shares].to_numpy().argmax(1) == table.cluster).all()


def test_a_preset_of_a_model_is_taken_or_refused(tissue: Path, grouped: Path, tmp_path: Path) -> None:
    for source in (grouped, grouped / "model"):
        assert (
            "has no presets" in sanoscope("cluster", source, tissue, "--out", tmp_path / "out", "--preset", "x").error
        )


def test_folds_go_on_where_they_were(tissue: Path, grouped: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("cluster", "pixels", tissue, "--folds", 3, "--out", out, "--starts", 3)
    done = finished(*command)
    assert "Cross-validated, by subject:" in done.out
    assert any(line.startswith("Always abnormal") for line in done.out.splitlines())
    tables = json.loads((out / "clusters.json").read_text())["tables"]
    crossed = next(table for table in tables if table["title"].startswith("Cross-validated"))
    assert [row["title"] for row in crossed["rows"]] == ["Pixels", "Mean colour", "Always normal", "Always abnormal"]
    assert [row["kind"] for row in crossed["rows"]] == ["clusters", "trivial", "trivial", "trivial"]
    always = crossed["rows"][-1]["values"]
    prevalence = assignments(out).label.mean()
    assert always["pooled accuracy"]["mean"] == pytest.approx(prevalence)
    assert always["pooled f1"]["mean"] == pytest.approx(2 * prevalence / (1 + prevalence))
    files = {file: file.stat().st_mtime_ns for file in (out / "folds").iterdir()}
    assert len(files) == 6
    finished(*command, "--resume")
    assert files == {file: file.stat().st_mtime_ns for file in (out / "folds").iterdir()}


def test_resume_keeps_the_model_and_refuses_another(tissue: Path, grouped: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(grouped, out)
    before = (out / "model" / "weights.safetensors").stat().st_mtime_ns
    command = ("cluster", "conv-vae", tissue, "--k", 2, "--out", out, "--largest-k", 3, "--resume", *CONV, *SMALL)
    finished(*command, "--epochs", 2)
    assert (out / "model" / "weights.safetensors").stat().st_mtime_ns == before
    assert assignments(out).cluster.nunique() == 2
    assert "was trained with other settings" in sanoscope(*command, "--epochs", 3).error


def test_a_file_that_cannot_be_read_is_listed(tissue: Path, tmp_path: Path) -> None:
    shutil.copytree(tissue, tmp_path / "patches")
    broken = tmp_path / "patches" / pd.read_csv(tissue / "manifest.csv").path[3]
    broken.write_bytes(broken.read_bytes()[:60])
    done = sanoscope("cluster", "pixels", tmp_path / "patches", "--out", tmp_path / "out", "--largest-k", 2)
    assert done.code == 1
    assert f"not grouped: {broken}" in done.err
    assert len(assignments(tmp_path / "out")) == SUBJECTS * EACH - 1
    stored = json.loads((tmp_path / "out" / "clusters.json").read_text())
    assert [item["path"] for item in stored["unreadable"]] == [str(broken)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("conv-vea",), "did you mean 'conv-vae'?"),
        (("pixels", "--k", "0"), "clusters must be a whole number of at least 2"),
        (("pixels", "--k", "many"), "--k takes a number of clusters or 'auto', not 'many'"),
        (("pixels", "--k", "1000"), "1000"),
        (("pixels", "--algorithm", "k-mean"), "did you mean 'k-means'?"),
        (("pixels", "--folds", "5", "--by", "patient"), "cannot split by 'patient'"),
        (("pixels", "--folds", "3", "--naming", "best"), "naming"),
        (("pixels", "--supervised"), "--supervised needs --folds"),
        (("pixels", "--preset", "paper"), "has no presets"),
        (("pixels", "--set", "network.latent=3"), "has no option 'network.latent'"),
        (("anogan", "--preset", "papr"), "has no preset"),
        (("anogan", "--set", "network.latnt=3"), "did you mean 'network.latent'?"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], message: str, tissue: Path, tmp_path: Path) -> None:
    method, *others = arguments
    assert message in sanoscope("cluster", method, tissue, "--out", tmp_path / "out", *others).error


def test_folds_that_cannot_be_are_refused_before_training(tissue: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = sanoscope("cluster", "conv-vae", tissue, "--out", out, "--folds", SUBJECTS + 1, *TINY, *CONV)
    assert f"{SUBJECTS} subjects" in done.error
    assert not out.exists()


def test_bad_data_is_one_line(tissue: Path, tmp_path: Path) -> None:
    assert "no such file or folder" in sanoscope("cluster", "pixels", tmp_path / "no", "--out", tmp_path / "o").error
    (tmp_path / "something").mkdir()
    (tmp_path / "something" / "file").write_text("x")
    assert "exists already" in sanoscope("cluster", "pixels", tissue, "--out", tmp_path / "something").error
    alone = tmp_path / "alone"
    alone.mkdir()
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(alone / "one.png")
    assert "1" in sanoscope("cluster", "pixels", alone, "--out", tmp_path / "o").error


# ------------------------------------------------------------ similar


def test_the_nearest_images_of_one(tissue: Path, grouped: Path, tmp_path: Path) -> None:
    image = assignments(grouped).path.iloc[5]
    out = tmp_path / "out"
    done = finished("similar", grouped, image, tissue, "--count", 4, "--out", out)
    table = pd.read_csv(out / "similar.csv")
    assert table["rank"].tolist() == [1, 2, 3, 4]
    assert table.distance.is_monotonic_increasing
    assert image not in table.path.tolist()
    assert "similar.html" in done.out
    assert (out / "similar.html").read_text().count("data:image/png") == 5
    lines = [line.split() for line in done.out.splitlines()[2:6]]
    assert [line[-1] for line in lines] == table.name.tolist()


def test_images_of_other_subjects_only(tissue: Path, grouped: Path) -> None:
    table = assignments(grouped)
    row = table.iloc[5]
    done = finished("similar", grouped / "model", row.path, tissue, "--other-subjects", "--metric", "cosine")
    names = [line.split()[-1] for line in done.out.splitlines()[2:]]
    assert len(names) == 10
    assert row.subject not in set(table.set_index("name").subject[names])


def test_bad_queries_are_one_line(tissue: Path, grouped: Path, tmp_path: Path) -> None:
    image = assignments(grouped).path.iloc[0]
    assert "give one image" in sanoscope("similar", grouped, tissue, tissue).error
    assert "metric" in sanoscope("similar", grouped, image, tissue, "--metric", "manhattan").error
    foreign = tmp_path / "foreign.png"
    shutil.copy(image, foreign)
    assert "subject is not known" in sanoscope("similar", grouped, foreign, tissue, "--other-subjects").error
    foreign.write_bytes(b"no image")
    assert str(foreign) in sanoscope("similar", grouped, foreign, tissue).error
    assert "checksums.json: is missing" in sanoscope("similar", tmp_path, image, tissue).error
