"""Arrays with labels as datasets: ``x`` and ``y`` of one file, or of two files beside each other.

Only names that say so make a pair, and only arrays of the same length: files of arrays are mostly
models. What is a picture by its shape is read as one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from poisonscan.datasets.entries import Entry
from poisonscan.datasets.layouts import BATCH_BYTES, BATCH_ROWS, Layout
from poisonscan.datasets.naming import SPLITS
from poisonscan.datasets.pixel_lists import as_picture_files, like_pictures
from poisonscan.datasets.stored_arrays import Stored, arrays_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from poisonscan.datasets.flaws import Sink
    from poisonscan.datasets.shards import Shard
    from poisonscan.finding import Json
    from poisonscan.formats.base import TableFile

SUFFIXES = (".npz", ".npy", ".safetensors")
_CONTENTS = frozenset({
    "x", "xs", "image", "images", "img", "imgs", "data", "feature", "features", "input", "inputs",
    "sample", "samples", "pixels", "embedding", "embeddings", "vectors", "texts", "sentences",
})  # fmt: skip
_LABELS = frozenset({"y", "ys", "label", "labels", "target", "targets", "class", "classes"})
_WORDS = re.compile(r"t10k|[A-Z]?[a-z]+|[A-Z]+")
_OF_IDX = re.compile(r"[-._]idx\d[-._]ubyte$")
PART = 64 << 20
"""Bytes of rows that make a shard."""
MAX_WIDTH = 65_536
"""Numbers of a row that is no picture."""
LABEL = "label"


@dataclass(frozen=True, slots=True)
class ArrayRows:
    """Reads two arrays side by side.

    Attributes:
        content: the rows.
        labels: the label of each.
        column: what the content is called: ``image``, ``features`` or ``text``.
        start: the first row.
        stop: the row behind the last.
        scale: what the values of pictures are multiplied by to lie between 0 and 255.
    """

    content: Stored
    labels: Stored
    column: str
    start: int
    stop: int
    scale: int = 1

    @property
    def reading(self) -> dict[str, Json]:
        """What reports say about how it is read."""
        return {"arrays": f"{self.content.name} and {self.labels.name}"}

    def shards(self, shard: Shard, found: Layout) -> Iterator[Shard]:
        """Parts that workers read by themselves; one, where reading starts at the beginning."""
        width = max(1, self.content.row_bytes)
        stored = (self.content, self.labels)
        whole = any(one.member or one.packed or not one.is_whole() for one in stored)
        step = self.stop if whole else max(BATCH_ROWS, PART // width)
        for start in range(self.start, self.stop, step):
            stop = min(self.stop, start + step)
            part = replace(found, reader=replace(self, start=start, stop=stop))
            size = (stop - start) * width
            yield replace(shard, size=size, layout=part, start=start, rows=stop - start)

    def batches(self, columns: Sequence[str], problem: Sink) -> Iterator[pa.RecordBatch]:  # noqa: ARG002
        """Rows in order.

        Raises:
            ValueError: an array is shorter than it says, or broken.
        """
        rows = max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, 4 * self.content.row_bytes)))
        labels = self.labels.read(rows, self.start, self.stop)
        if self.column not in columns:
            yield from (_batch({LABEL: _label_column(part)}) for part in labels)
            return
        contents = self.content.read(rows, self.start, self.stop)
        if LABEL not in columns:
            yield from (_batch({self.column: self._cells(part)}) for part in contents)
            return
        for part, own in zip(contents, labels, strict=True):
            yield _batch({self.column: self._cells(part), LABEL: _label_column(own)})

    def _cells(self, rows: NDArray[np.generic]) -> pa.Array:
        if self.column == "text":
            return pa.array([str(value) for value in rows.reshape(-1).tolist()], pa.string())
        if self.column == "image":
            return as_picture_files(rows, self.scale)
        flat = rows.reshape(len(rows), -1).astype(np.float32)
        return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])


def _batch(columns: dict[str, pa.Array]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def _label_column(values: NDArray[np.generic]) -> pa.Array:
    flat = values.reshape(-1)
    if flat.dtype.kind in "SU":
        return pa.array([_text(value) for value in flat.tolist()], pa.string())
    if flat.dtype.kind == "b":
        return pa.array(flat)
    return pa.array(flat.astype(flat.dtype.newbyteorder("=")).astype(_wide(flat.dtype)))


def _wide(dtype: np.dtype[np.generic]) -> type[np.int64 | np.float64]:
    return np.float64 if dtype.kind == "f" else np.int64


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


# Which arrays belong together


@dataclass(frozen=True, slots=True)
class _Named:
    """An array by what its name says."""

    stored: Stored
    file: TableFile
    is_label: bool
    split: str
    rest: tuple[str, ...]


def is_array_file(path: str) -> bool:
    """Whether the name of a file is one of arrays that may be a dataset."""
    name = PurePosixPath(path).name.lower()
    if name.endswith((".npz", ".npy")):
        return True
    if name.endswith(".safetensors"):
        return any(word in SPLITS or word in _CONTENTS for word in _WORDS.findall(name))
    return _OF_IDX.search(name.removesuffix(".gz")) is not None


def open_arrays(files: Sequence[TableFile]) -> list[Entry]:
    """An entry for each pair of contents and labels. Files that cannot be read make none."""
    groups: dict[tuple[object, ...], list[_Named]] = defaultdict(list)
    for file in files:
        try:
            found = arrays_in(file.file, _stem(file.path))
        except (OSError, ValueError, MemoryError, RecursionError):
            continue  # that it is broken is told by the check of model files
        single = not file.path.lower().endswith((".npz", ".safetensors"))
        place = str(PurePosixPath(file.path).parent) if single else file.path
        for stored in found:
            named = _by_name(stored, file)
            if named is not None:
                groups[place, single, named.split, named.rest].append(named)
    entries = [entry for group in groups.values() if (entry := _pair(group)) is not None]
    return sorted(entries, key=lambda entry: (entry.file.path, entry.split))


def _stem(path: str) -> str:
    name = PurePosixPath(path).name
    bare = _OF_IDX.sub("", name[:-3] if name.lower().endswith(".gz") else name)
    return bare[:-4] if bare.lower().endswith(".npy") else bare


def _by_name(stored: Stored, file: TableFile) -> _Named | None:
    words = [word.lower() for word in _WORDS.findall(stored.name)]
    split = ""
    rest = []
    kinds = []
    for word in words:
        if not split and (word in SPLITS or word == "t10k"):
            split = SPLITS.get(word, "test")
        elif word in _CONTENTS or word in _LABELS:
            kinds.append(word in _LABELS)
        else:
            rest.append(word)
    if len(kinds) != 1:
        return None
    return _Named(stored, file, kinds[0], split, tuple(rest))


def _pair(group: Sequence[_Named]) -> Entry | None:
    """The one content and the one array of labels of a group, if they fit together."""
    contents = [one for one in group if not one.is_label]
    labels = [one for one in group if one.is_label and _is_labels(one.stored)]
    if len(contents) != 1 or len(labels) != 1:
        return None
    content, label = contents[0], labels[0]
    form = _form(content.stored)
    if form is None or content.stored.rows != label.stored.rows:
        return None
    column, kind, scale = form
    wide = np.dtype(label.stored.dtype)
    label_type = {"f": pa.float64(), "b": pa.bool_(), "S": pa.string(), "U": pa.string()}
    schema = pa.schema([(column, kind), (LABEL, label_type.get(wide.kind, pa.int64()))])
    reader = ArrayRows(content.stored, label.stored, column, 0, content.stored.rows, scale)
    pictures = (column,) if column == "image" else ()
    home = content.file.path if content.stored.member else None
    if not content.stored.member:
        home = str(PurePosixPath(content.file.path).parent / "-".join(content.rest))
    return Entry(
        replace(content.file, format="arrays"), content.split or "train", home,
        layout=Layout(schema, pictures=pictures, reader=reader), beside=(label.file.path,),
    )  # fmt: skip


def _is_labels(stored: Stored) -> bool:
    flat = len(stored.shape) == 1 or (len(stored.shape) == 2 and stored.shape[1] == 1)
    return flat and np.dtype(stored.dtype).kind in "iubfSU"


def _form(stored: Stored) -> tuple[str, pa.DataType, int] | None:
    """The column that an array of contents makes: its name, its type, the scale of its pixels."""
    kind, shape = np.dtype(stored.dtype).kind, stored.shape
    if kind in "SU":
        return ("text", pa.string(), 1) if len(shape) == 1 else None
    if kind not in "iubf" or len(shape) == 1:
        return None
    scale = _scale(stored) if like_pictures(shape) else 0
    if scale:
        return "image", pa.large_binary(), scale
    width = int(np.prod(shape[1:], dtype=np.float64))
    return ("features", pa.list_(pa.float32(), width), 1) if width <= MAX_WIDTH else None


def _scale(stored: Stored) -> int:
    """1 for bytes; 255 for bytes that were divided by 255; 0 for what is no pixels."""
    dtype = np.dtype(stored.dtype)
    if dtype == np.uint8:
        return 1
    if dtype.kind != "f":
        return 0
    rows = max(1, min(16, stored.rows, (1 << 20) // stored.row_bytes))
    head = next(stored.read(rows, 0, rows)).astype(np.float64) * 255
    inside = bool(np.isfinite(head).all() and head.min() >= 0 and head.max() <= 255.01)
    return 255 if inside and bool((np.abs(head - np.rint(head)) < 0.01).all()) else 0
