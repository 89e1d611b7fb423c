"""``sanoscope fit`` as a user types it: collections, options, what is written, and input that is no use."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from safetensors.numpy import load_file

from command_line import SMALL, Done, finished, sanoscope
from sanoscope import Detector, read_cases
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.cli import main

ONE_EPOCH = (*SMALL, "--epochs", "1")


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    """Normal and abnormal patches."""
    phantoms = histology_phantoms(subjects=3, images_per_subject=10, size=40, seed=1)
    return phantoms.images[phantoms.labels == 0], phantoms.images[phantoms.labels == 1]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collection") / "patches"
    histology_phantoms(subjects=3, images_per_subject=10, size=40, seed=1).save(folder)
    return folder


def put(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    return folder


def options_of(model: Path) -> dict[str, Any]:
    options: dict[str, Any] = json.loads((model / "detector.json").read_text())["recipe"]["options"]
    return options


# ------------------------------------------------------------ what it writes


def test_model_log_and_split_are_written(collection: Path, tmp_path: Path) -> None:
    done = finished("fit", "conv-vae", collection, "--out", tmp_path / "model", *ONE_EPOCH)
    assert done.out == ""
    lines = done.err.splitlines()
    assert lines[0].startswith("30 images; ")
    assert any(line.startswith("epoch 1 of 1: ") for line in lines)
    assert f"model: {tmp_path / 'model'}" in lines
    detector = Detector.load(tmp_path / "model", device="cpu")
    assert lines[-1].startswith(f"threshold: {detector.threshold_:.5g} on wasserstein, by ")
    assert {file.name for file in (tmp_path / "model").iterdir()} == {
        "weights.safetensors",
        "detector.json",
        "checksums.json",
        "split.json",
        "manifest.csv",
        "training",
    }
    assert (tmp_path / "model" / "training" / "history.csv").read_text().startswith("epoch,iterations,seconds,")
    assert list((tmp_path / "model" / "training" / "logs").glob("events.*"))


def test_recorded_split_is_a_manifest_that_gives_the_same_model(collection: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    finished("fit", "conv-vae", collection, "--out", first, *ONE_EPOCH)
    cases = read_cases(first / "manifest.csv")
    assert {case.split for case in cases} == {"train", "validation", "test"}
    assert len({(case.subject, case.split) for case in cases}) == 3  # no subject on two sides
    finished("fit", "conv-vae", first / "manifest.csv", "--out", second, *ONE_EPOCH)
    assert (first / "weights.safetensors").read_bytes() == (second / "weights.safetensors").read_bytes()


def test_seed_decides_weights_and_split(collection: Path, tmp_path: Path) -> None:
    for name, seed in {"a": 3, "b": 3, "c": 4}.items():
        finished("fit", "conv-vae", collection, "--out", tmp_path / name, *ONE_EPOCH, "--seed", seed)
    a, b, c = ((tmp_path / name / "weights.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c
    assert json.loads((tmp_path / "c" / "detector.json").read_text())["seed"] == 4
    sides = [json.loads((tmp_path / name / "split.json").read_text())["sides"] for name in "abc"]
    assert sides[0] == sides[1]
    assert sides[0] != sides[2]


def test_split_by_image_must_be_asked_for(collection: Path, tmp_path: Path) -> None:
    done = finished("fit", "conv-vae", collection, "--out", tmp_path / "model", *ONE_EPOCH, "--split", "image")
    assert "images of one subject may be on several sides" in done.err
    cases = read_cases(tmp_path / "model" / "manifest.csv")
    assert len({(case.subject, case.split) for case in cases}) > 3


# ------------------------------------------------------------ options


def test_options_from_file_command_line_and_shortcut(collection: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        "network:\n  latent: 16\n"
        "training:\n  batch_size: 4\n  learning_rate: 1e-4\n  epochs: 9\n"
        "network.widths: [8, 16]\n"
        "decision.rule: quantile\n"
    )
    finished(
        *("fit", "conv-vae", collection, "--out", tmp_path / "model", "--config", settings, *SMALL, "--epochs", 1),
        *("--set", "training.batch_size=5", "--set", "network.latent = 12"),
    )
    options = options_of(tmp_path / "model")
    expected = {
        "network.latent": 12,  # --set before the file
        "network.widths": [8, 16],
        "training.batch_size": 5,
        "training.learning_rate": 1e-4,  # which YAML alone would read as text
        "training.epochs": 1,  # the shortcut before the file
        "decision.rule": "quantile",
        "preparation.image_size": 32,
        "training.weight_decay": 1e-4,  # the default
    }
    assert {name: options[name] for name in expected} == expected
    assert load_file(tmp_path / "model" / "weights.safetensors")["network.mean.weight"].shape[0] == 12


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("network: [1", "is not YAML (while parsing a flow sequence"),
        ("- network.latent", "must be a mapping of option names to values"),
        ("", "must be a mapping of option names to values"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        ("network:\n  latnet: 3\n", "has no option 'network.latnet'; did you mean 'network.latent'?"),
        ("network:\n  latent: many\n", "option 'network.latent' takes a value of type int, not 'many'"),
        ("network: 3\n", "has no option 'network'"),
    ],
)
def test_unusable_settings_file(collection: Path, tmp_path: Path, content: str | bytes | None, reason: str) -> None:
    settings = tmp_path / "settings.yaml"
    if content is not None:
        settings.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = sanoscope("fit", "conv-vae", collection, "--out", tmp_path / "model", "--config", settings)
    assert reason in done.error
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--set", "network.latnet=3"], "did you mean 'network.latent'?"),
        (["--set", "latent=3"], "has no option 'latent'"),
        (["--set", "network.latent"], "--set takes NAME=VALUE, not 'network.latent'"),
        (["--set", "network.latent="], "takes a value of type int"),
        (["--set", "network.latent=0"], "option 'network.latent' must be at least 1, not 0"),
        (["--set", "network.latent=[1"], "--set network.latent: '[1' cannot be read as a value"),
        (["--set", "training.learning_rate=nan"], "must be finite"),
        (["--set", "scoring.score=msee"], "did you mean 'mse'?"),
        (["--set", "data.fraction=1.5"], "data.fraction must be above 0 and at most 1, not 1.5"),
        (["--set", "data.holdout=0"], "data.holdout must be between 0 and 1, not 0"),
        (["--device", "gpu"], "unknown device 'gpu'; one of auto, cuda, mps, cpu"),
        (["--split", "subjects"], "split='subjects' is unknown; did you mean 'subject'?"),
        (["--normal", "benign"], "no group is called 'benign'"),
    ],
)
def test_unusable_option(collection: Path, tmp_path: Path, arguments: list[str], reason: str) -> None:
    done = sanoscope("fit", "conv-vae", collection, "--out", tmp_path / "model", "--device", "cpu", *arguments)
    assert reason in done.error
    assert not (tmp_path / "model").exists()


def test_unknown_recipe(collection: Path, tmp_path: Path) -> None:
    done = sanoscope("fit", "conv-va", collection, "--out", tmp_path / "model")
    assert done.error == "no recipe 'conv-va'; did you mean 'conv-vae'?"


# ------------------------------------------------------------ where it writes


def test_what_is_there_is_never_written_over(collection: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "manifest.csv").write_text("precious")
    for resume in ([], ["--resume"]):
        done = sanoscope("fit", "conv-vae", collection, "--out", mine, *ONE_EPOCH, *resume)
        assert done.error == f"{mine}: exists already; choose another --out"
    assert [file.name for file in mine.iterdir()] == ["manifest.csv"]
    assert (mine / "manifest.csv").read_text() == "precious"


def test_an_empty_folder_is_as_good_as_none(collection: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    finished("fit", "conv-vae", collection, "--out", tmp_path / "model", *ONE_EPOCH)


def test_a_folder_that_cannot_be_made(collection: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for out in (file, file / "model"):
        done = sanoscope("fit", "conv-vae", collection, "--out", out, *ONE_EPOCH)
        assert done.error.startswith(f"{out}: ")
        assert "choose another --out" in done.error


def test_a_folder_that_may_not_be_written(collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # To the superuser, who may run the tests, the system says yes whatever the permissions are.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    done = sanoscope("fit", "conv-vae", collection, "--out", tmp_path / "a" / "model", *ONE_EPOCH)
    reason = f"cannot be made, as {tmp_path} is no folder that may be written"
    assert done.error == f"{tmp_path / 'a' / 'model'}: {reason}; choose another --out"


def test_missing_weights_leave_nothing_behind(collection: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    weights = f"network.weights={tmp_path / 'none.pth'}"
    done = sanoscope("fit", "resnet34-vae", collection, "--out", out, *ONE_EPOCH, "--set", weights)
    assert done.code == 2
    assert "no such file of weights" in done.err
    assert not out.exists()


def test_what_only_trying_tells_is_one_line_too(collection: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere" / "deeper")
    done = sanoscope("fit", "conv-vae", collection, "--out", link / "model", *ONE_EPOCH)
    assert done.error == f"{link}: File exists"


# ------------------------------------------------------------ what it reads


def flat(folder: Path, normal: np.ndarray, abnormal: np.ndarray) -> Path:
    return put(folder, normal)


def class_folders(folder: Path, normal: np.ndarray, abnormal: np.ndarray) -> Path:
    put(folder / "normal", normal)
    put(folder / "tumour", abnormal)
    return folder


def named_classes(folder: Path, normal: np.ndarray, abnormal: np.ndarray) -> Path:
    put(folder / "stroma", normal)
    put(folder / "carcinoma", abnormal)
    return folder


def mvtec(folder: Path, normal: np.ndarray, abnormal: np.ndarray) -> Path:
    put(folder / "train" / "good", normal[:16])
    put(folder / "test" / "good", normal[16:])
    put(folder / "test" / "crowded", abnormal)
    return folder


def breast_histopathology(folder: Path, normal: np.ndarray, abnormal: np.ndarray) -> Path:
    for label, group in enumerate((normal, abnormal)):
        for number, image in enumerate(group):
            patient = f"{8863 + number % 3}"
            (folder / patient / str(label)).mkdir(parents=True, exist_ok=True)
            name = f"{patient}_idx5_x{50 * number + 1}_y1_class{label}.png"
            Image.fromarray(image).save(folder / patient / str(label) / name)
    return folder


def medmnist(folder: Path, normal: np.ndarray, abnormal: np.ndarray) -> Path:
    folder.mkdir()
    sides = {
        "train": (normal[:12], abnormal[:1]),
        "val": (normal[12:17], abnormal[1:3]),
        "test": (normal[17:], abnormal[3:]),
    }
    arrays = {}
    for side, groups in sides.items():
        arrays[f"{side}_images"] = np.concatenate(groups)
        arrays[f"{side}_labels"] = np.repeat([0, 1], [len(group) for group in groups])[:, None]
    np.savez(folder / "patches.npz", **arrays)
    return folder


LAYOUTS: dict[str, tuple[Callable[..., Path], tuple[str, ...]]] = {
    "folder": (flat, ()),
    "class-folders": (class_folders, ()),
    "class-folders, named": (named_classes, ("--normal", "stroma")),
    "mvtec": (mvtec, ()),
    "breast-histopathology": (breast_histopathology, ()),
    "medmnist": (medmnist, ()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_learned_from_and_scored(
    images: tuple[np.ndarray, np.ndarray], tmp_path: Path, layout: str
) -> None:
    make, extra = LAYOUTS[layout]
    data, model, out = make(tmp_path / "data", *images), tmp_path / "model", tmp_path / "findings"
    finished("fit", "conv-vae", data, "--out", model, *ONE_EPOCH, *extra)
    state = json.loads((model / "detector.json").read_text())
    assert state["provenance"]["data"]["layout"] == layout.split(",")[0]
    cases = read_cases(data, normal=extra[1] if extra else None)
    sides = json.loads((model / "split.json").read_text())["sides"]
    assert set(sides) == {case.name for case in cases}
    trained_on = state["provenance"]["data"]["training"]
    assert trained_on["labels"].keys() <= {"normal", "unlabelled"}
    done = finished("score", model, data, "--out", out, "--device", "cpu", "--no-maps", *extra)
    tested = [name for name, side in sides.items() if side == "test"]
    assert f"scoring the {len(tested)} images on the test side of the collection the model was trained on" in done.err
    assert (out / "scores.csv").read_text().count("\n") == len(tested) + 1
    assert (model / "manifest.csv").exists() == (layout != "medmnist")


TOO_FEW = {0: "no images here", 1: "1 images are too few", 2: "2 images are too few", 3: "at least 2 normal images"}


@pytest.mark.parametrize("number", TOO_FEW)
def test_too_few_images(images: tuple[np.ndarray, np.ndarray], tmp_path: Path, number: int) -> None:
    data = put(tmp_path / "few", images[0][:number])
    assert TOO_FEW[number] in sanoscope("fit", "conv-vae", data, "--out", tmp_path / "model", *ONE_EPOCH).error


def test_four_images_are_enough(images: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    done = finished("fit", "conv-vae", put(tmp_path / "few", images[0][:4]), "--out", tmp_path / "model", *ONE_EPOCH)
    assert "needs 19 normals; with 1 the threshold is their largest score" in done.err


def missing(folder: Path, images: tuple[np.ndarray, np.ndarray]) -> Path:
    return folder


def only_abnormal(folder: Path, images: tuple[np.ndarray, np.ndarray]) -> Path:
    put(folder / "abnormal", images[1])
    return folder


def all_unreadable(folder: Path, images: tuple[np.ndarray, np.ndarray]) -> Path:
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.png").write_bytes(b"no picture %d" % number)
    return folder


def other_channels(folder: Path, images: tuple[np.ndarray, np.ndarray]) -> Path:
    put(folder, images[0])
    for number in range(8):
        Image.fromarray(images[0][number, ..., 0]).save(folder / f"grey {number}.png")
    return folder


def other_bit_depth(folder: Path, images: tuple[np.ndarray, np.ndarray]) -> Path:
    put(folder, images[0])
    for number in range(8):
        tifffile.imwrite(folder / f"deep {number}.tif", images[0][number].astype(np.uint16) * 16)
    return folder


def no_test_of_text(folder: Path, images: tuple[np.ndarray, np.ndarray]) -> Path:
    folder.mkdir()
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (missing, "no such file or folder; check the path"),
        (only_abnormal, "no normal cases to learn from (only abnormal ones); give normal images"),
        (all_unreadable, "no image could be read; the first: "),
        (other_channels, "8-bit with 1 channel"),
        (other_bit_depth, "16-bit or float with 3 channels"),
        (no_test_of_text, "no images here"),
    ],
)
def test_collections_that_cannot_be_learned_from(
    images: tuple[np.ndarray, np.ndarray], tmp_path: Path, make: Callable[..., Path], reason: str
) -> None:
    data = make(tmp_path / "data", images)
    done = sanoscope("fit", "conv-vae", data, "--out", tmp_path / "model", *ONE_EPOCH)
    assert reason in done.error
    assert str(data) in done.error
    # Nothing is left in the way of the same command once the input is mended.
    assert not (tmp_path / "model").exists()


def test_unreadable_training_images_are_left_out_and_named(
    images: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    data = put(tmp_path / "data", images[0])
    manifest = ["path,split", *(f"{file.name},train" for file in sorted(data.glob("*.png")))]
    broken = data / "broken.png"
    broken.write_bytes((data / "00.png").read_bytes()[:300])
    bad = np.ones((40, 40, 3), np.float32)
    bad[0, 0, 0] = np.nan
    tifffile.imwrite(data / "nan.tif", bad, photometric="rgb")
    (data / "manifest.csv").write_text("\n".join([*manifest, "broken.png,train", "nan.tif,train"]))
    done: Done = finished("fit", "conv-vae", data, "--out", tmp_path / "model", *ONE_EPOCH)
    said = [line for line in done.err.splitlines() if line.startswith("could not be read and was left out: ")]
    assert sorted(line.split(": ")[1] for line in said) == [str(broken), str(data / "nan.tif")]
    detector = Detector.load(tmp_path / "model", device="cpu")
    counts = [detector.provenance_["data"][side]["read"] for side in ("training", "validation")]
    assert sum(counts) == len(images[0])
    assert len(detector.training_keys_) == counts[0]


@pytest.mark.parametrize(
    ("rate", "reason"), [("1e5", "the loss grew from "), ("1e20", "the loss became nan in epoch ")]
)
def test_a_loss_that_runs_away_stops_with_a_remedy(collection: Path, tmp_path: Path, rate: str, reason: str) -> None:
    done = sanoscope(
        *("fit", "conv-vae", collection, "--out", tmp_path / "model", *SMALL, "--epochs", 6),
        *("--set", f"training.learning_rate={rate}"),
    )
    assert done.error.startswith(reason)
    assert "try a lower training.learning_rate" in done.error
    assert not (tmp_path / "model" / "weights.safetensors").exists()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_goes_with_the_lines(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, out = Terminal(), io.StringIO()
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    command = ("sanoscope", "fit", "conv-vae", collection, "--out", tmp_path / "model", *SMALL, "--epochs", 2)
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    with contextlib.redirect_stderr(terminal), contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main()
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert out.getvalue() == ""
    assert re.search(r"epoch 1 of 2 ━", shown)
    assert re.search(r"epoch 2 of 2 ━", shown)
    assert re.search(r"epoch 2 of 2: train/kl \d", shown)
    assert "v_num" not in shown
