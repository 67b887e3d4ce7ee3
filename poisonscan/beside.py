"""Files that are no tables and may belong to a dataset all the same."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from poisonscan.formats.base import TableFile

if TYPE_CHECKING:
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.finding import Report
    from poisonscan.sources.base import Blob

_UNREAD: Final = ("is not read as a dataset", "unknown format")
"""What gaps of members say that a dataset made of them takes care of."""


def files_beside(blobs: Iterable[Blob], tables: Sequence[TableFile]) -> list[TableFile]:
    """All files on disk that are no tables."""
    known = {table.path for table in tables}
    return [
        TableFile(blob.path, os.path.abspath(blob.file), "other", blob.size)  # noqa: PTH100
        for blob in blobs
        if blob.file is not None and blob.path not in known
    ]


def settle(report: Report, datasets: Iterable[Dataset]) -> None:
    """Take back what the check of single files said of files that are read as datasets."""
    read: set[str] = set()
    for dataset in datasets:
        read |= {file.path for shard in dataset.shards for file in shard.files}
        read |= set(dataset.beside)
    report.skipped = [skipped for skipped in report.skipped if skipped.path not in read]
    report.gaps = [
        gap
        for gap in report.gaps
        if gap.path.partition("!/")[0] not in read or not any(why in gap.reason for why in _UNREAD)
    ]
