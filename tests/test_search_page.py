"""The ranking, the sensitivity and the page of a search for settings."""

from __future__ import annotations

import csv
import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from sanoscope.errors import DataError, OptionError
from sanoscope.recipe import parse_options
from sanoscope.report.search_page import render_search
from sanoscope.selection.page import fit_command, read_search, search_content, write_search
from sanoscope.selection.ranking import fold_value, placements, ranking, varying_options, write_ranking
from sanoscope.selection.results import FoldResult, SearchResult, Trial
from sanoscope.selection.sensitivity import sensitivity

HOSTILE = "<script>alert('1')</script> & \"組織\" ü"
KINDS = ("pneumonia",) * 12 + ("effusion",) * 7 + ("nodule",) * 5
REASONS = {"pruned": "below the median", "failed": "the loss is not finite"}


def make_fold(rng: np.random.Generator, strength: float, kinds: Sequence[str]) -> FoldResult:
    """Scores to one decimal, so that there are ties."""
    shift = np.array([strength + 0.4 * (kind == "nodule") for kind in kinds])
    return FoldResult(
        loss=float(0.5 + 0.05 * rng.normal()),
        iterations=int(rng.integers(1, 9)) * 1000,
        normal=tuple(rng.normal(size=30).round(1).tolist()),
        known=tuple((rng.normal(size=len(kinds)) + shift).round(1).tolist()),
        test_auroc=float(0.5 + 0.3 * strength),
        seconds=90.0,
    )


def make_result(
    states: Sequence[str] = ("complete",) * 8 + ("pruned", "failed", "running"),
    kinds: Sequence[str] = KINDS,
    folds: int = 3,
    criterion: str = "known-anomalies",
    **changes: Any,
) -> SearchResult:
    rng = np.random.default_rng(0)
    trials = []
    for number, state in enumerate(states):
        carried_out = {"complete": folds, "pruned": 1}.get(state, 0)
        results = tuple(make_fold(rng, 0.1 + 0.15 * (number % 8), kinds) for _ in range(carried_out))
        value = float(np.mean([fold_value(fold, criterion) for fold in results])) if state == "complete" else None
        options = {
            "network.widths": [[8, 8], [16, 32]][number % 2],
            "training.learning_rate": 10.0 ** -(2 + number / 4),
            "objective.layers": "r42",
        }
        trials.append(Trial(number, state, options, value, results, REASONS.get(state, "")))
    given = {"data": "data/chest x-rays", "notes": ("two images could not be read",), "description": {"seed": 7}}
    return SearchResult("conv-vae", criterion, tuple(trials), tuple(kinds), folds, **(given | changes))


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return make_result()


def untested(result: SearchResult) -> SearchResult:
    trials = (
        replace(trial, folds=tuple(replace(fold, test_auroc=None) for fold in trial.folds)) for trial in result.trials
    )
    return replace(result, trials=tuple(trials))


def auroc(fold: FoldResult, subset: Sequence[int]) -> float:
    known = [fold.known[index] for index in subset]
    return float(roc_auc_score([0] * len(fold.normal) + [1] * len(known), [*fold.normal, *known]))


class TestPlacements:
    @given(
        normal=st.lists(st.integers(-3, 3), min_size=1, max_size=20),
        known=st.lists(st.integers(-3, 3), min_size=1, max_size=12),
        data=st.data(),
    )
    def test_mean_of_a_subset_is_its_auroc(self, normal: list[int], known: list[int], data: st.DataObject) -> None:
        fold = FoldResult(0.0, 1, tuple(map(float, normal)), tuple(map(float, known)), None, 0.0)
        subset = data.draw(st.lists(st.sampled_from(range(len(known))), min_size=1, unique=True))
        assert placements(fold)[subset].mean() == pytest.approx(auroc(fold, subset))

    def test_without_scores_there_is_no_value(self) -> None:
        assert math.isnan(fold_value(FoldResult(0.2, 1, (), (1.0,), None, 0.0), "known-anomalies"))
        assert math.isnan(fold_value(FoldResult(0.2, 1, (1.0,), (), None, 0.0), "known-anomalies"))
        assert fold_value(FoldResult(0.2, 1, (), (), None, 0.0), "validation-loss") == 0.2


class TestRanking:
    def test_best_first_then_what_is_not_complete(self, result: SearchResult) -> None:
        rows = ranking(result)
        assert [row.rank for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8, None, None, None]
        assert [row.state for row in rows[8:]] == ["pruned", "failed", "running"]
        assert [row.reason for row in rows[8:]] == ["below the median", "the loss is not finite", ""]
        values = [row.value for row in rows[:8]]
        assert values == sorted(values, reverse=True)

    def test_a_low_loss_is_best(self) -> None:
        values = [row.value for row in ranking(make_result(criterion="validation-loss")) if row.rank]
        assert values == sorted(values)

    def test_numbers_are_of_the_folds(self, result: SearchResult) -> None:
        row = ranking(result)[0]
        trial = result.trials[row.number]
        folds = [auroc(fold, range(len(KINDS))) for fold in trial.folds]
        assert row.fold_values == pytest.approx(folds)
        assert row.value == pytest.approx(np.mean(folds))
        assert row.deviation == pytest.approx(np.std(folds, ddof=1))
        assert row.loss == pytest.approx(np.mean([fold.loss for fold in trial.folds]))
        assert row.iterations == pytest.approx(np.mean([fold.iterations for fold in trial.folds]))
        assert row.oracle == pytest.approx(trial.folds[0].test_auroc)
        assert row.seconds == 270.0

    def test_one_fold_has_no_deviation(self) -> None:
        assert ranking(make_result(folds=1))[0].deviation is None

    def test_a_half_tested_trial_has_no_test_figure(self, result: SearchResult) -> None:
        first, *others = result.trials[0].folds
        trial = replace(result.trials[0], folds=(replace(first, test_auroc=None), *others))
        assert [row.oracle for row in ranking(replace(result, trials=(trial,)))] == [None]

    def test_only_options_that_vary_are_shown(self, result: SearchResult) -> None:
        assert varying_options(result.trials) == ["network.widths", "training.learning_rate"]
        assert varying_options(result.trials[:1]) == []
        missing = replace(result.trials[0], options={})
        assert "objective.layers" in varying_options([missing, *result.trials])

    def test_csv_gives_the_values_back(self, result: SearchResult, tmp_path: Path) -> None:
        hostile = replace(result.trials[-2], reason='a "quoted",\nbroken; reason')
        changed = replace(result, trials=(*result.trials[:-2], hostile))
        write_ranking(changed, tmp_path / "ranking.csv")
        with (tmp_path / "ranking.csv").open(newline="", encoding="utf-8") as stream:
            lines = list(csv.DictReader(stream))
        rows = ranking(changed)
        assert [line["trial"] for line in lines] == [str(row.number) for row in rows]
        for line, row in zip(lines, rows, strict=True):
            assert line["state"] == row.state
            assert line["reason"] == row.reason
            assert line["rank"] == ("" if row.rank is None else str(row.rank))
            assert (float(line["value"]) if line["value"] else None) == row.value
            folds = [float(line[f"fold {fold}"]) for fold in (1, 2, 3) if line[f"fold {fold}"]]
            assert folds == list(row.fold_values)
            assert line["network.widths"] == str(row.options["network.widths"])
            assert float(line["training.learning_rate"]) == row.options["training.learning_rate"]
        assert float(lines[0]["test AUROC (oracle)"]) == rows[0].oracle


class TestSensitivity:
    def test_all_anomalies_choose_the_best(self, result: SearchResult) -> None:
        found = sensitivity(result, repeats=20)
        best = result.ranked[0]
        assert found.best == best.number
        last = found.points[-1]
        assert (last.kinds, last.anomalies, last.agreement) == (3, len(KINDS), 1.0)
        assert (last.value.mean, last.value.low, last.value.high) == pytest.approx((best.value,) * 3)
        assert last.oracle.mean == pytest.approx(best.folds[0].test_auroc)

    def test_single_anomalies_as_counted_by_hand(self, result: SearchResult) -> None:
        one_kind = replace(result, kinds=("pneumonia",) * len(KINDS))
        complete = [trial for trial in result.trials if trial.state == "complete"]
        by_anomaly = [
            [np.mean([auroc(fold, [index]) for fold in trial.folds]) for trial in complete]
            for index in range(len(KINDS))
        ]
        chosen = np.argmax(np.round(by_anomaly, 12), axis=1)
        expected = np.mean([complete[index].value for index in chosen])
        point = sensitivity(one_kind, repeats=4_000).points[0]
        assert (point.kinds, point.anomalies) == (1, 1)
        assert point.value.mean == pytest.approx(expected, abs=0.003)
        assert point.agreement == pytest.approx((chosen == result.ranked[0].number).mean(), abs=0.03)

    def test_points_are_where_any_kinds_have_enough(self, result: SearchResult) -> None:
        found = sensitivity(result, repeats=5)
        numbers = {kinds: [p.anomalies for p in found.points if p.kinds == kinds] for kinds in (1, 2, 3)}
        assert numbers == {1: [1, 2, 5], 2: [2, 5, 10, 12], 3: [5, 10, 20, 24]}

    def test_a_kind_that_chooses_wrongly_is_outvoted_by_variety(self) -> None:
        """One trial is perfect on one kind and blind to the other, one is good on both."""

        def trial(number: int, common: float, rare: float) -> Trial:
            fold = FoldResult(0.1, 1, tuple(float(i) for i in range(10)), (common,) * 4 + (rare,) * 4, None, 1.0)
            return Trial(number, "complete", {}, fold_value(fold, "known-anomalies"), (fold,))

        kinds = ("common",) * 4 + ("rare",) * 4
        blind, fair = trial(0, 99.0, -1.0), trial(1, 7.5, 7.5)
        found = sensitivity(SearchResult("conv-vae", "known-anomalies", (blind, fair), kinds, 1, "data"))
        agreement = {(point.kinds, point.anomalies): point.agreement for point in found.points}
        assert found.best == 1
        assert agreement[2, 2] == agreement[2, 8] == 1.0
        assert 0.3 < agreement[1, 4] < 0.7

    def test_same_seed_same_points(self, result: SearchResult) -> None:
        assert sensitivity(result, seed=3) == sensitivity(result, seed=3)
        assert sensitivity(result, seed=3) != sensitivity(result, seed=4)

    def test_references(self, result: SearchResult) -> None:
        found = sensitivity(result, repeats=5)
        complete = [trial for trial in result.trials if trial.state == "complete"]
        tests = [trial.folds[0].test_auroc for trial in complete]
        losses = [np.mean([fold.loss for fold in trial.folds]) for trial in complete]
        assert found.oracle.best == pytest.approx(max(tests))
        assert found.oracle.mean == pytest.approx(np.mean(tests))
        assert found.oracle.unsupervised == pytest.approx(tests[int(np.argmin(losses))])
        assert found.value.best == pytest.approx(result.ranked[0].value)

    def test_known_anomalies_beside_another_criterion(self) -> None:
        by_loss = make_result(criterion="validation-loss")
        assert sensitivity(by_loss, repeats=5).points == sensitivity(make_result(), repeats=5).points

    def test_without_test_figures(self, result: SearchResult) -> None:
        found = sensitivity(untested(result), repeats=5)
        assert found.oracle is None
        assert {point.oracle for point in found.points} == {None}

    @pytest.mark.parametrize(
        "without",
        [
            {"states": ()},
            {"states": ("failed", "running")},
            {"states": ("complete",)},
            {"kinds": (), "criterion": "validation-loss"},
        ],
    )
    def test_nothing_to_choose(self, without: dict[str, Any]) -> None:
        assert sensitivity(make_result(**without)) is None


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source, self.tags, self.sections, self.texts = source, [], [], []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "section":
            self.sections.append(dict(attrs)["id"])

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


def page_of(result: SearchResult) -> Page:
    return Page(render_search(search_content(result)))


@pytest.fixture(scope="module")
def page(result: SearchResult) -> Page:
    return page_of(result)


class TestPage:
    def test_files(self, result: SearchResult, tmp_path: Path) -> None:
        page = write_search(result, tmp_path / "search")
        assert page == tmp_path / "search" / "search.html"
        assert {file.name for file in page.parent.iterdir()} == {"search.html", "search.json", "ranking.csv"}
        assert read_search(tmp_path / "search" / "search.json") == result

    def test_has_every_section(self, result: SearchResult, page: Page) -> None:
        assert page.sections == ["best", "search", "options", "ranking", "unranked", "sensitivity", "data"]
        best = result.ranked[0]
        assert f"Trial {best.number} ranks first of 8 complete trials: AUROC on known anomalies" in page.text
        assert "12 pneumonia, 7 effusion, 5 nodule" in page.text
        assert "two images could not be read" in page.text
        assert "No label of the test was used" in page.text
        assert "oracle" in page.text

    def test_needs_nothing_from_outside(self, page: Page) -> None:
        assert "://" not in page.source
        assert not {"script", "link", "iframe"} & set(page.tags)
        ids = re.findall(r' id="([^"]+)"', page.source)
        assert len(ids) == len(set(ids))
        assert set(re.findall(r'href="#([^"]+)"', page.source)) <= set(ids)

    def test_command_sets_the_best_options(self, result: SearchResult, page: Page) -> None:
        options = result.ranked[0].options
        command = fit_command(result.recipe, result.data, options)
        words = shlex.split(command)
        assert words[:3] == ["sanoscope", "fit", "conv-vae"]
        assert words[3] == "data/chest x-rays"
        assert parse_options([word for word, before in zip(words[1:], words, strict=False) if before == "--set"]) == (
            options
        )
        assert command in page.texts

    @pytest.mark.parametrize(
        "value", [1e-5, 3, True, None, "true", "10:40", "none", "it's; rm", "[1", [32, 64], [], "a: b", "#"]
    )
    def test_command_gives_any_value_back(self, value: Any) -> None:
        words = shlex.split(fit_command("conv-vae", "data", {"network.x": value}).replace("\\\n", ""))
        assert parse_options([words[-1]]) == {"network.x": value}

    def test_escapes_everything(self, result: SearchResult) -> None:
        trials = [
            replace(trial, reason=HOSTILE, options={**trial.options, HOSTILE: f"{HOSTILE} {trial.number % 2}"})
            for trial in result.trials
        ]
        kinds = tuple(f"{kind} {HOSTILE}" for kind in KINDS)
        texts = {"recipe": HOSTILE, "data": HOSTILE, "notes": (HOSTILE,), "description": {HOSTILE: HOSTILE}}
        page = page_of(replace(result, trials=tuple(trials), kinds=kinds, **texts))
        assert "script" not in page.tags
        assert page.text.count("<script>alert('1')</script>") > 20

    def test_fallback_without_test_figures(self, result: SearchResult) -> None:
        page = page_of(untested(result))
        assert "Not every trial was tested" in page.text
        assert "oracle" not in page.text

    @pytest.mark.parametrize(
        ("changes", "sections"),
        [
            ({"states": ()}, ["data"]),
            ({"states": ("failed",)}, ["unranked", "data"]),
            ({"states": ("pruned", "failed")}, ["search", "options", "unranked", "data"]),
            ({"states": ("complete",)}, ["best", "search", "ranking", "data"]),
            (
                {"states": ("complete",) * 3, "folds": 1},
                ["best", "search", "options", "ranking", "sensitivity", "data"],
            ),
            ({"kinds": ("a",)}, ["best", "search", "options", "ranking", "unranked", "sensitivity", "data"]),
            (
                {"kinds": (), "criterion": "validation-loss"},
                ["best", "search", "options", "ranking", "unranked", "data"],
            ),
        ],
    )
    def test_shows_what_there_is(self, changes: dict[str, Any], sections: list[str], tmp_path: Path) -> None:
        result = make_result(**changes)
        page = page_of(result)
        assert page.sections == sections
        assert ("there is nothing to choose from yet" in page.text) == ("best" not in sections)
        write_search(result, tmp_path)
        assert read_search(tmp_path / "search.json") == result

    def test_long_tables_end(self) -> None:
        page = page_of(make_result(("complete",) * 60, kinds=("a",) * 3, folds=1))
        assert page.source.count('<th scope="row">50</th>') == 1
        assert '<th scope="row">51</th>' not in page.source
        assert "The first 50 of 60 complete trials; all are in ranking.csv." in page.text

    def test_a_wild_loss_does_not_squeeze_the_others(self) -> None:
        calm = make_result(("complete",) * 8, kinds=(), folds=1, criterion="validation-loss")
        wild = replace(calm, trials=(replace(calm.trials[0], value=1e6), *calm.trials[1:]))
        assert "beyond the axis" not in page_of(calm).text
        assert "beyond the axis" in page_of(wild).text


class TestErrors:
    def test_a_file_that_is_none(self, tmp_path: Path) -> None:
        file = tmp_path / "search.json"
        for content in ("{", "[]", '{"trials": []}'):
            file.write_text(content)
            with pytest.raises(DataError, match=r"search\.json.*sanoscope select"):
                read_search(file)

    def test_a_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"search\.json"):
            read_search(tmp_path / "search.json")

    def test_a_folder_that_is_a_file(self, result: SearchResult, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OptionError, match="writable folder"):
            write_search(result, tmp_path / "file")
