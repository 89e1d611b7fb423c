"""How a search is carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sanoscope.errors import OptionError, nearest
from sanoscope.selection.results import CRITERIA

PRUNERS = ("median", "none")


@dataclass(frozen=True)
class SearchSettings:
    """How a search is carried out.

    Attributes:
        trials: How many configurations, over all processes.
        folds: Of the normals, by subject.
        criterion: One of ``CRITERIA``.
        known_kinds: Kinds of anomaly that are known; none lets the seed choose one.
        known: How many anomalies are known, at most.
        by: ``subject`` or ``image``: what folds keep together.
        pruner: One of ``PRUNERS``.
        oracle: Whether each fold's model is tried on the final test too, to be looked at afterwards.
        seed: Of everything random.
        device: As for ``Detector``.
        storage: URL; None for a file in the search's folder.
        study: Name of the search in its storage; None for one made of recipe and data.
        worker: Only try configurations, for a search that another process ends.
        maps: Whether the final test keeps maps.
    """

    trials: int = 20
    folds: int = 3
    criterion: str = CRITERIA[0]
    known_kinds: Sequence[str] = ()
    known: int = 50
    by: str = "subject"
    pruner: str = PRUNERS[0]
    oracle: bool = True
    seed: int = 0
    device: str = "auto"
    storage: str | None = None
    study: str | None = None
    worker: bool = False
    maps: bool = True

    def check(self) -> None:
        """Raise an ``OptionError`` for what cannot be."""
        for name, value, known in (("criterion", self.criterion, CRITERIA), ("pruner", self.pruner, PRUNERS)):
            if value not in known:
                raise OptionError(f"--{name} does not take '{value}'; {nearest(value, list(known))}")
        for name, number, least in (("trials", self.trials, 1), ("folds", self.folds, 2), ("known", self.known, 0)):
            if number < least:
                raise OptionError(f"--{name} must be at least {least}, not {number}")
        if self.criterion == CRITERIA[0] and not self.known:
            raise OptionError("--criterion known-anomalies needs some; raise --known, or take validation-loss")
