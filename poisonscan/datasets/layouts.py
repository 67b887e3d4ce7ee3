"""What is known of a table's columns before its rows are read, and what reading may cost."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from poisonscan.datasets.errors import DatasetError, OptionError
from poisonscan.escape import clip, escape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from poisonscan.datasets.dialects import Dialect
    from poisonscan.datasets.readers import Reader

BATCH_ROWS = 8_192
BATCH_PICTURES = 2_048
"""Rows of a batch whose pictures are decoded: what several looks at them take is 50 kB each."""
BATCH_BYTES = 64 << 20
PIECE_BYTES = 8 << 20
"""Bytes of a batch of several rows."""
SNIFFED = 1_024
"""Rows of delimited text from which the kinds of its columns are told."""
MAX_RECORD = 16 << 20
"""Bytes of the longest CSV record or JSON line."""
MAX_DEPTH = 256
"""Nesting of JSON values."""
MAX_METADATA = 16 << 20
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text file that begins where a record begins.

    Attributes:
        start: its first byte.
        end: the byte behind its last; -1 for the end of the file.
        line: number of its first line, from 1.
    """

    start: int
    end: int
    line: int


@dataclass(frozen=True, slots=True)
class Lost:
    """Rows in the place of a batch that cannot be read.

    Attributes:
        rows: how many.
        reason: what was lost and why.
    """

    rows: int
    reason: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file, as all its rows are read.

    Attributes:
        schema: names and logical types. Cells of delimited text arrive as strings whatever their
            logical type, exactly as they stand in the file.
        classes: declared class names by column.
        pictures: columns declared to hold pictures.
        dialect: of delimited text; None for other formats.
        reader: makes the rows; None where the format of the one file says how.
    """

    schema: pa.Schema
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()
    dialect: Dialect | None = None
    reader: Reader | None = None


@contextmanager
def reading(path: str, row: int) -> Iterator[None]:
    """Turn what the libraries raise on bad data into a ``DatasetError``."""
    try:
        yield
    except OptionError:
        raise
    except DatasetError as error:
        raise DatasetError(path, row, error.reason) from None
    except (pa.ArrowException, OSError, ValueError, MemoryError, RecursionError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(path, row, escape(clip(text))) from None
