"""Which configuration is tried next: Optuna's tree-structured Parzen estimator, of what was not tried yet."""

from __future__ import annotations

from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from sanoscope.search_space import Space
from sanoscope.selection.parameters import distributions_of
from sanoscope.selection.trials import places
from sanoscope.training.batches import derived_seed

# A proposal that was tried already is drawn again, and at last no longer where it is likely to be good.
INFORMED_DRAWS, BLIND_DRAWS = 20, 1000


class UntriedSampler(BaseSampler):
    """Proposals that no trial has made.

    A proposal depends on the seed, its trial's place and the results by then, so that the same search proposes the
    same, interrupted or not, and processes that share a search do not propose alike.

    Args:
        space: What is searched.
        seed: Of the search.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self.distributions = distributions_of(space)
        self.seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All of it, at once."""
        return self.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A value for each dimension."""
        trials = study.get_trials(deepcopy=False)
        tried = [other.params for other in trials if other.number != trial.number]
        seed = derived_seed(self.seed, places(trials)[trial.number])
        informed, blind = TPESampler(seed=seed), RandomSampler(seed=seed)
        params: dict[str, Any] = {}
        for draw in range(INFORMED_DRAWS + BLIND_DRAWS):
            sampler = informed if draw < INFORMED_DRAWS else blind
            params = {
                name: sampler.sample_independent(study, trial, name, distribution)
                for name, distribution in search_space.items()
            }
            if params not in tried:
                break
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Never asked for, as every dimension is sampled with the others."""
        raise NotImplementedError(param_name)
