"""TensorBoard's logs, ``events.out.tfevents.*``: records of numbers, in which nothing can run.

Framing of records: https://www.tensorflow.org/tutorials/load_data/tfrecord (format details); the
first one is an ``Event`` with its time and the version ``brain.Event:2``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, Numbers
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_LENGTH: Final = struct.Struct("<Q")
_IN_FRONT: Final = 12
"""Bytes of a record's length and of its checksum."""
_BEHIND: Final = 4
"""Bytes of the content's checksum. Checksums are not compared."""
_VERSION: Final = b"\x1a\x0dbrain.Event:"
"""Field 3 of the first event, behind the nine bytes of its time."""


class Events:
    """What training wrote down about itself."""

    name = "TensorBoard log"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002
        """By the first record."""
        time = head[_IN_FRONT : _IN_FRONT + 1]
        return time == b"\x09" and head.startswith(_VERSION, _IN_FRONT + 9)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """Nothing that could run, and whether there are records to the end."""
        yield Numbers(blob.path, self.name)
        position = 0
        while position < len(view):
            budget.take_field()
            if position + _IN_FRONT > len(view):
                break
            (length,) = _LENGTH.unpack_from(view, position)
            position += _IN_FRONT + length + _BEHIND
        if position != len(view):
            # A log that is still written to, or something else behind it.
            yield Gap(blob.path, "the last record is cut short, or is none")
