"""What a collection is like, before any training: its files, what is suspicious, what is refused, what suits it."""

from sanoscope.inspection.advice import Suggestion
from sanoscope.inspection.inspecting import inspect
from sanoscope.inspection.inspection import Inspection
from sanoscope.inspection.suspicions import Suspicion

__all__ = ["Inspection", "Suggestion", "Suspicion", "inspect"]
