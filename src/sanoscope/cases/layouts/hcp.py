"""Human Connectome Project: the skull-stripped volumes of its minimal preprocessing, a folder for each subject.

Glasser et al., The minimal preprocessing pipelines for the Human Connectome Project, NeuroImage 2013. The archives
hold each volume in the subject's own space, ``<subject>/T1w/T2w_acpc_dc_restore_brain.nii.gz``, and registered to
the MNI template, ``<subject>/MNINonLinear/T2w_restore_brain.nii.gz``.
"""

from __future__ import annotations

from pathlib import Path

from sanoscope.cases.case import Case, Cases
from sanoscope.cases.layouts.groups import listed
from sanoscope.cases.layouts.listing import sub_folders
from sanoscope.cases.slicing import Slicing
from sanoscope.errors import DataError, OptionError

name = "hcp"

CONTRASTS = {"t1": "T1w", "t2": "T2w"}  # as ``data.modality`` and as the project calls them
# Below a subject; its own space first, as its brain keeps its shape there.
OWN_SPACE, TEMPLATE = "T1w/{}_acpc_dc_restore_brain.nii", "MNINonLinear/{}_restore_brain.nii"
SUFFIXES = (".gz", "")


def recognises(path: Path) -> bool:
    """A folder with subjects, or that is one, with at least one such volume."""
    return path.is_dir() and any(_volumes(path, contrast) for contrast in CONTRASTS.values())


def read(path: Path, normal: str | None, slicing: Slicing) -> Cases:
    """The T1 or T2 volume of each subject, all of them normal; the subject is the folder's name.

    Raises:
        OptionError: ``normal`` is given; all subjects are healthy.
        DataError: No subject has the modality.
    """
    if normal is not None:
        raise OptionError(f"{path}: normal='{normal}' is not asked for here; all subjects are healthy")
    found = {modality: _volumes(path, contrast) for modality, contrast in CONTRASTS.items()}
    volumes = found.get(slicing.modality, {})
    if not volumes:
        there = listed(modality for modality, some in found.items() if some)
        raise DataError(f"{path}: no subject has {slicing.modality}; set data.modality to one that is there ({there})")
    subjects = sorted({subject for some in found.values() for subject in some})
    notable = {
        f"subjects without {slicing.modality}, left out": [s for s in subjects if s not in volumes],
        "subjects whose volume is the one registered to the template, as there is none in their own space": [
            subject for subject, file in volumes.items() if file.parent.name == Path(TEMPLATE).parent.name
        ],
    }
    notes = [f"{what}: {len(some)} ({listed(some, 3)})" for what, some in notable.items() if some]
    cases = (Case(subject, file, label=0, subject=subject) for subject, file in sorted(volumes.items()))
    return Cases(cases, str(path), name, notes)


def _volumes(path: Path, contrast: str) -> dict[str, Path]:
    """The volume of each subject that has one; of several, the one in the subject's own space."""
    volumes = {}
    for folder in (path, *sub_folders(path)):
        places = (
            folder / f"{place.format(contrast)}{suffix}" for place in (OWN_SPACE, TEMPLATE) for suffix in SUFFIXES
        )
        if file := next((file for file in places if file.is_file()), None):
            volumes[folder.resolve().name if folder == path else folder.name] = file
    return volumes
