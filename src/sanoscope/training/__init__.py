"""The training loops, on Lightning: they know neither files nor what a score is."""
