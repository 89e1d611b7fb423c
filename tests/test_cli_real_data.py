"""The command line on real images: a part of the histopathology patches, and small chest X-rays."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from sklearn.metrics import roc_auc_score

from command_line import finished

pytestmark = pytest.mark.real_data

QUICK = ("--device", "cpu", "--epochs", "1", "--set", "data.fraction=0.1")


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def auroc_of(findings: Path) -> float:
    """Of the method, as written; the same as scikit-learn's on the written table."""
    finished("evaluate", findings, "--resamples", "20")
    row = json.loads((findings / "metrics.json").read_text())["images"][0]
    value: float = row["evaluation"]["estimates"]["auroc"]["value"]
    table = table_of(findings)
    assert value == pytest.approx(roc_auc_score([int(r["label"]) for r in table], [float(r["score"]) for r in table]))
    return value


def test_histopathology_by_its_manifest(real_data: Path, tmp_path: Path) -> None:
    with (real_data / "idc" / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    chosen = [row for split in ("train", "validation", "test") for row in rows if row["split"] == split][::12]
    manifest = tmp_path / "part.csv"
    with manifest.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(row | {"path": str(real_data / "idc" / row["path"])} for row in chosen)
    finished("fit", "conv-vae", manifest, "--out", tmp_path / "model", *QUICK[:4], "--set", "data.fraction=0.5")
    done = finished("score", tmp_path / "model", manifest, "--out", tmp_path / "findings", "--device", "cpu")
    sides = Counter(row["split"] for row in chosen)
    table = table_of(tmp_path / "findings")
    assert len(table) == sides["test"]
    assert f"the {sides['test']} images on the test side of the collection the model was trained on" in done.err
    assert {row["subject"] for row in table} == {row["subject"] for row in chosen if row["split"] == "test"}
    assert not any(int(row["seen_in_training"]) for row in table)
    for row in table[::20]:
        with Image.open(row["path"]) as image:
            width, height = image.size
        heatmap = tifffile.imread(tmp_path / "findings" / "maps" / f"{row['name']}.tiff")
        assert heatmap.shape == (height, width)
        assert np.isfinite(heatmap).all()
    assert 0 <= auroc_of(tmp_path / "findings") <= 1
    page = (tmp_path / "findings" / "report.html").read_text()
    assert "Most abnormal" in page


def test_histopathology_in_the_archives_own_tree(real_data: Path, tmp_path: Path) -> None:
    tree = tmp_path / "patches"
    for patient in ("8863", "8864", "8865", "8867"):
        for group in ("0", "1"):
            (tree / patient / group).mkdir(parents=True)
            for file in sorted((real_data / "idc" / patient / group).glob("*.png"))[:30]:
                (tree / patient / group / file.name).symlink_to(file)
    done = finished("fit", "conv-vae", tree, "--out", tmp_path / "model", *QUICK[:4], "--split", "subject")
    assert "4 subjects" in done.err.splitlines()[0]
    state = json.loads((tmp_path / "model" / "detector.json").read_text())
    assert state["provenance"]["data"]["layout"] == "breast-histopathology"
    finished("score", tmp_path / "model", tree, "--out", tmp_path / "findings", "--device", "cpu", "--no-maps")
    assert len({row["subject"] for row in table_of(tmp_path / "findings")}) == 1


def test_histopathology_in_groups(real_data: Path, tmp_path: Path) -> None:
    tree = tmp_path / "patches"
    for patient in ("8863", "8864", "8865", "8867"):
        for group in ("0", "1"):
            (tree / patient / group).mkdir(parents=True)
            for file in sorted((real_data / "idc" / patient / group).glob("*.png"))[:50]:
                (tree / patient / group / file.name).symlink_to(file)
    network = ("--set", "network.width=0.1", "--set", "training.batch_size=25", "--largest-k", "3", *QUICK[:2])
    groups = tmp_path / "groups"
    finished("cluster", "cnn-autoencoder-no-maxpool", tree, "--out", groups, "--epochs", "4", *network)
    with (groups / "assignments.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert len(table) == 400
    assert {row["cluster"] for row in table} == {"0", "1"}
    finished("cluster", "mean-colour", tree, "--out", tmp_path / "colours", "--folds", "4", "--largest-k", "3")
    tables = json.loads((tmp_path / "colours" / "clusters.json").read_text())["tables"]
    colours, always = (tables[1]["rows"][row]["values"]["pooled f1"]["mean"] for row in (0, -1))
    assert colours > always  # tumours are darker, whoever the patient is
    image = table[0]["path"]
    found = finished("similar", groups, image, tree, "--other-subjects", "--count", "3", *QUICK[:2]).out
    assert table[0]["subject"] not in {line.split()[2] for line in found.splitlines()[2:]}


def test_small_chest_x_rays(real_data: Path, tmp_path: Path) -> None:
    data = real_data / "pneumoniamnist"
    finished("fit", "conv-vae", data, "--out", tmp_path / "model", *QUICK, "--set", "preparation.image_size=32")
    finished("score", tmp_path / "model", data, "--out", tmp_path / "findings", "--device", "cpu", "--no-maps")
    table = table_of(tmp_path / "findings")
    assert Counter(row["label"] for row in table) == {"0": 234, "1": 390}
    assert {row["split"] for row in table} == {"test"}
    assert 0 <= auroc_of(tmp_path / "findings") <= 1
