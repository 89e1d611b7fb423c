"""Groups: any detector's latents in clusters, how they match what is known, and how they are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from sanoscope import RECIPES, Cases, ClusterSettings, Detector, find_groups, find_similar, method_of
from sanoscope.cases.phantoms import histology_phantoms
from sanoscope.clustering import Clustering
from sanoscope.errors import DataError, ImageError, ModelError
from sanoscope.subtypes.analysis import analyse, fold_table
from sanoscope.subtypes.encoder_record import encoder_of, record_of
from sanoscope.subtypes.fold_table import CrossValidated, FoldResult
from sanoscope.subtypes.groups import Groups, grouped
from sanoscope.subtypes.groups_folder import clusters_of, write_groups
from sanoscope.subtypes.groups_page import groups_content, notes_of

# One of each kind of network: a posterior, none, frozen features, a generator whose latents are searched, and others.
KINDS: dict[str, dict[str, Any]] = {
    "conv-vae": {"network.widths": (4, 8)},
    "fc-autoencoder": {"network.widths": (12, 8)},
    "beta-vae": {"network.widths": (4, 6)},
    "constrained-attention-vae": {},
    "deep-knn": {"network.pretrained": False, "network.features": "squeezenet1_1"},
    "patchcore": {"network.pretrained": False, "network.features": "squeezenet1_1"},
    "anogan": {"scoring.search_steps": 2},
    "ganomaly": {},
    "deep-svdd": {"training.pretraining_epochs": 1},
}
SMALL = {"preparation.image_size": 32, "training.epochs": 2, "training.batch_size": 8, "training.precision": "float32"}


@pytest.fixture(scope="module")
def cases() -> Cases:
    return histology_phantoms(subjects=4, images_per_subject=8, size=40, seed=1).cases()


@pytest.fixture(scope="module")
def groups(cases: Cases) -> Groups:
    return find_groups(method_of("pixels", {"preparation.image_size": 8}).fit(cases, 0), cases)


@pytest.mark.parametrize("name", KINDS)
def test_latents_of_any_detector_can_be_grouped(name: str, cases: Cases) -> None:
    options = {key: value for key, value in (SMALL | KINDS[name]).items() if key in RECIPES[name].options}
    detector = Detector(name, options, device="cpu").fit(cases, quiet=True)
    found = find_groups(detector, cases, ClusterSettings(clusters=3, starts=3))
    assert len(found.assigned) == len(cases)
    assert set(found.assigned) == {0, 1, 2}
    np.testing.assert_array_equal(found.clustering.assign(detector.transform(cases)), found.assigned)


def test_the_match_is_scikit_learns(groups: Groups, cases: Cases) -> None:
    labels = np.array(cases.labels)
    match = groups.match()
    assert match["adjusted_rand"] == pytest.approx(adjusted_rand_score(labels, groups.assigned))
    assert match["mutual_information"] == pytest.approx(normalized_mutual_info_score(labels, groups.assigned))
    right = (groups.assigned == labels).mean()
    assert match["accuracy"] == pytest.approx(max(right, 1 - right))
    assert groups.match_with_subjects()["adjusted_rand"] == pytest.approx(
        adjusted_rand_score(cases.subjects, groups.assigned)
    )


def test_the_table_says_how_near_and_what_is_next(groups: Groups) -> None:
    table = groups.table()
    distances = groups.clustering.distances(groups.latents)
    np.testing.assert_allclose(table.distance, distances.min(1))
    np.testing.assert_allclose(table["distance to next"], distances.max(1))
    assert (table["next cluster"] == 1 - table.cluster).all()


def test_labels_need_not_be_known(groups: Groups, cases: Cases) -> None:
    bare = find_groups(method_of("pixels", {"preparation.image_size": 8}).fit(cases, 0), cases.unlabelled())
    np.testing.assert_array_equal(bare.assigned, groups.assigned)
    assert not bare.has_classes
    content = groups_content(bare, "title", {"name": "pixels", "title": "Pixels"})
    assert not content.tables
    assert content.silhouette == pytest.approx(groups.silhouette)
    assert all(not card.classes for card in content.clusters)


def test_named_groups_are_the_classes(cases: Cases) -> None:
    named = cases.with_cases(replace(case, group=f"kind {i % 3}", label=int(i % 3 > 0)) for i, case in enumerate(cases))
    found = find_groups(method_of("mean-colour").fit(named, 0), named, ClusterSettings(clusters=3))
    assert found.classes[0] == ("kind 0", "kind 1", "kind 2")
    content = groups_content(found, "title", {"name": "mean-colour", "title": "Mean colour"})
    assert [row.title for row in content.tables[0].rows[1:]] == ["always kind 0", "always kind 1", "always kind 2"]
    counts = np.array([[card.classes.get(name, 0) for name in found.classes[0]] for card in content.clusters])
    np.testing.assert_array_equal(counts.sum(0), np.bincount(found.classes[1]))


def made_up(cases: Cases, groups: Groups, clusters: np.ndarray) -> Groups:
    """The same pictures in two clusters that are given."""
    return grouped(groups.pictures, clusters[:, None] * 10.0 + np.arange(len(cases))[:, None] * 1e-3, ClusterSettings())


def test_it_says_when_clusters_are_subjects(cases: Cases, groups: Groups) -> None:
    subjects = np.array(cases.subjects)
    by_subject = made_up(cases, groups, np.isin(subjects, sorted(set(subjects))[:2]).astype(float))
    assert any("follow the subjects" in note for note in notes_of(by_subject))
    by_class = made_up(cases, groups, np.array(cases.labels, float))
    assert by_class.match()["adjusted_rand"] == 1
    assert not any("follow the subjects" in note for note in notes_of(by_class))


def test_the_number_is_chosen_where_that_is_asked(cases: Cases) -> None:
    encoder = method_of("mean-colour").fit(cases, 0)
    chosen = analyse(encoder, cases, ClusterSettings(starts=3), range(2, 5), choose=True)
    assert chosen.choice is not None
    assert chosen.groups.number == chosen.choice.suggested
    given = analyse(encoder, cases, ClusterSettings(clusters=4, starts=3), range(2, 5))
    assert given.groups.number == 4
    assert [projection.name for projection in given.projections] == ["PCA", "t-SNE"]


def test_nothing_to_group(cases: Cases) -> None:
    encoder = method_of("mean-colour").fit(cases, 0)
    with pytest.raises(DataError, match="none of 0 images can be read"):
        find_groups(encoder, cases[:0])
    with pytest.raises(DataError):
        find_groups(encoder, cases[:1])


# ------------------------------------------------------------ kept


def test_kept_clusters_assign_alike(cases: Cases, groups: Groups, tmp_path: Path) -> None:
    encoder = method_of("pixels", {"preparation.image_size": 8}).fit(cases, 0)
    content = groups_content(groups, "title", {"name": "pixels", "title": "Pixels"})
    write_groups(groups, content, record_of(encoder, None, tmp_path), tmp_path)
    clustering, record = clusters_of(tmp_path)
    again, model = encoder_of(record, tmp_path)
    assert model is None
    np.testing.assert_array_equal(clustering.assign(again.encode(cases)[1]), groups.assigned)
    assert json.loads((tmp_path / "clusters.json").read_text())["settings"] == groups.clustering.settings.to_json()


def test_a_model_is_recorded_by_where_it_is(cases: Cases, tmp_path: Path) -> None:
    detector = Detector("fc-autoencoder", SMALL | KINDS["fc-autoencoder"], device="cpu").fit(cases, quiet=True)
    model = tmp_path / "groups" / "model"
    detector.save(model)
    encoder = method_of("fc-autoencoder")
    encoder = type(encoder)(detector.recipe).fit(cases, 0)
    record = record_of(encoder, model, tmp_path / "groups")
    assert record["model"] == "model"
    (tmp_path / "groups").rename(tmp_path / "moved")
    again, place = encoder_of(record, tmp_path / "moved", "cpu")
    assert place == tmp_path / "moved" / "model"
    np.testing.assert_array_equal(again.encode(cases)[1], detector.transform(cases))
    with pytest.raises(ModelError, match="is missing"):
        encoder_of(record, tmp_path / "groups", "cpu")


@pytest.mark.parametrize("damage", ["clusters.json", "clusters.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 40])
def test_damaged_folders_are_refused(damage: str, content: bytes, groups: Groups, cases: Cases, tmp_path: Path) -> None:
    encoder = method_of("mean-colour").fit(cases, 0)
    page = groups_content(groups, "title", {"name": "pixels", "title": "Pixels"})
    write_groups(groups, page, record_of(encoder, None, tmp_path), tmp_path)
    (tmp_path / damage).write_bytes(content)
    with pytest.raises(DataError, match="is not a folder that 'sanoscope cluster' wrote"):
        clusters_of(tmp_path)


# ------------------------------------------------------------ folds and neighbours


def fold(accuracy: float, right: int, wrong: int) -> FoldResult:
    counts = [[right, wrong], [0, right]]
    images = {"train": 30, "validation": 10, "test": 10}
    values = {"accuracy": accuracy, "f1": 0.99, "accuracy_oracle": accuracy, "adjusted_rand": None}
    return FoldResult(("normal", "abnormal"), values, {"s1": counts, "s2": counts}, [[0, 0], [0, 0]], images)


def test_a_table_of_folds() -> None:
    rows = [
        CrossValidated("vae", "VAE", "clusters", (fold(0.6, 3, 2), fold(0.99, 4, 1)), {3: "it failed"}),
        CrossValidated("always normal", "Always normal", "trivial", (fold(0.5, 1, 1),)),
    ]
    table = fold_table(rows, "vae", "image")
    first, second = table.rows
    assert first.method
    assert not second.method
    assert first.values["accuracy"].mean == pytest.approx(0.795)
    assert first.values["accuracy"].high == 1.0  # no metric is above
    assert first.values["accuracy_oracle"].oracle
    assert not first.values["accuracy"].oracle
    assert first.values["adjusted_rand"] is None
    assert first.values["pooled accuracy"].mean == pytest.approx(14 * 2 / (17 * 2))
    assert second.values["accuracy"].deviation is None
    assert any("VAE, fold 3: failed: it failed" in note for note in table.notes)
    assert any("on both sides" in note for note in table.notes)
    assert not any("on both sides" in note for note in fold_table(rows, "vae", "subject").notes)


def test_similar_images_are_the_nearest_ones(cases: Cases) -> None:
    encoder = method_of("mean-colour").fit(cases, 0)
    _, colours = encoder.encode(cases)
    found = find_similar(encoder, cases[[7]], cases, count=5)
    expected = np.argsort(np.linalg.norm(colours - colours[7], axis=1), kind="stable")[1:6]
    assert [case.name for case in found.cases] == [cases[int(i)].name for i in expected]
    assert found.copies == 1
    assert found.searched == len(cases) - 1


def test_what_cannot_be_compared(cases: Cases) -> None:
    encoder = method_of("mean-colour").fit(cases, 0)
    with pytest.raises(DataError, match="holds 2 images; give one image"):
        find_similar(encoder, cases[:2], cases)
    with pytest.raises(DataError, match="has no other image"):
        find_similar(encoder, cases[:1], cases[:1])
    broken = Cases([replace(cases[0], pixels=np.full((40, 40, 3), np.nan))])
    with pytest.raises(ImageError, match="NaN"):
        find_similar(encoder, broken, cases)
    only_one = cases.where(lambda case: case.subject == cases[0].subject)
    with pytest.raises(DataError, match="has no other image"):
        find_similar(encoder, cases[:1], only_one, other_subjects=True)


def test_clusters_are_of_latents_of_one_length(cases: Cases, groups: Groups) -> None:
    found = Clustering.find(groups.latents, ClusterSettings(), 0)
    with pytest.raises((DataError, ModelError)):
        found.assign(groups.latents[:, :5])
