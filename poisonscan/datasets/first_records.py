"""The first records of delimited text or JSON lines of which only the beginning is there."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from poisonscan.datasets.candidates import DESCRIBING
from poisonscan.datasets.delimited import records_of
from poisonscan.datasets.errors import DatasetError
from poisonscan.datasets.lines import Lines
from poisonscan.datasets.tables import count, layout
from poisonscan.formats.base import TableFile
from poisonscan.formats.registry import identify
from poisonscan.formats.unpack import Unpacked, most_of
from poisonscan.sources.base import Blob

if TYPE_CHECKING:
    from collections.abc import Callable

_CODECS: Final = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstandard"}
SUFFIXES: Final = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
MOST: Final = 128 << 20
"""Bytes of records, unpacked; what needs more is read like any other file."""
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Beginning:
    """A file of which the first bytes are there.

    Attributes:
        path: as reports call it.
        file: where it is on disk.
        end: how many bytes of it are there.
        wanted: rows that are needed.
        out: where its first records are put if they are enough, packed as the file is.
    """

    path: str
    file: str
    end: int
    wanted: int
    out: str


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of it.

    Attributes:
        rows: whole rows; 0 where these bytes do not begin a file of rows.
        enough: whether ``out`` was written.
    """

    rows: int
    enough: bool = False


def may_be_cut(path: str) -> bool:
    """Whether a file is delimited text or JSON lines, by its name."""
    name, _ = _plain(path.lower())
    return name.endswith(SUFFIXES) and name.rpartition("/")[2] not in DESCRIBING


def cut(beginning: Beginning) -> Found:
    """Count the rows at the beginning of a file, and set them aside if they are enough.

    More than are wanted must be there: then readers come to the last of them as in the whole file.
    """
    name, codec = _plain(beginning.path)
    try:
        text = _text(beginning, codec)
    except (OSError, ValueError):
        return Found(0)
    blob = Blob(name, len(text), lambda: memoryview(text))
    kinds = [kind.name for kind in identify(blob, memoryview(text))] if text else []
    if kinds not in (["csv"], ["json"]) or text.lstrip()[:1] == b"[":
        return Found(0)
    out = Path(beginning.out)
    out.write_bytes(text)
    plain = TableFile(name, beginning.out, kinds[0], len(text))
    rows, end = 0, 0
    with contextlib.suppress(DatasetError):
        found = layout(plain)
        scanner = records_of(found.dialect) if found.dialect is not None else Lines()
        for place in range(0, len(text), _PIECE):
            piece = text[place : place + _PIECE]
            if last := scanner.ends(piece, first=False)[1]:
                end = place + last
        out.write_bytes(text[:end])
        rows = count(replace(plain, size=end), found) if end else 0
    if rows <= beginning.wanted:
        out.unlink()
        return Found(rows)
    out.write_bytes(_PACK[codec](text[:end]))
    return Found(rows, enough=True)


def _plain(path: str) -> tuple[str, str]:
    """A name without the suffix of its compression, and that compression."""
    pure = Path(path)
    codec = _CODECS.get(pure.suffix.lower(), "")
    return (path[: -len(pure.suffix)], codec) if codec else (path, "")


def _text(beginning: Beginning, codec: str) -> bytes:
    """What is there, unpacked.

    Raises:
        OSError: it cannot be read.
        ValueError: there is too much of it.
    """
    if beginning.end > MOST:
        raise ValueError("too much of it")
    with Path(beginning.file).open("rb") as source:
        packed = source.read(beginning.end)
    if not codec:
        return packed
    unpacked = Unpacked(io.BytesIO(packed), codec, min(MOST, most_of(len(packed))))
    found = []
    with contextlib.suppress(ValueError):  # it ends in the middle, after all
        while piece := unpacked.read(_PIECE):
            found.append(piece)
    if unpacked.done >= MOST:
        raise ValueError("too much comes out")
    return b"".join(found)


def _zstandard(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(1).compress(data)


_PACK: Final[dict[str, Callable[[bytes], bytes]]] = {
    "": lambda data: data,
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "bzip2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstandard": _zstandard,
}
