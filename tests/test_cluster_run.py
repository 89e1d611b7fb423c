"""``sanoscope cluster`` and ``similar`` on what users have: interruptions, volumes, named groups, odd images."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import volume_files
from command_line import SMALL, finished, sanoscope
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.training.module import TrainingModule

CONV = ("--set", "network.widths=[4,8]", "--set", "network.latent=6", "--set", "training.batch_size=16")
TRAINED = (*SMALL, "--epochs", 2, *CONV, "--largest-k", 2, "--starts", 2)
FOLDS = (*TRAINED, "--folds", 3)
# Forty-eight images, eight of them held out, in batches of sixteen: three steps an epoch.
STEPS = 3


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Presses Ctrl-C after that many steps of training, so that nothing has to be waited for."""
    # A shell that runs the tests in the background lets them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    step = TrainingModule.training_step

    def stop(last: int) -> None:
        steps = itertools.count(1)

        def stopped(*arguments: Any, **settings: Any) -> Any:
            if next(steps) == last:
                signal.raise_signal(signal.SIGINT)
            return step(*arguments, **settings)

        monkeypatch.setattr(TrainingModule, "training_step", stopped)

    yield stop
    signal.signal(signal.SIGINT, before)


def save(folder: Path, images: dict[str, np.ndarray]) -> Path:
    for name, image in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    return folder


def shades(values: list[int], dtype: type = np.uint8) -> dict[str, np.ndarray]:
    """Almost evenly grey images."""
    rng = np.random.default_rng(0)
    return {f"{i:02}.png": (value + rng.integers(0, 9, (20, 20))).astype(dtype) for i, value in enumerate(values)}


def assignments(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "assignments.csv")


def cluster(method: str, data: Path, out: Path, *others: object) -> pd.DataFrame:
    finished("cluster", method, data, "--out", out, "--largest-k", 3, "--starts", 20, *others)
    return assignments(out)


# ------------------------------------------------------------ interrupted


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "patches"
    histology_phantoms(subjects=6, images_per_subject=8, size=40, seed=1).save(folder)
    return folder


@pytest.fixture(scope="module")
def whole(tissue: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    finished("cluster", "conv-vae", tissue, "--out", out, *FOLDS)
    return out


@pytest.mark.parametrize(
    ("step", "done"),
    [
        (STEPS + 1, set()),  # in the second epoch of the training on all images
        (2 * STEPS + 1, {"assignments.csv"}),  # in the training of the first fold
    ],
)
def test_ctrl_c_leaves_something_to_go_on_with(
    step: int, done: set[str], stop_after: Callable[[int], None], tissue: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = ("cluster", "conv-vae", tissue, "--out", out, *FOLDS)
    stop_after(step)
    ended = sanoscope(*command)
    assert ended.code == 130, ended
    assert ended.err.splitlines()[-1] == "interrupted; the same command with --resume goes on from what is done"
    assert {file.name for file in out.iterdir() if file.is_file()} == done
    assert "exists already; go on by --resume" in sanoscope(*command).error

    finished(*command, "--resume")
    for name in ("assignments.csv", "model/weights.safetensors", "clusters.safetensors"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    tables = [json.loads((folder / "clusters.json").read_text())["tables"] for folder in (out, whole)]
    assert tables[0] == tables[1]


def test_a_model_of_other_images_is_not_gone_on_with(tissue: Path, whole: Path, tmp_path: Path) -> None:
    out, other = Path(shutil.copytree(whole, tmp_path / "out")), tmp_path / "other"
    histology_phantoms(subjects=6, images_per_subject=8, size=40, seed=2).save(other)  # of the same names
    command = ("cluster", "conv-vae", "--out", out, *TRAINED, "--resume")
    assert "was trained on other images; choose another --out" in sanoscope(*command, other).error
    # Where the images lie does not matter, nor do their labels.
    moved = Path(shutil.copytree(tissue, tmp_path / "moved"))
    manifest = pd.read_csv(moved / "manifest.csv")
    manifest[["path", "subject"]].to_csv(moved / "manifest.csv", index=False)
    before = (out / "model" / "weights.safetensors").stat().st_mtime_ns
    finished(*command, moved)
    assert (out / "model" / "weights.safetensors").stat().st_mtime_ns == before


def test_a_model_of_a_collection_with_a_broken_file_is_gone_on_with(tissue: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tissue, tmp_path / "data"))
    (data / pd.read_csv(tissue / "manifest.csv").path[3]).write_bytes(b"no image")
    command = ("cluster", "conv-vae", data, "--out", tmp_path / "out", *TRAINED)
    assert sanoscope(*command).code == 1
    before = (tmp_path / "out" / "model" / "weights.safetensors").stat().st_mtime_ns
    assert sanoscope(*command, "--resume").code == 1
    assert (tmp_path / "out" / "model" / "weights.safetensors").stat().st_mtime_ns == before


# ------------------------------------------------------------ collections


def test_auto_takes_as_many_clusters_as_there_are_shades(tmp_path: Path) -> None:
    data = save(tmp_path / "data", shades([20, 120, 220] * 6))
    table = cluster("pixels", data, tmp_path / "out", "--k", "auto", "--largest-k", 5)
    assert table.cluster.tolist() == [0, 1, 2] * 6
    choice = json.loads((tmp_path / "out" / "clusters.json").read_text())["choice"]
    assert (choice["numbers"], choice["suggested"]) == ([2, 3, 4, 5], 3)


def test_named_groups_are_classes_whichever_is_normal(tmp_path: Path) -> None:
    images = {
        f"{name}/{file}": image
        for name, value in zip("abcd", (10, 90, 170, 230), strict=True)
        for file, image in shades([value] * 8).items()
    }
    data = save(tmp_path / "data", images)
    error = sanoscope("cluster", "pixels", data, "--out", tmp_path / "out").error
    assert re.search(r"which of these groups is normal\? a, b, c, d; say it with .*, or read .* without labels", error)
    cluster("pixels", data, tmp_path / "out", "--normal", "c", "--k", 4, "--folds", 3, "--by", "image")
    stored = json.loads((tmp_path / "out" / "clusters.json").read_text())
    assert stored["match"]["adjusted_rand"] == 1
    assert sorted(list(classes.items()) for classes in stored["classes"]) == [[(name, 8)] for name in "abcd"]
    crossed = stored["tables"][-1]["rows"]
    assert [row["title"] for row in crossed][2:] == [f"Always {name}" for name in "cabd"]
    assert crossed[0]["values"]["pooled f1"]["mean"] == 1
    cluster("pixels", data, tmp_path / "unlabelled", "--layout", "folder", "--k", 4)
    assert json.loads((tmp_path / "unlabelled" / "clusters.json").read_text())["match"] is None


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volumes")
    rng = np.random.default_rng(0)
    for number in range(4):
        voxels = rng.random((20, 22, 3)) + 5 * (number % 2)
        volume_files.save(folder / f"p{number}.nii.gz", voxels.astype(np.float32))
    return folder


def test_slices_of_volumes(volumes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    table = cluster("pixels", volumes, out)
    assert table.name.tolist() == [f"p{number}/axial-{index:03}" for number in range(4) for index in range(3)]
    assert table.cluster.tolist() == [0, 0, 0, 1, 1, 1] * 2
    error = sanoscope("similar", out, volumes / "p1.nii.gz", volumes).error
    assert error.endswith("p1.nii.gz: holds 3 images; give one of them by its name, such as 'p1/axial-000'")
    command = ("similar", out, "p1/axial-001", volumes, "--count", 3)
    names = [line.split()[-1] for line in finished(*command, "--other-subjects").out.splitlines()[2:]]
    assert sorted(names) == ["p3/axial-000", "p3/axial-001", "p3/axial-002"]
    assert "p1/axial-009: no such file" in sanoscope("similar", out, "p1/axial-009", volumes).error


def test_images_of_sixteen_bits(tmp_path: Path) -> None:
    data = save(tmp_path / "data", shades([1000, 30000] * 6, np.uint16))
    assert cluster("pixels", data, tmp_path / "out").cluster.tolist() == [0, 1] * 6
    assert cluster(str(tmp_path / "out"), data, tmp_path / "again").cluster.tolist() == [0, 1] * 6
    eight = save(tmp_path / "eight", shades([10, 200]))
    error = sanoscope("cluster", tmp_path / "out", eight, "--out", tmp_path / "other").error
    assert "none of 2 images can be read; the first: " in error
    assert "is 8-bit with 1 channel where the model was trained on 16-bit" in error


def test_an_image_of_nan_is_listed_and_the_others_are_grouped(tmp_path: Path) -> None:
    images = [np.full((20, 20), value, np.float32) for value in (0.1, 0.9, 0.2, 0.8)]
    images[1][3, 4] = np.nan
    data = save(tmp_path / "data", {f"{i}.tif": image for i, image in enumerate(images)})
    done = sanoscope("cluster", "pixels", data, "--out", tmp_path / "out", "--starts", 2)
    assert done.code == 1
    assert f"not grouped: {data / '1.tif'}: it holds NaN or infinity" in done.err
    assert assignments(tmp_path / "out").name.tolist() == [0, 2, 3]


@pytest.mark.parametrize("number", ["2", "auto"])
@pytest.mark.parametrize("count", [1, 12])
def test_images_that_cannot_be_told_apart_are_refused(count: int, number: str, tmp_path: Path) -> None:
    data = save(tmp_path / "data", {f"{i}.png": np.full((20, 20), 77, np.uint8) for i in range(count)})
    error = sanoscope("cluster", "pixels", data, "--out", tmp_path / "out", "--k", number).error
    assert re.search(r"give more images|nothing to tell them apart", error)
    assert not (tmp_path / "out").exists()


def test_an_image_of_another_size_finds_its_like(tmp_path: Path) -> None:
    images = shades([20, 60, 100, 140, 180, 220])
    data = save(tmp_path / "data", images)
    cluster("pixels", data, tmp_path / "out")
    larger = save(tmp_path, {"larger.png": images["03.png"].repeat(4, axis=0).repeat(2, axis=1)}) / "larger.png"
    lines = finished("similar", tmp_path / "out", larger, data, "--count", 2).out.splitlines()[2:]
    assert lines[0].split()[-1] == "03"
