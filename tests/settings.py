"""Values of options that tests of several rooms have in common."""

from __future__ import annotations

from typing import Any

# Of a plain training: of ten images, in batches of four, three steps an epoch.
TRAINING: dict[str, Any] = {
    "epochs": 4,
    "max_iterations": 0,
    "batch_size": 4,
    "drop_last": False,
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "weight_decay": 0.0,
    "fresh_optimizer_at": 0,
    "precision": "float32",
}
# Of scoring by maps that are left as they are.
UNREAD: dict[str, Any] = {
    "score": "map-mean",
    "also": "all",
    "scaling": "none",
    "centring": "none",
    "smoothing": 0.0,
    "precision": "float32",
}
