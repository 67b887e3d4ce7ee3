"""Files that are no tables and may belong to a dataset all the same."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from poisonscan.formats.base import TableFile

if TYPE_CHECKING:
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.report import Report
    from poisonscan.sources.base import Blob

_UNREAD: Final = ("is not read as a dataset", "unknown format")
"""What gaps of members say that a dataset made of them takes care of."""


def sorted_out(
    blobs: Iterable[Blob], found: Iterable[TableFile], scratch: str | None = None
) -> tuple[list[TableFile], list[TableFile]]:
    """Files of rows, and all other files that may be read with them, as other machines find them.

    Args:
        blobs: all files on disk.
        found: what the check of each says that it is or holds.
        scratch: folder for what must be set aside; None: the system's.
    """
    placed = [
        replace(file, file=os.path.abspath(file.file), scratch=scratch or "")  # noqa: PTH100
        for file in found
    ]
    tables = [file for file in placed if file.format != "other"]
    members = [file for file in placed if file.format == "other"]
    known = {table.path for table in tables}
    beside = [
        TableFile(blob.path, os.path.abspath(blob.file), "other", blob.size)  # noqa: PTH100
        for blob in blobs
        if blob.file is not None and blob.path not in known
    ]
    return tables, members + beside


def settle(report: Report, datasets: Iterable[Dataset]) -> set[str]:
    """Take back what the check of single files said of files that are read as datasets.

    Returns:
        Paths of these files.
    """
    read: set[str] = set()
    for dataset in datasets:
        read |= {file.path for shard in dataset.shards for file in shard.files}
        read |= set(dataset.beside)
    used = read | {path.partition("!/")[0] for path in read}
    report.skipped = [skipped for skipped in report.skipped if skipped.path not in used]
    report.gaps = [
        gap
        for gap in report.gaps
        if gap.path.partition("!/")[0] not in read or not any(why in gap.reason for why in _UNREAD)
    ]
    return used
