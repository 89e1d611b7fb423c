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
    from sanoscope.cases import Case, Cases, hold_out, k_fold, load_cases, read_cases, rotating_folds, write_manifest
    from sanoscope.cases.phantoms import brain_phantoms, histology_phantoms
    from sanoscope.clustering import ClusterSettings
    from sanoscope.decision import Decision
    from sanoscope.detector import Detector
    from sanoscope.errors import SanoscopeError
    from sanoscope.findings import Findings
    from sanoscope.inspection import Inspection, inspect
    from sanoscope.recipe import Recipe
    from sanoscope.recipes import RECIPES, get_recipe
    from sanoscope.side_by_side import compare_maps
    from sanoscope.studies.budget import Budget
    from sanoscope.studies.comparing import comparison
    from sanoscope.studies.reproduction import reproduction
    from sanoscope.studies.runner import Runner
    from sanoscope.studies.study import StudyRun
    from sanoscope.subtypes.encoders import method_of
    from sanoscope.subtypes.folds import cross_validate
    from sanoscope.subtypes.groups import Groups, find_groups
    from sanoscope.subtypes.similar import find_similar

__all__ = [
    "RECIPES",
    "Budget",
    "Case",
    "Cases",
    "ClusterSettings",
    "Decision",
    "Detector",
    "Findings",
    "Groups",
    "Inspection",
    "Recipe",
    "Runner",
    "SanoscopeError",
    "StudyRun",
    "brain_phantoms",
    "compare_maps",
    "comparison",
    "cross_validate",
    "find_groups",
    "find_similar",
    "get_recipe",
    "histology_phantoms",
    "hold_out",
    "inspect",
    "k_fold",
    "load_cases",
    "method_of",
    "read_cases",
    "reproduction",
    "rotating_folds",
    "write_manifest",
]

_HOMES = {
    "RECIPES": "recipes",
    "Budget": "studies.budget",
    "Runner": "studies.runner",
    "StudyRun": "studies.study",
    "comparison": "studies.comparing",
    "reproduction": "studies.reproduction",
    "ClusterSettings": "clustering",
    "Groups": "subtypes.groups",
    "cross_validate": "subtypes.folds",
    "find_groups": "subtypes.groups",
    "find_similar": "subtypes.similar",
    "method_of": "subtypes.encoders",
    "Decision": "decision",
    "Detector": "detector",
    "Findings": "findings",
    "Inspection": "inspection",
    "inspect": "inspection",
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
