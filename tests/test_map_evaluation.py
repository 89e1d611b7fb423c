"""Maps against true masks on the source grid: what is compared with what, and that files keep the numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from sanoscope.cases import Case, Cases, VolumeSlice, read_cases
from sanoscope.decision import Decision
from sanoscope.errors import DataError
from sanoscope.evaluation import PixelRow
from sanoscope.findings import Findings
from sanoscope.gallery import LABELLED, Shown
from sanoscope.heatmaps import Heatmaps
from sanoscope.map_evaluation import ENSEMBLE_OF, MapEvaluation, has_masks
from sanoscope.preparation.geometry import Crop, Geometry, Resize
from volume_files import save

HEIGHT, WIDTH = 9, 11
Values = Mapping[str, np.ndarray]


def as_maps(values: Values, **changes: Any) -> Heatmaps:
    """Maps on a network's grid that is that of the files; the first one decides."""
    deciding, *others = values
    count, *size = values[deciding].shape
    given = {
        "values": values[deciding],
        "traces": [((*size, 0, 0),)] * count,
        "geometry": Geometry((Crop(),)),
        "scale": 1.0,
        "name": deciding,
        "others": {name: values[name] for name in others},
        "scales": dict.fromkeys(others, 1.0),
    }
    return Heatmaps(**(given | changes))


def random_maps(count: int, *names: str, seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Values:
    """Maps with many ties, as those with a background of 0 have."""
    rng = np.random.default_rng(seed)
    return {name: rng.integers(0, 40, (count, *size)).astype(np.float32) / 8 for name in names}


def masks(count: int, seed: int = 1) -> np.ndarray:
    """A block in each but the last, which is normal."""
    rng = np.random.default_rng(seed)
    truths = np.zeros((count, HEIGHT, WIDTH), bool)
    for truth in truths[:-1]:
        top, left = rng.integers(0, 5, 2)
        truth[top : top + 3, left : left + 4] = True
    return truths


def in_memory(truths: np.ndarray, subjects: Sequence[str | None] | None = None) -> Cases:
    blank = np.zeros(truths.shape[1:], np.uint8)
    return Cases(
        Case(f"image {i}", pixels=blank, mask_pixels=truth, label=int(truth.any()), subject=subject)
        for i, (truth, subject) in enumerate(zip(truths, subjects or [None] * len(truths), strict=True))
    )


def on_disk(folder: Path, truths: np.ndarray, subjects: Sequence[str | None]) -> Cases:
    """Images with masks in files; the last has none, and is labelled normal."""
    cases = []
    folder.mkdir(parents=True, exist_ok=True)
    for i, (truth, subject) in enumerate(zip(truths, subjects, strict=True)):
        image, mask = folder / f"{i}.png", folder / f"{i}_mask.png"
        Image.fromarray(np.full(truth.shape, 20 * i, np.uint8)).save(image)
        if truth.any():
            Image.fromarray(truth.astype(np.uint8) * 255).save(mask)
        known = mask if truth.any() else None
        cases.append(Case(f"image {i}", image, label=int(truth.any()), mask=known, subject=subject))
    return Cases(cases, str(folder), "folder")


def values_of(row: PixelRow) -> dict[str, float | None]:
    return {name: estimate.value for name, estimate in row.evaluation.estimates.items()}


def as_json(tables: Mapping[str, Sequence[PixelRow]]) -> str:
    return json.dumps({title: [row.to_json() for row in rows] for title, rows in tables.items()})


def findings_of(cases: Cases, maps: Heatmaps | None, **options: Any) -> Findings:
    names = ["map-max"]
    decision = Decision("quantile", 0.5, 0.05, {"normal": 5, "abnormal": 0, "description": "5 held-out images"})
    recipe = {"name": "beta-vae", "title": "A VAE", "paper": "A paper", "options": options, "changed": {}, "notes": []}
    return Findings(
        cases=cases,
        score_name="map-max",
        scores={name: np.linspace(0.1, 0.9, len(cases)) for name in names},
        trivial=(),
        decisions=dict.fromkeys(names, decision),
        calibration=np.linspace(0, 1, 19),
        seen_in_training=np.zeros(len(cases), bool),
        maps=maps,
        recipe=recipe,
    )


# ------------------------------------------------------------ numbers


def test_numbers_are_those_of_scikit_learn() -> None:
    truths, values = masks(4), random_maps(4, "rec-grad", "kl-grad", "intensity")
    thresholds = {"rec-grad": {"p95": 3.0, "0.5": 0.5}, "kl-grad": {"p95": 1.0}}
    maps = as_maps(values, trivial=["intensity"], thresholds=thresholds)
    pixels = MapEvaluation(in_memory(truths), maps, "beta-vae")
    assert not pixels.is_empty
    assert pixels.notes == []
    rows = pixels.rows(resamples=5)
    assert [(row.name, row.kind) for row in rows] == [
        ("beta-vae, rec-grad", "method"),
        ("beta-vae, kl-grad", "other map"),
        ("intensity", "trivial"),
    ]
    for row, (name, scores) in zip(rows, values.items(), strict=True):
        by_sklearn = {
            "auroc": roc_auc_score(truths.ravel(), scores.ravel()),
            "average_precision": average_precision_score(truths.ravel(), scores.ravel()),
            "prevalence": truths.mean(),
        }
        found = values_of(row)
        assert {metric: found[metric] for metric in by_sklearn} == pytest.approx(by_sklearn, abs=1e-12)
        assert list(row.evaluation.decisions) == [*thresholds.get(name, {}), "operating point (oracle)"]
        for title, threshold in thresholds.get(name, {}).items():
            estimates = row.evaluation.decisions[title].estimates
            assert estimates["dice"].value == pytest.approx(f1_score(truths.ravel(), scores.ravel() > threshold))
            assert estimates["false_positive_area"].value == pytest.approx((scores[-1] > threshold).mean())
        assert (row.evaluation.n_images, row.evaluation.n_normal_images, row.evaluation.n_lesions) == (4, 1, 3)


def test_some_of_the_maps_with_their_draws() -> None:
    truths, values = masks(4), random_maps(4, "rec-grad", "kl-grad", "intensity")
    maps = as_maps(values, trivial=["intensity"], thresholds={"kl-grad": {"p95": 1.0}})
    pixels = MapEvaluation(in_memory(truths, ["a", "b", "c", "c"]), maps, "vae")
    whole = pixels.rows(resamples=9, seed=1)
    with_draws = pixels.rows_with_draws(resamples=9, seed=1)
    assert [row for row, _ in with_draws] == whole
    assert [row for row, _ in pixels.rows_with_draws({"intensity", "kl-grad"}, resamples=9, seed=1)] == whole[1:]
    prevalences = {tuple(draws["prevalence"]) for _, draws in with_draws}
    assert len(prevalences) == 1  # the same resamples
    assert with_draws[1][1]["dice@p95"].shape == (9,)
    assert "dice@p95" not in with_draws[0][1]
    with pytest.raises(DataError, match="there is no map 'kl-grab'; did you mean 'kl-grad'"):
        pixels.rows_with_draws(["kl-grab"])


def test_the_foreground_alone() -> None:
    truths, values = masks(3), random_maps(3, "rec-grad")
    inside = np.random.default_rng(5).random(truths.shape) < 0.6
    pixels = MapEvaluation(in_memory(truths), as_maps(values, foreground=inside), "vae")
    assert pixels.has_foreground
    whole, within = (pixels.rows(foreground_only=only, resamples=5)[0] for only in (False, True))
    scores = values["rec-grad"]
    assert values_of(whole)["auroc"] == pytest.approx(roc_auc_score(truths.ravel(), scores.ravel()))
    assert values_of(within)["auroc"] == pytest.approx(roc_auc_score(truths[inside], scores[inside]))
    assert values_of(within)["average_precision"] == pytest.approx(
        average_precision_score(truths[inside], scores[inside])
    )
    assert within.evaluation.n_pixels == inside.sum()


def test_maps_are_compared_on_the_grid_of_the_files() -> None:
    geometry = Geometry((Crop("square"), Resize(6)))
    sizes = ((8, 13), (21, 10))
    truths = [np.zeros(size, bool) for size in sizes]
    truths[0][2:5, 6:9] = truths[1][0:4, 3:5] = True  # the second is cut away by the crop
    traces = [geometry.apply(np.zeros((*size, 1), np.uint8)).trace for size in sizes]
    values = random_maps(2, "rec-grad", size=(6, 6))
    maps = as_maps(values, geometry=geometry, traces=traces)
    cases = Cases(Case(f"image {i}", pixels=np.zeros(t.shape), mask_pixels=t) for i, t in enumerate(truths))
    (row,) = MapEvaluation(cases, maps, "vae").rows(resamples=5)
    restored = np.concatenate([maps.on_source_grid(i).ravel() for i in range(2)])
    flat = np.concatenate([truth.ravel() for truth in truths])
    assert row.evaluation.n_pixels == 8 * 13 + 21 * 10
    assert values_of(row)["auroc"] == pytest.approx(roc_auc_score(flat, restored))
    assert values_of(row)["average_precision"] == pytest.approx(average_precision_score(flat, restored))


# ------------------------------------------------------------ volumes


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    """Two heads of eight slices, one with a lesion that runs askew through four and a spot, one with a spot."""
    folder = tmp_path_factory.mktemp("volumes")
    for name in ("first", "second"):
        truth = np.zeros((WIDTH, HEIGHT, 8), np.uint8)
        truth[8, 7, 0] = 1
        if name == "first":
            for index in range(2, 6):
                truth[index, 2, index] = 2
        save(folder / name / f"{name}_flair.nii.gz", np.full(truth.shape, 9, np.int16))
        save(folder / name / f"{name}_seg.nii.gz", truth)
    return read_cases(folder)


def test_a_lesion_is_what_is_connected_in_space(volumes: Cases) -> None:
    assert volumes.layout == "brats"
    order = np.random.default_rng(3).permutation(len(volumes))
    shuffled = volumes[order]
    scores = np.zeros((len(order), HEIGHT, WIDTH), np.float32)
    for row, case in enumerate(shuffled):
        if (case.subject, case.slice.index) == ("first", 4):
            scores[row, HEIGHT - 3, WIDTH - 5] = 1  # as displayed: from front to back, from right to left
    maps = as_maps({"rec-grad": scores}, thresholds={"rec-grad": {"half": 0.5}})
    (row,) = MapEvaluation(shuffled, maps, "vae").rows(resamples=5)
    evaluation = row.evaluation
    assert (evaluation.n_images, evaluation.n_subjects, evaluation.n_lesions) == (2, 2, 3)
    assert evaluation.n_pixels == 2 * WIDTH * HEIGHT * 8
    decided = evaluation.decisions["half"].estimates
    assert decided["lesion_sensitivity"].value == pytest.approx(1 / 3)
    assert decided["dice"].value == pytest.approx(2 * 1 / (1 + 6))


def test_the_same_slices_as_images_are_lesions_each(volumes: Cases, tmp_path: Path) -> None:
    truths = np.zeros((4, HEIGHT, WIDTH), bool)
    truths[np.arange(4), 2, np.arange(4)] = True
    (row,) = MapEvaluation(in_memory(truths), as_maps(random_maps(4, "rec-grad")), "vae").rows(resamples=5)
    assert row.evaluation.n_lesions == 4


def test_foregrounds_of_volumes(volumes: Cases) -> None:
    values = random_maps(len(volumes), "rec-grad")
    inside = np.random.default_rng(5).random(values["rec-grad"].shape) < 0.5
    pixels = MapEvaluation(volumes, as_maps(values, foreground=inside), "vae")
    (row,) = pixels.rows(foreground_only=True, resamples=5)
    assert row.evaluation.n_pixels == inside.sum()


# ------------------------------------------------------------ what is left out


def test_cases_of_unknown_truth_are_left_out() -> None:
    truths, values = masks(5), random_maps(5, "rec-grad")
    cases = list(in_memory(truths))
    cases[0] = replace(cases[0], mask_pixels=None)  # abnormal, who knows where
    cases[1] = replace(cases[1], mask_pixels=None, label=None)
    cases[4] = replace(cases[4], mask_pixels=None)  # normal, and so everywhere
    pixels = MapEvaluation(Cases(cases), as_maps(values), "vae")
    assert pixels.notes == []
    (row,) = pixels.rows(resamples=5)
    kept = [2, 3, 4]
    assert row.evaluation.n_images == 3
    assert values_of(row)["auroc"] == pytest.approx(
        roc_auc_score(truths[kept].ravel(), values["rec-grad"][kept].ravel())
    )
    assert has_masks(Cases(cases))
    assert not has_masks(Cases([cases[0], cases[4]]))
    assert MapEvaluation(Cases(cases[:2]), as_maps(random_maps(2, "rec-grad")), "vae").is_empty


def with_bad_masks(folder: Path) -> Cases:
    """Four images; the masks of the second and third are too small and lost."""
    cases = list(on_disk(folder, masks(4), ["a", "b", "c", "d"]))
    Image.fromarray(np.full((3, 3), 255, np.uint8)).save(cases[1].mask)
    cases[2].mask.unlink()
    return Cases(cases)


def test_masks_that_cannot_be_used_are_noted_and_the_rest_evaluated(tmp_path: Path) -> None:
    values = random_maps(4, "rec-grad")
    pixels = MapEvaluation(with_bad_masks(tmp_path), as_maps(values), "vae")
    (note,) = pixels.notes
    assert note.startswith("images whose mask cannot be used: 2; the first: ")
    assert f"{tmp_path / '1_mask.png'}: is 3 × 3 pixels where {tmp_path / '1.png'} is 9 × 11" in note
    (row,) = pixels.rows(resamples=5)
    kept = [0, 3]
    assert row.evaluation.n_images == 2
    assert values_of(row)["auroc"] == pytest.approx(
        roc_auc_score(masks(4)[kept].ravel(), values["rec-grad"][kept].ravel())
    )


def test_where_no_mask_can_be_used_there_is_no_table(tmp_path: Path) -> None:
    cases = with_bad_masks(tmp_path)[1:3]
    findings = findings_of(cases, as_maps(random_maps(2, "rec-grad")))
    tables, (note,) = findings.pixel_tables(resamples=5)
    assert tables == {}
    assert note.startswith("images whose mask cannot be used: 2")
    assert note in findings.content(resamples=5).notes


def test_subjects_with_small_lesions_are_left_out(tmp_path: Path) -> None:
    truths = masks(6)
    truths[1:4] = False
    truths[2, 0, 0] = True  # one pixel in two images
    truths[5] = masks(2)[0]
    subjects = ["large", "small", "small", "healthy", "unknown", "also large"]
    cases = list(in_memory(truths, subjects))
    cases[4] = replace(cases[4], mask_pixels=None)
    values = random_maps(6, "rec-grad")
    pixels = MapEvaluation(Cases(cases), as_maps(values), "vae", least_abnormal=0.01)
    (note,) = pixels.notes
    assert "no more than 0.01 of their pixels is abnormal: 2 (healthy, small)" in note
    kept = [0, 5]
    (row,) = pixels.rows(resamples=5)
    assert row.evaluation.n_images == 2
    assert values_of(row)["auroc"] == pytest.approx(
        roc_auc_score(truths[kept].ravel(), values["rec-grad"][kept].ravel())
    )
    only_small = Cases(cases[1:4])
    assert MapEvaluation(only_small, as_maps(random_maps(3, "rec-grad")), "vae", least_abnormal=0.01).is_empty


def test_small_lesions_and_bad_masks_together(tmp_path: Path) -> None:
    findings = findings_of(
        with_bad_masks(tmp_path), as_maps(random_maps(4, "rec-grad")), **{"data.least_abnormal": 0.001}
    )
    tables, (small, unusable) = findings.pixel_tables(resamples=5)
    assert "subjects left out of the evaluation by their true masks" in small
    assert small.endswith("1 (d)")
    assert unusable.startswith("images whose mask cannot be used: 2")
    (row,) = tables["Whole image"]
    assert row.evaluation.n_images == 1


@pytest.mark.parametrize(("foreground", "titles"), [(None, 1), (0, 1), (1, 2)])
def test_a_foreground_that_is_empty_has_no_table(foreground: int | None, titles: int) -> None:
    truths = masks(3)
    inside = None if foreground is None else np.full(truths.shape, bool(foreground))
    findings = findings_of(in_memory(truths), as_maps(random_maps(3, "rec-grad"), foreground=inside))
    tables, _ = findings.pixel_tables(resamples=5)
    assert list(tables) == ["Whole image", "Foreground only"][:titles]


# ------------------------------------------------------------ the ensemble

WEIGHTS = np.array([0.7, 3.0, -1.5])


@pytest.fixture(scope="module")
def labelled() -> tuple[Cases, Heatmaps]:
    """Eight subjects with two images each, whose truth was drawn from a mixture of three maps."""
    rng = np.random.default_rng(0)
    maps = rng.exponential(1.0, (3, 16, 40, 40)).astype(np.float32)
    odds = np.tensordot(WEIGHTS, maps, 1) - 4
    truths = rng.random(odds.shape) < 1 / (1 + np.exp(-odds))
    values = {"rec-grad": maps[2], "rec-error": maps[0], "kl-grad": maps[1]}
    return in_memory(truths, [f"subject {i // 2}" for i in range(16)]), as_maps(values)


def test_weights_recover_a_known_mixture(labelled: tuple[Cases, Heatmaps]) -> None:
    cases, maps = labelled
    fitted = MapEvaluation(cases, maps, "vae").ensemble(0.5, seed=1)
    assert list(fitted.weights) == list(ENSEMBLE_OF)
    np.testing.assert_allclose(list(fitted.weights.values()), WEIGHTS, rtol=0.1)
    ensemble = fitted.maps.of("fitted ensemble")
    assert ensemble.dtype == np.float32
    assert ensemble.min() >= 0
    combined = sum(weight * maps.of(name) for name, weight in fitted.weights.items())
    assert np.ptp(ensemble - combined) < 1e-4
    assert fitted.maps.names == [*maps.names, "fitted ensemble"]
    assert fitted.maps.scale_of("fitted ensemble") == pytest.approx(np.quantile(ensemble, 0.999))


def test_subjects_it_was_fitted_on_are_not_evaluated(labelled: tuple[Cases, Heatmaps]) -> None:
    cases, maps = labelled
    findings = findings_of(cases, maps)
    others, everything = findings.with_ensemble(0.25, seed=3)
    note = others.notes[-1]
    fitted_on = [subject for subject in dict.fromkeys(cases.subjects) if subject in note]
    assert len(fitted_on) == 2
    assert f"ensemble fitted on the masks of 2 subjects ({', '.join(fitted_on)}), which are left out here: " in note
    assert set(others.cases.subjects) == set(cases.subjects) - set(fitted_on)
    assert len(everything) == len(cases)
    rows = others.pixel_tables(resamples=5)[0]["Whole image"]
    assert [(row.name, row.kind) for row in rows][-1] == ("beta-vae, fitted ensemble", "other map")
    assert rows[-1].evaluation.n_images == 12
    precisions = [values_of(row)["average_precision"] for row in rows]
    assert precisions[-1] > max(precisions[:-1]) + 0.02
    kept = [i for i, subject in enumerate(cases.subjects) if subject not in fitted_on]
    truth = np.stack([cases[i].mask_pixels for i in kept])
    by_sklearn = average_precision_score(truth.ravel(), everything.maps.of("fitted ensemble")[kept].ravel())
    assert precisions[-1] == pytest.approx(by_sklearn)


def test_another_seed_fits_on_other_subjects(labelled: tuple[Cases, Heatmaps]) -> None:
    findings = findings_of(*labelled)
    notes = {findings.with_ensemble(0.25, seed)[0].notes[-1] for seed in (0, 0, 1, 2)}
    assert len(notes) == 3


def test_an_ensemble_of_maps_that_are_not_there(labelled: tuple[Cases, Heatmaps]) -> None:
    cases, maps = labelled
    fewer = replace(maps, others={"rec-error": maps.of("rec-error")})
    with pytest.raises(DataError, match="there is no map 'kl-grad' among rec-grad, rec-error"):
        findings_of(cases, fewer).with_ensemble(0.25)
    for lacking in (findings_of(cases, None), findings_of(cases.with_cases([Case("a", pixels=np.zeros(4))]), maps)):
        with pytest.raises(DataError, match="memory: an ensemble needs maps and masks; score images that have masks"):
            lacking.with_ensemble(0.25)
    one_carrier = in_memory(np.arange(16)[:, None, None] < np.full((1, 40, 40), 2), cases.subjects)
    with pytest.raises(DataError, match="1 of 8 subjects have positive pixels"):
        findings_of(one_carrier, maps).with_ensemble(0.25)


# ------------------------------------------------------------ findings, whole and in part, and kept


def pictures(count: int) -> dict[int, Shown]:
    """A picture of every kind, each of another colour."""
    rng = np.random.default_rng(7)

    def picture() -> np.ndarray:
        return np.broadcast_to(rng.integers(0, 256, 3, np.uint8), (6, 6, 3)).copy()

    return {
        i: Shown(picture(), picture(), picture(), picture() if i % 2 else None, {"kl-grad": picture()})
        for i in range(count)
    }


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    """Images in files, of four subjects, with several maps, a foreground and thresholds."""
    truths, values = masks(8), random_maps(8, "rec-grad", "rec-error", "kl-grad", "intensity")
    inside = np.random.default_rng(5).random(truths.shape) < 0.7
    thresholds = {name: {"p95": 3.0 + i / 3} for i, name in enumerate(values)}
    maps = as_maps(values, trivial=["intensity"], foreground=inside, thresholds=thresholds)
    cases = on_disk(tmp_path / "data", truths, [f"subject {i // 2}" for i in range(8)])
    return replace(findings_of(cases, maps), shown=pictures(8))


def test_a_folder_gives_the_same_tables(findings: Findings, tmp_path: Path) -> None:
    tables, notes = findings.pixel_tables(resamples=30, seed=2)
    assert list(tables) == ["Whole image", "Foreground only"]
    loaded = Findings.load(findings.save(tmp_path / "kept"))
    again, same_notes = loaded.pixel_tables(resamples=30, seed=2)
    assert as_json(again) == as_json(tables)
    assert same_notes == notes
    for one, other in zip(findings.with_ensemble(0.5), loaded.with_ensemble(0.5), strict=True):
        assert as_json(one.pixel_tables(resamples=5)[0]) == as_json(other.pixel_tables(resamples=5)[0])
        assert list(one.notes) == list(other.notes)


def test_volumes_in_a_folder_give_the_same_tables(volumes: Cases, tmp_path: Path) -> None:
    findings = findings_of(volumes, as_maps(random_maps(len(volumes), "rec-grad", "kl-grad")))
    findings = replace(findings, montages={"second": np.full((4, 4, 3), 9, np.uint8)})
    tables, _ = findings.pixel_tables(resamples=5)
    loaded = Findings.load(findings.save(tmp_path / "kept"))
    assert as_json(loaded.pixel_tables(resamples=5)[0]) == as_json(tables)
    assert tables["Whole image"][0].evaluation.n_images == 2
    assert [case.slice for case in loaded.cases] == [case.slice for case in volumes]
    np.testing.assert_array_equal(loaded.montages["second"], findings.montages["second"])


def test_maps_without_masks_are_not_kept(findings: Findings, tmp_path: Path) -> None:
    bare = findings.cases.with_cases(replace(case, mask=None) for case in findings.cases)
    folder = replace(findings, cases=bare).save(tmp_path / "kept")
    assert not list(folder.glob("maps.*"))
    assert not (folder / "gallery" / "maps.png").exists()
    assert Findings.load(folder).maps is None
    assert Findings.load(folder).pixel_tables() == ({}, [])


def test_stored_maps_of_another_version_are_refused(findings: Findings, tmp_path: Path) -> None:
    folder = findings.save(tmp_path / "kept")
    state = json.loads((folder / "maps.json").read_text())
    (folder / "maps.json").write_text(json.dumps(state | {"geometry": [{"step": "warp"}]}))
    with pytest.raises(DataError, match=r"is not a folder that 'sanoscope score' wrote \(KeyError: 'warp'\)"):
        Findings.load(folder)


def test_a_part_keeps_its_own_maps(findings: Findings) -> None:
    chosen = [5, 0, 7, 2]
    part = findings.subset(chosen, "some of them")
    assert findings.maps is not None
    alone = findings_of(findings.cases[chosen], findings.maps.subset(np.array(chosen)))
    assert as_json(part.pixel_tables(resamples=5)[0]) == as_json(alone.pixel_tables(resamples=5)[0])
    for new, old in enumerate(chosen):
        np.testing.assert_array_equal(part.maps.on_source_grid(new), findings.maps.on_source_grid(old))
        assert part.shown[new] is findings.shown[old]
    one = findings.of_subjects(["subject 1"]).pixel_tables(resamples=5)[0]["Whole image"][0].evaluation
    assert (one.n_images, one.n_subjects) == (2, 1)


def test_a_part_shows_its_own_volumes(volumes: Cases) -> None:
    sheet = np.zeros((4, 4, 3), np.uint8)
    whole = replace(findings_of(volumes, None), montages={"first": sheet, "second": sheet})
    assert set(whole.of_subjects(["second"]).montages) == {"second"}
    assert set(whole.subset([0, len(volumes) - 1], "the ends").montages) == {"first", "second"}


def test_the_figure_of_maps_is_written_beside_the_gallery(findings: Findings, tmp_path: Path) -> None:
    folder = findings.save(tmp_path / "kept")
    with Image.open(folder / "gallery" / "maps.png") as figure:
        colours = set(map(tuple, np.asarray(figure.convert("RGB")).reshape(-1, 3).tolist()))
    indices = findings.gallery_groups()[LABELLED]
    assert indices  # one of each subject with a lesion
    for index in indices:
        shown = findings.shown[index]
        there = [shown.image, shown.reconstruction, shown.overlay, shown.others["kl-grad"]]
        for picture in [*there, *([] if shown.truth is None else [shown.truth])]:
            assert tuple(picture[0, 0].tolist()) in colours
    loaded = Findings.load(folder)
    for index, shown in findings.shown.items():
        again = loaded.shown[index]
        assert (again.truth is None) == (shown.truth is None)
        np.testing.assert_array_equal(again.others["kl-grad"], shown.others["kl-grad"])


def test_the_report_of_a_folder_shows_what_the_first_one_did(findings: Findings, tmp_path: Path) -> None:
    first, second = findings.content(resamples=5), Findings.load(findings.save(tmp_path / "kept")).content(resamples=5)
    assert as_json(first.pixel_rows) == as_json(second.pixel_rows)
    assert first.map_name == second.map_name == "rec-grad"
    assert list(first.gallery) == list(second.gallery)
    assert next(iter(first.gallery)) == LABELLED
    without = findings_of(findings.cases, None, **{"scoring.map": "kl-grad"})
    assert without.content(resamples=5).map_name == "kl-grad"
    assert findings_of(findings.cases, None).content(resamples=5).map_name == "map"


def test_slices_of_one_volume_across_two_axes(volumes: Cases) -> None:
    path, mask = volumes[0].path, volumes[0].mask
    cases = Cases(
        [
            Case("a", path, mask=mask, slice=VolumeSlice("axial", 0, 8)),
            Case("b", path, mask=mask, slice=VolumeSlice("axial", 1, 8)),
        ]
    )
    coronal = Case("c", path, mask=mask, slice=VolumeSlice("coronal", 7, HEIGHT))
    sizes = [(HEIGHT, WIDTH), (HEIGHT, WIDTH), (8, WIDTH)]
    geometry = Geometry((Resize(4),))
    traces = [geometry.apply(np.zeros((*size, 1), np.uint8)).trace for size in sizes]
    maps = as_maps(random_maps(3, "rec-grad", size=(4, 4)), geometry=geometry, traces=traces)
    (row,) = MapEvaluation(cases.with_cases([*cases, coronal]), maps, "vae").rows(resamples=5)
    assert row.evaluation.n_images == 2
    assert row.evaluation.n_pixels == 2 * HEIGHT * WIDTH + 8 * WIDTH
