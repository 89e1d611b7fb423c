"""The pages of clusters and of similar images: what they show, and that nothing from outside breaks them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from sanoscope.clustering.number import NumberChoice
from sanoscope.clustering.projection import Projection
from sanoscope.report.clusters_content import ClusterCard, ClustersContent, MatchRow, MatchTable, Patch, Value
from sanoscope.report.clusters_figures import MARKERS, PALETTE, look_of
from sanoscope.report.clusters_page import render_clusters, verdict
from sanoscope.report.similar_page import SimilarContent, render_similar

HOSTILE = "<script>alert('x')</script> & \"quoted\" $math_1$"
VOID = {"meta", "link", "img", "br", "path", "use", "image", "rect", "input", "hr"}


class Checked(HTMLParser):
    """Whether tags are balanced and ids unique."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attributes if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attributes if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def checked(page: str) -> str:
    parser = Checked()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    assert re.findall(r"\bnan\b", re.sub(r"base64,[^\"]*", "", page), re.IGNORECASE) == []
    return page


def patch(name: str = "one", **others: Any) -> Patch:
    return Patch(np.full((6, 5, 3), 90, np.uint8), name, **others)


def card(number: int, size: int, classes: Mapping[str, int], subjects: Mapping[str, int]) -> ClusterCard:
    pictures = [patch(f"{number}/{i}", subject="s1", class_name="normal") for i in range(3)]
    return ClusterCard(number, size, classes, subjects, {"mean intensity": "3; of all images 4"}, pictures, pictures)


def points(count: int) -> list[Projection]:
    places = np.random.default_rng(0).normal(size=(count, 2))
    rows = np.arange(count)
    return [Projection("PCA", places, rows, (0.5, 0.2), None), Projection("t-SNE", places, rows, None, 30.0)]


CHOICE = NumberChoice((2, 3), (0.4, 0.3), (0.95, 0.7), (0.01, 0.1), 2, "2 clusters have the highest silhouette.")
TABLE = MatchTable(
    "Labels",
    {"accuracy": "Accuracy", "adjusted_rand": "Adjusted Rand index"},
    [
        MatchRow(
            "these clusters", "clusters", {"accuracy": Value(0.75, oracle=True), "adjusted_rand": Value(0.25)}, True
        ),
        MatchRow("folds", "clusters", {"accuracy": Value(0.7, 0.01, 0.65, 0.75), "adjusted_rand": None}),
        MatchRow("always normal", "trivial", {"accuracy": Value(0.5)}),
    ],
    ["A note on the table."],
)


def content(**others: Any) -> ClustersContent:
    count = 12
    settings: dict[str, Any] = {
        "title": "Method on data",
        "recipe": {"name": "conv-vae", "title": "Convolutional VAE"},
        "explanation": "Images are grouped.",
        "assigned": np.arange(count) % 2,
        "classes": ["normal", "abnormal", None] * 4,
        "subjects": ["s1", "s2"] * 6,
        "clusters": [card(0, 6, {"normal": 4, "abnormal": 2}, {"s1": 6}), card(1, 6, {"abnormal": 6}, {"s2": 6})],
        "silhouette": 0.4321,
        "projections": points(count),
        "choice": CHOICE,
        "tables": [TABLE],
        "facts": {"Data": {"source": "here"}},
        "notes": ["A note."],
        "unreadable": [("bad.png", "is empty")],
    }
    return ClustersContent(**(settings | others))


def test_it_shows_what_there_is() -> None:
    page = checked(render_clusters(content()))
    for text in (
        "Method on data",
        "Cluster 0",
        "Cluster 1",
        "A note.",
        "A note on the table.",
        "bad.png",
        CHOICE.reason,
    ):
        assert text in page
    assert page.count('title="uses labels of the evaluated data"') == 1
    assert "0.700 ±&nbsp;0.010" in page
    assert "0.65–0.75" in page
    assert "0.432" in page
    assert "Trivial rows" in page
    for title in ("By cluster", "By label", "By subject"):
        assert f"<h3>{title}</h3>" in page
    assert "4 normal (67%)" in page
    assert verdict(content()).endswith(
        "agreement with the labels is 0.25 (adjusted Rand index: 1 is the same, 0 chance)."
    )


def test_the_same_content_gives_the_same_bytes() -> None:
    assert render_clusters(content()) == render_clusters(content())


def test_without_labels_there_is_less_but_no_less_of_the_rest() -> None:
    bare = content(classes=[None] * 12, tables=(), clusters=[card(0, 12, {}, {"s1": 12})])
    page = checked(render_clusters(bare))
    assert "By label" not in page
    assert "0.432" in page
    assert verdict(bare) == "12 images of 2 subjects in 1 cluster."


@pytest.mark.parametrize(
    ("others", "section"),
    [
        ({"projections": ()}, "maps"),
        ({"choice": None}, "number"),
        ({"tables": ()}, "match"),
        ({"facts": {}}, "data"),
        ({"unreadable": ()}, "unreadable"),
    ],
)
def test_sections_without_content_are_left_out(others: dict[str, Any], section: str) -> None:
    assert f'id="{section}"' in render_clusters(content())
    page = checked(render_clusters(content(**others)))
    assert f'id="{section}"' not in page
    assert f'href="#{section}"' not in page


def test_subjects_of_every_card_are_named_up_to_six() -> None:
    many = {f"patient-{i:02d}": 20 - i for i in range(9)}
    page = checked(render_clusters(content(clusters=[card(number, 6, {}, many) for number in range(8)])))
    lines = re.findall(r"9 subjects: (.*?)</p>", page, re.DOTALL)
    assert len(lines) == 8
    assert all(line.count("patient-") == 6 and "and 3 more" in line for line in lines)


def test_an_empty_cluster_and_unknown_subjects() -> None:
    empty = replace(card(1, 0, {}, {}), central=[], marginal=[], facts={})
    page = checked(render_clusters(content(clusters=[card(0, 12, {"normal": 12}, {}), empty], subjects=[None] * 12)))
    assert "0 images" in page
    assert "By subject" not in page


def test_names_from_outside_stay_text() -> None:
    hostile = card(0, 12, {HOSTILE: 12}, {HOSTILE: 12})
    hostile = replace(hostile, central=[patch(HOSTILE, subject=HOSTILE, class_name=HOSTILE)], facts={HOSTILE: HOSTILE})
    page = checked(
        render_clusters(
            content(
                title=HOSTILE,
                classes=[HOSTILE, "other"] * 6,
                subjects=[HOSTILE, "other"] * 6,
                clusters=[hostile],
                notes=[HOSTILE],
                unreadable=[(HOSTILE, HOSTILE)],
                facts={HOSTILE: HOSTILE},
            )
        )
    )
    assert "<script>" not in page


def test_looks_are_different_as_far_as_there_are_any() -> None:
    looks = [look_of(number) for number in range(len(PALETTE) * len(MARKERS))]
    assert len(set(looks)) == len(looks)
    assert len({look.colour for look in looks[: len(PALETTE)]}) == len(PALETTE)
    assert look_of(len(looks)) == looks[0]


def test_classes_of_one_colour_have_different_signs_in_cards() -> None:
    names = [f"kind {i}" for i in range(len(PALETTE) + 1)]
    pictures = [patch(class_name=names[-1])]
    cluster = replace(card(0, len(names), dict.fromkeys(names, 1), {}), central=pictures, marginal=[])
    page = checked(render_clusters(content(clusters=[cluster], classes=[*names, *names[:5]], projections=())))
    assert re.findall(r">([●▲■])</b>1 kind", page) == ["●"] * len(PALETTE) + ["▲"]
    assert re.findall(r"<figcaption><b[^>]*>(.)</b>", page) == ["▲"]


def test_more_subjects_than_can_be_told_apart_are_not_coloured() -> None:
    count = 26
    subjects = [f"s{i}" for i in range(13)] * 2
    page = render_clusters(
        content(
            assigned=np.zeros(count, int),
            subjects=subjects,
            classes=["normal", "abnormal"] * 13,
            projections=points(count),
        )
    )
    assert "By subject" not in page


def test_many_points_take_little_room() -> None:
    count = 20_000
    page = render_clusters(
        content(
            assigned=np.arange(count) % 2,
            classes=["normal", "abnormal"] * (count // 2),
            subjects=["s1", "s2"] * (count // 2),
            projections=points(count),
        )
    )
    assert len(page) < 2_000_000


# ------------------------------------------------------------ similar images


def similar(**others: Any) -> SimilarContent:
    found = [(patch(f"n{i}", subject="s2", class_name="normal" if i else "abnormal"), 0.5 + i) for i in range(3)]
    settings: dict[str, Any] = {
        "title": "Images like one",
        "query": patch("one", subject="s1", class_name="normal"),
        "neighbours": found,
        "metric": "cosine",
        "facts": {"Method": "VAE"},
        "notes": ["A note."],
    }
    return SimilarContent(**(settings | others))


def test_neighbours_stand_in_order_with_their_distances() -> None:
    page = checked(render_similar(similar()))
    places = [page.index(f"<b>{distance}</b>") for distance in ("0.5", "1.5", "2.5")]
    assert places == sorted(places)
    assert "3 similar images; with the label of the image itself, normal: 2 of 3." in page
    assert page.count("data:image/png") == 4
    assert "0 of the image&#39;s own subject" in page


def test_of_an_unlabelled_image_nothing_is_counted() -> None:
    page = checked(render_similar(similar(query=patch("one"), facts={})))
    assert "3 similar images, by the cosine distance of latents." in page
    assert 'id="data"' not in page


def test_names_of_similar_images_stay_text() -> None:
    hostile = patch(HOSTILE, subject=HOSTILE, class_name=HOSTILE)
    page = checked(render_similar(similar(title=HOSTILE, query=hostile, neighbours=[(hostile, 1.0)], notes=[HOSTILE])))
    assert "<script>" not in page
