"""Files that make a loader read other files outside of their own folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.escape import quote
from poisonscan.finding import Finding, Location, Span
from poisonscan.formats.base import Artifact, Reference, References
from poisonscan.formats.member_names import climbs_out
from poisonscan.rules import rule

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|(?:file|data|javascript):", re.IGNORECASE)
_ROOTED: Final = re.compile(r"[\\/~]|[A-Za-z]:")
_ENVIRONMENT: Final = re.compile(r"\$\{?\w|%\w+%")


class LeavingReferences:
    """Rule PS204."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (References,)

    def check(self, artifact: References) -> Iterator[Finding]:
        """One finding for each place outside that is named."""
        told: set[str] = set()
        for reference in artifact.references:
            why = leaves_folder(reference.target)
            if not why or reference.target in told:
                continue
            told.add(reference.target)
            yield rule("PS204").finding(
                Location(artifact.path, _span(reference)),
                f"The {artifact.format} file names {quote(reference.target)} as {reference.what}: "
                f"{why}.",
                key=reference.target,
                target=reference.target,
            )


def leaves_folder(target: str) -> str:
    """Why a path as written in a file does not stay in the file's folder; empty if it does."""
    if "\0" in target:
        return "a path that holds a NUL, which some readers cut there"
    if _URL.match(target):
        return "an address, which would be fetched"
    if _ROOTED.match(target):
        return "an absolute path"
    if climbs_out(target):
        return "a path that leaves the folder"
    if _ENVIRONMENT.search(target):
        return "a path with a variable of the environment"
    return ""


def _span(reference: Reference) -> Span | None:
    return None if reference.offset is None else Span(reference.offset)


DETECTOR: Final = LeavingReferences()
