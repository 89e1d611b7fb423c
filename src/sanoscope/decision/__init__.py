"""From a score to a decision: thresholds and calibrated p-values."""

from sanoscope.decision.conformal import p_values
from sanoscope.decision.decision import Decision, fit_decision
from sanoscope.decision.pixels import percentile_curve
from sanoscope.decision.policy import DecisionPolicy

__all__ = ["Decision", "DecisionPolicy", "fit_decision", "p_values", "percentile_curve"]
