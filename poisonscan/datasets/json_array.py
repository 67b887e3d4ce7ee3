"""A file that is one JSON array, as blocks of its elements: any length in little memory.

Only strings, brackets and commas are followed, to see where the elements of the outermost array
end (RFC 8259); each is written on a line of its own, and parsed as JSON lines are.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poisonscan.datasets.flaws import Flaw, flaw
from poisonscan.datasets.layouts import CHUNK, MAX_RECORD
from poisonscan.datasets.lines import BOM, TOO_LONG, Block
from poisonscan.engines import patience
from poisonscan.formats.members import opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from numpy.typing import NDArray

    from poisonscan.datasets.flaws import Sink
    from poisonscan.formats.base import TableFile
    from poisonscan.formats.unpack import Unpacked

_QUOTE, _COMMA, _FEED, _OPEN, _CLOSE = range(1, 6)
_KINDS: Final = np.zeros(256, np.uint8)
_KINDS[ord('"')] = _QUOTE
_KINDS[ord(",")] = _COMMA
_KINDS[list(b"\r\n")] = _FEED
_KINDS[list(b"[{")] = _OPEN
_KINDS[list(b"]}")] = _CLOSE
_STEPS: Final = np.array([0, 0, 0, 0, 1, -1], np.int8)
_BACKSLASH: Final = ord("\\")
_NO_OBJECT: Final = re.compile(rb"^[ \t]*[^ \t\n{]", re.MULTILINE)


@dataclass(slots=True)
class _Scanner:
    """Follows the text from piece to piece.

    Attributes:
        inside: whether the last byte stands in a string.
        level: brackets that are open inside of the array; -1 behind its end.
        slashes: how many backslashes the text so far ends with.
    """

    inside: bool = False
    level: int = 0
    slashes: int = 0

    def take(self, piece: bytes) -> tuple[bytes, NDArray[np.int64], int]:
        """The next piece.

        Returns:
            The piece with line feeds for the commas between elements, and spaces for line breaks;
            where those commas stand; and where the array ends, -1 if not here.
        """
        data = np.frombuffer(piece, np.uint8)
        places = np.flatnonzero(_KINDS[data])
        kinds = _KINDS[data[places]]
        quotes = kinds == _QUOTE
        if self.slashes or b"\\" in piece:
            quotes[quotes] = ~self._escaped(data, places[quotes])
        inside = (np.cumsum(quotes) + self.inside) & 1
        outside = inside == 0
        levels = np.cumsum(_STEPS[kinds] * outside) + self.level
        ends = np.flatnonzero(levels < 0)
        end = int(places[ends[0]]) if len(ends) else -1
        if len(inside):
            self.inside = bool(inside[-1])
            self.level = -1 if len(ends) else int(levels[-1])
        commas = places[outside & (kinds == _COMMA) & (levels == 0)]
        commas = commas[commas < end] if end >= 0 else commas
        out = data.copy()
        out[places[outside & (kinds == _FEED)]] = ord(" ")
        out[commas] = ord("\n")
        return out.tobytes(), commas, end

    def _escaped(self, data: NDArray[np.uint8], quotes: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether an odd number of backslashes stands before each quote."""
        slashes = np.flatnonzero(data == _BACKSLASH)
        begins = np.concatenate([[True], np.diff(slashes) > 1])[: len(slashes)]
        starts = slashes[begins][np.cumsum(begins) - 1]
        runs = slashes - starts + 1 + np.where(starts == 0, self.slashes, 0)
        at = np.minimum(np.searchsorted(slashes, quotes - 1), max(len(slashes) - 1, 0))
        odd = np.zeros(len(quotes), bool)
        if len(slashes):
            odd = (slashes[at] == quotes - 1) & ((runs[at] & 1) == 1)
        if len(quotes) and not quotes[0]:
            odd[0] = self.slashes & 1
        ends = bool(len(slashes)) and int(slashes[-1]) == len(data) - 1
        self.slashes = int(runs[-1]) if ends else 0
        return odd


def front(source: BinaryIO | Unpacked, start: int = 0) -> bytes:
    """The first piece behind blanks, however many; empty where there is nothing else.

    Args:
        source: text, at its beginning.
        start: where to begin instead.
    """
    while start > 0 and (skipped := source.read(min(start, CHUNK))):
        start -= len(skipped)
    piece = source.read(CHUNK).removeprefix(BOM)
    while piece and not (text := piece.lstrip()):
        piece = source.read(CHUNK)
    return text if piece else b""


def array_blocks(file: TableFile, problem: Sink) -> Iterator[Block]:
    """The elements of an array, a line for each; their numbers count as lines.

    What is no object stands as one with the key ``text``.

    Args:
        file: one array, or an object that holds it; perhaps compressed.
        problem: told about elements longer than ``MAX_RECORD``, which are left out, and about what
            stands behind the array.

    Raises:
        ValueError: the file ends before the array does; what stands before was yielded.
    """
    scanner = _Scanner()
    number, offset = 1, 0
    pending: list[bytes] = []
    held, skipping = 0, False
    with opened(file) as source:
        begin = front(source, file.start).removeprefix(b"[")
        piece, behind = begin or source.read(CHUNK), b""
        while piece and scanner.level >= 0:
            patience.sign()
            text, commas, end = scanner.take(piece)
            ends = [*commas[[0, -1]].tolist()] if len(commas) else [end, end]
            first, last = ends[0] + 1, (ends[1] if end < 0 else end) + 1
            if held + (first or len(text)) > MAX_RECORD or (skipping and first):
                if not skipping:
                    problem(flaw(TOO_LONG, "element", [number]))
                skipping = not first
                pending, held = [], 0
                offset, number = offset + first, number + bool(first)
                text, last, commas = text[first:], last - first, commas[1:]
            if last > 0 and not skipping:
                whole = b"".join([*pending, text[: last - 1], b"\n"])
                yield Block(_objects(whole), offset, number)
                offset, number = offset + len(whole), number + len(commas)
                text, pending, held = text[last:], [], 0
            if not skipping:
                pending.append(text)
                held += len(text)
            behind = piece[end + 1 :] if end >= 0 else b""
            piece = source.read(CHUNK)
    if scanner.level >= 0:
        message = f"the array ends early, in record {number:,}"
        raise ValueError(message)
    if not file.start and (behind.strip() or piece.strip()):
        problem(Flaw("what stands behind the end of the array is not read"))


def _objects(lines: bytes) -> bytes:
    """Lines of JSON as lines of objects."""
    if _NO_OBJECT.search(lines) is None:
        return lines
    return b"".join(_object(line) + b"\n" for line in lines.split(b"\n"))


def _object(line: bytes) -> bytes:
    if not line.strip() or line.lstrip().startswith(b"{"):
        return line
    try:
        return json.dumps({"text": json.loads(line)}).encode()
    except (ValueError, RecursionError):
        return line  # that it is no object is told when it is parsed
