"""Losses and constraints: pure functions of tensors."""
