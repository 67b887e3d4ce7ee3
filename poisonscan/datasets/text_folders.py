"""Class folders of text files: a file is a row, the folder that holds it is its label.

So is the IMDb corpus of reviews laid out (``train/pos/0_9.txt``), and what scikit-learn's
``load_files`` reads. The ``datasets`` library reads the same rows as ``text`` with
``sample_by="document"``, and leaves the labels to its user.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from poisonscan.datasets.candidates import ENOUGH_TEXTS
from poisonscan.datasets.entries import Entry
from poisonscan.datasets.flaws import Place, flaw
from poisonscan.datasets.folders import above_split, folder_roots
from poisonscan.datasets.layouts import MAX_RECORD, PIECE_BYTES, Layout
from poisonscan.datasets.naming import called, is_split, split_of
from poisonscan.datasets.readers import in_chunks
from poisonscan.escape import clip, escape, quote
from poisonscan.finding import Gap
from poisonscan.formats.base import TableFile
from poisonscan.formats.members import opened
from poisonscan.plural import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from poisonscan.datasets.flaws import Sink
    from poisonscan.datasets.shards import Shard
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
        return in_chunks(self, CHUNK, shard, found)

    def of(self, files: tuple[TableFile, ...], labels: tuple[str, ...]) -> TextFolders:
        """The same of some of the files."""
        return TextFolders(self.root, files, labels)

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
        with opened(file) as source:
            data = source.read(MAX_RECORD + 1)
    except (OSError, ValueError) as error:
        why = escape(clip(str(getattr(error, "strerror", None) or error)))
        problem(flaw("cannot be read", "file", [Place(0, quote(file.path), why)]))
        return None
    if len(data) > MAX_RECORD:
        what = f"not read, of more than {MAX_RECORD:,} bytes"
        problem(flaw(what, "file", [Place(0, quote(file.path))]))
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

    Two or more class folders hold at least ``ENOUGH_TEXTS`` files ``.txt`` each, and not more
    files that are something else. Beside two such every folder with a text is a class, however
    rare, and whatever else it holds.

    Args:
        files: all files that are no tables.
    """
    by_folder: dict[Folder, list[TableFile]] = defaultdict(list)
    others: Counter[Folder] = Counter()
    for file in files:
        path = Folder(file.path)
        if path.suffix.lower() == _SUFFIX:
            by_folder[path.parent].append(file)
        elif not path.name.startswith("."):  # what systems leave behind, such as .DS_Store
            others[path.parent] += 1
    named = [folder for folder in by_folder if folder.name and not is_split(folder.name)]
    enough = [f for f in named if len(by_folder[f]) >= max(ENOUGH_TEXTS, others[f])]
    roots = {root for folder, root in folder_roots(enough).items() if folder != root}
    classes: dict[Folder, list[Folder]] = defaultdict(list)
    for folder in named:
        root = above_split(folder.parent)
        if root in roots:
            classes[root].append(folder)
    return [
        entry
        for root, folders in sorted(classes.items())
        for entry in _entries(root, folders, by_folder)
    ]


def left_out(entries: Iterable[Entry], files: Iterable[TableFile]) -> list[Gap]:
    """A gap for each folder of texts that stand in a dataset of texts, and are no row of it.

    A few texts above the classes are about the dataset, and no part of it.

    Args:
        entries: from ``open_text_folders``.
        files: what they were made from.
    """
    taken: set[str] = set()
    roots: set[Folder] = set()
    for entry in entries:
        reader = entry.layout.reader if entry.layout is not None else None
        if isinstance(reader, TextFolders):
            taken.update(file.path for file in reader.files)
            roots.add(above_split(Folder(reader.files[0].path).parent.parent))
    missing: Counter[Folder] = Counter()
    for file in files:
        path = Folder(file.path)
        if path.suffix.lower() == _SUFFIX and file.path not in taken:
            missing[path.parent] += 1
    return [
        Gap(str(folder), f"{plural(count, 'text file')} not read as rows: in no class folder")
        for folder, count in sorted(missing.items())
        if not roots.isdisjoint((folder, *folder.parents))
        and not any(part.startswith(".") for part in folder.parts)
        and (above_split(folder) not in roots or count >= ENOUGH_TEXTS)
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
        name = called(root, inside=bool(members[0].steps))
        reader = TextFolders(name, members, tuple(label for label, _ in rows))
        place = str(Path(members[0].file).parent)
        home = TableFile(name, place, "text", sum(file.size for file in members))
        yield Entry(home, split, name, layout=Layout(_SCHEMA, reader=reader))
