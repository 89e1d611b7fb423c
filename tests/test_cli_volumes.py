"""Volumes on the command line as a user types it: maps on the files' own grids, masks, pictures, and broken files."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from command_line import SMALL, finished, sanoscope
from sanoscope.recipes import get_recipe
from volume_files import RAS, save, turned

SHAPE = (24, 20, 10)  # towards right, front and head
CASES = ("case-1", "case-2", "case-3")
LESION = range(3, 6)  # the axial slices that have one
# One file has its axes in another order and direction than the others, as scanners differ.
ORDERS = {"case-2": ((2, 0, 1), (-1, 1, -1))}
STRAIGHT = ((0, 1, 2), (1, 1, 1))
QUICK = (*SMALL, "--epochs", 1, "--set", "training.max_iterations=2", "--set", "training.batch_size=8")
FEW = ("--resamples", 10)


def write_case(folder: Path, name: str, seed: int, *, masked: bool = True) -> None:
    """A noisy head on black with a bright block in it, off centre in every direction."""
    rng = np.random.default_rng(seed)
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    voxels = np.where(x**2 + y**2 < 0.8, rng.integers(400, 500, SHAPE), 0).astype(np.int16)
    truth = np.zeros(SHAPE, np.uint8)
    truth[5 + seed : 9 + seed, 11:15, LESION.start : LESION.stop] = 4
    voxels[truth > 0] = 900
    axes, flips = ORDERS.get(name, STRAIGHT)
    stored, affine = turned(voxels, axes, flips, RAS @ np.array([[1, 0, 0, -9], [0, 1, 0, 4], *np.eye(4)[2:]]))
    save(folder / name / f"{name}_flair.nii.gz", stored, affine)
    if masked:
        save(folder / name / f"{name}_seg.nii.gz", turned(truth, axes, flips)[0], affine)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volumes") / "brats"
    for seed, name in enumerate(CASES):
        write_case(folder, name, seed)
    return folder


@pytest.fixture(scope="module")
def model(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted") / "model"
    done = finished("fit", "beta-vae", tree, "--out", folder, *QUICK)
    assert "30 images; 9 abnormal, 21 normal; 3 subjects" in done.err
    assert "volumes: 3, of which 30 axial slices (data.slices=all)" in done.err
    return folder


@pytest.fixture(scope="module")
def scored(model: Path, tree: Path) -> Path:
    folder = model.parent / "findings"
    done = finished("score", model, tree, "--side", "all", "--out", folder, "--device", "cpu")
    assert "Per pixel, whole image:" in done.out
    assert "Per pixel, foreground only:" in done.out
    assert "beta-vae, rec-grad" in done.out
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "findings"


def source(tree: Path, name: str, kind: str) -> nib.Nifti1Image:
    return nib.load(tree / name / f"{name}_{kind}.nii.gz")


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def metrics_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return content


def pixel_row(folder: Path, title: str, name: str) -> dict[str, Any]:
    (row,) = (row for row in metrics_of(folder)["pixels"][title] if row["name"] == name)
    evaluation: dict[str, Any] = row["evaluation"]
    return evaluation


# ------------------------------------------------------------ what is written


def test_maps_lie_on_the_grid_of_their_volume(scored: Path, tree: Path) -> None:
    written = {file.relative_to(scored / "maps").as_posix() for file in (scored / "maps").rglob("*")}
    assert written == {f"{name}.nii.gz" for name in CASES}
    for name in CASES:
        heatmap, volume, truth = (
            nib.load(scored / "maps" / f"{name}.nii.gz"),
            *(source(tree, name, kind) for kind in ("flair", "seg")),
        )
        assert heatmap.shape == volume.shape
        np.testing.assert_array_equal(heatmap.affine, volume.affine)
        np.testing.assert_array_equal(heatmap.header.get_zooms(), volume.header.get_zooms())
        assert nib.aff2axcodes(heatmap.affine) == nib.aff2axcodes(volume.affine)
        values = heatmap.get_fdata()
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        # The block is found where it is, whatever the order and direction of the axes.
        inside = truth.get_fdata() > 0
        assert inside[np.unravel_index(values.argmax(), values.shape)]
        assert values[inside].mean() > 2 * values[~inside].mean()
    assert source(tree, "case-2", "flair").shape != SHAPE


def test_a_row_and_an_overlay_for_each_slice(scored: Path, tree: Path) -> None:
    rows = table_of(scored)
    assert [row["name"] for row in rows] == [f"{name}/axial-{i:03d}" for name in CASES for i in range(SHAPE[2])]
    for row in rows:
        name = row["subject"]
        assert (row["axis"], row["slices"], row["name"]) == ("axial", "10", f"{name}/axial-{int(row['slice']):03d}")
        assert Path(row["path"]) == tree / name / f"{name}_flair.nii.gz"
        assert Path(row["mask"]) == tree / name / f"{name}_seg.nii.gz"
        assert int(row["label"]) == (int(row["slice"]) in LESION)
        with Image.open(scored / "overlays" / f"{row['name']}.png") as picture:
            assert picture.size == SHAPE[:2]  # width and height
    overlays = {file.relative_to(scored / "overlays").as_posix() for file in (scored / "overlays").rglob("*.png")}
    assert overlays == {f"{row['name']}.png" for row in rows}


def test_report_shows_volumes_truth_and_every_map(scored: Path) -> None:
    page = (scored / "report.html").read_text()
    for name in CASES:
        assert f'alt="{name} under its map"' in page
    for what in ("truth", "reconstruction", "rec-grad", "kl-grad", "rec-error", "combi", "elbo-grad", "ensemble"):
        assert f'alt="{what}"' in page
    for title in ("Results per pixel", "Labelled abnormal, one of each subject", "Foreground only"):
        assert title in page
    with Image.open(scored / "gallery" / "maps.png") as figure:
        assert figure.height * 2 < figure.width  # three rows, nine columns
    assert len(list((scored / "montages").glob("*.png"))) == 3


def test_without_masks_there_are_maps_but_no_results(model: Path, tmp_path: Path, out: Path) -> None:
    write_case(tmp_path / "unknown", "case-9", 0, masked=False)
    done = finished("score", model, tmp_path / "unknown", "--out", out, "--device", "cpu")
    assert "Per pixel" not in done.out
    assert (out / "maps" / "case-9.nii.gz").exists()
    assert not (out / "gallery" / "maps.png").exists()
    page = (out / "report.html").read_text()
    assert 'alt="case-9 under its map"' in page
    assert 'alt="truth"' not in page
    assert 'id="pixels"' not in page
    assert "no scored image has a label" in sanoscope("evaluate", out).error


# ------------------------------------------------------------ which slices


@pytest.mark.parametrize(
    ("axis", "slices", "chosen"), [("axial", "2:8", range(2, 8)), ("coronal", "central:3", [9, 10, 11])]
)
def test_some_slices_only(model: Path, tree: Path, out: Path, axis: str, slices: str, chosen: range) -> None:
    options = ("--set", f"data.slices={slices}", "--set", f"data.axis={axis}")
    finished("score", model, tree / "case-1", "--out", out, "--device", "cpu", *options)
    assert [row["name"] for row in table_of(out)] == [f"case-1/{axis}-{index:03d}" for index in chosen]
    heatmap = nib.load(out / "maps" / "case-1.nii.gz").get_fdata()
    assert heatmap.shape == SHAPE
    others = tuple(number for number in range(3) if number != {"axial": 2, "coronal": 1}[axis])
    assert np.flatnonzero(heatmap.any(others)).tolist() == list(chosen)


def test_slices_without_anything_in_them(model: Path, tmp_path: Path, out: Path) -> None:
    write_case(tmp_path / "data", "case-1", 0)
    file = tmp_path / "data" / "case-1" / "case-1_flair.nii.gz"
    voxels = nib.load(file).get_fdata().astype(np.int16)
    voxels[..., :2] = 0
    save(file, voxels, nib.load(file).affine)
    done = finished("score", model, tmp_path / "data", "--out", out, "--device", "cpu", "--set", "data.slices=0:2")
    assert "called abnormal: 0 of 2 images" in done.out
    assert not nib.load(out / "maps" / "case-1.nii.gz").get_fdata().any()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--layout", "bratz"], "layout='bratz' is unknown; did you mean 'brats'?"),
        (["--layout", "mvtec"], "not laid out as 'mvtec'; leave out layout, or give another folder"),
        (["--set", "data.slices=middle"], "data.slices=middle is not understood; write all, central:10 or 20:-20"),
        (["--set", "data.slices=50:60"], "no slice lies in data.slices=50:60; choose others"),
        (["--set", "data.modality=t1"], "no case has t1"),
        (["--set", "data.axis=axal"], "did you mean 'axial'?"),
    ],
)
def test_unusable_choice(model: Path, tree: Path, out: Path, arguments: list[str], reason: str) -> None:
    assert reason in sanoscope("score", model, tree, "--out", out, "--device", "cpu", *arguments).error
    assert not out.exists()


# ------------------------------------------------------------ files that are no use


def test_a_broken_volume_is_listed_and_the_others_scored(model: Path, tmp_path: Path, out: Path) -> None:
    data = tmp_path / "data"
    for seed, name in enumerate(CASES):
        write_case(data, name, seed, masked=False)
    files = {name: data / name / f"{name}_flair.nii.gz" for name in CASES}
    files["case-1"].write_bytes(b"no volume")
    files["case-3"].write_bytes(files["case-3"].read_bytes()[:-500])
    done = sanoscope("score", model, data, "--out", out, "--device", "cpu", "--set", "data.slices=2:5")
    assert done.code == 1
    assert {row["subject"] for row in table_of(out)} == {"case-2"}
    assert len(table_of(out)) == 3
    assert [file.name for file in (out / "maps").iterdir()] == ["case-2.nii.gz"]
    listed = json.loads((out / "findings.json").read_text())["unreadable"]
    assert [entry["path"] for entry in listed] == [
        str(files["case-1"]),
        *(f"{files['case-3']}, axial slice {i}" for i in range(2, 5)),
    ]
    assert "truncated" in listed[-1]["reason"]
    assert done.err.count("not scored: ") == 4
    assert f"images without a score: 4; they are listed in {out / 'findings.json'}" in done.err
    assert "Traceback" not in done.err


def test_a_mask_on_another_grid_is_a_clear_error(model: Path, tree: Path, tmp_path: Path, out: Path) -> None:
    data = Path(shutil.copytree(tree / "case-1", tmp_path / "case-1"))
    save(data / "case-1_seg.nii.gz", np.ones((24, 20, 9), np.uint8))
    error = sanoscope("score", model, data, "--out", out, "--device", "cpu").error
    assert "case-1_seg.nii.gz: has 24 × 20 × 9 voxels where" in error
    assert "give it the same grid" in error


# ------------------------------------------------------------ evaluate


def test_numbers_are_those_of_the_written_maps(scored: Path, tree: Path) -> None:
    done = finished("evaluate", scored, *FEW)
    assert "Per pixel, whole image:" in done.out
    for name in ("beta-vae, rec-grad", "beta-vae, kl-grad", "intensity", "signed z-map"):
        assert f"\n{name} " in done.out
    heatmaps = [nib.load(scored / "maps" / f"{name}.nii.gz").get_fdata().ravel() for name in CASES]
    truths = [source(tree, name, "seg").get_fdata().ravel() > 0 for name in CASES]
    flat, truth = np.concatenate(heatmaps), np.concatenate(truths)
    row = pixel_row(scored, "Whole image", "beta-vae, rec-grad")
    assert row["estimates"]["auroc"]["value"] == pytest.approx(roc_auc_score(truth, flat))
    assert row["estimates"]["average_precision"]["value"] == pytest.approx(average_precision_score(truth, flat))
    assert (row["n_images"], row["n_subjects"], row["n_lesions"]) == (3, 3, 3)
    assert row["n_pixels"] == 3 * np.prod(SHAPE)
    assert row["n_abnormal_pixels"] == truth.sum()
    inside = pixel_row(scored, "Foreground only", "beta-vae, rec-grad")
    assert inside["n_pixels"] < row["n_pixels"]
    assert set(row["decisions"]) == {"p85", "p90", "p95", "p98", "operating point (oracle)"}


def test_evaluated_again_the_numbers_are_the_same(scored: Path, tmp_path: Path) -> None:
    for number in range(2):
        finished("evaluate", scored, *FEW, "--seed", 4, "--out", tmp_path / str(number))
    assert metrics_of(tmp_path / "0") == metrics_of(tmp_path / "1")


def test_one_subject(scored: Path) -> None:
    finished("evaluate", scored, *FEW, "--subject", "case-2")
    folder = scored / "subject-case-2"
    row = pixel_row(folder, "Whole image", "beta-vae, rec-grad")
    assert (row["n_images"], row["n_subjects"], row["n_pixels"]) == (1, 1, np.prod(SHAPE))
    page = (folder / "report.html").read_text()
    assert "case-2 under its map" in page
    assert "case-1 under its map" not in page


def test_an_ensemble_is_evaluated_on_other_subjects(scored: Path) -> None:
    done = finished("evaluate", scored, *FEW, "--ensemble", 0.4)
    folder = scored / "ensemble-0.4"
    ensemble = pixel_row(folder, "Whole image", "beta-vae, fitted ensemble")
    assert (ensemble["n_images"], ensemble["n_subjects"]) == (2, 2)
    everything = pixel_row(
        folder, "Whole image, with the subjects that the ensemble was fitted on", "beta-vae, fitted ensemble"
    )
    assert everything["n_images"] == 3
    (note,) = (note for note in metrics_of(folder)["notes"] if note.startswith("ensemble fitted on"))
    (used,) = (name for name in CASES if f"({name})" in note)
    assert f"ensemble fitted on the masks of 1 subjects ({used}), which are left out here: " in done.out
    assert "per pixel, whole image, with the subjects" in done.out.lower()
    single = [
        pixel_row(folder, "Whole image", f"beta-vae, {name}")["estimates"]["average_precision"]["value"]
        for name in ("rec-grad", "kl-grad", "rec-error")
    ]
    assert ensemble["estimates"]["average_precision"]["value"] > min(single)


def test_an_ensemble_needs_maps(model: Path, tree: Path, out: Path) -> None:
    finished("score", model, tree / "case-1", "--out", out, "--device", "cpu", "--no-maps")
    error = sanoscope("evaluate", out, "--ensemble", 0.4).error
    assert error == f"{tree / 'case-1'}: an ensemble needs maps and masks; score images that have masks"


def test_kept_maps_that_were_damaged(scored: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(scored, tmp_path / "copy"))
    file = folder / "maps.safetensors"
    file.write_bytes(file.read_bytes()[:9000])
    error = sanoscope("evaluate", folder, *FEW).error
    assert error.startswith(f"{file}: is truncated or damaged")
    file.unlink()
    assert "of maps.safetensors and maps.json one is missing; score again" in sanoscope("evaluate", folder, *FEW).error


# ------------------------------------------------------------ presets, and the other paper


def test_presets_that_do_not_exist(tree: Path, out: Path) -> None:
    recipe = "constrained-attention-vae"
    known = "known: paper, light, comparison-study, journal"
    for wrong, said in {"papier": "did you mean 'paper'?", "nonsense": known}.items():
        error = sanoscope("fit", recipe, tree, "--out", out, "--preset", wrong).error
        assert error == f"recipe '{recipe}' has no preset '{wrong}'; {said}"
    error = sanoscope("fit", "conv-vae", tree, "--out", out, "--preset", "paper").error
    assert error == "recipe 'conv-vae' has no presets, only options; leave out 'paper'"
    assert not out.exists()


def test_a_preset_takes_effect_from_training_to_evaluation(tree: Path, tmp_path: Path, out: Path) -> None:
    recipe = get_recipe("constrained-attention-vae")
    small = (*QUICK[:-1], "training.batch_size=4", "--set", "training.max_iterations=1")
    finished("fit", recipe.name, tree, "--out", tmp_path / "model", "--preset", "paper", *small)
    options = json.loads((tmp_path / "model" / "detector.json").read_text())["recipe"]["options"]
    changed = {option for option, value in recipe.presets["paper"].items() if value != recipe[option]}
    assert changed
    ours = {"preparation.image_size", "training.precision", "training.max_iterations", "training.batch_size"}
    ours |= {"training.epochs"}
    for option, value in recipe.presets["paper"].items():
        assert option in ours or options[option] == value, option
    assert options["training.max_iterations"] == 1
    finished("score", tmp_path / "model", tree / "case-2", "--out", out, "--device", "cpu")
    heatmap, volume = nib.load(out / "maps" / "case-2.nii.gz"), source(tree, "case-2", "flair")
    assert heatmap.shape == volume.shape
    np.testing.assert_array_equal(heatmap.affine, volume.affine)
    done = finished("evaluate", out, *FEW)
    assert "constrained-attention-vae, attention" in done.out
    assert "0.5: 0.5" in done.out  # the paper's fixed threshold
    error = sanoscope("evaluate", out, "--ensemble", 0.4).error
    assert "an ensemble is of rec-error, kl-grad, rec-grad; there is no map 'rec-error' among attention" in error


# ------------------------------------------------------------ real images


@pytest.mark.real_data
def test_a_real_volume_through_a_model_of_slices(real_data: Path, tmp_path: Path, out: Path) -> None:
    with (real_data / "lgg" / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    patients = {}
    for side, count in {"train": 3, "validation": 2, "test": 1}.items():
        patients |= dict.fromkeys(list(dict.fromkeys(r["subject"] for r in rows if r["split"] == side))[:count])
    chosen = [row for row in rows if row["subject"] in patients][::2]
    with (tmp_path / "part.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        for row in chosen:
            full = {key: str(real_data / "lgg" / row[key]) if row[key] else "" for key in ("path", "mask")}
            writer.writerow(row | full)
    finished("fit", "beta-vae", tmp_path / "part.csv", "--out", tmp_path / "model", *QUICK)
    case = "BraTS2021_01657"
    slices = range(70, 78)
    done = finished(
        "score", tmp_path / "model", real_data / "brats" / case, "--out", out, "--device", "cpu",
        "--set", f"data.slices={slices.start}:{slices.stop}",
    )  # fmt: skip
    assert "Per pixel, whole image:" in done.out
    heatmap = nib.load(out / "maps" / f"{case}.nii.gz")
    volume = nib.load(real_data / "brats" / case / f"{case}_flair.nii.gz")
    assert heatmap.shape == volume.shape == (240, 240, 155)
    np.testing.assert_array_equal(heatmap.affine, volume.affine)
    assert nib.aff2axcodes(heatmap.affine) == nib.aff2axcodes(volume.affine)
    values = np.asarray(heatmap.dataobj)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert np.flatnonzero(values.any((0, 1))).tolist() == list(slices)
    assert len(list((out / "overlays" / case).glob("*.png"))) == len(slices)
    truth = nib.load(real_data / "brats" / case / f"{case}_seg.nii.gz").get_fdata()[..., slices.start : slices.stop] > 0
    finished("evaluate", out, *FEW)
    row = pixel_row(out, "Whole image", "beta-vae, rec-grad")
    by_sklearn = roc_auc_score(truth.ravel(), values[..., slices.start : slices.stop].ravel())
    assert row["estimates"]["auroc"]["value"] == pytest.approx(by_sklearn)
    assert (row["n_images"], row["n_abnormal_pixels"]) == (1, truth.sum())
