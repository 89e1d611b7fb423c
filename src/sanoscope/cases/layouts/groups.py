"""From what a source calls its groups to the labels 0 normal and 1 abnormal."""

from __future__ import annotations

from collections.abc import Iterable

from sanoscope.errors import DataError, OptionError, nearest

# fmt: off
NORMAL_WORDS = frozenset((
    "0", "benign", "control", "controls", "good", "healthy", "negative", "no", "no_finding", "no_tumor",
    "non_tumor", "normal", "normals", "notumor", "ok",
))
ABNORMAL_WORDS = frozenset((
    "1", "abnormal", "abnormals", "anomalous", "anomaly", "defect", "malignant", "positive", "yes",
))
# fmt: on

SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def plain(word: str) -> str:
    """A name without regard to case, and with spaces and hyphens as underscores."""
    return word.strip().casefold().replace(" ", "_").replace("-", "_")


def labels_of_groups(groups: Iterable[str], normal: str | None, source: object, otherwise: str = "") -> dict[str, int]:
    """The label of each group.

    Args:
        groups: Names, repeated or not.
        normal: The normal group, compared without regard to case; None to go by ``NORMAL_WORDS``.
        source: What to name in messages.
        otherwise: Another way out, where there is one.

    Raises:
        OptionError: ``normal`` is none of the groups.
        DataError: No group is named like a normal one, and none was chosen.
    """
    names = sorted(set(groups))
    if normal is not None:
        if plain(normal) not in map(plain, names):
            raise OptionError(f"{source}: no group is called '{normal}'; {nearest(normal, names)}")
        return {name: int(plain(name) != plain(normal)) for name in names}
    labels = {name: int(plain(name) not in NORMAL_WORDS) for name in names}
    if 0 not in labels.values() and any(plain(name) not in ABNORMAL_WORDS for name in names):
        raise DataError(
            f"{source}: which of these groups is normal? {listed(names)}; say it with normal='{names[0]}'{otherwise}"
        )
    return labels


def listed(names: Iterable[str], most: int = 10) -> str:
    """Names separated by commas, no more than ``most`` of them and how many more there are."""
    names = list(names)
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
