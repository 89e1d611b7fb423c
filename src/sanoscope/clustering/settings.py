"""How clusters are found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sanoscope.errors import ModelError, OptionError, nearest

ALGORITHMS = ("k-means", "mini-batch-k-means", "gaussian-mixture")
SCALINGS = ("none", "standard")
COVARIANCES = ("full", "tied", "diagonal", "spherical")


@dataclass(frozen=True)
class ClusterSettings:
    """How clusters are found; paper and code are those of Liu, Zhang, see ``algorithms``.

    Attributes:
        clusters: How many, at least 2; two, healthy and diseased, in the paper.
        algorithm: One of ``ALGORITHMS``; the published code ended with full k-means, the paper has mini-batches.
        starts: From how many random centres the search begins; the best result counts. From the published code.
        iterations: At most so many of each; k-means ends when no image changes its cluster any more. From the
            published code.
        batch_size: Images in a mini-batch; from the paper.
        scaling: ``none``, as in the paper; or ``standard``, which divides each dimension by its standard deviation.
        covariance: Of the mixture: ``full``; ``tied``, one for all clusters; ``diagonal``; or ``spherical``.

    Raises:
        OptionError: A value that cannot be.
    """

    clusters: int = 2
    algorithm: str = ALGORITHMS[0]
    starts: int = 50
    iterations: int = 1000
    batch_size: int = 1000
    scaling: str = SCALINGS[0]
    covariance: str = "diagonal"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("algorithm", self.algorithm, ALGORITHMS),
            ("scaling", self.scaling, SCALINGS),
            ("covariance", self.covariance, COVARIANCES),
        ):
            if value not in known:
                raise OptionError(f"{name} does not take {value!r}; {nearest(str(value), list(known))}")
        least = {"clusters": 2, "starts": 1, "iterations": 1, "batch_size": 1}
        for name, number in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < number:
                raise OptionError(f"{name} must be a whole number of at least {number}, not {value!r}")

    def to_json(self) -> dict[str, Any]:
        """The settings as plain values, ready for ``json.dumps``."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> ClusterSettings:
        """The settings that ``to_json`` described.

        Raises:
            ModelError: An entry is unknown or not of its kind.
        """
        try:
            return cls(**stored)
        except (TypeError, OptionError) as error:
            raise ModelError(
                f"the stored settings of clusters cannot be read ({error}); find the clusters again"
            ) from error
