"""The budget of a study: which part of the full protocol is carried out, and how to say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sanoscope.errors import OptionError, nearest
from sanoscope.recipe import Recipe

# What a training's length is told by, and what happens at a part of it; all shrink together.
LENGTHS = (
    "training.epochs",
    "training.max_iterations",
    "training.generator_iterations",
    "training.phase_iterations",
    "training.pretraining_epochs",
    "training.pretraining_drop",
    "training.drop",
    "training.drop_every",
    "training.fresh_optimizer_at",
    "training.balance_every",
    "objective.pretraining",
    "objective.ramp",
)
# Below half of the length, settings that were chosen for a long training are those of a short one no more.
SHORT = 0.5
# Networks halve images up to five times.
SIZE_STEP = 32


@dataclass(frozen=True)
class Budget:
    """Shares of the full protocol, 1 each being all of it.

    Attributes:
        epochs: Of all lengths of training, epochs and iterations alike.
        data: Of the training and validation images.
        size: Of the side of images, to the nearest multiple of 32.
        test: Of the test side's subjects.
        seeds: How many of the seeds; 0 is all.

    Raises:
        OptionError: If a share is not above 0 and at most 1, or the number of seeds is negative.
    """

    epochs: float = 1.0
    data: float = 1.0
    size: float = 1.0
    test: float = 1.0
    seeds: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "data", "size", "test"):
            if not 0 < getattr(self, name) <= 1:
                raise OptionError(f"budget {name}={getattr(self, name):g}: must be above 0 and at most 1, such as 0.1")
        if self.seeds < 0 or self.seeds != int(self.seeds):
            raise OptionError(f"budget seeds={self.seeds:g}: must be a whole number, 0 for all")
        object.__setattr__(self, "seeds", int(self.seeds))

    @classmethod
    def parse(cls, text: str, declared: Mapping[str, Any] | None = None) -> Budget:
        """A budget as given on the command line.

        Args:
            text: ``full``; ``small``, which the study declares; a number, the share of epochs and data; or shares by
                name such as ``epochs=0.1,data=0.5,seeds=1``.
            declared: What the study calls small; a tenth of epochs and data where it declares nothing.

        Raises:
            OptionError: If it is none of these.
        """
        if text == "full":
            return cls()
        if text == "small":
            return cls.from_mapping(declared or {"epochs": 0.1, "data": 0.1, "seeds": 1})
        if "=" not in text:
            share = _number(text, text)
            return cls(epochs=share, data=share)
        parts = [part.partition("=") for part in text.split(",")]
        return cls.from_mapping({name.strip(): _number(value, text) for name, _, value in parts})

    @classmethod
    def from_mapping(cls, shares: Mapping[str, Any]) -> Budget:
        """A budget by the names of its shares.

        Raises:
            OptionError: For an unknown name, or a value that is no number.
        """
        known = [field.name for field in fields(cls)]
        for name, value in shares.items():
            if name not in known:
                raise OptionError(f"a budget has no '{name}'; {nearest(name, known)}")
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise OptionError(f"budget {name}={value}: must be a number")
        return cls(**shares)

    @property
    def is_full(self) -> bool:
        """Whether it is the whole protocol."""
        return self == Budget()

    @property
    def is_short(self) -> bool:
        """Whether trainings are so much shorter that other settings suit them."""
        return self.epochs < SHORT

    def seeds_of(self, seeds: tuple[int, ...]) -> tuple[int, ...]:
        """The first of the seeds, as many as there are to be."""
        return seeds[: self.seeds] if self.seeds else seeds

    def applied(self, recipe: Recipe) -> Recipe:
        """The recipe with its training shortened and its images shrunk."""
        changes: dict[str, Any] = {}
        for name in LENGTHS:
            if name in recipe.options and recipe[name]:
                changes[name] = max(1, round(recipe[name] * self.epochs))
        size = "preparation.image_size"
        if self.size < 1 and size in recipe.options:
            changes[size] = max(SIZE_STEP, round(recipe[size] * self.size / SIZE_STEP) * SIZE_STEP)
        return recipe.with_options(changes) if self.epochs < 1 or self.size < 1 else recipe

    def describe(self, seeds: int) -> str:
        """In words, of a study with so many seeds."""
        if self.is_full:
            return "all of the protocol"
        shares = {
            "the training's length": self.epochs,
            "the training images": self.data,
            "the images' side": self.size,
            "the test side": self.test,
        }
        parts = [f"{100 * share:.3g} % of {what}" for what, share in shares.items() if share < 1]
        if 0 < self.seeds < seeds:
            parts.append(f"{self.seeds} of {seeds} seeds")
        return ", ".join(parts) or "all of the protocol"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise OptionError(
            f"--budget {whole}: give 'full', 'small', a share such as 0.1, or shares such as epochs=0.1,data=0.5"
        ) from None
