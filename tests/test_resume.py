"""Interrupted trainings: killed, stopped by Ctrl-C, and gone on with; and what is not gone on with."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file

from command_line import SMALL, finished, sanoscope
from sanoscope.cases.phantoms import histology_phantoms

# Of ten training normals, in batches of four, without a last batch of one.
EPOCHS, STEPS = 5, 3
TRAINING = (*SMALL, "--set", "training.batch_size=4", "--checkpoint-seconds", "0")

# Runs a command and sends a signal to itself at a chosen moment, so that nothing has to be waited for.
INTERRUPTED = """
import os, signal, sys
import torch
from sanoscope.cli import main
from sanoscope.training.module import TrainingModule

# A shell that runs the tests in the background lets them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
moment, number, signal = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sys.argv = ["sanoscope", *sys.argv[4:]]
calls = 0

def dying(method):
    def call(*arguments, **settings):
        global calls
        calls += 1
        result = method(*arguments, **settings)
        if calls == number:
            os.kill(os.getpid(), signal)
        return result
    return call

if moment == "while writing a checkpoint":
    torch.save = dying(torch.save)
elif moment == "within an epoch":
    TrainingModule.training_step = dying(TrainingModule.training_step)
main()
"""


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten training normals, so that an epoch with batches of four has three steps, validation and test."""
    folder = tmp_path_factory.mktemp("collection") / "patches"
    phantoms = histology_phantoms(subjects=3, images_per_subject=10, size=40, seed=1)
    sides = dict(zip(sorted(set(phantoms.subjects)), ("test", "validation", "train"), strict=True))
    phantoms.save(folder, [sides[subject] for subject in phantoms.subjects])
    return folder


@pytest.fixture(scope="module")
def whole(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose training was never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    finished("fit", "conv-vae", collection, "--out", folder, *TRAINING, "--epochs", EPOCHS)
    return folder


@pytest.fixture(scope="module")
def begun(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was killed while its third checkpoint was being written."""
    folder = tmp_path_factory.mktemp("begun") / "model"
    code, _ = interrupted("while writing a checkpoint", 3, signal.SIGKILL, collection, folder)
    assert code == -signal.SIGKILL
    return folder


@pytest.fixture
def part(begun: Path, tmp_path: Path) -> Path:
    """A copy of it that the test may go on with."""
    return Path(shutil.copytree(begun, tmp_path / "model"))


def interrupted(moment: str, number: int, with_signal: int, data: Path, out: Path, *extra: str) -> tuple[int, str]:
    """The exit code and what was said, of a training that gets a signal."""
    arguments = ["fit", "conv-vae", data, "--out", out, *TRAINING, "--epochs", EPOCHS, *extra]
    command = [sys.executable, "-c", INTERRUPTED, moment, number, int(with_signal), *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert not re.search(r"Traceback|Warning", done.stderr), done.stderr
    return done.returncode, done.stderr


def resume(data: Path, out: Path, *extra: object) -> Any:
    return sanoscope("fit", "conv-vae", data, "--out", out, *TRAINING, "--epochs", EPOCHS, *extra, "--resume")


def epochs_of(model: Path) -> list[int]:
    with (model / "training" / "history.csv").open(newline="") as stream:
        return [int(row["epoch"]) for row in csv.DictReader(stream)]


def assert_same_model(model: Path, whole: Path) -> None:
    assert (model / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    one, other = (json.loads((folder / "detector.json").read_text()) for folder in (model, whole))
    assert one["decisions"] == other["decisions"]
    for before, after in zip(other["history"], one["history"], strict=True):
        assert {**before, "seconds": 0} == {**after, "seconds": 0}


# ------------------------------------------------------------ going on


def test_killed_while_writing_a_checkpoint(collection: Path, whole: Path, part: Path) -> None:
    assert {file.name for file in (part / "training").glob("resume.*")} == {"resume.ckpt", "resume.tmp"}
    assert torch.load(part / "training" / "resume.ckpt", weights_only=True)["epoch"] == 1  # counted from 0
    assert resume(collection, part).code == 0
    assert_same_model(part, whole)
    assert epochs_of(part) == list(range(1, EPOCHS + 1))


def test_killed_within_an_epoch(collection: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    code, _ = interrupted("within an epoch", 3 * STEPS + 2, signal.SIGKILL, collection, out)
    assert code == -signal.SIGKILL
    unfinished = sanoscope("score", out, collection, "--out", tmp_path / "findings", "--device", "cpu")
    assert "the training there is not finished; go on with 'sanoscope fit … --resume'" in unfinished.error
    assert epochs_of(out) == [1, 2, 3]
    assert resume(collection, out).code == 0
    assert_same_model(out, whole)


def test_ctrl_c_leaves_something_to_go_on_with(collection: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    code, said = interrupted("within an epoch", 2 * STEPS + 2, signal.SIGINT, collection, out)
    assert code == 130
    assert said.splitlines()[-1] == "interrupted; the same command with --resume goes on from the last checkpoint"
    again = sanoscope("fit", "conv-vae", collection, "--out", out, *TRAINING, "--epochs", EPOCHS)
    assert again.error == f"{out}: exists already; go on with the run there by --resume, or choose another --out"
    assert resume(collection, out).code == 0
    assert_same_model(out, whole)


def test_a_longer_training_may_be_asked_for(collection: Path, part: Path, tmp_path: Path) -> None:
    assert resume(collection, part, "--epochs", EPOCHS + 2).code == 0
    longer = tmp_path / "longer"
    finished("fit", "conv-vae", collection, "--out", longer, *TRAINING, "--epochs", EPOCHS + 2)
    assert_same_model(part, longer)


def test_where_nothing_was_begun_it_begins(collection: Path, whole: Path, tmp_path: Path) -> None:
    assert resume(collection, tmp_path / "model").code == 0
    assert_same_model(tmp_path / "model", whole)


def test_killed_before_the_first_checkpoint_it_begins_anew(collection: Path, whole: Path, part: Path) -> None:
    (part / "training" / "resume.ckpt").unlink()
    assert resume(collection, part).code == 0
    assert_same_model(part, whole)


def test_a_finished_model_is_left_as_it_is(collection: Path, whole: Path) -> None:
    before = {file: file.read_bytes() for file in whole.rglob("*") if file.is_file()}
    done = resume(collection, whole)
    assert done.code == 0
    assert done.err == f"{whole}: is finished already; nothing to resume\n"
    assert {file: file.read_bytes() for file in whole.rglob("*") if file.is_file()} == before


def test_finished_training_whose_model_was_not_written(collection: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    shutil.copytree(whole / "training", out / "training")
    assert resume(collection, out).code == 0
    assert_same_model(out, whole)


# ------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--set", "network.latent=7"], "was started with network.latent=64, not 7"),
        (["--set", "training.learning_rate=0.01"], "was started with training.learning_rate=0.001, not 0.01"),
        (["--set", "preparation.image_size=48"], "was started with preparation.image_size=32, not 48"),
        (["--seed", 3], "was started with another seed"),
        (["--split", "image"], "was started with other training images"),
        (["--epochs", 1], "has 2 epochs already; set training.epochs to as many or more, not 1"),
    ],
)
def test_other_options_are_refused(collection: Path, part: Path, arguments: list[object], reason: str) -> None:
    done = resume(collection, part, *arguments)
    assert reason in done.error
    assert str(part / "training") in done.error
    assert not (part / "weights.safetensors").exists()


def test_another_recipe_is_refused(collection: Path, part: Path) -> None:
    done = sanoscope("fit", "fc-vae", collection, "--out", part, *TRAINING, "--epochs", EPOCHS, "--resume")
    assert "was started with recipe conv-vae, not fc-vae; go on with the same, or start anew" in done.error


@pytest.mark.parametrize("side", ["train", "validation"])
def test_other_data_is_refused(collection: Path, part: Path, tmp_path: Path, side: str) -> None:
    data = tmp_path / "data"
    shutil.copytree(collection, data)
    with (data / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    dropped = next(row for row in rows if row["split"] == side and row["label"] == "0")
    with (data / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(row for row in rows if row is not dropped)
    what = {"train": "training", "validation": "validation"}[side]
    assert f"was started with other {what} images" in resume(data, part).error


class Malice:
    """Runs a command when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.file}'",)


@pytest.mark.parametrize("kind", ["pickle", "archive"])
def test_a_malicious_checkpoint_is_not_run(collection: Path, part: Path, tmp_path: Path, kind: str) -> None:
    checkpoint, trace = part / "training" / "resume.ckpt", tmp_path / "trace"
    if kind == "pickle":
        checkpoint.write_bytes(pickle.dumps(Malice(trace)))
    else:
        torch.save(Malice(trace), checkpoint)
    assert f"{checkpoint}: cannot be resumed from (" in resume(collection, part).error
    assert not trace.exists()
    with checkpoint.open("rb") as file, contextlib.suppress(RuntimeError):  # it would have left its trace
        torch.load(file, weights_only=False)
    assert trace.exists()


def halve(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("resume.ckpt", halve),
        ("resume.ckpt", lambda file: file.write_bytes(b"")),
        ("resume.ckpt", lambda file: file.write_text("hello")),
        ("resume.ckpt", lambda file: torch.save({}, file)),
        ("resume.ckpt", lambda file: torch.save([1], file)),
        ("run.json", lambda file: file.unlink()),
        ("run.json", halve),
        ("run.json", lambda file: file.write_text("[]")),
        ("run.json", lambda file: file.write_text("{}")),
    ],
)
def test_damaged_files(collection: Path, part: Path, name: str, damage: Callable[[Path], Any]) -> None:
    damage(part / "training" / name)
    error = resume(collection, part).error
    assert error.startswith(f"{part / 'training' / name}: ")
    assert "start" in error.rpartition("; ")[2]  # the mend
    assert "anew" in error.rpartition("; ")[2]


# ------------------------------------------------------------ early stopping


def best_epoch(model: Path) -> tuple[int, int]:
    """The epoch of the least validation loss, and how many there were."""
    history = json.loads((model / "detector.json").read_text())["history"]
    losses = [row["validation/loss"] for row in history]
    return losses.index(min(losses)) + 1, len(losses)


# Steps at which the validation loss of so few images soon goes up and down.
RESTLESS = ("--set", "training.learning_rate=0.003", "--set", "training.batch_size=2")
EARLY = ("--set", "training.early_stopping=1", *RESTLESS)


def test_early_stopping_keeps_the_best_weights_and_can_be_resumed(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early, best, last = tmp_path / "early", tmp_path / "best", tmp_path / "last"
    finished("fit", "conv-vae", collection, "--out", early, *TRAINING, *EARLY, "--epochs", 40)
    number, epochs = best_epoch(early)
    assert number == epochs - 1 < 39  # stopped after one epoch that was no better
    for folder, count in ((best, number), (last, epochs)):
        finished("fit", "conv-vae", collection, "--out", folder, *TRAINING, *RESTLESS, "--epochs", count)
    weights = {folder: load_file(folder / "weights.safetensors") for folder in (early, best, last)}
    layer = next(name for name in weights[early] if name.startswith("network.") and name.endswith("weight"))
    assert (weights[early][layer] == weights[best][layer]).all()
    assert (weights[early][layer] != weights[last][layer]).any()
    assert weights[early].keys() == weights[best].keys()

    # Interrupted after it had stopped, when the best weights are read back, it must not go on from there.
    part = tmp_path / "part"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", interrupt)
        done = sanoscope("fit", "conv-vae", collection, "--out", part, *TRAINING, *EARLY, "--epochs", 40)
    assert done.code == 130
    assert len(epochs_of(part)) == epochs
    assert resume(collection, part, *EARLY, "--epochs", 40).code == 0
    assert_same_model(part, early)


def interrupt(*arguments: object, **settings: object) -> None:
    raise KeyboardInterrupt


def test_early_stopping_without_a_validation_side_holds_images_out(collection: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(collection, tmp_path / "data"))
    text = (data / "manifest.csv").read_text()
    (data / "manifest.csv").write_text(text.replace(",validation", ",train").replace(",test", ",train"))
    done = finished("fit", "conv-vae", data, "--out", tmp_path / "model", *TRAINING, *EARLY, "--epochs", 2)
    assert "were held out to set the threshold" in done.err
