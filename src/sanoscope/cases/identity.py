"""Names for patients that tell nothing of them, and are the same wherever the same patient appears.

A pseudonym is a keyed hash of the patient's identifier. The key is made once for each user and never leaves the
machine: without it, nobody can try identifiers until one fits. Who shares the key gets the same pseudonyms.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from base64 import b32encode
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from sanoscope.errors import OptionError

VARIABLE = "SANOSCOPE_PSEUDONYM_KEY"
KEY_BYTES = 32
CHARACTERS = 10  # of 5 bits each: among a million patients, two share a pseudonym with a chance of 1 in 2000


def pseudonym(patient_id: str) -> str | None:
    """The pseudonym of a patient, such as ``subject-k3v9q2mzta``; None of a blank identifier.

    Blanks around an identifier do not count, as DICOM pads with them.

    Args:
        patient_id: As the files tell it.

    Raises:
        OptionError: The key cannot be read or kept.
    """
    patient = patient_id.strip()
    if not patient:
        return None
    digest = hashlib.blake2b(patient.encode("utf-8", "surrogateescape"), key=_key(), digest_size=32).digest()
    return f"subject-{b32encode(digest).decode()[:CHARACTERS].lower()}"


def _key() -> bytes:
    """The key of ``SANOSCOPE_PSEUDONYM_KEY``, in hexadecimal digits or any words, or the user's own."""
    if chosen := os.environ.get(VARIABLE):
        try:
            key = bytes.fromhex(chosen)
        except ValueError:
            key = chosen.encode()
        return key if 0 < len(key) <= hashlib.blake2b.MAX_KEY_SIZE else hashlib.blake2b(key).digest()
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return _kept(Path(config) / "sanoscope" / "pseudonym.key")


@lru_cache(maxsize=4)
def _kept(file: Path) -> bytes:
    """The key in a file, which is made where there is none."""
    try:
        if not file.exists():
            _make(file)
        key = file.read_bytes()
    except OSError as error:
        raise OptionError(
            f"{file}: the key of pseudonyms cannot be kept there ({error.strerror}); set {VARIABLE} to any words"
        ) from error
    if len(key) != KEY_BYTES:
        raise OptionError(f"{file}: is no key of {KEY_BYTES} bytes but of {len(key)}; put the true one back")
    return key


def _make(file: Path) -> None:
    """Write a new key, whole and readable by its user alone; of processes that do so at once, the first wins."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=file.parent)  # of mode 0600
    written = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES))
        with suppress(FileExistsError):
            os.link(written, file)
    finally:
        written.unlink()
