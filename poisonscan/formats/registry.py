"""Which format a blob has: the first that matches, in this order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import HEAD, Artifact, Format
from poisonscan.formats.compressed import COMPRESSED
from poisonscan.formats.npy import Npy
from poisonscan.formats.pickle_stream import Pickle, runs_as_pickle
from poisonscan.formats.safetensors import Safetensors
from poisonscan.formats.tables import TABLES, Pointer, Prose
from poisonscan.formats.tar_archive import Tar
from poisonscan.formats.zip_archive import Zip, ends_as_zip
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob


@dataclass(frozen=True, slots=True)
class Unread:
    """A format that is known by its first bytes and that nothing here reads yet: a gap."""

    name: str
    magics: tuple[tuple[int, bytes], ...]

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By magic bytes at their offset."""
        return any(head.startswith(magic, offset) for offset, magic in self.magics)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """Only a gap."""
        yield Gap(blob.path, f"{self.name}: this format is not checked yet")


UNREAD: Final = (
    Unread("HDF5 (Keras, MATLAB)", ((0, b"\x89HDF\r\n\x1a\n"),)),
    Unread("GGUF", ((0, b"GGUF"), (0, b"FUGG"))),
    Unread("TensorFlow Lite", ((4, b"TFL3"),)),
    Unread("7z archive", ((0, b"7z\xbc\xaf\x27\x1c"),)),
    Unread("zstandard", ((0, b"\x28\xb5\x2f\xfd"),)),
    Unread("RAR archive", ((0, b"Rar!\x1a\x07"),)),
    Unread("CatBoost", ((0, b"CBM1"),)),
    Unread("R data", ((0, b"RDX2\n"), (0, b"RDX3\n"))),
    Unread("executable", ((0, b"\x7fELF"), (0, b"MZ\x90\0"), (0, b"\xcf\xfa\xed\xfe"))),
    Unread("audio", ((0, b"fLaC"), (0, b"ID3"), (0, b"OggS"), (8, b"WAVE"))),
)

FORMATS: Final[tuple[Format, ...]] = (
    Pointer(),
    *UNREAD,
    Npy(),
    *COMPRESSED,
    *(table for table in TABLES if table.name in ("parquet", "arrow", "image")),
    Tar(),
    Safetensors(),
    Zip(),
    Pickle(),
    Safetensors(by_name=True),
    *(table for table in TABLES if table.name in ("json", "csv")),
    Prose(),
)


def identify(blob: Blob, view: memoryview) -> tuple[Format, ...]:
    """The formats of a blob: none when it is not known, several for a file that is all of them.

    A zip archive is read from its end, so any other file may have one appended to it; and what
    carries the first bytes of some format may run as a pickle all the same.
    """
    head = bytes(view[:HEAD])
    found: list[Format] = []
    asked = False  # whether it is a pickle
    for format_ in FORMATS:
        asked = asked or isinstance(format_, Pickle)
        if format_.matches(blob, head):
            found.append(format_)
            break
    if not asked and runs_as_pickle(view):
        found.append(Pickle())
    if not any(isinstance(format_, Zip) for format_ in found) and ends_as_zip(view):
        found.append(Zip())
    return tuple(found)
