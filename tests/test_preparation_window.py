"""Windows: the values that are told apart, as DICOM defines them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dicom_files import image_file
from sanoscope import read_cases
from sanoscope.errors import ImageError, OptionError
from sanoscope.preparation.decode import decode
from sanoscope.preparation.geometry import Channels, Geometry, Picture
from sanoscope.preparation.window import Window


def test_values_follow_the_linear_function_of_dicom() -> None:
    """PS3.3, C.11.2.1.2.1: its own example, centre 2048 and width 4096, is 0 at 0 and 1 at 4095."""
    values = np.array([-50, 0, 2047.5, 4095, 9000])
    windowed = Window(2048, 4096).apply(Picture(values.reshape(1, -1, 1)))
    np.testing.assert_allclose(windowed.pixels.ravel(), [0, 0, 0.5, 1, 1], atol=1e-6)
    assert windowed.pixels.dtype == np.float32


def test_each_file_has_its_own_window() -> None:
    geometry = Geometry((Channels(), Window.parse("file")))
    pixels = np.array([0, 100, 200], np.int16).reshape(1, -1, 1)
    first = geometry.apply(pixels, window=lambda: (100.5, 201))
    second = geometry.apply(pixels, window=lambda: (50.5, 101))
    np.testing.assert_allclose(first.pixels.ravel(), [0, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(second.pixels.ravel(), [0, 1, 1], atol=1e-6)
    with pytest.raises(ImageError, match="names no window"):
        geometry.apply(pixels)
    with pytest.raises(ImageError, match="width 1"):
        geometry.apply(pixels, window=lambda: (50, 1))


@pytest.mark.parametrize("written", ["", "40", "40/0", "40/1", "40/-3", "soft", "40/400/2", "/400", "nan/400"])
def test_what_is_no_window_is_refused(written: str) -> None:
    with pytest.raises(OptionError, match=r"preparation\.window=.*CENTRE/WIDTH"):
        Window.parse(written)


def test_windows_are_read_as_they_are_written() -> None:
    assert Window.parse("40/400") == Window(40, 400)
    assert Window.parse("-600.5/1500") == Window(-600.5, 1500)


def test_a_file_with_its_own_window_is_seen_through_it(tmp_path: Path) -> None:
    values = np.array([[0, 50], [100, 200]], np.uint16)
    image_file(values, WindowCenter="100.5", WindowWidth="201").save_as(tmp_path / "a.dcm")
    image_file(values, WindowCenter=["50.5", "900"], WindowWidth=["101", "3000"]).save_as(tmp_path / "b.dcm")
    image_file(values).save_as(tmp_path / "c.dcm")
    pictures = decode(read_cases(tmp_path), Geometry((Channels(), Window.parse("file"))))
    pixels, _ = pictures.batch([0, 1])
    np.testing.assert_allclose(pixels[..., 0], [values / 200, (values / 100).clip(0, 1)], atol=1e-6)
    assert [(unread.case.name, "names no window" in unread.reason) for unread in pictures.unreadable] == [("c", True)]
