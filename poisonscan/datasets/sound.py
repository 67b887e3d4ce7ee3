"""Folders of audio: the folder that holds a recording is its class, as in ``audiofolder``.

Recordings are not decoded: a row's content is the digest of the file's bytes. So labels, exact
duplicates and leaks between splits are seen, and what is heard is not; the report says so.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa
import xxhash

from poisonscan.datasets.entries import Entry
from poisonscan.datasets.flaws import Place, flaw
from poisonscan.datasets.folders import above_split, folder_roots
from poisonscan.datasets.layouts import Layout
from poisonscan.datasets.naming import split_of
from poisonscan.datasets.readers import in_chunks
from poisonscan.escape import quote
from poisonscan.formats.base import TableFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from poisonscan.datasets.flaws import Sink
    from poisonscan.datasets.shards import Shard
    from poisonscan.finding import Json

CHUNK = 2_000
"""Files in a shard."""
ROWS = 256
"""Files in a batch."""
MAX_FILE = 4 << 30
"""Bytes of a recording."""
AUDIO, NAME, LABEL = "audio", "file_name", "label"
NOT_HEARD = "not decoded: content is the digest of the files"


@dataclass(frozen=True, slots=True)
class AudioFiles:
    """Reads a folder's recordings as rows.

    Attributes:
        root: path of the folder, as reports call it.
        files: the recordings.
        labels: the class of each; empty without classes.
    """

    root: str
    files: tuple[TableFile, ...]
    labels: tuple[str, ...] = ()

    @property
    def reading(self) -> dict[str, Json]:
        """What reports say about how it is read."""
        return {"audio": NOT_HEARD}

    def shards(self, shard: Shard, found: Layout) -> Iterator[Shard]:
        """A shard for each ``CHUNK`` files."""
        return in_chunks(self, CHUNK, shard, found)

    def of(self, files: tuple[TableFile, ...], labels: tuple[str, ...]) -> AudioFiles:
        """The same of some of the files."""
        return AudioFiles(self.root, files, labels)

    def batches(self, columns: Sequence[str], problem: Sink) -> Iterator[pa.RecordBatch]:
        """Rows in order. A file that cannot be read is a row without content."""
        for start in range(0, len(self.files), ROWS):
            files = self.files[start : start + ROWS]
            made: dict[str, pa.Array] = {}
            if AUDIO in columns:
                digests = [digest_of(Path(file.file)) for file in files]
                for number, file in enumerate(files):
                    if digests[number] is None:
                        problem(flaw("cannot be read", "file", [Place(0, quote(file.path))]))
                        digests[number] = unheard(file.path)
                made[AUDIO] = pa.array(digests, pa.binary())
            if NAME in columns:
                names = [file.path.removeprefix(f"{self.root}/") for file in files]
                made[NAME] = pa.array(names, pa.string())
            if LABEL in columns:
                made[LABEL] = pa.array(self.labels[start : start + ROWS], pa.string())
            yield pa.RecordBatch.from_pydict({name: made[name] for name in columns})


def unheard(name: str) -> bytes:
    """What stands for the digest of a file that cannot be read: not equal to any other."""
    return xxhash.xxh3_128_digest(b"not read\0" + name.encode("utf-8", "surrogateescape"))


def digest_of(file: Path) -> bytes | None:
    """Digest of a file's bytes, 16 bytes; None when it cannot be read or is too large."""
    digest = xxhash.xxh3_128()
    try:
        if not file.is_file() or file.stat().st_size > MAX_FILE:
            return None
        with file.open("rb") as source:
            while block := source.read(1 << 20):
                digest.update(block)
    except OSError:
        return None
    return digest.digest()


def open_audio(files: Sequence[TableFile]) -> list[Entry]:
    """An entry for each split of each folder of recordings."""
    by_folder: dict[PurePosixPath, list[TableFile]] = defaultdict(list)
    for file in files:
        by_folder[PurePosixPath(file.path).parent].append(file)
    roots: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for folder, root in folder_roots(list(by_folder)).items():
        roots[root].append(folder)
    return [
        entry
        for root, folders in sorted(roots.items())
        for entry in _entries(root, folders, by_folder)
    ]


def _entries(
    root: PurePosixPath,
    folders: Sequence[PurePosixPath],
    by_folder: Mapping[PurePosixPath, Sequence[TableFile]],
) -> Iterator[Entry]:
    outer = {folder: above_split(folder) for folder in folders}
    has_classes = any(above != root for above in outer.values())
    by_split: dict[str, list[tuple[str, TableFile]]] = defaultdict(list)
    for folder in folders:
        relative = "/".join((*folder.relative_to(root).parts[:1], "x")) if folder != root else "x"
        label = folder.name if outer[folder] != root else ""
        by_split[split_of(relative)] += [(label, file) for file in by_folder[folder]]
    names = [AUDIO, NAME, *([LABEL] if has_classes else [])]
    types = [pa.binary(), pa.string(), pa.string()]
    schema = pa.schema(list(zip(names, types, strict=False)))
    for split, entries in by_split.items():
        entries.sort(key=lambda entry: entry[1].path)
        recordings = tuple(file for _, file in entries)
        labels = tuple(label for label, _ in entries) if has_classes else ()
        reader = AudioFiles(str(root), recordings, labels)
        size = sum(file.size for file in recordings)
        home = TableFile(str(root), str(Path(recordings[0].file).parent), "audio", size)
        yield Entry(home, split, str(root), layout=Layout(schema, reader=reader))
