"""Who a patient is stays in the files: pseudonyms, and nothing else, come out."""

from __future__ import annotations

import logging
import stat
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dicom_files import BORN, NAME, PATIENT, image_file, write_series
from sanoscope.cases import Cases, read_case, read_cases
from sanoscope.cases.dicom_series import found_in, series_of
from sanoscope.cases.identity import VARIABLE, pseudonym
from sanoscope.cases.volume_files import read_volume
from sanoscope.errors import ImageError, OptionError

SECRETS = (NAME, NAME.partition("^")[0], NAME.partition("^")[2], PATIENT, BORN)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


@pytest.fixture(autouse=True)
def own_key(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key of this test's own, not the user's."""
    folder = tmp_path_factory.mktemp("config")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.delenv(VARIABLE, raising=False)
    return folder / "sanoscope" / "pseudonym.key"


def test_a_patient_has_one_pseudonym(own_key: Path) -> None:
    first = pseudonym("12345")
    assert first is not None
    assert first == pseudonym(" 12345 ")
    assert len(first) == len("subject-") + 10
    assert set(first.removeprefix("subject-")) <= set("abcdefghijklmnopqrstuvwxyz234567")
    assert len({pseudonym(str(i)) for i in range(1000)}) == 1000
    assert pseudonym("") is None
    assert pseudonym("  ") is None
    assert stat.S_IMODE(own_key.stat().st_mode) == 0o600
    assert len(own_key.read_bytes()) == 32
    assert [file.name for file in own_key.parent.iterdir()] == [own_key.name]


def test_another_key_gives_other_pseudonyms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine = pseudonym("12345")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "another"))
    others = pseudonym("12345")
    monkeypatch.setenv(VARIABLE, "words that a group shares")
    shared = pseudonym("12345")
    monkeypatch.setenv(VARIABLE, "00ff" * 16)
    digits = pseudonym("12345")
    monkeypatch.setenv(VARIABLE, "longer than a key may be " * 10)
    assert len({mine, others, shared, digits, pseudonym("12345")}) == 5


def test_a_key_by_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    import base64
    import hashlib

    monkeypatch.setenv(VARIABLE, "00ff" * 16)
    digest = hashlib.blake2b(b"12345", key=bytes.fromhex("00ff" * 16), digest_size=32).digest()
    assert pseudonym("12345") == f"subject-{base64.b32encode(digest)[:10].decode().lower()}"


def test_a_key_that_is_cut_short_is_not_replaced(own_key: Path) -> None:
    own_key.parent.mkdir()
    own_key.write_bytes(b"short")
    with pytest.raises(OptionError, match="is no key of 32 bytes but of 5"):
        pseudonym("12345")
    assert own_key.read_bytes() == b"short"


def test_a_key_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with pytest.raises(OptionError, match=f"cannot be kept there .*; set {VARIABLE}"):
        pseudonym("12345")


def test_processes_that_make_the_key_at_once_agree(own_key: Path) -> None:
    code = "from sanoscope.cases.identity import pseudonym; print(pseudonym('12345'))"
    with ThreadPoolExecutor(4) as pool:
        runs = pool.map(lambda _: subprocess.check_output([sys.executable, "-c", code], text=True).strip(), range(4))
        assert set(runs) == {pseudonym("12345")}


def assert_silent(text: str) -> None:
    assert not [secret for secret in SECRETS if secret in text]


def told_by(cases: Cases) -> str:
    """Everything that cases say of themselves."""
    return "\n".join([repr(cases), cases.describe(), *cases.notes, *(f"{case!r} {case}" for case in cases)])


def test_cases_tell_nothing_of_the_patient(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stored = np.random.default_rng(0).integers(0, 99, (4, 5, 6)).astype(np.uint16)
    folder = tmp_path / "collection" / "ct"
    files = write_series(folder, stored, AFFINE)
    files[2].unlink()
    image_file(stored[0], SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11").save_as(folder / "report.dcm")
    image_file(stored[0]).save_as(tmp_path / "collection" / "photograph.dcm")
    with caplog.at_level(logging.DEBUG):
        cases = read_cases(tmp_path / "collection", layout="folder")
        for case in cases:
            read_case(case)
    assert len(cases) == 6
    assert len({case.subject for case in cases}) == 1
    assert_silent(told_by(cases))
    assert_silent(caplog.text)
    assert_silent(repr(found_in(folder)) + repr(series_of(files[0])))


TAGS = {
    "Rows": b"\x28\0\x10\0",
    "InstanceNumber": b"\x20\0\x13\0",
    "ImagePositionPatient": b"\x20\0\x32\0",
    "NumberOfFrames": b"\x28\0\x08\0",
    "BitsAllocated": b"\x28\0\0\x01",
    "TransferSyntaxUID": b"\x02\0\x10\0",
}


def test_errors_tell_nothing_of_the_patient(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    stored = np.zeros((4, 5, 3), np.uint16)
    refused = 0
    with caplog.at_level(logging.DEBUG):
        for keyword, value in (
            ("Rows", PATIENT),
            ("InstanceNumber", NAME),
            ("ImagePositionPatient", NAME),
            ("NumberOfFrames", NAME),
            ("BitsAllocated", NAME),
            ("TransferSyntaxUID", NAME),
        ):
            folder = tmp_path / keyword
            file = write_series(folder, stored, AFFINE)[0]
            content = file.read_bytes()
            at = content.find(TAGS[keyword])
            text = value.encode() + b" " * (len(value) % 2)
            if at < 0:
                at = content.index(b"\x28\0\x10\0")
                replaced = content[:at] + TAGS[keyword] + b"IS" + len(text).to_bytes(2, "little") + text + content[at:]
            else:
                length = int.from_bytes(content[at + 6 : at + 8], "little")
                replaced = content[: at + 6] + len(text).to_bytes(2, "little") + text + content[at + 8 + length :]
            file.write_bytes(replaced)
            assert_silent(told_by(read_cases(folder)))
            try:
                read_volume(file)
            except ImageError:
                refused += 1
                assert_silent(traceback.format_exc())
    assert refused == 6
    assert_silent(caplog.text)
