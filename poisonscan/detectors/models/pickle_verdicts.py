"""Verdicts over names that a pickle imports and calls: allowed, unknown, computed or dangerous.

The lists are data (``rules/allow`` and ``rules/deny.yaml``); what an entry of each section promises
is said in ``rules/allow/python.yaml``. The functions here hold a stream's actual operations
against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from poisonscan.detectors.models.pickle_contracts import (
    CONTRACTS,
    GETATTR,
    OF_TENSORS,
    PARTIAL,
    class_of,
    is_tensor_first,
    stands_for,
)
from poisonscan.pickles.events import Build, Call, Change
from poisonscan.pickles.values import Collection, Global, Result, given_back
from poisonscan.rules import PickleNames

DANGEROUS: Final = "PS101"
UNKNOWN: Final = "PS102"
NAMED: Final = "PS126"
COMPUTED: Final = "PS103"
_LONGEST_PATH: Final = 24
_PARTIAL_STATE: Final = 4


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
    if pair in names.allowed or pair in names.uncalled or pair in names.attributes:
        return None
    if dotted in names.calls_argument or target in CONTRACTS:
        return None
    return _judge_unlisted(target, names, used=False)


def judge_call(event: Call, callee: Global, names: PickleNames) -> Verdict | None:
    """What calling a name with these arguments means; None if it is harmless."""
    pair = (callee.module, callee.name)
    if callee in OF_TENSORS and not is_tensor_first(event.arguments, names):
        return Verdict(COMPUTED, "is given something else than a tensor, whose methods it calls")
    if pair in names.allowed or is_torchscript(callee):
        return None
    positions = names.calls_argument.get(callee.dotted)
    if positions is not None:
        created = names.creates_argument.get(callee.dotted, ())
        if all(_harmless(event.arguments, p, names, created=p in created) for p in positions):
            return None
        return Verdict(COMPUTED, "calls an argument that is not known to be harmless")
    contract = CONTRACTS.get(callee)
    if contract is not None and contract(event.arguments, names):
        return None
    if pair in names.uncalled:
        if _only_created(event):
            return None
        return Verdict(UNKNOWN, "is known to be harmless only as long as it is not called")
    return _judge_unlisted(callee, names, used=not _only_created(event))


def made_of(target: object, names: PickleNames) -> object:
    """What an operation on ``target`` reaches: the argument that a function gave back, if so.

    An attribute of a class belongs to it: what is done to it stays after loading.
    """
    value = given_back(target, names.returns_argument)
    if isinstance(value, Result) and value.callee == GETATTR:
        items = value.arguments.items if isinstance(value.arguments, Collection) else ()
        if len(items) > 1 and isinstance(items[0], Global):
            return Global(items[0].module, f"{items[0].name}.{items[1]}")
    return value


def judge_build(event: Build, names: PickleNames) -> Verdict | None:
    """What setting a state means where it decides about a later call; None if it is harmless."""
    target = event.target
    if not isinstance(target, Result):
        return None
    arguments, state = target.arguments, event.state
    if target.callee != PARTIAL:
        made = class_of(target)
        listed = made is None or (made.module, made.name) in names.allowed | names.uncalled
        if listed or not _sets_attributes(state):
            return None
        return Verdict(UNKNOWN, "sets one attribute after the other, whatever code that runs")
    if (
        isinstance(arguments, Collection)
        and isinstance(state, Collection)
        and state.count == _PARTIAL_STATE
        and arguments.items[:1] == state.items[:1]
    ):
        return None
    return Verdict(COMPUTED, "gives a partial call another function than it was made with")


def _sets_attributes(state: object) -> bool:
    """Whether a state is a pair whose second part BUILD sets by ``setattr``."""
    if not isinstance(state, Collection) or state.kind != "tuple" or state.count != 2:
        return False
    first, second = state.items
    plain = first is None or (isinstance(first, Collection) and first.kind == "dict")
    return plain and isinstance(second, Collection) and second.kind == "dict" and second.count > 0


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


def _judge_unlisted(target: Global, names: PickleNames, *, used: bool) -> Verdict:
    """What a name means that is on no list of harmless ones; ``used``: it is called."""
    if target.dotted in names.computed:
        return Verdict(COMPUTED, names.computed[target.dotted])
    why = dangerous(target, names)
    if why:
        return Verdict(DANGEROUS, why)
    if target.dotted in names.nested:
        return Verdict(UNKNOWN, "loads another pickle")
    # A dotted name reaches anything that its module has imported; letters look like others.
    plain = target.dotted.isascii() and "." not in target.name
    return Verdict(UNKNOWN if used or not plain else NAMED, "is not known to be harmless")


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
    attributes = target.name.split(".")
    whole = [*parts, *attributes]
    for end in range(len(whole) - 1, 0, -1):
        module = ".".join(whole[:end])
        if module in names.dangerous_modules:
            return names.dangerous_modules[module]
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
    value = stands_for(value, names) or value
    if isinstance(value, Global):
        pair = (value.module, value.name)
        return pair in names.allowed or (created and _created_only(value, names))
    return value is None or isinstance(value, str | bytes | int | float)


def _created_only(value: Global, names: PickleNames) -> bool:
    """Whether a class may be created empty; one on no list has a finding of its own."""
    listed = value.dotted in names.calls_argument or value in CONTRACTS
    return (value.module, value.name) in names.uncalled or not listed


def _only_created(event: Call) -> bool:
    """Whether a class is created empty, as for most objects, and nothing else is done with it."""
    arguments = event.arguments
    empty = isinstance(arguments, Collection) and arguments.count == 0
    return empty and event.opcode.startswith("NEWOBJ")
