"""Sanoscope learns what healthy looks like from normal medical images alone, and judges new ones by it.

```python
from sanoscope import Detector, load_cases

cases = load_cases("patches/")
detector = Detector("conv-vae").fit(cases.train)
findings = detector.score(cases.test)
findings.report("report.html")
```
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sanoscope.cases import Case, Cases, hold_out, k_fold, load_cases, read_cases, write_manifest
    from sanoscope.cases.phantoms import brain_phantoms, histology_phantoms
    from sanoscope.decision import Decision
    from sanoscope.detector import Detector
    from sanoscope.errors import SanoscopeError
    from sanoscope.findings import Findings
    from sanoscope.recipe import Recipe
    from sanoscope.recipes import RECIPES, get_recipe
    from sanoscope.side_by_side import compare_maps

__all__ = [
    "RECIPES",
    "Case",
    "Cases",
    "Decision",
    "Detector",
    "Findings",
    "Recipe",
    "SanoscopeError",
    "brain_phantoms",
    "compare_maps",
    "get_recipe",
    "histology_phantoms",
    "hold_out",
    "k_fold",
    "load_cases",
    "read_cases",
    "write_manifest",
]

_HOMES = {
    "RECIPES": "recipes",
    "Decision": "decision",
    "Detector": "detector",
    "Findings": "findings",
    "Recipe": "recipe",
    "SanoscopeError": "errors",
    "brain_phantoms": "cases.phantoms",
    "compare_maps": "side_by_side",
    "get_recipe": "recipes",
    "histology_phantoms": "cases.phantoms",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for: torch takes seconds that a help text should not."""
    if name == "__version__":
        from sanoscope.provenance import version

        return version()
    if name not in __all__:
        raise AttributeError(f"module 'sanoscope' has no attribute '{name}'")
    return getattr(importlib.import_module(f"sanoscope.{_HOMES.get(name, 'cases')}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
