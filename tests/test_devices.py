"""One training in several processes: the same result as in one, one voice, and a common end."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from command_line import SMALL, finished, in_own_process, sanoscope
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.errors import OptionError
from sanoscope.objectives.elbo import NegativeELBO, Terms
from sanoscope.objectives.gaussian_elbo import GaussianNegativeELBO
from sanoscope.objectives.logit_elbo import LogitELBO
from sanoscope.objectives.squared_error import SquaredError
from sanoscope.recipes import get_recipe
from sanoscope.training import parallel
from sanoscope.training.batches import SeededBatches
from sanoscope.training.processes import LEAST, Part, Processes, part_of

# Thirteen training normals in batches of five, five and three: parts of two and three, and of three and none.
TRAINING = (*SMALL, "--set", "training.batch_size=5", "--set", "training.early_stopping=9")
# Of the largest weight of a layer, after some steps in which sums were taken in another order.
TOLERANCE = 1e-5
LAUNCHERS = ("LOCAL_RANK", "NODE_RANK", "RANK", "GROUP_RANK", "SLURM_PROCID", "SLURM_LOCALID", "TORCHELASTIC_RUN_ID")

# Runs the command line, and is killed in one of the processes in its fourth step.
KILLED = """
import os, signal
from sanoscope.cli import main
from sanoscope.training.module import TrainingModule

step, calls = TrainingModule.training_step, 0

def dying(*arguments):
    global calls
    calls += 1
    if calls == 4 and os.environ["LOCAL_RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*arguments)

TrainingModule.training_step = dying
main()
"""


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirteen training normals, as many for validation, and test images."""
    folder = tmp_path_factory.mktemp("collection") / "patches"
    phantoms = histology_phantoms(subjects=3, images_per_subject=13, size=40, seed=1)
    sides = dict(zip(sorted(set(phantoms.subjects)), ("test", "validation", "train"), strict=True))
    phantoms.save(folder, [sides[subject] for subject in phantoms.subjects])
    return folder


@pytest.fixture(scope="module")
def alone(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Models trained in one process, by epochs."""
    folder = tmp_path_factory.mktemp("alone")
    for epochs in (1, 2, 3):
        finished("fit", "beta-vae", collection, "--out", folder / f"{epochs}", *TRAINING, "--epochs", epochs)
    return {epochs: folder / f"{epochs}" for epochs in (1, 2, 3)}


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that tells of no launcher."""
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def history_of(model: Path) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = json.loads((model / "detector.json").read_text())["history"]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def assert_same_training(model: Path, expected: Path) -> None:
    weights, others = (load_file(folder / "weights.safetensors") for folder in (model, expected))
    network = [name for name in others if name.startswith("network.")]
    assert network
    for name in network:
        np.testing.assert_allclose(weights[name], others[name], 0, TOLERANCE * np.abs(others[name]).max(), err_msg=name)
    rows = history_of(model)
    assert rows == [pytest.approx(row, rel=1e-4) for row in history_of(expected)]
    with (model / "training" / "history.csv").open(newline="") as stream:
        assert [int(row["epoch"]) for row in csv.DictReader(stream)] == [row["epoch"] for row in rows]


# ------------------------------------------------------------ the same result


def test_two_processes_train_what_one_does(collection: Path, alone: dict[int, Path], tmp_path: Path) -> None:
    out = tmp_path / "model"
    arguments = ["fit", "beta-vae", collection, "--out", out, *TRAINING, "--epochs", 2]
    done = in_own_process(*arguments, "--devices", 2)
    assert done.code == 0, done.err
    assert_same_training(out, alone[2])
    files = {file.relative_to(out) for file in out.rglob("*") if not file.name.startswith("events.")}
    assert files == {file.relative_to(alone[2]) for file in alone[2].rglob("*") if not file.name.startswith("events.")}
    assert len([*out.rglob("events.*")]) == 1
    # One voice: what was said is what one process says, each line once.
    said = [re.sub(r"[\d.e+-]+", "0", line) for line in done.err.splitlines()]
    assert len(said) == len(set(said))
    assert [line.split()[0] for line in done.err.splitlines() if not line.startswith("epoch 1")] == [
        "39",
        "epoch",
        "model:",
        "threshold:",
    ]
    facts = json.loads((out / "detector.json").read_text())["provenance"]["training"]
    assert facts["processes"] == 2

    # What two processes began, one can go on with.
    further = tmp_path / "further"
    shutil.copytree(out / "training", further / "training")
    finished("fit", "beta-vae", collection, "--out", further, *TRAINING, "--epochs", 3, "--resume")
    assert_same_training(further, alone[3])
    assert "processes" not in json.loads((further / "detector.json").read_text())["provenance"]["training"]


def test_torchrun_goes_on_with_what_was_begun(collection: Path, alone: dict[int, Path], tmp_path: Path) -> None:
    out = tmp_path / "model"
    shutil.copytree(alone[1] / "training", out / "training")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m", "sanoscope"]
    arguments = ["fit", "beta-vae", collection, "--out", out, *TRAINING, "--epochs", 2, "--resume"]
    done = subprocess.run([str(part) for part in (*command, *arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("model: ") == 1
    assert_same_training(out, alone[2])


# ------------------------------------------------------------ batch norm, and a common end

# All thirteen images in a step, so that an epoch is one of them.
NORMED = (*SMALL, "--set", "training.batch_size=13", "--checkpoint-seconds", 0)


@pytest.fixture(scope="module")
def killed(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder of a training with batch norm of which one process was killed in the fourth epoch, and its end."""
    folder = tmp_path_factory.mktemp("killed")
    script, out = folder / "command.py", folder / "model"
    script.write_text(KILLED)
    arguments = ["fit", "conv-vae", collection, "--out", out, *NORMED, "--epochs", 9, "--devices", 2]
    command = [sys.executable, *map(str, (script, *arguments))]
    return out, subprocess.run(command, capture_output=True, text=True)


def test_where_one_process_is_killed_all_end(killed: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, done = killed
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if not line.startswith(("39 images", "trained in", "epoch "))]
    assert len(said) == 1, done.stderr
    assert said[0].startswith("error: another process of this training has ended")
    assert torch.load(out / "training" / "resume.ckpt", weights_only=True)["epoch"] == 2  # counted from 0
    assert not (out / "weights.safetensors").exists()


def test_with_batch_norm_the_result_is_near(
    killed: tuple[Path, subprocess.CompletedProcess[str]], collection: Path, tmp_path: Path
) -> None:
    out, done = killed
    assert done.stderr.count("batch norm took its statistics of each one's part of a batch") == 1
    finished("fit", "conv-vae", collection, "--out", tmp_path / "one", *NORMED, "--epochs", 3)
    with (out / "training" / "history.csv").open(newline="") as stream:
        losses = [float(row["train/loss"]) for row in csv.DictReader(stream)]
    assert losses == pytest.approx([row["train/loss"] for row in history_of(tmp_path / "one")], rel=0.1)
    assert losses[2] < losses[0]


def test_an_unknown_end_is_no_lost_connection() -> None:
    killed: list[int] = []
    launcher = SimpleNamespace(kill=killed.append)
    trainer: Any = SimpleNamespace(world_size=2, strategy=SimpleNamespace(launcher=launcher))
    with pytest.raises(RuntimeError, match="a fault"), parallel.together(trainer):
        raise RuntimeError("a fault")
    assert killed == [signal.SIGKILL]


# ------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("recipe", "options", "reason"),
    [
        ("ganomaly", {}, "networks that play against each other"),
        ("padim", {"network.pretrained": False}, "learns in closed form"),
        (
            "deep-perceptual-autoencoder",
            {"network.critic": "wasserstein", "network.pretrained": False},
            "networks that play against each other",
        ),
    ],
)
@pytest.mark.usefixtures("no_launcher")
def test_trainings_of_one_process(
    collection: Path, tmp_path: Path, recipe: str, options: dict[str, Any], reason: str
) -> None:
    settings = chain.from_iterable(("--set", f"{name}={value}") for name, value in options.items())
    arguments = ["fit", recipe, collection, "--out", tmp_path / "model", "--device", "cpu", *settings]
    for extra in (["--devices", 2], ["--nodes", 2]):
        error = sanoscope(*arguments, *extra).error
        assert error.startswith(f"recipe '{recipe}' cannot be trained on 2 devices, as ")
        assert reason in error
        assert error.endswith("; leave out --devices and --nodes")
    assert not (tmp_path / "model").exists()


def test_more_devices_than_there_are() -> None:
    parallel.require_devices("mps", Processes())
    parallel.require_devices("cpu", Processes(64))
    with pytest.raises(OptionError, match=r"--devices 2: there are 1 of kind mps here; ask for no more"):
        parallel.require_devices("mps", Processes(2))
    with pytest.raises(OptionError, match=r"of kind cuda here"):
        parallel.require_devices("cuda", Processes(torch.cuda.device_count() + 1))


def test_batch_norm_is_noted() -> None:
    plain, normed = torch.nn.Linear(1, 1), torch.nn.Sequential(torch.nn.BatchNorm1d(1))
    assert parallel.notes(plain, "cpu", Processes(2)) == parallel.notes(normed, "cpu", Processes()) == []
    assert parallel.notes(normed, "cuda", Processes(2)) == []  # there it is synchronised
    assert "trained in 4 processes" in parallel.notes(normed, "cpu", Processes(2, 2))[0]


# ------------------------------------------------------------ which process this is


@pytest.mark.parametrize(
    ("told", "rank", "local"),
    [
        ({}, 0, 0),
        ({"LOCAL_RANK": "1"}, 1, 1),
        ({"NODE_RANK": "1"}, 2, 0),
        ({"NODE_RANK": "1", "LOCAL_RANK": "1"}, 3, 1),
        ({"RANK": "3", "GROUP_RANK": "1", "LOCAL_RANK": "1"}, 3, 1),  # torchrun
        ({"SLURM_PROCID": "2", "SLURM_LOCALID": "0"}, 2, 0),
        ({"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "LOCAL_RANK": "1", "NODE_RANK": "0"}, 1, 1),  # in Slurm's shell
    ],
)
def test_ranks(no_launcher: pytest.MonkeyPatch, told: dict[str, str], rank: int, local: int) -> None:
    for name, value in told.items():
        no_launcher.setenv(name, value)
    processes = Processes(devices=2, nodes=2)
    assert (processes.rank, processes.local_rank, processes.main) == (rank, local, rank == 0)
    assert Processes().main  # one process is the main one whatever started it


def test_as_many_as_torchrun_has_started(no_launcher: pytest.MonkeyPatch) -> None:
    assert Processes.asked(None, None) == Processes(1, 1)
    assert Processes.asked(3, None) == Processes(3, 1)
    for name, value in {"TORCHELASTIC_RUN_ID": "a", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6"}.items():
        no_launcher.setenv(name, value)
    assert Processes.asked(None, None) == Processes.asked(2, 3) == Processes(2, 3)
    with pytest.raises(OptionError, match="--devices 4 --nodes 3: torchrun has started 2 processes on 3 machines"):
        Processes.asked(4, None)


# ------------------------------------------------------------ parts of batches


def parts_of(count: int, processes: int) -> list[Part]:
    return [part_of(count, rank, processes) for rank in range(processes)]


@given(st.integers(1, 200), st.integers(2, 60), st.integers(1, 9), st.integers(0, 99), st.booleans())
def test_parts_are_disjoint_and_cover_each_batch(count: int, size: int, processes: int, seed: int, drop: bool) -> None:
    for batch in SeededBatches(count, size, seed, shuffle=True, drop_last=drop):
        parts = parts_of(len(batch), processes)
        rows = [batch[part.rows] for part in parts if part.counted]
        assert list(chain.from_iterable(rows)) == batch
        assert [part.size for part in parts] == [len(batch[part.rows]) for part in parts]
        assert min(part.size for part in parts) >= min(LEAST, len(batch))
        assert max(map(len, rows)) - min(map(len, rows)) <= 1
        left_over = [part.rows for part in parts if not part.counted]
        assert all(spare == parts[0].rows for spare in left_over)
        assert not left_over or len(batch) < LEAST * processes


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=40), st.integers(1, 9), st.booleans())
def test_mean_of_weighted_parts_is_the_whole(values: list[float], processes: int, summed: bool) -> None:
    reduce = np.sum if summed else np.mean
    parts = parts_of(len(values), processes)
    weighted = [part.weight(summed) * reduce(values[part.rows]) for part in parts]
    assert np.mean(weighted) == pytest.approx(reduce(values), abs=1e-9)


def test_one_process_has_all_of_it_unweighted() -> None:
    part = part_of(7, 0, 1)
    assert (part.rows, part.size, part.counted) == (slice(0, 7), 7, True)
    assert part.weight(summed=True) == part.weight(summed=False) == 1


def doubled(terms: Any, *tensors: torch.Tensor) -> tuple[Terms, Terms]:
    """The terms of a batch, and of one in which every image is twice."""
    return terms(*tensors), terms(*(torch.cat((tensor, tensor)) for tensor in tensors))


@pytest.mark.parametrize(
    ("objective", "latents"),
    [
        (NegativeELBO(2.0, annealing=False), 2),
        (GaussianNegativeELBO(2.0), 2),
        (LogitELBO("bce", "sum", 2.0), 2),
        (LogitELBO("l1", "mean", 2.0), 2),
        (SquaredError("sum"), 0),
        (SquaredError("mean"), 0),
    ],
)
def test_objectives_say_whether_they_are_sums(objective: Any, latents: int) -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 8, 1, 8, generator=random).squeeze(3)[:, :, None]
    tensors = [*images, *torch.randn(latents, 3, 4, generator=random)]
    once, twice = doubled(objective, *tensors)
    assert twice.loss.item() == pytest.approx(once.loss.item() * (2 if once.summed else 1), rel=1e-5)
    assert twice.summed == once.summed


def test_every_training_can_be_asked() -> None:
    """Whether it takes several processes, before a network is there to ask about."""
    kinds = {name: get_recipe(name).build("training") for name in ("beta-vae", "patchcore", "f-anogan", "deep-svdd")}
    assert kinds["beta-vae"].one_process(None) is None
    assert kinds["deep-svdd"].one_process(None) is None
    assert kinds["patchcore"].one_process(None)
    assert kinds["f-anogan"].one_process(None)
