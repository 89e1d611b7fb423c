"""Tensors that are learned of training normals, of sizes that nobody knows before."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """Named tensors that are saved and loaded with the weights, whatever size they have come to; empty until learned.

    Args:
        names: Of the tensors, which are the module's attributes.
    """

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = names
        for name in names:
            self.register_buffer(name, torch.empty(0))

    @property
    def learned(self) -> bool:
        """Whether every tensor has something in it."""
        return all(getattr(self, name).numel() for name in self.names)

    def keep(self, **tensors: Tensor) -> None:
        """Take what was learned; by name, all of them."""
        for name in self.names:
            setattr(self, name, tensors[name].detach())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        for name in self.names:
            if (stored := state_dict.get(f"{prefix}{name}")) is not None:
                setattr(self, name, torch.empty_like(stored, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *others)
