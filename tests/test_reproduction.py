"""The papers' tables: all are there and can be carried out, on their own collections or on what stands in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from command_line import finished, sanoscope
from sanoscope.errors import DataError, OptionError
from sanoscope.recipes import RECIPES
from sanoscope.studies.budget import Budget
from sanoscope.studies.job import Machine, Terms, jobs_of
from sanoscope.studies.parsing import read_study
from sanoscope.studies.reproduction import FOLDER, reproduction, tables
from study_files import tissue

NAMES = [
    "A1",
    "B1",
    "B2",
    "B3",
    "C1",
    "C2",
    "CS1",
    "CS2",
    "CF",
    "D1",
    "E1",
    "E2",
    "E3",
    *(f"ES{n}" for n in range(2, 9)),
]


def everywhere(folder: Path) -> Path:
    """Something by the name of each folder that stands in for a collection."""
    for table in tables():
        for name in table.stand_ins:
            (folder / name).mkdir(exist_ok=True)
    return folder


def test_every_table_is_there_and_says_what_it_needs() -> None:
    assert [table.name for table in tables()] == NAMES
    for table in tables():
        assert table.own
        assert table.stand_ins
        assert len(table.needs) > 40
        Budget.from_mapping(table.small)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", ["full", "small"])
def test_every_job_of_every_table_has_a_recipe(name: str, budget: str, tmp_path: Path) -> None:
    study = reproduction(name, everywhere(tmp_path))
    assert study.paper
    assert all(collection.stand_in for collection in study.collections)
    terms = Terms(study.measure, budget=Budget.parse(budget, study.small))
    for job in jobs_of(study, terms, Machine()):
        for part in job.recipe.parts:
            if part not in ("network", "training", "scoring"):  # these know more only when there are images
                job.recipe.build(part)
    assert len(set(study.rows)) == len(study.rows)


@pytest.mark.parametrize("name", NAMES)
def test_published_numbers_are_of_rows_and_collections_that_there_are(name: str, tmp_path: Path) -> None:
    content = read_study(FOLDER / f"{name}.yaml")
    study = reproduction(name, everywhere(tmp_path))
    collections = {entry["name"] for entry in content["collections"]} | {"mean"}
    methods = {row.partition(",")[0] for row in study.rows}
    for row, numbers in study.published.items():
        assert row in study.rows or row.partition(",")[0] in methods, row
        assert set(numbers) <= collections


def test_the_papers_numbers_are_as_printed(tmp_path: Path) -> None:
    data = everywhere(tmp_path)

    def published(table: str, row: str, collection: str, metric: str) -> str:
        return reproduction(table, data).published[row][collection][metric]

    assert published("A1", "ConvVAE", "IDC, by image", "reconstruction") == "424.14"
    assert published("A1", "Attn-ConvVAE", "IDC, by image", "accuracy") == "0.579"
    assert published("B2", "β 10, rec-grad", "BraTS 2018, trained on HCP", "auroc") == "0.905"
    assert published("D1", "CNN autoencoder without max-pooling", "IDC", "f1") == "0.651"
    assert published("E1", "proposed", "BraTS 2019", "oracle_dice") == "0.704"
    assert published("C1", "DPA", "NIH subset", "auroc") == "0.926 ± 0.002"
    assert published("CS1", "DPA", "cat", "auroc") == "0.594"


def test_the_twelve_methods_are_on_one_backbone_whatever_the_budget(tmp_path: Path) -> None:
    study = reproduction("E1", everywhere(tmp_path))
    for budget, backbone in ((Budget(), "resnet18"), (Budget.parse("small", study.small), "light")):
        jobs = jobs_of(study, Terms("pixels", budget=budget), Machine())
        assert {job.recipe["network.backbone"] for job in jobs} == {backbone}
        assert len({job.recipe["preparation.image_size"] for job in jobs}) == 1
    assert len({method.recipe for method in study.methods}) == 12


def test_methods_of_all_papers_are_in_some_table(tmp_path: Path) -> None:
    data = everywhere(tmp_path)
    used = {method.recipe for name in NAMES for method in reproduction(name, data).methods}
    assert used >= set(RECIPES) - {"deep-knn", "padim", "patchcore", "f-anogan-original", "deep-svdd", "dsebm"}


# ------------------------------------------------------------ where collections are found


def kaggle(folder: Path, patients: int = 10, each: int = 4) -> Path:
    """Patches as in Kaggle's archive."""
    rng = np.random.default_rng(0)
    for patient in range(patients):
        for label in (0, 1):
            place = folder / str(9000 + patient) / str(label)
            place.mkdir(parents=True)
            for number in range(each):
                pixels = rng.integers(90 * label, 90 * label + 120, (50, 50, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{9000 + patient}_idx5_x{number}_y1_class{label}.png")
    return folder


def test_the_papers_own_collection_is_preferred_wherever_it_is(tmp_path: Path) -> None:
    kaggle(tmp_path / "downloads" / "breast", patients=2, each=1)
    tissue(tmp_path / "downloads" / "idc")
    for data in (tmp_path / "downloads", tmp_path / "downloads" / "breast"):
        found = reproduction("A1", data).collections
        assert [one.data for one in found] == [(tmp_path / "downloads" / "breast",)] * 2
        assert [one.stand_in for one in found] == [None, None]
    (other,) = {one.data for one in reproduction("A1", tmp_path / "downloads" / "idc").collections}
    assert other == (tmp_path / "downloads" / "idc",)


def test_a_collection_of_ones_own_stands_in(tmp_path: Path) -> None:
    own = tissue(tmp_path / "my patches")
    (collection,) = reproduction("D1", own).collections
    assert collection.data == (own,)
    assert collection.stand_in == "my patches stands in for the paper's collection"


def test_two_collections_make_one_where_the_paper_learns_from_another(tmp_path: Path) -> None:
    import nibabel as nib

    volume = nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4))
    for path in (
        "hcp/100307/T1w/T2w_acpc_dc_restore_brain.nii.gz",
        "brats/case/case_t2.nii.gz",
        "brats/case/case_seg.nii.gz",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        nib.save(volume, tmp_path / path)
    (collection,) = reproduction("B1", tmp_path).collections
    assert collection.data == (tmp_path / "hcp", tmp_path / "brats")
    assert collection.stand_in is None


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no collection for table E1; it takes brats, or a folder named lgg"):
        reproduction("E1", tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        reproduction("E1", tmp_path / "nowhere")
    with pytest.raises(OptionError, match="did you mean 'E1'"):
        reproduction("E11", tmp_path)


# ------------------------------------------------------------ as a user types it


def test_the_list() -> None:
    done = finished("reproduce", "--list")
    for table in tables():
        assert table.title in done.out
        assert table.needs in done.out


def test_a_table_on_its_own_collection_with_pages(tmp_path: Path) -> None:
    data, pages = kaggle(tmp_path / "breast"), tmp_path / "pages"
    arguments = ["reproduce", "A1", data, "--out", tmp_path / "out", "--pages", pages, "--device", "cpu"]
    done = finished(*arguments, "--budget", "epochs=0.001,data=0.5,seeds=1", "--set", "preparation.image_size=32")
    page = (pages / "A1.md").read_text()
    assert "424.14" in page
    assert "50 % of the training images" in page
    assert "stands in" not in page
    assert {file.name for file in pages.iterdir()} >= {"A1.json", "A1.md", "README.md"}
    assert "expected time: about" in done.err
    assert "[12 of 12]" in done.err


def test_names_are_understood_in_lower_case(tmp_path: Path) -> None:
    assert reproduction("a1", everywhere(tmp_path)).name == "A1"


def test_unknown_budget_is_one_line(tmp_path: Path) -> None:
    everywhere(tmp_path)
    assert sanoscope("reproduce", "A1", tmp_path, "--out", tmp_path / "out", "--budget", "huge").error.startswith(
        "--budget"
    )


def test_small_budgets_are_small() -> None:
    sizes: dict[str, Any] = {table.name: table.small for table in tables()}
    assert all(small["epochs"] < 0.5 for small in sizes.values())
