"""Ranks of methods over collections, against published tables and scipy."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, friedmanchisquare

from sanoscope.errors import DataError
from sanoscope.evaluation import critical_difference, friedman, mean_ranks


def test_the_highest_is_first_and_ties_share() -> None:
    values = [[0.9, 0.8, 0.7], [0.5, 0.5, 0.6], [0.1, np.nan, 0.2]]
    assert mean_ranks(values).tolist() == [(1 + 2.5) / 2, (2 + 2.5) / 2, (3 + 1) / 2]
    assert np.isnan(mean_ranks([[np.nan, 1.0]])).all()
    assert mean_ranks([[np.nan, 1.0]]).shape == (2,)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 100))
def test_ranks_add_up(blocks: int, methods: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 4, (blocks, methods)).astype(float)
    ranks = mean_ranks(values)
    assert ranks.sum() == pytest.approx(methods * (methods + 1) / 2)
    assert mean_ranks(-values) == pytest.approx(methods + 1 - ranks)


def test_friedman_by_hand() -> None:
    """All blocks agree: the statistic is at its largest, B (M - 1)."""
    assert friedman([[3, 2, 1], [30, 20, 10], [0.3, 0.2, 0.1]]) == pytest.approx(chi2.sf(3 * 2, 2))


@pytest.mark.parametrize("seed", range(5))
def test_friedman_equals_scipy(seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 6, (7, 4)).astype(float)
    expected = friedmanchisquare(*values.T).pvalue
    assert friedman(values) == pytest.approx(expected)
    gap = np.full((1, 4), np.nan)
    assert friedman(np.concatenate([values[:3], gap, values[3:]])) == pytest.approx(expected)


def test_friedman_needs_blocks_and_methods() -> None:
    values = np.arange(12.0).reshape(4, 3)
    assert friedman(values) is not None
    assert friedman(values[:2]) is None
    assert friedman(values[:, :2]) is None
    values[:2, 0] = np.nan
    assert friedman(values) is None
    assert friedman(np.full((3, 3), 0.5)) == 1.0


# Table 5 (a) of Demšar (2006): the critical values of Nemenyi's test for 2 to 10 methods.
DEMSAR = {
    0.95: (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164),
    0.90: (1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920),
}


@pytest.mark.parametrize("level", DEMSAR)
def test_critical_differences_of_the_table(level: float) -> None:
    for methods, quantile in enumerate(DEMSAR[level], start=2):
        for blocks in (5, 30):
            expected = quantile * sqrt(methods * (methods + 1) / (6 * blocks))
            assert critical_difference(methods, blocks, level) == pytest.approx(expected, rel=5e-4)


def test_the_worked_example() -> None:
    """Demšar's four classifiers on 14 data sets."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, level=0.9) == pytest.approx(1.12, abs=0.005)


@pytest.mark.parametrize(("methods", "blocks"), [(1, 5), (3, 0)])
def test_what_has_no_critical_difference(methods: int, blocks: int) -> None:
    with pytest.raises(DataError, match=f"{methods} methods in {blocks} blocks"):
        critical_difference(methods, blocks)
