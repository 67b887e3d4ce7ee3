"""What each opcode does to the machine, by its byte (``pickletools`` describes them all)."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from poisonscan.pickles import events
from poisonscan.pickles.literals import (
    MalformedError,
    long_pusher,
    number,
    push_float,
    push_string,
    push_unicode,
)
from poisonscan.pickles.values import (
    Collection,
    Global,
    Opaque,
    Persistent,
    Result,
    Stage,
    weigh,
)

if TYPE_CHECKING:
    from poisonscan.pickles.machine import Machine

Handler = Callable[["Machine"], None]


def _unknown(m: Machine) -> None:
    raise MalformedError(f"0x{m.data[m.at]:02x} is no opcode")


# Constants.


def _value(value: object) -> Handler:
    return lambda m: m.push(value)


def _binint1(m: Machine) -> None:
    m.push(m.data[m.position])
    m.position += 1


def _binint2(m: Machine) -> None:
    m.push(m.data[m.position] | m.data[m.position + 1] << 8)
    m.position += 2


def _text(size: int) -> Handler:
    return lambda m: m.push(m.text(m.uint(size)))


def _bytes(size: int, kind: str = "bytes") -> Handler:
    return lambda m: m.push(m.constant(kind, m.uint(size)))


def _collection(kind: str) -> Handler:
    return lambda m: m.push(m.collection(kind))


def _binint(m: Machine) -> None:
    m.push(int.from_bytes(m.argument(4), "little", signed=True))


def _binfloat(m: Machine) -> None:
    m.argument(8)
    m.push(Opaque("float"))


# Stack and memo.


def _dup(m: Machine) -> None:
    m.irregular("the opcode DUP, which no pickler writes")
    m.push(m.peek())


def _get_line(m: Machine) -> None:
    m.push(m.recall(_index(m)))


def _put_line(m: Machine) -> None:
    m.remember(_index(m), m.peek())


def _index(m: Machine) -> int:
    line = m.line().partition(b"\0")[0]
    try:
        index = int(line)
    except ValueError:
        index = -1
    if index < 0:
        raise MalformedError("a memo index is no number")
    return index


def _get(size: int) -> Handler:
    return lambda m: m.push(m.recall(m.uint(size)))


def _binget(m: Machine) -> None:
    index = m.data[m.position]
    m.position += 1
    m.push(m.recall(index))


def _put(size: int) -> Handler:
    return lambda m: m.remember(m.uint(size), m.peek())


def _binput(m: Machine) -> None:
    index = m.data[m.position]
    m.position += 1
    m.remember(index, m.peek())


# Collections.


def _gather(kind: str) -> Handler:
    def gather(m: Machine) -> None:
        items = m.pop_mark()
        m.passes(items)
        collection = m.collection(kind)
        collection.add(items)
        m.weigh(collection)
        m.push(collection)

    return gather


def _tuple(size: int) -> Handler:
    def take(m: Machine) -> None:
        items = [m.pop() for _ in range(size)]
        items.reverse()
        m.passes(items)
        made = Collection("tuple", tuple(items), size, 1 + weigh(items))
        m.weigh(made)
        m.push(made)

    return take


def _put_into(m: Machine, opcode: str, items: list[object]) -> None:
    target = m.peek()
    m.passes(items)
    if isinstance(target, Collection):
        target.add(items)
        m.weigh(target)
    else:
        put = m.collection("list")
        put.add(items)
        m.emit(events.Change(m.at, opcode, target, put))
        if isinstance(target, Result):
            _reach(m, target, _STAGES[opcode])


_STAGES: Final = {
    "APPEND": Stage.APPENDED,
    "APPENDS": Stage.APPENDED,
    "SETITEM": Stage.FILLED,
    "SETITEMS": Stage.FILLED,
    # Picklers write it behind EMPTY_SET only.
    "ADDITEMS": Stage.CREATED,
}


def _reach(m: Machine, target: Result, stage: Stage) -> None:
    """An object that is changed again may call what was put into it before as its own method."""
    if target.stage > stage or target.stage is Stage.BUILT or stage is Stage.CREATED:
        m.irregular("an object is filled or given a state after it was finished")
    target.stage = max(target.stage, stage)


def _append(m: Machine) -> None:
    _put_into(m, "APPEND", [m.pop()])


def _setitem(m: Machine) -> None:
    value, key = m.pop(), m.pop()
    _put_into(m, "SETITEM", [key, value])


def _put_all(opcode: str) -> Handler:
    return lambda m: _put_into(m, opcode, m.pop_mark())


# Imports, calls and state.


def _global(m: Machine) -> None:
    module, name = m.line(), m.line()
    written = Global(module.decode("utf-8", "replace"), name.decode("utf-8", "replace"))
    m.push(m.imports(written))


def _stack_global(m: Machine) -> None:
    name, module = m.pop(), m.pop()
    if isinstance(module, str) and isinstance(name, str):
        m.push(m.imports(Global(module, name)))
    else:
        m.emit(events.ComputedImport(m.at, module, name))
        m.push(Opaque("computed name"))


def _call(m: Machine, opcode: str, callee: object, arguments: object) -> None:
    m.emit(events.Call(m.at, opcode, callee, arguments))
    m.push(Result(callee, arguments))


def _reduce(m: Machine) -> None:
    arguments, callee = m.pop(), m.pop()
    _call(m, "REDUCE", callee, arguments)


def _newobj(m: Machine) -> None:
    arguments, callee = m.pop(), m.pop()
    _call(m, "NEWOBJ", callee, arguments)


def _newobj_ex(m: Machine) -> None:
    named, arguments, callee = m.pop(), m.pop(), m.pop()
    both = Collection("tuple", [Opaque("arguments"), arguments, named], 3)
    plain = isinstance(named, Collection) and named.count == 0
    _call(m, "NEWOBJ_EX", callee, arguments if plain else both)


def _inst(m: Machine) -> None:
    module, name = m.line(), m.line()
    target = m.imports(Global(module.decode("utf-8", "replace"), name.decode("utf-8", "replace")))
    arguments = Collection("tuple")
    items = m.pop_mark()
    m.passes(items)
    arguments.add(items)
    _call(m, "INST", target, arguments)


def _obj(m: Machine) -> None:
    items = m.pop_mark()
    if not items:
        raise MalformedError("OBJ without a class")
    arguments = Collection("tuple")
    m.passes(items[1:])
    arguments.add(items[1:])
    _call(m, "OBJ", items[0], arguments)


def _build(m: Machine) -> None:
    state, target = m.pop(), m.peek()
    m.passes([state])
    m.emit(events.Build(m.at, target, state))
    if isinstance(target, Result):
        # An object in a cycle may be given its attributes twice; anything else would be an argument
        # for a method that the first state made.
        again = target.stage is Stage.BUILT and _is_dict(target.state) and _is_dict(state)
        if not again:
            _reach(m, target, Stage.BUILT)
        target.state = state


def _is_dict(value: object) -> bool:
    return isinstance(value, Collection) and value.kind == "dict"


def _persid(m: Machine) -> None:
    identifier = m.line().decode("utf-8", "replace")
    m.emit(events.Persistent(m.at, identifier))
    m.push(Persistent(identifier))


def _binpersid(m: Machine) -> None:
    identifier = m.pop()
    m.emit(events.Persistent(m.at, identifier))
    m.push(Persistent(identifier))


def _readonly_buffer(m: Machine) -> None:
    m.peek()


def _extension(size: int) -> Handler:
    def extend(m: Machine) -> None:
        m.emit(events.Extension(m.at, m.uint(size)))
        m.push(Opaque("extension"))

    return extend


# The stream itself.


def _proto(m: Machine) -> None:
    protocol = m.uint(1)
    if protocol > pickle.HIGHEST_PROTOCOL and protocol > 5:
        raise MalformedError(f"protocol {protocol} does not exist")
    if m.at != m.start:
        m.irregular("PROTO inside a stream")
    m.protocol = protocol


_TABLE: Final[dict[bytes, Handler]] = {
    pickle.PROTO: _proto,
    pickle.FRAME: lambda m: m.enter_frame(m.uint(8)),
    pickle.STOP: lambda m: m.stop(),
    pickle.NONE: _value(None),
    pickle.NEWTRUE: _value(True),  # noqa: FBT003
    pickle.NEWFALSE: _value(False),  # noqa: FBT003
    pickle.INT: lambda m: m.push(number(m.line())),
    pickle.LONG: lambda m: m.push(number(m.line())),
    pickle.BININT: _binint,
    pickle.BININT1: _binint1,
    pickle.BININT2: _binint2,
    pickle.LONG1: long_pusher(1),
    pickle.LONG4: long_pusher(4),
    pickle.FLOAT: push_float,
    pickle.BINFLOAT: _binfloat,
    pickle.STRING: push_string,
    pickle.BINSTRING: _text(4),
    pickle.SHORT_BINSTRING: _text(1),
    pickle.UNICODE: push_unicode,
    pickle.BINUNICODE: _text(4),
    pickle.SHORT_BINUNICODE: _text(1),
    pickle.BINUNICODE8: _text(8),
    pickle.BINBYTES: _bytes(4),
    pickle.SHORT_BINBYTES: _bytes(1),
    pickle.BINBYTES8: _bytes(8),
    pickle.BYTEARRAY8: _bytes(8, "bytearray"),
    pickle.NEXT_BUFFER: _value(Opaque("buffer from outside")),
    pickle.READONLY_BUFFER: _readonly_buffer,
    pickle.POP: lambda m: m.drop(),
    pickle.POP_MARK: lambda m: m.pop_mark().clear(),
    pickle.DUP: _dup,
    pickle.MARK: lambda m: m.mark(),
    pickle.GET: _get_line,
    pickle.BINGET: _binget,
    pickle.LONG_BINGET: _get(4),
    pickle.PUT: _put_line,
    pickle.BINPUT: _binput,
    pickle.LONG_BINPUT: _put(4),
    pickle.MEMOIZE: lambda m: m.memoize(),
    pickle.EMPTY_LIST: _collection("list"),
    pickle.EMPTY_TUPLE: _collection("tuple"),
    pickle.EMPTY_DICT: _collection("dict"),
    pickle.EMPTY_SET: _collection("set"),
    pickle.LIST: _gather("list"),
    pickle.TUPLE: _gather("tuple"),
    pickle.DICT: _gather("dict"),
    pickle.FROZENSET: _gather("frozenset"),
    pickle.TUPLE1: _tuple(1),
    pickle.TUPLE2: _tuple(2),
    pickle.TUPLE3: _tuple(3),
    pickle.APPEND: _append,
    pickle.APPENDS: _put_all("APPENDS"),
    pickle.SETITEM: _setitem,
    pickle.SETITEMS: _put_all("SETITEMS"),
    pickle.ADDITEMS: _put_all("ADDITEMS"),
    pickle.GLOBAL: _global,
    pickle.STACK_GLOBAL: _stack_global,
    pickle.REDUCE: _reduce,
    pickle.NEWOBJ: _newobj,
    pickle.NEWOBJ_EX: _newobj_ex,
    pickle.INST: _inst,
    pickle.OBJ: _obj,
    pickle.BUILD: _build,
    pickle.PERSID: _persid,
    pickle.BINPERSID: _binpersid,
    pickle.EXT1: _extension(1),
    pickle.EXT2: _extension(2),
    pickle.EXT4: _extension(4),
}

HANDLERS: Final[tuple[Handler, ...]] = tuple(
    _TABLE.get(bytes([byte]), _unknown) for byte in range(256)
)
"""What to do at each byte."""
