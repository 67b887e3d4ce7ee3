"""What can go wrong with a repository or with one of its files."""

from __future__ import annotations


class HubError(Exception):
    """The Hub, or what it was asked for, could not be read; the message is for people."""


class NoSuchRepository(HubError):  # noqa: N818 - it says what happened
    """There is nothing of that name, or nobody may read it without a token that is not there."""


class Again(HubError):  # noqa: N818
    """It may work when it is tried again.

    Attributes:
        wait: seconds that the server asks to wait before; None if it does not say.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class NoRange(HubError):  # noqa: N818
    """The server does not give parts of a file, or not of the file that it gave parts of before."""
