"""The report: pictures, figures and the page, read back as a browser would read it."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from sanoscope.decision import fit_decision
from sanoscope.errors import OptionError
from sanoscope.evaluation import (
    PixelRow,
    PixelSample,
    ResultRow,
    all_positive_row,
    evaluate,
    evaluate_pixels,
    evaluate_subjects,
)
from sanoscope.report.content import ComparedImage, GalleryImage, MethodMap, ReportContent, SideBySide
from sanoscope.report.figures import score_histogram, training_figure, training_terms
from sanoscope.report.html import render, write_report
from sanoscope.report.images import display, montage, outlined, overlay, png
from sanoscope.report.map_figure import write_map_figure
from sanoscope.report.svg import COLOURS, inline_svg

VOID = {"meta", "img", "br"}
HOSTILE = "<script>alert('1')</script> & \"組織\" ü " + "x" * 200


class Page(HTMLParser):
    """A parsed page; fails on an element that is not closed, or closed in the wrong order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes in self.elements if attribute in attributes]

    @property
    def sections(self) -> list[str]:
        return [attributes["id"] for tag, attributes in self.elements if tag == "section"]


def make_content(**changes: object) -> ReportContent:
    """What a run on 120 labelled images of 6 subjects would report."""
    rng = np.random.default_rng(0)
    labels = np.tile([0, 0, 1], 40)
    subjects = [f"patient-{i % 6}" for i in range(120)]
    scores = rng.gamma(4, 0.01, 120) + 0.02 * labels
    calibration_scores = rng.gamma(4, 0.01, 50)
    decision = fit_decision(calibration_scores, [0] * 50, target_false_positive_rate=0.1)

    def row(name: str, kind: str, values: np.ndarray, oracle: bool = False) -> ResultRow:
        evaluation = evaluate(labels, values, values > decision.threshold, subjects, resamples=50)
        return ResultRow(name, kind, evaluation, decision.threshold, oracle)

    by_subject = evaluate_subjects(labels, scores, subjects, "max", resamples=50)
    picture = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    given = {
        "title": "conv-vae on phantoms",
        "recipe": {
            "name": "conv-vae",
            "title": "Convolutional VAE",
            "paper": "Sikdar, Tran, Xu, Yee",
            "options": {"network.latent": 32, "network.widths": (32, 64), "training.epochs": 3},
            "notes": ["The code’s value is the default."],
        },
        "changed": {"network.latent": 32},
        "score_name": "wasserstein",
        "decision": decision.to_json(),
        "scores": scores,
        "labels": labels,
        "calibration_scores": calibration_scores,
        "rows": [
            row("conv-vae", "method", scores),
            row("mse", "other score", scores + rng.gamma(4, 0.01, 120), oracle=True),
            all_positive_row(labels, subjects, resamples=50),
            row("mean intensity", "trivial", rng.gamma(4, 0.01, 120)),
        ],
        "subject_rows": {"Per subject, largest score": [ResultRow("conv-vae", "method", by_subject)]},
        "history": [
            {"epoch": e, "seconds": 2.0, "train/loss": 900.0 / e, "validation/loss": 950.0 / e, "train/kl": 50.0 + e}
            for e in (1, 2, 3)
        ],
        "gallery": {
            "Most abnormal": [
                GalleryImage("a/0001", "patient-0", 1, 0.12, 0.02, True, picture, 255 - picture, picture // 2),
                GalleryImage("a/0002", None, None, 0.11, 0.04, False, picture, 255 - picture, picture // 2),
            ]
        },
        "unreadable": [("a/broken.png", "truncated image")],
        "provenance": {"seed": 7, "versions": {"torch": "2.9.1"}, "parts": [{"file": "weights.safetensors"}]},
        "notes": ["Two images were resized."],
    }
    return ReportContent(**(given | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def content() -> ReportContent:
    return make_content()


@pytest.fixture(scope="module")
def page(content: ReportContent) -> Page:
    return Page(render(content))


def unlabelled(content: ReportContent) -> ReportContent:
    return replace(content, labels=np.full(120, -1), rows=(), subject_rows={})


def one_class(content: ReportContent) -> ReportContent:
    normal = content.labels == 0
    scores, labels = content.scores[normal], content.labels[normal]
    threshold = content.decision["threshold"]
    row = ResultRow("conv-vae", "method", evaluate(labels, scores, scores > threshold, resamples=20), threshold)
    return replace(content, scores=scores, labels=labels, rows=[row], subject_rows={})


class TestPage:
    @pytest.mark.parametrize("kind", [lambda c: c, unlabelled, one_class])
    def test_ids_are_unique_and_references_resolve(self, content: ReportContent, kind) -> None:
        page = Page(render(kind(content)))
        ids = page.values("id")
        assert len(ids) == len(set(ids))
        references = re.findall(r"url\(#([^)]+)\)", page.source) + [link[1:] for link in page.values("href")]
        assert len(references) > 20
        assert set(references) <= set(ids)

    def test_needs_nothing_from_outside(self, page: Page) -> None:
        assert "://" not in page.source
        assert "@import" not in page.source
        assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
        assert all(source.startswith("data:image/png;base64,") for source in page.values("src"))
        assert all(link.startswith("#") for link in page.values("href"))
        assert set(re.findall(r"url\((.)", page.source)) <= {"#"}

    def test_has_every_section_in_order(self, page: Page) -> None:
        assert page.sections == [
            "results",
            "subjects",
            "scores",
            "training",
            "gallery",
            "decision",
            "recipe",
            "provenance",
            "unreadable",
        ]

    @pytest.mark.parametrize(
        ("section", "nothing"),
        [
            ("results", {"rows": ()}),
            ("subjects", {"subject_rows": {}}),
            ("scores", {"scores": np.empty(0), "labels": np.empty(0, int), "rows": ()}),
            ("training", {"history": ()}),
            ("gallery", {"gallery": {"Most abnormal": []}}),
            ("provenance", {"provenance": {}}),
            ("unreadable", {"unreadable": ()}),
        ],
    )
    def test_leaves_out_what_has_no_content(self, content: ReportContent, page: Page, section, nothing) -> None:
        without = Page(render(replace(content, **nothing)))
        left_out = {"results", "scores"} if section == "scores" else {section}
        assert set(page.sections) - set(without.sections) == left_out
        assert not {f"#{name}" for name in left_out} & set(without.values("href"))

    def test_says_the_verdict(self, content: ReportContent, page: Page) -> None:
        called = (content.scores > content.decision["threshold"]).sum()
        auroc = content.rows[0].evaluation.estimates["auroc"]
        assert (
            f"{called} of 120 images called abnormal; AUROC {auroc.value:.2f} [{auroc.low:.2f}, {auroc.high:.2f}] "
            "on 120 labelled images of 6 subjects." in page.text
        )

    def test_notes_stand_with_the_results(self, page: Page) -> None:
        for note in (
            "Research use only; not a medical device.",
            "Without a score, as not readable: 1 file.",
            "Two images were resized.",
            "intervals from 6 subjects are rough",
        ):
            assert page.text.index(note) < page.text.index("Average precision Accuracy")

    def test_rows_carry_their_kind_and_numbers(self, content: ReportContent, page: Page) -> None:
        kinds = [attributes.get("class") for tag, attributes in page.elements if tag == "tr"]
        assert [kind for kind in kinds if kind][:4] == ["method", "other-score", "trivial", "trivial"]
        assert page.text.count("oracle") == 2  # the mark and its explanation
        for row in content.rows:
            estimate = row.evaluation.estimates["average_precision"]
            assert f"{estimate.value:.3f} {estimate.low:.2f}–{estimate.high:.2f}" in page.text

    def test_recipe_and_provenance(self, page: Page) -> None:
        assert "latent 32 changed" in page.text
        assert "widths [32, 64] training epochs 3" in page.text
        assert "seed 7" in page.text
        assert "parts 1 file weights.safetensors" in page.text

    def test_gallery_images_survive(self, content: ReportContent, page: Page) -> None:
        shown = [
            np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
            for source in page.values("src")
        ]
        first = content.gallery["Most abnormal"][0]
        for image, expected in zip(shown, (first.image, first.reconstruction, first.overlay), strict=False):
            np.testing.assert_array_equal(image, expected)
        assert "called abnormal label abnormal" in page.text
        assert "called normal no label" in page.text

    def test_escapes_everything(self, content: ReportContent) -> None:
        picture = replace(content.gallery["Most abnormal"][0], name=HOSTILE, subject=HOSTILE)
        hostile = replace(
            content,
            title=HOSTILE,
            recipe={**content.recipe, "name": HOSTILE, "title": HOSTILE, "paper": HOSTILE, "notes": [HOSTILE]},
            score_name=HOSTILE,
            rows=[replace(row, name=HOSTILE) for row in content.rows],
            subject_rows={HOSTILE: content.subject_rows["Per subject, largest score"]},
            history=[{"epoch": 1, f"train/{HOSTILE}": 1.0}],
            gallery={HOSTILE: [picture]},
            unreadable=[(HOSTILE, HOSTILE)],
            provenance={HOSTILE: HOSTILE, "nested": {HOSTILE: HOSTILE}},
            notes=[HOSTILE],
        )
        page = Page(render(hostile))
        assert "script" not in {tag for tag, _ in page.elements}
        assert page.text.count("<script>alert('1')</script> & \"組織\"") > 20

    def test_without_labels_nothing_is_judged(self, content: ReportContent) -> None:
        page = Page(render(unlabelled(content)))
        assert "no labels to judge it by" in page.text
        for absent in ("AUROC", "ROC curve", "Confusion", "Sensitivity"):
            assert absent not in page.text

    def test_one_class_names_the_metrics_it_lacks(self, content: ReportContent) -> None:
        page = Page(render(one_class(content)))
        assert "Not computed (needs both classes): AUROC, Average precision, Balanced accuracy." in page.text
        assert "Not computed (needs the abnormal class): F1, Sensitivity." in page.text
        assert "only normal ones among 80 labelled images" in page.text
        assert "ROC curve" not in page.text
        assert "Confusion matrix called normal called abnormal normal" in page.text

    def test_warns_of_a_trivial_score_that_is_as_good(self, content: ReportContent, page: Page) -> None:
        assert "A trivial score is as good" not in page.text
        method, *_, trivial = content.rows
        better = [replace(method, evaluation=trivial.evaluation), replace(trivial, evaluation=method.evaluation)]
        warned = Page(render(replace(content, rows=better)))
        assert "A trivial score is as good: “mean intensity”" in warned.text

    def test_same_content_same_bytes(self, content: ReportContent, page: Page) -> None:
        changed = {"font.size": 20, "axes.grid": False, "lines.linewidth": 9, "svg.fonttype": "path"}
        with matplotlib.rc_context(changed):
            assert render(content) == page.source
            assert {name: matplotlib.rcParams[name] for name in changed} == changed


def pixel_row(name: str, kind: str, seed: int, foreground_only: bool = False) -> PixelRow:
    """Results on four images of two subjects, of which one has a lesion."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((6, 7), bool)
    truth[1:3, 2:4] = True
    inside = np.ones((6, 7), bool)
    inside[0] = False
    scores = rng.random((4, 6, 7), np.float32)
    samples = [
        PixelSample(scores[i] + np.float32(0.3) * (truth & (i == 0)), truth & (i == 0), inside, f"subject {i % 2}")
        for i in range(4)
    ]
    thresholds = {"p95": 0.95, "0.5": 0.5}
    evaluation = evaluate_pixels(lambda: samples, thresholds, foreground_only=foreground_only, resamples=20)
    return PixelRow(name, kind, evaluation)


def flat(*colour: int) -> np.ndarray:
    return np.full((8, 8, 3), colour, np.uint8)


def with_maps(content: ReportContent, **changes: object) -> ReportContent:
    """What a run on slices of volumes with masks adds."""
    rows = {
        title: [
            pixel_row("beta-vae, rec-grad", "method", 0, only),
            pixel_row("beta-vae, kl-grad", "other map", 1, only),
            pixel_row("intensity", "trivial", 2, only),
        ]
        for title, only in {"Whole image": False, "Foreground only": True}.items()
    }
    picture = GalleryImage(
        "head/axial-004",
        "head",
        1,
        0.9,
        0.02,
        True,
        flat(1, 1, 1),
        flat(2, 2, 2),
        flat(3, 3, 3),
        flat(4, 4, 4),
        {"kl-grad": flat(5, 5, 5), "combi": flat(6, 6, 6)},
    )
    given = {
        "pixel_rows": rows,
        "map_name": "rec-grad",
        "montages": {"head": np.full((16, 24, 3), 7, np.uint8)},
        "gallery": {"Labelled abnormal, one of each subject": [picture, replace(picture, truth=None, others={})]},
    }
    return replace(content, **(given | changes))


@pytest.fixture(scope="module")
def maps(content: ReportContent) -> ReportContent:
    return with_maps(content)


@pytest.fixture(scope="module")
def maps_page(maps: ReportContent) -> Page:
    return Page(render(maps))


class TestMaps:
    def test_have_sections_of_their_own(self, maps_page: Page) -> None:
        assert maps_page.sections[:3] == ["results", "subjects", "pixels"]
        assert maps_page.sections.index("volumes") == maps_page.sections.index("gallery") + 1
        assert {"#pixels", "#volumes"} <= set(maps_page.values("href"))
        assert "://" not in maps_page.source

    @pytest.mark.parametrize(("section", "nothing"), [("pixels", {"pixel_rows": {}}), ("volumes", {"montages": {}})])
    def test_leave_nothing_where_there_are_none(self, maps: ReportContent, maps_page: Page, section, nothing) -> None:
        without = Page(render(replace(maps, **nothing)))
        assert set(maps_page.sections) - set(without.sections) == {section}
        assert f"#{section}" not in without.values("href")

    def test_without_masks_nothing_is_said_of_pixels(self, content: ReportContent) -> None:
        page = Page(render(content))
        for absent in ("per pixel", "Whole image", "truth", "Slices in their order", "Dice"):
            assert absent not in page.text

    def test_tables_carry_every_number(self, maps: ReportContent, maps_page: Page) -> None:
        for title, rows in maps.pixel_rows.items():
            assert title in maps_page.text
            for row in rows:
                for name in ("auroc", "average_precision", "oracle_dice"):
                    estimate = row.evaluation.estimates[name]
                    assert f"{estimate.value:.3f} [{estimate.low:.2f}, {estimate.high:.2f}]" in maps_page.text
                for name, decision in row.evaluation.decisions.items():
                    assert f"{name}: {decision.threshold:.4g}" in maps_page.text
                    area = decision.estimates["false_positive_area"].value
                    assert f"{area:.3f}" in maps_page.text
        assert maps_page.text.count("beta-vae, rec-grad the method") == 2 * (
            1 + 3
        )  # a line, and one for each threshold
        assert maps_page.text.count("of 1") >= 2 * 9  # how many lesions there are to find

    def test_tables_say_what_they_rest_on(self, maps_page: Page) -> None:
        for fact in ("168 pixels in 4 images", "2.38% of the pixels are abnormal", "140 pixels of the foreground in 4"):
            assert maps_page.text.count(fact) == 1
        assert maps_page.text.count("in 1 lesion.") == 2
        assert maps_page.text.count("What is called oracle used the labels of these very images") == 2
        assert maps_page.text.count("Intervals: 95% of 20 resamples of subjects. Intervals from 2 subjects are") == 2

    def test_lines_have_as_many_cells_as_headings(self, maps_page: Page) -> None:
        tables = re.findall(r'<table class="results pixels">(.*?)</table>', maps_page.source, re.DOTALL)
        assert len(tables) == 4
        for table in tables:
            heading, *lines = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
            assert {line.count("<th") + line.count("<td") for line in lines} == {heading.count("<th")}

    def test_pictures_stand_under_their_names(self, maps_page: Page) -> None:
        pictures = {
            (attributes["alt"], int(_decoded(attributes["src"])[0, 0, 0]))
            for tag, attributes in maps_page.elements
            if tag == "img"
        }
        assert pictures == {
            ("image", 1),
            ("reconstruction", 2),
            ("rec-grad", 3),
            ("truth", 4),
            ("kl-grad", 5),
            ("combi", 6),
            ("head under its map", 7),
        }
        shown = [attributes["alt"] for tag, attributes in maps_page.elements if tag == "img"]
        assert shown[:6] == ["image", "truth", "reconstruction", "rec-grad", "kl-grad", "combi"]
        assert shown[6:9] == ["image", "reconstruction", "rec-grad"]  # of the one without truth and other maps

    def test_warns_of_a_trivial_map_that_is_as_good(self, maps: ReportContent, maps_page: Page) -> None:
        assert "A trivial map is as good" not in maps_page.text
        method, *_, trivial = maps.pixel_rows["Whole image"]
        better = [replace(method, evaluation=trivial.evaluation), replace(trivial, evaluation=method.evaluation)]
        warned = Page(render(replace(maps, pixel_rows={"Whole image": better}))).text
        precision = method.evaluation.estimates["average_precision"].value
        said = "A trivial map is as good (whole image): “intensity”, without any model, has average precision "
        assert f"{said}{precision:.3f}" in warned

    def test_montages_are_explained(self, maps: ReportContent, maps_page: Page) -> None:
        said = "head Slices of a volume in their order, row by row, under the rec-grad map, with the outline of"
        assert said in maps_page.text
        assert "under the map, with the outline" in Page(render(replace(maps, map_name="map"))).text

    def test_escapes_everything(self, maps: ReportContent) -> None:
        (picture, _) = maps.gallery["Labelled abnormal, one of each subject"]
        hostile = replace(
            maps,
            map_name=HOSTILE,
            pixel_rows={HOSTILE: [replace(row, name=HOSTILE) for row in maps.pixel_rows["Whole image"]]},
            montages={HOSTILE: flat(1, 2, 3)},
            gallery={HOSTILE: [replace(picture, name=HOSTILE, subject=HOSTILE, others={HOSTILE: flat(1, 2, 3)})]},
        )
        page = Page(render(hostile))
        assert "script" not in {tag for tag, _ in page.elements}
        # Twelve lines of tables and their heading, the montage's twice, and those of the gallery.
        assert page.text.count("<script>alert('1')</script> & \"組織\"") >= 20
        assert {HOSTILE, f"{HOSTILE} under its map"} <= set(page.values("alt"))


def _decoded(source: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


@pytest.fixture(scope="module")
def compared() -> SideBySide:
    """Two methods on an abnormal image, a normal one, and one of which nothing is known."""
    maps = [MethodMap(flat(3, 3, 3), 0.25, True), MethodMap(flat(4, 4, 4), 1234.5, False)]
    rows = [
        ComparedImage("head/axial-004", "head", 1, flat(1, 1, 1), flat(2, 2, 2), maps),
        ComparedImage("0002", "patient-7", 0, flat(5, 5, 5), None, maps[::-1]),
        ComparedImage("0003", None, None, flat(6, 6, 6), None, maps),
    ]
    methods = {"beta-vae": ["map rec-grad", "score map-max"], "conv-vae": ["map squared-error", "score mse"]}
    return SideBySide(methods, rows, ["Left out: 2.png."])


@pytest.fixture(scope="module")
def compared_page(content: ReportContent, compared: SideBySide) -> Page:
    return Page(render(replace(content, side_by_side=compared)))


class TestSideBySide:
    def test_has_a_section_of_its_own(self, page: Page, compared_page: Page) -> None:
        assert set(compared_page.sections) - set(page.sections) == {"side-by-side"}
        assert compared_page.sections.index("side-by-side") == compared_page.sections.index("gallery") + 1
        assert "#side-by-side" in compared_page.values("href")

    def test_pictures_stand_in_their_row_under_their_heading(self, compared_page: Page) -> None:
        (table,) = re.findall(r'<table class="compared".*?</table>', compared_page.source, re.DOTALL)
        headings, *rows = [
            re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
        ]
        assert [re.search(r">(.+?)<", heading)[1] for heading in headings] == ["image", "truth", "beta-vae", "conv-vae"]
        sources = [[re.search(r'src="(.*?)"', cell) for cell in row] for row in rows]
        values = [[int(_decoded(found[1])[0, 0, 0]) if found else 0 for found in row] for row in sources]
        assert values == [[1, 2, 3, 4], [5, 0, 4, 3], [6, 0, 3, 4]]

    def test_says_what_each_method_decides(self, compared_page: Page) -> None:
        for said in (
            "beta-vae map rec-grad score map-max conv-vae map squared-error score mse",
            "head/axial-004 label abnormal abnormal 0.25 normal 1.23e+03",  # the name says which subject
            "0002 subject patient-7 label normal nothing abnormal normal 1.23e+03 abnormal 0.25",
            "0003 no label not known abnormal 0.25",
            "The outline in every picture is the truth. Left out: 2.png.",
        ):
            assert said in compared_page.text

    def test_without_masks_there_is_no_truth(self, content: ReportContent, compared: SideBySide) -> None:
        unknown = replace(compared, rows=[replace(row, truth=None) for row in compared.rows])
        page = Page(render(replace(content, side_by_side=unknown)))
        assert "side-by-side" in page.sections
        for absent in ("truth", "outline", "truly", "not known"):
            assert absent not in page.text
            assert absent not in page.values("alt")

    def test_escapes_everything(self, content: ReportContent, compared: SideBySide) -> None:
        rows = [replace(row, name=HOSTILE, subject=f"of {HOSTILE}") for row in compared.rows]
        hostile = SideBySide({HOSTILE: [HOSTILE], "conv-vae": []}, rows, [HOSTILE])
        page = Page(render(replace(content, side_by_side=hostile)))
        assert "script" not in {tag for tag, _ in page.elements}
        assert page.text.count("<script>alert('1')</script> & \"組織\"") == 2 + 2 * 3 + 1


class TestMapFigure:
    def test_has_a_row_for_each_case_and_a_column_for_each_picture(
        self, content: ReportContent, tmp_path: Path
    ) -> None:
        (items,) = with_maps(content).gallery.values()
        path = write_map_figure(items, "rec-grad", tmp_path / "maps.png")
        with Image.open(path) as image:
            figure = np.asarray(image.convert("RGB"))
        left = []
        for level in range(1, 7):
            rows, columns = np.nonzero((figure == level).all(2))
            assert rows.size, f"picture {level} is not there"
            left.append(columns.min())
            both = level not in (4, 5, 6)  # the second case has neither truth nor other maps
            assert (np.diff(np.unique(rows)) > 1).any() == both
        # Input, truth, reconstruction, the deciding map and the others, from left to right.
        assert np.argsort(left).tolist() == [0, 3, 1, 2, 4, 5]

    def test_a_case_without_truth_and_other_maps(self, content: ReportContent, tmp_path: Path) -> None:
        items = content.gallery["Most abnormal"]
        narrow = write_map_figure(items, "map", tmp_path / "narrow.png")
        (items,) = with_maps(content).gallery.values()
        wide = write_map_figure(items, "map", tmp_path / "wide.png")
        with Image.open(narrow) as one, Image.open(wide) as other:
            assert one.width * 2 == pytest.approx(other.width, abs=2)
            assert one.height == other.height


class TestFile:
    def test_is_written_whole_over_an_old_one(self, content: ReportContent, tmp_path: Path) -> None:
        path = tmp_path / "new" / "report.html"
        small = replace(content, gallery={}, history=(), rows=(), scores=np.empty(0), labels=np.empty(0, int))
        assert write_report(small, path) == path
        write_report(replace(small, title="the second\udce9"), path)  # a byte of a file name that is no text
        assert "<h1>the second?</h1>" in path.read_text(encoding="utf-8")
        assert [file.name for file in path.parent.iterdir()] == ["report.html"]

    def test_that_cannot_be_written_is_a_clear_error(self, content: ReportContent, tmp_path: Path) -> None:
        folder = tmp_path / "report.html"
        folder.mkdir()
        with pytest.raises(OptionError, match=r"report\.html: the report cannot be written"):
            write_report(content, folder)
        file = tmp_path / "file"
        file.touch()
        with pytest.raises(OptionError, match="give a file in a writable folder"):
            write_report(content, file / "report.html")
        assert {entry.name for entry in tmp_path.iterdir()} == {"report.html", "file"}

    def test_many_scores_stay_small(self, content: ReportContent) -> None:
        rng = np.random.default_rng(1)
        labels = rng.integers(0, 2, 100_000)
        many = replace(content, scores=rng.normal(labels, 1.0), labels=labels, gallery={})
        assert len(render(many)) < 300_000


class TestFigures:
    def test_carry_the_point_of_the_decision(self, content: ReportContent, page: Page) -> None:
        called, abnormal = content.scores > content.decision["threshold"], content.labels == 1
        sensitivity, false_positives = called[abnormal].mean(), called[~abnormal].mean()
        assert f"sensitivity {sensitivity:.2f}, false-positive rate {false_positives:.2f}" in page.text
        assert f"precision {abnormal[called].mean():.2f}, recall {sensitivity:.2f}" in page.text
        cells = [called[side].sum() if of else (~called[side]).sum() for side in (~abnormal, abnormal) for of in (0, 1)]
        counts = re.search(r"called abnormal normal (\d+) [\d.]+% (\d+) .*?abnormal (\d+) [\d.]+% (\d+)", page.text)
        assert counts
        assert [int(count) for count in counts.groups()] == cells

    def test_have_alternative_text_with_numbers(self, content: ReportContent, page: Page) -> None:
        drawings = [attributes for tag, attributes in page.elements if tag == "svg"]
        assert len(drawings) == 5
        assert all(attributes["role"] == "img" for attributes in drawings)
        auroc = content.rows[0].evaluation.estimates["auroc"].value
        assert f"ROC curve. AUROC {auroc:.3f}" in drawings[1]["aria-label"]
        trivial = content.rows[3].evaluation.estimates["auroc"].value
        assert f"mean intensity {trivial:.3f}" in drawings[1]["aria-label"]
        assert "Epoch 3: train 300, validation 316.7." in drawings[3]["aria-label"]

    def test_legend_counts_the_images(self, page: Page) -> None:
        for entry in ("normal (80)", "abnormal (40)", "validation normals (50)"):
            assert entry in page.text

    @settings(max_examples=20, deadline=None)
    @given(
        arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6, width=32)),
        st.floats(-1e6, 1e6, width=32),
    )
    def test_histogram_shows_all_scores_and_the_threshold(self, scores: np.ndarray, threshold: float) -> None:
        labels = np.resize([0, 1, -1], scores.size)
        figure = score_histogram(scores, labels, scores[:0], threshold)
        assert len(figure.axes[0].patches) == 2 * min(scores.size, 3)  # a filled one and its line for each class
        for bars in figure.axes[0].patches:
            shares, edges, _ = bars.get_data()
            assert shares.sum() == pytest.approx(1)
            assert (np.diff(edges) > 0).all()
            assert edges[0] < threshold < edges[-1]

    def test_one_wild_score_does_not_hide_the_others(self) -> None:
        scores = np.append(np.linspace(0, 1, 500), 1e9)
        figure = score_histogram(scores, np.zeros(501, int), np.empty(0), 0.5)
        assert figure.axes[0].get_xlim()[1] < 2
        assert "1 beyond the axis" in figure.axes[0].get_xlabel()

    def test_training_terms_are_gathered_by_side(self) -> None:
        terms = training_terms([{"epoch": 1, "train/kl": 2.0}, {"epoch": 2, "train/kl": 1.0, "validation/kl": 3.0}])
        assert list(terms) == ["kl"]
        np.testing.assert_array_equal(terms["kl"]["train"], [2, 1])
        np.testing.assert_array_equal(terms["kl"]["validation"], [np.nan, 3])

    @pytest.mark.parametrize(("first", "scale"), [(5000.0, "log"), (50.0, "linear"), (-1.0, "linear")])
    def test_training_axis_is_logarithmic_where_needed(self, first: float, scale: str) -> None:
        figure = training_figure(np.arange(3), {"train": np.array([first, 20.0, 10.0])})
        assert figure.axes[0].get_yscale() == scale

    def test_take_their_colours_from_the_page(self, content: ReportContent, page: Page) -> None:
        drawings = "".join(re.findall(r"<svg.*?</svg>", page.source, re.DOTALL))
        for role, colour in COLOURS.items():
            assert drawings.count(colour) == drawings.count(f"var(--{role}, {colour})") > 0
        assert not re.search(r"(fill|stroke): ?#(?!fff)", drawings)

    def test_ids_differ_between_figures_and_texts_are_escaped(self) -> None:
        figure = training_figure(np.arange(2), {"train": np.array([2.0, 1.0])})
        first, second = (inline_svg(figure, name, 'a "quoted" <text>') for name in ("one", "two"))
        assert 'aria-label="a &#34;quoted&#34; &lt;text&gt;"' in first
        assert not set(re.findall(r'id="([^"]+)"', first)) & set(re.findall(r'id="([^"]+)"', second))


class TestStyle:
    """The palette in report.css: the same as in the figures, and readable on the page and its cards."""

    @staticmethod
    def palettes() -> list[dict[str, str]]:
        css = files("sanoscope.report").joinpath("report.css").read_text(encoding="utf-8")
        blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
        return [dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block)) for block in blocks]

    def test_light_is_what_figures_are_drawn_with(self) -> None:
        light, dark = self.palettes()
        assert {role: light[role] for role in COLOURS} == COLOURS
        assert dark.keys() == light.keys()

    @pytest.mark.parametrize("role", sorted(COLOURS.keys() - {"rule"}))
    def test_contrast_is_accessible(self, role: str) -> None:
        for palette in self.palettes():
            for ground in ("page", "card"):
                lighter, darker = sorted((_luminance(palette[role]), _luminance(palette[ground])), reverse=True)
                assert (lighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG 2.1, level AA


def _luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.1."""
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


class TestDisplay:
    def test_stretches_between_low_and_high(self) -> None:
        pixels = np.array([-5.0, -1.0, 0.0, 1.0, 7.0, np.nan]).reshape(1, 6, 1)
        shown = display(pixels, -1, 1)
        assert shown.shape == (1, 6, 3)
        assert shown.dtype == np.uint8
        np.testing.assert_array_equal(shown[0, :, 0], [0, 0, 128, 255, 255, 0])
        np.testing.assert_array_equal(shown[..., 0], shown[..., 2])

    def test_colours_pass_and_other_channels_become_grey(self) -> None:
        colours = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        np.testing.assert_array_equal(display(colours, 0, 255), colours)
        two = display(np.array([[[0, 4095]]], dtype=np.uint16), 0, 4095)
        np.testing.assert_array_equal(two, [[[128, 128, 128]]])

    def test_no_range_is_black(self) -> None:
        assert not display(np.full((2, 2, 1), 3.0), 3, 3).any()

    def test_png_is_lossless(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(image)))), image)


class TestOutlineAndMontage:
    def test_outline_is_the_inner_edge_of_the_region(self) -> None:
        image = np.random.default_rng(0).integers(0, 100, (7, 8, 3), dtype=np.uint8)
        region = np.zeros((7, 8), bool)
        region[1:5, 2:6] = True
        edge = region.copy()
        edge[2:4, 3:5] = False
        drawn = outlined(image, region)
        np.testing.assert_array_equal((drawn != image).any(2), edge)
        assert len(np.unique(drawn[edge], axis=0)) == 1
        np.testing.assert_array_equal(outlined(image, np.zeros((7, 8), bool)), image)
        assert (outlined(image, np.ones((7, 8), bool)) != image).any(2).sum() == 2 * 7 + 2 * 6

    @given(st.integers(1, 9), st.integers(1, 4))
    def test_tiles_are_read_as_text_is(self, count: int, columns: int) -> None:
        tiles = list(np.random.default_rng(count).integers(1, 256, (count, 2, 3, 3), np.uint8))
        sheet = montage(tiles, columns)
        rows = -(-count // columns)
        assert sheet.shape == (2 * rows, 3 * columns, 3)
        for place, tile in enumerate([*tiles, *[np.zeros((2, 3, 3))] * (rows * columns - count)]):
            row, column = divmod(place, columns)
            np.testing.assert_array_equal(sheet[2 * row : 2 * row + 2, 3 * column : 3 * column + 3], tile)


class TestOverlay:
    @given(
        arrays(np.uint8, (3, 4, 3)),
        st.sampled_from([0.0, -2.0, np.nan]),
        st.floats(0, 1e6, allow_subnormal=False),
    )
    def test_where_nothing_is_found_the_image_stays(self, image: np.ndarray, nothing: float, scale: float) -> None:
        np.testing.assert_array_equal(overlay(image, np.full((3, 4), nothing), (0.0, scale)), image)

    def test_without_a_scale_the_image_stays(self) -> None:
        image = np.full((2, 2, 3), 9, np.uint8)
        result = overlay(image, np.ones((2, 2)), (0.0, 0.0))
        np.testing.assert_array_equal(result, image)
        assert not np.shares_memory(result, image)

    def test_grows_with_the_map(self) -> None:
        black = np.zeros((1, 500, 3), np.uint8)
        rising = overlay(black, np.linspace(0, 1, 500)[None], (0.0, 1.0))[0].astype(float)
        luminance = rising @ [0.2126, 0.7152, 0.0722]
        assert (np.diff(luminance) >= -1).all()  # but for rounding
        strongest = np.array(matplotlib.colormaps["inferno"](0.9)[:3]) * 255 * 0.7
        np.testing.assert_allclose(rising[-1], strongest, atol=1.5)
        # What is left of the image: the difference between white and black beneath the same map.
        white = overlay(black + 255, np.linspace(0, 1, 500)[None], (0.0, 1.0))[0].astype(float)
        left = (white - rising).mean(axis=1)
        assert left[0] == 255
        assert (np.diff(left) <= 1).all()
        assert 40 < left[-1] < 130

    def test_what_is_usual_has_no_colour(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        heatmap = np.random.default_rng(1).random((8, 8)) * 4
        shown = overlay(image, heatmap, (1.0, 3.0))
        np.testing.assert_array_equal(shown, overlay(image, heatmap - 1, (0.0, 2.0)))
        np.testing.assert_array_equal(shown[heatmap <= 1], image[heatmap <= 1])
        assert (shown[heatmap > 1.5] != image[heatmap > 1.5]).any(axis=1).all()

    def test_depends_on_the_share_of_the_scale_and_is_full_from_there(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        heatmap = np.random.default_rng(1).random((8, 8))
        np.testing.assert_array_equal(overlay(image, heatmap, (0.0, 1.0)), overlay(image, 4 * heatmap, (0.0, 4.0)))
        full = overlay(image, np.full((8, 8), 2.0), (0.0, 2.0))
        np.testing.assert_array_equal(overlay(image, np.full((8, 8), 9.0), (0.0, 2.0)), full)
        assert (full != image).any()


def test_a_logarithmic_axis_has_plain_numbers() -> None:
    falling = {"train": np.array([5000.0, 100, 20, 10])}
    page = str(inline_svg(training_figure(np.arange(1, 5), falling), "loss", "falls"))
    assert "mathdefault" not in page
    assert "1000" in page
