"""MessagePack, as Flax stores its parameters: nested maps with arrays as extension types.

Layout: the MessagePack specification; Flax ``flax/serialization.py`` (types 1 to 3: array, native
complex number, NumPy scalar; an array is itself MessagePack: shape, type, bytes). msgpack-numpy
stores arrays of objects as a pickle.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Anomaly, Artifact, Numbers, Structure
from poisonscan.formats.pickle_stream import stored_pickle
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_FIXED: Final = {
    0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8,
    0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
}  # fmt: skip
_BINARY: Final = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_TEXT: Final = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_LIST: Final = {0xDC: ">H", 0xDD: ">I"}
_MAP: Final = {0xDE: ">H", 0xDF: ">I"}
_EXTENSION: Final = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}
_SHORT_EXTENSION: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_ARRAY, _COMPLEX, _SCALAR, _TIME = 1, 2, 3, -1
_TYPE: Final = re.compile(r"[a-z_]+(\d*)[a-z0-9_]*")
_ITEMS: Final = 5_000_000
_DEPTH: Final = 1_000
_ANOMALIES_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class _Value:
    """What was read; ``kind`` is ``list`` (maps as well), ``text``, ``bytes`` and so on."""

    kind: str
    start: int
    size: int = 0  # bytes, or items of a list
    extension: int = 0
    number: int = -1


class MsgPack:
    """Maps of arrays."""

    name = "MessagePack"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its name and a first byte that begins a map or list; it has no magic bytes."""
        first = head[0] if head else 0
        return blob.suffix in (".msgpack", ".mpk") and (0x80 <= first <= 0x9F or first in _MAP)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """Arrays as numbers, pickles in it, and what is wrong with its lengths."""
        yield Numbers(blob.path, "MessagePack")
        anomalies: list[Anomaly] = []
        stopped: LimitReached | None = None
        try:
            for value in _values(view):
                data = view[value.start : value.start + value.size]
                if value.kind == "bytes":
                    base = None if blob.base is None else blob.base + value.start
                    part = blob.part(f"{value.start}.bin", data, base)
                    pickled = stored_pickle(part, data, budget)
                    if pickled is not None:
                        yield pickled
                elif value.kind == "extension" and len(anomalies) < _ANOMALIES_KEPT:
                    anomalies += _extension(value, data)
        except EOFError:
            yield Gap(blob.path, "the file ends in the middle of a value")
        except ValueError as error:
            anomalies.append(Anomaly("unreadable", str(error)))
            yield Gap(blob.path, f"cannot be read: {error}")
        except LimitReached as error:
            stopped = error
        if anomalies:
            yield Structure(blob.path, self.name, tuple(anomalies), blob.base)
        if stopped is not None:
            raise stopped


def _values(view: memoryview) -> Iterator[_Value]:
    """Every value, in order.

    Raises:
        EOFError: the data end in the middle.
        ValueError: bytes behind the value, a count beyond the end, or an unknown type.
        LimitReached: too many values, or nested too deep.
    """
    position, todo, count = 0, [1], 0
    while todo:
        if todo[-1] == 0:
            todo.pop()
            continue
        todo[-1] -= 1
        count += 1
        value, position = _read(view, position)
        if count > _ITEMS or len(todo) > _DEPTH:
            message = f"more than {_ITEMS:,} values or {_DEPTH:,} levels"
            raise LimitReached(message)
        yield value
        if value.kind == "list":
            if value.size > len(view) - position:
                message = f"{value.size:,} items at byte {position:,} reach over the end"
                raise ValueError(message)
            todo.append(value.size)
    if position < len(view):
        message = f"{len(view) - position:,} bytes behind the value"
        raise ValueError(message)


def _read(view: memoryview, position: int) -> tuple[_Value, int]:
    """One value and where it ends; of lists and maps where their items begin."""
    code = _unpack(">B", view, position)
    position += 1
    if code <= 0x7F or code >= 0xE0:
        return _Value("number", position, number=code if code <= 0x7F else code - 256), position
    if code <= 0x8F:
        return _Value("list", position, 2 * (code & 15)), position
    if code <= 0x9F:
        return _Value("list", position, code & 15), position
    if code <= 0xBF:
        return _sized("text", view, position, code & 31)
    if code in _FIXED:
        width = _FIXED[code]
        found = int.from_bytes(view[position : position + width]) if 0xCC <= code <= 0xCF else -1
        value, end = _sized("number", view, position, width)
        return _Value("number", value.start, number=found), end
    for kind, codes in (("bytes", _BINARY), ("text", _TEXT), ("list", _LIST), ("map", _MAP)):
        if code in codes:
            size = _unpack(codes[code], view, position)
            position += struct.calcsize(codes[code])
            if kind in ("list", "map"):
                return _Value("list", position, size * (2 if kind == "map" else 1)), position
            return _sized(kind, view, position, size)
    size = _SHORT_EXTENSION.get(code, -1)
    if code in _EXTENSION:
        size = _unpack(_EXTENSION[code], view, position)
        position += struct.calcsize(_EXTENSION[code])
    if size < 0:
        message = f"the unknown type {code:#x} at byte {position - 1:,}"
        raise ValueError(message)
    kind_of = _unpack(">b", view, position)
    value, end = _sized("extension", view, position + 1, size)
    return _Value("extension", value.start, size, kind_of), end


def _unpack(form: str, view: memoryview, position: int) -> int:
    if position + struct.calcsize(form) > len(view):
        raise EOFError
    return int(struct.unpack_from(form, view, position)[0])


def _sized(kind: str, view: memoryview, position: int, size: int) -> tuple[_Value, int]:
    if size > len(view) - position:
        raise EOFError
    return _Value(kind, position, size), position + size


def _extension(value: _Value, data: memoryview) -> Iterator[Anomaly]:
    """What is wrong with an array: its type, or its bytes for its shape."""
    if value.extension in (_COMPLEX, _TIME):
        return
    if value.extension not in (_ARRAY, _SCALAR):
        what = f"has an extension of the unknown type {value.extension}"
        yield Anomaly("extension", what, value.start)
        return
    try:
        parts = list(_values(data))
    except (EOFError, ValueError):
        yield Anomaly("array", "has an array that cannot be read", value.start)
        return
    shape = [part.number for part in parts if part.kind == "number"]
    name, raw = parts[-2:] if len(parts) > 3 or len(parts) == 3 + len(shape) else (None, None)
    if name is None or raw is None or name.kind != "text" or raw.kind != "bytes":
        yield Anomaly("array", "has an array without shape, type and bytes", value.start)
        return
    dtype = bytes(data[name.start : name.start + min(name.size, 40)]).decode("latin-1")
    match = _TYPE.fullmatch(dtype)
    if match is None or dtype.startswith("object"):
        yield Anomaly("dtype", f"has an array of the type {dtype!a}", value.start)
    elif match[1].isdecimal() and dtype.startswith(("float", "int", "uint", "complex")):
        size = math.prod(shape) * int(match[1][:4]) // 8
        if "_" not in dtype and int(match[1][:4]) >= 8 and "e" not in dtype and size != raw.size:
            what = f"has {raw.size:,} bytes for an array of {size:,}"
            yield Anomaly("array-length", what, value.start)
