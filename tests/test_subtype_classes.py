"""Classes: names and codes of what the labelled images of a collection show."""

from __future__ import annotations

from sanoscope.cases import Case, Cases
from sanoscope.subtypes.classes import classes_of


def test_labels_are_classes_where_no_case_has_a_group() -> None:
    cases = Cases([Case("a", label=1), Case("b"), Case("c", label=0), Case("d", label=1)])
    names, codes = classes_of(cases)
    assert names == ("normal", "abnormal")
    assert codes.tolist() == [1, -1, 0, 1]


def test_both_labels_are_classes_even_if_one_is_absent() -> None:
    names, codes = classes_of(Cases([Case("a", label=1), Case("b", label=1)]))
    assert names == ("normal", "abnormal")
    assert codes.tolist() == [1, 1]


def test_groups_are_classes_and_normal_ones_come_first() -> None:
    cases = Cases(
        [
            Case("a", label=1, group="glioma"),
            Case("b", label=0, group="no tumour"),
            Case("c", label=1, group="adenoma"),
            Case("d", group="unclear"),
            Case("e", label=0, group="healthy"),
            Case("f", label=1),
            Case("g"),
        ]
    )
    names, codes = classes_of(cases)
    assert names == ("healthy", "no tumour", "abnormal", "adenoma", "glioma", "unclear")
    assert codes.tolist() == [4, 1, 3, 5, 0, 2, -1]


def test_nothing_known_gives_no_classes() -> None:
    names, codes = classes_of(Cases([Case("a"), Case("b")]))
    assert names == ()
    assert codes.tolist() == [-1, -1]
    assert classes_of(Cases([]))[1].shape == (0,)
