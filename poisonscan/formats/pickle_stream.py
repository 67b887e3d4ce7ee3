"""Pickles, and the grammars of the loaders that read more than opcodes.

* pickle: one pickle, or several one after another; what stands between and behind is searched.
* joblib: after BUILD on a ``NumpyArrayWrapper`` the array's bytes stand in the stream itself
  (joblib ``numpy_pickle.NumpyArrayWrapper.read_array``); object arrays are a nested pickle.
* torch legacy: magic number, protocol, system information, object and storage keys, each a pickle,
  then raw storages (``torch.serialization._legacy_load``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, PickleStream
from poisonscan.formats.joblib_arrays import array_bytes
from poisonscan.formats.trace import Trace
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.pickles.events import Broken, Build, Call, Irregular, Persistent, Stop
from poisonscan.pickles.machine import Machine
from poisonscan.pickles.values import Collection, Global, Long, Result
from poisonscan.rules import pickle_names
from poisonscan.sources.base import Blob

TORCH_MAGIC: Final = 0x1950A86A20F9469CFC6C
_TORCH_STREAMS: Final = 5
_WRAPPER: Final = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
_ALTERNATE_OPCODES: Final = 2_000
_CANDIDATES: Final = 2_000

# Where a pickle may begin in bytes that are not one: a protocol header, or a GLOBAL or INST opcode.
_CANDIDATE: Final = re.compile(
    rb"\x80[\x02-\x05](?=[\x95\(\[\]\}\x8c\x8dcXKJU\x88\x89N])"
    rb"|[ci][A-Za-z_][\w.]{1,80}\r?\n[A-Za-z_][\w.]{0,80}\r?\n"
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
        self._alternate = 0

    def stream(self, start: int) -> tuple[int | None, object]:
        """Read one pickle; where it ends and what it gives, (None, None) if it is broken."""
        machine = Machine(self.view, start, self.budget)
        result: object = None
        for event in machine.run():
            self.trace.add(event)
            if isinstance(event, Broken):
                self.gaps.append(f"pickle is broken at byte {event.offset:,}: {event.reason}")
                return None, None
            if isinstance(event, Stop):
                result = event.value
            elif isinstance(event, Build) and _is_wrapper(event.target):
                machine.position = self._array(machine.position, event)
            elif isinstance(event, Call):
                self._nest(event)
        return machine.position, result

    def whole(self) -> None:
        """Read every pickle of the blob, from its start to its end."""
        end, value = self.stream(0)
        if end is None:
            self._search(self._broken_at())
            return
        if value == TORCH_MAGIC:
            end = self._torch_legacy(end)
        elif _computes_magic(value):
            what = "torch's magic number comes from a call, so that scanners do not see it"
            self.trace.add(Irregular(0, what))
            end = self._torch_legacy(end)
        while end is not None and end < len(self.view) and self._begins(end):
            end, _ = self.stream(end)
        if end is not None and end < len(self.view):
            self._search(end)

    def _begins(self, start: int) -> bool:
        return begins_pickle(self.view[start:])

    def _broken_at(self) -> int:
        return next((e.offset for e in reversed(self.trace.events) if isinstance(e, Broken)), 0)

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

    def _try(self, start: int, stop: int | None = None) -> int:
        """Read what may be a pickle; keep what it does only if it gets as far as to act.

        Behind ``stop`` the stream is read properly, whatever this reading would make of it.
        """
        trace, machine = Trace(), Machine(self.view, start, self._small_budget(), lenient=True)
        try:
            for event in machine.run():
                if stop is not None and event.offset >= stop:
                    break
                trace.add(event)
        except LimitReached:
            pass  # what was seen of a mere candidate is enough
        acts = any(isinstance(event, Call) for event in trace.events)
        if trace.imports and (acts or machine.done) and trace.plausible:
            for event in trace.events:
                if not isinstance(event, Broken | Stop | Irregular):
                    self.trace.add(event)
            return machine.position
        return start

    def _small_budget(self) -> Budget:
        return Budget(self.budget.limits, opcodes=self.budget.limits.opcodes - _ALTERNATE_OPCODES)

    def _array(self, position: int, event: Build) -> int:
        """Step over an array that joblib stores in the stream."""
        self.grammar = "joblib"
        size, pickled = array_bytes(event.state)
        if pickled:
            end, _ = self.stream(position)
            return position if end is None else end
        if size is None:
            reason = "an array of unknown size stands in the stream; read on behind its header"
            self.gaps.append(f"byte {event.offset:,}: {reason}")
            return position
        alignment = "numpy_array_alignment_bytes"
        if isinstance(event.state, Collection) and event.state.get(alignment) is not None:
            if position >= len(self.view):
                return position
            position += 1 + self.view[position]
        # Another loader than joblib's would take the array's bytes for opcodes.
        if self._alternate < _CANDIDATES:
            self._alternate += 1
            self._try(position, position + size)
        if position + size > len(self.view):
            self.gaps.append(f"the array at byte {position:,} reaches over the end of the file")
            return len(self.view)
        return position + size

    def _nest(self, event: Call) -> None:
        """Bytes handed to a loader of pickles are a pickle themselves."""
        if not isinstance(event.callee, Global) or event.callee.dotted not in pickle_names().nested:
            return
        arguments = event.arguments.items if isinstance(event.arguments, Collection) else []
        for argument in arguments:
            name = f"{event.offset}.pkl"
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


def _computes_magic(value: object) -> bool:
    if not isinstance(value, Result) or not isinstance(value.arguments, Collection):
        return False
    plain = [str(item).lower() for item in value.arguments.items if isinstance(item, str | int)]
    forms = (str(TORCH_MAGIC), f"{TORCH_MAGIC:x}")
    return any(form in item for item in plain for form in forms)


def _is_wrapper(target: object) -> bool:
    return isinstance(target, Result) and target.callee == _WRAPPER


def begins_pickle(view: memoryview) -> bool:
    """Whether bytes are a pickle: they begin with its header, or run as one."""
    return bool(_HEADER.match(view)) or runs_as_pickle(view)


def runs_as_pickle(view: memoryview) -> bool:
    """Whether bytes run as opcodes that import something, or to their very end.

    Any bytes may happen to be opcodes for a while, so names must be such as modules have, and the
    stream must act on them, end, or be cut off; or run for long without a fault.
    """
    machine = Machine(view, 0, Budget(Limits(opcodes=_SNIFFED_OPCODES)))
    trace = Trace()
    try:
        for event in machine.run():
            trace.add(event)
            if isinstance(event, Persistent):
                return False  # plain loaders refuse it; those that take it do not sniff
            if isinstance(event, Call) and isinstance(event.callee, Global) and trace.plausible:
                return True
    except LimitReached:
        return True
    if machine.done:
        behind = bytes(view[machine.position : machine.position + 8]).strip()
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
