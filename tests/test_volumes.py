"""Volumes: slices look the same whatever the file's axes, maps go back to where they came from."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from sanoscope.cases import Case, Cases, Slicing, VolumeSlice, read_case, read_cases, volume_map
from sanoscope.cases.case import AXES
from sanoscope.cases.volume import Volume
from sanoscope.cases.volume_files import read_grid, read_volume, require_same_grid
from sanoscope.errors import ImageError
from sanoscope.preparation import sources as sources_module
from sanoscope.preparation.decode import decode
from sanoscope.preparation.geometry import Channels, Crop, Foreground, Geometry, Resize
from sanoscope.preparation.volume_statistics import VolumeStatistics
from volume_files import RAS, save, turned

SHAPE = (4, 5, 6)
VOXELS = np.random.default_rng(0).integers(-3000, 3000, SHAPE, np.int16)
axes = st.sampled_from(list(permutations(range(3))))
flips = st.sampled_from(list(product((1, -1), repeat=3)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("volumes")


def refusal(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_volume(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_slices_are_displayed_as_radiologists_see_them(tmp_path: Path) -> None:
    voxels = np.zeros(SHAPE, np.int16)
    voxels[-1, :, :] += 1  # right
    voxels[:, -1, :] += 10  # front
    voxels[:, :, -1] += 100  # head
    volume = read_volume(save(tmp_path / "a.nii", voxels))
    axial, coronal, sagittal = (volume.slice(VolumeSlice(axis, 0, 9)) for axis in ("axial", "coronal", "sagittal"))
    np.testing.assert_array_equal(axial, [[11, 10, 10, 10]] + [[1, 0, 0, 0]] * 4)
    np.testing.assert_array_equal(coronal, [[101, 100, 100, 100]] + [[1, 0, 0, 0]] * 5)
    np.testing.assert_array_equal(sagittal, [[110, 100, 100, 100, 100]] + [[10, 0, 0, 0, 0]] * 5)
    for axis, shape in {"axial": (5, 4), "coronal": (6, 4), "sagittal": (6, 5)}.items():
        assert volume.grid.size(axis) == shape == volume.slice(VolumeSlice(axis, 0, 9)).shape
    with pytest.raises(ImageError, match="has 6 axial slices, so there is no slice 6"):
        volume.slice(VolumeSlice("axial", 6, 9))


@given(axes, flips, st.sampled_from([".nii", ".nii.gz"]), st.sampled_from([1, 2]))
def test_any_order_and_direction_of_axes_gives_the_same_slices(
    folder: Path, axes: tuple[int, ...], flips: tuple[int, ...], suffix: str, nifti: int
) -> None:
    stored, affine = turned(VOXELS, axes, flips)
    path = save(folder / f"turned{suffix}", stored, affine, nifti=nifti)
    volume = read_volume(path)
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    closest = nib.as_closest_canonical(nib.load(path))
    np.testing.assert_array_equal(volume.voxels, np.asarray(closest.dataobj))
    np.testing.assert_allclose(volume.grid.corners[0], closest.affine[:3, 3], atol=1e-5)
    require_same_grid(save(folder / "straight.nii", VOXELS), path)


@given(axes, flips, st.sampled_from(list(AXES)), st.sampled_from([1, 2]))
def test_maps_go_back_to_the_voxels_they_came_from(
    folder: Path, axes: tuple[int, ...], flips: tuple[int, ...], axis: str, nifti: int
) -> None:
    stored, affine = turned(VOXELS, axes, flips)
    path = save(folder / "there.nii.gz", stored, affine, nifti=nifti, sform_code=4, qform_code=1, xyzt_units=10)
    volume = read_volume(path)
    count = SHAPE[AXES[axis]]
    slices = {i: volume.slice(VolumeSlice(axis, i, count)).astype(np.float32) for i in range(count) if i != 1}
    nib.save(volume_map(path, slices, axis), folder / "back.nii.gz")
    back, there = nib.load(folder / "back.nii.gz"), nib.load(path)
    assert type(back) is type(there)
    assert back.get_data_dtype() == np.float32
    assert back.shape == there.shape
    np.testing.assert_array_equal(back.affine, there.affine)
    for field in ("sform_code", "qform_code", "pixdim", "xyzt_units"):
        np.testing.assert_array_equal(back.header[field], there.header[field])
    expected = VOXELS.astype(np.float32)
    np.moveaxis(expected, AXES[axis], 0)[1] = 0
    np.testing.assert_array_equal(back.get_fdata(), turned(expected, axes, flips)[0])


def test_maps_of_other_sizes_and_places_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", VOXELS)
    with pytest.raises(ImageError, match=r"axial slices are 5 × 4, a map of them is not \(4, 5\)"):
        volume_map(path, {0: np.zeros((4, 5))}, "axial")
    with pytest.raises(ImageError, match="has 6 axial slices, so there is no slice -1 to map"):
        volume_map(path, {-1: np.zeros((5, 4))}, "axial")


def test_a_last_axis_of_one_does_not_count_and_comes_back(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", VOXELS[..., None])
    np.testing.assert_array_equal(read_volume(path).voxels, VOXELS)
    assert volume_map(path, {}, "axial").shape == (*SHAPE, 1)
    assert read_volume(save(tmp_path / "b.nii", VOXELS[..., 0])).voxels.shape == (4, 5, 1)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", ">i2", "f4", "f8"])
def test_levels_are_kept(tmp_path: Path, dtype: str) -> None:
    values = np.arange(120).reshape(SHAPE).astype(dtype)
    values[0, 0, 0] = 4095 if values.itemsize > 1 else 255
    image = nib.Nifti1Image(values, RAS, nib.Nifti1Header(endianness=">" if dtype[0] == ">" else "<"))
    image.set_data_dtype(values.dtype)
    nib.save(image, tmp_path / "a.nii.gz")
    found = read_volume(tmp_path / "a.nii.gz").voxels
    assert found.dtype == (np.float32 if values.dtype.kind == "f" else values.dtype.newbyteorder("="))
    np.testing.assert_array_equal(found, values)


def test_scaled_values_are_those_that_are_meant(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, RAS)
    image.header.set_slope_inter(0.5, -7)
    image.header.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "a.nii")
    found = read_volume(tmp_path / "a.nii").voxels
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, nib.load(tmp_path / "a.nii").get_fdata(), rtol=1e-6)
    ones = np.ones((5, 4), np.float32)
    nib.save(volume_map(tmp_path / "a.nii", {2: ones}, "axial"), tmp_path / "map.nii")
    back = nib.load(tmp_path / "map.nii")
    np.testing.assert_array_equal(back.get_fdata()[:, :, 2], ones.T)
    assert back.get_fdata().sum() == 20
    assert (back.dataobj.slope, back.dataobj.inter) == (1, 0)


def header_of(path: Path, **fields: Any) -> Path:
    """Overwrite fields of a file's header and nothing else."""
    content = path.read_bytes()
    header = nib.Nifti1Header(content[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + content[348:])
    return path


BROKEN = [
    ({"magic": b"ni1"}, "voxels and header are not in one file"),
    ({"sizeof_hdr": 7}, "no NIfTI file"),
    ({"dim": [3, 0, 5, 6, 1, 1, 1, 1]}, "tells the shape"),
    ({"dim": [0] * 8}, "tells 0 dimensions"),
    ({"dim": [3, 32000, 32000, 32000, 1, 1, 1, 1]}, "more than the limits of 65535 along an axis"),
    ({"dim": [3, 2000, 2000, 1000, 1, 1, 1, 1]}, "more than the limit of 4 GiB"),
    ({"dim": [3, 400, 500, 600, 1, 1, 1, 1]}, "truncated"),
    ({"datatype": 128}, "voxels of type .* are not read"),
    ({"datatype": 32}, "voxels of type complex64 are not read"),
    ({"datatype": 9999}, "cannot be decoded"),
    ({"vox_offset": 0}, "voxels begin inside it"),
    ({"vox_offset": np.nan}, "cannot be decoded"),
    ({"srow_x": 0}, r"its affine \(0 0 0; 0 2 0; 0 0 3\) does not tell three directions"),
    ({"srow_x": [0, 2, 0, 0]}, "does not tell three directions"),
    ({"srow_x": [1e30, 0, 0, 0]}, "does not tell three directions"),
    ({"srow_y": np.nan}, "does not tell three directions"),
    ({"sform_code": 0, "qform_code": 1, "pixdim": [1, 0, 1, 1, 0, 0, 0, 0]}, "does not tell three directions"),
    ({"sform_code": 0, "qform_code": 1, "quatern_b": 2}, "cannot be decoded"),
]


@pytest.mark.parametrize(("fields", "message"), BROKEN, ids=[str(fields)[:40] for fields, _ in BROKEN])
def test_broken_headers_are_refused(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_volume(header_of(save(tmp_path / "a.nii", VOXELS), **fields))


def test_broken_content_is_refused(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.nii.gz", VOXELS).read_bytes()
    path = tmp_path / "b.nii.gz"
    for length in (5, 60, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:length])
        assert "truncated" in refusal(path)
    path.write_bytes(whole[:-6] + b"xx" + whole[-4:])
    assert "CRC check failed" in refusal(path)
    path.write_bytes(b"")
    assert "the file is empty" in refusal(path)
    path.write_bytes(gzip.decompress(whole))
    assert "give it the suffix .nii" in refusal(path)
    path.write_bytes(gzip.compress(b"nothing"))
    assert "no NIfTI file" in refusal(path)
    path.write_bytes(gzip.compress(gzip.decompress(whole)[:500]))
    assert "truncated" in refusal(path)
    assert "No such file" in refusal(tmp_path / "none.nii")
    (tmp_path / "c.nii").write_bytes(whole)
    assert "give it the suffix .nii.gz" in refusal(tmp_path / "c.nii")
    (tmp_path / "c.nii").write_bytes(gzip.decompress(whole)[:-1])
    assert "truncated" in refusal(tmp_path / "c.nii")


def test_volumes_that_are_no_images_are_refused(tmp_path: Path) -> None:
    message = refusal(save(tmp_path / "a.nii", np.zeros((4, 5, 6, 2), np.int16)))
    assert message.endswith("has 4 dimensions, of shape (4, 5, 6, 2); save each volume of it as a file")
    values = np.zeros(SHAPE, np.float32)
    for bad in (np.nan, np.inf, 1e300):
        values = values.astype(np.float64)
        values[1, 2, 3] = bad
        assert "NaN or infinity" in refusal(save(tmp_path / "b.nii.gz", values))


def test_grids_that_differ_are_told_apart(tmp_path: Path) -> None:
    image = save(tmp_path / "a.nii", VOXELS)
    near, far = RAS.copy(), RAS.copy()
    near[0, 3], far[0, 3] = 0.1, 0.6
    require_same_grid(image, save(tmp_path / "near.nii", VOXELS, near))
    with pytest.raises(ImageError, match=r"far.nii: lies 0.6 mm away from .*a.nii; resample it"):
        require_same_grid(image, save(tmp_path / "far.nii", VOXELS, far))
    with pytest.raises(ImageError, match=r"b.nii: has 4 × 5 × 5 voxels where .*a.nii has 4 × 5 × 6"):
        require_same_grid(image, save(tmp_path / "b.nii", VOXELS[:, :, 1:]))


# ---------------------------------------------------------------- decoding


def geometry(foreground: str = "nonzero") -> Geometry:
    return Geometry((Channels("native"), Foreground(foreground), Crop("none"), Resize(4, "bilinear")))


def collection(folder: Path) -> Cases:
    """Two volumes, one with a foreground file of its own."""
    save(folder / "p.nii.gz", VOXELS)
    save(folder / "q.nii.gz", VOXELS[::-1] + np.int16(1))
    save(folder / "q_brainmask.nii.gz", *turned((VOXELS > 0).astype(np.uint8), (1, 2, 0), (1, -1, 1)))
    return read_cases(folder, slicing=Slicing("coronal"))


def test_slices_are_decoded_like_single_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = collection(tmp_path)
    reads: list[str] = []

    def counting(path: Path, contents: Mapping[Path, bytes]) -> Volume:
        reads.append(path.name)
        return read_volume(path, contents)

    monkeypatch.setattr(sources_module, "read_volume", counting)
    order = np.random.default_rng(0).permutation(len(cases))
    pictures = decode(cases[order], geometry(), workers=2)
    assert sorted(reads) == ["p.nii.gz", "q.nii.gz", "q_brainmask.nii.gz"]
    assert len(set(pictures.keys)) == len(cases) == 10
    pixels, foregrounds = pictures.batch(np.arange(10))
    assert foregrounds is not None
    inside = read_volume(tmp_path / "q_brainmask.nii.gz")
    for row, case in enumerate(pictures.cases):
        assert case.slice is not None
        assert case.path is not None
        given = inside.slice(case.slice) != 0 if case.foreground else None
        statistics = VolumeStatistics(read_volume(case.path).voxels)
        expected = geometry().apply(read_case(case), foreground=given, volume=statistics)
        np.testing.assert_array_equal(pixels[row], expected.pixels)
        np.testing.assert_array_equal(foregrounds[row], expected.foreground)
    assert pictures.source_sizes == [(6, 4)] * 10
    decode(cases, geometry())
    assert len(reads) == 3
    save(tmp_path / "q_brainmask.nii.gz", (VOXELS > 100).astype(np.uint8))
    decode(cases, geometry())
    assert sorted(reads[3:]) == ["q.nii.gz", "q_brainmask.nii.gz"]


def test_slices_that_cannot_be_read_are_listed_one_by_one(tmp_path: Path) -> None:
    cases = collection(tmp_path)
    (tmp_path / "p.nii.gz").write_bytes((tmp_path / "p.nii.gz").read_bytes()[:-20])
    save(tmp_path / "q_brainmask.nii.gz", VOXELS[1:])
    pictures = decode(cases, geometry())
    assert len(pictures) == 0
    assert len(pictures.unreadable) == 10
    reasons = {item.reason for item in pictures.unreadable}
    assert len(reasons) == 2
    assert any(reason.startswith(f"{tmp_path / 'p.nii.gz'}: the file is truncated") for reason in reasons)
    assert any("q_brainmask.nii.gz: has 3 × 5 × 6 voxels where" in reason for reason in reasons)


def test_an_image_of_its_own_may_have_a_foreground(tmp_path: Path) -> None:
    from PIL import Image

    image = np.full((4, 4), 9, np.uint8)
    inside = np.eye(4, dtype=np.uint8) * 255
    Image.fromarray(image).save(tmp_path / "a.png")
    Image.fromarray(inside).save(tmp_path / "a_foreground.png")
    cases = read_cases(tmp_path)
    _, foreground = decode(cases, geometry()).batch([0])
    np.testing.assert_array_equal(foreground, inside[None] > 0)
    key = decode(cases, geometry()).keys[0]
    assert key != decode(Cases([Case("a", tmp_path / "a.png")]), geometry()).keys[0]
    Image.fromarray(inside[1:]).save(tmp_path / "a_foreground.png")
    (unreadable,) = decode(cases, geometry()).unreadable
    assert "a_foreground.png: is 3 × 4 pixels where" in unreadable.reason


# ---------------------------------------------------------------- real files


@pytest.mark.real_data
def test_real_nifti_files_are_read_or_refused_with_a_reason(real_data: Path) -> None:
    outcomes = {}
    for path in sorted((real_data / "formats" / "nifti").glob("*.nii*")):
        try:
            volume = read_volume(path)
        except ImageError as error:
            outcomes[path.name] = str(error).partition(": ")[2][:18]
            continue
        closest = nib.as_closest_canonical(nib.load(path))
        expected = np.asarray(closest.dataobj)
        np.testing.assert_allclose(volume.voxels, expected.reshape(volume.voxels.shape), rtol=1e-6)
        outcomes[path.name] = "read"
    assert outcomes == {
        "anatomical.nii": "read",
        "example4d.nii.gz": "has 4 dimensions, ",
        "example_nifti2.nii.gz": "has 4 dimensions, ",
        "functional.nii": "has 4 dimensions, ",
        "someones_anatomy.nii.gz": "read",
        "standard.nii.gz": "read",
    }


@pytest.mark.real_data
@pytest.mark.parametrize("codes", ["LPS", "SRA", "PIR"])
def test_a_real_volume_goes_there_and_back(real_data: Path, tmp_path: Path, codes: str) -> None:
    source = next((real_data / "brats").glob("*/*_flair.nii.gz"))
    image = nib.load(source)
    if codes != "LPS":
        image = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(codes)))
        nib.save(image, tmp_path / "turned.nii")
        source = tmp_path / "turned.nii"
    assert "".join(nib.aff2axcodes(image.affine)) == codes
    volume = read_volume(source)
    canonical = np.asarray(nib.as_closest_canonical(image).dataobj)
    where = VolumeSlice("axial", 77, 155)
    np.testing.assert_array_equal(volume.slice(where), canonical[::-1, ::-1, 77].T)
    slices = {i: volume.slice(VolumeSlice("axial", i, 155)).astype(np.float32) for i in range(155)}
    back = volume_map(source, slices, "axial")
    np.testing.assert_array_equal(np.asarray(back.dataobj), np.asarray(image.dataobj))
    np.testing.assert_array_equal(back.affine, image.affine)
    np.testing.assert_array_equal(back.header.get_zooms(), image.header.get_zooms())
    assert back.header["sform_code"] == nib.load(source).header["sform_code"]
    assert read_grid(source).size("axial") == (240, 240)
