"""The supervised reference: its recipe, what it learns from, and what it says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from sanoscope.cases import Case, Cases
from sanoscope.errors import DataError, ModelError
from sanoscope.networks.network import parameter_count
from sanoscope.recipe import PARTS
from sanoscope.recipes import RECIPES
from sanoscope.recipes.supervised import SUPERVISED
from sanoscope.subtypes.classifier import Classifier

SMALL: dict[str, Any] = {
    "preparation.image_size": 16,
    "network.growth": 4,
    "network.blocks": (2, 1),
    "network.stem": 8,
    "training.epochs": 6,
    "training.batch_size": 8,
    "training.learning_rate": 1e-2,
    "training.precision": "float32",
}
# Classes of images of a colour each: mean red, green and blue.
COLOURS = {"pink": (190, 120, 150), "blue": (120, 120, 190), "green": (120, 190, 120)}


def images(names: list[str | None], side: str | None, seed: int, labels: dict[str, int] | None = None) -> list[Case]:
    """An image for each name of a class, or one of any class without a label; groups unless there are labels."""
    random = np.random.default_rng(seed)
    found = []
    for number, name in enumerate(names):
        pixels = random.normal(COLOURS[name or "pink"], 40, (16, 16, 3)).clip(0, 255).astype(np.uint8)
        known: dict[str, Any] = {}
        if name:
            known = {"label": labels[name]} if labels else {"label": int(name != "pink"), "group": name}
        found.append(Case(f"{side}-{seed}-{number}", pixels=pixels, split=side, **known))
    return found


@cache
def collection() -> Cases:
    """Three classes on three sides, each in an order of its own."""
    sides = {
        "train": ["pink", "blue", "green"] * 8,
        "validation": ["green"] * 3 + ["pink"] * 2,
        "test": ["blue"] * 6 + ["pink"] * 6,
    }
    return Cases([case for seed, (side, names) in enumerate(sides.items()) for case in images(names, side, seed)])


def fitted(cases: Cases, seed: int = 0, **options: Any) -> Classifier:
    return Classifier(options=SMALL | options, device="cpu", quiet=True).fit(cases, seed)


@cache
def fitted_once() -> Classifier:
    return fitted(collection())


def weights(classifier: Classifier) -> dict[str, torch.Tensor]:
    return classifier.network_.state_dict()


def same_weights(first: Classifier, second: Classifier) -> bool:
    return all(torch.equal(one, weights(second)[name]) for name, one in weights(first).items())


# ---------------------------------------------------------------- recipe


def test_the_recipe_is_the_papers() -> None:
    expected = {
        "preparation.image_size": 50,
        "preparation.intensity": "z-score",
        "network.growth": 32,
        "network.blocks": (6, 12, 24, 16),
        "network.stem": 64,
        "network.bottleneck": 4,
        "training.epochs": 30,
        "training.batch_size": 1000,
        "training.optimizer": "adam",
        "training.learning_rate": 1e-4,
        "training.schedule": "constant",
        "training.weight_decay": 0.0,
    }
    assert expected.items() <= SUPERVISED.values.items()
    assert all(option.source and option.help for option in SUPERVISED.options.values())
    assert list(SUPERVISED.parts) == list(PARTS[:5])


def test_it_is_no_detector() -> None:
    assert SUPERVISED.name not in RECIPES


@pytest.mark.parametrize("name", SUPERVISED.presets)
def test_presets_can_be_set(name: str) -> None:
    assert SUPERVISED.preset(name).changes == SUPERVISED.presets[name]


# ---------------------------------------------------------------- learning


def test_it_tells_colours_that_it_has_learned() -> None:
    classifier, cases = fitted_once(), collection()
    assert classifier.classes == ("pink", "blue", "green")
    pictures, codes = classifier.predict(cases.test)
    assert [case.name for case in pictures.cases] == [case.name for case in cases.test]
    assert codes.dtype == np.int64
    assert [classifier.classes[code] for code in codes] == [case.group for case in cases.test]


def test_labels_are_classes_where_no_group_is_named() -> None:
    labels = {"pink": 0, "blue": 1}
    cases = Cases([*images(["blue", "pink"] * 8, "train", 0, labels), *images(["pink", "blue"], "test", 1, labels)])
    classifier = fitted(cases)
    assert classifier.classes == ("normal", "abnormal")
    np.testing.assert_array_equal(classifier.predict(cases.test)[1], [0, 1])


def test_the_curves_are_of_the_right_classes() -> None:
    """What is logged of the last epoch's validation is what the kept weights give."""
    classifier, validation = fitted_once(), collection().validation
    pictures, codes = classifier.predict(validation)
    right = torch.tensor([classifier.classes.index(str(case.group)) for case in validation])
    last = classifier.history_[-1]
    assert len(classifier.history_) == SMALL["training.epochs"]
    assert last["validation/accuracy"] == pytest.approx(np.mean(codes == right.numpy()))
    with torch.inference_mode():
        logits = classifier.network_(classifier.preparation_.tensors(pictures.batch(range(len(pictures)))))
    assert last["validation/loss"] == pytest.approx(F.cross_entropy(logits, right).item(), rel=1e-4)
    assert last["train/accuracy"] > 0.9


def test_the_same_seed_gives_the_same_predictions() -> None:
    again, other = fitted(collection()), fitted(collection(), seed=1)
    assert same_weights(fitted_once(), again)
    assert not same_weights(fitted_once(), other)
    for first, second in zip(fitted_once().history_, again.history_, strict=True):
        assert first["train/loss"] == second["train/loss"]
    test = collection().test
    np.testing.assert_array_equal(fitted_once().predict(test)[1], again.predict(test)[1])


def test_only_the_training_side_is_learned_from() -> None:
    cases = collection()
    others = [
        *images(["blue"] * 3, "validation", 7),
        *images(["pink", "green"], "test", 8),
        *images(["blue"] * 4, None, 9),
    ]
    assert same_weights(fitted_once(), fitted(cases.train.with_cases([*cases.train, *others])))


def test_images_without_a_label_are_left_out_and_noted() -> None:
    cases = collection()
    unknown = [*images([None] * 3, "train", 5), *images([None] * 2, "validation", 6)]
    classifier = fitted(cases.with_cases([unknown[0], *cases, *unknown[1:]]))
    assert classifier.notes_ == ["3 training images without a label were left out"]
    assert fitted_once().notes_ == []
    assert same_weights(fitted_once(), classifier)
    assert [row["validation/loss"] for row in classifier.history_] == [
        row["validation/loss"] for row in fitted_once().history_
    ]


def test_without_sides_all_are_learned_from() -> None:
    train = collection().train
    assert same_weights(fitted(train), fitted(train.assign([None] * len(train))))


def test_classes_have_the_same_codes_whatever_is_on_the_training_side() -> None:
    cases = collection()
    without = cases.where(lambda case: case.split != "train" or case.group != "blue")
    classifier = fitted(without)
    assert classifier.classes == fitted_once().classes
    green = cases.train.where(lambda case: case.group == "green")
    np.testing.assert_array_equal(classifier.predict(green)[1], 2)


def test_an_image_has_its_class_whatever_else_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, cases = fitted_once(), collection()
    together = classifier.predict(cases)[1]
    np.testing.assert_array_equal(classifier.predict(cases[::-1])[1], together[::-1])
    monkeypatch.setattr("sanoscope.subtypes.classifier.BATCH", 5)
    np.testing.assert_array_equal(classifier.predict(cases)[1], together)


def test_the_best_weights_can_be_kept_instead_of_the_last() -> None:
    """The better it has learned, the worse it is at validation images whose classes are mistaken."""
    mistaken = [replace(case, group="blue") for case in images(["green"] * 6, "validation", 5)]
    cases = collection().with_cases([*collection().train, *mistaken])
    stopped = fitted(cases, **{"training.early_stopping": SMALL["training.epochs"]})
    losses = [row["validation/loss"] for row in stopped.history_]
    best = int(np.argmin(losses))
    assert best + 1 < len(losses) == SMALL["training.epochs"]
    assert same_weights(stopped, fitted(cases, **{"training.epochs": best + 1}))
    assert not same_weights(stopped, fitted(cases))


def test_it_says_how_large_it_is() -> None:
    assert fitted_once().parameters == parameter_count(fitted_once().network_)


# ---------------------------------------------------------------- what cannot be used


def test_files_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    for case in collection().train:
        assert case.pixels is not None
        Image.fromarray(case.pixels).save(tmp_path / f"{case.name}.png")
    files = [
        Case(case.name, tmp_path / f"{case.name}.png", label=case.label, group=case.group)
        for case in collection().train
    ]
    broken = Case("broken", tmp_path / "broken.png", label=0, group="pink")
    broken.path.write_bytes(b"no image")
    classifier = fitted(Cases([broken, *files]))
    assert len(classifier.notes_) == 1
    assert "broken.png" in classifier.notes_[0]
    assert same_weights(fitted(Cases(files)), classifier)
    pictures, codes = classifier.predict(Cases([files[0], broken, files[1]]))
    assert [case.name for case in pictures.cases] == [files[0].name, files[1].name]
    assert [item.case.name for item in pictures.unreadable] == ["broken"]
    np.testing.assert_array_equal(codes, [0, 1])
    nothing, none = classifier.predict(Cases([broken]))
    assert len(nothing) == len(none) == 0


def test_one_class_cannot_be_learned() -> None:
    cases = collection()
    pink = cases.where(lambda case: case.split != "train" or case.group == "pink")
    with pytest.raises(DataError, match=r"memory: .* all of class 'pink'; .* two classes"):
        fitted(pink)
    unknown = Cases(images([None] * 6, "train", 0))
    with pytest.raises(DataError, match="have no labels"):
        fitted(unknown)
    with pytest.raises(DataError, match="have no labels"):
        fitted(cases.test)


def test_an_unfitted_classifier_says_nothing() -> None:
    with pytest.raises(ModelError, match="not fitted"):
        Classifier(options=SMALL, device="cpu").predict(collection().test)
