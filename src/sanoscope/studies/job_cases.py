"""The images of a job, on their sides."""

from __future__ import annotations

from sanoscope.cases import Slicing, joined, k_fold, load_cases, read_cases, rotating_folds, share
from sanoscope.cases.case import Cases
from sanoscope.errors import DataError
from sanoscope.recipe import Recipe
from sanoscope.studies.job import Job

# Of the other folds' images, for thresholds.
VALIDATION_SHARE = 0.1


def slicing_of(recipe: Recipe) -> Slicing | None:
    """Which slices of volumes a recipe takes; None of one that leaves it to the data."""
    chosen = recipe.build("data") if "data" in recipe.parts else None
    return chosen if chosen is None or isinstance(chosen, Slicing) else chosen.slicing


def cases_of(job: Job, *, check_duplicates: bool = False) -> Cases:
    """The cases of a job's collection on the sides of its fold, as many as the budget leaves.

    The split depends on the study and never on the seed of training, so that all methods and seeds are tested on the
    same images.

    Args:
        job: Whose.
        check_duplicates: Whether to look for images that are on two sides, which reads many files: once a collection
            will do.

    Raises:
        DataError: If the collection cannot be used, has too few subjects, or nothing that could be measured.
        OptionError: If an option of the data does not fit.
    """
    collection, terms = job.collection, job.terms
    slicing = slicing_of(job.recipe)
    place, normal, layout = collection.data[-1], collection.normal, collection.layout
    if len(collection.data) == 2:
        learned = slicing_of(job.recipe.with_options(collection.train_options))
        train, test = (
            read_cases(one, normal=normal, slicing=some)
            for one, some in zip(collection.data, (learned, slicing), strict=True)
        )
        cases = joined(train, test, terms.split_seed)
    elif collection.folds:
        cases = read_cases(place, normal=normal, layout=layout, slicing=slicing)
    else:
        cases = load_cases(
            place,
            normal=normal,
            layout=layout,
            slicing=slicing,
            split=collection.split,
            seed=terms.split_seed,
            check_duplicates=check_duplicates,
        )
    if collection.folds:
        by = collection.split or "subject"
        if terms.measure == "clusters":
            cases = rotating_folds(cases, collection.folds, terms.split_seed, by)[job.fold - 1]
        else:
            cases = k_fold(cases, collection.folds, terms.split_seed, by, VALIDATION_SHARE)[job.fold - 1]
    cases = share(cases, terms.budget.data, terms.budget.test, terms.split_seed)
    _require_measurable(cases, terms.measure)
    return cases


def _require_measurable(cases: Cases, measure: str) -> None:
    """Refuse what cannot be measured before anything is trained."""
    test = cases.test
    if not len(test):
        raise DataError(f"{cases.source}: there is no test side; give one in a manifest, or ask for folds")
    if measure == "pixels" and not any(case.mask is not None or case.mask_pixels is not None for case in test):
        raise DataError(f"{cases.source}: no test image has a mask to compare maps with; measure images instead")
    if measure != "pixels" and all(case.label is None for case in test):
        raise DataError(f"{cases.source}: no test image has a label; give labels in a manifest or by class folders")
