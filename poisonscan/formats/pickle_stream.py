"""Pickles, and the grammars of the loaders that read more than opcodes.

* pickle: one pickle, or several one after another; what stands between and behind is searched.
* joblib: after BUILD on a ``NumpyArrayWrapper`` the array's bytes stand in the stream itself
  (joblib ``numpy_pickle.NumpyArrayWrapper.read_array``); object arrays are a nested pickle.
* torch legacy: magic number, protocol, system information, object and storage keys, each a pickle,
  then raw storages (``torch.serialization._legacy_load``).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, PickleStream
from poisonscan.formats.joblib_arrays import array_bytes
from poisonscan.formats.trace import Trace
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.pickles.events import (
    Broken,
    Build,
    Call,
    Change,
    Event,
    Irregular,
    Persistent,
    Stop,
)
from poisonscan.pickles.machine import Machine
from poisonscan.pickles.names import JUDGED_CALLED
from poisonscan.pickles.values import Collection, Global, Long, Result, encoded_text, given_back
from poisonscan.rules import pickle_names
from poisonscan.sources.base import Blob

TORCH_MAGIC: Final = 0x1950A86A20F9469CFC6C
_TORCH_STREAMS: Final = 5
_WRAPPER: Final = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
_ARRAY: Final = Result(Global("numpy", "ndarray"), Collection("tuple"))
_ALTERNATE_OPCODES: Final = 5_000_000
_CANDIDATES: Final = 2_000

# Where a pickle may begin in bytes that are not one: a protocol header, a GLOBAL or INST opcode, or
# two strings and STACK_GLOBAL.
_CANDIDATE: Final = re.compile(
    rb"\x80[\x02-\x05](?=[\x95\(\[\]\}\x8c\x8dcXKJU\x88\x89N])"
    rb"|[ci][A-Za-z_][\w.]{1,80}\r?\n[A-Za-z_][\w.]{0,80}\r?\n"
    rb"|(?:(?:[\x8cU].|X.\0\0\0)[A-Za-z_][\w.]{0,80}(?:\x94|q.)?){2}\x93"
)
_HEADER: Final = re.compile(rb"\x80[\x00-\x05]")
_SNIFFED_OPCODES: Final = 100_000
_SNIFFED_BYTES: Final = 16


class Reader:
    """Reads the pickles of one blob."""

    def __init__(self, blob: Blob, view: memoryview, budget: Budget) -> None:
        self.blob = blob
        self.view = view
        self.budget = budget
        self.trace = Trace()
        self.grammar = "pickle"
        self.gaps: list[str] = []
        self.nested: list[tuple[str, memoryview, int | None]] = []
        limits = budget.limits
        spent = max(limits.opcodes - _ALTERNATE_OPCODES, 0)
        self._alternate = Budget(limits, opcodes=spent)
        self._at = 0

    def stream(self, start: int, *, plain: bool = False) -> tuple[int | None, object]:
        """Read one pickle; where it ends and what it gives, (None, None) if it is broken.

        ``plain``: its loader is not joblib's, which takes arrays out of the stream.
        """
        machine = Machine(self.view, start, self.budget, watched=watched_names())
        result: object = None
        for event in machine.run():
            self._at = event.offset
            self.trace.add(event)
            if isinstance(event, Broken):
                self.gaps.append(f"pickle is broken at byte {event.offset:,}: {event.reason}")
                return None, None
            if isinstance(event, Stop):
                result = event.value
            elif not plain and isinstance(event, Build) and _is_wrapper(event.target):
                machine.position = self._array(machine, event)
                machine.replace(_ARRAY)
            elif isinstance(event, Call):
                self._nest(event)
        return machine.position, result

    def whole(self) -> None:
        """Read every pickle of the blob, from its start to its end."""
        try:
            end = self._streams()
        except LimitReached:
            self._search(self._at)
            raise
        end = self._at if end is None else end
        if end < len(self.view):
            self._search(end)

    def _streams(self) -> int | None:
        """Read pickles as long as they follow one another; where they end, None at a broken one."""
        end, value = self.stream(0)
        if end is not None and value == TORCH_MAGIC:
            end = self._torch_legacy(end)
        elif end is not None and _hides_magic(value):
            what = "torch's magic number is written so that scanners do not see it"
            self.trace.add(Irregular(0, what))
            end = self._torch_legacy(end)
        while end is not None and end < len(self.view):
            if begins_pickle(self.view[end:]):
                end, _ = self.stream(end)
                continue
            behind = self._try(end)  # a loader that reads on needs no header
            if behind == end:
                return end
            end = behind
        return end

    def _torch_legacy(self, end: int) -> int | None:
        self.grammar = "torch legacy"
        position: int | None = end
        for _ in range(_TORCH_STREAMS - 1):
            if position is None:
                return None
            if position >= len(self.view):
                self.gaps.append("torch checkpoint ends before its storages")
                return None
            position, _value = self.stream(position)
        return position

    def _search(self, start: int) -> None:
        """Look for pickles in bytes that no loader's grammar accounts for."""
        stop = min(len(self.view), start + self.budget.limits.search)
        if stop < len(self.view) and self.grammar != "torch legacy":
            left = len(self.view) - stop
            self.gaps.append(f"the last {left:,} bytes were not searched for pickles")
        position, tried = start, 0
        while (match := _CANDIDATE.search(self.view, position, stop)) is not None:
            tried += 1
            if tried > _CANDIDATES:
                self.gaps.append(f"behind byte {match.start():,} too many possible pickles")
                return
            position = max(self._try(match.start()), match.start() + 1)

    def _try(self, start: int) -> int:
        """Read what may be a pickle; keep what it does only if it gets as far as to act."""
        machine = Machine(self.view, start, self._alternate, lenient=True, watched=watched_names())
        trace = self._alternative(machine)
        acts = any(isinstance(event, Call) for event in trace.events)
        if trace.imports and (acts or machine.done) and trace.plausible:
            self._keep(trace)
            return machine.position
        return start

    def _alternative(self, machine: Machine) -> Trace:
        """What happens in a reading that not every loader would make."""
        trace = Trace()
        try:
            for event in machine.run():
                trace.add(event)
        except LimitReached as reached:
            reason = f"not everything that may be a pickle was read to its end: {reached}"
            if reason not in self.gaps:
                self.gaps.append(reason)
        return trace

    def _keep(self, trace: Trace) -> None:
        for event in trace.events:
            if not isinstance(event, Broken | Stop | Irregular):
                self.trace.add(event)

    def _as_opcodes(self, machine: Machine, stop: int) -> None:
        """Read the bytes of an array as opcodes, as every other loader than joblib's would.

        Where they end with an opcode, the stream goes on the same for all; otherwise this reading
        has a stream of its own.
        """
        trace = self._alternative(machine.fork(self.view[:stop], self._alternate))
        last = trace.events[-1] if trace.events else None
        if isinstance(last, Broken) and last.reason.endswith("over the end"):
            trace = self._alternative(machine.fork(self.view, self._alternate))
        if trace.plausible and any(map(_acts_on_name, trace.events)):
            self._keep(trace)

    def _array(self, machine: Machine, event: Build) -> int:
        """Where the stream goes on behind an array that joblib stores in it."""
        self.grammar = "joblib"
        position = machine.position
        size, pickled = array_bytes(event.state)
        if machine.framed:
            self.trace.add(Irregular(event.offset, "an array stands in the middle of a frame"))
        if pickled:
            end, _ = self.stream(position, plain=True)
            return position if end is None else end
        if size is None:
            reason = "an array of unknown size stands in the stream"
            self.trace.add(Irregular(event.offset, reason))
            self.gaps.append(f"byte {event.offset:,}: {reason}; read on behind its header")
            return position
        alignment = "numpy_array_alignment_bytes"
        if isinstance(event.state, Collection) and event.state.get(alignment) is not None:
            if position >= len(self.view):
                return position
            position += 1 + self.view[position]
        if position + size > machine.position:
            self._as_opcodes(machine, position + size)
        if position + size > len(self.view):
            self.gaps.append(f"the array at byte {position:,} reaches over the end of the file")
            return len(self.view)
        return position + size

    def _nest(self, event: Call) -> None:
        """Bytes handed to a loader of pickles are a pickle themselves."""
        if not isinstance(event.callee, Global) or event.callee.dotted not in pickle_names().nested:
            return
        arguments = event.arguments.items if isinstance(event.arguments, Collection) else []
        for given in arguments:
            name = f"{event.offset}.pkl"
            text = encoded_text(given)
            if isinstance(text, Long):
                stored = bytes(self.view[text.offset : text.offset + text.length])
                encoded = stored.decode("utf-8", "replace").encode("latin-1", "replace")
                self.nested.append((name, memoryview(encoded), None))
                continue
            argument = given if text is None else text
            if isinstance(argument, bytes | str):
                data = (
                    argument
                    if isinstance(argument, bytes)
                    else argument.encode("latin-1", "replace")
                )
                self.nested.append((name, memoryview(data), None))
            elif isinstance(argument, Long) and argument.kind in ("bytes", "bytearray", "text"):
                part = self.view[argument.offset : argument.offset + argument.length]
                base = self.blob.base
                offset = None if base is None else base + argument.offset
                self.nested.append((name, part, offset))


@functools.cache
def watched_names() -> frozenset[Global]:
    """Names that may only be called by the stream itself, or are not what they seem elsewhere."""
    callers = (name.rpartition(".") for name in pickle_names().calls_argument)
    return JUDGED_CALLED | {_WRAPPER} | {Global(module, name) for module, _, name in callers}


def _acts_on_name(event: Event) -> bool:
    if isinstance(event, Call):
        return isinstance(event.callee, Global)
    return isinstance(event, Build | Change) and isinstance(event.target, Global)


def _hides_magic(value: object) -> bool:
    if isinstance(value, Long):
        return value.kind in ("digits", "integer")
    if not isinstance(value, Result) or not isinstance(value.arguments, Collection):
        return False
    plain = [str(item).lower() for item in value.arguments.items if isinstance(item, str | int)]
    forms = (str(TORCH_MAGIC), f"{TORCH_MAGIC:x}")
    return any(form in item for item in plain for form in forms)


def _is_wrapper(target: object) -> bool:
    made = given_back(target, pickle_names().returns_argument)
    if not isinstance(made, Result) or not isinstance(made.callee, Global):
        return False
    if made.callee.dotted in pickle_names().creates_argument:  # protocols 0 and 1
        return isinstance(made.arguments, Collection) and made.arguments.items[:1] == (_WRAPPER,)
    return made.callee == _WRAPPER


def begins_pickle(view: memoryview) -> bool:
    """Whether bytes are a pickle: they begin with its header, or run as one."""
    return bool(_HEADER.match(view)) or runs_as_pickle(view)


def runs_as_pickle(view: memoryview) -> bool:
    """Whether bytes run as opcodes that import something, or to their very end.

    Any bytes may happen to be opcodes for a while, so names must be such as modules have, and the
    stream must act on them, end, or be cut off; or run for long without a fault.
    """
    machine = Machine(view, 0, Budget(Limits(opcodes=_SNIFFED_OPCODES)))
    trace, value = Trace(), None
    try:
        for event in machine.run():
            trace.add(event)
            if isinstance(event, Stop):
                value = event.value
            if isinstance(event, Persistent):
                return False  # plain loaders refuse it; those that take it do not sniff
            if isinstance(event, Call) and isinstance(event.callee, Global) and trace.plausible:
                return True
    except LimitReached:
        return True
    if machine.done:
        behind = bytes(view[machine.position : machine.position + 8]).strip()
        if value == TORCH_MAGIC or _hides_magic(value) or _HEADER.match(behind):
            return True
        return (trace.imports and trace.plausible) or not behind
    last = trace.events[-1]
    cut = isinstance(last, Broken) and last.reason.endswith(("over the end", "before STOP"))
    return cut and trace.imports and trace.plausible and last.offset > _SNIFFED_BYTES


class Pickle:
    """Python pickles of any protocol, joblib files and legacy torch checkpoints."""

    name = "pickle"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By the protocol header, because its bytes run as opcodes, or by its name."""
        named = blob.suffix in (".pkl", ".pickle", ".joblib", ".dill") and bool(head)
        return named or begins_pickle(blob.open())

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The streams of the file, then the pickles nested in them."""
        reader = Reader(blob, view, budget)
        failure: Exception | None = None
        try:
            reader.whole()
        except (
            LimitReached, RecursionError, ArithmeticError, LookupError, TypeError, ValueError,
            MemoryError,
        ) as error:  # fmt: skip
            failure = error  # what happens before it is told all the same
        yield PickleStream(blob.path, reader.grammar, tuple(reader.trace.events), blob.base)
        for reason in reader.gaps:
            yield Gap(blob.path, reason)
        for name, part, base in reader.nested:
            yield blob.part(name, part, base)
        if failure is not None:
            raise failure


def stored_pickle(blob: Blob, view: memoryview, budget: Budget) -> PickleStream | None:
    """The pickle in what should be raw numbers, None if there is none that imports anything."""
    if not _HEADER.match(view[:2]) and not _CANDIDATE.match(view[:256]):
        return None
    reader = Reader(blob, view, budget)
    reader.stream(0)
    if not reader.trace.imports:
        return None
    return PickleStream(blob.path, reader.grammar, tuple(reader.trace.events), blob.base)
