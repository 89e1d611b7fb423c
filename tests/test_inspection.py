"""Inspection: each warning on a collection made to have it, none on a clean one, and advice that recipes take."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

from sanoscope.cases import Case, Cases, Slicing, hold_out
from sanoscope.cases.case import SlideTile
from sanoscope.cases.phantoms import brain_phantoms, histology_phantoms
from sanoscope.errors import DataError, OptionError
from sanoscope.inspection import Inspection, inspect
from sanoscope.inspection.advice import suggestions
from sanoscope.inspection.alike import compared, nearly_same
from sanoscope.inspection.inspecting import TILES_OF_A_SLIDE, _drawn
from sanoscope.inspection.labels import bits_of, grey_auroc
from sanoscope.inspection.looks import look_at_pixels
from sanoscope.inspection.page import render, write_inspection
from sanoscope.inspection.seen import Seen, strangeness
from sanoscope.recipes import RECIPES, get_recipe
from volume_files import save as save_volume

SIDE, COUNT = 32, 32


@dataclass
class Item:
    """One image of a made-up collection, before it is written; the odd ones are numbered 0, 4, … (normal)."""

    pixels: np.ndarray
    label: int
    subject: str
    split: str
    mask: np.ndarray | None = None
    suffix: str = ".png"
    content: bytes | None = None


def picture(seed: int, side: int = SIDE) -> np.ndarray:
    """Smooth noise about mid-grey, ``(side, side)`` uint8."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 2.5)
    return np.rint(128 + 40 * (noise - noise.mean()) / noise.std()).clip(0, 250).astype(np.uint8)


def clean() -> list[Item]:
    """As many normal as abnormal images, of subjects that are each on one side; nothing is wrong with them."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[8:20, 8:20] = True
    sides = ["train"] * 4 + ["validation"] * 2 + ["test"] * 2
    return [Item(picture(i), i % 2, f"patient{i // 4}", sides[i // 4], mask if i % 2 else None) for i in range(COUNT)]


def write(folder: Path, items: list[Item]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["path,label,mask,subject,split"]
    for i, item in enumerate(items):
        name = f"{i:02d}{item.suffix}"
        if item.content is not None:
            (folder / name).write_bytes(item.content)
        else:
            Image.fromarray(item.pixels).save(folder / name)
        mask = "" if item.mask is None else f"{i:02d}_mask.png"
        if item.mask is not None:
            Image.fromarray(item.mask.astype(np.uint8) * 255).save(folder / mask)
        rows.append(f"{name},{item.label},{mask},{item.subject},{item.split}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder


def kinds(inspection: Inspection) -> dict[str, tuple[str, ...]]:
    """The suspicious cases by kind."""
    return {one.kind: one.cases for one in inspection.suspicions}


def spoil(item: Item, **changes: object) -> Item:
    return replace(item, **changes)  # type: ignore[arg-type]


def wide(pixels: np.ndarray) -> np.ndarray:
    return np.tile(pixels, (1, 3))


def washed_out(pixels: np.ndarray) -> np.ndarray:
    return np.where(pixels > np.quantile(pixels, 0.6), 255, pixels).astype(np.uint8)


# What is wrong with the fifth image, which is normal, by the kind that must say so.
SPOILED: dict[str, Callable[[list[Item]], Item]] = {
    "nearly constant": lambda items: spoil(items[4], pixels=np.full((SIDE, SIDE), 128, np.uint8)),
    "size": lambda items: spoil(items[4], pixels=picture(4, 40)),
    "aspect ratio": lambda items: spoil(items[4], pixels=wide(items[4].pixels)),
    "channels": lambda items: spoil(items[4], pixels=np.stack([items[4].pixels] * 3, axis=2)),
    "bit depth": lambda items: spoil(items[4], pixels=items[4].pixels.astype(np.uint16)),
    "far darker": lambda items: spoil(items[4], pixels=items[4].pixels // 3),
    "far brighter": lambda items: spoil(items[4], pixels=255 - items[4].pixels // 4),
    "saturated": lambda items: spoil(items[4], pixels=washed_out(items[4].pixels)),
    "value range": lambda items: spoil(items[4], pixels=(118 + items[4].pixels // 12).astype(np.uint8)),
    "copies": lambda items: spoil(items[4], pixels=items[0].pixels),
    "near copies": lambda items: spoil(items[4], pixels=items[0].pixels // 2 + 64),
    "mask of a normal": lambda items: spoil(items[4], mask=items[1].mask),
    "mask": lambda items: spoil(items[4], mask=np.ones((4, 4), bool)),
    "split": lambda items: spoil(items[4], subject="patient0", split="test"),
}


@pytest.fixture(scope="module")
def spotless(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    return inspect(write(tmp_path_factory.mktemp("clean") / "images", clean()))


def test_of_a_clean_collection_nothing_is_suspicious(spotless: Inspection) -> None:
    assert spotless.suspicions == []
    assert spotless.refused == []
    assert spotless.notes == ()
    assert (spotless.layout, spotless.cases, spotless.read, spotless.files, spotless.subjects) == (
        "manifest",
        COUNT,
        COUNT,
        COUNT,
        8,
    )
    assert spotless.labels == {"normal": 16, "abnormal": 16}
    assert spotless.splits["train"] == {"normal": 8, "abnormal": 8}
    assert spotless.sizes == {"32 × 32": COUNT}
    assert spotless.depths == {"uint8, 8 bits used": COUNT}
    (only,) = spotless.formats
    folder = Path(spotless.source)
    bytes_there = sum(file.stat().st_size for file in folder.glob("??.png"))
    assert (only.kind, only.suffix, only.files, only.bytes) == ("image", ".png", COUNT, bytes_there)


@pytest.mark.parametrize("kind", SPOILED)
def test_what_is_wrong_with_one_image_is_said_of_it(kind: str, tmp_path: Path) -> None:
    items = clean()
    items[4] = SPOILED[kind](items)
    found = kinds(inspect(write(tmp_path / "images", items)))
    assert "04" in found[kind]
    alone = {"04"} if kind not in ("copies", "near copies", "split") else {"00", "04"}
    assert alone <= {*found[kind]} if kind == "split" else {*found[kind]} == alone


def test_an_empty_mask_of_an_abnormal_image(tmp_path: Path) -> None:
    items = clean()
    items[5] = spoil(items[5], mask=np.zeros((SIDE, SIDE), bool))
    assert kinds(inspect(write(tmp_path / "images", items))) == {"empty mask": ("05",)}


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only(label: int, tmp_path: Path) -> None:
    items = [spoil(item, mask=None) for item in clean() if item.label == label]
    (found,) = inspect(write(tmp_path / "images", items)).suspicions
    assert found.kind == "one class"
    assert ("nothing to learn from" in found.message) == bool(label)


def test_a_split_without_normals_to_train_on(tmp_path: Path) -> None:
    items = [spoil(item, split="test") if item.label == 0 else item for item in clean()]
    items = [spoil(item, subject=f"patient{i}") for i, item in enumerate(items)]
    found = inspect(write(tmp_path / "images", items))
    assert kinds(found).keys() == {"no training side"}
    assert "--split subject" in found.command


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("size", lambda item: spoil(item, pixels=picture(int(item.pixels.sum()), 40))),
        ("file type", lambda item: spoil(item, suffix=".bmp")),
        ("channels", lambda item: spoil(item, pixels=np.stack([item.pixels] * 3, axis=2))),
        ("bit depth", lambda item: spoil(item, pixels=item.pixels.astype(np.uint16))),
        ("mean grey", lambda item: spoil(item, pixels=item.pixels + np.uint8(4))),
    ],
)
def test_a_label_that_can_be_told_without_looking(what: str, change: Callable[[Item], Item], tmp_path: Path) -> None:
    items = [change(item) if item.label else item for item in clean()]
    items = [spoil(item, mask=None) for item in items]
    found = [one.message for one in inspect(write(tmp_path / "images", items)).suspicions if one.kind == "shortcut"]
    assert len(found) == 1
    assert found[0].startswith(f"{what} alone tells the label")


def test_sizes_that_tell_nothing_are_no_shortcut(tmp_path: Path) -> None:
    items = [spoil(item, pixels=picture(i, 32 + i), mask=None) for i, item in enumerate(clean())]
    assert "shortcut" not in kinds(inspect(write(tmp_path / "images", items)))


def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    items = clean()
    whole = write(tmp_path / "whole", items)
    items[4] = spoil(items[4], content=(whole / "04.png").read_bytes()[:200])
    Image.fromarray(items[6].pixels).save(tmp_path / "photo.jpg")
    items[6] = spoil(items[6], content=(tmp_path / "photo.jpg").read_bytes())
    found = inspect(write(tmp_path / "images", items))
    assert [name for name, _ in found.refused] == ["04", "06"]
    for name, reason in found.refused:
        assert reason.startswith(f"{tmp_path / 'images' / name}.png: ")
    assert kinds(found) == {"file type": (str(tmp_path / "images" / "06.png"),)}
    assert len(found.seen) == COUNT - 2


def test_copies_with_different_labels_are_named_first(tmp_path: Path) -> None:
    items = clean()
    items[31] = spoil(items[31], pixels=items[4].pixels)
    (found,) = inspect(write(tmp_path / "images", items)).suspicions
    assert found.message == (
        "groups of identical images: 1, 1 of them on two sides of the split, 1 with different labels "
        "(such as 04 (train) = 31 (test))"
    )


def test_near_copies_are_found_in_another_format_and_size_but_not_within_a_subject(tmp_path: Path) -> None:
    folder = write(tmp_path / "images", clean()[:8])
    (folder / "manifest.csv").unlink()
    Image.fromarray(picture(2)).resize((48, 48), Image.Resampling.BICUBIC).save(folder / "again.jpg", quality=90)
    for file in folder.glob("*_mask.png"):
        file.unlink()
    assert inspect(folder, layout="folder").near_copies == [["02", "again"]]
    seen = Seen(
        Cases([Case("a", pixels=picture(2), subject="p"), Case("b", pixels=picture(2) // 2, subject="p")]),
        [look_at_pixels(picture(2)[..., None]), look_at_pixels(picture(2)[..., None] // 2)],
    )
    assert nearly_same(seen, compared(seen)) == []


def test_a_sample_is_seeded_and_said(tmp_path: Path) -> None:
    folder = write(tmp_path / "images", clean())
    one, again = inspect(folder, sample=10), inspect(folder, sample=10)
    assert (one.cases, one.read, len(one.seen)) == (COUNT, 10, 10)
    assert [case.name for case in one.seen.cases] == [case.name for case in again.seen.cases]
    assert "10 of 32 cases, drawn with a fixed seed, were read" in one.notes
    with pytest.raises(OptionError, match="sample must be at least 1, not 0"):
        inspect(folder, sample=0)
    with pytest.raises(DataError, match="no such file or folder"):
        inspect(tmp_path / "nowhere")


def test_of_a_slide_some_tiles_are_drawn() -> None:
    tiles = [
        Case(f"{slide}/{x:04d}", Path(f"{slide}.svs"), tile=SlideTile(x, 0, 256, 256))
        for slide, count in (("large", 200), ("small", 20))
        for x in range(count)
    ]
    drawn, notes = _drawn(Cases(tiles), None)
    assert sum(case.name.startswith("large") for case in drawn) == TILES_OF_A_SLIDE
    assert sum(case.name.startswith("small") for case in drawn) == 20
    assert len(notes) == 1


def volume(depth: int, empty: tuple[int, int], seed: int = 0, top: float = 1000) -> np.ndarray:
    """``(24, 24, depth)`` int16 with nothing in the first and last slices."""
    voxels = gaussian_filter(np.random.default_rng(seed).random((24, 24, depth)), 2)
    voxels = top * (voxels - voxels.min()) / (voxels.max() - voxels.min())
    voxels[:4], voxels[-4:], voxels[:, :4], voxels[:, -4:] = 0, 0, 0, 0
    voxels[:, :, : empty[0]], voxels[:, :, depth - empty[1] :] = 0, 0
    return voxels.astype(np.int16)


def test_volumes_tell_spacing_and_the_slices_and_axis_that_suit(tmp_path: Path) -> None:
    for i, (top, empty) in enumerate([(1000, (2, 3)), (3000, (4, 3)), (900, (2, 5))]):
        voxels = volume(20, empty, i, top)
        save_volume(tmp_path / "scans" / f"v{i}.nii.gz", voxels, np.diag([-1.0, 1.0, 1.0, 1.0]))
    found = inspect(tmp_path / "scans")
    assert found.volumes["spacings"] == {"1 × 1 × 1": 3}
    assert found.volumes["orientations"] == {"LAS": 3}
    assert found.depths == {"int16, 12 bits used": 60}
    assert kinds(found).keys() == {"nearly constant"}
    assert found.options["data.slices"] == "2:-3"
    assert found.options["preparation.foreground"] == "nonzero"
    assert found.options["preparation.intensity"] == "maximum"
    assert found.options["preparation.statistics"] == "volume"
    assert get_recipe("conv-vae").with_options(found.options_for(get_recipe("conv-vae"))).build("preparation")
    assert "data.axis" not in found.options
    again = inspect(tmp_path / "scans", slicing=Slicing(slices="5:-5"))
    assert again.suspicions == []
    assert "data.slices" not in again.options
    assert "--set data.slices=5:-5" in again.command
    thick = tmp_path / "thick" / "v.nii"
    save_volume(thick, np.swapaxes(volume(20, (0, 0)), 1, 2), np.diag([1.0, 4.0, 1.0, 1.0]))
    assert inspect(thick).options["data.axis"] == "coronal"


def advised(looks: list[np.ndarray], subjects: list[str] | None = None) -> dict[str, str]:
    names = subjects or [f"s{i}" for i in range(len(looks))]
    cases = Cases(Case(f"{i}", pixels=p, subject=s) for i, (p, s) in enumerate(zip(looks, names, strict=True)))
    found = suggestions(Seen(cases, [look_at_pixels(np.atleast_3d(pixels)) for pixels in looks]))
    return {one.option.removeprefix("preparation."): one.value for one in found if one.value is not None}


def on_background(seed: int, background: int, channels: int = 1, side: int = 80) -> np.ndarray:
    pixels = np.full((side, side), background, np.uint8)
    pixels[20:60, 20:60] = picture(seed, 40)
    noise = np.random.default_rng(seed).integers(0, 5, (side, side, channels))
    return (np.clip(pixels, 2, 250)[..., None] + noise).astype(np.uint8)


def test_advice_follows_the_images() -> None:
    assert advised([picture(i, 200) for i in range(4)]) == {"image_size": "128"}
    assert advised([picture(i, 40) for i in range(4)]) == {"image_size": "64"}
    assert advised([picture(i, 300) for i in range(4)]) == {"image_size": "256"}
    assert advised([on_background(i, 2) for i in range(4)])["foreground"] == "body"
    assert advised([on_background(i, 245, 3) for i in range(4)])["foreground"] == "dark"
    assert advised([on_background(i, 2, 3) for i in range(4)])["foreground"] == "bright"
    grey_rgb = [np.stack([picture(i)] * 3, axis=2) for i in range(4)]
    assert advised(grey_rgb)["channels"] == "grey"
    assert advised([*grey_rgb, picture(9)])["channels"] == "grey"
    assert advised([on_background(1, 128, 3), picture(9)])["channels"] == "rgb"
    assert advised([picture(i)[:, : 16 + 4 * i] for i in range(4)])["crop"] == "square"
    deep = advised([picture(i).astype(np.int16) * 9 - 1000 for i in range(4)])
    assert deep["intensity"] == "percentiles"
    assert "statistics" not in deep
    assert advised([picture(i).astype(np.uint16) * (i + 1) for i in range(4)])["statistics"] == "image"
    assert "intensity" not in advised([picture(i).astype(np.float32) / 255 for i in range(4)])
    assert advised([np.full((9, 9), 4, np.uint8)]) == {}


def tissue(seed: int, tint: tuple[float, float, float]) -> np.ndarray:
    return np.rint(picture(seed)[..., None] * np.array(tint)).astype(np.uint8)


def test_stain_normalisation_is_advised_where_subjects_are_stained_differently() -> None:
    pink, violet = (1.5, 0.9, 1.3), (1.0, 0.6, 1.2)
    subjects = [f"p{i // 6}" for i in range(12)]
    differ = [tissue(i, pink if i < 6 else violet) for i in range(12)]
    assert advised(differ, subjects)["stain"] == "macenko"
    assert "stain" not in advised([tissue(i, pink) for i in range(12)], subjects)
    assert "stain" not in advised([image[..., ::2].mean(2).astype(np.uint8) for image in differ], subjects)
    green = [image[..., [1, 0, 2]] for image in differ]
    assert "stain" not in advised(green, subjects)
    assert "stain" not in advised(differ)


def test_small_lesions_ask_for_a_larger_image() -> None:
    cases = Cases(Case(f"{i}", pixels=picture(i, 256)) for i in range(4))
    for across, size in ((100, "64"), (20, "128"), (6, "256")):
        looks = [look_at_pixels(np.atleast_3d(case.pixels), abnormal=across**2) for case in cases]
        (first, *_) = suggestions(Seen(cases, looks))
        assert (first.option, first.value) == ("preparation.image_size", size)


COLLECTIONS: dict[str, Callable[[Path], object]] = {
    "brain phantoms": lambda folder: brain_phantoms(3, 4, size=64, seed=1).save(folder),
    "histology phantoms": lambda folder: histology_phantoms(3, 6, size=48, seed=1).save(folder),
    "clean": lambda folder: write(folder, clean()),
    "grey as RGB": lambda folder: write(
        folder, [spoil(item, pixels=np.stack([item.pixels] * 3, axis=2)) for item in clean()]
    ),
    "16 bits": lambda folder: write(folder, [spoil(i, pixels=i.pixels.astype(np.uint16) * 16) for i in clean()]),
}


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_recipes_take_the_suggested_options(collection: str, tmp_path: Path) -> None:
    COLLECTIONS[collection](tmp_path / "images")
    found = inspect(tmp_path / "images")
    assert found.options
    for recipe in RECIPES.values():
        recipe.with_options(found.options_for(recipe))
    command = found.command.split()
    assert command[:3] == ["sanoscope", "fit", "conv-vae"]
    assert found.options_for(RECIPES["conv-vae"]).keys() == found.options.keys()
    for name in ("conv-vae", "fc-vae", "padim", "constrained-attention-vae", "autoencoder", "patchcore"):
        chosen = get_recipe(name).with_options(found.options_for(get_recipe(name)))
        assert chosen.build("preparation").image_size == int(found.options["preparation.image_size"])
        assert chosen.build("data").slicing


def test_phantoms_are_clean_but_for_what_they_are(tmp_path: Path) -> None:
    histology_phantoms(6, 8, size=48, seed=2).save(tmp_path / "images")
    found = inspect(tmp_path / "images")
    assert {*kinds(found)} <= {"shortcut"}
    assert found.refused == []


def test_everything_is_fit_for_json_and_the_page_shows_it(spotless: Inspection, tmp_path: Path) -> None:
    page = write_inspection(spotless, tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "inspect.json").read_text())
    assert stored["cases"] == COUNT
    assert stored["command"] == spotless.command
    assert stored["fingerprint"]["sha256"] == spotless.fingerprint["sha256"]
    text = page.read_text()
    assert text.count("data:image/png;base64") == 32
    assert "http" not in text.replace("http://www.w3.org", "")
    assert "nothing is suspicious" in text
    assert render(spotless) == text


def test_names_are_escaped_on_the_page(tmp_path: Path) -> None:
    folder = tmp_path / "<b>odd</b> [red]"
    write(folder, clean()[:4])
    (folder / "manifest.csv").unlink()
    (folder / "00.png").rename(folder / "<i>a&b.png")
    text = render(inspect(folder, layout="folder"))
    assert "<i>a&b" not in text
    assert "&lt;i&gt;a&amp;b" in text


def test_arrays_are_inspected_too() -> None:
    images = np.stack([picture(i) for i in range(12)])
    found = inspect(images)
    assert found.formats[0].kind == "array"
    assert (found.cases, found.files, found.labels) == (12, 0, {"unlabelled": 12})
    assert [note.partition(":")[0] for note in found.notes] == ["subjects are unknown", "no image has a label"]
    split = inspect(hold_out(brain_phantoms(6, 4, size=64, seed=0).cases()))
    assert sum(sum(labels.values()) for labels in split.splits.values()) == 24


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 255), st.booleans()), min_size=1, max_size=60))
def test_grey_auroc_is_that_of_scikit_learn(drawn: list[tuple[int, bool]]) -> None:
    ramp = np.tile(np.array([-40, 40], np.int16), (4, 2))[..., None]
    cases = Cases(Case(f"{i}", pixels=ramp[..., 0], label=int(label)) for i, (_, label) in enumerate(drawn))
    seen = Seen(cases, [look_at_pixels(ramp + np.int16(level)) for level, _ in drawn])
    labels = [label for _, label in drawn]
    found = grey_auroc(seen)
    if min(labels.count(True), labels.count(False)) < 10:
        assert found is None
    else:
        assert found == pytest.approx(roc_auc_score(labels, [level for level, _ in drawn]))


def test_closed_forms() -> None:
    looks = {
        high: look_at_pixels(np.array([[[low], [high]]], np.int32))
        for low, high in ((0, 255), (0, 4095), (0, 4096), (-1024, 1023), (-1025, 0))
    }
    assert [bits_of([look]) for look in looks.values()] == [8, 12, 13, 11, 12]
    assert bits_of([looks[255], looks[4096]]) == 13
    assert bits_of([look_at_pixels(np.zeros((2, 2, 1), np.float32))]) == 32
    assert strangeness(np.array([1.0, 2.0, 3.0, 4.0, 100.0]), 0.1)[-1] == pytest.approx(97 / 1.4826)
    assert strangeness(np.array([5.0, 5.0, 5.0, 6.0]), 0.5).tolist() == [0, 0, 0, 2]
    look = look_at_pixels(np.array([[[0], [0], [200]], [[0], [100], [200]], [[0], [0], [0]]], np.uint8))
    assert (look.size, look.channels, look.low, look.high) == ((3, 3), 1, 0, 200)
    assert look.mean == pytest.approx(500 / 9)
    assert look.zeros == pytest.approx(6 / 9)
    assert look.at_top == pytest.approx(2 / 9)
    assert look.border == 0
    assert look.flat_border == pytest.approx(6 / 8)
    assert look.small.shape == (16, 18)


@pytest.mark.real_data
def test_histopathology_patches(real_data: Path) -> None:
    found = inspect(real_data / "idc")
    with (real_data / "idc" / "manifest.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (found.cases, found.subjects) == (len(rows), len({row["subject"] for row in rows}))
    assert found.refused == []
    assert next(iter(found.sizes)) == "50 × 50"
    assert any("mean grey alone tells the label" in one.message for one in found.suspicions)
    assert found.options["preparation.image_size"] == "64"


@pytest.mark.real_data
def test_brain_volumes_and_copies(real_data: Path) -> None:
    found = inspect(real_data / "brats")
    assert found.volumes["shapes"] == {"240 × 240 × 155": 4}
    assert found.volumes["spacings"] == {"1 × 1 × 1": 4}
    assert found.options["preparation.foreground"] == "nonzero"
    copies = inspect(real_data / "brain_mri").copies
    assert len(copies) == 25


@pytest.mark.real_data
def test_hospital_files(real_data: Path) -> None:
    found = inspect(real_data / "formats" / "dicom")
    assert found.headers["Modality"]["MR"] >= 8
    assert "MR_truncated" in dict(found.refused)
    assert all(reason.startswith(str(real_data)) for _, reason in found.refused)
    four_dimensions = dict(inspect(real_data / "formats" / "nifti").refused)["functional"]
    assert "has 4 dimensions" in four_dimensions


@pytest.mark.real_data
def test_slides(real_data: Path) -> None:
    pytest.importorskip("openslide")
    found = inspect(real_data / "formats" / "wsi")
    told = {slide["slide"]: slide for slide in found.slides}["cmu_small_region.svs"]
    assert (told["size"], told["objective"], told["vendor"]) == ([2220, 2967], 20, "aperio")
    assert ("slide", ".svs") in {(one.kind, one.suffix) for one in found.formats}
    refused = dict(found.refused)
    assert {"broken", "unopenable"} <= refused.keys()
    assert "set data.objective" in refused["tcga-cr-7395-01a-01-ts1"]
