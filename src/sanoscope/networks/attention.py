"""Self-attention over the pixels of a feature map, with a learned gate that starts closed."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """``γ · softmax(QKᵀ/√d) V + x`` over the H·W positions; γ starts at 0, so the layer starts as the identity.

    Args:
        channels: Channels ``C`` of the feature map; queries and keys have ``max(C // 8, 16)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(channels // 8, 16)
        self.query = nn.Conv2d(channels, inner, 1)
        self.key = nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        """Features ``(B, C, H, W)``, each position a mixture of all."""
        queries, keys, values = (
            layer(features).flatten(2).transpose(1, 2)  # (B, H·W, channels)
            for layer in (self.query, self.key, self.value)
        )
        # Zeros that bring queries and keys to the width of the values change no product, and let torch take its kernel
        # that never holds the whole (H·W)² matrix: a quarter of the time at 32×32 positions on a CPU.
        inner = queries.shape[2]
        padding = (0, max(values.shape[2] - inner, 0))
        q, k, v = (tokens.unsqueeze(1) for tokens in (F.pad(queries, padding), F.pad(keys, padding), values))
        mixed = F.scaled_dot_product_attention(q, k, v, scale=inner**-0.5).squeeze(1)  # (B, H·W, C)
        return self.gamma * mixed.transpose(1, 2).reshape(features.shape) + features
