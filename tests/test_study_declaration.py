"""What a study's file may say, and how what it may not is refused: by name, in one line, with the mend."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sanoscope.cases import load_cases, write_manifest
from sanoscope.errors import DataError, OptionError
from sanoscope.studies.budget import Budget
from sanoscope.studies.comparing import comparison
from sanoscope.studies.declaration import Study
from sanoscope.studies.job import Job, Machine, Terms, jobs_of
from sanoscope.studies.job_cases import cases_of
from sanoscope.studies.parsing import parse_study, read_study
from sanoscope.studies.recipes import recipe_of, with_weights
from sanoscope.studies.sources import AtPaths
from study_files import declared, tissue, written


def parsed(tmp_path: Path, **changes: Any) -> Study:
    (tmp_path / "data").mkdir(exist_ok=True)
    return parse_study(declared(Path("data"), **changes), "study.yaml", AtPaths(tmp_path))


def method(**changes: Any) -> dict[str, Any]:
    return {"recipe": "conv-vae", **changes}


def test_a_file_is_a_study(tmp_path: Path) -> None:
    file = written(tmp_path, {**declared(Path("data")), "small": {"epochs": 0.1}, "seeds": 3})
    (tmp_path / "data").mkdir()
    study = parse_study(read_study(file), str(file), AtPaths(tmp_path))
    assert (study.name, study.title, study.seeds) == ("two-methods", "two-methods", (3,))
    assert study.collections[0].data == (tmp_path / "data",)
    assert study.collections[0].name == "data"
    assert study.rows == ("plain", "plain, mse", "wide")
    assert study.metrics[0] == "auroc"


def test_a_grid_is_a_method_for_each_combination(tmp_path: Path) -> None:
    grid = {"network.latent": [4, 8], "training.learning_rate": [0.001, 0.01]}
    study = parsed(
        tmp_path,
        methods=[method(name="VAE", grid=grid)],
        reference="VAE, network.latent=8, training.learning_rate=0.01",
    )
    assert [one.name for one in study.methods] == [
        f"VAE, network.latent={latent}, training.learning_rate={rate}"
        for latent in (4, 8)
        for rate in ("0.001", "0.01")
    ]


def test_jobs_are_methods_by_seeds_by_folds_and_the_first_seed_of_all_comes_first(tmp_path: Path) -> None:
    study = parsed(tmp_path, folds=2, methods=[method(name="a"), method(name="b", only=["data"])], reference="b")
    jobs = jobs_of(study, Terms("images", budget=Budget(seeds=0)), Machine())
    assert [(job.seed, job.fold, job.method.name) for job in jobs] == [
        (seed, fold, name) for seed in (0, 1) for fold in (1, 2) for name in ("a", "b")
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": None}, "has no 'name'"),
        ({"measur": "images"}, "has no 'measur'; did you mean 'measure'?"),
        ({"measure": "imges"}, "measure 'imges' is unknown; did you mean 'images'?"),
        ({"metrics": ["aurok"]}, "metric 'aurok' is unknown of images; did you mean 'auroc'?"),
        ({"reference": "nobody"}, "reference 'nobody' is no row"),
        ({"seeds": [1, 1]}, "'seeds' takes a list of different whole numbers"),
        ({"seeds": "a"}, "'seeds' takes a list of whole numbers, not 'a'"),
        ({"methods": []}, "needs 'methods', a list with one entry or more"),
        ({"methods": ["conv-vae"]}, "methods[0]: must be a mapping"),
        ({"methods": [{"name": "x"}]}, "methods[0]: has no 'recipe'"),
        ({"methods": [method(recipe="conv-vea")]}, "did you mean 'conv-vae'?"),
        ({"methods": [method(preset="papier")]}, "method 'conv-vae'"),
        ({"methods": [method(options={"network.latnt": 3})]}, "has no option 'network.latnt'"),
        ({"methods": [method(), method()]}, "two rows are called 'conv-vae'"),
        ({"methods": [method(grid={"network.latent": 3})]}, "grid 'network.latent' takes a list"),
        ({"methods": [method(readings={"r": {"network.latent": 3}})]}, "is built into the trained model"),
        ({"methods": [method(only=["elsewhere"])]}, "is only for 'elsewhere'"),
        ({"methods": [method(ensemble=0.1)]}, "an ensemble of maps is of measure pixels only"),
        ({"methods": [method(search={"network.latent": [2]})]}, "are what a selection needs"),
        ({"measure": "clusters", "methods": [method(also=["mse"])]}, "readings and 'also'"),
        ({"balance": "yes please"}, "'balance' takes true or false"),
        ({"folds": 1}, "folds=1 tests on nothing"),
        ({"collections": [{"data": "nowhere"}]}, "nowhere does not exist"),
        ({"collections": [{"data": {"train": "data"}}]}, "the paths of both train and test"),
        ({"collections": [{"data": "data"}, {"data": "data"}]}, "two collections are called 'data'"),
        ({"published": {"plain": 3}}, "published 'plain' takes a mapping"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    changes = {"reference": None, **changes}
    with pytest.raises((OptionError, DataError), match=re.escape(said)) as refusal:
        parsed(tmp_path, **changes)
    assert str(refusal.value).startswith("study.yaml")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("content", "said"), [("a: [", "is not YAML"), (None, "cannot be read")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "study.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(OptionError, match=f"{re.escape(str(file))}: {said}"):
        read_study(file)


def test_published_numbers_become_text(tmp_path: Path) -> None:
    numbers = {"plain": {"auroc": 0.9, "kl": 261.09}, "wide": {"data": {"auroc": [0.934, 0.003]}}}
    study = parsed(tmp_path, published=numbers)
    assert study.published["plain"]["data"] == {"auroc": "0.900", "kl": "261.09"}
    assert study.published["wide"]["data"] == {"auroc": "0.934 ± 0.003"}


# ------------------------------------------------------------ what a job's recipe is


def job_of(study: Study, budget: Budget, **set_for_all: Any) -> Job:
    return jobs_of(study, Terms("images", budget=budget, set_for_all=set_for_all), Machine())[0]


def test_later_settings_win_and_a_budget_comes_last(tmp_path: Path) -> None:
    collections = [
        {"data": "data", "options": {"network.latent": 5, "preparation.image_size": 48, "objective.none": 1}}
    ]
    one = method(options={"network.latent": 6}, short={"training.batch_size": 7})
    study = parsed(tmp_path, collections=collections, methods=[one], reference=None)
    full, short = (job_of(study, budget).recipe for budget in (Budget(), Budget(epochs=0.1)))
    assert (full["network.latent"], full["preparation.image_size"], full["training.batch_size"]) == (6, 48, 100)
    assert (short["training.batch_size"], short["training.epochs"]) == (7, full["training.epochs"] // 10)
    changed = jobs_of(study, Terms("images", set_for_all={"network.latent": 9}), Machine())[0]
    assert changed.recipe["network.latent"] == 9


def test_a_preset_may_be_that_of_the_collection(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    deep = {"recipe": "deep-perceptual-autoencoder", "preset": {"one": "cifar10-airplane", "two": "cifar10-bird"}}
    study = parsed(tmp_path, collections=[{"data": "one"}, {"data": "two"}], methods=[deep], reference=None)
    rates = [recipe_of(study.methods[0], where, Budget(), {})["training.learning_rate"] for where in study.collections]
    assert rates == [2e-3, 5e-3]


def test_weights_are_found_by_the_name_of_their_network(tmp_path: Path) -> None:
    study = parsed(tmp_path, methods=[{"recipe": "deep-knn"}], reference=None)
    recipe = job_of(study, Budget()).recipe
    assert with_weights(recipe, tmp_path) == recipe
    (tmp_path / f"{recipe['network.features']}_published.pth").touch()
    assert with_weights(recipe, tmp_path)["network.weights"].endswith("_published.pth")


def test_what_a_result_depends_on_is_neither_place_nor_name(tmp_path: Path) -> None:
    from sanoscope.cases import Case, Cases

    cases = Cases([Case("a", label=0, split="test")])
    one = job_of(parsed(tmp_path, seeds=[0], methods=[method(name="a")], reference=None), Budget())
    (tmp_path / "moved").mkdir()
    other = job_of(parsed(tmp_path / "moved", seeds=[0], methods=[method(name="b")], reference=None), Budget())
    assert one.depends_on(cases) == other.depends_on(cases)
    smaller = job_of(parsed(tmp_path, seeds=[0], methods=[method(name="a")], reference=None), Budget(epochs=0.5))
    assert one.depends_on(cases) != smaller.depends_on(cases)


# ------------------------------------------------------------ recipes on collections, without a file


def test_a_comparison_is_a_study(tmp_path: Path) -> None:
    for name in ("x/data", "y/data"):
        (tmp_path / name).mkdir(parents=True)
    study = comparison(
        ["conv-vae", "patchcore"],
        [tmp_path / "x" / "data", tmp_path / "y" / "data"],
        grid={"network.latent": [4, 8]},
        seeds=2,
        folds=3,
    )
    assert [one.name for one in study.methods] == [
        "conv-vae, network.latent=4",
        "conv-vae, network.latent=8",
        "patchcore",
    ]
    assert [one.name for one in study.collections] == ["x/data", "y/data"]
    assert study.seeds == (0, 1)
    assert [one.folds for one in study.collections] == [3, 3]


# ------------------------------------------------------------ the images of a job


def renamed(folder: Path) -> Path:
    """Other patients than those of ``tissue``."""
    cases = load_cases(tissue(folder))
    others = (replace(case, subject=f"other {case.subject}") for case in cases)
    write_manifest(cases.with_cases(others), folder / "manifest.csv")
    return folder


def test_two_places_are_learned_from_and_tested_on(tmp_path: Path) -> None:
    tissue(tmp_path / "healthy")
    renamed(tmp_path / "patients")
    study = parsed(tmp_path, collections=[{"name": "both", "data": {"train": "healthy", "test": "patients"}}])
    cases = cases_of(job_of(study, Budget()))
    assert {case.path.parts[len(tmp_path.parts)] for case in cases.train if case.path} == {"healthy"}
    assert {case.path.parts[len(tmp_path.parts)] for case in cases.test if case.path} == {"patients"}
    assert set(cases.test.labels) == {0, 1}


def test_all_seeds_and_methods_have_the_same_sides_and_folds_test_everything_once(tmp_path: Path) -> None:
    tissue(tmp_path / "data")
    study = parsed(tmp_path, folds=3, collections=[{"data": "data"}])
    jobs = jobs_of(study, Terms("images"), Machine())
    tested: dict[int, set[tuple[str, ...]]] = {}
    for job in jobs:
        tested.setdefault(job.fold, set()).add(tuple(case.name for case in cases_of(job).test))
    assert [len(sides) for sides in tested.values()] == [1, 1, 1]
    names = [name for (side,) in tested.values() for name in side]
    assert sorted(names) == sorted(case.name for case in load_cases(tmp_path / "data"))


@pytest.mark.parametrize(("measure", "said"), [("pixels", "no test image has a mask"), ("images", "has a label")])
def test_what_cannot_be_measured_is_known_before_training(tmp_path: Path, measure: str, said: str) -> None:
    cases = load_cases(tissue(tmp_path / "data"))
    write_manifest(cases.unlabelled(), tmp_path / "data" / "manifest.csv")
    methods = [{"recipe": "conv-vae"}]
    study = parsed(tmp_path, measure=measure, methods=methods, reference=None, collections=[{"data": "data"}])
    job = jobs_of(study, Terms(measure), Machine())[0]
    with pytest.raises(DataError, match=said):
        cases_of(job)
