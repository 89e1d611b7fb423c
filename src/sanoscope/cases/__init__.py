"""What goes in: cases, the readers of image files, the layouts of collections, subject-level splits."""

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.duplicates import find_duplicates
from sanoscope.cases.fingerprint import fingerprint
from sanoscope.cases.load import load_cases, read_cases
from sanoscope.cases.manifest import write_manifest
from sanoscope.cases.readers import read_image, read_mask
from sanoscope.cases.splits import hold_out, k_fold

__all__ = [
    "Case",
    "Cases",
    "find_duplicates",
    "fingerprint",
    "hold_out",
    "k_fold",
    "load_cases",
    "read_cases",
    "read_image",
    "read_mask",
    "write_manifest",
]
