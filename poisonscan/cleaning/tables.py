"""A file of rows without some of them, whatever its format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from poisonscan.cleaning.columns import write_arrow, write_parquet
from poisonscan.cleaning.errors import CleanError
from poisonscan.cleaning.text import write_text
from poisonscan.datasets.candidates import may_hold_rows
from poisonscan.datasets.errors import DatasetError
from poisonscan.datasets.layouts import reading
from poisonscan.escape import quote
from poisonscan.files import Detectors, Task, scan_file
from poisonscan.formats.base import TableFile
from poisonscan.sources.base import Blob
from poisonscan.sources.disk import Disk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WRITERS: Final = {
    "parquet": write_parquet,
    "arrow": write_arrow,
    "csv": write_text,
    "json": write_text,
}


def opened(path: Path, name: str) -> TableFile | None:
    """A file of rows on disk; None: it is none.

    Args:
        path: where it is.
        name: as messages call it.
    """
    real = path.resolve()
    for blob in Disk(real, real.parent).blobs():
        if isinstance(blob, Blob):
            named = Blob(name, blob.size, blob.open, file=str(real))
            items = scan_file(named, Task((), "dataset"), Detectors(()))
            found = [i for i in items if isinstance(i, TableFile) and i.path == name]
            return found[0] if found else None
    return None


FORMS: Final = "Parquet, Arrow, CSV and JSON files that are not packed"
"""What rows are taken out of, for people."""
_PACKED: Final = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip", ".7z")


def is_kept_whole(path: str) -> bool:
    """Whether no rows can be taken out of a file that may be a dataset, by its name."""
    return may_hold_rows(path) or path.lower().endswith(_PACKED)


def check_form(file: TableFile | None, path: str) -> TableFile:
    """That rows can be taken out of a file.

    Args:
        file: as ``opened`` has it.
        path: as messages call it.

    Raises:
        CleanError: they cannot.
    """
    if file is not None and file.format in _WRITERS and not file.codec and not file.steps:
        return file
    form = f" ({f'{file.codec} {file.format}'.strip()})" if file is not None else ""
    message = f"{quote(path)}: rows cannot be taken out of files of this form{form}"
    raise CleanError(f"{message}, but of {FORMS}: unpack or convert it and scan again")


def write_without(file: TableFile, taken: NDArray[np.int64], out: Path) -> int:
    """Write a file without some rows.

    Args:
        file: as ``opened`` has it.
        taken: rows to leave out, ascending, each once.
        out: a new file.

    Returns:
        Rows that stay.

    Raises:
        CleanError: the format is not one that rows are taken out of, the file cannot be read whole,
            or has fewer rows.
        OSError: it cannot be written.
    """
    check_form(file, file.path)
    try:
        with reading(file.path, 0):
            return _WRITERS[file.format](file, taken, out)
    except CleanError:
        raise
    except DatasetError as error:
        raise CleanError(f"{quote(file.path)}: {error.reason}") from error
