"""What NumPy, tifffile and nibabel write comes back bit for bit, whatever its shape and type."""

from __future__ import annotations

import gzip
import io
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sanoscope.cases import Case, VolumeSlice, read_case, read_cases, read_image
from sanoscope.cases import tiff as tiff_module
from sanoscope.cases.volume_files import read_grid, read_volume
from sanoscope.errors import DataError, ImageError

INTEGERS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8")
FLOATS = ("f2", "f4", "f8")
RNG = np.random.default_rng(0)


def some(shapes: st.SearchStrategy, *types: str) -> st.SearchStrategy[np.ndarray]:
    """Arrays of finite numbers that single precision holds, in either byte order."""
    kinds = st.sampled_from([f"{order}{kind}" for kind in types for order in "<>"])

    floats = st.floats(allow_nan=False, allow_infinity=False, width=16)

    def filled(kind: str) -> st.SearchStrategy[np.ndarray]:
        return arrays.arrays(np.dtype(kind), shapes, elements=floats if "f" in kind else None)

    return kinds.flatmap(filled)


SIDES = st.integers(1, 9)
FLAT = st.one_of(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES, st.integers(1, 4)))
STACKS = st.tuples(SIDES, SIDES, st.integers(5, 9))
VOLUMES = st.tuples(SIDES, SIDES, SIDES)


def standard(pixels: np.ndarray) -> np.ndarray:
    """As readers hand it out: native, floats in single precision, bits 0 and 255."""
    if pixels.dtype.kind == "b":
        return pixels * np.uint8(255)
    return pixels.astype(np.float32 if pixels.dtype.kind == "f" else pixels.dtype.newbyteorder("="))


def same(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


def written(save: Callable[..., None], *args: object, **kwargs: object) -> bytes:
    stream = io.BytesIO()
    save(stream, *args, **kwargs)
    return stream.getvalue()


def volume_of(content: bytes, suffix: str) -> np.ndarray:
    """The voxels in the order of the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"volume{suffix}"
        path.write_bytes(content)
        volume = read_volume(path)
        grid = read_grid(path)
    assert grid.shape == volume.grid.shape
    np.testing.assert_array_equal(grid.affine, volume.grid.affine)
    stored = np.empty(grid.shape, volume.voxels.dtype)
    grid.canonical(stored)[...] = volume.voxels
    return stored


@settings(deadline=None)
@given(some(FLAT, "?", *INTEGERS, *FLOATS), st.booleans())
def test_an_array_as_an_image(pixels: np.ndarray, fortran: bool) -> None:
    stored = np.asfortranarray(pixels) if fortran else pixels
    wanted = np.atleast_3d(standard(pixels))
    same(read_image(Path("a.npy"), written(np.save, stored)), wanted)
    same(read_image(Path("a.npz"), written(np.savez, stored)), wanted)
    same(read_image(Path("a.npz"), written(np.savez_compressed, other=[1, 2], image=stored)), wanted)


@settings(deadline=None)
@given(some(STACKS, "?", *INTEGERS, *FLOATS))
def test_an_array_as_a_volume(stack: np.ndarray) -> None:
    for content, suffix in ((written(np.save, stack), ".npy"), (written(np.savez_compressed, stack), ".npz")):
        same(volume_of(content, suffix), standard(stack).T)


@settings(deadline=None)
@given(
    some(FLAT, *INTEGERS, *FLOATS),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, "zlib", "lzma"]),
    st.sampled_from(["contig", "separate"]),
)
def test_a_tiff(pixels: np.ndarray, big: bool, coloured: bool, compression: str | None, planes: str) -> None:
    options = {"byteorder": ">" if pixels.dtype.byteorder == ">" else "<", "bigtiff": big, "compression": compression}
    options |= {"photometric": "minisblack", "metadata": None}
    stored = pixels
    if pixels.ndim == 3 and pixels.shape[2] > 1:
        stored = np.moveaxis(pixels, 2, 0) if planes == "separate" else pixels
        options["planarconfig"] = planes
        if coloured and pixels.shape[2] == 3 and pixels.dtype.kind == "u":
            options["photometric"] = "rgb"
    elif pixels.ndim == 3:
        stored = pixels[..., 0]
    content = written(tifffile.imwrite, np.ascontiguousarray(stored), **options)
    same(read_image(Path("a.tif"), content), np.atleast_3d(standard(pixels)))


@settings(deadline=None)
@given(some(VOLUMES, "u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"), st.sampled_from([1, 2]), st.booleans())
def test_a_nifti_file(voxels: np.ndarray, version: int, compressed: bool) -> None:
    kind = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    image = kind(voxels, np.diag([-2.0, 1, 3, 1]), dtype=voxels.dtype)
    content = image.to_bytes()
    same(
        volume_of(gzip.compress(content) if compressed else content, ".nii.gz" if compressed else ".nii"),
        standard(voxels),
    )


@settings(deadline=None)
@given(some(VOLUMES, "u1", "i2", "u2", "i4", "f4"), st.booleans())
def test_an_mgh_file(voxels: np.ndarray, compressed: bool) -> None:
    native = voxels.astype(voxels.dtype.newbyteorder("="))
    content = nib.MGHImage(native, np.diag([-2.0, 1, 3, 1])).to_bytes()
    same(volume_of(gzip.compress(content) if compressed else content, ".mgz" if compressed else ".mgh"), native)


def test_the_geometry_of_an_mgh_file_is_nibabels(tmp_path: Path) -> None:
    affine = np.array([[0, 0, -3.0, 10], [-1, 0, 0, 20], [0, 2, 0, -30], [0, 0, 0, 1]])
    image = nib.MGHImage(np.zeros((4, 5, 6), np.float32), affine)
    for name in ("a.mgh", "a.mgz"):
        nib.save(image, tmp_path / name)
        np.testing.assert_allclose(read_grid(tmp_path / name).affine, affine, atol=1e-6)


def test_an_mgh_file_without_a_position_lies_as_freesurfer_says(tmp_path: Path) -> None:
    content = bytearray(nib.MGHImage(np.zeros((4, 5, 6), np.float32), np.eye(4)).to_bytes())
    content[28:30] = bytes(2)  # the flag that there is one
    (tmp_path / "a.mgh").write_bytes(content)
    wanted = [[-1, 0, 0, 2], [0, 0, 1, -3], [0, -1, 0, 2.5], [0, 0, 0, 1]]
    np.testing.assert_array_equal(read_grid(tmp_path / "a.mgh").affine, wanted)


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (0, 2, "no MGH file of version 1"),
        (4, -1, "tells the shape"),
        (4, 7, "truncated"),
        (16, 2, "has 4 dimensions"),
        (20, 2, "type 2 are not read"),
        (30, 0, "does not tell three directions"),
        (4, 2**31 - 1, "volume.mgh: "),
    ],
)
def test_a_damaged_mgh_file(place: int, value: int, told: str) -> None:
    content = bytearray(nib.MGHImage(np.zeros((4, 5, 6), np.float32), np.eye(4)).to_bytes())
    content[place : place + 4] = value.to_bytes(4, "big", signed=True)
    with pytest.raises(ImageError, match=told):
        volume_of(bytes(content), ".mgh")


def test_slices_of_a_stack_are_shown_as_they_are_stored(tmp_path: Path) -> None:
    stack = RNG.integers(0, 1000, (5, 6, 7), np.int16)
    np.save(tmp_path / "stack.npy", stack)
    (tmp_path / "other.txt").touch()
    cases = read_cases(tmp_path)
    assert [case.slice for case in cases] == [VolumeSlice("axial", i, 5) for i in range(5)]
    for case, wanted in zip(cases, stack, strict=True):
        same(read_case(case)[..., 0], wanted)


def test_an_array_file_given_as_the_data(tmp_path: Path) -> None:
    images = RNG.integers(0, 255, (4, 6, 7, 2), np.uint8)
    path = tmp_path / "set.npz"
    np.savez(path, images=images, labels=[0, 1, 0, 1], subjects=["a", "a", "b", "b"])
    cases = read_cases(path)
    assert cases.layout == "array-file"
    assert (cases.labels, cases.subjects) == ([0, 1, 0, 1], ["a", "a", "b", "b"])
    same(read_case(cases[2]), images[2])
    np.save(tmp_path / "set.npy", images[..., 0])
    cases = read_cases(tmp_path / "set.npy")
    assert cases.labels == [None] * 4
    same(read_case(cases[3])[..., 0], images[3, ..., 0])
    np.savez(path, images=images, labels=["ill", "fine", "ill", "fine"])
    assert read_cases(path, normal="fine").labels == [1, 0, 1, 0]


def test_one_image_in_an_array_file_is_one_case(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((6, 7, 3), np.uint8))
    cases = read_cases(tmp_path / "a.npy")
    assert [case.name for case in cases] == ["a"]
    assert read_case(cases[0]).shape == (6, 7, 3)


@pytest.mark.parametrize(
    ("arrays_in_it", "told"),
    [
        ({"a": np.zeros(3), "b": np.zeros(3)}, "one array, or one called image or images, not these: a, b"),
        ({"x": np.zeros(3)}, r"array of shape \(3,\): needed is"),
        ({"images": np.zeros((3, 4, 5)), "labels": [0, 1]}, r"labels of shape \(2,\) for 3 images; give one for each"),
        ({"images": np.full((3, 4, 5), np.nan)}, "NaN or infinity"),
        ({"images": np.zeros((3, 4, 5)), "labels": ["a", "b", "c"]}, r"labels\[0\] is 'a'"),
        ({"images": np.zeros((3, 4, 5)), "labels": np.array([{}] * 3)}, "values of type object are not read"),
        ({"images": np.zeros((3, 4, 5), complex)}, "values of type complex128 are not read"),
        ({"images": np.zeros((3, 4, 5), "i4,f4")}, "are not read; save numbers"),
        ({"images": np.zeros((0, 4, 5))}, "is empty"),
    ],
)
def test_an_array_file_that_cannot_be_used(arrays_in_it: dict[str, object], told: str, tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, **arrays_in_it)
    with pytest.raises(DataError, match=told) as caught:
        read_cases(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_images_of_several_channels_in_a_folder_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 6, 7, 3), np.uint8))
    case = Case("a", path)
    with pytest.raises(ImageError, match="give this file itself as the data"):
        read_case(case)


@pytest.mark.parametrize(
    ("content", "suffix", "told"),
    [
        (b"", ".npy", "empty"),
        (written(np.save, np.zeros((9, 9)))[:-1], ".npy", "truncated"),
        (written(np.save, np.zeros((9, 9))) + b"x", ".npy", "more in it"),
        (written(np.savez, np.zeros((9, 9))), ".npy", "no array in numpy's format"),
        (written(np.save, np.zeros((9, 9))), ".npz", "zip"),
        (written(np.save, np.array([{}])), ".npy", "type object"),
    ],
)
def test_damaged_arrays(content: bytes, suffix: str, told: str) -> None:
    with pytest.raises(ImageError, match=told):
        read_image(Path(f"a{suffix}"), content)


def test_tiff_with_imagecodecs() -> None:
    for order, compression, kind, channels in product(
        "<>", ("lzw", "zstd", "jpeg2000"), ("u1", "u2", "i2", "f4"), (1, 3)
    ):
        pixels = np.squeeze((RNG.random((11, 9, channels)) * 100).astype(kind))
        options = {"photometric": "minisblack", "planarconfig": "contig"} if channels > 1 else {}
        if compression == "jpeg2000" and (kind == "f4" or (order == ">" and kind != "u1")):
            continue  # it holds no floats, and tifffile swaps its bytes in big-endian files
        content = written(tifffile.imwrite, pixels, byteorder=order, compression=compression, **options)
        same(read_image(Path("a.tif"), content), np.atleast_3d(pixels))


def test_tiff_that_needs_imagecodecs_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_module, "find_spec", lambda name: None)
    content = bytearray(written(tifffile.imwrite, np.zeros((9, 9, 3), np.uint16), photometric="rgb", metadata=None))
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        place = tiff.pages[0].tags["Compression"].valueoffset
    content[place : place + 2] = (5).to_bytes(2, "little")
    with pytest.raises(ImageError, match=r"uint16 values with LZW .* pip install 'sanoscope\[tiff\]'"):
        read_image(Path("a.tif"), bytes(content))


def test_a_tiff_that_says_it_is_longer_than_its_strips_is_refused() -> None:
    content = bytearray(written(tifffile.imwrite, np.ones((100, 100), np.uint16), rowsperstrip=10))
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        place = tiff.pages[0].tags["ImageLength"].valueoffset
    content[place : place + 2] = (5000).to_bytes(2, "little")
    with pytest.raises(ImageError, match="10 strips or tiles where its size needs 500"):
        read_image(Path("a.tif"), bytes(content))
