"""Several methods on the same images: which images, which pixels, at which scale, and what is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from command_line import finished, sanoscope
from sanoscope import Case, Cases, Findings, compare_maps, read_cases
from sanoscope.decision import Decision
from sanoscope.errors import DataError
from sanoscope.findings_folder import write_data
from sanoscope.heatmaps import Heatmaps
from sanoscope.heatmaps_folder import save_heatmaps
from sanoscope.preparation.geometry import Geometry, Resize
from sanoscope.report.images import display_file, outlined, overlay
from sanoscope.side_by_side import PICTURE_SIZE
from volume_files import save

SIZE = (100, 90)  # shown as it is
NETWORK = 16


def scored(
    cases: Cases, scores: Sequence[float] | None = None, *, seed: int = 0, scale: float = 1.0, **recipe: Any
) -> Findings:
    """Findings with random maps up to ``scale`` of a network that sees small squares."""
    sizes = [case.pixels.shape[:2] if case.pixels is not None else SIZE for case in cases]
    maps = Heatmaps(
        values=np.random.default_rng(seed).random((len(cases), NETWORK, NETWORK), np.float32) * np.float32(scale),
        traces=[(size,) for size in sizes],
        geometry=Geometry((Resize(NETWORK),)),
        scale=scale,
        name="rec-grad",
    )
    return Findings(
        cases=cases,
        score_name="map-max",
        scores={"map-max": np.linspace(0.1, 0.9, len(cases)) if scores is None else np.asarray(scores)},
        trivial=(),
        decisions={"map-max": Decision("quantile", 0.5, 0.05, {"normal": 5, "abnormal": 0, "description": "5 images"})},
        calibration=np.linspace(0, 1, 19),
        seen_in_training=np.zeros(len(cases), bool),
        maps=maps,
        recipe={"name": "beta-vae", "title": "A VAE", "paper": "A paper", "options": {}, "changed": {}, "notes": []}
        | recipe,
    )


def lesion(size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = True
    return mask


def random_image(seed: int, size: Sequence[int] = SIZE, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size).astype(kind)


def in_memory(subjects: int, each: str = "aan", masked: bool = True) -> Cases:
    """Abnormal and normal images of every subject, by a letter each."""
    return Cases(
        Case(
            f"{subject}/{i}",
            pixels=random_image(10 * subject + i),
            label=int(letter == "a"),
            subject=f"subject {subject}",
            mask_pixels=lesion() if letter == "a" and masked else None,
        )
        for subject in range(subjects)
        for i, letter in enumerate(each)
    )


@pytest.fixture
def on_disk(tmp_path: Path) -> Cases:
    """Six images of three subjects in files; each subject's first has a lesion."""
    cases = []
    for i in range(6):
        image, mask = tmp_path / "data" / f"{i}.png", tmp_path / "data" / f"{i}_mask.png"
        image.parent.mkdir(exist_ok=True)
        Image.fromarray(random_image(i)).save(image)
        if i % 2 == 0:
            Image.fromarray(lesion()).save(mask)
        label = int(i % 2 == 0)
        cases.append(Case(f"{i}", image, label=label, subject=f"{i // 2}", mask=mask if label else None))
    return Cases(cases, str(tmp_path / "data"), "folder")


def names_of(compared: Any) -> list[str]:
    return [row.name for row in compared.rows]


# ------------------------------------------------------------ which images


def test_one_abnormal_image_of_each_of_some_subjects_and_two_normal_ones() -> None:
    rows = compare_maps({"vae": scored(in_memory(12, "aaann"))}).rows
    assert [row.label for row in rows] == [1] * 8 + [0] * 2
    assert len({row.subject for row in rows[:8]}) == 8
    assert {row.subject for row in rows[8:]} == {"subject 0", "subject 11"}
    assert [row.name for row in rows[8:]] == ["0/4", "11/4"]
    assert [row.truth is None for row in rows] == [False] * 8 + [True] * 2


def test_without_masks_the_most_abnormal_by_the_first_method() -> None:
    cases = in_memory(10, "an", masked=False)
    scores = np.random.default_rng(0).random(20)
    compared = compare_maps({"first": scored(cases, scores), "second": scored(cases, -scores)})
    order = [cases[i].name for i in np.argsort(-scores)]
    assert names_of(compared)[:8] == order[:8]
    normals = names_of(compared)[8:]
    assert len(normals) == 2
    assert not set(normals) & set(order[:8])
    assert all(row.label == 0 for row in compared.rows[8:])
    assert all(row.maps[0].score == -row.maps[1].score for row in compared.rows)


def test_images_without_labels_or_normals_are_shown_as_far_as_they_go() -> None:
    cases = in_memory(2, "a", masked=False)
    unlabelled = cases.with_cases(replace(case, label=None) for case in cases)
    compared = compare_maps({"vae": scored(unlabelled)})
    assert sorted(names_of(compared)) == ["0/0", "1/0"]
    assert not compared.has_truth


# ------------------------------------------------------------ which pixels


def test_each_method_is_judged_by_its_own_numbers() -> None:
    cases = in_memory(3, "an")
    other = cases[[5, 3, 1, 4, 2, 0]]  # the same images in another order
    findings = {"one": scored(cases, seed=1), "two": scored(other, seed=2, scale=30.0)}
    compared = compare_maps(findings)
    assert compared.methods == {key: ["map rec-grad", "score map-max"] for key in findings}
    assert not compared.notes
    assert names_of(compared) == ["0/0", "1/0", "2/0", "0/1", "2/1"]
    for row in compared.rows:
        for one, judged in zip(findings.values(), row.maps, strict=True):
            (index,) = (i for i, case in enumerate(one.cases) if case.name == row.name)
            assert judged.score == one.score[index]
            assert judged.abnormal == one.abnormal[index]
            pixels = one.cases[index].pixels
            image = display_file(pixels[..., None])
            np.testing.assert_array_equal(row.image, image)
            drawn = overlay(image, one.maps.on_source_grid(index), (0.0, one.maps.scale))
            np.testing.assert_array_equal(judged.overlay, outlined(drawn, lesion()) if row.label else drawn)
            if row.label:
                np.testing.assert_array_equal(row.truth, outlined(image, lesion()))


def test_a_map_is_seen_by_its_share_of_its_own_scale() -> None:
    cases = in_memory(2, "an")
    rows = compare_maps({"weak": scored(cases, scale=1.0), "strong": scored(cases, scale=64.0)}).rows
    for row in rows:
        np.testing.assert_array_equal(row.maps[0].overlay, row.maps[1].overlay)
        assert (row.maps[0].overlay != row.image).any()


def test_colours_are_those_of_the_file() -> None:
    pixels = random_image(3, (*SIZE, 3)) // 2
    (row,) = compare_maps({"vae": scored(Cases([Case("tissue", pixels=pixels)]))}).rows
    np.testing.assert_array_equal(row.image, pixels)


def test_deep_grey_is_stretched() -> None:
    pixels = np.linspace(5000, 9000, SIZE[0] * SIZE[1]).astype(np.uint16).reshape(SIZE)
    (row,) = compare_maps({"vae": scored(Cases([Case("slice", pixels=pixels)]))}).rows
    assert (row.image.min(), row.image.max()) == (0, 255)
    assert np.median(row.image) == pytest.approx(127.5, abs=1)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 500), st.integers(1, 500))
def test_pictures_are_of_one_size(height: int, width: int) -> None:
    case = Case("image", pixels=random_image(0, (height, width)), label=1, mask_pixels=np.ones((height, width), bool))
    (row,) = compare_maps({"vae": scored(Cases([case]))}).rows
    shown = row.image.shape[:2]
    assert PICTURE_SIZE / 2 < max(shown) <= PICTURE_SIZE
    scale = max(shown) / max(height, width)
    assert shown == pytest.approx((height * scale, width * scale), abs=1)
    assert row.truth.shape == row.maps[0].overlay.shape == row.image.shape


def test_the_smallest_lesion_of_a_large_image_is_outlined() -> None:
    mask = np.zeros((800, 800), bool)
    mask[402, 601] = True
    case = Case("image", pixels=np.zeros((800, 800), np.uint8), label=1, mask_pixels=mask)
    (row,) = compare_maps({"vae": scored(Cases([case]))}).rows
    (changed,) = np.argwhere((row.truth != row.image).any(axis=2))
    assert tuple(changed) == (80, 120)


# ------------------------------------------------------------ what is left out


def test_images_that_a_method_lacks_are_left_out() -> None:
    cases = in_memory(4, "an")
    compared = compare_maps({"all": scored(cases), "some": scored(cases[[2, 3, 4]]), "others": scored(cases[2:])})
    assert names_of(compared) == ["1/0", "2/0", "1/1"]
    assert list(compared.notes) == ["Left out, as not every method has scored them: 5 images."]


def test_nothing_in_common() -> None:
    cases = in_memory(3, "an")
    findings = {"all": scored(cases), "some": scored(cases[:3]), "others": scored(cases[3:])}
    with pytest.raises(DataError, match=r"^others: has no image that is also in all, some; score the same images"):
        compare_maps(findings)


def test_findings_without_maps() -> None:
    one = scored(in_memory(2))
    with pytest.raises(DataError, match=r"^other: has no maps to show; score images that have masks, with maps$"):
        compare_maps({"one": one, "other": replace(one, maps=None)})


def test_files_that_have_gone_or_changed_are_left_out_and_named(on_disk: Cases) -> None:
    whole = compare_maps({"vae": scored(on_disk)})
    assert names_of(whole) == ["0", "2", "4", "1", "5"]
    on_disk[0].path.unlink()
    Image.fromarray(random_image(0, (50, 45))).save(on_disk[2].path)
    compared = compare_maps({"vae": scored(on_disk)})
    assert names_of(compared) == ["4", "1", "5"]
    gone, changed = compared.notes
    assert gone.startswith(f"Left out: {on_disk[0].path}: cannot be opened")
    assert changed == f"Left out: {on_disk[2].path}: has another size than when it was scored."
    for case in on_disk:
        case.path.unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"^vae: none of the images to show can be read \(Left out: "):
        compare_maps({"vae": scored(on_disk)})


def test_a_mask_that_cannot_be_used_leaves_the_image(on_disk: Cases) -> None:
    Image.fromarray(lesion((7, 7))).save(on_disk[0].mask)
    first, second, *_ = compare_maps({"vae": scored(on_disk)}).rows
    assert (first.name, first.truth) == ("0", None)
    assert second.truth is not None


def test_slices_of_a_volume_are_told_apart(tmp_path: Path) -> None:
    voxels = np.stack([np.full(SIZE[::-1], i) + lesion(SIZE[::-1]) for i in range(4)], axis=2).astype(np.int16)
    save(tmp_path / "data" / "head.nii.gz", voxels)
    save(tmp_path / "data" / "head_mask.nii.gz", (voxels == 3).astype(np.uint8))
    cases = read_cases(tmp_path / "data")
    renamed = cases.with_cases(replace(case, name=f"other {i}") for i, case in enumerate(cases))
    compared = compare_maps({"one": scored(cases, seed=4), "two": scored(renamed[::-1], seed=4)})
    assert len(compared.rows) == 3  # one with a lesion, of the only subject, and two without
    assert all(row.maps[0].score + row.maps[1].score == pytest.approx(1) for row in compared.rows)
    assert not compared.notes


# ------------------------------------------------------------ folders


def saved(folder: Path, findings: Iterable[tuple[str, Findings]]) -> list[Path]:
    """What of a folder of findings is read again."""
    folders = []
    for name, one in findings:
        folders.append(folder / name)
        folders[-1].mkdir(parents=True)
        write_data(one, folders[-1])
        save_heatmaps(one.maps, folders[-1])
    return folders


def test_folders_on_the_command_line(on_disk: Cases, tmp_path: Path) -> None:
    first = scored(on_disk, seed=1)
    folders = saved(
        tmp_path / "runs",
        [
            ("a/findings", first),
            ("b/findings", scored(on_disk, seed=2, name="conv-vae")),
            ("c/findings", replace(first, maps=replace(first.maps, name="kl-grad"))),
            ("d/findings", scored(on_disk[1:], seed=3)),
        ],
    )
    beside = [argument for folder in folders[1:] for argument in ("--beside", folder)]
    finished("evaluate", folders[0], *beside, "--resamples", 2)
    page = (folders[0] / "report.html").read_text()
    assert '<section id="side-by-side">' in page
    for heading in (
        "beta-vae, rec-grad, a/findings",
        "conv-vae",
        "beta-vae, kl-grad",
        "beta-vae, rec-grad, d/findings",
    ):
        assert f'<th scope="col">{heading}<small>' in page
    assert "not every method has scored them: 1 image." in page


def test_a_folder_gives_the_same_pictures(on_disk: Cases, tmp_path: Path) -> None:
    findings = {"one": scored(on_disk, seed=1), "two": scored(on_disk, seed=2)}
    loaded = dict(zip(findings, map(Findings.load, saved(tmp_path, findings.items())), strict=True))
    for row, again in zip(compare_maps(findings).rows, compare_maps(loaded).rows, strict=True):
        np.testing.assert_array_equal(row.truth, again.truth)
        for judged, same in zip(row.maps, again.maps, strict=True):
            np.testing.assert_array_equal(judged.overlay, same.overlay)
            assert (judged.score, judged.abnormal) == (same.score, same.abnormal)


def test_folders_that_cannot_be_compared(on_disk: Cases, tmp_path: Path) -> None:
    one, other = saved(tmp_path, [("one", scored(on_disk[:2])), ("other", scored(on_disk[2:]))])
    assert sanoscope("evaluate", one, "--beside", other).error.startswith(
        f"{other}: has no image that is also in {one}; score the same"
    )
    again = one / ".." / "one"
    assert sanoscope("evaluate", one, "--beside", again).error == (
        f"{again}: is given twice; name each folder of findings once"
    )
    assert sanoscope("evaluate", one, "--beside", tmp_path / "none").error.startswith(f"{tmp_path / 'none'}: has no")
    for file in one.glob("maps.*"):
        file.unlink()
    assert sanoscope("evaluate", one, "--beside", other).error.startswith(f"{one}: has no maps to show")


def test_the_report_in_python(on_disk: Cases, tmp_path: Path) -> None:
    findings = scored(on_disk)
    beside = compare_maps({"this": findings, "that": scored(on_disk, seed=5)})
    page = findings.report(tmp_path / "report.html", resamples=2, beside=beside).read_text()
    assert page.count('title="that"') == len(beside.rows)
