"""What is in the folder of a dataset, and what there speaks of its rows."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import numpy as np

from poisonscan.cleaning.card import recounted
from poisonscan.cleaning.errors import CleanError
from poisonscan.cleaning.tables import opened
from poisonscan.datasets.candidates import DESCRIBING
from poisonscan.datasets.errors import DatasetError
from poisonscan.datasets.tables import layout, read
from poisonscan.escape import quote
from poisonscan.sources.disk import IGNORED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

_MAX_TEXT: Final = 16 << 20
_COUNTS: Final = b"num_examples"


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a dataset.

    Attributes:
        within: its path in the dataset, with forward slashes; ``.`` for the dataset itself.
        file: where it is.
        left: why it is not written; empty if it is.
    """

    within: str
    file: Path
    left: str = ""

    @property
    def name(self) -> str:
        """Its path as messages call it; what it ends with says what the file is."""
        return self.file.name if self.within == "." else self.within


def members(source: Path, listing: Path) -> Iterator[Member]:
    """All files of a dataset but the list of rows itself.

    Links to files in the folder, or in the Hub cache beside it, are read as what they lead to;
    others are left.

    Args:
        source: a file or folder.
        listing: the list.
    """
    if not source.is_dir():
        yield Member(".", source)
        return
    above = source.resolve()
    allowed = [above, *(folder / "blobs" for folder in above.parents[:3])]
    for folder, folders, names in os.walk(source):
        linked = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(set(folders) - set(linked) - IGNORED)
        for name in sorted([*names, *linked]):
            file = Path(folder, name)
            within = file.relative_to(source).as_posix()
            real = file.resolve()
            if not real.is_file():
                yield Member(within, file, "no regular file")
            elif not any(real.is_relative_to(place) for place in allowed):
                yield Member(within, file, "a link that leaves the folder")
            elif real != listing.resolve():
                yield Member(within, file)


def described(files: Iterable[Member], dropped: Collection[str]) -> dict[str, NDArray[np.int64]]:
    """Rows of ``metadata`` tables about pictures that go.

    Args:
        files: of the dataset.
        dropped: pictures, as paths in the dataset.

    Returns:
        Rows by the table's path in the dataset.

    Raises:
        CleanError: such a table cannot be read.
    """
    found: dict[str, NDArray[np.int64]] = {}
    for member in files:
        path = PurePosixPath(member.within)
        if not dropped or path.name not in DESCRIBING or member.left:
            continue
        rows: set[int] = set()
        for row, name in _named(member):
            if os.path.normpath(path.parent / name).replace(os.sep, "/") in dropped:
                rows.add(row)
        if rows:
            found[member.within] = np.array(sorted(rows), np.int64)
    return found


def _named(member: Member) -> Iterator[tuple[int, str]]:
    """Row and name of each picture that a table is about."""
    table = opened(member.file, member.name)
    if table is None:
        raise CleanError(f"{quote(member.within)} is about pictures and cannot be read")
    try:
        found = layout(table)
        columns = [name for name in found.schema.names if name.endswith("file_name")]
        start = 0
        for batch in read(table, found, columns) if columns else ():
            for column in batch.columns:
                for row, name in enumerate(column.to_pylist(), start):
                    if isinstance(name, str):
                        yield row, name
            start += batch.num_rows
    except DatasetError as error:
        raise CleanError(f"{quote(member.within)} cannot be read: {error.reason}") from error


def adjusted(
    member: Member, taken: Mapping[str, NDArray[np.int64] | None], gone: Mapping[str, int] | None
) -> bytes | None:
    """What a file is to hold where it differs; None: what it holds.

    The ``datasets`` library finds results that it has stored by the fingerprint of a saved folder:
    one with other rows needs another. It also compares the rows with their number in a card.

    Args:
        member: the file.
        taken: rows that go, by file; None for files that go.
        gone: how many, by split; None: not known.
    """
    name = PurePosixPath(member.within).name
    if member.file.stat().st_size > _MAX_TEXT:
        return None
    if member.within == "README.md" and gone is not None:
        text = recounted(member.file.read_bytes().decode("utf-8", "surrogateescape"), gone)
        return None if text is None else text.encode("utf-8", "surrogateescape")
    if name != "state.json":
        return None
    try:
        state = json.loads(member.file.read_bytes())
        old = state["_fingerprint"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    digest = hashlib.sha256(str(old).encode("utf-8", "replace"))
    for path, rows in sorted(taken.items()):
        digest.update(path.encode("utf-8", "surrogateescape") + b"\0")
        digest.update(b"" if rows is None else rows.tobytes())
    state["_fingerprint"] = digest.hexdigest()[:16]
    return json.dumps(state, indent=2).encode()


def counts_rows(member: Member) -> bool:
    """Whether a file says how many rows there are, which is no longer true."""
    name = PurePosixPath(member.within).name
    if name not in ("README.md", "dataset_info.json", "dataset_infos.json"):
        return False
    with member.file.open("rb") as stream:
        return _COUNTS in stream.read(_MAX_TEXT)
