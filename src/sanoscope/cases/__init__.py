"""What goes in: cases, the readers of image files, the layouts of collections, subject-level splits."""

from sanoscope.cases.case import Case, Cases, VolumeSlice
from sanoscope.cases.duplicates import find_duplicates
from sanoscope.cases.filters import drop_small_lesions
from sanoscope.cases.fingerprint import fingerprint
from sanoscope.cases.joining import joined
from sanoscope.cases.load import load_cases, read_cases
from sanoscope.cases.manifest import write_manifest
from sanoscope.cases.masks import true_mask
from sanoscope.cases.pixels import read_case
from sanoscope.cases.readers import read_image, read_mask
from sanoscope.cases.shares import share
from sanoscope.cases.slicing import Slicing
from sanoscope.cases.splits import hold_out, k_fold, rotating_folds
from sanoscope.cases.volume_map import volume_map

__all__ = [
    "Case",
    "Cases",
    "Slicing",
    "VolumeSlice",
    "drop_small_lesions",
    "find_duplicates",
    "fingerprint",
    "hold_out",
    "joined",
    "k_fold",
    "load_cases",
    "read_case",
    "read_cases",
    "read_image",
    "read_mask",
    "rotating_folds",
    "share",
    "true_mask",
    "volume_map",
    "write_manifest",
]
