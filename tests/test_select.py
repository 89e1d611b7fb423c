"""``sanoscope select``: what a search leaves, how it is shared and taken up again, and what it refuses."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from command_line import finished, sanoscope
from sanoscope import Detector, get_recipe
from sanoscope.cases.case import Case
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.cases.split_record import choose_side
from sanoscope.errors import DataError, ModelError, OptionError, TrainingError
from sanoscope.search_space import Choices, Span
from sanoscope.selection import loop, progress
from sanoscope.selection import trials as kept
from sanoscope.selection.final import train_final
from sanoscope.selection.fold import best_epoch
from sanoscope.selection.ranking import fold_value
from sanoscope.selection.results import FoldResult, Trial
from sanoscope.selection.search import search
from sanoscope.selection.storage import open_study
from search_runs import DYING, MEETING, SETTINGS, SPACE, meet, process, small_cases, small_recipe, small_search


def stored(url: str) -> list[optuna.trial.FrozenTrial]:
    """Every trial in a storage, also those that do not count."""
    backend = optuna.storages.RDBStorage(url)
    (name,) = optuna.get_all_study_names(backend)
    return optuna.load_study(study_name=name, storage=backend).trials


def interrupting(folds: int) -> Callable[..., FoldResult]:
    """Carries out so many folds, and is interrupted in the next."""
    whole, done = loop.run_fold, []

    def carried_out(*arguments: Any) -> FoldResult:
        if len(done) == folds:
            raise KeyboardInterrupt
        done.append(whole(*arguments))
        return done[-1]

    return carried_out


def configurations(trials: tuple[Trial, ...]) -> set[str]:
    return {json.dumps(dict(trial.options)) for trial in trials}


# ------------------------------------------------------------ what it leaves


def test_search_ends_with_the_best_model_and_its_findings(tmp_path: Path) -> None:
    settings = replace(SETTINGS, oracle=True)
    outcome = search(small_recipe(), small_cases(), tmp_path, settings, space=SPACE)
    result = outcome.result
    assert [trial.state for trial in result.trials] == ["complete", "complete"]
    for trial in result.trials:
        assert trial.value == pytest.approx(np.mean([fold_value(fold, "known-anomalies") for fold in trial.folds]))
        assert all(len(fold.known) == len(result.kinds) for fold in trial.folds)
        assert sum(len(fold.normal) for fold in trial.folds) == result.description["normal images of the search"]
        assert all(0 <= fold.test_auroc <= 1 for fold in trial.folds)
        assert all(np.isfinite(fold.loss) and fold.iterations > 0 for fold in trial.folds)
    best = result.ranked[0]
    assert best.value == max(trial.value for trial in result.trials)
    model = Detector.load(tmp_path / "model", device="cpu")
    assert all(model.recipe[name] == best.options[name] for name in SPACE)
    assert model.decisions_["mse"].fitted_on["abnormal"] == len(result.kinds)
    assert outcome.findings is not None
    scored = outcome.findings.cases
    assert len(set(result.kinds)) == 1
    others = [case.name for case in small_cases().test if case.group not in result.kinds]
    assert [case.name for case in scored] == others
    recorded, _ = choose_side(small_cases(), tmp_path / "model", "auto")
    assert [case.name for case in recorded] == [case.name for case in scored]
    files = {"ranking.csv", "search.json", "search.html", "search.db", "settings.json", "choice.json"}
    assert {file.name for file in tmp_path.iterdir()} == files | {"model", "findings"}
    assert (tmp_path / "findings" / "report.html").exists()

    (tmp_path / "model" / "checksums.json").unlink()  # as if interrupted in the final training
    weights = (tmp_path / "model" / "weights.safetensors").read_bytes()
    again = search(small_recipe(), small_cases(), tmp_path, settings, space=SPACE)
    assert again.result == result
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == weights


def test_search_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phantoms = histology_phantoms(subjects=8, images_per_subject=6, size=32, seed=1)
    phantoms.save(tmp_path / "patches", [("train", "test")[int(name[-2:]) > 5] for name in phantoms.subjects])
    command = ("select", "conv-vae", tmp_path / "patches", "--out", tmp_path / "out", "--folds", "2", "--no-oracle")
    command += ("--device", "cpu", "--no-maps", "--trials", "2", "--epochs", "1", "--set", "preparation.image_size=32")
    command += ("--set", "training.precision=float32", "--set", "network.widths=[4, 4]", "--set", "network.latent=2")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_fold", interrupting(1))
        stopped = sanoscope(*command)
    assert stopped.code == 130
    assert stopped.err.splitlines()[-1] == "interrupted; the same command goes on, with every fold that is done"
    done = finished(*command)
    lines = done.err.splitlines()
    trials = [line for line in lines if line.startswith("trial ")]
    assert len(trials) == 2
    assert trials[0].startswith("trial 0: training.learning_rate=0.0")
    assert "network.latent" not in trials[0]
    assert "; best 0." in trials[1]
    assert any("alone, as the data name no others" in line for line in lines)
    assert f"model: {tmp_path / 'out' / 'model'}" in done.out
    assert Detector.load(tmp_path / "out" / "model").recipe["network.latent"] == 2
    again = finished(*command)
    assert "going on: 2 of 2 trials are done" in again.err
    assert "trial 0: " not in again.err
    refused = sanoscope(*command, "--seed", "1").error
    assert "was begun with " in refused
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    assert "holds no search" in sanoscope(*command[:4], tmp_path / "other").error


def test_model_is_replaced_once_another_configuration_is_the_best(tmp_path: Path) -> None:
    cases = small_cases()
    arguments = (cases, cases.validation.normals, tmp_path, 0, "cpu")
    first = train_final(small_recipe(network__latent=2), *arguments)
    assert train_final(small_recipe(network__latent=2), *arguments).provenance_ == first.provenance_
    train_final(small_recipe(network__latent=4), *arguments)
    assert Detector.load(tmp_path / "model").recipe["network.latent"] == 4


def test_losses_count_once_a_network_has_grown() -> None:
    growing = get_recipe("deep-perceptual-autoencoder").with_options(
        {
            "preparation.image_size": 16,
            "network.growing_from": 8,
            "network.features": "squeezenet1_1",
            "network.pretrained": False,
            "network.latent": 2,
            "network.widths": [2],
            "training.phase_iterations": 4,
            "training.batch_size": 4,
            "training.epochs": 6,
        }
    )
    detector = Detector(growing, device="cpu").fit(small_cases().train.normals[:12], quiet=True)
    steps = np.ceil(detector.provenance_["data"]["training"]["read"] / 4)
    losses = [row["validation/loss"] for row in detector.history_]
    grown = int(np.ceil((2 * 4 + 1) / steps)) - 1  # the first epoch that ends after both phases
    detector.history_[0]["validation/loss"] = -1.0  # at half the resolution
    loss, iterations = best_epoch(detector)
    assert loss == min(losses[grown:])
    assert iterations == (grown + np.argmin(losses[grown:]) + 1) * steps


def test_final_training_has_the_mean_of_the_folds_best_iterations(tmp_path: Path) -> None:
    recipe = small_recipe(training__epochs=6, training__early_stopping=1, training__learning_rate=1e-3)
    space = {"network.latent": Choices((2,))}
    outcome = search(recipe, small_cases(), tmp_path, replace(SETTINGS, trials=1), space=space)
    (trial,) = outcome.result.trials
    mean = round(np.mean([fold.iterations for fold in trial.folds]))
    assert outcome.detector is not None
    assert outcome.detector.recipe["training.max_iterations"] == mean
    assert outcome.detector.recipe["training.early_stopping"] == 0
    assert not list(tmp_path.glob("fold-*"))


# ------------------------------------------------- storages and processes


def test_killed_and_resumed(tmp_path: Path) -> None:
    folds_done = 3  # a whole trial, and half of the next
    killed = process(tmp_path, DYING.format(folds=folds_done), trials=3)
    said = killed.communicate()[1]
    assert killed.returncode == -signal.SIGKILL, said
    url = f"sqlite:///{tmp_path / 'search.db'}"
    before = [attribute for trial in stored(url) for name, attribute in trial.user_attrs.items() if "fold" in name]
    assert len(before) == folds_done
    result = small_search(tmp_path, trials=3).result
    assert [trial.state for trial in result.trials] == ["complete"] * 3
    assert [trial.number for trial in result.trials] == [0, 1, 2]
    assert len(configurations(result.trials)) == 3
    now = [json.dumps(fold.to_json()) for trial in result.trials for fold in trial.folds]
    assert len(now) == 6
    assert now[:folds_done] == before  # seconds and all: none was carried out again
    whole = small_search(tmp_path / "whole", trials=3).result
    assert [trial.options for trial in result.trials] == [trial.options for trial in whole.trials]
    assert [trial.value for trial in result.trials] == [trial.value for trial in whole.trials]


def test_two_processes_share_a_search(tmp_path: Path) -> None:
    out, here, there = tmp_path / "out", tmp_path / "here", tmp_path / "there"
    other = process(out, MEETING.format(here=there, other=here), trials=4)
    meet(here, there)
    result = small_search(out, trials=4).result
    said = other.communicate()[1]
    assert other.returncode == 0, said
    assert len(configurations(result.trials)) == 4
    trials = [trial for trial in stored(f"sqlite:///{out / 'search.db'}") if kept.counts(trial)]
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    assert {trial.user_attrs[kept.PROCESS]["pid"] for trial in trials} == {other.pid, os.getpid()}


def test_trials_of_others_are_waited_for_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_search(tmp_path, trials=1)
    url = f"sqlite:///{tmp_path / 'search.db'}"
    (name,) = optuna.get_all_study_names(url)
    attributes = {kept.PROCESS: {"machine": "elsewhere", "pid": 1}}
    running = optuna.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs=attributes)
    optuna.load_study(study_name=name, storage=url).add_trial(running)
    monkeypatch.setattr(progress, "LEAST_PATIENCE_SECONDS", 0)
    result = small_search(tmp_path, trials=2, worker=False).result
    assert [trial.state for trial in result.trials] == ["complete", "running"]
    assert "trials still being carried out elsewhere: 1" in result.notes


def test_interrupted_search_goes_on_in_a_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"journal://{tmp_path / 'search.log'}"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "run_fold", interrupting(1))
        with pytest.raises(KeyboardInterrupt):
            small_search(tmp_path / "out", storage=url)
    monkeypatch.setattr(loop, "run_fold", interrupting(3))  # one more than are left
    result = small_search(tmp_path / "out", storage=url).result
    assert [(trial.number, len(trial.folds)) for trial in result.trials] == [(0, 2), (1, 2)]
    assert not (tmp_path / "out" / "search.db").exists()


def test_silent_process_of_another_machine_is_given_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'search.db'}"
    study = open_study(url, "search", {"criterion": "known-anomalies"}, kept.put_back)
    attributes = {kept.PROCESS: {"machine": "elsewhere", "pid": 1}, "fold 0": "kept"}
    study.add_trial(optuna.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs=attributes))
    kept.take_from_dead(study)
    assert [one.state.name for one in study.trials] == ["RUNNING"]  # whose heart has not begun to beat
    study._storage.record_heartbeat(study.trials[0]._trial_id)
    kept.take_from_dead(study)
    assert [one.state.name for one in study.trials] == ["RUNNING"]
    from sqlalchemy import create_engine, text

    with create_engine(url).begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = '2020-01-01 00:00:00.000000'"))
    kept.take_from_dead(study)
    assert [one.state.name for one in study.trials] == ["FAIL", "WAITING"]
    (again,) = kept.counted(study)
    assert again.user_attrs == {"fold 0": "kept", kept.FIRST: 0}


def test_a_configuration_is_not_trained_twice(tmp_path: Path) -> None:
    space = {"network.latent": Choices((2, 4))}
    arguments = (small_recipe(), small_cases(), tmp_path, replace(SETTINGS, worker=True, trials=9))
    result = search(*arguments, space=space).result
    assert Counter(trial.options["network.latent"] for trial in result.trials) == {2: 1, 4: 1}
    assert any("no more than 2 configurations" in note for note in result.notes)


def test_more_trials_go_on_with_the_same_search(tmp_path: Path) -> None:
    first = small_search(tmp_path, trials=1).result
    second = small_search(tmp_path, trials=2).result
    assert second.trials[0] == first.trials[0]
    assert len(second.trials) == 2


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"seed": 1}, "seed 0, not 1"),
        ({"known anomalies": ["b"]}, r'known anomalies \["a"\], not \["b"\]'),
        ({"options": {"x": 1, "y": 3}}, "y 2, not 3"),
        ({"options": {"x": "long" * 60}}, "other x"),
        ({"criterion": "validation-loss"}, 'criterion "known-anomalies", not "validation-loss"'),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, changes: dict[str, Any], difference: str) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    common = {"seed": 0, "known anomalies": ["a"], "options": {"x": 1, "y": 2}, "criterion": "known-anomalies"}
    open_study(url, "search", common, kept.put_back)
    open_study(url, "other", common | changes, kept.put_back)
    with pytest.raises(ModelError, match=f"shared.db, search 'search': was begun with {difference}; "):
        open_study(url, "search", common | changes, kept.put_back)


@pytest.mark.parametrize("url", ["nothing", "sqlite:////nowhere/at/all.db", "nodatabase://host/name"])
def test_storage_that_cannot_be_opened(url: str) -> None:
    with pytest.raises(OptionError, match=f"--storage {url}: cannot be opened"):
        open_study(url, "search", {"criterion": "known-anomalies"}, kept.put_back)


# ------------------------------------------------- criteria and failures


def test_normals_alone_need_no_anomalies(tmp_path: Path) -> None:
    cases = small_cases().normals
    settings = replace(SETTINGS, criterion="validation-loss", trials=1)
    outcome = search(small_recipe(), cases, tmp_path, settings, space=SPACE)
    (trial,) = outcome.result.trials
    assert trial.value == pytest.approx(np.mean([fold.loss for fold in trial.folds]))
    assert all(fold.known == () for fold in trial.folds)
    assert outcome.findings is None
    with pytest.raises(DataError, match="no image is labelled abnormal"):
        search(small_recipe(), cases, tmp_path / "other", SETTINGS, space=SPACE)


def test_choice_by_normals_keeps_known_anomalies_from_the_threshold(tmp_path: Path) -> None:
    settings = replace(SETTINGS, criterion="validation-loss", trials=1)
    outcome = search(small_recipe(), small_cases(), tmp_path, settings, space=SPACE)
    assert all(len(fold.known) == len(outcome.result.kinds) > 0 for fold in outcome.result.trials[0].folds)
    assert outcome.detector is not None
    assert outcome.detector.decisions_["mse"].fitted_on["abnormal"] == 0


def test_configurations_that_cannot_be_trained_fail_alone(tmp_path: Path) -> None:
    space = {"training.learning_rate": Choices((1e-3, 1e30))}
    arguments = (small_recipe(training__epochs=2), small_cases())
    result = search(*arguments, tmp_path / "some", replace(SETTINGS, worker=True), space=space).result
    by_rate = {trial.options["training.learning_rate"]: trial for trial in result.trials}
    assert by_rate[1e-3].state == "complete"
    assert by_rate[1e30].state == "failed"
    assert "the loss" in by_rate[1e30].reason
    with pytest.raises(TrainingError, match=r"none of 2 configurations could be trained; the first: the loss"):
        search(*arguments, tmp_path / "none", SETTINGS, space={"training.learning_rate": Choices((1e29, 1e30))})


def test_hopeless_trials_are_pruned(tmp_path: Path) -> None:
    """Five trials are carried out whole; a sixth that is worse than their median after a fold ends there."""
    url, out = f"sqlite:///{tmp_path / 'search.db'}", tmp_path
    small_search(out, trials=1)
    (name,) = optuna.get_all_study_names(url)
    study = optuna.load_study(study_name=name, storage=url)
    done = study.trials[0]
    for rate in (1e-3, 2e-3, 3e-3, 4e-3, 5e-3):
        study.add_trial(
            optuna.create_trial(
                params={**done.params, "training.learning_rate": rate},
                distributions=done.distributions,
                value=1.1,
                intermediate_values={0: 1.1, 1: 1.1},
            )
        )
    pruned = small_search(out, trials=7).result.trials[-1]
    assert (pruned.state, len(pruned.folds), pruned.value) == ("pruned", 1, None)
    assert pruned.reason.startswith("after 1 of 2 folds")


def test_unreadable_images_are_left_out_everywhere(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    whole = small_cases()
    case = next(case for case in whole if case.split == "train" and case.label == 0)
    cases = whole.with_cases([*whole, Case("broken", broken, label=0, split="train", subject=case.subject)])
    result = search(
        small_recipe(), cases, tmp_path / "out", replace(SETTINGS, worker=True, trials=1), space=SPACE
    ).result
    assert result.trials[0].state == "complete"
    assert any("broken.png" in note for note in result.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"criterion": "auroc"}, "--criterion does not take 'auroc'"),
        ({"pruner": "mediam"}, "did you mean 'median'"),
        ({"trials": 0}, "--trials must be at least 1"),
        ({"folds": 1}, "--folds must be at least 2"),
        ({"known": 0}, "raise --known, or take validation-loss"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        replace(SETTINGS, **changes).check()


def test_span_of_whole_numbers_and_bundles_are_searched(tmp_path: Path) -> None:
    from sanoscope.search_space import Bundles

    sizes = ({"network.latent": 2, "network.widths": (4, 4)}, {"network.latent": 4, "network.widths": (2, 4)})
    space = {"training.batch_size": Span(4, 8, integer=True), "size": Bundles(sizes)}
    result = search(
        small_recipe(), small_cases(), tmp_path, replace(SETTINGS, worker=True, trials=1), space=space
    ).result
    options = result.trials[0].options
    assert options["training.batch_size"] in range(4, 9)
    assert {"network.latent": options["network.latent"], "network.widths": tuple(options["network.widths"])} in sizes
