"""``sanoscope score`` as a user types it: what it writes, which images it takes, and files that are no use."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from safetensors.numpy import load, save

from command_line import SMALL, finished, in_own_process, sanoscope
from sanoscope import Detector, read_cases
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.report.images import overlay

SIDES = ("train", "validation", "test")
SCORES = ("wasserstein", "mse", "elbo", "kl", "mean intensity", "detail", "per-pixel z-map", "PCA residual")
COLUMNS = ["name", "path", "subject", "split", "label", "group", "mask", "axis", "slice", "slices"]
COLUMNS += ["tile_x", "tile_y", "tile_side", "tile_size"]
COLUMNS += ["score", "p_value", "abnormal", "seen_in_training"]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects, the healthy one to learn from; the other sides have both labels."""
    folder = tmp_path_factory.mktemp("collection") / "patches"
    phantoms = histology_phantoms(subjects=3, images_per_subject=10, size=40, seed=1)
    healthy = min(set(phantoms.subjects), key=lambda s: sum(phantoms.labels[np.array(phantoms.subjects) == s]))
    others = iter(("validation", "test"))
    side_of = {s: "train" if s == healthy else next(others) for s in sorted(set(phantoms.subjects))}
    phantoms.save(folder, [side_of[subject] for subject in phantoms.subjects])
    return folder


@pytest.fixture(scope="module")
def model(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted") / "model"
    finished("fit", "conv-vae", collection, "--out", folder, *SMALL, "--epochs", "2")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "findings"


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def findings_of(folder: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    content: dict[str, Any] = json.loads((folder / "findings.json").read_text(), parse_constant=refuse)
    return content


def normals(size: int = 40, seed: int = 7) -> np.ndarray:
    phantoms = histology_phantoms(subjects=1, images_per_subject=12, size=size, seed=seed)
    return phantoms.images[phantoms.labels == 0]


# ------------------------------------------------------------ what it writes


def test_table_maps_overlays_findings_and_report(model: Path, collection: Path, out: Path) -> None:
    done = finished("score", model, collection, "--out", out, "--device", "cpu")
    rows = table_of(out)
    assert list(rows[0]) == [*COLUMNS, *(f"score: {name}" for name in SCORES)]
    cases = {case.name: case for case in read_cases(collection) if case.split == "test"}
    assert [row["name"] for row in rows] == list(cases)
    for row in rows:
        case = cases[row["name"]]
        assert (Path(row["path"]), row["subject"], row["split"]) == (case.path, case.subject, "test")
        assert int(row["label"]) == case.label
        assert row["score"] == row["score: wasserstein"]
        assert 0 < float(row["p_value"]) <= 1
    stored = findings_of(out)
    threshold = stored["decisions"]["wasserstein"]["threshold"]
    assert [int(row["abnormal"]) for row in rows] == [int(float(row["score"]) > threshold) for row in rows]
    fitted_on = stored["decisions"]["wasserstein"]["fitted_on"]
    validation = [case.label for case in read_cases(collection) if case.split == "validation"]
    assert (fitted_on["normal"], fitted_on["abnormal"]) == (validation.count(0), validation.count(1))
    assert stored["decisions"]["wasserstein"]["rule"] == "youden"
    assert stored["unreadable"] == []
    assert set(stored["decisions"]) == set(SCORES)
    called = sum(int(row["abnormal"]) for row in rows)
    assert f"called abnormal: {called} of {len(rows)} images" in done.out
    assert f"report: {out / 'report.html'}" in done.out
    assert "conv-vae, wasserstein" in (out / "report.html").read_text()
    for name in cases:
        heatmap = tifffile.imread(out / "maps" / f"{name}.tiff")
        assert heatmap.shape == (40, 40)
        assert heatmap.dtype == np.float32
        assert (heatmap >= 0).all()


def test_table_holds_what_the_detector_says(model: Path, collection: Path, out: Path) -> None:
    finished("score", model, collection, "--out", out, "--device", "cpu", "--no-maps")
    detector = Detector.load(model, device="cpu")
    findings = detector.score(read_cases(collection).test)
    rows = table_of(out)
    for name, values in findings.scores.items():
        assert [float(row[f"score: {name}"]) for row in rows] == values.tolist()
    assert [float(row["p_value"]) for row in rows] == findings.p_values.tolist()


def test_without_maps_none_are_written(model: Path, collection: Path, out: Path) -> None:
    finished("score", model, collection, "--out", out, "--device", "cpu", "--no-maps")
    assert {file.name for file in out.iterdir()} == {"scores.csv", "findings.json", "gallery", "report.html"}


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 57), (61, 20), (40, 40), (9, 31)])
def test_maps_lie_on_the_grid_of_their_file(model: Path, tmp_path: Path, out: Path, height: int, width: int) -> None:
    file = tmp_path / "an image.png"
    image = normals(64)[0][:height, :width]
    Image.fromarray(image).save(file)
    finished("score", model, file, "--out", out, "--device", "cpu")
    heatmap = tifffile.imread(out / "maps" / "an image.tiff")
    assert heatmap.shape == (height, width)
    shown = np.asarray(Image.open(out / "overlays" / "an image.png"))
    stored = findings_of(out)
    assert 0 < stored["map_base"] < stored["map_scale"]
    np.testing.assert_array_equal(shown, overlay(image, heatmap, (stored["map_base"], stored["map_scale"])))
    np.testing.assert_array_equal(heatmap, Detector.load(model, device="cpu").score_map(file)[0])


# ------------------------------------------------------------ which images


@pytest.mark.parametrize("side", [None, "auto", "test", "validation", "train", "all"])
def test_the_training_collection_gives_its_recorded_side(
    model: Path, collection: Path, out: Path, side: str | None
) -> None:
    chosen = [] if side is None else ["--side", side]
    done = finished("score", model, collection, "--out", out, "--device", "cpu", "--no-maps", *chosen)
    wanted = {None: ("test",), "auto": ("test",), "all": SIDES}.get(side, (side,))
    rows = table_of(out)
    expected = [case.name for case in read_cases(collection) if case.split in wanted]
    assert [row["name"] for row in rows] == expected
    seen = [row["seen_in_training"] == "1" for row in rows]
    assert seen == [row["split"] == "train" and row["label"] == "0" for row in rows]
    if any(seen):
        assert f"{sum(seen)} of the scored images were in the training set: their scores are too low" in done.out
        assert "were in the training set" in (out / "report.html").read_text()
    else:
        assert "were in the training set" not in done.out


def test_the_split_made_when_fitting_is_the_one_recorded(tmp_path: Path) -> None:
    data = tmp_path / "data"
    manifest = histology_phantoms(subjects=6, images_per_subject=4, size=32, seed=2).save(data)
    finished("fit", "conv-vae", data, "--out", tmp_path / "model", *SMALL, "--epochs", "1", "--seed", "5")
    sides = json.loads((tmp_path / "model" / "split.json").read_text())["sides"]
    for number, source in enumerate((data, manifest)):  # the folder is read by its manifest, so they are the same
        findings = tmp_path / f"findings {number}"
        done = finished("score", tmp_path / "model", source, "--out", findings, "--device", "cpu", "--no-maps")
        rows = table_of(findings)
        assert {row["name"] for row in rows} == {name for name, side in sides.items() if side == "test"}
        assert not any(int(row["seen_in_training"]) for row in rows)
        assert "of the collection the model was trained on" in done.err


def test_images_that_came_later_are_scored_too(tmp_path: Path, out: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    images = normals()
    for number, image in enumerate(images[:-1]):
        Image.fromarray(image).save(data / f"{number}.png")
    finished("fit", "conv-vae", data, "--out", tmp_path / "model", *SMALL, "--epochs", "1")
    Image.fromarray(images[-1]).save(data / "later.png")
    done = finished("score", tmp_path / "model", data, "--out", out, "--device", "cpu", "--no-maps")
    assert "1 of them new there" in done.err
    assert "later" in {row["name"] for row in table_of(out)}


def test_another_folder_is_scored_as_a_whole_and_training_images_are_marked(
    model: Path, collection: Path, tmp_path: Path, out: Path
) -> None:
    cases = read_cases(collection)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    copied = [case for side in SIDES for case in cases.in_split(side) if case.label == 0][::3]
    for number, case in enumerate(copied):
        shutil.copy(case.path, elsewhere / f"{number:02d}.png")
    done = finished("score", model, elsewhere, "--out", out, "--device", "cpu", "--no-maps")
    assert f"scoring all {len(copied)} images" in done.err
    seen = [case.split == "train" for case in copied]
    assert [row["seen_in_training"] == "1" for row in table_of(out)] == seen
    # There are no labels, so that there is no table, but a reader must know nevertheless.
    assert f"note: {sum(seen)} of the scored images were in the training set" in done.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--side", "tset"], "--side takes one of auto, all, train, validation, test, not 'tset'"),
        (["--normal", "benign"], "no group is called 'benign'"),
        (["--device", "gpu"], "unknown device 'gpu'"),
    ],
)
def test_unusable_choice(model: Path, collection: Path, out: Path, arguments: list[str], reason: str) -> None:
    assert reason in sanoscope("score", model, collection, "--out", out, *arguments).error
    assert not out.exists()


def test_a_side_without_images(model: Path, tmp_path: Path, out: Path) -> None:
    Image.fromarray(normals()[0]).save(tmp_path / "one.png")
    done = sanoscope("score", model, tmp_path / "one.png", "--out", out, "--side", "validation", "--device", "cpu")
    assert done.error == f"{tmp_path / 'one.png'}: no image is on the validation side; choose another --side"


# ------------------------------------------------------------ options without refitting


def scored(model: Path, collection: Path, out: Path, *options: str) -> tuple[dict[str, Any], list[dict[str, str]]]:
    pairs = [part for option in options for part in ("--set", option)]
    finished("score", model, collection, "--out", out, "--device", "cpu", "--no-maps", *pairs)
    return findings_of(out), table_of(out)


def test_decision_changes_without_refitting(model: Path, collection: Path, tmp_path: Path) -> None:
    before, rows_before = scored(model, collection, tmp_path / "before")
    options = ("decision.rule=quantile", "decision.target_false_positive_rate=0.4")
    after, rows_after = scored(model, collection, tmp_path / "after", *options)
    assert [row["score"] for row in rows_before] == [row["score"] for row in rows_after]
    decision = after["decisions"]["wasserstein"]
    assert (decision["rule"], decision["target_false_positive_rate"]) == ("quantile", 0.4)
    assert before["decisions"]["wasserstein"]["rule"] == "youden"
    held_out = np.sort(after["calibration"])
    assert decision["threshold"] == held_out[int(np.ceil((len(held_out) + 1) * 0.6)) - 1]
    assert [int(row["abnormal"]) for row in rows_after] == [
        int(float(row["score"]) > decision["threshold"]) for row in rows_after
    ]
    # The model itself stays as it was.
    assert Detector.load(model, device="cpu").recipe["decision.rule"] == "auto"


def test_another_score_decides_without_refitting(model: Path, collection: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("scoring: {score: mse}")
    out = tmp_path / "findings"
    finished("score", model, collection, "--out", out, "--device", "cpu", "--no-maps", "--config", settings)
    assert findings_of(out)["score"] == "mse"
    assert all(row["score"] == row["score: mse"] for row in table_of(out))


def test_sampled_latents_are_seeded_and_said(model: Path, collection: Path, tmp_path: Path) -> None:
    tables = {}
    for name, seed in {"a": 1, "b": 1, "c": 2}.items():
        options = ("scoring.latent=sample", f"scoring.samples_seed={seed}")
        stored, rows = scored(model, collection, tmp_path / name, *options)
        tables[name] = [row["score"] for row in rows]
        assert any("the threshold was fitted with scoring.latent=mean" in note for note in stored["notes"])
    _, means = scored(model, collection, tmp_path / "mean")
    assert tables["a"] == tables["b"]
    assert tables["a"] != tables["c"]
    assert tables["a"] != [row["score"] for row in means]


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("network.latent=3", "option 'network.latent' is built into the trained model; set it when fitting"),
        ("data.fraction=0.5", "is built into the trained model"),
        ("scoring.scroe=mse", "did you mean 'scoring.score'?"),
        ("decision.rule=youdne", "did you mean 'youden'?"),
        ("decision.target_false_positive_rate=1.5", "give one between 0 and 1"),
    ],
)
def test_other_options_are_refused(model: Path, collection: Path, out: Path, option: str, reason: str) -> None:
    arguments = ("--device", "cpu", "--set", "decision.rule=quantile", "--set", option)
    assert reason in sanoscope("score", model, collection, "--out", out, *arguments).error


# ------------------------------------------------------------ files that are no use


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Three good images among bad ones."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    images = normals()
    for number in range(3):
        Image.fromarray(images[number]).save(folder / f"good {number}.png")
    whole = (folder / "good 0.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    bad = images[0].astype(np.float32)
    bad[3, 3] = np.nan
    tifffile.imwrite(folder / "nan.tif", bad, photometric="rgb")
    Image.fromarray(images[0][..., 0]).save(folder / "grey.png")
    tifffile.imwrite(folder / "deep.tif", images[0].astype(np.uint16) * 16, photometric="rgb")
    (folder / "notes.txt").write_text("no image")
    return folder


REASONS = {
    "truncated.png": "truncated",
    "empty.png": "the file is empty",
    "nan.tif": "NaN",
    "grey.png": "is 8-bit with 1 channel where the model was trained on 8-bit with 3 channels",
    "deep.tif": "is 16-bit or float with 3 channels where the model was trained on 8-bit with 3 channels",
}


def test_bad_files_are_listed_and_the_rest_is_scored(model: Path, mixed: Path, out: Path) -> None:
    done = in_own_process("score", model, mixed, "--out", out, "--device", "cpu")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert [row["name"] for row in table_of(out)] == ["good 0", "good 1", "good 2"]
    unreadable = {Path(entry["path"]).name: entry["reason"] for entry in findings_of(out)["unreadable"]}
    assert unreadable.keys() == REASONS.keys()
    report = (out / "report.html").read_text()
    for name, reason in REASONS.items():
        assert reason in unreadable[name]
        (line,) = [line for line in done.err.splitlines() if line.startswith(f"not scored: {mixed / name}: ")]
        assert reason in line
        assert name in report
    assert done.err.splitlines()[-1] == f"images without a score: 5; they are listed in {out / 'findings.json'}"


def test_no_file_that_can_be_scored(model: Path, mixed: Path, out: Path) -> None:
    for file in mixed.glob("good *"):
        file.unlink()
    done = sanoscope("score", model, mixed, "--out", out, "--device", "cpu")
    assert done.error.startswith(f"{mixed}: none of 5 images can be scored; the first: {mixed}")
    assert not out.exists()


def test_images_of_another_size_are_said_once(model: Path, tmp_path: Path, out: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number, image in enumerate(normals(64)[:6]):
        Image.fromarray(image[: 40 + 4 * (number % 3)]).save(data / f"{number}.png")
    done = finished("score", model, data, "--out", out, "--device", "cpu", "--no-maps")
    said = [line for line in done.err.splitlines() if "all become 32×32" in line]
    assert len(said) == 1
    assert said[0].startswith("4 of 6 images are not ")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder, "no such file or folder"),
        (lambda folder: folder.mkdir() or folder, "no images here"),
        (lambda folder: folder.write_text("hello") and folder, "neither a folder, a manifest"),
    ],
)
def test_data_that_is_none(model: Path, tmp_path: Path, out: Path, make: Callable[..., Path], reason: str) -> None:
    data = make(tmp_path / "data")
    done = sanoscope("score", model, data, "--out", out, "--device", "cpu")
    assert done.error.startswith(f"{data}: {reason}")


def test_what_is_there_is_never_written_over(model: Path, collection: Path, out: Path) -> None:
    out.mkdir()
    (out / "mine.txt").write_text("precious")
    done = sanoscope("score", model, collection, "--out", out, "--device", "cpu")
    assert done.error == f"{out}: exists already; choose another --out"
    assert [file.name for file in out.iterdir()] == ["mine.txt"]


def test_findings_are_not_put_among_the_images(model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    Image.fromarray(normals()[0]).save(data / "one.png")
    done = sanoscope("score", model, data, "--out", data / "findings", "--device", "cpu")
    assert "where its pictures would be taken for data; choose another --out" in done.error


# ------------------------------------------------------------ models that are no use


def sum_up(model: Path) -> None:
    """Make the checksums fit again, as somebody would who altered a file on purpose."""
    files = ("weights.safetensors", "detector.json")
    sums = {name: hashlib.sha256((model / name).read_bytes()).hexdigest() for name in files}
    (model / "checksums.json").write_text(json.dumps(sums))


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def damage(model: Path) -> None:
        state = json.loads((model / "detector.json").read_text())
        state = change(state) or state
        (model / "detector.json").write_text(json.dumps(state))
        sum_up(model)

    return damage


def flip(model: Path) -> None:
    file = model / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def replace_text(model: Path) -> None:
    file = model / "detector.json"
    text = file.read_text()
    assert '"seed": 0' in text
    file.write_text(text.replace('"seed": 0', '"seed": 1', 1))


def without_an_array(model: Path) -> None:
    file = model / "weights.safetensors"
    arrays = load(file.read_bytes())
    del arrays["training keys"]
    file.write_bytes(save(arrays))
    sum_up(model)


def no_weights(model: Path) -> None:
    (model / "weights.safetensors").write_bytes(b"x" * 100)
    sum_up(model)


def unfinished(model: Path) -> None:
    for name in ("weights.safetensors", "detector.json", "checksums.json"):
        (model / name).unlink()


def missing(name: str) -> Callable[[Path], None]:
    return lambda model: (model / name).unlink()


def truncated(name: str) -> Callable[[Path], None]:
    def damage(model: Path) -> None:
        content = (model / name).read_bytes()
        (model / name).write_bytes(content[: len(content) // 2])

    return damage


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (shutil.rmtree, ": no such model folder; give one that 'sanoscope fit' or Detector.save wrote"),
    "weights missing": (missing("weights.safetensors"), "weights.safetensors: is missing or unreadable"),
    "settings missing": (missing("detector.json"), "detector.json: is missing or unreadable"),
    "checksums missing": (missing("checksums.json"), "checksums.json: is missing; copy the model again or refit it"),
    "weights truncated": (truncated("weights.safetensors"), "weights.safetensors: is truncated or was altered"),
    "settings truncated": (truncated("detector.json"), "detector.json: is truncated or was altered"),
    "checksums truncated": (truncated("checksums.json"), "checksums.json: cannot be read"),
    "a bit flipped": (flip, "weights.safetensors: is truncated or was altered"),
    "settings edited": (replace_text, "detector.json: is truncated or was altered"),
    "other format": (edit(lambda state: state | {"format": 99}), ": is of format 99, this version reads 4"),
    "no preparation": (edit(lambda state: state.pop("preparation") and None), ": is not a model of this version"),
    "settings a list": (edit(lambda state: [state]), ": is not a model of this version"),
    "unknown recipe": (edit(lambda state: state["recipe"].update(name="conv-vea")), "did you mean 'conv-vae'?"),
    "unknown option": (
        edit(lambda state: state["recipe"]["options"].update({"network.x": 1})),
        "has no option 'network.x'",
    ),
    "other latent": (
        edit(lambda state: state["recipe"]["options"].update({"network.latent": 5})),
        "weights.safetensors: does not fit its recipe",
    ),
    "an array missing": (without_an_array, ": is not a model of this version (KeyError: 'training keys')"),
    "no safetensors": (no_weights, ": is not a model of this version (SafetensorError: "),
    "unfinished training": (unfinished, "checksums.json: is missing; the training there is not finished; go on with"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_models(model: Path, collection: Path, tmp_path: Path, out: Path, damage: str) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    harm, reason = DAMAGES[damage]
    harm(copy)
    done = sanoscope("score", copy, collection, "--out", out, "--device", "cpu")
    assert reason in done.error
    assert done.error.startswith(str(copy))
    assert not out.exists()


def test_damaged_record_of_the_split(model: Path, collection: Path, tmp_path: Path, out: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    (copy / "split.json").write_text("{")
    done = sanoscope("score", copy, collection, "--out", out, "--device", "cpu")
    assert "split.json: cannot be read" in done.error
    assert "remove it to score without the recorded split" in done.error
