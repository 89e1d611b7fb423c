"""Slices as cases: which there are, what they are called, what their masks say, in every layout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from command_line import SMALL, finished, sanoscope
from sanoscope.cases import (
    Case,
    Cases,
    Slicing,
    VolumeSlice,
    drop_small_lesions,
    find_duplicates,
    load_cases,
    read_case,
    read_cases,
    read_mask,
    true_mask,
    write_manifest,
)
from sanoscope.cases.volume_files import read_volume
from sanoscope.errors import DataError, ImageError, OptionError
from volume_files import save, turned

SHAPE = (4, 5, 6)
VOXELS = np.random.default_rng(0).integers(0, 3000, SHAPE, np.int16)
CENTRE = Slicing(slices="central:2")


def truth(*places: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    for place in places:
        mask[place] = 4
    return mask


def brats(folder: Path, *cases: str, modality: str = "flair", suffix: str = ".nii.gz") -> Path:
    for case in cases:
        save(folder / case / f"{case.rpartition('/')[2]}_{modality}{suffix}", VOXELS)
        save(folder / case / f"{case.rpartition('/')[2]}_seg.nii.gz", truth((1, 1, 3), (0, 0, 5)))
    return folder


# ---------------------------------------------------------------- which slices


def test_central_slices_are_those_of_the_paper() -> None:
    for chosen, first, last in ((10, 73, 82), (20, 68, 87), (40, 58, 97), (1, 77, 77)):
        assert Slicing(slices=f"central:{chosen}").positions(155) == range(first, last + 1)
    assert Slicing(slices="20:-20").positions(155) == range(20, 135)
    assert len(Slicing(slices="20:-20").positions(30)) == 0


@given(st.integers(0, 300), st.integers(1, 300), st.integers(-300, 300), st.integers(-300, 300))
def test_positions_are_in_the_middle_or_as_python_counts(count: int, chosen: int, start: int, stop: int) -> None:
    middle = Slicing(slices=f"central:{chosen}").positions(count)
    assert len(middle) == min(chosen, count)
    if count:
        below, above = middle.start, count - middle.stop
        assert 0 <= below - above <= 1
    assert Slicing().positions(count) == range(count)
    everything = list(range(count))
    assert list(Slicing(slices=f"{start}:{stop}").positions(count)) == everything[start:stop]
    assert list(Slicing(slices=f"{start}:").positions(count)) == everything[start:]
    assert list(Slicing(slices=f":{stop}").positions(count)) == everything[:stop]


@pytest.mark.parametrize("slices", ["", "some", "central", "central:0", "central:-1", "1:2:3", "5", "1.5:3", "a:b"])
def test_slices_that_are_not_understood(slices: str) -> None:
    with pytest.raises(OptionError, match=r"data.slices=.* is not understood; write all, central:10 or 20:-20"):
        Slicing(slices=slices)


def test_axes_and_modalities_that_do_not_exist() -> None:
    with pytest.raises(OptionError, match=r"data.axis=axail is unknown; did you mean 'axial'"):
        Slicing(axis="axail")
    with pytest.raises(OptionError, match=r"data.modality=t3 is unknown"):
        Slicing(modality="t3")


# ---------------------------------------------------------------- layouts


def test_brats(tmp_path: Path) -> None:
    brats(tmp_path, "p1", "p2")
    (tmp_path / "p2/p2_seg.nii.gz").unlink()
    save(tmp_path / "p1/p1_t2.nii.gz", VOXELS)
    cases = read_cases(tmp_path)
    assert cases.layout == "brats"
    assert [case.name for case in cases] == [f"{case}/axial-00{i}" for case in ("p1", "p2") for i in range(6)]
    assert cases.labels == [0, 0, 0, 1, 0, 1] + [None] * 6
    assert set(cases.subjects) == {"p1", "p2"}
    assert cases[3].slice == VolumeSlice("axial", 3, 6)
    assert cases[3].path == tmp_path / "p1/p1_flair.nii.gz"
    assert cases.notes == (
        "cases without a segmentation, and so without labels: 1 (p2)",
        "volumes: 2, of which 12 axial slices (data.slices=all)",
    )
    second = read_cases(tmp_path, slicing=Slicing("sagittal", "central:2", "t2"))
    assert [case.name for case in second] == ["p1/sagittal-001", "p1/sagittal-002"]
    assert second.labels == [1, 0]
    assert "cases without t2, left out: 1 (p2)" in second.notes
    with pytest.raises(DataError, match=r"no case has t1ce, p1 neither; set data.modality to one .*\(flair, t2\)"):
        read_cases(tmp_path, slicing=Slicing(modality="t1ce"))
    with pytest.raises(OptionError, match="slices without a tumour are normal"):
        read_cases(tmp_path, normal="p1")


def test_brats_in_its_other_trees(tmp_path: Path) -> None:
    grades = brats(tmp_path / "grades", "HGG/p1", "LGG/p2", suffix=".nii")
    assert {case.subject for case in read_cases(grades)} == {"p1", "p2"}
    alone = brats(tmp_path / "alone", "p1") / "p1"
    assert read_cases(alone).layout == "brats"
    assert len(read_cases(alone)) == 6
    assert read_cases(brats(tmp_path / "other", "p1", modality="t9"), layout="folder").layout == "folder"


def test_kaggle_3m(tmp_path: Path) -> None:
    for number, abnormal in ((1, 0), (2, 255), (10, 255), (3, None)):
        folder = tmp_path / "kaggle_3m" / "TCGA_1"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 5, 3), number, np.uint8)).save(folder / f"TCGA_1_{number}.tif")
        if abnormal is not None:
            mask = np.zeros((4, 5), np.uint8)
            mask[2, 3] = abnormal
            Image.fromarray(mask).save(folder / f"TCGA_1_{number}_mask.tif")
    (tmp_path / "kaggle_3m" / "data.csv").write_text("Patient\n")
    for path in (tmp_path, tmp_path / "kaggle_3m"):
        cases = read_cases(path)
        assert cases.layout == "kaggle-3m"
        assert [(case.name, case.label, case.subject) for case in cases] == [
            ("TCGA_1/TCGA_1_1", 0, "TCGA_1"),
            ("TCGA_1/TCGA_1_10", 1, "TCGA_1"),
            ("TCGA_1/TCGA_1_2", 1, "TCGA_1"),
            ("TCGA_1/TCGA_1_3", None, "TCGA_1"),
        ]
        assert "slices without a mask, and so without a label: 1" in cases.notes
    chosen = read_cases(tmp_path, slicing=CENTRE)
    assert [case.name for case in chosen] == ["TCGA_1/TCGA_1_2", "TCGA_1/TCGA_1_3"]
    assert "images of 1 numbered series left out by data.slices=central:2: 2" in chosen.notes
    (tmp_path / "kaggle_3m/TCGA_1/TCGA_1_2_mask.tif").write_bytes(b"II*\0")
    with pytest.raises(DataError, match=r"TCGA_1_2_mask.tif: .*without a mask its image would have no label"):
        read_cases(tmp_path)


def test_a_folder_of_volumes_and_one_alone(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", VOXELS)
    save(tmp_path / "a_mask.nii.gz", truth((0, 0, 2)))
    save(tmp_path / "a_brainmask.nii.gz", truth())
    save(tmp_path / "b.nii", VOXELS)
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "c.png")
    cases = read_cases(tmp_path, slicing=CENTRE)
    assert [(case.name, case.label, case.subject) for case in cases] == [
        ("a/axial-002", 1, "a"),
        ("a/axial-003", 0, "a"),
        ("b/axial-002", None, "b"),
        ("b/axial-003", None, "b"),
        ("c", None, None),
    ]
    assert [case.foreground for case in cases][:3] == [tmp_path / "a_brainmask.nii.gz"] * 2 + [None]
    alone = read_cases(tmp_path / "a.nii.gz")
    assert [case.name for case in alone][:2] == ["a/axial-000", "a/axial-001"]


def test_class_folders_of_volumes(tmp_path: Path) -> None:
    save(tmp_path / "healthy/a.nii.gz", VOXELS)
    save(tmp_path / "stroke/b.nii.gz", VOXELS)
    cases = read_cases(tmp_path, slicing=CENTRE)
    assert [(case.label, case.subject) for case in cases] == [(0, "healthy/a")] * 2 + [(1, "stroke/b")] * 2
    wanted = "volumes labelled abnormal without a mask, each slice labelled like them: 1 (stroke/b)"
    assert wanted in cases.notes


def test_slices_of_a_volume_stay_on_one_side(tmp_path: Path) -> None:
    for i in range(6):
        save(tmp_path / f"{i}.nii.gz", VOXELS + np.int16(i))
    cases = load_cases(tmp_path)
    sides = {(case.subject, case.split) for case in cases}
    assert len(sides) == 6
    assert {side for _, side in sides} == {"train", "validation", "test"}


# ---------------------------------------------------------------- manifests


def manifest(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.csv").write_text(text)
    return folder


def test_a_manifest_of_volumes_is_sliced(tmp_path: Path) -> None:
    save(tmp_path / "v/a.nii.gz", VOXELS)
    save(tmp_path / "v/a_truth.nii.gz", truth((0, 0, 2)))
    save(tmp_path / "v/body.nii", truth())
    rows = "path,label,mask,subject,split,foreground\nv/a.nii.gz,0,v/a_truth.nii.gz,p,test,v/body.nii\n"
    cases = read_cases(manifest(tmp_path, rows), slicing=CENTRE)
    assert [(case.name, case.label, case.subject, case.split) for case in cases] == [
        ("v/a/axial-002", 1, "p", "test"),
        ("v/a/axial-003", 0, "p", "test"),
    ]
    assert cases[0].foreground == tmp_path / "v/body.nii"
    assert "volumes labelled normal with abnormal slices by their mask: 1 (v/a)" in cases.notes


def test_slices_survive_the_manifest(tmp_path: Path) -> None:
    cases = read_cases(brats(tmp_path, "p1", "p2"), slicing=Slicing("coronal", "1:4"))
    cases = cases.assign(["train", "test", None, "train", "train", None])
    write_manifest(cases, tmp_path / "out" / "some.csv")
    again = read_cases(tmp_path / "out" / "some.csv", slicing=CENTRE)
    assert again.layout == "manifest"
    for one, other in zip(cases, again, strict=True):
        assert vars(one) == vars(other)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.nii.gz,b.png,,", r"row 2: 'b.png' and 'a.nii.gz' are an image and a volume; give two of a kind"),
        ("b.png,a.nii.gz,,", "row 2: 'a.nii.gz' and 'b.png' are a volume and an image"),
        ("a.nii.gz,none.nii.gz,,", "1 of the files named do not exist, the first in row 2: 'none.nii.gz'"),
        ("a.nii.gz,,axial,6", "row 2: 'a.nii.gz' has 6 axial slices, no slice 6"),
        ("a.nii.gz,,axial,", "row 2: axis 'axial', index '' of 'a.nii.gz' is no slice"),
        ("a.nii.gz,,oblique,1", "row 2: axis 'oblique', index '1'"),
        ("a.nii.gz,,axial,-1", "row 2: axis 'axial', index '-1'"),
        ("b.png,,axial,1", "index '1' of 'b.png' is no slice"),
        ("a.nii.gz,,axial,1\na.nii.gz,,axial,1", "'a.nii.gz' is in rows 2, 3; keep one"),
    ],
)
def test_rows_that_are_no_slices(tmp_path: Path, row: str, message: str) -> None:
    save(tmp_path / "a.nii.gz", VOXELS)
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=message):
        read_cases(manifest(tmp_path, f"path,mask,axis,index\n{row}\n"))


# ---------------------------------------------------------------- what is wrong with files


def test_masks_that_do_not_fit_are_refused_when_listing(tmp_path: Path) -> None:
    brats(tmp_path, "p1")
    mask = tmp_path / "p1/p1_seg.nii.gz"
    save(mask, truth()[1:])
    with pytest.raises(DataError, match=r"p1_seg.nii.gz: has 3 × 5 × 6 voxels where .*p1_flair.nii.gz has 4 × 5 × 6"):
        read_cases(tmp_path)
    mask.write_bytes(mask.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"p1_seg.nii.gz: .*truncated.*without a mask it would count as normal"):
        read_cases(tmp_path)


def test_volumes_that_cannot_be_read_stay_whole_for_the_reader_to_say_why(tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", np.zeros((4, 5, 6, 2), np.int16))
    (case,) = read_cases(tmp_path)
    assert case.slice is None
    with pytest.raises(ImageError, match="has 4 dimensions"):
        read_case(case)


def test_no_slice_at_all_is_refused_and_some_volumes_without_are_named(tmp_path: Path) -> None:
    save(tmp_path / "thin.nii", VOXELS[:, :, :2])
    with pytest.raises(DataError, match=r"no slice lies in data.slices=3:; choose others"):
        read_cases(tmp_path, slicing=Slicing(slices="3:"))
    save(tmp_path / "thick.nii", VOXELS)
    cases = read_cases(tmp_path, slicing=Slicing(slices="3:"))
    assert [case.slice.index for case in cases if case.slice] == [3, 4, 5]
    assert "volumes without a slice there, left out: 1 (thin)" in cases.notes


def test_duplicates_are_volumes_not_slices_of_one(tmp_path: Path) -> None:
    for name in "ab":
        save(tmp_path / f"{name}.nii", VOXELS)
    save(tmp_path / "c.nii", VOXELS + np.int16(1))
    found = find_duplicates(read_cases(tmp_path, slicing=CENTRE))
    assert [[case.name for case in group] for group in found] == [
        ["a/axial-002", "b/axial-002"],
        ["a/axial-003", "b/axial-003"],
    ]


# ---------------------------------------------------------------- series of images


def test_series_are_cut_by_their_numbers_and_others_kept() -> None:
    numbers = [1, 10, 11, 2, 3]
    series = [Case(f"p/p_{n}", subject="p", pixels=np.zeros((2, 2))) for n in numbers]
    rest = [Case("q/q_1"), Case("q/scan", subject="q"), Case("8863_x1_y51_class0", subject="r")]
    from sanoscope.cases.volumes import sliced

    def kept(slices: str) -> list[str]:
        return [case.name for case in sliced(Cases([*series, *rest]), Slicing(slices=slices))]

    others = [case.name for case in rest]
    assert kept("all") == [case.name for case in [*series, *rest]]
    assert kept("central:3") == ["p/p_10", "p/p_2", "p/p_3", *others]
    assert kept("1:-1") == ["p/p_10", "p/p_2", "p/p_3", *others]
    assert kept("-1:") == ["p/p_11", *others]


# ---------------------------------------------------------------- masks and filters


@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([1, -1])] * 3), st.sampled_from(["axial", "coronal"]))
def test_masks_of_slices_lie_on_the_slices(
    tmp_path_factory: pytest.TempPathFactory, axes: list[int], flips: tuple[int, ...], axis: str
) -> None:
    folder = tmp_path_factory.mktemp("masks")
    mask = (VOXELS > 1500).astype(np.uint8)
    save(folder / "a.nii", VOXELS)
    save(folder / "a_mask.nii", *turned(mask, tuple(axes), flips))
    for case in read_cases(folder, slicing=Slicing(axis)):
        found = true_mask(case)
        assert found is not None
        assert found.dtype == bool
        np.testing.assert_array_equal(found, read_case(case)[..., 0] > 1500)


def test_masks_of_images(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.eye(4, 5, dtype=np.uint8)).save(tmp_path / "a_mask.png")
    (case,) = read_cases(tmp_path)
    np.testing.assert_array_equal(true_mask(case), np.eye(4, 5, dtype=bool))
    pixels = np.zeros((3, 2))
    in_memory = true_mask(Case("m", pixels=pixels, label=1, mask_pixels=np.ones((3, 2), bool)))
    np.testing.assert_array_equal(in_memory, np.ones((3, 2), bool))
    np.testing.assert_array_equal(true_mask(Case("m", pixels=pixels, label=0)), np.zeros((3, 2), bool))
    np.testing.assert_array_equal(true_mask(Case("m", label=0), size=(7, 6)), np.zeros((7, 6), bool))
    assert true_mask(Case("m", pixels=pixels, label=1)) is None
    assert true_mask(Case("m", pixels=pixels)) is None
    Image.fromarray(np.eye(5, dtype=np.uint8)).save(tmp_path / "a_mask.png")
    with pytest.raises(ImageError, match=r"a_mask.png: is 5 × 5 pixels where .*a.png is 4 × 5"):
        true_mask(case)


def test_masks_that_change_after_listing_are_checked_again(tmp_path: Path) -> None:
    case = read_cases(brats(tmp_path, "p1"))[3]
    assert case.mask is not None
    save(case.mask, truth(), np.diag([1, 2, 9, 1]))
    with pytest.raises(ImageError, match=r"p1_seg.nii.gz: lies .* mm away from .*p1_flair.nii.gz"):
        true_mask(case)


def test_normal_slices_without_a_mask_are_normal_everywhere(tmp_path: Path) -> None:
    save(tmp_path / "normal/a.nii", VOXELS)
    (case, *_) = read_cases(tmp_path)
    np.testing.assert_array_equal(true_mask(case), np.zeros((5, 4), bool))


def test_subjects_with_small_lesions_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    for name, places in {"none": [], "small": [(0, 0, 0)], "large": [(0, 0, 0), (0, 0, 3)]}.items():
        save(tmp_path / f"{name}.nii", VOXELS)
        save(tmp_path / f"{name}_seg.nii", truth(*places))
    save(tmp_path / "unknown.nii", VOXELS)
    cases = read_cases(tmp_path)
    assert drop_small_lesions(cases, 0.0) is cases
    assert set(drop_small_lesions(cases, 1 / 1000).subjects) == {"small", "large", "unknown"}
    kept = drop_small_lesions(cases, 1 / VOXELS.size)
    assert Counter(kept.subjects) == {"large": 6, "unknown": 6}
    assert kept.notes[-1] == (
        "subjects left out of the evaluation by their true masks, as no more than 0.00833333 of their pixels is "
        "abnormal: 2 (none, small)"
    )


# ---------------------------------------------------------------- the command line


def test_a_model_keeps_how_volumes_are_sliced(tmp_path: Path) -> None:
    """A layout, an axis and a range that do not exist are refused before anything is trained."""
    data = tmp_path / "data"
    for i in range(6):
        voxels = np.random.default_rng(i).integers(0, 3000, (32, 32, 9), np.int16)
        save(data / f"p{i}" / f"p{i}_flair.nii.gz", voxels)
        save(data / f"p{i}" / f"p{i}_seg.nii.gz", np.zeros((32, 32, 9), np.uint8))
    save(data / "p5/p5_seg.nii.gz", np.ones((32, 32, 9), np.uint8))
    model = tmp_path / "model"
    fit = ("fit", "conv-vae", data, "--out", model, *SMALL, "--epochs", 1)
    assert "layout='brat' is unknown; did you mean 'brats'" in sanoscope(*fit, "--layout", "brat").error
    assert "'data.axis' does not take 'up'" in sanoscope(*fit, "--set", "data.axis=up").error
    assert "data.slices=few is not understood" in sanoscope(*fit, "--set", "data.slices=few").error
    fitted = finished(*fit, "--layout", "brats", "--set", "data.slices=central:5")
    assert "volumes: 6, of which 30 axial slices (data.slices=central:5)" in fitted.err
    done = finished("score", model, data / "p5", "--out", tmp_path / "scores")
    assert "of 5 images" in done.out


# ---------------------------------------------------------------- real collections


@pytest.mark.real_data
def test_real_volumes_by_manifest_and_by_layout(real_data: Path) -> None:
    slicing = Slicing(slices="20:-20")
    by_manifest = read_cases(real_data / "brats", slicing=slicing)
    by_layout = read_cases(real_data / "brats", layout="brats", slicing=slicing)
    assert by_manifest.layout == "manifest"
    assert len(by_manifest) == 4 * 115
    assert by_manifest.labels == by_layout.labels
    assert 0 < sum(label == 1 for label in by_layout.labels) < 4 * 115
    case = by_layout[57]
    assert case.mask is not None
    assert case.slice is not None
    stored = read_volume(case.mask).voxels
    np.testing.assert_array_equal(true_mask(case), stored[::-1, ::-1, case.slice.index].T > 0)
    t2 = read_cases(real_data / "brats", layout="brats", slicing=Slicing(modality="t2"))
    assert all(str(case.path).endswith("_t2.nii.gz") for case in t2)
    with pytest.raises(DataError, match="no case has t1ce"):
        read_cases(real_data / "brats", layout="brats", slicing=Slicing(modality="t1ce"))


@pytest.mark.real_data
def test_real_slices_by_manifest_and_by_layout(real_data: Path) -> None:
    by_manifest = read_cases(real_data / "lgg")
    by_layout = {case.name: case for case in read_cases(real_data / "lgg", layout="kaggle-3m")}
    assert by_layout.keys() == {case.name for case in by_manifest}
    for case in by_manifest:
        assert by_layout[case.name].label == (case.label or None)  # normal slices have no mask file here
        assert by_layout[case.name].subject == case.subject
    central = read_cases(real_data / "lgg", slicing=Slicing(slices="central:10"))
    assert set(Counter(central.subjects).values()) == {10}
    tiff = read_cases(real_data / "formats" / "lgg_tif")
    assert tiff.layout == "kaggle-3m"
    assert read_case(tiff[0]).shape == (256, 256, 3)
    assert all(case.label == read_mask(case.mask).any() for case in tiff if case.mask)
