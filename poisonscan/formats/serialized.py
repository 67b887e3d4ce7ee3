"""What object streams of other languages than Python would do when they are read."""

from __future__ import annotations

from dataclasses import dataclass

from poisonscan.formats.base import Anomaly, Artifact


@dataclass(frozen=True, slots=True)
class Serialized(Artifact):
    """A stream of objects of R, Torch7 and the like.

    Attributes:
        format: the format's name.
        acts: objects in it that are code, or that make the reader run some; ``kind`` is a keyword.
        base: offset in the outermost file of the first byte; None if it is compressed there.
    """

    format: str
    acts: tuple[Anomaly, ...]
    base: int | None
