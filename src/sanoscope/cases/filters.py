"""Which cases are left out of an evaluation, and why that is said."""

from __future__ import annotations

from collections import defaultdict

from sanoscope.cases.case import Cases
from sanoscope.cases.layouts.groups import listed
from sanoscope.cases.masks import true_mask


def drop_small_lesions(cases: Cases, least: float) -> Cases:
    """The cases without the subjects of whose pixels no more than a share is abnormal, as paper E evaluates.

    All slices of a subject count together; a case without a subject counts alone. Subjects with a case whose
    abnormal pixels are not known are kept. The note says that labels of the evaluated data were used.

    Args:
        cases: What is to be evaluated.
        least: The share that must be exceeded; 0 leaves out nothing, not even subjects without a lesion.

    Raises:
        ImageError: A mask cannot be read, or is of another size than its image.
    """
    if least <= 0:
        return cases
    subjects = [case.subject or case.name for case in cases]
    abnormal: defaultdict[str, float] = defaultdict(float)
    pixels: defaultdict[str, int] = defaultdict(int)
    for case, subject in zip(cases, subjects, strict=True):
        mask = true_mask(case)
        abnormal[subject] += float("inf") if mask is None else int(mask.sum())
        pixels[subject] += 0 if mask is None else mask.size
    small = {subject for subject, count in abnormal.items() if count <= least * pixels[subject]}
    if not small:
        return cases
    kept = [case for case, subject in zip(cases, subjects, strict=True) if subject not in small]
    named = listed(sorted(small), 3)
    note = (
        f"subjects left out of the evaluation by their true masks, as no more than {least:g} of their pixels is "
        f"abnormal: {len(small)} ({named})"
    )
    return cases.with_cases(kept, [note])
