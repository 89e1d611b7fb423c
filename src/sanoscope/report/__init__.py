"""Figures and the HTML report; knows nothing of training."""
