"""What is suspicious about labels, masks and subjects: above all, a label that can be told without looking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from sanoscope.cases.case import LABELS, SPLITS, Case, Cases
from sanoscope.cases.splits import on_several_sides
from sanoscope.cases.suffixes import suffix_of
from sanoscope.inspection.looks import Look
from sanoscope.inspection.seen import Seen
from sanoscope.inspection.suspicions import Suspicion

# Of each label, to say anything about what tells them apart.
LEAST_OF_A_LABEL = 10
# A value that fewer images have is counted with all other rare ones: alone, it would tell any label.
RARE = 5
# Balanced accuracy from which a file's form is a shortcut, and AUROC from which mean grey is one.
SHORTCUT, GREY_SHORTCUT = 0.75, 0.8


def suspicious_labels(seen: Seen) -> list[Suspicion]:
    """All that is suspicious about labels and masks of images that can be read."""
    return [*_masks(seen), *_shortcuts(seen), *_grey_shortcut(seen)]


def suspicious_sides(cases: Cases) -> list[Suspicion]:
    """What labels and subjects tell without reading a file."""
    found = []
    labels = {case.label for case in cases}
    if labels in ({0}, {1}):
        (label,) = labels
        what = "there is nothing to learn from" if label else "nothing tells how well abnormal ones are found"
        found.append(Suspicion("one class", f"all images are labelled {LABELS[label]}: {what}"))
    if nothing_to_train_on(cases) and labels != {1}:
        message = (
            "no normal image is on the training side: there is nothing to learn from; split anew by --split subject"
        )
        found.append(Suspicion("no training side", message))
    if shared := on_several_sides(cases):
        subject, count = next(iter(shared.items()))
        where = " and ".join(f"{count[side]} images in {side}" for side in SPLITS if count[side])
        message = f"subjects on two sides of the split: {len(shared)} (such as '{subject}': {where})"
        on_them = tuple(case.name for case in cases if case.subject in shared)
        found.append(Suspicion("split", f"{message}; fit refuses this, but for --split subject or image", on_them))
    return found


def nothing_to_train_on(cases: Cases) -> bool:
    """Whether the source has sides, but no normal image to train on."""
    return cases.is_split and not len(cases.train.normals)


def grey_auroc(seen: Seen) -> float | None:
    """AUROC of the mean grey level of images that show something, above 0.5 where abnormal ones are brighter.

    None with too few of a label.
    """
    if not len(seen):
        return None
    from scipy.stats import mannwhitneyu

    means = seen.values("mean")
    normal, abnormal = (means[(seen.labels == label) & ~seen.constant] for label in (0, 1))
    if min(len(normal), len(abnormal)) < LEAST_OF_A_LABEL:
        return None
    return float(mannwhitneyu(abnormal, normal).statistic / (len(normal) * len(abnormal)))


def _masks(seen: Seen) -> Iterator[Suspicion]:
    pairs = list(zip(seen.cases, seen.looks, strict=True))
    empty = [case.name for case, look in pairs if look.abnormal == 0 and case.label == 1]
    full = [case.name for case, look in pairs if look.abnormal and case.label == 0]
    useless = [(case.name, look.mask_reason) for case, look in pairs if look.mask_reason is not None]
    if empty:
        message = f"images labelled abnormal whose mask is empty: {len(empty)}; check mask or label"
        yield Suspicion("empty mask", message, tuple(empty))
    if full:
        message = f"images labelled normal whose mask is not empty: {len(full)}; check mask or label"
        yield Suspicion("mask of a normal", message, tuple(full))
    if useless:
        message = f"masks that cannot be used: {len(useless)} ({useless[0][1]})"
        yield Suspicion("mask", message, tuple(name for name, _ in useless))


def _shortcuts(seen: Seen) -> Iterator[Suspicion]:
    """The form of a file that tells its label: a method could learn it instead of disease."""
    forms = {
        "size": lambda case, look: " × ".join(map(str, look.size)),
        "file type": lambda case, look: suffix_of(case.path) if case.path is not None else "",
        "channels": lambda case, look: f"{look.channels} channels",
        "bit depth": lambda case, look: look.dtype,
    }
    pairs = list(zip(seen.cases, seen.looks, strict=True))
    if min((seen.labels == 0).sum(), (seen.labels == 1).sum()) < LEAST_OF_A_LABEL:
        return
    for what, form in forms.items():
        values = np.array([form(case, look) for case, look in pairs])
        accuracy, value = _told_by(values, seen.labels)
        if accuracy >= SHORTCUT:
            shares = [(values[seen.labels == label] == value).mean() for label in (1, 0)]
            yield Suspicion(
                "shortcut",
                f"{what} alone tells the label ({accuracy:.0%} balanced accuracy): {shares[0]:.0%} of abnormal and "
                f"{shares[1]:.0%} of normal images have '{value}'; bring both to one form before they are compared",
            )


def _told_by(values: np.ndarray, labels: np.ndarray) -> tuple[float, str]:
    """Balanced accuracy of a guess by the value alone, and the value that tells most."""
    counts = Counter(values.tolist())
    common = np.array([value if counts[value] >= RARE else "others" for value in values.tolist()])
    differences = {
        value: float((common[labels == 1] == value).mean() - (common[labels == 0] == value).mean())
        for value in dict.fromkeys(common.tolist())
    }
    accuracy = 0.5 + sum(map(abs, differences.values())) / 4
    return accuracy, max(differences, key=lambda value: abs(differences[value]))


def _grey_shortcut(seen: Seen) -> Iterator[Suspicion]:
    auroc = grey_auroc(seen)
    if auroc is not None and max(auroc, 1 - auroc) >= GREY_SHORTCUT:
        word = "brighter" if auroc > 0.5 else "darker"
        yield Suspicion(
            "shortcut",
            f"mean grey alone tells the label: AUROC {max(auroc, 1 - auroc):.2f}, abnormal images are {word}; "
            "a method has to be better than that",
        )


def bits_of(looks: Sequence[Look]) -> int:
    """The fewest bits that hold the whole numbers of some images, with one for the sign; 32 of floats."""
    if any(look.dtype.startswith("float") for look in looks):
        return 32
    low, high = min(look.low for look in looks), max(look.high for look in looks)
    if low < 0:
        return max(int(high).bit_length(), int(-low - 1).bit_length()) + 1
    return max(int(high).bit_length(), 1)


def class_of(case: Case) -> str:
    """What a case is called: its group, or its label."""
    return case.group or LABELS[case.label]
