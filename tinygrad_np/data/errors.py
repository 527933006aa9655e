"""What can go wrong with data, each also a builtin exception."""

from __future__ import annotations

__all__ = ["DataError", "DownloadError"]


class DataError(ValueError):
    """A data file that is cut short, altered, or not what its name says."""


class DownloadError(OSError):
    """A data file that is nowhere on this machine and that no mirror delivered.

    Attributes
    ----------
    reason : str
        What each mirror answered, in one short line.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
