"""Class folders of text files: a file is a row, the folder that holds it is its label.

So is the IMDb corpus of reviews laid out (``train/pos/0_9.txt``), and what scikit-learn's
``load_files`` reads. The ``datasets`` library reads the same rows as ``text`` with
``sample_by="document"``, and leaves the labels to its user.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from poisonscan.datasets.candidates import ENOUGH_TEXTS
from poisonscan.datasets.entries import Entry
from poisonscan.datasets.folders import above_split, folder_roots
from poisonscan.datasets.layouts import MAX_RECORD, PIECE_BYTES, Layout
from poisonscan.datasets.naming import is_split, split_of
from poisonscan.datasets.shards import Shard
from poisonscan.formats.base import TableFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from poisonscan.datasets.layouts import Sink
    from poisonscan.finding import Json

CHUNK = 4_000
"""Files in a shard."""
ROWS = 256
"""Files in a batch."""
TEXT, LABEL = "text", "label"
_SCHEMA = pa.schema([(TEXT, pa.string()), (LABEL, pa.string())])
_SUFFIX = ".txt"

Folder = PurePosixPath


@dataclass(frozen=True, slots=True)
class TextFolders:
    """Reads text files as rows.

    Attributes:
        root: path of the folder of class folders, as reports call it.
        files: the texts.
        labels: the class of each.
    """

    root: str
    files: tuple[TableFile, ...]
    labels: tuple[str, ...]

    @property
    def reading(self) -> dict[str, Json]:
        """What reports say about how it is read."""
        return {"rows": "text files in folders of classes"}

    def shards(self, shard: Shard, found: Layout) -> Iterator[Shard]:
        """A shard for each ``CHUNK`` files."""
        for start in range(0, len(self.files), CHUNK):
            files, labels = self.files[start : start + CHUNK], self.labels[start : start + CHUNK]
            part = Layout(found.schema, reader=TextFolders(self.root, files, labels))
            size = sum(file.size for file in files)
            yield Shard(self.root, shard.split, size, files, layout=part, rows=len(files))

    def batches(self, columns: Sequence[str], problem: Sink) -> Iterator[pa.RecordBatch]:
        """Rows in order. A file that cannot be read is a row without a text."""
        texts: list[bytes | None] = []
        size = done = 0
        for number, file in enumerate(self.files, 1):
            text = _read(file, problem) if TEXT in columns else None
            texts.append(text)
            size += len(text or b"")
            if len(texts) == ROWS or size >= PIECE_BYTES or number == len(self.files):
                made = {LABEL: pa.array(self.labels[done:number], pa.string())}
                made[TEXT] = _column(texts)
                yield pa.RecordBatch.from_pydict({name: made[name] for name in columns})
                texts, size, done = [], 0, number


def _read(file: TableFile, problem: Sink) -> bytes | None:
    try:
        with Path(file.file).open("rb") as source:
            data = source.read(MAX_RECORD + 1)
    except OSError as error:
        problem(f"{file.path!a} cannot be read: {error.strerror}")
        return None
    if len(data) > MAX_RECORD:
        problem(f"{file.path!a} is larger than {MAX_RECORD:,} bytes: not read")
        return None
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _column(texts: Sequence[bytes | None]) -> pa.Array:
    """Texts as they stand, which need not be UTF-8."""
    ends = np.cumsum([0, *(len(text or b"") for text in texts)]).astype(np.int32)
    missing = np.array([text is None for text in texts])
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    values = pa.py_buffer(b"".join(text or b"" for text in texts))
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(ends), values, valid)


def open_text_folders(files: Iterable[TableFile]) -> list[Entry]:
    """An entry for each split of each folder of class folders with text.

    Class folders hold nothing but ``.txt`` files, and at least ``ENOUGH_TEXTS`` of them; there are
    two or more.

    Args:
        files: all files that are no tables.
    """
    by_folder: dict[Folder, list[TableFile]] = defaultdict(list)
    mixed: set[Folder] = set()
    for file in files:
        path = Folder(file.path)
        if path.suffix.lower() == _SUFFIX:
            by_folder[path.parent].append(file)
        else:
            mixed.add(path.parent)
    enough = {
        folder: texts
        for folder, texts in by_folder.items()
        if len(texts) >= ENOUGH_TEXTS and folder not in mixed and not is_split(folder.name)
    }
    classes: dict[Folder, list[Folder]] = defaultdict(list)
    for folder, root in folder_roots(list(enough)).items():
        if folder != root:
            classes[root].append(folder)
    return [
        entry
        for root, folders in sorted(classes.items())
        if all(above_split(folder.parent) == root for folder in folders)
        for entry in _entries(root, folders, enough)
    ]


def _entries(
    root: Folder, folders: Sequence[Folder], texts: Mapping[Folder, Sequence[TableFile]]
) -> Iterator[Entry]:
    by_split: dict[str, list[tuple[str, TableFile]]] = defaultdict(list)
    for folder in folders:
        above = folder.parent
        split = split_of(f"{above.name}/x") if above != root else "train"
        by_split[split] += [(folder.name, file) for file in texts[folder]]
    for split, rows in by_split.items():
        rows.sort(key=lambda row: row[1].path)
        members = tuple(file for _, file in rows)
        reader = TextFolders(str(root), members, tuple(label for label, _ in rows))
        place = str(Path(members[0].file).parent)
        home = TableFile(str(root), place, "text", sum(file.size for file in members))
        yield Entry(home, split, str(root), layout=Layout(_SCHEMA, reader=reader))
