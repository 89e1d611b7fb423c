"""The errors a user can mend: each names the file or option, the value found, and what to do."""


class SanoscopeError(Exception):
    """Something in the input, the settings or the files that the user can put right.

    The command line prints it as one line on stderr and exits with code 2.
    """

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())  # names of files may have line breaks


class DataError(SanoscopeError):
    """A collection, manifest or split that cannot be used."""


class ImageError(SanoscopeError):
    """One image that cannot be read or prepared. A batch lists it and goes on."""


class OptionError(SanoscopeError):
    """A recipe or an option that does not exist, or a value it does not take."""


class ModelError(SanoscopeError):
    """A model folder that is missing a file, truncated, altered, or of another version."""


class TrainingError(SanoscopeError):
    """A training that cannot go on, such as an exploding loss."""


def nearest(name: str, known: list[str]) -> str:
    """A ``did you mean`` clause for an unknown name, or the list of the known ones.

    Args:
        name: What the user wrote.
        known: What would have been understood.
    """
    import difflib

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return "known: " + ", ".join(known)
