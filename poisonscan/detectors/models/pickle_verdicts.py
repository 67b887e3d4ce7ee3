"""Verdicts over names that a pickle imports and calls: allowed, unknown, computed or dangerous.

The lists are data (``rules/allow`` and ``rules/deny.yaml``); what an entry of each section promises
is said in ``rules/allow/python.yaml``. The functions here hold a stream's actual operations
against it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from poisonscan.pickles.events import Build, Call, Change
from poisonscan.pickles.values import Collection, Global, Long, Persistent, Result, given_back
from poisonscan.rules import PickleNames

DANGEROUS: Final = "PS101"
UNKNOWN: Final = "PS102"
COMPUTED: Final = "PS103"
_LONGEST_PATH: Final = 24


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule, and why: the end of a sentence that begins with the name."""

    rule: str
    why: str


def judge_import(target: Global, names: PickleNames) -> Verdict | None:
    """What importing a name means; None if it is harmless until it is called."""
    pair = (target.module, target.name)
    dotted = target.dotted
    if is_torchscript(target):
        return None
    if pair in names.allowed or pair in names.uncalled or dotted in names.calls_argument:
        return None
    return None if target in _CONTRACTS else _judge_unlisted(target, names)


def judge_call(event: Call, callee: Global, names: PickleNames) -> Verdict | None:
    """What calling a name with these arguments means; None if it is harmless."""
    pair = (callee.module, callee.name)
    if pair in names.allowed or is_torchscript(callee):
        return None
    positions = names.calls_argument.get(callee.dotted)
    if positions is not None:
        created = names.creates_argument.get(callee.dotted, ())
        if all(_harmless(event.arguments, p, names, created=p in created) for p in positions):
            return None
        return Verdict(COMPUTED, "calls an argument that is not known to be harmless")
    if pair in names.uncalled:
        if event.opcode.startswith("NEWOBJ") and _is_empty(event.arguments):
            return None
        return Verdict(UNKNOWN, "is known to be harmless only as long as it is not called")
    contract = _CONTRACTS.get(callee)
    if contract is not None and contract(event.arguments, names):
        return None
    return _judge_unlisted(callee, names)


def made_of(target: object, names: PickleNames) -> object:
    """What an operation on ``target`` reaches: the argument that a function gave back, if so.

    An attribute of a class belongs to it: what is done to it stays after loading.
    """
    value = given_back(target, names.returns_argument)
    if isinstance(value, Result) and value.callee == _GETATTR:
        items = value.arguments.items if isinstance(value.arguments, Collection) else ()
        if len(items) > 1 and isinstance(items[0], Global):
            return Global(items[0].module, f"{items[0].name}.{items[1]}")
    return value


def judge_build(event: Build) -> Verdict | None:
    """What setting a state means where it decides about a later call; None if it is harmless."""
    target = event.target
    if not isinstance(target, Result) or target.callee != _PARTIAL:
        return None
    arguments, state = target.arguments, event.state
    if (
        isinstance(arguments, Collection)
        and isinstance(state, Collection)
        and state.count == _PARTIAL_STATE
        and arguments.items[:1] == state.items[:1]
    ):
        return None
    return Verdict(COMPUTED, "is given another function to call than the one it was made with")


def torch_class(identifier: object) -> Global | None:
    """The class in a persistent id ``("module", class, file, source)`` of legacy torch."""
    if not isinstance(identifier, Collection) or identifier.count != 4:
        return None
    kind, named = identifier.items[:2]
    return named if kind == "module" and isinstance(named, Global) else None


def named_class(callee: object) -> object:
    """What is called: for a persistent object of legacy torch the class that its id names."""
    return (isinstance(callee, Persistent) and torch_class(callee.identifier)) or callee


def judge_change(event: Change, names: PickleNames) -> tuple[Global, Verdict] | None:
    """What putting items into an object means, where its class was not judged for that."""
    if not isinstance(event.target, Result):
        return None
    maker = event.target.callee
    if isinstance(maker, Global) and maker.dotted in names.calls_argument:
        arguments = event.target.arguments
        maker = (
            arguments.items[0] if isinstance(arguments, Collection) and arguments.items else None
        )
    if isinstance(maker, Global) and (maker.module, maker.name) in names.uncalled:
        return maker, Verdict(UNKNOWN, "is not known to be harmless when items are put into it")
    return None


def is_torchscript(target: Global) -> bool:
    """Classes that TorchScript finds in the archive's own code; no Python module has the name."""
    return target.module.split(".")[0] == "__torch__"


def _judge_unlisted(target: Global, names: PickleNames) -> Verdict:
    if target.dotted in names.computed:
        return Verdict(COMPUTED, names.computed[target.dotted])
    why = dangerous(target, names)
    if why:
        return Verdict(DANGEROUS, why)
    if target.dotted in names.nested:
        return Verdict(UNKNOWN, "loads another pickle")
    return Verdict(UNKNOWN, "is not known to be harmless")


def dangerous(target: Global, names: PickleNames) -> str:
    """Why a name is known evil, empty if it is not.

    A dotted name walks over attributes to anything that the module has imported itself
    (``torch`` and ``os.system``), so each of its ends is judged as well.
    """
    if target.dotted in names.dangerous:
        return names.dangerous[target.dotted]
    parts = target.module.split(".")
    if len(parts) + target.name.count(".") > _LONGEST_PATH:
        return "reaches through more attributes than any honest name has"
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        if module in names.dangerous_modules:
            return names.dangerous_modules[module]
    attributes = target.name.split(".")
    for start in range(len(attributes) - 1):
        inner = Global(".".join(attributes[start:-1]), attributes[-1])
        if why := dangerous(inner, names):
            return f"reaches {inner.dotted}, which {why}"
    tail = target.dotted.split(".")
    for start in range(1, len(tail) - 1):
        if (known := names.dangerous.get(".".join(tail[start:]))) is not None:
            return known
    if any(part.startswith("__") and part.endswith("__") for part in attributes):
        return "reaches the inside of Python objects"
    return ""


def _harmless(arguments: object, position: int, names: PickleNames, *, created: bool) -> bool:
    """Whether an argument that is called is absent, a constant, or a name that may be called."""
    if not isinstance(arguments, Collection):
        return False
    if position >= arguments.count:
        return True
    if position >= len(arguments.items):
        return False
    value = arguments.items[position]
    if isinstance(value, Global):
        pair = (value.module, value.name)
        return pair in names.allowed or (created and _created_only(value, names))
    return value is None or isinstance(value, str | bytes | int | float)


def _created_only(value: Global, names: PickleNames) -> bool:
    """Whether a class may be created empty; one on no list has a finding of its own."""
    listed = value.dotted in names.calls_argument or value in _CONTRACTS
    return (value.module, value.name) in names.uncalled or not listed


def _is_empty(arguments: object) -> bool:
    return isinstance(arguments, Collection) and arguments.count == 0


def _of_a_name(arguments: object, names: PickleNames) -> bool:
    """``partial(f, …)``: wraps a named function, which is judged by itself, and calls nothing."""
    return (
        isinstance(arguments, Collection)
        and bool(arguments.items)
        and isinstance(arguments.items[0], Global)
        and arguments.items[0] not in _CONTRACTS
        and arguments.items[0].dotted not in names.calls_argument
    )


def _plain_attribute(arguments: object, names: PickleNames) -> bool:
    """``getattr(Class, "NAME")`` of an allowed class: how Python 3.11 pickles enumerations.

    Methods are written in lower case: they would load files, or anything else that they do.
    """
    if not isinstance(arguments, Collection) or arguments.count != 2:
        return False
    owner, name = arguments.items
    return (
        isinstance(owner, Global)
        and (owner.module, owner.name) in names.allowed | names.uncalled
        and isinstance(name, str)
        and name.isidentifier()
        and name[0].isupper()
    )


def _stored_bytes(arguments: object, names: PickleNames) -> bool:  # noqa: ARG001 - a contract's form
    """How tensors are pickled outside of `torch.save`: the bytes are a pickle, scanned as such."""
    return (
        isinstance(arguments, Collection)
        and arguments.count == 1
        and isinstance(arguments.items[0], bytes | Long)
    )


# Names that are judged by how they are called; only importing them does nothing.
_PARTIAL: Final = Global("functools", "partial")
_PARTIAL_STATE: Final = 4
_GETATTR: Final = Global("builtins", "getattr")
_CONTRACTS: Final[dict[Global, Callable[[object, PickleNames], bool]]] = {
    _PARTIAL: _of_a_name,
    _GETATTR: _plain_attribute,
    Global("torch.storage", "_load_from_bytes"): _stored_bytes,
}
