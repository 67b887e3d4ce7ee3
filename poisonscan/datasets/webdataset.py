"""WebDataset archives: members of a tar file that share a name up to its first dot are a row.

Columns are called after what follows that dot, as in the ``datasets`` library; the top-level keys
of ``.json`` members become columns of their own. See
https://github.com/webdataset/webdataset#the-webdataset-format.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import xxhash

from poisonscan.datasets.flaws import Flaw, Place, flaw
from poisonscan.datasets.layouts import BATCH_BYTES, Layout
from poisonscan.datasets.tar_members import members
from poisonscan.escape import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from poisonscan.datasets.flaws import Sink
    from poisonscan.datasets.shards import Shard
    from poisonscan.datasets.tar_members import Member
    from poisonscan.finding import Json
    from poisonscan.formats.base import TableFile

SUFFIXES = (".tar", ".tar.gz", ".tgz")
SAMPLE = 64
"""Rows from which columns are inferred."""
SAMPLE_BYTES = 64 << 20
ROWS = 256
"""Rows of a batch."""
MAX_MEMBER = 64 << 20
"""Bytes of a member that are read."""
MAX_FIELDS = 200
"""Columns."""
MAX_DEPTH_TEXT = 16 << 20
KEY = "__key__"
PICTURES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "ppm", "pgm"})
TEXTS = frozenset({"txt", "text", "caption", "transcript"})
CLASSES = frozenset({"cls", "cls2", "index", "inx", "id"})
_RECORDINGS = frozenset({"wav", "flac", "mp3", "ogg", "opus", "m4a"})
_TELLING = PICTURES | TEXTS | CLASSES | _RECORDINGS | {"json"}
_MODELS = frozenset({
    "pt", "pth", "ckpt", "bin", "pkl", "pickle", "joblib", "h5", "onnx", "safetensors", "pb",
    "gguf", "py", "so", "yaml", "yml", "nemo",
})  # fmt: skip
"""What archives of models hold: they are not read as datasets."""

Cells = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WebDataset:
    """Reads an archive as rows.

    Attributes:
        file: the archive.
        types: type of each column.
    """

    file: str
    types: Mapping[str, pa.DataType]

    @property
    def reading(self) -> dict[str, Json]:
        """What reports say about how it is read."""
        blind = [name for name, kind in self.types.items() if pa.types.is_fixed_size_binary(kind)]
        return {"only compared by digest": ", ".join(blind)} if blind else {}

    def shards(self, shard: Shard, found: Layout) -> Iterator[Shard]:  # noqa: ARG002
        """The whole archive."""
        yield shard

    def batches(self, columns: Sequence[str], problem: Sink) -> Iterator[pa.RecordBatch]:
        """Rows in order.

        Raises:
            ValueError: the archive is damaged.
        """
        rows: list[Cells] = []
        size = 0
        damage = None
        found = _rows(self.file, self.types, frozenset(columns), problem)
        while damage is None:
            try:
                row = next(found, None)
            except ValueError as error:  # the rows before it count
                row, damage = None, error
            if row is not None:
                rows.append(row)
                size += sum(len(cell) for cell in row.values() if isinstance(cell, bytes | str))
            if rows and (row is None or len(rows) >= ROWS or size >= BATCH_BYTES):
                yield self._batch(rows, columns)
                rows, size = [], 0
            if row is None:
                break
        if damage is not None:
            raise damage

    def _batch(self, rows: Sequence[Cells], columns: Sequence[str]) -> pa.RecordBatch:
        made = {
            name: pa.array([row.get(name) for row in rows], self.types[name]) for name in columns
        }
        return pa.RecordBatch.from_pydict(made)


def split_name(name: str) -> tuple[str, str]:
    """Key and field of a member: what stands before and behind the first dot of its name."""
    folder, slash, last = name.rpartition("/")
    stem, dot, field = last.partition(".")
    return (folder + slash + stem, field) if dot and stem else ("", "")


def fields_of(file: str) -> frozenset[str]:
    """The fields of the rows of a WebDataset; none for any other archive."""
    counts: list[frozenset[str]] = []
    key, fields = None, set[str]()
    try:
        for number, member in enumerate(members(file)):
            own, field = split_name(member.name)
            if field.rpartition(".")[2].lower() in _MODELS:
                return frozenset()
            if not own or PurePosixPath(own).name.startswith("._"):
                continue
            if own != key and key is not None:
                counts.append(frozenset(fields))
                fields = set()
            key = own
            if field in fields:
                return frozenset()
            fields.add(field)
            if len(counts) >= 5 or number > 1_000:
                break
        else:
            counts.append(frozenset(fields))
    except (OSError, ValueError):
        pass  # what is damaged later is told when it is read
    if len(counts) > 2:
        del counts[-1]  # the archive may be cut short
    telling = any(field.rpartition(".")[2].lower() in _TELLING for one in counts for field in one)
    same = len(counts) > 1 and telling and len(set(counts)) == 1
    return counts[0] if same else frozenset()


def webdataset_layout(file: TableFile) -> Layout:
    """The columns of an archive, by its first rows.

    Raises:
        OSError: it cannot be read.
    """
    values: dict[str, list[Any]] = {KEY: [""]}
    size = count = 0
    with contextlib.suppress(ValueError):  # told when the rows are read
        for row in _rows(file.file, None, None, lambda _: None):
            for name, cell in row.items():
                if name in values or len(values) < MAX_FIELDS:
                    values.setdefault(name, []).append(cell)
                size += len(cell) if isinstance(cell, bytes | str) else 8
            count += 1
            if count >= SAMPLE or size >= SAMPLE_BYTES:
                break
    types = {name: _type(name, cells) for name, cells in values.items()}
    schema = pa.schema(list(types.items()))
    pictures = tuple(name for name in types if _last(name) in PICTURES)
    return Layout(schema, pictures=pictures, reader=WebDataset(file.file, types))


def _last(field: str) -> str:
    return field.rpartition(".")[2].lower()


def _type(name: str, cells: Sequence[Any]) -> pa.DataType:
    kinds = {type(cell) for cell in cells if cell is not None}
    if bytes in kinds:
        return pa.binary() if _last(name) in PICTURES else pa.binary(16)
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int} and all(abs(cell) < 1 << 62 for cell in cells if cell is not None):
        return pa.int64()
    if kinds and kinds <= {int, float}:
        return pa.float64()
    return pa.string()


def _rows(
    file: str,
    types: Mapping[str, pa.DataType] | None,
    columns: frozenset[str] | None,
    problem: Sink,
) -> Iterator[Cells]:
    """Rows of an archive: cells by column.

    Args:
        file: the archive.
        types: of the columns; None while they are inferred.
        columns: what is wanted; None: all.
        problem: told about what is left out.
    """
    row: Cells = {}
    seen: set[str] = set()
    found = members(file)
    while True:
        try:
            member = next(found, None)
        except ValueError:
            if row:
                yield row
            raise
        if member is None:
            break
        key, field = split_name(member.name)
        if not key:
            continue
        if row and row[KEY] != key:
            yield row
            row, seen = {}, set()
        row[KEY] = key
        if field in seen:
            problem(_of("there twice, of which the first is read", member))
            continue
        seen.add(field)
        cells = _cells(member, field, columns, problem)
        if types is not None:
            cells = {name: _fit(cell, types[name]) for name, cell in cells.items() if name in types}
        row |= {name: cell for name, cell in cells.items() if name not in row}
    if row:
        yield row


def _cells(member: Member, field: str, columns: frozenset[str] | None, problem: Sink) -> Cells:
    """What a member says: one cell, or one for each key of a JSON object."""
    kind = _last(field)
    if columns is not None and kind != "json" and field not in columns:
        return {}
    data = member.read(MAX_MEMBER)
    if data is None:
        problem(_of(f"not read, of more than {MAX_MEMBER:,} bytes", member))
        return {}
    if kind == "json":
        return _keys(data, field, member, problem)
    if kind in PICTURES:
        return {field: data}
    if kind in TEXTS:
        return {field: data.decode("utf-8", "replace")}
    if kind in CLASSES:
        text = data.decode("utf-8", "replace").strip()
        return {field: int(text) if text.isdecimal() and len(text) < 19 else text}
    return {field: xxhash.xxh3_128_digest(data)}


def _keys(data: bytes, field: str, member: Member, problem: Sink) -> Cells:
    try:
        content = json.loads(data) if len(data) <= MAX_DEPTH_TEXT else None
    except (ValueError, RecursionError):
        content = None
    if content is None:
        problem(_of("not read, no JSON", member))
        return {}
    if not isinstance(content, dict):
        return {field: data.decode("utf-8", "replace")}
    return {
        name: json.dumps(value) if isinstance(value, dict | list) else value
        for name, value in content.items()
    }


def _of(what: str, member: Member) -> Flaw:
    return flaw(what, "member", [Place(0, quote(member.name))])


def _fit(cell: Any, kind: pa.DataType) -> Any:
    """A cell as its column's type has it; None where it cannot be."""
    if cell is None:
        return None
    if isinstance(cell, bytes):
        digest = pa.types.is_fixed_size_binary(kind) and len(cell) == kind.byte_width
        return cell if digest or pa.types.is_binary(kind) else None
    if pa.types.is_string(kind):
        text = cell if isinstance(cell, str) else json.dumps(cell)
        return text.encode("utf-8", "replace").decode()
    if pa.types.is_boolean(kind):
        return cell if isinstance(cell, bool) else None
    if isinstance(cell, int | float) and pa.types.is_floating(kind):
        return float(cell) if abs(cell) < 1e300 else None
    if isinstance(cell, int) and pa.types.is_integer(kind) and abs(cell) < 1 << 62:
        return int(cell)
    return None
