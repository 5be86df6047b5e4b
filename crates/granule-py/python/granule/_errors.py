"""What granule raises."""

__all__ = [
    "GranuleError",
    "GranuleMemoryError",
    "GranuleOSError",
    "GranuleTypeError",
    "GranuleValueError",
]


class GranuleError(Exception):
    """Something went wrong; the words are those of the command ``granule``."""


class GranuleValueError(GranuleError, ValueError):
    """A setting or an array that is not allowed."""


class GranuleTypeError(GranuleError, TypeError):
    """A value of a type that is not taken."""


class GranuleOSError(GranuleError, OSError):
    """A file that is not there, damaged or refused by the system."""


class GranuleMemoryError(GranuleError, MemoryError):
    """Too little memory."""
