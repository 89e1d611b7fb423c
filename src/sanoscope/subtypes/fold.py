"""One fold: clusters or a classifier, of the training side, compared with the classes of the test side."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from sanoscope.cases.case import Cases
from sanoscope.clustering.agreement import classification, partition
from sanoscope.clustering.clusterer import ClusterSettings
from sanoscope.clustering.naming import name_clusters
from sanoscope.decision.checks import UNKNOWN
from sanoscope.errors import DataError
from sanoscope.subtypes.classes import classes_of
from sanoscope.subtypes.classifier import Classifier
from sanoscope.subtypes.encoders import Method
from sanoscope.subtypes.fold_table import FoldResult
from sanoscope.subtypes.groups import Groups, assign_groups, find_groups


def run_fold(method: Method, split: Cases, settings: ClusterSettings, naming: str, seed: int) -> FoldResult:
    """Find clusters in the training side, name them by its classes, and compare those of the test side with its own.

    The method learns from training and validation sides without labels. The number of clusters and everything else of
    ``settings`` is given, so that nothing is chosen by labels but the names.

    Args:
        method: Makes vectors of images.
        split: Cases with sides.
        settings: How clusters are found.
        naming: One of ``clustering.naming.NAMINGS``.
        seed: Of everything random.

    Raises:
        SanoscopeError: If the method cannot be trained, or clusters cannot be found.
    """
    begun = time.monotonic()
    fold = _Fold(split)
    encoder = method.fit(split.where(lambda case: case.split in ("train", "validation")), seed)
    train = find_groups(encoder, split.train, settings, seed)
    test = assign_groups(encoder, split.test, train.clustering, seed)
    # One-to-one has the most images right, whatever the names are otherwise made by.
    named_by_test = fold.names_of_clusters(test, "one-to-one")[test.assigned]
    labels = fold.labels(test.cases)
    oracle = classification(labels, named_by_test, len(fold.names))
    return fold.result(
        test.cases,
        fold.names_of_clusters(train, naming)[test.assigned],
        {
            **{f"{name}_oracle": value for name, value in oracle.items()},
            **partition(labels, test.assigned),
            "silhouette": test.silhouette,
            "seconds": round(time.monotonic() - begun, 1),
        },
        train=len(train.cases),
        unreadable=(*train.unreadable, *test.unreadable),
        latent=test.latents.shape[1],
    )


def run_supervised_fold(classifier: Classifier, split: Cases, seed: int) -> FoldResult:
    """Learn the classes of the training side, and say those of the test side: what labels would be worth.

    Raises:
        SanoscopeError: If the classifier cannot be trained, or no test image be read.
    """
    begun = time.monotonic()
    fold = _Fold(split)
    test, codes = classifier.fit(split, seed).predict(split.test)
    if not len(test):
        raise DataError(f"{split.source}: no test image could be read; the first: {test.unreadable[0].reason}")
    return fold.result(
        test.cases,
        codes,
        {**partition(fold.labels(test.cases), codes), "seconds": round(time.monotonic() - begun, 1)},
        train=len(split.train),
        unreadable=tuple((str(item.case), item.reason) for item in test.unreadable),
    )


def trivial_folds(split: Cases) -> dict[str, FoldResult]:
    """What it has to give every image one and the same class, for each class, such as ``"always normal"``."""
    fold = _Fold(split)
    return {
        f"always {name}": fold.result(split.test, np.full(len(split.test), code), {}, train=len(split.train))
        for code, name in enumerate(fold.names)
    }


class _Fold:
    """The classes of the cases of a split, and what they make of the classes that others give them."""

    def __init__(self, split: Cases) -> None:
        self.split = split
        self.names, codes = classes_of(split)
        self._codes = {case.name: code for case, code in zip(split, codes, strict=True)}

    def labels(self, cases: Cases) -> np.ndarray:
        """The class of each case, ``(N,)``, −1 where unknown."""
        return np.array([self._codes[case.name] for case in cases], np.int64)

    def names_of_clusters(self, groups: Groups, how: str) -> np.ndarray:
        """The class of each cluster, ``(k,)``, by the classes of these cases."""
        return name_clusters(groups.assigned, self.labels(groups.cases), groups.number, len(self.names), how)

    def result(
        self, test: Cases, given: np.ndarray, values: Mapping[str, float | None], train: int, **others: Any
    ) -> FoldResult:
        """The result, of the test cases that could be read, the class that each was given, and further values."""
        number, labels = len(self.names), self.labels(test)
        empty = np.zeros((number, number), int)
        counts: defaultdict[str | None, np.ndarray] = defaultdict(empty.copy)
        for case, label, code in zip(test, labels, given, strict=True):
            if label != UNKNOWN:
                counts[case.subject][label, code] += 1
        return FoldResult(
            classes=self.names,
            values={**classification(labels, given, number), **values},
            alone=counts.pop(None, empty).tolist(),
            subjects={str(subject): matrix.tolist() for subject, matrix in counts.items()},
            images={"train": train, "validation": len(self.split.validation), "test": len(test)},
            **others,
        )
