"""Text files whose lines are the rows, in a column ``text``, as the ``datasets`` library has it."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from poisonscan.datasets.layouts import BATCH_ROWS, CHUNK, MAX_RECORD, Layout
from poisonscan.datasets.lines import Lines, spans
from poisonscan.datasets.naming import SPLITS
from poisonscan.engines.local import usable_cores
from poisonscan.formats.members import opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poisonscan.datasets.flaws import Sink
    from poisonscan.datasets.shards import Shard
    from poisonscan.finding import Json
    from poisonscan.formats.base import TableFile

COLUMN = "text"
SCHEMA = pa.schema([(COLUMN, pa.string())])
_NUMBERED = re.compile(r"[-_.]\d{5}-of-\d{5}")
_REQUIREMENTS = re.compile(rb"[A-Za-z0-9._-]+(\[[\w, -]+\])?\s*([=~<>!]=|[<>])\s*\d|-r |#|--")
"""How a line of a list of Python packages begins; these are called ``test.txt`` too."""


@dataclass(frozen=True, slots=True)
class TextLines:
    """Reads a text file as rows.

    Attributes:
        file: the file.
        start: the byte to begin with, which begins a line.
        end: the byte to end before, which begins one as well; -1: the end of the file.
    """

    file: TableFile
    start: int = 0
    end: int = -1

    @property
    def reading(self) -> dict[str, Json]:
        """Nothing to say."""
        return {}

    def shards(self, shard: Shard, found: Layout) -> Iterator[Shard]:
        """The whole file, or parts of a big one, whose lines are counted on all cores.

        Raises:
            ValueError: a line is longer than ``MAX_RECORD`` bytes.
        """
        ranges = spans(shard.files[0], Lines())
        if len(ranges) == 1:
            yield shard
            return
        readers = [TextLines(self.file, span.start, span.end) for span in ranges]
        with ThreadPoolExecutor(min(len(readers), usable_cores())) as pool:
            counts = list(pool.map(_count, readers))
        first = 0
        for reader, rows in zip(readers, counts, strict=True):
            size = (reader.end if reader.end >= 0 else shard.size) - reader.start
            layout = replace(found, reader=reader)
            yield replace(shard, size=size, layout=layout, start=first, rows=rows)
            first += rows

    def batches(self, columns: Sequence[str], problem: Sink) -> Iterator[pa.RecordBatch]:  # noqa: ARG002
        r"""Rows in order; lines end with ``\n``, ``\r\n`` or ``\r``.

        Raises:
            ValueError: a line is longer than ``MAX_RECORD`` bytes.
        """
        rest = b""
        with opened(self.file) as source:
            place = source.seek(self.start)
            while block := source.read(CHUNK if self.end < 0 else min(CHUNK, self.end - place)):
                place += len(block)
                data = rest + block
                # A carriage return at the very end may be half of a line end.
                end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
                rest = data[end:]
                if len(rest) > MAX_RECORD:
                    message = f"a line is longer than {MAX_RECORD:,} bytes"
                    raise ValueError(message)
                if end:
                    yield from _rows(data[:end])
        if rest:
            yield from _rows(rest)


def _count(reader: TextLines) -> int:
    return sum(batch.num_rows for batch in reader.batches([COLUMN], lambda _: None))


def text_layout(file: TableFile) -> Layout:
    """The layout of a text file."""
    return Layout(SCHEMA, reader=TextLines(file))


def _rows(data: bytes) -> Iterator[pa.RecordBatch]:
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.endswith(b"\n"):
        data += b"\n"
    text = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(text == 10)
    # Without the line ends, the lines stand right behind each other.
    starts = np.concatenate([[0], ends - np.arange(len(ends))]).astype(np.int32)
    values = pa.py_buffer(data.replace(b"\n", b""))
    column = pa.StringArray.from_buffers(len(ends), pa.py_buffer(starts.tobytes()), values)
    batch = pa.RecordBatch.from_arrays([column], names=[COLUMN])
    for start in range(0, len(ends), BATCH_ROWS):
        yield batch.slice(start, BATCH_ROWS)


def meant_as_rows(files: Sequence[TableFile]) -> list[TableFile]:
    """The text files that are named after a split, next to one named ``train``.

    Lists of packages are left out: ``requirements/test.txt`` is no dataset.
    """
    named = [file for file in files if _stem(file.path) in SPLITS and not _lists_packages(file)]
    folders = {
        PurePosixPath(file.path).parent for file in named if SPLITS[_stem(file.path)] == "train"
    }
    return [file for file in named if PurePosixPath(file.path).parent in folders]


def _stem(path: str) -> str:
    stem = _NUMBERED.sub("", PurePosixPath(path).stem.lower())
    return stem.strip("0123456789-_. ")


def _lists_packages(file: TableFile) -> bool:
    try:
        with opened(file) as source:
            lines = [line for line in source.read(CHUNK).split(b"\n")[:50] if line.strip()]
    except (OSError, ValueError):
        return False
    return bool(lines) and sum(bool(_REQUIREMENTS.match(line)) for line in lines) * 2 >= len(lines)
