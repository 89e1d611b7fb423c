"""What the ending of a file's name tells."""

from __future__ import annotations

from pathlib import Path

DICOM = (".dcm", ".dicom", ".ima", ".dcm.gz")
# Scanners' formats; slides in TIFF and DICOM have the suffixes of these.
SLIDES = (".svs", ".ndpi", ".scn", ".mrxs", ".vms", ".vmu", ".bif", ".svslide")


def suffix_of(path: Path | str) -> str:
    """The lower-case ending that tells the file type, such as ``.png``; of ``a.nii.gz``, ``.nii.gz``."""
    parts = str(path).replace("\\", "/").rpartition("/")[2].lower().lstrip(".").split(".")
    if len(parts) > 2 and parts[-1] == "gz":
        return f".{parts[-2]}.gz"
    return f".{parts[-1]}" if len(parts) > 1 else ""
