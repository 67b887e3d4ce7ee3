"""Calls that are judged by their arguments: what each of these names may be given.

A contract says whether a call does no harm with the arguments at hand. It goes by the abstract
values of the stream alone: nothing is looked up or imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from poisonscan.pickles.values import (
    Collection,
    Global,
    Long,
    Persistent,
    Result,
    encoded_text,
    given_back,
)
from poisonscan.rules import PickleNames

Contract = Callable[[object, PickleNames], bool]

PARTIAL: Final = Global("functools", "partial")
GETATTR: Final = Global("builtins", "getattr")
_UFUNCS: Final = (
    Global("numpy._core", "_ufunc_reconstruct"),
    Global("numpy.core", "_ufunc_reconstruct"),
)
_NEW_BLOCK: Final = Global("pandas.core.internals.blocks", "new_block")
_TYPES: Final = frozenset(
    ("bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "set", "str",
     "tuple")
)  # fmt: skip
_CLASS_FIRST: Final = ("copyreg._reconstructor", "copyreg.__newobj__", "copyreg.__newobj_ex__")
_TENSOR_MODULES: Final = ("torch", "torch._tensor", "torch._utils", "torch.storage")


def stands_for(value: object, names: PickleNames) -> Global | None:
    """The name that a computed callable stands for, if the stream states it; None otherwise.

    An attribute of a class is that class's dotted name, a partial call of a harmless function is
    that function, and NumPy rebuilds its universal functions by name.
    """
    if not isinstance(value, Result) or not isinstance(value.arguments, Collection):
        return None
    items = value.arguments.items
    if value.callee == PARTIAL and items and isinstance(items[0], Global):
        known = (items[0].module, items[0].name) in names.allowed or items[0] in CONTRACTS
        return items[0] if known else None
    if len(items) != 2 or not isinstance(items[1], str) or not items[1].isidentifier():
        return None
    if value.callee in _UFUNCS and isinstance(items[0], str):
        inside = items[0].startswith(("numpy.core._multiarray", "numpy._core._multiarray"))
        return Global("numpy" if inside else items[0], items[1])
    owner = class_of(items[0]) if value.callee == GETATTR else None
    return Global(owner.module, f"{owner.name}.{items[1]}") if owner else None


def class_of(value: object) -> Global | None:
    """The class of an object that the stream makes, or the class itself; None if it is unknown."""
    value = named_class(value)
    if isinstance(value, Result):
        made = value.arguments.items if isinstance(value.arguments, Collection) else ()
        maker = named_class(value.callee)
        given = isinstance(maker, Global) and maker.dotted in _CLASS_FIRST
        value = (made[0] if made else None) if given else maker
    return value if isinstance(value, Global) else None


def named_class(callee: object) -> object:
    """What is called: for a persistent object of legacy torch the class that its id names."""
    return (isinstance(callee, Persistent) and torch_class(callee.identifier)) or callee


def torch_class(identifier: object) -> Global | None:
    """The class in a persistent id ``("module", class, file, source)`` of legacy torch."""
    if not isinstance(identifier, Collection) or identifier.count != 4:
        return None
    kind, named = identifier.items[:2]
    return named if kind == "module" and isinstance(named, Global) else None


def is_tensor_first(arguments: object, names: PickleNames) -> bool:
    """Whether the first argument is absent, or a tensor that the stream rebuilds.

    ``torch.nn.Parameter`` calls methods of what it is given, so that another object with a
    callable under such a name would run it.
    """
    if not isinstance(arguments, Collection):
        return False
    if not arguments.items:
        return arguments.count == 0
    value = given_back(arguments.items[0], names.returns_argument)
    callee = value.callee if isinstance(value, Result) else None
    if isinstance(value, Persistent) or value is None:
        return True
    return isinstance(callee, Global) and callee.module in _TENSOR_MODULES


def _of_a_name(arguments: object, names: PickleNames) -> bool:
    """``partial(f, …)``: wraps a named function, which is judged by itself, and calls nothing."""
    return (
        isinstance(arguments, Collection)
        and bool(arguments.items)
        and isinstance(arguments.items[0], Global)
        and (arguments.items[0] not in CONTRACTS or arguments.items[0] == _NEW_BLOCK)
        and arguments.items[0].dotted not in names.calls_argument
    )


def _plain_attribute(arguments: object, names: PickleNames) -> bool:
    """``getattr(owner, "name")`` where the result is a known part of a listed class.

    Python 3.11 pickles enumerations so. Their members are written in upper case, methods in lower
    case: those would load files, or anything else that they do, and are listed one by one.
    """
    if not isinstance(arguments, Collection) or arguments.count != 2:
        return False
    owner, name = arguments.items
    if _is_plain_method(owner, name):
        return True
    found = stands_for(Result(GETATTR, arguments), names)
    if found in CONTRACTS:
        return True
    if found and (found.module, found.name) in names.attributes | names.uncalled | names.allowed:
        return True
    return (
        isinstance(owner, Global)
        and (owner.module, owner.name) in names.allowed | names.uncalled
        and isinstance(name, str)
        and name.isidentifier()
        and name[0].isupper()
    )


def _name_of_a_logger(arguments: object, names: PickleNames) -> bool:  # noqa: ARG001
    """``getLogger("name")``: how every logger is pickled; it looks one up or makes one."""
    items = arguments.items if isinstance(arguments, Collection) else (arguments,)
    return all(isinstance(item, str) for item in items)


def _of_a_constant(arguments: object, names: PickleNames) -> bool:  # noqa: ARG001
    """``type(None)``, ``type(...)`` and ``type(NotImplemented)``, which have no name to import."""
    items = arguments.items if isinstance(arguments, Collection) else ()
    constants = (Global("builtins", "Ellipsis"), Global("builtins", "NotImplemented"))
    return len(items) == 1 and (items[0] is None or items[0] in constants)


def _is_plain_method(owner: object, name: object) -> bool:
    """A public method of a built-in type or value, which works on nothing else."""
    plain = isinstance(owner, Collection | str | bytes) or (
        isinstance(owner, Global) and owner.module == "builtins" and owner.name in _TYPES
    )
    return plain and isinstance(name, str) and name.isidentifier() and not name.startswith("_")


def _stored_bytes(arguments: object, names: PickleNames) -> bool:  # noqa: ARG001 - a contract's form
    """How tensors are pickled outside of `torch.save`: the bytes are a pickle, scanned as such."""
    if not isinstance(arguments, Collection) or arguments.count != 1:
        return False
    value = arguments.items[0]
    return isinstance(value, bytes | Long) or encoded_text(value) is not None


def _rebuilt_function(arguments: object, names: PickleNames) -> bool:
    """``_ufunc_reconstruct(module, name)``: the function is looked up and kept, not called."""
    found = stands_for(Result(_UFUNCS[0], arguments), names)
    return found is not None and (found.module, found.name) in names.allowed | names.uncalled


def _zone(arguments: object, names: PickleNames) -> bool:  # noqa: ARG001 - a contract's form
    """``ZoneInfo._unpickle(key, …)``: a key outside the folders of time zones is refused."""
    return (
        isinstance(arguments, Collection)
        and bool(arguments.items)
        and all(isinstance(item, str | int) for item in arguments.items)
    )


def _block(arguments: object, names: PickleNames) -> bool:
    """``new_block(values, placement, …)``: makes a block of a class chosen by the values' type."""
    values = arguments.items[0] if isinstance(arguments, Collection) and arguments.items else None
    made = class_of(values)
    if made is None:
        return False
    pair = (made.module, made.name)
    return pair in names.allowed | names.uncalled or made.dotted in names.calls_argument


# Names that are judged by how they are called; only importing them does nothing.
CONTRACTS: Final[dict[Global, Contract]] = {
    PARTIAL: _of_a_name,
    GETATTR: _plain_attribute,
    Global("torch.storage", "_load_from_bytes"): _stored_bytes,
    Global("builtins", "type"): _of_a_constant,
    Global("logging", "getLogger"): _name_of_a_logger,
    _NEW_BLOCK: _block,
    Global("zoneinfo", "ZoneInfo._unpickle"): _zone,
    **dict.fromkeys(_UFUNCS, _rebuilt_function),
}
OF_TENSORS: Final = frozenset(
    Global(module, name)
    for module, name in (
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_parameter_with_state"),
        ("torch.nn.parameter", "Buffer"),
        ("torch.nn.parameter", "Parameter"),
    )
)
"""Listed names that do no harm to tensors, and could to anything else."""
