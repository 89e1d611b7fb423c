"""The phases of a training that grows its network: Karras et al., 2018; Shvetsova et al."""

from __future__ import annotations

from dataclasses import dataclass

from sanoscope.networks.growing import Stage


@dataclass(frozen=True)
class Growth:
    """Stable at the lowest resolution, then in transition to the next and stable there, and so on to the full one.

    Attributes:
        levels: How many lower resolutions there are; with none, the network is whole from the first step on.
        phase_iterations: Steps of each phase but the last, which has all that follow.
    """

    levels: int
    phase_iterations: int

    @property
    def grown_at(self) -> int:
        """The iteration from which on the network is whole."""
        return 2 * self.levels * self.phase_iterations

    def stage(self, iteration: int) -> Stage:
        """How far the network has grown at an iteration, from 0; in transitions a step further at each."""
        if iteration >= self.grown_at:
            return Stage(0)
        phase, done = divmod(iteration, self.phase_iterations)
        level = self.levels - (phase + 1) // 2
        return Stage(level, done / self.phase_iterations) if phase % 2 else Stage(level)

    def begins(self, iteration: int) -> bool:
        """Whether a phase begins with an iteration, the first of all left out."""
        return 0 < iteration <= self.grown_at and iteration % self.phase_iterations == 0
