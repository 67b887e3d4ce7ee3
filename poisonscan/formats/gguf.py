"""GGUF: keys and values, descriptions of tensors, then the tensors' bytes, aligned.

Layout, limits and alignment: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Version 1
has 32-bit counts and lengths; a file of version 3 may be big-endian, its magic is the same. What
readers in C refuse or confuse (an overlap, a key that stands twice or holds a NUL) is an anomaly.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Anomaly, Artifact, Structure, Template
from poisonscan.formats.chat_template import template
from poisonscan.formats.ggml_types import BLOCKS
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_VERSIONS: Final = (1, 2, 3)
_SCALARS: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type: u8, i8, u16, i16, u32, i32, f32, bool, u64, i64, f64."""
_CODES: Final = {2: "H", 3: "h", 4: "I", 5: "i", 10: "Q", 11: "q"}
_STRING: Final = 8
_ARRAY: Final = 9
_U32: Final = 4
_LONGEST_KEY: Final = 65_535
_LONGEST_STRING: Final = 64 << 20
_LONGEST_NAME: Final = 63
"""Bytes of a tensor's name: ggml keeps 64, with a NUL (``GGML_MAX_NAME``)."""
_MOST_DIMENSIONS: Final = 4
_DEEPEST_ARRAY: Final = 4
_ALIGNMENT: Final = 32
_ANOMALIES_KEPT: Final = 100
_TEMPLATE: Final = "template"
"""Part of every key that holds a chat template: ``tokenizer.chat_template`` and those below it."""


class _BrokenError(Exception):
    """A contradiction after which nothing more can be read."""

    def __init__(self, kind: str, what: str, offset: int) -> None:
        super().__init__(what)
        self.anomaly = Anomaly(kind, what, offset)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor's description.

    Attributes:
        name: as written.
        start: of its data, counted from the data's beginning.
        size: bytes of its data, None for types that are not known here.
        at: where the description stands.
    """

    name: str
    start: int
    size: int | None
    at: int


@dataclass(slots=True)
class _Reader:
    """Reads forward through a file; every length is checked against what is left."""

    view: memoryview
    order: str
    wide: bool
    items: int
    position: int = 8
    anomalies: list[Anomaly] = field(default_factory=list)

    def left(self) -> int:
        return len(self.view) - self.position

    def take(self, size: int, what: str) -> int:
        """Step over ``size`` bytes; returns where they begin."""
        start = self.position
        if size > self.left():
            message = f"{what} takes {size:,} bytes where {self.left():,} are left"
            raise _BrokenError("beyond-end", message, start)
        self.position += size
        return start

    def number(self, code: str, what: str) -> int:
        form = struct.Struct(self.order + code)
        (value,) = form.unpack_from(self.view, self.take(form.size, what))
        return int(value)

    def count(self, what: str) -> int:
        return self.number("Q" if self.wide else "I", what)

    def text(self, longest: int, what: str) -> bytes:
        """A string with its length before it."""
        at, length = self.position, self.count(what)
        if length > longest:
            message = f"{what} is said to have {length:,} bytes; at most {longest:,} are allowed"
            raise _BrokenError("oversized-string", message, at)
        start = self.take(length, what)
        return bytes(self.view[start : start + length])

    def enough(self, count: int, least: int, what: str, at: int) -> None:
        """That so many things of at least ``least`` bytes each fit in what is left."""
        if count * least > self.left():
            message = f"{count:,} {what} are said to follow; at most {self.left() // least:,} fit"
            raise _BrokenError("count-beyond-end", message, at)

    def spend(self, count: int) -> None:
        """Count array elements that are read one by one.

        Raises:
            LimitReached: too many.
        """
        self.items -= count
        if self.items < 0:
            message = "more strings in arrays than any vocabulary has"
            raise LimitReached(message)

    def note(self, kind: str, what: str, offset: int, name: str = "") -> None:
        self.anomalies.append(Anomaly(kind, what, offset, name))

    def skip_strings(self, count: int) -> None:
        """Step over strings, quickly: vocabularies have hundreds of thousands."""
        form = struct.Struct(self.order + ("Q" if self.wide else "I"))
        unpack, view, width, end = form.unpack_from, self.view, form.size, len(self.view)
        position, last = self.position, len(self.view) - form.size
        for _ in range(count):
            if position > last:
                break
            position += width + unpack(view, position)[0]
        else:
            if position <= end:
                self.position = position
                return
        raise _BrokenError("beyond-end", "an array of strings reaches over the end", self.position)


@dataclass(slots=True)
class _Header:
    """What the keys say that matters further on."""

    alignment: int = _ALIGNMENT
    templates: list[tuple[str, bytes]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)


class Gguf:
    """Models of llama.cpp and its relatives: no code, but templates that loaders run."""

    name = "GGUF"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By its magic, forwards or backwards."""
        return head.startswith((b"GGUF", b"FUGG"))

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """Templates, and what is wrong with the structure."""
        anomalies: list[Anomaly] = []
        gaps: list[str] = []
        found: list[Template | Gap] = []
        try:
            reader = _begin(view, budget)
            anomalies = reader.anomalies
            header = _Header()
            try:
                tensors = _read(reader, header, budget)
            finally:
                for key, text in header.templates:
                    found.extend(template(blob.path, key, text, budget))
            gaps += _check(tensors, header, reader)
        except _BrokenError as error:
            anomalies.append(error.anomaly)
            gaps.append(f"not read from byte {error.anomaly.offset:,} on: {error}")
        except LimitReached as error:
            gaps.append(f"limit reached: {error}")
        yield from found
        yield Structure(blob.path, self.name, tuple(anomalies[:_ANOMALIES_KEPT]), blob.base)
        if len(anomalies) > _ANOMALIES_KEPT:
            gaps.append(f"{len(anomalies) - _ANOMALIES_KEPT:,} more problems are not listed")
        yield from (Gap(blob.path, gap) for gap in gaps)


def _begin(view: memoryview, budget: Budget) -> _Reader:
    """Version and byte order. A big-endian version has its low 16 bits empty when read little."""
    if len(view) < 8:
        message = f"a GGUF file of {len(view)} bytes"
        raise _BrokenError("beyond-end", message, 0)
    (version,) = struct.unpack_from("<I", view, 4)
    order = "<"
    if version & 0xFFFF == 0:
        order = ">"
        (version,) = struct.unpack_from(">I", view, 4)
    if version not in _VERSIONS:
        message = f"has the unknown version {version:,}"
        raise _BrokenError("unknown-version", message, 4)
    reader = _Reader(view, order, version > 1, budget.limits.strings)
    if bytes(view[:4]) == b"FUGG":
        reader.note("reversed-magic", "begins with 'FUGG', which no reader accepts", 0)
    return reader


def _read(reader: _Reader, header: _Header, budget: Budget) -> list[_Tensor]:
    """Everything before the tensors' data."""
    at = reader.position
    tensors = reader.count("the number of tensors")
    pairs = reader.count("the number of keys")
    width = 8 if reader.wide else 4
    most = budget.limits.members
    # A key: its length, a type, a value of a byte. A tensor: length, dimensions, type, offset.
    reader.enough(pairs, width + 5, "keys", at)
    reader.enough(tensors, width + 16, "tensors", at)
    if max(tensors, pairs) > most:
        message = f"more than {most:,} tensors or keys"
        raise LimitReached(message)
    seen: set[bytes] = set()
    for _ in range(pairs):
        _pair(reader, header, seen)
    _consistent(header, reader)
    seen.clear()
    return [_tensor(reader, header, seen) for _ in range(tensors)]


def _name(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _pair(reader: _Reader, header: _Header, seen: set[bytes]) -> None:
    """One key with its value."""
    at = reader.position
    raw = reader.text(_LONGEST_KEY, "a key")
    cut = raw.partition(b"\0")[0]  # what readers in C take it for
    key = _name(cut)
    if cut != raw:
        reader.note("nul-in-key", "holds a NUL: readers in C see a shorter key", at, _name(raw))
    if cut in seen:
        reader.note("duplicate-key", "stands there more than once", at, key)
    seen.add(cut)
    kind = reader.number("I", f"the type of {key[:80]!r}")
    if kind == _STRING:
        value = reader.text(_LONGEST_STRING, f"the value of {key[:80]!r}")
        if _TEMPLATE in key:
            header.templates.append((key, value))
            if b"\0" in value:
                reader.note("nul-in-template", "holds a NUL: readers in C see less of it", at, key)
    elif kind == _ARRAY:
        _array(reader, header, key, 1)
    elif kind in _SCALARS:
        start = reader.take(_SCALARS[kind], f"the value of {key[:80]!r}")
        if kind == 7 and reader.view[start] > 1:
            reader.note("bad-bool", f"is neither true nor false: {reader.view[start]}", start, key)
        if kind in _CODES and key in ("general.alignment", "split.no", "split.count"):
            value_of = struct.unpack_from(reader.order + _CODES[kind], reader.view, start)
            header.numbers[key] = value_of[0]
    else:
        message = f"{key[:80]!r} has a value of the unknown type {kind:,}"
        raise _BrokenError("unknown-value-type", message, at)


def _array(reader: _Reader, header: _Header, key: str, depth: int) -> None:
    at = reader.position
    kind = reader.number("I", "the type of an array")
    count = reader.count("the length of an array")
    if kind in _SCALARS:
        reader.enough(count, _SCALARS[kind], "numbers", at)
        reader.take(count * _SCALARS[kind], "an array")
        return
    width = 8 if reader.wide else 4
    if kind == _STRING:
        reader.enough(count, width, "strings", at)
        reader.spend(count)
        if _TEMPLATE in key:
            for _ in range(count):
                header.templates.append((key, reader.text(_LONGEST_STRING, "a template")))
        else:
            reader.skip_strings(count)
    elif kind == _ARRAY and depth < _DEEPEST_ARRAY:
        reader.enough(count, width + 4, "arrays", at)
        reader.spend(count)
        for _ in range(count):
            _array(reader, header, key, depth + 1)
    else:
        what = "is nested too deep" if kind == _ARRAY else f"has the unknown type {kind:,}"
        message = f"an array of {key[:80]!r} {what}"
        raise _BrokenError("bad-array", message, at)


def _consistent(header: _Header, reader: _Reader) -> None:
    """That the numbers which readers rely on can be relied on."""
    numbers = header.numbers
    header.alignment = numbers.get("general.alignment", _ALIGNMENT)
    if not 0 < header.alignment < 1 << 31 or header.alignment & (header.alignment - 1):
        what = f"is {header.alignment:,}, no power of two"
        reader.note("bad-alignment", what, 0, "general.alignment")
        header.alignment = _ALIGNMENT
    if "split.no" in numbers and not 0 <= numbers["split.no"] < numbers.get("split.count", 1):
        what = f"is {numbers['split.no']:,} of {numbers.get('split.count', 0):,} parts"
        reader.note("bad-split", what, 0, "split.no")


def _tensor(reader: _Reader, header: _Header, seen: set[bytes]) -> _Tensor:
    """One tensor's description."""
    at = reader.position
    raw = reader.text(_LONGEST_KEY, "a tensor's name")
    name = _name(raw)
    if len(raw) > _LONGEST_NAME:
        what = f"has a name of {len(raw):,} bytes; {_LONGEST_NAME} are allowed"
        reader.note("long-name", what, at, name[:80])
    if raw in seen:
        reader.note("duplicate-tensor", "is described more than once", at, name)
    seen.add(raw)
    rank = reader.number("I", "a tensor's number of dimensions")
    if rank > _MOST_DIMENSIONS:
        message = f"the tensor {name[:80]!r} has {rank:,} dimensions; at most 4 are allowed"
        raise _BrokenError("too-many-dimensions", message, at)
    shape = [reader.count("a tensor's shape") for _ in range(rank)]
    kind = reader.number("I", "a tensor's type")
    start = reader.number("Q", "a tensor's offset")
    size = None
    if kind in BLOCKS:
        values, width = BLOCKS[kind]
        elements = math.prod(shape)
        size = elements // values * width
        if elements >= 1 << 63:
            reader.note("shape-overflow", f"has {elements:,} values", at, name)
        elif (shape[0] if shape else 1) % values:
            what = f"has rows of {shape[0] if shape else 1:,} values, no multiple of {values}"
            reader.note("ragged-row", what, at, name)
    if start % header.alignment:
        what = f"begins at {start:,}, no multiple of {header.alignment}"
        reader.note("not-aligned", what, at, name)
    return _Tensor(name, start, size, at)


def _check(tensors: list[_Tensor], header: _Header, reader: _Reader) -> list[str]:
    """Compare where tensors lie with one another and with the file; returns gaps."""
    step = header.alignment
    base = -(-reader.position // step) * step
    available = max(len(reader.view) - base, 0)
    unknown = sum(tensor.size is None for tensor in tensors)
    end = 0
    beyond: list[_Tensor] = []
    for tensor in sorted(tensors, key=lambda each: each.start):
        length = tensor.size or 0
        if tensor.start + length > available and (length or tensor.start > available):
            beyond.append(tensor)
        if tensor.start < end and length:
            what = f"begins at byte {tensor.start:,} of the data, inside the tensor before it"
            reader.note("overlap", what, base + tensor.start, tensor.name)
        elif tensor.start >= end + step and not unknown:
            what = f"leaves {tensor.start - end:,} bytes before it that belong to no tensor"
            reader.note("hole", what, base + end, tensor.name)
        end = max(end, tensor.start + length)
    if beyond:
        others = f" (and {len(beyond) - 1:,} more)" if len(beyond) > 1 else ""
        what = f"has its data{others} outside of {available:,} bytes: the file may be cut short"
        reader.note("out-of-range", what, beyond[0].at, beyond[0].name)
    if available >= end + step and not unknown:
        what = f"{available - end:,} bytes behind the last tensor belong to no tensor"
        reader.note("trailing-data", what, base + end)
    if unknown:
        return [f"{unknown:,} tensors of types that are not known here: sizes are not checked"]
    return []
