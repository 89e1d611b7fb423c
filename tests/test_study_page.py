"""Pages of studies: what they show, what they dare say, and that the same table gives the same page."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from sanoscope.errors import DataError
from sanoscope.report.study_content import (
    StudyCell,
    StudyComparison,
    StudyContent,
    StudyCurve,
    StudyOverall,
    StudyRow,
    StudySection,
)
from sanoscope.report.study_markdown import figure_files, markdown_index, markdown_study
from sanoscope.report.study_page import render_study
from sanoscope.report.study_verdict import verdict
from sanoscope.studies.pages import keep_table, kept_tables, pages_of, write_pages

METRICS = {"auroc": "AUROC", "oracle_dice": "Best dataset Dice (oracle)"}


def row(
    name: str,
    value: float | None,
    kind: str = "method",
    *,
    p: float | None = None,
    difference: float = 0.1,
    method: str | None = None,
    reading: str | None = None,
    published: str | None = None,
    failed: tuple[str, ...] = (),
) -> StudyRow:
    cells = {
        "auroc": StudyCell(value, 0.01, *((None, None) if value is None else (value - 0.05, value + 0.04)), published),
        "oracle_dice": StudyCell(None, reason="needs abnormal pixels"),
    }
    comparison = (
        None if p is None else StudyComparison(difference, difference - 0.03, difference + 0.03, p / 2, p, p, p)
    )
    learned = kind in ("method", "supervised")
    return StudyRow(
        name=name,
        method=method or name,
        reading=reading,
        kind=kind,
        cells=cells,
        comparison=comparison,
        rank=1.5 if learned else None,
        parameters=1_568_643 if learned else None,
        training_seconds=75.0 if learned else None,
        scoring_milliseconds=3.2 if learned else None,
        jobs=2,
        failed=failed,
    )


ROWS = (
    row("reference method", 0.80, published="0.860"),
    row("better", 0.90, p=0.004),
    row("only theirs", None, "published", published="0.77"),
    row("mean intensity", 0.70, "trivial", p=0.6, difference=-0.1),
)
SECTION = StudySection(
    "LGG", "lgg", "lgg stands in for the paper's collection", "train 4 normal; test 6", ROWS, ("a note",), "16 subjects"
)
CONTENT = StudyContent(
    name="B1",
    title="Predictors",
    paper="Zhou, Deng, Wu, Table 1",
    measure="pixels",
    metrics=METRICS,
    reference="reference method",
    budget="3 % of the training's length, 1 of 3 seeds",
    protocol=(("folds", "none"),),
    sections=(SECTION,),
    overall=None,
    curves=(),
    pivot=False,
    changed={"better": {"network.latent": 64, "network.widths": [4, 8]}},
    notes=("what to know",),
    claims=("Gradients are best.",),
    failures=(("better on LGG, seed 2", "out of memory"),),
    jobs=(5, 6),
    seconds=600.0,
    environment={"torch": "2.13"},
)


def with_rows(*rows: StudyRow, **changes: object) -> StudyContent:
    return replace(CONTENT, sections=(replace(SECTION, rows=rows),), **changes)  # type: ignore[arg-type]


OVERALL = StudyOverall(
    (("reference method", "method", 0.8, 1.0), ("better", "method", 0.9, 2.0)), {"better": "0.934"}, 0.2, 1.4, 3
)
PIVOT = with_rows(
    *(
        row(f"latent {latent}, {reading}", 0.8, method=f"latent {latent}", reading=reading, published="0.83")
        for latent in (32, 64)
        for reading in ("rec-error", "rec-grad")
    ),
    pivot=True,
    reference="latent 32, rec-error",
)
ODD: Mapping[str, StudyContent] = {
    "full": CONTENT,
    "several": replace(CONTENT, sections=(SECTION, replace(SECTION, title="other")), overall=OVERALL),
    "pivot": PIVOT,
    "curves": replace(
        CONTENT, curves=(StudyCurve("chest", (1, 2, 5), (0.7, 0.8, 0.8), (None, 0.7, 0.7), (0.8, 0.9, 0.9)),)
    ),
    "one": with_rows(
        row("reference method", 0.7), paper=None, budget=None, claims=(), notes=(), failures=(), changed={}
    ),
    "nothing": replace(CONTENT, sections=(), jobs=(0, 2)),
    "failed": with_rows(row("reference method", None, failed=("out of memory",))),
    "many": with_rows(*(row(f"method {number} with a name that is long enough to wrap", 0.5) for number in range(30))),
}


@pytest.mark.parametrize("name", ODD)
def test_any_content_is_a_page_in_both_forms(name: str) -> None:
    content = ODD[name]
    page = render_study(content)
    assert content.title in page
    assert not re.search(r"""(?:src|href)=["']https?:""", page)
    assert "Traceback" not in page
    figures = figure_files(content)
    markdown = markdown_study(content, {file: file for file in figures})
    assert markdown.startswith("# Predictors\n")
    for file, text in figures.items():
        assert file.startswith("B1-")
        assert file in markdown
        assert ElementTree.fromstring(text).tag.endswith("svg")
    assert render_study(content) == page
    assert figure_files(content) == figures


@pytest.mark.parametrize("name", ODD)
def test_it_comes_back_from_json_as_it_was(name: str) -> None:
    stored = json.loads(json.dumps(ODD[name].to_json()))
    assert StudyContent.from_json(stored) == ODD[name]


@pytest.mark.parametrize(
    "shown",
    [
        *("0.800", "0.860", "0.004", "1.6", "75", "lgg stands in", "3 % of the training", "Gradients are best."),
        *("out of memory", "what to know", "a note", "16 subjects", "network.latent", "only theirs", "0.77"),
    ],
)
def test_all_that_is_known_is_shown(shown: str) -> None:
    assert shown in render_study(CONTENT)
    assert shown in markdown_study(CONTENT, {}).replace("\\", "")


def test_what_saw_the_labels_is_called_oracle() -> None:
    assert "oracle" in markdown_study(CONTENT, {})
    assert re.search(r"oracle", render_study(CONTENT))


def test_names_are_no_markup() -> None:
    hostile = with_rows(row("<script>alert(1)</script>", 0.5), title="<b>|*x*")
    assert "<script>alert" not in render_study(hostile)
    assert "<script>" not in markdown_study(hostile, {})
    assert markdown_study(hostile, {}).startswith("# &lt;b&gt;|\\*x\\*\n")


def test_only_what_a_test_tells_apart_is_called_better() -> None:
    assert "It is higher than the reference" in verdict(CONTENT)
    unsure = with_rows(ROWS[0], row("better", 0.90, p=0.2), ROWS[3])
    assert "not told apart from the reference" in verdict(unsure)
    assert "is higher than the reference" not in verdict(unsure)
    assert verdict(ODD["failed"]).startswith("There is no result")


def test_a_trivial_row_that_is_best_is_said_to_be() -> None:
    beaten = with_rows(ROWS[0], row("mean intensity", 0.95, "trivial", p=0.001))
    text = verdict(beaten)
    assert "mean intensity" in text
    assert "lower" in text or "below" in text


def test_methods_and_readings_make_lines_and_columns() -> None:
    markdown = markdown_study(PIVOT, {})
    (line,) = [line for line in markdown.splitlines() if line.startswith("| latent 32 |")]
    assert line.count("0.800") == 2


def test_the_index_links_to_every_table() -> None:
    index = markdown_index([CONTENT, replace(CONTENT, name="B2", budget=None)])
    assert "[B1](B1.md)" in index
    assert "[B2](B2.md)" in index
    assert "the whole protocol" in index


# ------------------------------------------------------------ pages of a folder


def test_pages_are_made_of_the_tables_alone(tmp_path: Path) -> None:
    keep_table(CONTENT, tmp_path)
    keep_table(replace(ODD["several"], name="C1"), tmp_path)
    written = write_pages(tmp_path)
    assert {file.name for file in written} >= {"B1.md", "C1.md", "README.md", "C1-ranks.svg"}
    assert {file: file.read_text() for file in written} == dict(pages_of(tmp_path))
    assert kept_tables(tmp_path)[0] == CONTENT


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "B1.json").write_text("{}")
    with pytest.raises(DataError, match=r"B1\.json: is no table of a study"):
        kept_tables(tmp_path)


def test_what_chose_by_the_labels_is_never_the_best() -> None:
    looked = with_rows(ROWS[0], row("reference method, the best (oracle)", 0.95))
    assert verdict(looked).startswith("reference method has the highest AUROC of 2 rows, 0.800")
