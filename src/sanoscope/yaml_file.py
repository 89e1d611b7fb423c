"""Settings that people write as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sanoscope.errors import OptionError


def read_yaml(file: Path, what: str = "a YAML file") -> Any:
    """The content of a file.

    Args:
        file: In UTF-8.
        what: What is to be given, for errors.

    Raises:
        OptionError: If it cannot be read as YAML.
    """
    import yaml

    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"{file}: cannot be read ({error.strerror}); give {what}") from error
    except UnicodeDecodeError as error:
        raise OptionError(f"{file}: is not text in UTF-8; give {what}") from error
    except yaml.YAMLError as error:
        raise OptionError(f"{file}: is not YAML ({' '.join(str(error).split())})") from error
