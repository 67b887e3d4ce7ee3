"""Pickles, and the grammars of the loaders that read more than opcodes.

* pickle: one pickle, or several one after another; what stands between and behind is searched.
* joblib: after BUILD on a ``NumpyArrayWrapper`` the array's bytes stand in the stream itself
  (joblib ``numpy_pickle.NumpyArrayWrapper.read_array``); object arrays are a nested pickle.
* torch legacy: magic number, protocol, system information, object and storage keys, each a pickle,
  then raw storages (``torch.serialization._legacy_load``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, PickleStream
from poisonscan.limits import Budget, LimitReached
from poisonscan.pickles.events import Broken, Build, Call, Change, Event, Import, Irregular, Stop
from poisonscan.pickles.machine import Machine
from poisonscan.pickles.values import Collection, Global, Long, Result
from poisonscan.rules import pickle_names
from poisonscan.sources.base import Blob

TORCH_MAGIC: Final = 0x1950A86A20F9469CFC6C
_TORCH_STREAMS: Final = 5
_WRAPPER: Final = Global("joblib.numpy_pickle", "NumpyArrayWrapper")
_KEPT_EVENTS: Final = 100_000
_KEPT_ALIKE: Final = 16
_ALTERNATE_OPCODES: Final = 2_000
_CANDIDATES: Final = 2_000

# Where a pickle may begin in bytes that are not one: a protocol header, or a GLOBAL or INST opcode.
_CANDIDATE: Final = re.compile(
    rb"\x80[\x02-\x05](?=[\x95\(\[\]\}\x8c\x8dcXKJU\x88\x89N])"
    rb"|[ci][A-Za-z_][\w.]{1,80}\r?\n[A-Za-z_][\w.]{0,80}\r?\n"
)
_MODULE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.<>]*\r?\Z")
_HEADER: Final = re.compile(rb"\x80[\x00-\x05]")
_TEXTUAL: Final = frozenset(b"(lpdcitVSILFNPg])}\x5d\x7d")


class Trace:
    """Events worth keeping: of things that happen again and again, the first few."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._seen: dict[object, int] = {}

    def add(self, event: Event) -> None:
        """Keep the event if it says something new.

        Raises:
            LimitReached: too many different ones.
        """
        if isinstance(event, Import):
            key: object = event.written
        elif isinstance(event, Call):
            key = ("call", _root(event.callee))
        elif isinstance(event, Build | Change):
            key = (type(event), _root(event.target))
        else:
            key = type(event)
        seen = self._seen.get(key, 0)
        self._seen[key] = seen + 1
        if seen >= (1 if isinstance(event, Import) else _KEPT_ALIKE):
            return
        if len(self.events) >= _KEPT_EVENTS:
            message = f"more than {_KEPT_EVENTS:,} different things happen in one pickle"
            raise LimitReached(message)
        self.events.append(event)

    @property
    def plausible(self) -> bool:
        """Whether all imported names are such as modules have; random bytes make others."""
        names = [event.written for event in self.events if isinstance(event, Import)]
        return all(_MODULE.match(name.module) and _MODULE.match(name.name) for name in names)

    @property
    def imports(self) -> bool:
        """Whether anything is imported."""
        return any(isinstance(event, Import) for event in self.events)


def _root(value: object) -> object:
    if isinstance(value, Global):
        return value
    if isinstance(value, Result):
        return ("result", value.callee if isinstance(value.callee, Global) else None)
    return type(value)


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
        return begins_pickle(bytes(self.view[start : start + 512]))

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
        size, pickled = _array_bytes(event.state)
        if pickled:
            end, _ = self.stream(position)
            return position if end is None else end
        if size is None:
            reason = "an array of unknown size stands in the stream; read on behind its header"
            self.gaps.append(f"byte {event.offset:,}: {reason}")
            return position
        if isinstance(event.state, Collection) and isinstance(
            event.state.get("numpy_array_alignment_bytes"), int
        ):
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
            name = f"pickle@{event.offset}"
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
    return (
        isinstance(value, Result)
        and isinstance(value.arguments, Collection)
        and any(
            form in str(item).lower()
            for item in value.arguments.items
            for form in (str(TORCH_MAGIC), f"{TORCH_MAGIC:x}")
        )
    )


def _is_wrapper(target: object) -> bool:
    return isinstance(target, Result) and target.callee == _WRAPPER


def _array_bytes(state: object) -> tuple[int | None, bool]:
    """Size in bytes of the array behind a wrapper, and whether it is a pickle instead."""
    if not isinstance(state, Collection):
        return None, False
    dtype, shape = state.get("dtype"), state.get("shape")
    if not isinstance(dtype, Result) or not isinstance(dtype.arguments, Collection):
        return None, False
    code = dtype.arguments.items[0] if dtype.arguments.items else None
    if not isinstance(code, str) or not isinstance(shape, Collection):
        return None, False
    if _has_objects(dtype):
        return None, True
    item = _item_size(code)
    if item is None or len(shape.items) != shape.count:
        return None, False
    lengths = [length for length in shape.items if isinstance(length, int) and length >= 0]
    if len(lengths) != shape.count:
        return None, False
    return item * math.prod(lengths), False


def _has_objects(dtype: object, depth: int = 8) -> bool:
    """Whether a dtype, or a field of it at any depth, holds Python objects."""
    if isinstance(dtype, Collection):
        return depth > 0 and any(_has_objects(item, depth - 1) for item in dtype.items)
    if not isinstance(dtype, Result) or depth == 0:
        return False
    arguments = dtype.arguments.items if isinstance(dtype.arguments, Collection) else []
    if arguments and isinstance(arguments[0], str) and arguments[0].lstrip("|<>=")[:1] == "O":
        return True
    return _has_objects(dtype.state, depth - 1)


def _item_size(code: str) -> int | None:
    match = re.fullmatch(r"[|<>=]?([biufcmMSVU])(\d{1,9})", code)
    if match is None:
        return 1 if code in ("?", "b1", "|b1") else None
    return int(match.group(2)) * (4 if match.group(1) == "U" else 1)


def begins_pickle(head: bytes) -> bool:
    """Whether bytes begin as a pickle of any protocol may begin."""
    if _HEADER.match(head):
        return True
    if not head or head[0] not in _TEXTUAL:
        return False
    trace = Trace()
    machine = Machine(memoryview(head), 0, Budget())
    for event in machine.run():
        trace.add(event)
    broken = next((event for event in trace.events if isinstance(event, Broken)), None)
    if broken is None:
        return True
    cut = broken.reason.endswith(("over the end", "before STOP"))
    return any(isinstance(event, Call) for event in trace.events) or (
        trace.imports and trace.plausible and cut and broken.offset > 16
    )


class Pickle:
    """Python pickles of any protocol, joblib files and legacy torch checkpoints."""

    name = "pickle"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By the protocol header, or because the first bytes run as text opcodes."""
        if _HEADER.match(head):
            return True
        return begins_pickle(head) or (
            blob.suffix in (".pkl", ".pickle", ".joblib", ".dill") and bool(head)
        )

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The streams of the file, then the pickles nested in them."""
        reader = Reader(blob, view, budget)
        limit: LimitReached | None = None
        try:
            reader.whole()
        except LimitReached as error:
            limit = error
        yield PickleStream(blob.path, reader.grammar, tuple(reader.trace.events), blob.base)
        for reason in reader.gaps:
            yield Gap(blob.path, reason)
        for name, part, base in reader.nested:
            yield blob.part(name, part, base)
        if limit is not None:
            raise limit


def stored_pickle(blob: Blob, view: memoryview, budget: Budget) -> PickleStream | None:
    """The pickle in what should be raw numbers, None if there is none that imports anything."""
    if not _HEADER.match(view[:2]) and not _CANDIDATE.match(view[:256]):
        return None
    reader = Reader(blob, view, budget)
    reader.stream(0)
    if not reader.trace.imports:
        return None
    return PickleStream(blob.path, reader.grammar, tuple(reader.trace.events), blob.base)
