"""A search space in Optuna's words: distributions, parameters, and the options that these set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from optuna import Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sanoscope.search_space import Bundles, Dimension, Space, Span


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """Optuna's word for each dimension; choices are JSON, which every storage accepts."""
    return {name: _distribution(dimension) for name, dimension in space.items()}


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Span):
        if dimension.integer:
            return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
        return FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return CategoricalDistribution([json.dumps(choice) for choice in dimension.to_plain()])


def suggested(trial: Trial, space: Space) -> dict[str, Any]:
    """The parameters of a trial: those that it was put back with, or of the sampler."""
    params: dict[str, Any] = {}
    for name, distribution in distributions_of(space).items():
        if isinstance(distribution, CategoricalDistribution):
            params[name] = trial.suggest_categorical(name, distribution.choices)
        elif isinstance(distribution, IntDistribution):
            params[name] = trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
        elif isinstance(distribution, FloatDistribution):
            params[name] = trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
    return params


def options_of(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a trial's parameters set, by dotted name; lists where options hold tuples."""
    options: dict[str, Any] = {}
    for name, dimension in space.items():
        if name in params:
            value = params[name] if isinstance(dimension, Span) else json.loads(params[name])
            options |= value if isinstance(dimension, Bundles) else {name: value}
    return options


def space_size(space: Space) -> float:
    """How many configurations there are; infinite with a span of fractions."""
    size = 1.0
    for dimension in space.values():
        size *= dimension.size
    return size
