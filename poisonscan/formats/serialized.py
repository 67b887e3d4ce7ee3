"""What object streams of other languages than Python would do when they are read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from poisonscan.finding import Gap
from poisonscan.formats.base import Anomaly, Artifact
from poisonscan.limits import LimitReached
from poisonscan.sources.base import Blob

_PADDING: Final = re.compile(rb"[\0\s]*+\Z")


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


class Walk(Protocol):
    """One pass over a stream.

    Attributes:
        acts: what was found.
    """

    acts: list[Anomaly]

    @property
    def view(self) -> memoryview:
        """The stream."""

    @property
    def position(self) -> int:
        """The first byte that was not read."""

    def run(self) -> None:
        """Read it.

        Raises:
            EOFError: it is cut short.
            ValueError: something in it is not of the format.
            LimitReached: it holds too much.
        """


def walked(blob: Blob, name: str, walk: Walk) -> Iterator[Artifact | Gap]:
    """What a walk finds, and what of the stream it does not read.

    Args:
        blob: where the stream is.
        name: the format's.
        walk: over all of the stream.

    Raises:
        LimitReached: the stream holds too much; what was found before was yielded.
    """
    reason = ""
    stopped: LimitReached | None = None
    try:
        walk.run()
    except EOFError:
        reason = "the stream ends in the middle of an object"
    except ValueError as error:
        reason = f"cannot be read at byte {walk.position:,}: {error}"
    except LimitReached as error:
        stopped = error
    yield Serialized(blob.path, name, tuple(walk.acts), blob.base)
    if stopped is not None:
        raise stopped
    if not reason and _PADDING.match(walk.view, walk.position) is None:
        reason = f"bytes behind the object, from {walk.position:,}"
    if reason:
        yield Gap(blob.path, reason)
