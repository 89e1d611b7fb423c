"""From a score to a decision: thresholds and calibrated p-values."""

from sanoscope.decision.conformal import p_values
from sanoscope.decision.decision import Decision, fit_decision

__all__ = ["Decision", "fit_decision", "p_values"]
