"""What the schema of an Arrow or parquet file makes its readers do: extension types.

A field's metadata may name a type of some library, and bytes that this library makes the type from.
Some unpickle them: pyarrow before 14.0.1 for ``arrow.py_extension_type`` (CVE-2023-47248), Ray 2.49
to 2.54 for its tensors (CVE-2026-41486). Petastorm keeps pickles in the key-value metadata.

Layout: Arrow columnar format 1.5, "Serialization and interprocess communication", ``Schema.fbs``,
``Message.fbs``, ``File.fbs``; in parquet a message in base64, as ``ARROW:schema``.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from poisonscan.escape import quote
from poisonscan.finding import Gap
from poisonscan.formats.arrow_arrays import is_array_type
from poisonscan.formats.base import Artifact, ExtensionType, ExtensionTypes, PickleStream
from poisonscan.formats.flatbuffer import Table, root
from poisonscan.formats.parquet_footer import footer, key_values
from poisonscan.formats.pickle_stream import Pickle, stored_pickle
from poisonscan.limits import Budget, LimitReached
from poisonscan.pickles.events import Event, Import
from poisonscan.sources.base import Blob

UNPICKLED: Final = frozenset({"arrow.py_extension_type"})
"""Types whose metadata is always a pickle."""
OBJECTS: Final = "ray.data.arrow_pickled_object"
"""A column of pickles, which Ray loads when a row is looked at (GHSA-2g92-c6p8)."""
_MAGIC: Final = b"ARROW1"
_CONTINUED: Final = b"\xff\xff\xff\xff"
_NAME, _DATA = b"ARROW:extension:name", b"ARROW:extension:metadata"
_SCHEMA: Final = b"ARROW:schema"
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]*+")
_LONGEST_NAME: Final = 200
# Numbers of fields in Schema.fbs, Message.fbs and File.fbs.
_MESSAGE_KIND, _MESSAGE_HEADER, _SCHEMA_KIND = 1, 2, 1
_FOOTER_SCHEMA = 1
_SCHEMA_FIELDS, _SCHEMA_METADATA = 1, 2
_FIELD_NAME, _FIELD_CHILDREN, _FIELD_METADATA = 0, 5, 6
_KEY, _VALUE = 0, 1

Item = Blob | Artifact | Gap
_Pair = tuple[bytes, int, memoryview]
"""A key, where its value stands, and the value."""


def in_arrow(blob: Blob, view: memoryview, budget: Budget) -> Iterator[Item]:
    """Extension types and pickles in the schemas of an Arrow file or stream."""
    is_file = bytes(view[:6]) == _MAGIC
    parts = [_first_message(view, 8), _footer(view)] if is_file else [_first_message(view, 0)]
    schemas = _Schemas(blob, budget)
    for part in filter(None, parts):
        base = None if blob.base is None else blob.base + part.start
        yield from schemas.read(part, base)
    yield from schemas.types()


def in_parquet(blob: Blob, view: memoryview, budget: Budget) -> Iterator[Item]:
    """Extension types in the Arrow schemas of a parquet file, and pickles beside them."""
    data = footer(view)
    if data is None:
        return  # readers refuse it, and the reader of its rows says so
    if len(data) > budget.limits.header:
        message = f"a parquet footer of {len(data):,} bytes"
        raise LimitReached(message)
    try:
        pairs = key_values(data)
    except ValueError as error:
        yield Gap(blob.path, f"its schema was not checked: {error}")
        return
    schemas = _Schemas(blob, budget)
    for key, value in pairs:
        if key != _SCHEMA:
            yield from schemas.text(key, value, None)
        elif (part := _first_message(memoryview(_decoded(value)), 0)) is not None:
            yield from schemas.read(part, None)
    yield from schemas.types()


def _decoded(text: memoryview) -> bytes:
    """Base64 up to the first other character, as Arrow decodes it."""
    match = _BASE64.match(text)
    kept = match.group() if match else b""
    kept = kept[: len(kept) - (len(kept) % 4 == 1)]
    return base64.b64decode(kept + b"=" * (-len(kept) % 4))


@dataclass(frozen=True, slots=True)
class _Part:
    """A message or footer, and where it stands."""

    data: memoryview
    start: int
    is_footer: bool = False


def _first_message(view: memoryview, place: int) -> _Part | None:
    if bytes(view[place : place + 4]) == _CONTINUED:
        place += 4
    if place + 4 > len(view):
        return None
    (length,) = struct.unpack_from("<I", view, place)
    return _Part(view[place + 4 : place + 4 + length], place + 4)


def _footer(view: memoryview) -> _Part | None:
    if len(view) < 18 or bytes(view[-6:]) != _MAGIC:
        return None
    (length,) = struct.unpack_from("<I", view, len(view) - 10)
    start = len(view) - 10 - length
    return _Part(view[start : len(view) - 10], start, is_footer=True) if start >= 0 else None


@dataclass(frozen=True, slots=True)
class _Schemas:
    """The schemas of one file; what stands in two of them is told once."""

    blob: Blob
    budget: Budget
    _types: dict[ExtensionType, None] = field(default_factory=dict)
    _told: set[tuple[str, bytes]] = field(default_factory=set)

    def read(self, part: _Part, base: int | None) -> Iterator[Blob | Gap]:
        """Everything in one schema; ``base`` is the offset of ``part`` in the outermost file."""
        try:
            for path, pairs in _metadata(part, self.budget):
                names = [_name(value) for key, _, value in pairs if key == _NAME]
                for key, place, value in pairs:
                    offset = None if base is None else base + place
                    if key == _DATA and names:
                        yield from self._type(path, names, value, offset)
                    elif key != _NAME:
                        yield from self.text(key, value, offset)
                if OBJECTS in names and self._first(path, b""):
                    what = f"column {quote(path)} holds pickles, which Ray loads"
                    yield Gap(self.blob.path, f"{what}: they were not checked")
        except ValueError as error:
            yield Gap(self.blob.path, f"its schema was not checked: {error}")

    def text(self, key: bytes, value: memoryview, offset: int | None) -> Iterator[Blob]:
        """A value of the metadata, if it is a pickle."""
        part = self.blob.part(f"{key.decode('utf-8', 'replace')}.pkl", value, offset)
        if _imports(self._events(part, value)) and self._first(part.path, value):
            yield part

    def types(self) -> Iterator[ExtensionTypes]:
        """The extension types of all schemas."""
        if self._types:
            yield ExtensionTypes(self.blob.path, tuple(self._types))

    def _type(
        self, path: str, names: list[str], data: memoryview, offset: int | None
    ) -> Iterator[Blob]:
        """What a library makes a type from; if that is a pickle, it is scanned as one."""
        part = self.blob.part(f"{path or 'schema'}.pkl", data, offset)
        pickled = any(name in UNPICKLED for name in names)
        events = self._events(part, data, certain=pickled)
        imports, known = _imports(events), is_array_type(events)
        self._types.update((ExtensionType(name, path, imports, known), None) for name in names)
        if ((pickled and data) or imports) and not known and self._first(part.path, data):
            yield part

    def _events(self, part: Blob, data: memoryview, *, certain: bool = False) -> tuple[Event, ...]:
        """What a pickle does; nothing if this is none and not ``certain``."""
        stream = stored_pickle(part, data, self.budget)
        if stream is None and certain:
            read = Pickle().open(part, data, self.budget)
            stream = next(item for item in read if isinstance(item, PickleStream))
        return tuple(stream.events) if stream is not None else ()

    def _first(self, path: str, data: bytes | memoryview) -> bool:
        what = (path, hashlib.sha256(data).digest())
        new = what not in self._told
        self._told.add(what)
        return new


def _imports(events: Iterable[Event]) -> tuple[tuple[str, str], ...]:
    found = [event.target for event in events if isinstance(event, Import)]
    return tuple(dict.fromkeys((target.module, target.name) for target in found))


def _metadata(part: _Part, budget: Budget) -> Iterator[tuple[str, list[_Pair]]]:
    """The metadata of the schema, named by an empty path, and of every field at any depth.

    Raises:
        ValueError: the schema makes no sense.
        LimitReached: it has more fields than allowed.
    """
    schema = _find(part)
    if schema is None:
        return
    yield "", list(_pairs(schema, _SCHEMA_METADATA, budget))
    pending = [(field, "") for field in schema.tables(_SCHEMA_FIELDS, budget)]
    while pending:
        field, outer = pending.pop()
        name = field.text(_FIELD_NAME, _LONGEST_NAME)
        path = f"{outer[:_LONGEST_NAME]}.{name}" if outer else name
        yield path, list(_pairs(field, _FIELD_METADATA, budget))
        pending += [(child, path) for child in field.tables(_FIELD_CHILDREN, budget)]


def _find(part: _Part) -> Table | None:
    """The schema of a message or a footer; None for a message of another kind."""
    outer = root(part.data)
    if part.is_footer:
        return outer.table(_FOOTER_SCHEMA)
    is_schema = outer.number(_MESSAGE_KIND, 1) == _SCHEMA_KIND
    return outer.table(_MESSAGE_HEADER) if is_schema else None


def _pairs(table: Table, index: int, budget: Budget) -> Iterator[_Pair]:
    for pair in table.tables(index, budget):
        start, count = pair.span(_VALUE)
        yield _octets(pair, _KEY), start, pair.view[start : start + count]


def _name(value: memoryview) -> str:
    return bytes(value[:_LONGEST_NAME]).decode("utf-8", "replace")


def _octets(table: Table, index: int) -> bytes:
    start, count = table.span(index)
    return bytes(table.view[start : start + min(count, _LONGEST_NAME)])
