"""What a study says of its time before it begins: as many steps as there will be, measured on a few."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sanoscope.cases import Case, Cases
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.detector import Detector
from sanoscope.recipes import get_recipe
from sanoscope.studies.declaration import Collection, Method
from sanoscope.studies.estimate import Pilot, forecast, kind_of, measured_seconds, shortened, trainings_of
from sanoscope.studies.job import Job, Terms
from sanoscope.studies.runner import Runner
from study_files import TINY

HERE = Collection("here", (Path("here"),))


@pytest.fixture(scope="module")
def cases() -> Cases:
    return histology_phantoms(subjects=8, images_per_subject=6, size=32, seed=1, healthy_every=0).cases()


@pytest.fixture(scope="module")
def split(cases: Cases) -> Cases:
    return cases.assign([("train", "validation", "test")[min(i // 16, 2)] for i in range(len(cases))])


def job(method: Method, measure: str = "images") -> Job:
    return Job(HERE, method, 0, 0, Terms(measure))


@pytest.mark.parametrize(
    "options",
    [
        {"training.epochs": 3, "training.batch_size": 7},
        {"training.epochs": 5, "training.max_iterations": 4},
        {"training.epochs": 2, "training.drop_last": True, "training.batch_size": 10},
    ],
)
def test_steps_are_counted_as_they_are_taken(cases: Cases, options: dict[str, Any]) -> None:
    recipe = get_recipe("conv-vae").with_options({**TINY, **options})
    normals = cases.normals
    detector = Detector(recipe, device="cpu").fit(normals, cases, quiet=True)
    assert recipe.build("training").iterations(len(normals)) == detector.history_[-1]["iterations"]


def test_two_stages_are_both_counted() -> None:
    training = get_recipe("f-anogan-original").build("training")
    assert training.iterations(320) > get_recipe("f-anogan").build("training").iterations(320)


def test_a_short_training_is_one() -> None:
    recipe = shortened(get_recipe("constrained-attention-vae").preset("paper"))
    assert (recipe["training.epochs"], recipe["objective.pretraining"], recipe["training.max_iterations"]) == (2, 1, 0)
    assert shortened(get_recipe("autoencoder"))["training.max_iterations"] == 4


def test_twice_the_epochs_take_about_twice_the_steps_time(split: Cases) -> None:
    few, many = (
        measured_seconds(Pilot(job(Method("VAE", "conv-vae", options={**TINY, "training.epochs": epochs})), split))
        for epochs in (10, 100_000)
    )
    assert 0 < few < 60
    assert many > 100 * few


def test_jobs_of_one_kind_are_measured_once(split: Cases) -> None:
    kinds = [kind_of(job(Method("a", "conv-vae", options={**TINY, "objective.beta": beta}))) for beta in (0.1, 10.0)]
    assert kinds[0] == kinds[1]
    wide = job(Method("b", "conv-vae", options={**TINY, "network.latent": 64}))
    assert kind_of(wide) != kinds[0]


def test_a_search_has_many_trainings() -> None:
    one = Method("a", "conv-vae", search={"network.latent": [2, 4], "training.learning_rate": [1e-3, 1e-2]}, known=(1,))
    assert trainings_of(job(one, "selection")) == 3 * 4
    assert trainings_of(job(Method("b", "conv-vae"))) == 1


def lines(jobs: list[Job], cases: Cases, runner: Runner | None = None) -> list[str]:
    return forecast(jobs, lambda _: cases, runner or Runner())


def test_what_cannot_even_begin_is_named(split: Cases) -> None:
    missing = Method("without weights", "deep-knn", options={"network.weights": "nowhere.pth"})
    said = lines([job(Method("VAE", "conv-vae", options=TINY)), job(missing)], split)
    assert said[0].startswith("expected time: about ")
    assert "from 2 short trainings" in said[0]
    assert said[1] == "not measured: without weights (nowhere.pth: no such file of weights)"


def test_cases_that_cannot_be_shared_are_no_reason_to_stop() -> None:
    lonely = Cases([Case("a", label=0, split="train"), Case("b", label=0, split="test")])
    (_, said) = lines([job(Method("VAE", "conv-vae", options=TINY))], lonely)
    assert said.startswith("not measured: VAE (")
