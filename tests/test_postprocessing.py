"""Post-processing of maps: each step against its closed form; what neighbours matter for, and batch and order not."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import label, median_filter
from skimage.morphology import area_opening

from sanoscope.cases import Case, Cases, VolumeSlice
from sanoscope.errors import OptionError
from sanoscope.scoring.postprocessing import Postprocessing

SIDE = 12
RNG = np.random.default_rng(0)
# Few levels, so that regions have plateaus and touch others of the same value.
LEVELS = st.sampled_from([0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0])


def steps(median: str = "none", median_size: int = 3, prior: float = 0.0, least_area: int = 0) -> Postprocessing:
    return Postprocessing(median, median_size, prior, least_area)


def of_images(steps: Postprocessing, maps: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Where the images themselves do not matter."""
    return steps.of_images(maps, np.zeros((len(maps), 1, *maps.shape[1:]), np.float32), inside)


def random_maps(count: int) -> np.ndarray:
    return RNG.random((count, SIDE, SIDE), np.float32)


def disc() -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return x**2 + y**2 < 0.8


def volume(indices: list[int], file: str = "volume.nii", axis: str = "axial") -> list[Case]:
    return [Case(f"{file}/{axis}-{i}", Path(file), slice=VolumeSlice(axis, i, 99)) for i in indices]


def large_regions(bright: np.ndarray, least_area: int) -> np.ndarray:
    """A thresholded map or volume without its small regions."""
    regions, count = label(bright, np.ones((3,) * bright.ndim))
    kept = [region for region in range(1, count + 1) if (regions == region).sum() >= least_area]
    return np.isin(regions, kept)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"median": "2D"}, "postprocessing.median=2D"),
        ({"median_size": 4}, "postprocessing.median_size=4"),
        ({"median_size": 1}, "postprocessing.median_size=1"),
        ({"prior": 1.0}, "postprocessing.prior=1.0"),
        ({"prior": -0.1}, "postprocessing.prior=-0.1"),
        ({"least_area": -1}, "postprocessing.least_area=-1"),
    ],
)
def test_a_value_that_is_none_is_refused(options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        steps(**options)


def test_which_steps_are_on() -> None:
    assert not steps().active
    for on in (steps("2d"), steps("3d"), steps(prior=0.5), steps(least_area=3)):
        assert on.active
    assert steps("3d").volumetric
    assert not steps("2d", prior=0.9, least_area=3).volumetric


def test_without_steps_maps_stay_as_they_are() -> None:
    maps = random_maps(3)
    np.testing.assert_array_equal(of_images(steps(), maps), maps)
    np.testing.assert_array_equal(steps().of_volumes(maps, Cases(volume([0, 1, 2]))), maps)


@pytest.mark.parametrize("size", [3, 5])
def test_2d_median_is_that_of_the_square(size: int) -> None:
    maps = random_maps(4)
    cleaned = of_images(steps("2d", size), maps)
    assert cleaned.dtype == np.float32
    half = size // 2
    row, column = 6, 5
    square = maps[2, row - half : row + half + 1, column - half : column + half + 1]
    assert cleaned[2, row, column] == np.median(square)
    single = np.zeros((1, SIDE, SIDE), np.float32)
    single[0, 4, 4] = 9
    assert not of_images(steps("2d", size), single).any()
    constant = np.full((1, SIDE, SIDE), 0.7, np.float32)
    np.testing.assert_array_equal(of_images(steps("2d", size), constant), constant)


@pytest.mark.parametrize("quantile", [0.5, 0.9])
def test_prior_keeps_the_brightest_share_of_the_foreground(quantile: float) -> None:
    mean, difference = (RNG.permutation(200).astype(np.float32).reshape(2, 1, 10, 10) for _ in range(2))
    images = np.concatenate([mean - difference, mean + difference], axis=1)
    inside = np.ones((2, 10, 10), bool)
    inside[1, 5:] = False
    kept = steps(prior=quantile).of_images(np.ones((2, 10, 10), np.float32), images, inside) > 0
    for image, body, found in zip(mean[:, 0], inside, kept, strict=True):
        assert found.sum() == round((1 - quantile) * body.sum())
        assert image[found].min() > image[body & ~found].max()


def test_prior_keeps_an_image_of_one_brightness_and_nothing_where_there_is_no_foreground() -> None:
    inside = np.stack([np.ones((SIDE, SIDE), bool), np.zeros((SIDE, SIDE), bool)])
    maps = random_maps(2)
    kept = of_images(steps(prior=0.9), maps, inside)
    np.testing.assert_array_equal(kept[0], maps[0])
    assert not kept[1].any()


@settings(deadline=None)
@given(arrays(np.float32, (3, 7, 6), elements=LEVELS), st.integers(1, 45))
def test_small_regions_go_at_every_threshold_alike(maps: np.ndarray, least_area: int) -> None:
    opened = of_images(steps(least_area=least_area), maps)
    for before, after in zip(maps, opened, strict=True):
        np.testing.assert_array_equal(after, area_opening(before, least_area, connectivity=2))
        for threshold in (0.0, 0.1, *np.unique(before)):
            np.testing.assert_array_equal(after > threshold, large_regions(before > threshold, least_area))


@settings(deadline=None)
@given(st.integers(1, 4), st.data(), st.integers(1, 60))
def test_small_regions_of_volumes_go_likewise(depth: int, data: st.DataObject, least_area: int) -> None:
    maps = data.draw(arrays(np.float32, (depth, 5, 4), elements=LEVELS))
    cases = Cases(volume(list(range(depth))))
    filtered = steps("3d").of_volumes(maps, cases)
    opened = steps("3d", least_area=least_area).of_volumes(maps, cases)
    # scikit-image fails on fewer than three slices.
    expected = area_opening(np.pad(filtered, 1), least_area, connectivity=3)[1:-1, 1:-1, 1:-1]
    np.testing.assert_array_equal(opened, expected)
    for threshold in (0.0, *np.unique(filtered)):
        np.testing.assert_array_equal(opened > threshold, large_regions(filtered > threshold, least_area))


def test_regions_of_many_sizes_on_smooth_maps() -> None:
    maps = median_filter(np.abs(RNG.normal(size=(3, 40, 40))).astype(np.float32), (1, 3, 3))
    for least_area in (8, 50):
        opened = of_images(steps(least_area=least_area), maps)
        expected = [area_opening(one, least_area, connectivity=2) for one in maps]
        np.testing.assert_array_equal(opened, expected)
        assert (opened < maps).any()


def test_a_region_stays_in_its_slice_unless_slices_are_neighbours() -> None:
    maps = np.zeros((3, SIDE, SIDE), np.float32)
    maps[:, 3:6, 3:6] = 1  # nine pixels, twenty-seven voxels
    assert not of_images(steps(least_area=10), maps).any()
    assert not steps("3d", least_area=22).of_volumes(maps, Cases(volume([0, 2, 4]))).any()
    assert steps("3d", least_area=6).of_volumes(maps, Cases(volume([0, 1, 2]))).any()


def test_3d_median_takes_runs_of_neighbouring_slices() -> None:
    indices = [4, 5, 6, 9, 10, 20]
    maps = random_maps(len(indices))
    cleaned = steps("3d", 5).of_volumes(maps, Cases(volume(indices)))
    for start, stop in pairwise([0, 3, 5, 6]):
        expected = median_filter(maps[start:stop], 5, mode="nearest")
        np.testing.assert_array_equal(cleaned[start:stop], expected)
    np.testing.assert_array_equal(cleaned[5:], of_images(steps("2d", 5), maps[5:]))  # a slice alone
    inner = maps[:3, 2:7, 2:7][[0, 0, 1, 2, 2]]  # the ends are repeated beyond
    assert cleaned[1, 4, 4] == np.median(inner)


def test_volumes_axes_and_images_are_kept_apart() -> None:
    cases = [
        *volume([0], "a.nii"),
        *volume([1], "b.nii"),
        *volume([1], "a.nii", "coronal"),
        Case("image"),
        Case("patch_1"),
        Case("patch_2"),  # of unknown subject
        Case("scan_1", subject="A"),
        Case("other_2", subject="A"),
        Case("scan_2", subject="B"),
        Case("x/scan_2", subject="A"),
        Case("scan_4", subject="A"),
    ]
    maps = random_maps(len(cases))
    options = {"median_size": 3, "least_area": 4}
    np.testing.assert_array_equal(
        steps("3d", **options).of_volumes(maps, Cases(cases)), of_images(steps("2d", **options), maps)
    )


def test_numbered_images_of_a_subject_are_neighbours() -> None:
    maps = random_maps(4)
    series = Cases([Case(f"p/p_{i}", Path(f"p/p_{i}.png"), subject="p") for i in (9, 10, 11, 2)])
    slices = Cases(volume([9, 10, 11, 2]))
    filtered = steps("3d").of_volumes(maps, series)
    np.testing.assert_array_equal(filtered, steps("3d").of_volumes(maps, slices))
    np.testing.assert_array_equal(filtered[:3], median_filter(maps[:3], 3, mode="nearest"))


def test_order_of_cases_does_not_matter() -> None:
    cases = Cases([*volume([3, 4, 5, 7]), *volume([4, 5], "other.nii"), Case("image")])
    maps = random_maps(len(cases))
    inside = RNG.random(maps.shape) < 0.9
    chosen = steps("3d", least_area=5)
    shuffled = RNG.permutation(len(cases))
    np.testing.assert_array_equal(
        chosen.of_volumes(maps[shuffled], cases[shuffled], inside[shuffled]),
        chosen.of_volumes(maps, cases, inside)[shuffled],
    )


@pytest.mark.parametrize("median", ["none", "2d", "3d"])
def test_batch_does_not_matter(median: str) -> None:
    maps = random_maps(5)
    images = RNG.normal(size=(5, 3, SIDE, SIDE)).astype(np.float32)
    inside = RNG.random(maps.shape) < 0.9
    chosen = steps(median, prior=0.4, least_area=5)
    together = chosen.of_images(maps, images, inside)
    alone = [chosen.of_images(maps[[i]], images[[i]], inside[[i]])[0] for i in range(5)]
    np.testing.assert_array_equal(together, alone)
    assert together.dtype == np.float32
    assert together.any()


@pytest.mark.parametrize("median", ["none", "2d", "3d"])
def test_outside_stays_0_and_nothing_given_is_changed(median: str) -> None:
    maps = random_maps(4) + 1
    images = RNG.normal(size=(4, 1, SIDE, SIDE)).astype(np.float32)
    inside = np.stack([disc(), disc(), np.zeros_like(disc()), disc()])  # slices differ in what is body
    given_maps, given_images = maps.copy(), images.copy()
    chosen = steps(median, median_size=5, prior=0.1, least_area=3)
    of_each = chosen.of_images(maps, images, inside)
    cleaned = chosen.of_volumes(of_each, Cases(volume([0, 1, 2, 3])), inside)
    for found in (of_each, cleaned):
        assert not found[~inside].any()
        assert found[inside].any()
        assert np.isfinite(found).all()
        assert (found >= 0).all()
    np.testing.assert_array_equal(maps, given_maps)
    np.testing.assert_array_equal(images, given_images)


def test_the_steps_come_in_their_order() -> None:
    """A bright pixel that the prior leaves alone goes by the median; a median may split what is then too small."""
    images = RNG.normal(size=(2, 1, SIDE, SIDE)).astype(np.float32)
    maps = random_maps(2)
    inside = np.stack([disc(), disc()])
    kept = steps(prior=0.6).of_images(maps, images, inside)
    filtered = of_images(steps("2d"), kept, inside)
    expected = of_images(steps(least_area=4), filtered, inside)
    found = steps("2d", prior=0.6, least_area=4).of_images(maps, images, inside)
    np.testing.assert_array_equal(found, expected)
    volumetric = steps("3d", prior=0.6, least_area=4).of_images(maps, images, inside)
    np.testing.assert_array_equal(volumetric, kept)  # the rest waits for the neighbours


def test_no_images_at_all() -> None:
    nothing = np.empty((0, SIDE, SIDE), np.float32)
    assert of_images(steps("2d", prior=0.5, least_area=3), nothing).shape == nothing.shape
    assert steps("3d", least_area=3).of_volumes(nothing, Cases([])).shape == nothing.shape
