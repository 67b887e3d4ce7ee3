"""The tensors that a torch checkpoint's pickle describes, found without loading anything.

An abstract machine reads the pickle; calls of the functions that rebuild tensors
(``torch/_utils.py``) have the storage, offset, shape and strides as arguments. Tensors are named by
the keys that lead to them, as ``state_dict()`` names them: ``_parameters``, ``_buffers`` and
``_modules`` of a module are no part of the name, nor is the only key of a checkpoint that leads to
tensors (``state_dict``, ``model``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from poisonscan.limits import Budget, LimitReached
from poisonscan.locking.tensors import BITS, Tensor, reach
from poisonscan.pickles import events
from poisonscan.pickles.machine import Machine
from poisonscan.pickles.values import Collection, Global, Persistent, Result

_STORAGES: Final = {
    "FloatStorage": "F32", "DoubleStorage": "F64", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8",
    "ByteStorage": "U8", "BoolStorage": "BOOL", "ComplexFloatStorage": "C64",
    "ComplexDoubleStorage": "C128", "UntypedStorage": "U8",
}  # fmt: skip
_DTYPES: Final = {
    "float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
    "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "uint16": "U16",
    "uint32": "U32", "uint64": "U64", "complex64": "C64", "complex128": "C128",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ",
}  # fmt: skip
_REBUILDS: Final = {
    "torch._utils._rebuild_tensor": 4,
    "torch._utils._rebuild_tensor_v2": 6,
    "torch._utils._rebuild_tensor_v3": 7,
}
"""Functions that make a tensor, and the arguments that they need at least."""
_WRAPPED: Final = frozenset({
    "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
})  # fmt: skip
_BY_TYPE: Final = "torch._tensor._rebuild_from_type_v2"
_TRANSPARENT: Final = frozenset({"_parameters", "_buffers", "_modules"})
_DEEPEST: Final = 64
_MOST: Final = 1_000_000
_FIRST_META: Final = {"torch._utils._rebuild_tensor_v2": 6, "torch._utils._rebuild_tensor_v3": 7}

Path = tuple[str, ...]


class _Whole(Collection):
    """A collection that keeps all of its items."""

    __slots__ = ()

    def add(self, items: list[object]) -> None:
        """Take in items."""
        if not isinstance(self.items, list):
            self.items = []
        self.items += items
        self.count += len(items)


class _Keeping(Machine):
    """A machine that knows all items of what the pickle makes."""

    kept = 0

    def collection(self, kind: str) -> Collection:
        """A new collection."""
        self.kept += 1
        if self.kept > _MOST:
            message = f"more than {_MOST:,} collections"
            raise LimitReached(message)
        return _Whole(kind)


@dataclass(slots=True)
class Pickled:
    """What a pickle would give, and what was put into its objects.

    Attributes:
        value: the result.
        end: offset behind the pickle.
        filled: items that were put into an object that is no plain collection, by object.
        rebuilt: how many tensors it makes.
        identifiers: what it asks the loader for.
    """

    value: object
    end: int
    filled: dict[int, tuple[str, list[object]]] = field(default_factory=dict)
    rebuilt: int = 0
    identifiers: list[object] = field(default_factory=list)
    _alive: list[object] = field(default_factory=list)


def read_pickle(view: memoryview, start: int, budget: Budget) -> Pickled:
    """Read one pickle.

    Raises:
        ValueError: it is broken or costs too much.
    """
    machine = _Keeping(view, start, budget, exact=True)
    found = Pickled(None, start)
    try:
        for event in machine.run():
            if isinstance(event, events.Change) and isinstance(event.items, Collection):
                _, items = found.filled.setdefault(id(event.target), (event.opcode, []))
                items += event.items.items
                found._alive.append(event.target)  # noqa: SLF001 - its id must not be given again
            elif isinstance(event, events.Call) and _name(event.callee) in _REBUILDS:
                found.rebuilt += 1
            elif isinstance(event, events.Persistent):
                found.identifiers.append(event.identifier)
            elif isinstance(event, events.Stop):
                found.value = event.value
            elif isinstance(event, events.Broken):
                message = f"its pickle is broken at byte {event.offset:,}"
                raise ValueError(message)
    except LimitReached as error:
        raise ValueError(str(error)) from error
    found.end = machine.position
    return found


Storages = Mapping[str, memoryview]
"""The bytes of each storage, by key."""


def tensors_of(found: Pickled, storages: Storages, most: int) -> tuple[list[Tensor], int]:
    """The tensors that a checkpoint holds, and how many have no name.

    Args:
        found: its pickle.
        storages: its storages.
        most: bytes of all tensors together.

    Raises:
        ValueError: a tensor cannot be told, lies outside of its storage, or they are too large.
    """
    placed: dict[Path, Result] = {}
    for path, result in _walk(found):
        if placed.setdefault(path, result) is not result:
            message = "two tensors have one name"
            raise ValueError(message)
    only = {path[0] for path in placed if path}
    plain = isinstance(found.value, Collection) and found.value.kind == "dict"
    if plain and len(only) == 1 and all(len(path) > 1 for path in placed):
        placed = {path[1:]: result for path, result in placed.items()}
    named = {".".join(path): result for path, result in placed.items()}
    if len(named) < len(placed):
        message = "two tensors have one name"
        raise ValueError(message)
    made = [_tensor(name, result, storages) for name, result in named.items()]
    if sum(tensor.nbytes for tensor in made) > most:
        message = "its tensors are views that are far larger than the file"
        raise ValueError(message)
    unnamed = found.rebuilt - len({id(result) for result in named.values()})
    return made, max(0, unnamed)


def _walk(found: Pickled) -> Iterator[tuple[Path, Result]]:
    """Every tensor with the keys that lead to it."""
    pending: list[tuple[Path, object, int]] = [((), found.value, 0)]
    steps = 0
    while pending:
        path, value, depth = pending.pop()
        steps += 1
        if steps > _MOST or depth > _DEEPEST:
            message = "its objects are nested too deep, or refer to one another too often"
            raise ValueError(message)
        tensor = _rebuilt(value)
        if tensor is not None:
            yield path, tensor
            continue
        for key, item in _inside(value, found):
            if isinstance(item, Collection | Result):
                pending.append((path if key in _TRANSPARENT else (*path, key), item, depth + 1))


def _inside(value: object, found: Pickled) -> Iterator[tuple[str, object]]:
    if isinstance(value, Collection):
        if value.kind == "dict":
            yield from _pairs(value.items)
        else:
            yield from ((str(number), item) for number, item in enumerate(value.items))
    elif isinstance(value, Result):
        opcode, items = found.filled.get(id(value), ("", []))
        if opcode.startswith("SETITEM"):
            yield from _pairs(items)
        else:
            yield from ((str(number), item) for number, item in enumerate(items))
        if isinstance(value.state, Collection) and value.state.kind == "dict":
            yield from _pairs(value.state.items)


def _pairs(items: object) -> Iterator[tuple[str, object]]:
    flat = items if isinstance(items, list | tuple) else ()
    last: dict[str, object] = {}
    for key, item in zip(flat[::2], flat[1::2], strict=False):
        if isinstance(key, str | int):
            last[str(key)] = item  # the last one counts
    yield from last.items()


def _name(value: object) -> str:
    return value.dotted if isinstance(value, Global) else ""


def _arguments(result: Result) -> tuple[object, ...]:
    arguments = result.arguments
    return tuple(arguments.items) if isinstance(arguments, Collection) else ()


def _rebuilt(value: object) -> Result | None:
    """The call that makes a tensor, within those that make it a parameter; None if it is none."""
    for _ in range(4):
        if not isinstance(value, Result):
            return None
        name, arguments = _name(value.callee), _arguments(value)
        if name in _REBUILDS and len(arguments) >= _REBUILDS[name]:
            return value
        if name in _WRAPPED and arguments:
            value = arguments[0]
        elif name == _BY_TYPE and len(arguments) > 2:
            value = Result(arguments[0], arguments[2])
        else:
            return None
    return None


def _tensor(name: str, result: Result, storages: Storages) -> Tensor:
    arguments, called = _arguments(result), _name(result.callee)
    storage, offset, size, stride = arguments[:4]
    shape, strides = _numbers(size), _numbers(stride)
    meta = _FIRST_META.get(called, len(arguments))
    if any(isinstance(more, Collection) and more.count for more in arguments[meta:]):
        message = "a tensor is negated or conjugated by a flag"
        raise ValueError(message)
    dtype, key = _storage(storage)
    if called.endswith("_v3"):
        given = arguments[6]
        dtype = _DTYPES.get(given.name, "") if isinstance(given, Global) else ""
    data = storages.get(key)
    if shape is None or strides is None or len(shape) != len(strides) or dtype not in BITS:
        message = "a tensor is described in a way that is not known"
        raise ValueError(message)
    if data is None:
        message = "a tensor is in a storage that is not there"
        raise ValueError(message)
    width = BITS[dtype] // 8
    inside = isinstance(offset, int) and offset >= 0
    if not inside or (int(str(offset)) + reach(shape, strides)) * width > len(data):
        message = "a tensor lies outside of its storage"
        raise ValueError(message)
    return Tensor(name, dtype, shape, data, int(str(offset)), strides)


def _numbers(value: object) -> tuple[int, ...] | None:
    """A tuple of numbers of 0 or more, also as ``torch.Size``."""
    if isinstance(value, Result) and _name(value.callee) == "torch.Size":
        value = next(iter(_arguments(value)), None)
    if not isinstance(value, Collection) or value.kind not in ("tuple", "list"):
        return None
    items = tuple(value.items)
    good = len(items) == value.count and all(type(n) is int and 0 <= n < 1 << 48 for n in items)
    return tuple(int(str(n)) for n in items) if good else None


def _storage(value: object) -> tuple[str, str]:
    """Type and key of what a persistent identifier names; empty where it names no storage."""
    identifier = value.identifier if isinstance(value, Persistent) else None
    items = tuple(identifier.items) if isinstance(identifier, Collection) else ()
    if len(items) < 5 or items[0] != "storage" or not isinstance(items[2], str):
        return "", ""
    if len(items) > 5 and items[5] is not None:  # a view of another storage, until torch 0.4
        return "", ""
    kind = items[1].name if isinstance(items[1], Global) else ""
    return _STORAGES.get(kind, ""), items[2]


def storage_types(found: Pickled) -> dict[str, str]:
    """Types of the storages that a pickle names, by key."""
    types: dict[str, str] = {}
    for identifier in found.identifiers:
        dtype, key = _storage(Persistent(identifier))
        if key:
            types[key] = dtype
    return types
