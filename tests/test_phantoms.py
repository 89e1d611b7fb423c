"""The synthetic phantoms: deterministic, well formed, and hard for trivial scores but not for informed ones."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from sanoscope.cases import load_cases, read_image, read_mask
from sanoscope.cases.phantoms import Phantoms, brain_phantoms, histology_phantoms
from sanoscope.cases.phantoms.fields import blob_depth, shaken_lattice, smooth_noise, soft_step
from sanoscope.cases.phantoms.histology import EOSIN, HAEMATOXYLIN
from sanoscope.errors import DataError

MAKERS = [histology_phantoms, brain_phantoms]
HISTOLOGY_MEANS, BRAIN_MEANS = [172.1, 161.7, 176.2], [44.6, 35.5, 31.3]


@pytest.fixture(scope="module")
def histology() -> Phantoms:
    """The default patches, which the claims about scores are made for."""
    return histology_phantoms()


@pytest.fixture(scope="module")
def brain() -> Phantoms:
    """The default slices."""
    return brain_phantoms()


@pytest.fixture(scope="module")
def both(histology: Phantoms, brain: Phantoms) -> dict[str, Phantoms]:
    return {"histology": histology, "brain": brain}


@pytest.fixture(scope="module")
def small() -> Phantoms:
    return brain_phantoms(subjects=2, slices_per_subject=5, size=64, bit_depth=12)


# --- what they are made of


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_seed_gives_the_same_images_and_another_seed_others(make) -> None:
    first, again, other = make(2, 2, size=64, seed=5), make(2, 2, size=64, seed=5), make(2, 2, size=64, seed=6)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert not np.array_equal(first.images, other.images)


@pytest.mark.parametrize("make", MAKERS)
def test_more_subjects_leave_the_first_ones_as_they_are(make) -> None:
    few, many = make(2, 3, size=64), make(4, 3, size=64)
    np.testing.assert_array_equal(few.images, many.images[:6])
    np.testing.assert_array_equal(few.masks, many.masks[:6])
    assert few.subjects == many.subjects[:6]


def test_default_images_are_those_the_documented_figures_were_measured_on(both) -> None:
    # A change of these numbers changes every published figure and picture that rests on the phantoms.
    means = {name: phantoms.images.reshape(len(phantoms.images), -1).mean(1) for name, phantoms in both.items()}
    np.testing.assert_allclose(means["histology"][[0, 399, 799]], HISTOLOGY_MEANS, atol=0.5)
    np.testing.assert_allclose(means["brain"][[0, 159, 319]], BRAIN_MEANS, atol=0.5)


def test_shapes_and_types(both) -> None:
    assert both["histology"].images.shape == (800, 64, 64, 3)
    assert both["brain"].images.shape == (320, 128, 128)
    for phantoms in both.values():
        assert phantoms.images.dtype == np.uint8
        assert phantoms.masks.shape == phantoms.images.shape[:3]
        assert phantoms.masks.dtype == bool


@pytest.mark.parametrize("name", ["histology", "brain"])
def test_abnormal_means_that_the_mask_is_not_empty(both, name) -> None:
    phantoms = both[name]
    np.testing.assert_array_equal(phantoms.labels, phantoms.masks.any(axis=(1, 2)))


@pytest.mark.parametrize("name", ["histology", "brain"])
def test_every_third_subject_is_healthy_and_no_other(both, name) -> None:
    phantoms = both[name]
    abnormal = {subject for subject, label in zip(phantoms.subjects, phantoms.labels, strict=True) if label}
    assert set(phantoms.subjects) - abnormal == {f"subject-{number:02d}" for number in range(2, 20, 3)}


@given(st.floats(0, 1), st.integers(1, 5))
@settings(max_examples=8, deadline=None)
def test_abnormal_fraction_is_kept_in_each_ill_subject(fraction: float, images: int) -> None:
    phantoms = histology_phantoms(2, images, abnormal_fraction=fraction, size=32, healthy_every=2)
    assert phantoms.labels[:images].sum() == round(fraction * images)
    assert phantoms.labels[images:].sum() == 0


def test_every_size_from_the_least_on_works() -> None:
    assert histology_phantoms(1, 2, size=33, abnormal_fraction=1.0).labels.tolist() == [1, 1]
    assert brain_phantoms(1, 2, size=65).images.shape == (2, 65, 65)


# --- whether they look like what they stand for


def test_histology_absorbs_light_as_two_stains_do() -> None:
    # By the Beer-Lambert law all optical densities of a subject lie in the plane of its two stains.
    images = histology_phantoms(1, 12).images.astype(float)
    tissue = images[(images.min(axis=-1) > 20) & (images.max(axis=-1) < 225)]
    values = np.linalg.svd(-np.log(tissue / 242), compute_uv=False)
    assert values[2] < 0.06 * values[0]
    assert values[1] > 0.15 * values[0]


def test_brain_is_stripped_and_its_tissues_have_the_order_of_t2(brain: Phantoms) -> None:
    assert (brain.images[:, [0, -1]] == 0).all()
    share = (brain.images > 0).mean(axis=(1, 2))
    assert 0.1 < share.min() < share.max() < 0.55
    assert not brain.masks[brain.images == 0].any()


def test_lesions_are_brighter_than_what_is_around_them_but_not_than_everything(brain: Phantoms) -> None:
    for image, mask in zip(brain.images, brain.masks, strict=True):
        if mask.sum() > 30:
            normal = image[(image > 0) & ~mask]
            assert np.median(normal) < image[mask].mean() < np.percentile(normal, 99.5)


def test_lesions_run_through_neighbouring_slices(brain: Phantoms) -> None:
    together = [
        (brain.masks[i] & brain.masks[i + 1]).any()
        for i in np.flatnonzero(brain.labels[:-1] & brain.labels[1:])
        if brain.subjects[i] == brain.subjects[i + 1]
    ]
    assert np.mean(together) > 0.8


def test_twelve_bit_images_have_the_levels_that_eight_bits_lose() -> None:
    eight, twelve = (brain_phantoms(1, 4, bit_depth=bits).images for bits in (8, 12))
    assert twelve.dtype == np.uint16
    assert 255 < twelve.max() <= 4095
    assert len(np.unique(twelve)) > 1500
    np.testing.assert_allclose(twelve / 4095 * 255, eight, atol=0.6)


# --- whether the task is fair


def halves(phantoms: Phantoms) -> tuple[np.ndarray, np.ndarray]:
    """Normal images of the first half of the subjects, and all of the second."""
    first = np.arange(len(phantoms.labels)) < len(phantoms.labels) // 2
    return np.flatnonzero(first & (phantoms.labels == 0)), np.flatnonzero(~first)


@pytest.mark.parametrize("name", ["histology", "brain"])
def test_mean_intensity_does_not_solve_them(both, name) -> None:
    train, test = halves(both[name])
    grey = both[name].images.reshape(len(both[name].images), -1).mean(axis=1)
    assert roc_auc_score(both[name].labels[test], np.abs(grey - grey[train].mean())[test]) < 0.68


@pytest.mark.parametrize("name", ["histology", "brain"])
def test_the_z_map_does_not_solve_them(both, name) -> None:
    train, test = halves(both[name])
    images = both[name].images.reshape(len(both[name].images), -1).astype(float)
    z = np.abs(images[test] - images[train].mean(axis=0)) / (images[train].std(axis=0) + 1.0)
    assert roc_auc_score(both[name].labels[test], z.mean(axis=1)) < 0.78


def test_large_nuclei_tell_the_abnormal_patches(histology: Phantoms) -> None:
    absorption = np.linalg.pinv(np.stack([v / np.linalg.norm(v) for v in (HAEMATOXYLIN, EOSIN)]))
    density = -np.log(np.clip(histology.images, 5, None) / 242) @ absorption
    rows, columns = np.mgrid[-4:5, -4:5]
    disc = rows**2 + columns**2 <= 16  # no normal nucleus has a radius of four pixels
    large = ndimage.binary_opening(density[..., 0] > 0.5, disc[None])
    assert roc_auc_score(histology.labels, large.mean(axis=(1, 2))) > 0.93
    # They also lie where the mask says.
    assert large[histology.masks].sum() > 0.8 * large.sum()


# --- as cases and as files


def test_cases_carry_everything(small: Phantoms) -> None:
    cases = small.cases()
    assert [case.name for case in cases] == small.names
    assert small.names[:2] == ["subject-00/0000", "subject-00/0001"]
    assert cases.labels == small.labels.tolist()
    assert cases.subjects == small.subjects
    assert not cases.is_split
    np.testing.assert_array_equal(np.stack([case.pixels for case in cases]), small.images)
    np.testing.assert_array_equal(np.stack([case.mask_pixels for case in cases]), small.masks)


def test_saved_phantoms_read_back_as_they_were(small: Phantoms, tmp_path: Path) -> None:
    splits = ["train"] * 5 + ["test"] * 5
    manifest = small.save(tmp_path / "phantoms", splits)
    with manifest.open(newline="") as file:
        assert next(csv.reader(file)) == ["path", "label", "mask", "subject", "split"]
    cases = load_cases(manifest)
    assert [case.split for case in cases] == splits
    assert cases.labels == small.labels.tolist()
    assert cases.subjects == small.subjects
    for case, image, mask in zip(cases, small.images, small.masks, strict=True):
        np.testing.assert_array_equal(np.squeeze(read_image(case.path)), image)
        assert (case.mask is not None) == mask.any()
        if case.mask is not None:
            np.testing.assert_array_equal(read_mask(case.mask), mask)


def test_colour_patches_survive_saving(tmp_path: Path) -> None:
    phantoms = histology_phantoms(1, 2, size=32)
    cases = load_cases(phantoms.save(tmp_path, ["train", "train"]))
    np.testing.assert_array_equal(np.stack([read_image(case.path) for case in cases]), phantoms.images)


def test_nothing_is_overwritten(small: Phantoms, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match="not an empty folder"):
        small.save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("splits", "message"), [(["train"], "1 splits for 10"), (["tset"] * 10, "'tset'")])
def test_splits_that_do_not_fit_are_refused(small: Phantoms, tmp_path: Path, splits, message) -> None:
    with pytest.raises(DataError, match=message):
        small.save(tmp_path / "new", splits)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("make", "option", "value"),
    [
        (histology_phantoms, "subjects", 0),
        (histology_phantoms, "images_per_subject", 2.5),
        (histology_phantoms, "abnormal_fraction", 1.2),
        (histology_phantoms, "abnormal_fraction", float("nan")),
        (histology_phantoms, "abnormal_fraction", "half"),
        (histology_phantoms, "size", 16),
        (histology_phantoms, "seed", -1),
        (histology_phantoms, "healthy_every", -3),
        (brain_phantoms, "subjects", True),
        (brain_phantoms, "slices_per_subject", 0),
        (brain_phantoms, "size", 32),
        (brain_phantoms, "seed", None),
        (brain_phantoms, "healthy_every", 1.5),
        (brain_phantoms, "bit_depth", 16),
    ],
)
def test_an_argument_out_of_range_is_refused_by_name(make, option, value) -> None:
    with pytest.raises(DataError, match=option):
        make(**{option: value})


def test_a_phantom_needs_no_network_library() -> None:
    code = "import sys, sanoscope.cases.phantoms; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the raw material


@given(st.integers(16, 65), st.floats(0.5, 3.0), st.floats(0.0, 3.0))
@settings(max_examples=20, deadline=None)
def test_smooth_noise_has_unit_variance(size: int, sigma: float, angle: float) -> None:
    noise = smooth_noise(np.random.default_rng(0), 400, size, sigma, 0.7, angle)
    assert noise.shape == (400, size, size)
    np.testing.assert_allclose(noise.mean(axis=(1, 2)), 0, atol=1e-12)
    assert noise.var() == pytest.approx(1, abs=0.1)


def test_smooth_noise_is_longer_along_its_angle() -> None:
    noise = smooth_noise(np.random.default_rng(0), 20, 64, 6.0, 1.0, 0.0)
    along, across = (np.mean(noise * np.roll(noise, 3, axis)) for axis in (2, 1))
    assert along > 0.8
    assert across < 0.3


def test_depth_in_a_circle_is_the_distance_to_its_border() -> None:
    depth = blob_depth(np.full((1, 256), 10.0), np.array([16.0]), np.array([12.0]), 32)[0]
    rows, columns = np.mgrid[:32, :32]
    np.testing.assert_allclose(depth, 10 - np.hypot(columns - 16, rows - 12))


def test_lattice_covers_the_square_with_neighbours_at_the_spacing() -> None:
    x, y = shaken_lattice(np.random.default_rng(0), 1, 50, np.array([7.0]), shake=0.0)
    points = np.stack([x[0], y[0]], axis=-1)
    corners = np.array([[0, 0], [0, 49], [49, 0], [49, 49]])
    assert np.linalg.norm(points[:, None] - corners, axis=-1).min(axis=0).max() < 7
    gaps = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(gaps, np.inf)
    np.testing.assert_allclose(gaps.min(axis=1), 7.0)


def test_soft_step_rises_from_0_to_1_within_its_width() -> None:
    steps = soft_step(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), 2.0)
    np.testing.assert_allclose(steps, [0, 0, 0.5, 1, 1])
