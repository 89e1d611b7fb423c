"""Maps: from the network's grid to each file's own, as files for other programs, and kept for further evaluation."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from sanoscope.cases import Case, Cases, Slicing, VolumeSlice, read_case, read_cases
from sanoscope.cases import raw_voxels as raw_voxels_module
from sanoscope.cases.case import AXES
from sanoscope.errors import DataError
from sanoscope.heatmaps import Heatmaps, map_base, slices_by_volume
from sanoscope.heatmaps_folder import load_heatmaps, save_heatmaps
from sanoscope.map_files.writing import Judged, write_maps
from sanoscope.preparation.equalisation import Equalisation
from sanoscope.preparation.geometry import Channels, Crop, Foreground, Geometry, Resize
from sanoscope.preparation.histogram_matching import HistogramMatching, quantiles_of
from sanoscope.preparation.own_scale import OwnScale
from sanoscope.preparation.stain import StainNormalisation
from sanoscope.preparation.stored import STEPS, geometry_from_json
from sanoscope.preparation.window import Window
from sanoscope.report.images import display, overlay
from volume_files import RAS, save, turned

# One of each step, with settings of its own.
EVERY_STEP = (
    Channels("grey"),
    Foreground("nonzero", 0.11),
    OwnScale("percentiles", "image", (2.0, 97.5)),
    HistogramMatching(quantiles_of(np.random.default_rng(0).random(500)), "some/slice"),
    Crop("foreground"),
    Equalisation(),
    Resize(12, "area"),
)
SIZES = ((30, 20), (17, 41), (12, 12))


def body(size: tuple[int, int], seed: int) -> np.ndarray:
    """A bright ellipse on a black image, ``(H, W, 1)`` uint16."""
    height, width = size
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    values = np.random.default_rng(seed).integers(900, 1100, size)
    return np.where(x**2 / 0.5 + y**2 / 0.7 < 1, values, 0).astype(np.uint16)[..., None]


def judged(cases: Cases, maps: Heatmaps) -> Judged:
    """Maps with scores and decisions, which files of images and volumes do not show."""
    return Judged(cases, maps, np.zeros(len(cases)), np.zeros(len(cases), bool), (0.0, 1.0), "test")


@pytest.fixture(scope="module")
def maps() -> Heatmaps:
    """Three images of different sizes, each with three maps and a foreground."""
    geometry = Geometry(EVERY_STEP)
    pictures = [geometry.apply(body(size, seed)) for seed, size in enumerate(SIZES)]
    values = np.random.default_rng(1).random((3, len(SIZES), 12, 12), np.float32)
    return Heatmaps(
        values=values[0],
        traces=[picture.trace for picture in pictures],
        geometry=geometry,
        scale=0.9,
        name="rec-grad",
        others={"kl-grad": values[1], "intensity": values[2]},
        trivial=["intensity"],
        scales={"kl-grad": 0.1 + 0.2, "intensity": 1e-17},
        bases={"rec-grad": 0.2, "intensity": 1.0},
        thresholds={"rec-grad": {"p95": 1 / 3, "0.5": 0.5}, "kl-grad": {"p95": 2e-9}, "intensity": {}},
        foreground=np.stack([picture.foreground for picture in pictures]),
    )


# ------------------------------------------------------------ on the source grid


def test_every_kind_of_map_by_name(maps: Heatmaps) -> None:
    assert maps.names == ["rec-grad", "kl-grad", "intensity"]
    assert maps.of("rec-grad") is maps.values
    assert maps.of("kl-grad") is maps.others["kl-grad"]
    assert [maps.scale_of(name) for name in maps.names] == [0.9, 0.1 + 0.2, 1e-17]
    for wrong in (maps.of, maps.scale_of):
        with pytest.raises(KeyError):
            wrong("elbo-grad")


def test_maps_come_back_on_the_grid_of_each_file(maps: Heatmaps) -> None:
    for index, size in enumerate(SIZES):
        assert maps.source_size(index) == size
        for name in maps.names:
            expected = maps.geometry.restore(maps.of(name)[index], maps.traces[index])
            assert expected.shape == size
            np.testing.assert_array_equal(maps.on_source_grid(index, name), expected)
        np.testing.assert_array_equal(maps.on_source_grid(index), maps.on_source_grid(index, "rec-grad"))
        assert not np.array_equal(maps.on_source_grid(index), maps.on_source_grid(index, "kl-grad"))
        # Nothing was seen of what the crop has cut away.
        inside = body(size, index)[..., 0] > 0
        box = inside.any(1)[:, None] & inside.any(0)
        assert not box.all()
        assert not maps.on_source_grid(index)[~box].any()


def test_the_foreground_comes_back_where_it_was(maps: Heatmaps) -> None:
    pixels = np.zeros((40, 36, 1), np.uint8)
    pixels[10:26, 4:20] = 7
    pixels[14:18, 8:12] = 0  # a hole, of whole pixels of the network as everything here
    geometry = Geometry((Foreground("nonzero"), Crop("foreground"), Resize(8)))
    picture = geometry.apply(pixels)
    one = Heatmaps(np.ones((1, 8, 8), np.float32), [picture.trace], geometry, 1.0, foreground=picture.foreground[None])
    found = one.foreground_on_source_grid(0)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, pixels[..., 0] > 0)
    np.testing.assert_array_equal(one.on_source_grid(0) > 0, np.pad(np.ones((16, 16), bool), ((10, 14), (4, 16))))
    everything = Heatmaps(one.values, one.traces, geometry, 1.0)
    assert everything.foreground_on_source_grid(0) is None
    for index, size in enumerate(SIZES):
        assert maps.foreground_on_source_grid(index).shape == size


def test_a_subset_keeps_together_what_belongs_together(maps: Heatmaps) -> None:
    part = maps.subset(np.array([2, 0]))
    assert [part.source_size(index) for index in range(2)] == [SIZES[2], SIZES[0]]
    for new, old in enumerate((2, 0)):
        for name in maps.names:
            np.testing.assert_array_equal(part.on_source_grid(new, name), maps.on_source_grid(old, name))
        np.testing.assert_array_equal(part.foreground_on_source_grid(new), maps.foreground_on_source_grid(old))
    for same in ("geometry", "scale", "name", "trivial", "scales", "thresholds"):
        assert getattr(part, same) == getattr(maps, same)
    bare = Heatmaps(maps.values, maps.traces, maps.geometry, 1.0).subset(np.array([1]))
    assert bare.foreground is None
    assert bare.values.shape == (1, 12, 12)


# ------------------------------------------------------------ geometry from what was stored


@pytest.mark.parametrize("step", EVERY_STEP, ids=lambda step: type(step).__name__)
def test_a_stored_step_comes_back(step: Any) -> None:
    stored = json.loads(json.dumps(Geometry((step,)).to_json()))
    assert geometry_from_json(stored) == Geometry((step,))


def test_all_steps_are_known_and_keep_their_order() -> None:
    others = {StainNormalisation, Window}  # which take other pixels; their own tests bring them through storage
    assert {type(step) for step in EVERY_STEP} | others == set(STEPS.values())
    stored = json.loads(json.dumps(Geometry(EVERY_STEP).to_json()))
    assert geometry_from_json(stored) == Geometry(EVERY_STEP)
    assert geometry_from_json(stored[::-1]).steps == EVERY_STEP[::-1]
    assert geometry_from_json([]) == Geometry(())


@pytest.mark.parametrize(
    ("stored", "error"),
    [({"step": "warp"}, KeyError), ({"step": "resize", "length": 3}, TypeError), ({"size": 3}, KeyError)],
)
def test_a_step_of_another_version_is_refused(stored: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        geometry_from_json([stored])


# ------------------------------------------------------------ kept


def assert_same(one: Heatmaps, other: Heatmaps) -> None:
    assert one.names == other.names
    for name in one.names:
        assert one.of(name).dtype == other.of(name).dtype == np.float32
        np.testing.assert_array_equal(one.of(name), other.of(name))
        assert one.scale_of(name) == other.scale_of(name)
    if one.foreground is None:
        assert other.foreground is None
    else:
        assert other.foreground.dtype == bool
        np.testing.assert_array_equal(one.foreground, other.foreground)
    assert list(one.traces) == list(other.traces)
    assert one.geometry == other.geometry
    assert list(one.trivial) == list(other.trivial)
    assert {name: dict(of) for name, of in one.thresholds.items()} == other.thresholds


def test_kept_maps_come_back_to_the_last_bit(maps: Heatmaps, tmp_path: Path) -> None:
    save_heatmaps(maps, tmp_path)
    again = load_heatmaps(tmp_path, len(SIZES))
    assert_same(maps, again)
    for index in range(len(SIZES)):
        np.testing.assert_array_equal(maps.on_source_grid(index), again.on_source_grid(index))
    (tmp_path / "twice").mkdir()
    save_heatmaps(again, tmp_path / "twice")
    for name in ("maps.safetensors", "maps.json"):
        assert (tmp_path / "twice" / name).read_bytes() == (tmp_path / name).read_bytes()


@settings(max_examples=25, deadline=None)
@given(data=st.data(), shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 19)))
def test_maps_and_foregrounds_of_any_size_come_back(
    data: st.DataObject, shape: tuple[int, int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    values = data.draw(arrays(np.float32, shape, elements=st.floats(0, 2.0**100, width=32)))
    foreground = data.draw(st.none() | arrays(bool, shape))
    traces = [((shape[1], shape[2], 0, 0),)] * shape[0]
    one = Heatmaps(values, traces, Geometry((Crop(),)), 1.0, foreground=foreground)
    folder = tmp_path_factory.mktemp("maps")
    save_heatmaps(one, folder)
    assert_same(one, load_heatmaps(folder, shape[0]))


def test_a_part_of_the_maps_can_be_kept(maps: Heatmaps, tmp_path: Path) -> None:
    part = maps.subset(np.array([2, 1]))
    save_heatmaps(part, tmp_path)
    assert_same(part, load_heatmaps(tmp_path, 2))


def test_where_none_were_kept_there_are_none(tmp_path: Path) -> None:
    assert load_heatmaps(tmp_path, 3) is None


@pytest.mark.parametrize("lost", ["maps.safetensors", "maps.json"])
def test_one_of_two_files_is_lost(maps: Heatmaps, tmp_path: Path, lost: str) -> None:
    save_heatmaps(maps, tmp_path)
    (tmp_path / lost).unlink()
    with pytest.raises(DataError, match=r"of maps\.safetensors and maps\.json one is missing; score again"):
        load_heatmaps(tmp_path, len(SIZES))


def test_maps_of_other_cases(maps: Heatmaps, tmp_path: Path) -> None:
    save_heatmaps(maps, tmp_path)
    with pytest.raises(DataError, match=r"maps\.safetensors is not of the 4 cases in the table; score again"):
        load_heatmaps(tmp_path, 4)
    state = json.loads((tmp_path / "maps.json").read_text())
    (tmp_path / "maps.json").write_text(json.dumps(state | {"traces": state["traces"][:-1]}))
    with pytest.raises(DataError, match="is not of the 3 cases"):
        load_heatmaps(tmp_path, 3)


@pytest.mark.parametrize("kept", [0, 5, 2000, -1])
def test_a_truncated_file_is_a_clear_error(maps: Heatmaps, tmp_path: Path, kept: int) -> None:
    save_heatmaps(maps, tmp_path)
    file = tmp_path / "maps.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"maps\.safetensors: is truncated or damaged \(.+\); score again"):
        load_heatmaps(tmp_path, len(SIZES))


# ------------------------------------------------------------ for other programs

# Voxels that tell where they are; slices across every axis are of another size, none square.
SHAPE = (4, 5, 6)
VOXELS = np.arange(1, 121, dtype=np.int16).reshape(SHAPE)
STILL = Geometry((Channels(), Crop()))


def volume_case(path: Path, name: str, axis: str, index: int) -> Case:
    return Case(name, path, slice=VolumeSlice(axis, index, SHAPE[AXES[axis]]))


def maps_that_are_the_pixels(cases: Cases) -> Heatmaps:
    """As if a network had the grid of the files, and found bright what is bright."""
    pixels = [read_case(case)[..., 0].astype(np.float32) for case in cases]
    return Heatmaps(np.stack(pixels), [((), (*image.shape, 0, 0)) for image in pixels], STILL, 60.0)


def as_shown(pixels: np.ndarray) -> np.ndarray:
    low, high = (0, 255) if pixels.dtype == np.uint8 else np.percentile(pixels, (0.5, 99.5))
    return display(pixels, low, high)


@pytest.mark.parametrize("axis", list(AXES))
@pytest.mark.parametrize(
    ("axes", "flips"), [((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1)), ((1, 0, 2), (-1, -1, 1))]
)
def test_the_map_of_a_volume_lies_voxel_by_voxel_on_it(
    tmp_path: Path, axis: str, axes: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    affine = RAS @ np.array([[1, 0, 0, -7], [0, 1, 0.1, 3], [0, -0.1, 1, 2], [0, 0, 0, 1]])
    stored, affine = turned(VOXELS, axes, flips, affine)
    path = save(tmp_path / "data" / "head.nii.gz", stored, affine, sform_code=2, xyzt_units=2)
    left_out = 1
    cases = read_cases(path, slicing=Slicing(axis))
    cases = cases[[i for i in reversed(range(len(cases))) if i != left_out]]  # the order does not matter
    maps = maps_that_are_the_pixels(cases)
    write_maps(judged(cases, maps), tmp_path / "out")
    (file,) = (path for path in (tmp_path / "out" / "maps").rglob("*") if path.is_file())
    assert file == tmp_path / "out" / "maps" / "head.nii.gz"
    written, source = nib.load(file), nib.load(path)
    assert written.get_data_dtype() == np.float32
    assert written.shape == source.shape
    np.testing.assert_array_equal(written.affine, source.affine)
    for field in ("pixdim", "sform_code", "qform_code", "xyzt_units"):
        np.testing.assert_array_equal(written.header[field], source.header[field])
    expected = VOXELS.astype(np.float32)
    np.moveaxis(expected, AXES[axis], 0)[left_out] = 0
    np.testing.assert_array_equal(written.get_fdata(), turned(expected, axes, flips)[0])
    shown = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out" / "overlays").rglob("*.png")}
    assert shown == {f"overlays/{case.name}.png" for case in cases}
    for case, heatmap in zip(cases, maps.values, strict=True):
        picture = np.asarray(Image.open(tmp_path / "out" / "overlays" / f"{case.name}.png"))
        np.testing.assert_array_equal(picture, overlay(as_shown(read_case(case)), heatmap, (0.0, 60.0)))


def test_images_and_volumes_side_by_side(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{name}.nii", VOXELS + shift) for shift, name in enumerate("ab")]
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 4096, (5, 4), np.uint16), rng.integers(0, 256, (5, 4, 3), np.uint8)]
    cases = Cases(
        [
            volume_case(paths[0], "a/axial-002", "axial", 2),
            Case("deep/grey", pixels=images[0]),
            volume_case(paths[1], "b/axial-003", "axial", 3),
            Case("colour", pixels=images[1]),
            volume_case(paths[0], "a/axial-004", "axial", 4),
        ]
    )
    maps = maps_that_are_the_pixels(cases)
    write_maps(judged(cases, maps), tmp_path / "out")
    folder = tmp_path / "out" / "maps"
    assert {file.relative_to(folder).as_posix() for file in folder.rglob("*.*")} == {
        "a.nii.gz",
        "b.nii.gz",
        "deep/grey.tiff",
        "colour.tiff",
    }
    for index, (name, image) in enumerate(zip(("deep/grey", "colour"), images, strict=True)):
        heatmap = tifffile.imread(folder / f"{name}.tiff")
        assert heatmap.dtype == np.float32
        np.testing.assert_array_equal(heatmap, maps.values[1 + 2 * index])
        picture = np.asarray(Image.open(tmp_path / "out" / "overlays" / f"{name}.png"))
        np.testing.assert_array_equal(picture, overlay(as_shown(np.atleast_3d(image)), heatmap, (0.0, 60.0)))
    for shift, (name, indices) in enumerate({"a": [2, 4], "b": [3]}.items()):
        written = nib.load(folder / f"{name}.nii.gz").get_fdata()
        assert set(np.flatnonzero(written.any((0, 1)))) == set(indices)
        np.testing.assert_array_equal(written[..., indices], (VOXELS + shift)[..., indices])


def test_each_volume_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcd":
        save(tmp_path / "data" / f"{name}.nii.gz", VOXELS)
    cases = read_cases(tmp_path / "data")
    assert len(cases) == 4 * SHAPE[2]
    maps = maps_that_are_the_pixels(cases)
    decompressed: list[int] = []
    real = raw_voxels_module.decompressed

    def counted(content: bytes, size: int) -> bytes:
        decompressed.append(size)
        return real(content, size)

    monkeypatch.setattr(raw_voxels_module, "decompressed", counted)
    write_maps(judged(cases, maps), tmp_path / "out")
    assert len(decompressed) == 4


def test_volumes_are_told_apart_whatever_their_slices_are_called(tmp_path: Path) -> None:
    paths = {name: save(tmp_path / f"{name}.nii", VOXELS) for name in "ab"}
    slices = {
        "plain": [("a", "one", "axial", 3), ("b", "two", "axial", 0)],
        "one folder": [("a", "p/one", "axial", 3), ("b", "p/two", "axial", 0), ("a", "p/zero", "axial", 1)],
        "two axes": [("a", "a/axial-001", "axial", 1), ("a", "a/axial-002", "axial", 2), ("a", "a/c", "coronal", 0)],
    }
    found = {}
    for title, chosen in slices.items():
        cases = Cases(volume_case(paths[volume], name, axis, index) for volume, name, axis, index in chosen)
        found[title] = slices_by_volume(cases)
        for name, indices in found[title].items():
            assert len({(cases[i].path, cases[i].slice.axis) for i in indices}) == 1
            assert name in (cases[indices[0]].name, cases[indices[0]].name.rpartition("/")[0])
    assert found == {
        "plain": {"one": [0], "two": [1]},
        "one folder": {"p/zero": [2, 0], "p/two": [1]},
        "two axes": {"a/axial-001": [0, 1], "a/c": [2]},
    }
    cases = Cases(volume_case(paths[volume], name, axis, index) for volume, name, axis, index in slices["plain"])
    write_maps(judged(cases, maps_that_are_the_pixels(cases)), tmp_path / "out")
    for name, index in (("one", 3), ("two", 0)):
        written = nib.load(tmp_path / "out" / "maps" / f"{name}.nii.gz").get_fdata()
        np.testing.assert_array_equal(written[..., index], VOXELS[..., index])


@given(st.permutations([*product("ab", range(4))]))
def test_slices_of_a_volume_stand_in_their_order(order: list[tuple[str, int]]) -> None:
    cases = Cases(volume_case(Path(f"{name}.nii"), f"{name}/axial-{i:03d}", "axial", i) for name, i in order)
    volumes = slices_by_volume(cases)
    assert set(volumes) == {"a", "b"}
    for name, indices in volumes.items():
        assert [order[i] for i in indices] == [(name, i) for i in range(4)]
    assert slices_by_volume(Cases([Case("image", Path("image.png"))])) == {}


# ------------------------------------------------------------ what overlays show


def test_a_base_is_the_median_of_what_is_above_nothing() -> None:
    maps = np.array([[[0.0, 0.0, 1.0], [2.0, 7.0, 0.0]]])
    assert map_base(maps) == 2
    assert map_base(np.zeros((2, 3, 3))) == 0


def test_overlays_begin_at_the_base_unless_it_is_all_there_is(maps: Heatmaps) -> None:
    assert maps.range_of() == (0.2, 0.9)
    assert maps.range_of("kl-grad") == (0.0, 0.1 + 0.2)
    assert maps.range_of("intensity") == (0.0, 1e-17)
