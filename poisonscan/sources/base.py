"""Where bytes come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from poisonscan.finding import Gap, Skipped


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes with a place.

    Attributes:
        path: as reports call it: relative, forward slashes, ``outer!/member`` inside archives.
        size: number of bytes.
        open: gives a read-only view of all of them without copying. Raises OSError.
        depth: number of containers around it.
        base: offset in the outermost file of the first byte, None if it is not stored as it is.
        file: where it is on disk, None for members.
    """

    path: str
    size: int
    open: Callable[[], memoryview]
    depth: int = 0
    base: int | None = 0
    file: str | None = None

    @property
    def name(self) -> str:
        """The last part of the path, in lower case."""
        return self.path.replace("\\", "/").rpartition("/")[2].lower()

    @property
    def suffix(self) -> str:
        """The last suffix of the name in lower case, with its dot; empty if there is none."""
        stem, dot, suffix = self.name.rpartition(".")
        return dot + suffix if stem else ""

    def part(self, name: str, view: memoryview, base: int | None) -> Blob:
        """A member of this container, whose bytes are ``view``."""
        return Blob(f"{self.path}!/{name}", len(view), lambda: view, self.depth + 1, base)


class Source(Protocol):
    """A target's files."""

    def blobs(self) -> Iterator[Blob | Gap | Skipped]:
        """Every file; a gap for each that cannot be read."""
