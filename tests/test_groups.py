"""Groups of made-up images: the match by hand, notes, tables, damaged records, and images of other sizes and kinds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, adjusted_rand_score, f1_score, normalized_mutual_info_score
from sklearn.metrics import silhouette_score as sklearn_silhouette

import volume_files
from sanoscope import Case, Cases, Detector, histology_phantoms, read_cases
from sanoscope.clustering.agreement import METRICS
from sanoscope.clustering.clusterer import ClusterSettings
from sanoscope.clustering.projection import project
from sanoscope.errors import DataError, ImageError, ModelError
from sanoscope.subtypes.analysis import fold_table
from sanoscope.subtypes.encoder_record import encoder_of, record_of
from sanoscope.subtypes.encoders import ColourMethod, FittedMethod, PixelMethod, PreparedEncoder
from sanoscope.subtypes.fold_table import CrossValidated, FoldResult
from sanoscope.subtypes.groups import Groups, assign_groups, find_groups
from sanoscope.subtypes.groups_folder import CENTRES_FILE, CLUSTERS_FILE, clusters_of, write_assignments, write_groups
from sanoscope.subtypes.groups_page import groups_content, match_table, notes_of
from sanoscope.subtypes.similar import find_similar, write_similar

SIZE = 16
SMALL = {"preparation.image_size": SIZE}
METHOD = {"name": "pixels", "title": "Pixels"}


def shades(values: np.ndarray, **known: Any) -> Cases:
    """Evenly grey images of these values; labels, groups and subjects as lists."""
    columns = [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)] or [{}] * len(values)
    return Cases(
        Case(f"{i:03}", pixels=np.full((SIZE, SIZE), value, np.uint8), **column)
        for i, (value, column) in enumerate(zip(values, columns, strict=True))
    )


def grey(cases: Cases) -> PreparedEncoder:
    return ColourMethod(SMALL).fit(cases, seed=0)


def grouped(cases: Cases, clusters: int = 2, **settings: Any) -> Groups:
    """Clusters of grey values."""
    return find_groups(grey(cases), cases, ClusterSettings(clusters=clusters, starts=2, **settings))


@pytest.fixture(scope="module")
def tissue() -> Cases:
    return histology_phantoms(subjects=3, images_per_subject=8, size=32, seed=1, healthy_every=0).cases()


def test_what_cannot_be_read_is_in_no_cluster(tissue: Cases, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    broken = Case("broken", path=tmp_path / "broken.png", subject="p", label=1)
    groups = find_groups(PixelMethod(SMALL).fit(tissue, 0), Cases([broken, *tissue]))
    assert [path for path, _ in groups.unreadable] == [str(broken.path)]
    assert list(groups.table().name) == [case.name for case in tissue]
    with pytest.raises(DataError, match=r"none of 1 images can be read; the first: .*broken\.png"):
        find_groups(PixelMethod(SMALL).fit(tissue, 0), Cases([broken]))


# ---------------------------------------------------------------- how well they match


@given(
    labels=st.lists(st.sampled_from([0, 1, None]), min_size=12, max_size=12).filter(lambda some: {0, 1} <= set(some)),
    seed=st.integers(0, 99),
)
@hypothesis_settings(max_examples=25, deadline=None)
def test_the_match_is_that_of_scikit_learn(labels: list[int | None], seed: int) -> None:
    values = np.random.default_rng(seed).permutation(np.arange(10, 250, 20))
    groups = grouped(shades(values, label=labels))
    known = np.array([label is not None for label in labels])
    true, found = np.array([label for label in labels if label is not None]), groups.assigned[known]
    # Of two clusters and two classes there are two maps, and the better one counts.
    maps = sorted((accuracy_score(true, named), f1_score(true, named)) for named in (found, 1 - found))
    match = groups.match()
    assert tuple(match) == METRICS
    assert match["accuracy"] == pytest.approx(maps[-1][0])
    assert match["f1"] in [pytest.approx(f1) for accuracy, f1 in maps if accuracy == maps[-1][0]]
    assert match["adjusted_rand"] == pytest.approx(adjusted_rand_score(true, found))
    assert match["mutual_information"] == pytest.approx(normalized_mutual_info_score(true, found))
    assert match["silhouette"] == pytest.approx(sklearn_silhouette(groups.latents, groups.assigned))


def test_the_match_with_subjects_leaves_out_images_of_none() -> None:
    subjects = ["a", "b", None, "a", "b", None]
    groups = grouped(shades(np.array([10, 210, 215, 12, 190, 5]), subject=subjects))
    assert groups.match_with_subjects() == {"adjusted_rand": 1, "mutual_information": pytest.approx(1)}
    mixed = grouped(shades(np.array([10, 210, 215, 12, 9, 5]), subject=["a", "b", "c", "a", "b", "b"]))
    expected = adjusted_rand_score([0, 1, 2, 0, 1, 1], mixed.assigned)
    assert mixed.match_with_subjects()["adjusted_rand"] == pytest.approx(expected)


@pytest.mark.parametrize("subjects", [[None] * 4, ["a"] * 4, ["a", None, None, None]])
def test_there_is_no_match_with_fewer_than_two_subjects(subjects: list[str | None]) -> None:
    groups = grouped(shades(np.array([10, 20, 200, 210]), subject=subjects))
    assert groups.match_with_subjects() == {"adjusted_rand": None, "mutual_information": None}


def test_named_groups_are_the_classes_normal_ones_first() -> None:
    names = ["in situ", "benign", "invasive"] * 4
    labels = [None if name == "in situ" else int(name == "invasive") for name in names]
    groups = grouped(shades(np.tile([10, 100, 200], 4) + np.repeat(range(4), 3), group=names, label=labels), 3)
    assert groups.classes[0] == ("benign", "in situ", "invasive")
    assert groups.classes[1].tolist() == [1, 0, 2] * 4
    assert groups.has_classes
    assert groups.match() | {"silhouette": None} == {**dict.fromkeys(METRICS[:4], pytest.approx(1)), "silhouette": None}
    content = groups_content(groups, "Title", METHOD)
    assert content.classes == names
    assert sorted((list(card.classes), card.size) for card in content.clusters) == [
        (["benign"], 4),
        (["in situ"], 4),
        (["invasive"], 4),
    ]
    assert [row.title for row in content.tables[0].rows[1:]] == ["always benign", "always in situ", "always invasive"]


@pytest.mark.parametrize("labels", [[None] * 4, [0] * 4, [1, None, 1, 1]])
def test_nothing_is_compared_without_two_classes(labels: list[int | None]) -> None:
    groups = grouped(shades(np.array([10, 20, 200, 210]), label=labels, subject=["a", "a", "b", "b"]))
    assert not groups.has_classes
    assert notes_of(groups) == []
    assert groups_content(groups, "Title", METHOD).tables == []


def test_names_by_labels_of_the_same_images_are_oracles() -> None:
    table = match_table(grouped(shades(np.array([10, 20, 200, 210]), label=[0, 0, 1, 0])))
    own, normal, abnormal = table.rows
    assert (own.method, own.kind) == (True, "clusters")
    assert {metric: value is not None and value.oracle for metric, value in own.values.items()} == {
        metric: metric in ("accuracy", "f1") for metric in METRICS
    }
    assert [row.values["accuracy"].mean for row in (own, normal, abnormal)] == [0.75, 0.75, 0.25]
    assert not any(value.oracle for row in (normal, abnormal) for value in row.values.values())


# ---------------------------------------------------------------- notes


def test_clusters_of_neither_are_not_said_to_follow_subjects() -> None:
    values = np.tile([10, 200], 16) + np.arange(32) % 5
    # Of each cluster ten images of one subject and six of the other, and eight of each class.
    subjects = [*"ab" * 10, *"ba" * 6]
    cases = shades(values, subject=subjects, label=[0, 0, 1, 1] * 8)
    groups = grouped(cases)
    classes, subjects = groups.match()["adjusted_rand"], groups.match_with_subjects()["adjusted_rand"]
    assert classes is not None
    assert subjects is not None
    assert classes < subjects < 0.1  # so that this shows what the least agreement is for
    assert not any("follow the subjects" in note for note in notes_of(groups))


def test_unknown_subjects_are_noted() -> None:
    groups = grouped(shades(np.array([10, 20, 200, 210]), subject=["a", None, "a", "b"], label=[0, 0, 1, None]))
    assert notes_of(groups) == [
        "No label took part in finding the clusters; 3 images with labels judge them afterwards.",
        "Of some images the subject is not known, so it cannot be told whether clusters are subjects.",
    ]


# ---------------------------------------------------------------- the table


def test_the_table_says_how_far_each_image_is_from_its_own_centre_and_the_next() -> None:
    values = np.array([0, 10, 100, 110, 250, 251])
    groups = grouped(shades(values, subject=["a"] * 6, label=[0, 1, None] * 2), 3)
    table = groups.table(project(groups.latents, 0))
    centres = np.sort(groups.clustering.centres[:, 0])
    np.testing.assert_allclose(centres * 255, [5, 105, 250.5], atol=1e-4)
    far = np.sort(np.abs(groups.latents - centres), axis=1)
    np.testing.assert_allclose(table.distance, far[:, 0], atol=1e-6)
    np.testing.assert_allclose(table["distance to next"], far[:, 1], atol=1e-6)
    for row in range(6):
        assert groups.distances[row, table["next cluster"][row]] == table["distance to next"][row]
    assert (table["next cluster"] != table.cluster).all()
    assert table.label.tolist() == [0, 1, pd.NA] * 2
    assert (table.path == "").all()
    assert not any(column.startswith("probability") for column in table)
    assert {"PCA 1", "PCA 2"} <= set(table)


def test_points_that_are_not_drawn_are_empty_in_the_table() -> None:
    groups = grouped(shades(np.array([0, 10, 100, 110, 250, 251])))
    (pca, *_) = project(groups.latents, 0)
    table = groups.table([replace(pca, rows=np.array([4, 1]), points=np.array([[1.0, 2.0], [3.0, 4.0]]))])
    assert table["PCA 1"].dropna().to_dict() == {1: 3, 4: 1}
    assert table["PCA 2"].dropna().to_dict() == {1: 4, 4: 2}


def test_a_mixture_gives_probabilities() -> None:
    groups = grouped(shades(np.array([0, 10, 20, 110, 240, 250, 245])), algorithm="gaussian-mixture")
    shares = groups.table()[["probability of 0", "probability of 1"]].to_numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares.argmax(axis=1) == groups.assigned).all()


# ---------------------------------------------------------------- folds


def fold(values: dict[str, float | None], right: int = 8, wrong: int = 2) -> FoldResult:
    counts = {f"p{i}": [[right, wrong], [0, right]] for i in range(3)}
    images = {"train": 20, "validation": 0, "test": 10}
    return FoldResult(("normal", "abnormal"), values, counts, [[0, 0], [0, 0]], images)


def row(name: str, *values: dict[str, float | None], failures: dict[int, str] | None = None) -> CrossValidated:
    return CrossValidated(name, name.title(), "clusters", tuple(fold(some) for some in values), failures or {})


def test_intervals_end_where_metrics_do() -> None:
    apart = [dict.fromkeys(METRICS, value) for value in (0.0, 1.0)]
    found = fold_table([row("mine", *apart)], "mine", "subject").rows[0].values
    ends = {name: (found[name].low, found[name].high) for name in METRICS}
    zero_to_one = dict.fromkeys(("accuracy", "f1", "mutual_information"), (0, 1))
    assert ends == zero_to_one | {"adjusted_rand": (-0.5, 1), "silhouette": (-1, 1)}
    one = fold_table([row("mine", {"accuracy": 1.0})], "mine", "subject").rows[0].values["accuracy"]
    assert (one.deviation, one.low, one.high) == (None, None, None)


def test_what_a_reader_of_folds_should_know_is_noted() -> None:
    rows = [row("mine", {"f1": None}, {"f1": 0.5}, failures={3: "no image"}), row("gone", failures={1: "bad"})]
    table = fold_table(rows, "mine", "image")
    assert [shown.title for shown in table.rows] == ["Mine"]
    first, undefined, by_image, *failed = table.notes
    assert first.startswith("3 folds by image")
    assert "does not define" in undefined
    assert "on both sides" in by_image
    assert failed == ["Mine, fold 3: failed: no image", "Gone, fold 1: failed: bad"]


# ---------------------------------------------------------------- what is kept


@pytest.fixture(scope="module")
def kept(tissue: Cases, tmp_path_factory: pytest.TempPathFactory) -> tuple[Groups, Path]:
    folder = tmp_path_factory.mktemp("groups") / "out"
    encoder = PixelMethod(SMALL).fit(tissue, seed=0)
    groups = find_groups(encoder, tissue, ClusterSettings(starts=2, algorithm="gaussian-mixture"), seed=3)
    write_groups(groups, groups_content(groups, "Title", METHOD), record_of(encoder, None, folder), folder)
    return groups, folder


def test_one_image_is_assigned_by_what_was_kept_of_a_mixture(tissue: Cases, kept: tuple[Groups, Path]) -> None:
    groups, folder = kept
    clustering, record = clusters_of(folder)
    encoder, _ = encoder_of(record, folder)
    for row in range(0, len(tissue), 5):
        again = assign_groups(encoder, tissue[[row]], clustering)
        np.testing.assert_array_equal(again.latents[0], groups.latents[row])
        assert again.assigned.tolist() == [groups.assigned[row]]
    stored = json.loads((folder / CLUSTERS_FILE).read_text())
    assert (stored["match"], stored["seed"]) == (groups.match(), 3)


def test_a_model_elsewhere_stays_there_and_must_be_the_same(tissue: Cases, tmp_path: Path) -> None:
    options = SMALL | {"training.epochs": 1, "network.latent": 4}
    detector = Detector("fc-vae", options, device="cpu").fit(tissue.unlabelled(), quiet=True)
    model = tmp_path / "model"
    detector.save(model)
    record = record_of(FittedMethod(detector), model, tmp_path / "out")
    encoder, place = encoder_of(json.loads(json.dumps(record)), tmp_path / "moved", "cpu")
    assert place == model
    np.testing.assert_array_equal(encoder.encode(tissue)[1], detector.transform(tissue))
    with pytest.raises(ModelError, match="is another model"):
        encoder_of(record | {"checksums": {}}, tmp_path / "out")


PIXELS = {"method": "pixels", "options": {}, "preparation": {}}
MODEL = {"method": "vae", "model": "model", "checksums": {}}


@pytest.mark.parametrize(
    "entries",
    [
        {"settings": {}},
        {"settings": {"clusters": 0}},
        {"settings": {"clusters": 3, "algorithm": "gaussian-mixture"}},
        {"encoder": 3},
        {"encoder": {}},
        {"encoder": PIXELS | {"method": "pixel"}},
        {"encoder": PIXELS | {"options": 3}},
        {"encoder": PIXELS | {"options": {"preparation.image_size": -1}}},
        {"encoder": PIXELS},
        {"encoder": PIXELS | {"preparation": []}},
        {"encoder": MODEL | {"model": 3}},
        {"encoder": {"method": "vae", "model": "model"}},
        {"encoder": MODEL},
    ],
)
def test_altered_records_are_refused_in_one_line(
    entries: dict[str, Any], kept: tuple[Groups, Path], tmp_path: Path
) -> None:
    (tmp_path / CENTRES_FILE).write_bytes((kept[1] / CENTRES_FILE).read_bytes())
    stored = json.loads((kept[1] / CLUSTERS_FILE).read_text())
    (tmp_path / CLUSTERS_FILE).write_text(json.dumps(stored | entries))
    with pytest.raises((DataError, ModelError)) as caught:
        encoder_of(clusters_of(tmp_path)[1], tmp_path)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_names_of_any_kind_stay_in_their_cells(tmp_path: Path) -> None:
    names = ['a,"b"', "line\nbreak", "ü", "=1+1"]
    cases = Cases(
        replace(case, name=name) for case, name in zip(shades(np.array([1, 2, 200, 201])), names, strict=True)
    )
    table = pd.read_csv(write_assignments(grouped(cases), tmp_path))
    assert table.name.tolist() == names


# ---------------------------------------------------------------- more like this


def test_similar_images_may_be_of_another_size(tissue: Cases) -> None:
    encoder = PixelMethod(SMALL).fit(tissue, seed=0)
    pixels = tissue[5].pixels
    assert pixels is not None
    larger = Case("larger", pixels=pixels.repeat(3, axis=0).repeat(3, axis=1))
    found = find_similar(encoder, Cases([larger]), tissue, count=3)
    assert found.cases[0].name == tissue[5].name
    assert found.copies == 0
    assert found.searched == len(tissue)
    assert found.distances[0] < found.distances[1] / 2


def test_the_nearest_slices_of_volumes(tmp_path: Path) -> None:
    levels = np.array([[10.0, 20, 31, 43], [11.2, 21.9, 40.5, 60]])
    noise = np.random.default_rng(0).random((12, 14, 4)) / 100
    for volume, values in zip("ab", levels, strict=True):
        volume_files.save(tmp_path / f"{volume}.nii.gz", (noise + values).astype(np.float32))
    slices = read_cases(tmp_path)
    assert len(slices) == 8
    encoder = PixelMethod(SMALL).fit(slices, seed=0)
    _, vectors = encoder.encode(slices)
    found = find_similar(encoder, slices[[1]], slices, count=7)
    others = [i for i in np.argsort(np.linalg.norm(vectors - vectors[1], axis=1), kind="stable") if i != 1]
    assert [case.name for case in found.cases] == [slices[int(i)].name for i in others]
    assert found.copies == 1  # itself, not the other slices of its file
    foreign = find_similar(encoder, slices[[1]], slices, count=7, other_subjects=True)
    assert {case.subject for case in foreign.cases} == {"b"}
    assert len(foreign.cases) == 4
    page = write_similar(found, encoder, tmp_path / "out").read_text()
    assert page.count("data:image/png") == 8


def test_copies_of_the_image_are_left_out_and_counted(tissue: Cases) -> None:
    encoder = PixelMethod(SMALL).fit(tissue, seed=0)
    twice = Cases([*tissue, replace(tissue[2], name="copy")])
    found = find_similar(encoder, tissue[[2]], twice, count=100)
    assert found.copies == 2
    assert {case.name for case in found.cases} == {case.name for case in tissue} - {tissue[2].name}


def test_images_of_another_form_are_not_looked_among(tissue: Cases) -> None:
    encoder, flat = PixelMethod(SMALL).fit(tissue, seed=0), shades(np.array([3, 4]))
    with pytest.raises(DataError, match=r"has no other image .*is 8-bit with 1 channel where the model was trained on"):
        find_similar(encoder, tissue[[0]], flat)
    with pytest.raises(ImageError, match="is 8-bit with 1 channel"):
        find_similar(encoder, flat[[0]], tissue)
    found = find_similar(encoder, tissue[[0]], Cases([*tissue, *flat]), count=50)
    assert found.searched == len(tissue) - 1
    assert [path for path, _ in found.unreadable] == [case.name for case in flat]
